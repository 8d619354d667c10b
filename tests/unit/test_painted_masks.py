"""Masks as paint programs save them: layers over transparency, indexed pictures, photographs, zeros and ones."""
from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retouch.editor.pictures import painted_to_mask
from tests.unit.test_editor import Brighten, editor, noise
from tests.unit.test_frame import smooth

INSIDE = np.zeros((20, 30), bool)
INSIDE[4:15, 8:22] = True
RED, BLACK, WHITE, BLUE = (255, 0, 0), (0, 0, 0), (255, 255, 255), (20, 30, 200)


def mask_of(picture: Image.Image, suffix: str = 'png', **options: object) -> tuple[np.ndarray, list[str]]:
    """A mask [20,30] as the editor reads it from a file, and its notes."""
    buffer, notes = io.BytesIO(), list[str]()
    picture.save(buffer, {'png': 'PNG', 'jpg': 'JPEG', 'tif': 'TIFF', 'gif': 'GIF'}[suffix], **options)
    return painted_to_mask(Image.open(buffer), 30, 20, notes), notes


def indexed(first: tuple[int, int, int], second: tuple[int, int, int]) -> Image.Image:
    picture = Image.fromarray(INSIDE.astype(np.uint8), 'P')
    picture.putpalette([*first, *second])
    return picture


@pytest.mark.parametrize('colour', [RED, BLACK, WHITE, BLUE])
def test_a_layer_counts_by_its_alpha_whatever_its_colour(colour: tuple[int, int, int]) -> None:
    for strength in (255, 128):
        alpha = np.where(INSIDE, strength, 0).astype(np.uint8)
        layer = Image.fromarray(np.dstack([np.full((20, 30, 3), colour, np.uint8), alpha]))
        assert np.array_equal(mask_of(layer)[0], alpha / np.float32(255))
        grey = Image.fromarray(np.dstack([np.full((20, 30), colour[0], np.uint8), alpha]), 'LA')
        assert np.array_equal(mask_of(grey)[0], alpha / np.float32(255))
    assert np.array_equal(mask_of(indexed(BLUE, colour), transparency=0)[0], INSIDE)
    assert np.array_equal(mask_of(indexed(BLUE, colour), 'gif', transparency=0)[0], INSIDE)
    assert np.array_equal(mask_of(indexed(BLUE, colour), transparency=bytes([0, 128]))[0], INSIDE * np.float32(128 / 255))


def test_brushes_of_many_colours_on_a_transparent_layer_count_by_their_alpha() -> None:
    alpha = np.where(INSIDE, 255, 0).astype(np.uint8)
    assert np.array_equal(mask_of(Image.fromarray(np.dstack([noise(20, 30), alpha])))[0], INSIDE)


def test_black_white_and_grey_count_as_they_are() -> None:
    levels = np.where(INSIDE, 255, 0).astype(np.uint8)
    soft = np.linspace(0, 255, 600).round().astype(np.uint8).reshape(20, 30)
    opaque = Image.fromarray(np.dstack([levels] * 3 + [np.full((20, 30), 255, np.uint8)]))
    for picture, suffix in ((Image.fromarray(levels), 'png'), (Image.fromarray(levels).convert('1'), 'png'), (opaque, 'png'),
                            (Image.fromarray(np.dstack([levels] * 3)), 'png'), (indexed(BLACK, WHITE), 'png'),
                            (Image.fromarray(levels.astype(np.uint16) * 257), 'png'), (Image.fromarray(levels.astype(np.uint16)), 'png'),
                            (Image.fromarray(np.where(INSIDE, 4095, 0).astype(np.uint16)), 'tif')):
        mask, notes = mask_of(picture, suffix)
        assert np.array_equal(mask, INSIDE), (picture.mode, suffix)
        assert len(notes) == (picture.mode == 'I;16')
    for picture in (Image.fromarray(soft), Image.fromarray(np.dstack([soft] * 3))):
        assert np.array_equal(mask_of(picture)[0], soft / np.float32(255))
    jpeg, _ = mask_of(Image.fromarray(np.dstack([levels] * 3)), 'jpg')                # rounded, and still no colour
    assert np.abs(jpeg - INSIDE).mean() < 0.05


@pytest.mark.parametrize('ones', [np.zeros((20, 30), np.uint8) + INSIDE, np.ones((20, 30), np.uint8)])
def test_zeros_and_ones_are_black_and_white(ones: np.ndarray) -> None:
    for picture in (Image.fromarray(ones), Image.fromarray(np.dstack([ones] * 3)), Image.fromarray(ones.astype(np.uint16))):
        mask, notes = mask_of(picture)
        assert np.array_equal(mask, ones) and notes[-1] == 'the mask holds only 0 and 1: they were taken for 0 and 255'
    assert not mask_of(Image.new('L', (30, 20), 0))[1]
    two, notes = mask_of(Image.fromarray(ones * np.uint8(2)))
    assert two.max() == np.float32(2 / 255) and not notes


def test_what_is_no_mask_is_refused_in_one_line(tmp_path: Path) -> None:
    photograph, hole = smooth(20, 30), np.where(INSIDE, 0, 255).astype(np.uint8)
    photograph[::2] = noise(20, 30)[::2]
    dab = np.zeros((20, 30, 3), np.uint8)
    dab[3:5, 3:5] = RED
    for picture, suffix, words in ((Image.fromarray(photograph), 'png', 'is a photograph: '),
                                   (Image.fromarray(photograph), 'jpg', 'is a photograph: '),
                                   (Image.fromarray(np.dstack([photograph, hole])), 'png', 'photograph with a hole, 26% of it transparent'),
                                   (indexed(BLACK, RED), 'png', 'is colourful: '), (Image.fromarray(dab), 'png', 'colourful'),
                                   (Image.new('CMYK', (30, 20), (0, 200, 0, 0)), 'tif', 'colourful')):
        picture.save(path := tmp_path / f'mask.{suffix}')
        for given in (path, picture):
            with pytest.raises(ValueError, match=words) as caught:
                painted_to_mask(given, 30, 20, [])
            message = str(caught.value)
            assert '\n' not in message and 'expected black and white, where white may change, or paint of any colour' in message
            assert message.startswith(str(path)) == (given is path)


def test_a_red_layer_opens_what_it_covers(tmp_path: Path) -> None:
    alpha = np.where(INSIDE, 255, 0).astype(np.uint8)
    Image.fromarray(np.dstack([np.full((20, 30, 3), RED, np.uint8), alpha])).save(path := tmp_path / 'mask.png')
    pixels = noise(20, 30)
    edit = editor(Brighten(masked=False)).edit(pixels, mask=path, Eyeglasses=1)
    assert np.array_equal(edit.mask[:, 5:25], alpha[:, 5:25])
    assert np.array_equal(np.asarray(edit.image)[edit.mask == 0], pixels[edit.mask == 0])
