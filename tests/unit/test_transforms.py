"""Batched transforms: exact at every byte, the same for pictures and the maps stored with them."""
from __future__ import annotations

import pytest
import torch

from retouch.data.transforms import crop_at, flip_where, gather_windows, to_float, to_uint8


def test_to_float_range_and_layout() -> None:
    x = to_float(torch.tensor([0, 255, 51], dtype=torch.uint8).reshape(1, 1, 1, 3))
    assert x.shape == (1, 3, 1, 1) and x.dtype == torch.float32 and x.is_contiguous()
    assert x[0, 0] == -1 and x[0, 1] == 1 and x[0, 2].item() == pytest.approx(-0.6)


def test_every_byte_survives_the_round_trip() -> None:
    images = torch.arange(256, dtype=torch.uint8).repeat(3).reshape(2, 16, 8, 3)
    assert images.float().unique().numel() == 256
    assert torch.equal(to_uint8(to_float(images)), images)


def test_to_uint8_clamps_and_rounds() -> None:
    x = torch.tensor([-3.0, 3.0, 0.5 / 127.5 - 1 + 1e-4, 0.5 / 127.5 - 1 - 1e-4]).reshape(4, 1, 1, 1).expand(4, 3, 1, 1)
    assert to_uint8(x)[:, 0, 0, 0].tolist() == [0, 255, 1, 0]
    assert to_uint8(x.bfloat16()).shape == (4, 1, 1, 3)


@pytest.mark.parametrize('channels', [1, 3])
def test_flip_where(channels: int) -> None:
    x = torch.arange(2 * channels * 2 * 3.0).reshape(2, channels, 2, 3)
    flipped = flip_where(x, torch.tensor([False, True]))
    assert torch.equal(flipped[0], x[0]) and torch.equal(flipped[1, 0, 0], x[1, 0, 0].flip(0))
    assert torch.equal(flip_where(flipped, torch.tensor([False, True])), x)


@pytest.mark.parametrize('channels', [1, 3])
def test_crop_at(channels: int) -> None:
    x = torch.randn(3, channels, 7, 9)
    top, left = torch.tensor([0, 3, 1]), torch.tensor([5, 0, 2])
    windows = crop_at(x, top, left, 4)
    assert windows.shape == (3, channels, 4, 4)
    assert torch.equal(windows[1], x[1, :, 3:7, 0:4]) and torch.equal(windows[0], x[0, :, 0:4, 5:9])
    # The form for other devices gives the same bits.
    assert torch.equal(gather_windows(x, top[:, None] + torch.arange(4), left[:, None] + torch.arange(4)), windows)
    assert crop_at(x, top, left, (4, 3)).shape == (3, channels, 4, 3)


def test_a_map_follows_its_picture() -> None:
    images, where = torch.rand(4, 3, 8, 8), torch.tensor([True, False, True, False])
    maps = images.mean(1, keepdim=True)
    top, left = torch.tensor([0, 1, 2, 3]), torch.tensor([3, 2, 1, 0])
    follow = flip_where(crop_at(maps, top, left, 5), where)
    assert torch.equal(flip_where(crop_at(images, top, left, 5), where).mean(1, keepdim=True), follow)


def test_wrong_arguments_are_named() -> None:
    x, zero = torch.zeros(2, 3, 4, 4), torch.zeros(2, dtype=torch.long)
    for words, call in {
        'expected uint8': lambda: to_float(x),
        'expected float': lambda: to_uint8(x.to(torch.uint8)),
        'expected bool': lambda: flip_where(x, torch.ones(2)),
        'window of 5 x 5 px': lambda: crop_at(x, zero, zero, 5),
        'row 2, column 0: expected rows 0 to 1': lambda: crop_at(x, zero + 2, zero, 3),
        r'expected \[2\]': lambda: crop_at(x, zero[:1], zero, 3),
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert '\n' not in str(caught.value)
