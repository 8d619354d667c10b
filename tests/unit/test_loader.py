"""Batches: what a view says of its picture, which way pairs go, and the hash that names a set."""
from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from retouch.data.configs import AttributeData, PairData
from retouch.data.loader import DomainLoader, PairLoader
from retouch.data.sets import make_loader, open_attributes, open_pairs, set_to_hash, two_sets
from retouch.data.transforms import to_float

CPU = torch.device('cpu')


def grid(n: int = 6, side: int = 24) -> np.ndarray:
    """uint8 [n,side,side,3]: red counts columns, green rows, blue pictures."""
    images = np.zeros((n, side, side, 3), np.uint8)
    images[..., 0], images[..., 1] = np.arange(side)[None, None], np.arange(side)[None, :, None]
    images[..., 2] = np.arange(n)[:, None, None]
    return images


def pixels(x: torch.Tensor) -> torch.Tensor:
    """float [-1,1] -> bytes."""
    return ((x + 1) * 127.5).round().long()


def test_a_view_says_where_the_window_was_and_whether_it_is_mirrored() -> None:
    loader = DomainLoader(grid(), grid(), batch_size=4, seed=0, size=16, flip=True, device=CPU)
    seen = set()
    for iteration in range(6):
        batch = loader.batch(iteration, 10)
        for image, index, view in ((batch.image_a, batch.index_a, batch.view_a), (batch.image_b, batch.index_b, batch.view_b)):
            for p, i, (top, left, side, mirrored) in zip(pixels(image), index, view.tolist(), strict=True):
                p = p.flip(-1) if mirrored else p
                assert (p[0, 0, 0].item(), p[1, 0, 0].item()) == (round(left * 24), round(top * 24))
                assert p[0, 0, -1] - p[0, 0, 0] == 15 and round(side * 24) == 16 and int(p[2, 0, 0]) == int(i)
                seen.add((top, left, mirrored))
    assert len(seen) > 20 and {m for _, _, m in seen} == {0.0, 1.0}


def test_both_pictures_of_a_pair_share_one_view() -> None:
    loader = PairLoader(grid(), 255 - grid(), batch_size=4, seed=0, size=16, flip=True, device=CPU)
    mirrored = set()
    for iteration in range(4):
        batch = loader.batch(iteration, 10)
        assert torch.equal(pixels(batch.image_a), 255 - pixels(batch.image_b)) and batch.view.shape == (4, 4)
        for p, i, (top, left, side, flipped) in zip(pixels(batch.image_a), batch.index, batch.view.tolist(), strict=True):
            p = p.flip(-1) if flipped else p
            assert p[:, 0, 0].tolist() == [round(left * 24), round(top * 24), int(i)] and round(side * 24) == 16
            mirrored.add(flipped)
    assert mirrored == {0.0, 1.0}


def test_pairs_go_either_way(tmp_path: Path) -> None:
    for side, level in (('A', 0), ('B', 255)):
        (tmp_path / side).mkdir()
        for k in range(10):
            Image.new('RGB', (8, 8), (level,) * 3).save(tmp_path / side / f'{k}.png')
    config = PairData(source=f'{tmp_path / "A"},{tmp_path / "B"}', size=8, load_size=None)
    there, back = open_pairs(config), open_pairs(config.model_copy(update={'direction': 'b_to_a'}))
    assert (there.a.max(), there.b.min(), back.a.min(), back.b.max()) == (0, 255, 255, 0)
    assert (there.spec.domains, back.spec.domains) == (('A', 'B'), ('B', 'A'))
    assert there.spec.samples == (len(there.a),) * 2 and 'samples' not in there.spec.model_dump()
    assert make_loader(back, config, 2, 0, CPU).batch(0, 1).image_a.min() == 1


def test_the_hash_of_a_set_sees_a_pixel_the_order_and_the_split() -> None:
    a, b = grid(), grid()
    known = {set_to_hash(two_sets(24, a, b))}
    assert set_to_hash(two_sets(24, a.copy(), b.copy())) in known
    changed = a.copy()
    changed[3, 5, 5, 1] ^= 1
    for x, y in ((changed, b), (a[::-1], b), (a, b[1:]), (a[:5], b)):
        known.add(set_to_hash(two_sets(24, x, y)))
    assert len(known) == 5


def test_the_hash_of_a_large_set_is_taken_in_pieces() -> None:
    many, few = np.arange(200 * 3 * 3 * 3, dtype=np.uint32).astype(np.uint8).reshape(200, 3, 3, 3), grid(3, 3)
    whole = hashlib.blake2b(digest_size=8)
    for part in (many, few):
        whole.update(repr((part.shape, part.dtype)).encode() + part.tobytes())
    assert set_to_hash(two_sets(3, many, few)) == whole.hexdigest()
    assert set_to_hash(two_sets(3, many[::-1], few)) != whole.hexdigest()


def test_a_lone_picture_is_never_asked_for_itself(tmp_path: Path) -> None:
    """AGGAN's published batch of 1: a permutation of one row trains the identity."""
    for name in ('angry', 'happy', 'sad'):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new('RGB', (8, 8), (i, 0, 0)).save(tmp_path / name / f'{i}.png')
    config = AttributeData(source=str(tmp_path), size=8)
    opened = open_attributes(config)
    with pytest.raises(ValueError, match='targets=permute with a batch of 1: .* --data.targets other'):
        make_loader(opened, config, 1, 0, torch.device('cpu'))
    loader = make_loader(opened, config.model_copy(update={'targets': 'other'}), 1, 0, torch.device('cpu'))
    batches = [loader.batch(i, 24) for i in range(24)]
    assert all(not torch.equal(b.labels, b.target) and b.target.sum() == 1 for b in batches)      # type: ignore[union-attr]
    assert len({tuple(b.target[0].tolist()) for b in batches}) == 3                               # type: ignore[union-attr]


def test_batches_of_two_classes_by_turns_each_to_become_the_other(tmp_path: Path) -> None:
    for name in ('angry', 'happy', 'sad'):
        (tmp_path / name).mkdir()
        for i in range(5):
            Image.new('RGB', (8, 8), (i, 0, 0)).save(tmp_path / name / f'{i}.png')
    config = AttributeData(source=str(tmp_path), size=8, targets='pair')
    opened = open_attributes(config)
    for batch_size in (1, 3):
        with pytest.raises(ValueError, match=f'targets=pair with a batch of {batch_size} and 3 classes: .* even --train.batch-size'):
            make_loader(opened, config, batch_size, 0, CPU)
    loader, seen = make_loader(opened, config, 4, 0, CPU), set()
    for i in range(20):
        batch = loader.batch(i, 20)
        a, b = batch.pair                                        # type: ignore[union-attr,misc]
        assert a != b and batch.labels.argmax(1).tolist() == [a, b, a, b] and batch.target.argmax(1).tolist() == [b, a, b, a]
        assert torch.equal(torch.from_numpy(opened.labels)[batch.index].float(), batch.labels)
        seen.add(batch.pair)                                     # type: ignore[union-attr]
    assert len(seen) == 6
    shares = [make_loader(opened, config, 2, 0, CPU, rank, 2).batch(3, 20) for rank in (0, 1)]
    assert torch.equal(torch.cat([s.index for s in shares]), loader.batch(3, 20).index)
    assert shares[0].pair == shares[1].pair == loader.batch(3, 20).pair


def test_the_first_pictures_of_either_domain_are_cut_in_the_middle() -> None:
    a, b = grid(), grid(3)
    x, y = DomainLoader(a, b, batch_size=2, seed=0, size=16, flip=True, device=CPU).first(5)
    assert x.shape == (5, 3, 16, 16) and len(y) == 3
    assert torch.equal(x, to_float(torch.from_numpy(a[:5, 4:20, 4:20])))
