"""Bringing a small edit back as a local affine map of colour."""
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from retouch.editor import affine
from retouch.editor.affine import apply_affine, fit_affine, keep_structure, tiles, widen
from retouch.editor.canvas import Canvas
from retouch.editor.resample import resize_to
from retouch.engine.update import Translation


def picture(side: int, seed: int = 0) -> np.ndarray:
    """[3,side,side] in [0,1], smooth."""
    coarse = np.random.default_rng(seed).random((3, 6, 6), np.float32)
    return resize_to(coarse, (side, side), 'bicubic').clip(0, 1)


def strands(side: int) -> np.ndarray:
    """uint8 [side,side,3]: a patch of hair with brighter and darker locks on a flat ground, its edges sharp."""
    x = np.full((side, side, 3), (120, 150, 180), np.float32)
    waves = 1 + 0.35 * np.sin(np.arange(side) / side * 2 * np.pi * 5)[None, :, None]
    x[side // 4:3 * side // 4, side // 4:3 * side // 4] = (np.array((90, 60, 30)) * waves)[:, side // 4:3 * side // 4]
    return x.clip(0, 255).astype(np.uint8)


def test_nothing_changes_where_nothing_changed() -> None:
    maps = fit_affine(picture(16), np.zeros((3, 16, 16), np.float32))
    assert not maps.any() and not apply_affine(widen(maps, 50), picture(50), slice(0, 50), 50).any()


def test_an_affine_change_is_found_and_applied() -> None:
    a, b = np.array(((0.5, -0.2, 0.1), (0.0, 0.3, 0.0), (-0.4, 0.0, 0.2)), np.float32), np.array((0.1, -0.05, 0.2), np.float32)
    x = picture(24)
    change = np.einsum('ck,khw->chw', a, x) + b[:, None, None]
    maps = fit_affine(x, change, epsilon=1e-9)
    assert maps.shape == (3, 4, 24, 24)
    large = picture(96)
    expected = np.einsum('ck,khw->chw', a, large) + b[:, None, None]
    assert np.abs(apply_affine(widen(maps, 96), large, slice(0, 96), 96) - expected).max() < 5e-3
    flat = fit_affine(np.full((3, 8, 8), 0.5, np.float32), np.full((1, 8, 8), 0.25, np.float32))   # no contrast: A 0, b the change itself
    assert not flat[:, :3].any() and np.allclose(flat[:, 3], 0.25)


def test_new_structure_is_added_and_faults_of_the_fit_are_not() -> None:
    """A dark bar on a smooth picture follows no colour: all of it comes back; what the fit leaves of a recolouring does not."""
    x = picture(24)
    change = np.zeros((4, 24, 24), np.float32)
    change[:3, 10:13, 4:20] = -0.6
    change[3] = change[0] < 0
    maps = keep_structure(fit_affine(x, change), x, change)
    back = (maps[:, :3] * x).sum(1) + maps[:, 3]
    assert np.abs(back - change)[:, 10:13, 4:20].max() < 0.05 and np.allclose(back[3], change[3], atol=1e-5)
    plain = fit_affine(x, change)
    assert np.abs((plain[:, :3] * x).sum(1) + plain[:, 3] - change)[0, 10:13, 4:20].max() > 0.2        # what would have been lost
    small = np.concatenate([0.3 * x, np.ones((1, 24, 24), np.float32)])
    fitted = fit_affine(x, small)
    left = (small - (fitted[:, :3] * x).sum(1) - fitted[:, 3])[:3]
    kept = (keep_structure(fitted, x, small) - fitted)[:3, 3]
    assert 0 < np.abs(left).max() < 0.02 and (np.abs(kept) <= 0.15 * np.abs(left).max()).all()


@pytest.mark.parametrize('side', [40, 97])
def test_tiles_are_pieces_of_one_enlargement(side: int) -> None:
    generator = np.random.default_rng(1)
    maps, pixels = generator.random((2, 4, 12, 12), np.float32), generator.random((3, side, side), np.float32)
    large = resize_to(maps, (side, side), 'bilinear')
    expected = (large[:, :3] * pixels).sum(1) + large[:, 3]
    pieces = np.concatenate([apply_affine(widen(maps, side), pixels[:, rows], rows, side) for rows in tiles(side)], 1)
    assert np.allclose(pieces, expected, atol=1e-5)
    assert [rows.start for rows in tiles(side)] == list(range(0, side, affine.TILE_PX)) and list(tiles(side))[-1].stop == side


def error_of(canvas: Canvas, truth: np.ndarray, x: np.ndarray, translation: Translation) -> float:
    edited, _ = canvas.compose(x, translation, 1.0, 0.02)
    return float(np.square(edited.astype(float) - truth).mean())


def test_edges_survive_a_recolouring() -> None:
    """Hair becomes blond at 32 px; at 320 px its edge is as sharp as it was and the ground beside it is not dyed."""
    before = strands(320)
    hair = before[..., 2] < 100
    truth = np.where(hair[..., None], (before * np.array((2.4, 2.6, 2.2))).clip(0, 255), before).astype(np.uint8)
    canvas, true = Canvas.open(before, None, None), Canvas.open(truth, None, None)
    x = canvas.model_input(32)
    mask = resize_to(hair[None, None].astype(np.float32), (32, 32), 'bilinear')
    translation = Translation(true.model_input(32), mask)
    ours = error_of(canvas, truth, x, translation)
    plain = before.astype(np.float32) + 127.5 * resize_to(translation.image - x, (320, 320), 'bicubic')[0].transpose(1, 2, 0)
    theirs = float(np.square(plain.clip(0, 255) - truth).mean())
    assert ours < 0.4 * theirs, (ours, theirs)
    edited, mask8 = canvas.compose(x, translation, 1.0, 0.02)
    assert np.array_equal(edited[mask8 == 0], before[mask8 == 0]) and (mask8[:40] == 0).all()
    assert ((mask8 > 127) == hair).mean() > 0.97                                                   # the mask follows the edge too
    stronger, _ = canvas.compose(x, translation, 0.5, 0.02)
    half = (edited.astype(int) - before)[hair].mean() / 2
    assert abs((stronger.astype(int) - before)[hair].mean() - half) < 3


def test_a_system_without_a_mask_and_a_painted_one() -> None:
    before = strands(160)
    x = (canvas := Canvas.open(before, None, (0, 0, 80, 160))).model_input(16)
    edited, mask = canvas.compose(x, Translation(x + 0.2), 1.0, 0.02)
    assert np.array_equal(edited[:, 80:], before[:, 80:]) and (mask[:, :80] == 255).all() and not mask[:, 80:].any()
    moved = edited[:, :80].astype(int) - before[:, :80]
    assert np.abs(moved - 25.5).max() <= 2                       # a constant change has A = 0: detail stays
    same, _ = canvas.compose(x, Translation(x), 1.0, 0.02)
    assert np.array_equal(same, before)


def test_a_frame_of_the_models_size_and_smaller_comes_back_as_it_is() -> None:
    for side in (16, 11):
        before = strands(side)
        x = (canvas := Canvas.open(before, None, None)).model_input(16)
        edited, _ = canvas.compose(x, Translation(x + 0.2), 1.0, 0.02)
        assert np.abs(edited.astype(int) - before - 25.5).max() <= 1


@pytest.mark.parametrize('mode', ['bilinear', 'bicubic'])
@pytest.mark.parametrize('size', [(5, 9), (40, 33), (16, 7), (12, 16)])
def test_resizing_is_that_of_torch(mode: str, size: tuple[int, int]) -> None:
    """The antialiased filters that the editor had before it could do without torch: an edit stays what it was."""
    x = np.random.default_rng(0).standard_normal((2, 3, 12, 16), np.float32)
    theirs = F.interpolate(torch.from_numpy(x), size=size, mode=mode, align_corners=False, antialias=True).numpy()
    assert resize_to(x, size, mode).dtype == np.float32 and np.abs(resize_to(x, size, mode) - theirs).max() < 1e-5
    if size == (12, 16):
        assert resize_to(x, size, mode) is x
