"""`retouch score`: edits that lie in folders get the numbers that a model's own card has, and those that a hand computes."""
from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from retouch.data.batches import DataSpec
from retouch.data.frame import Frame
from retouch.data.transforms import to_uint8
from retouch.evaluation.comparison import cards_to_comparison
from retouch.evaluation.edits import FramedJudge, match_folders, score_edits
from retouch.evaluation.judge import Judge, load_judge
from retouch.evaluation.protocols import evaluate
from retouch.evaluation.scoring import pictures_to_tensor
from retouch.evaluation.tasks import eyeglasses_tasks
from retouch.methods.aggan_multi import AGGANMulti
from retouch.toyfaces import ATTRIBUTES

N = 16


def save(folder: Path, pictures: dict[str, np.ndarray], suffix: str = '.png', **options: Any) -> Path:
    for name, pixels in pictures.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(folder / f'{name}{suffix}', **options)
    return folder


def grey(level: int, height: int = 20, width: int = 16) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_edits_on_disk_have_the_card_of_the_model_that_made_them(tmp_path: Path) -> None:
    """Every value that both cards have is the same, those of the reference rows too. Intervals are not: a model's are drawn over all
    identities of its set, also those that the edit does not apply to."""
    method = AGGANMulti.tiny().eval()
    method.nets.requires_grad_(False)
    judge = load_judge()
    card = evaluate(method, protocol='eyeglasses', n=N, judge=judge)
    inputs, (task,) = eyeglasses_tasks(method, judge.names, N, 0)
    x = pictures_to_tensor(inputs[task.rows])
    with torch.no_grad():
        out = method.translate(task.request(x, slice(None)))
    assert out.mask is not None and task.truth is not None and task.region is not None
    m = len(task.rows)
    others = np.setdiff1d(np.arange(N), task.rows)
    folders = {'before': inputs[task.rows], 'after': to_uint8(out.image).numpy(), 'truth': task.truth[:],
               'regions': task.region[:].astype(np.uint8) * 255, 'real': inputs[others]}
    for name, pictures in folders.items():
        save(tmp_path / name, {f'{i:03d}': some for i, some in enumerate(pictures)})
    save(tmp_path / 'after', {f'{i:03d}.mask': (some * 255).round().byte().numpy() for i, some in enumerate(out.mask[:, 0])})
    given = match_folders(tmp_path / 'before', tmp_path / 'after', masks=tmp_path / 'after', regions=tmp_path / 'regions',
                          truth=tmp_path / 'truth', real=tmp_path / 'real')
    assert given.notes == () and len(given.names) == m and given.one_size
    found, tallies = score_edits(given, edit=('Eyeglasses', 1), judge=judge)
    compared = 0
    for row, ours in (('model', card.measures), *card.references.items()):
        theirs = found.measures if row == 'model' else found.references[row]
        for name in ours.keys() & theirs.keys():
            a, b = ours[name].value, theirs[name].value
            assert (a is None) == (b is None), (row, name, a, b)
            if a is not None and b is not None:
                compared += 1
                tolerance = 0.003 if name == 'mask_area' else 1e-9                     # a saved mask has 8 bits
                assert math.isclose(a, b, rel_tol=1e-6, abs_tol=tolerance), (row, name, a, b)
    assert compared >= 30
    both = found.measures.keys() & card.measures.keys()
    assert {'edit_accuracy', 'leakage', 'psnr_outside', 'psnr_inside', 'ssim_outside', 'mask_iou'} <= both
    assert found.judge == card.judge and found.data.region_area == card.data.region_area
    assert found.leakage_matrix is not None and card.leakage_matrix is not None
    np.testing.assert_allclose(found.leakage_matrix.values, card.leakage_matrix.values, atol=1e-12)
    assert tallies['edit_accuracy'].total.shape == (1, m)


def test_distances_to_real_pictures_are_those_of_the_judges_features(tmp_path: Path) -> None:
    """The eyeglasses protocol compares with the faces that wear them: given those as real pictures, the distance is the same."""
    from retouch.metrics.fidelity import features_to_fidelity

    judge = load_judge()
    inputs, (task,) = eyeglasses_tasks(AGGANMulti.tiny().eval(), judge.names, N, 0)
    assert task.truth is not None
    others = np.setdiff1d(np.arange(N), task.rows)
    for name, pictures in {'before': inputs[task.rows], 'after': task.truth[:], 'real': inputs[others]}.items():
        save(tmp_path / name, {f'{i:03d}': some for i, some in enumerate(pictures)})
    given = match_folders(tmp_path / 'before', tmp_path / 'after', real=tmp_path / 'real')
    card, _ = score_edits(given, edit=('Eyeglasses', 1), judge=judge)
    # fewer pictures than features: not told, and why
    assert card.measures['kid[toyfaces_classifier]'].value is None and 'needs n' in card.measures['kid[toyfaces_classifier]'].note
    reduced = nn.Module()
    reduced.features = lambda image: judge.model.method.nets['C'].features(image)[:, :4]     # so few that these pictures suffice
    reduced.head = nn.Linear(4, len(judge.names))
    card, _ = score_edits(given, edit=('Eyeglasses', 1), judge=Judge(Few(judge, reduced), judge.names, judge.card))
    with torch.no_grad():
        real, made = (torch.cat([reduced.features(scaled(some, judge)) for some in pictures])
                      for pictures in (inputs[others], task.truth[:]))
    wanted = features_to_fidelity(real, made)
    assert card.measures['fid[toyfaces_classifier]'].value == pytest.approx(wanted['fid'], rel=1e-4)
    assert card.measures['kid[toyfaces_classifier]'].value == pytest.approx(wanted['kid'], rel=1e-4)
    assert 'uncertain' in card.measures['fid[toyfaces_classifier]'].note


def scaled(pixels: np.ndarray, judge: Judge) -> torch.Tensor:
    size = (judge.model.data.size,) * 2
    return nn.functional.interpolate(pictures_to_tensor(pixels[None]), size=size, mode='bilinear', antialias=True, align_corners=False)


class Few:
    """A model like the judge's, of other features."""

    def __init__(self, judge: Judge, net: nn.Module) -> None:
        self.data, self.weights_sha256 = judge.model.data, judge.sha256
        self.method = SimpleNamespace(nets={'C': net}, config=judge.model.method.config)


def test_values_by_hand(tmp_path: Path) -> None:
    """Two pictures of 20 x 16 px; the region is the upper half; the edit adds 20 there, and 4 to two pixels below."""
    before, region = grey(100), np.zeros((20, 16), np.uint8)
    region[:10] = 255
    after = before.copy()
    after[:10] += 20
    after[19, :2] += 4
    truth = before.copy()
    truth[:10] += 30
    mask = np.zeros((20, 16), np.uint8)
    mask[:5] = 255
    for name, picture in {'before': before, 'after': after, 'truth': truth, 'regions': region, 'masks': mask}.items():
        save(tmp_path / name, {'a': picture, 'deep/b': picture})
    given = match_folders(tmp_path / 'before', tmp_path / 'after', masks=tmp_path / 'masks', regions=tmp_path / 'regions',
                          truth=tmp_path / 'truth')
    card, _ = score_edits(given)
    values = {name: measure.value for name, measure in card.measures.items()}
    assert values['untouched'] == pytest.approx(158 / 320) and values['untouched_outside'] == pytest.approx(158 / 160)
    assert values['changed'] == 0.5 and values['changed_outside'] == 0
    assert values['psnr_changed'] == pytest.approx(10 * math.log10(255 ** 2 / 20 ** 2))
    assert values['psnr_inside'] == pytest.approx(10 * math.log10(255 ** 2 / 10 ** 2))
    assert values['psnr_outside'] == pytest.approx(10 * math.log10(255 ** 2 / (4 ** 2 * 2 / 160)))
    assert values['mse_truth'] == pytest.approx((160 * 100 + 2 * 16) / 320) and values['arrived'] == 1
    assert values['mask_area'] == 0.25 and values['mask_iou'] == 0.5 and values['pointing_game'] == 1
    assert values['untouched_outside_mask'] == pytest.approx(158 / 240)
    assert {'ssim_whole', 'ssim_outside', 'ssim_changed', 'ssim_inside'} <= values.keys() and 'edit_accuracy' not in values
    assert card.references['copy']['untouched'].value == 1 and card.references['truth']['psnr_truth'].value is None
    assert card.references['copy']['mask_area'].value == 0 and card.references['truth']['mask_iou'].value == 1
    assert card.data.size is None and card.data.region_area == {'edit': 0.5} and card.n == 2
    # without regions the true results say where: nothing differs from them but there
    alone, _ = score_edits(match_folders(tmp_path / 'before', tmp_path / 'after', truth=tmp_path / 'truth'))
    assert alone.measures['psnr_inside'] == card.measures['psnr_inside'] and alone.data.hash != card.data.hash
    least, _ = score_edits(match_folders(tmp_path / 'before', tmp_path / 'after'))
    assert set(least.measures) == {'untouched', 'changed', 'psnr_whole', 'ssim_whole'} and set(least.references) == {'copy'}


def test_pictures_of_many_sizes_are_each_scored_at_their_own(tmp_path: Path) -> None:
    shapes = {'wide': (16, 40), 'high': (40, 16), 'square': (24, 24)}
    save(tmp_path / 'before', {name: grey(50, *shape) for name, shape in shapes.items()})
    after = {name: grey(50, *shape) for name, shape in shapes.items()}
    after['wide'][:, 0] = 90                                     # 16 pixels of 640
    save(tmp_path / 'after', after, '.bmp')
    given = match_folders(tmp_path / 'before', tmp_path / 'after')
    assert not given.one_size and given.names == ('high', 'square', 'wide')
    card, tallies = score_edits(given)
    assert card.measures['untouched'].value == pytest.approx((1 + 1 + 624 / 640) / 3)
    assert card.measures['psnr_whole'].value == pytest.approx(10 * math.log10(255 ** 2 / (1600 * 16 / (640 + 640 + 576))))
    assert tallies['untouched'].total.tolist() == [[1, 1, 624 / 640]]


def test_the_judge_sees_what_its_training_would_have_cut() -> None:
    seen = []

    class Net(nn.Module):
        def features(self, image: torch.Tensor) -> torch.Tensor:
            seen.append(image)
            return image.mean((2, 3))

        def head(self, features: torch.Tensor) -> torch.Tensor:
            return features[:, :1]

    def judge(frame: Frame) -> FramedJudge:
        spec = DataSpec(size=8, attributes=('Light',), frame=frame)
        return FramedJudge(SimpleNamespace(method=SimpleNamespace(nets={'C': Net()}), data=spec, weights_sha256=''), ('Light',))

    image = torch.arange(12.).expand(1, 3, 8, 12) / 12
    judge(Frame()).look(image)
    assert torch.equal(seen[0], image[..., 2:10])
    judge(Frame(stretch=True)).look(image)
    assert seen[1].shape == (1, 3, 8, 8) and seen[1][0, 0, 0, 0] < 0.1 and seen[1][0, 0, 0, -1] > 0.8


def test_names_and_sizes(tmp_path: Path) -> None:
    save(tmp_path / 'before', {'face_1': grey(1), 'face_2': grey(2)})
    save(tmp_path / 'after', {'face_1': grey(1), 'face_2_edited': grey(2), 'other': grey(3)}, '.jpg')
    with pytest.raises(ValueError, match=r'1 of 2 pictures of .*before have none of their name in .*after, first face_2, did you mean '
                                         r'face_2_edited\.jpg\?'):
        match_folders(tmp_path / 'before', tmp_path / 'after')
    save(tmp_path / 'few', {'1': grey(1), '2_by_a_photo_program': grey(2)})
    save(tmp_path / 'numbers', {'1': grey(1), '2': grey(2)})
    with pytest.raises(ValueError, match=r'first 2, did you mean 2_by_a_photo_program\.png\?'):      # far by its letters, and begins alike
        match_folders(tmp_path / 'numbers', tmp_path / 'few')
    save(tmp_path / 'after', {'face_2': grey(2), 'face_1.mask': grey(0), 'face_1.diff': grey(0)})
    given = match_folders(tmp_path / 'before', tmp_path / 'after')
    assert len(given.notes) == 2 and '2 pictures of' in given.notes[0] and 'face_2_edited' in given.notes[0] and 'lossy' in given.notes[1]
    save(tmp_path / 'after', {'face_2': grey(2, 24)})
    with pytest.raises(ValueError, match=r'16 x 24 px, .* is 16 x 20 px: expected an edit of the size of the picture before; let the tool'):
        match_folders(tmp_path / 'before', tmp_path / 'after')
    save(tmp_path / 'twice', {'face_1': grey(1), 'face_2': grey(2)})
    save(tmp_path / 'twice', {'face_1': grey(1)}, '.jpg')
    with pytest.raises(ValueError, match='have one name'):
        match_folders(tmp_path / 'before', tmp_path / 'twice')
    for n, expected in ((1, 'at least 2'), (None, 'holds 1 picture')):
        save(tmp_path / 'one', {'face_1': grey(1)})
        with pytest.raises(ValueError, match=expected):
            match_folders(tmp_path / 'one', tmp_path / 'one', n=n)
    save(tmp_path / 'small', {'a': grey(1, 8, 8), 'b': grey(1, 8, 8)})
    with pytest.raises(ValueError, match='at least 11 px'):
        match_folders(tmp_path / 'small', tmp_path / 'small')
    assert match_folders(tmp_path / 'before', tmp_path / 'before', n=2).names == ('face_1', 'face_2')


def test_cards_compare_on_the_same_pictures_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = {f'{i}': rng.integers(0, 200, (16, 16, 3), np.uint8) for i in range(6)}
    save(tmp_path / 'before', pictures)
    for name, step in (('weak', 10), ('strong', 40)):
        save(tmp_path / name, {key: value + np.uint8(step) for key, value in pictures.items()})
    scored = {name: score_edits(match_folders(tmp_path / 'before', tmp_path / name)) for name in ('weak', 'strong')}
    found = cards_to_comparison({name: card for name, (card, _) in scored.items()}, {name: sums for name, (_, sums) in scored.items()})
    difference = found.differences['strong']['psnr_whole']
    assert difference.value == pytest.approx(20 * math.log10(10 / 40)) and difference.low == pytest.approx(difference.high)
    save(tmp_path / 'before', {'0': pictures['1']})
    other, _ = score_edits(match_folders(tmp_path / 'before', tmp_path / 'weak'))
    with pytest.raises(ValueError, match='data hash'):
        cards_to_comparison({'weak': scored['weak'][0], 'other': other})


def test_the_label_rule_says_what_a_judge_should_read(tmp_path: Path) -> None:
    """Blond_Hair=1 of a face with black hair: that it is black no longer is no leakage."""
    judge = load_judge()
    black, blond = ATTRIBUTES.index('Black_Hair'), ATTRIBUTES.index('Blond_Hair')
    assert judge.names == ATTRIBUTES
    from retouch.toyfaces.edits import draw_truths
    from retouch.toyfaces.stored import held_out_faces

    images, labels = held_out_faces(N, 64, 0, None)
    dark = np.flatnonzero(labels[:, black] & (labels[:, ATTRIBUTES.index('Bald')] == 0))[:4]
    target = labels.copy()
    target[:, black], target[:, blond] = 0, 1
    applies = np.isin(np.arange(N), dark)
    truth = draw_truths({'Blond_Hair': (target, applies)}, images, 0, None)['Blond_Hair']
    save(tmp_path / 'before', {str(i): images[row] for i, row in enumerate(truth.rows)})
    save(tmp_path / 'after', {str(i): some for i, some in enumerate(truth.images[:])})
    card, _ = score_edits(match_folders(tmp_path / 'before', tmp_path / 'after'), edit=('Blond_Hair', 1), judge=judge)
    assert card.measures['edit_accuracy'].value == 1 and card.measures['leakage'].value == 0
    assert card.references['copy']['edit_accuracy'].value == 0
    assert card.references['copy']['leakage'].value == pytest.approx(1 / (len(ATTRIBUTES) - 1))
