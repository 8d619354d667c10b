"""Deep pictures and pictures of several frames: one rule for ranges, in training and editing, and nothing left out in silence."""
from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retouch.data.cache import cached_images, decode
from retouch.data.images import frames_of, read_image, to_pixels
from retouch.editor.canvas import Canvas
from tests.unit.test_editor import Brighten, editor

SIXTEEN = 'the 16-bit picture was brought to 8 bits'


def png16(values: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel, which Pillow reads and does not write: uint16 [H,W,C]."""
    height, width, channels = values.shape

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + name + data + struct.pack('>I', zlib.crc32(name + data))

    header = struct.pack('>IIBBBBB', width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
    return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def tiff16(values: np.ndarray) -> bytes:
    """A plain TIFF of 16 bits a channel: uint16 [H,W,3]."""
    height, width, channels = values.shape
    data, at = values.astype('<u2').tobytes(), 8 + 2 + 12 * 9 + 4
    bits = struct.pack(f'<{channels}H', *[16] * channels)
    tags = [(256, 3, 1, width), (257, 3, 1, height), (258, 3, channels, at), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, at + len(bits)),
            (277, 3, 1, channels), (278, 3, 1, height), (279, 4, 1, len(data))]
    return b'II*\0' + struct.pack('<IH', 8, len(tags)) + b''.join(struct.pack('<HHII', *tag) for tag in tags) + bytes(4) + bits + data


def both(path: Path) -> tuple[np.ndarray, list[str]]:
    """A picture as training decodes it, which must be what the editor opens, and the editor's notes."""
    canvas = Canvas.open(path, None, None)
    height, width = canvas.rgb.shape[:2]
    pixels = decode(path, height, width)
    assert np.array_equal(canvas.shown, pixels)
    return pixels, canvas.notes


@pytest.mark.parametrize(('highest', 'top', 'bits'), [(1, 255, 8), (255, 255, 8), (256, 4095, 12), (4095, 4095, 12), (4096, 65535, 16),
                                                      (65535, 65535, 16)])
@pytest.mark.parametrize('kind', ['png', 'tif16', 'tif32'])
def test_one_range_rule_for_integers(highest: int, top: int, bits: int, kind: str, tmp_path: Path) -> None:
    values = np.linspace(0, highest, 20).round().astype(np.int64).reshape(4, 5)
    path = tmp_path / ('a.png' if kind == 'png' else 'a.tif')
    Image.fromarray(values.astype(np.int32 if kind == 'tif32' else np.uint16)).save(path)
    pixels, notes = both(path)
    assert np.array_equal(pixels[..., 0], np.round(values * 255 / top).astype(np.uint8)) and (pixels == pixels[..., :1]).all()
    said = SIXTEEN if bits == 16 else f'no value of the 16-bit picture is above {top}: it was taken for {bits} bits and brought to 8'
    assert notes[0] == said


@pytest.mark.parametrize('channels', [2, 3, 4])
def test_colours_of_sixteen_bits_are_said_as_grey_is(channels: int, tmp_path: Path) -> None:
    values = (np.arange(4 * 5 * channels).reshape(4, 5, channels) * 1000).astype(np.uint16)
    values[..., 3:] = 65535
    (path := tmp_path / 'a.png').write_bytes(png16(values))
    _, notes = both(path)
    assert SIXTEEN in notes
    with Image.open(path) as opened:                             # from memory it is said, too
        assert SIXTEEN in Canvas.open(opened, None, None).notes
    colours = values[..., :3] if channels > 2 else np.repeat(values[..., :1], 3, 2)
    assert np.abs(to_pixels(read_image(path)).rgb - colours / 257).max() <= 1
    Image.fromarray(np.full((4, 5, 3), 9, np.uint8)).save(path)
    assert SIXTEEN not in both(path)[1]


def test_colours_of_twelve_bits_in_sixteen_are_refused_everywhere(tmp_path: Path) -> None:
    """Pillow keeps the high byte alone: 16 levels of 256, nearly black."""
    values = (np.arange(60).reshape(4, 5, 3) * 69).astype(np.uint16)                   # up to 4071
    for name, data in (('a.png', png16(values)), ('a.tif', tiff16(values))):
        (path := tmp_path / name).write_bytes(data)
        for read in (lambda p=path: Canvas.open(p, None, None), lambda p=path: cached_images([p], 4, root=tmp_path)):
            with pytest.raises(ValueError, match=f'{name}: colours of 16 bits with values up to 4095 of 65535: .* 12 bits') as caught:
                read()
            assert '\n' not in str(caught.value)
    (path := tmp_path / 'b.tif').write_bytes(tiff16(values * 16))
    assert np.abs(both(path)[0] - values * 16 / 257).max() <= 1 and SIXTEEN in both(path)[1]


@pytest.mark.parametrize(('values', 'said'), [
    (np.linspace(0, 1, 20, dtype=np.float32), 'mode F with values 0 to 1'), (np.linspace(0, 255, 20, dtype=np.float32), 'mode F'),
    (np.full(20, np.nan, np.float32), 'mode F with values nan'), (np.linspace(0, 70000, 20).astype(np.int32), 'mode I with values 0 to 7e'),
    (np.linspace(-5, 100, 20).astype(np.int32), 'mode I with values -5 to 100'),
])
def test_what_has_no_range_is_refused_in_training_and_editing(values: np.ndarray, said: str, tmp_path: Path) -> None:
    Image.fromarray(values.reshape(4, 5)).save(path := tmp_path / 'a.tif')
    for read in (lambda: Canvas.open(path, None, None), lambda: cached_images([path], 4, root=tmp_path)):
        with pytest.raises(ValueError, match=said) as caught:
            read()
        message = str(caught.value)
        assert message.startswith(str(path)) and 'expected 8 or 16 bits a channel' in message and '\n' not in message


def test_one_transparent_grey_of_sixteen_bits_is_transparent(tmp_path: Path) -> None:
    values = np.array([[0, 30000, 60000, 65535]], np.uint16)
    Image.fromarray(values).save(path := tmp_path / 'a.png', transparency=30000)
    canvas = Canvas.open(path, None, None)
    assert canvas.alpha is not None and canvas.alpha.tolist() == [[255, 0, 255, 255]]
    assert decode(path, 1, 4)[0, :, 0].tolist() == [0, 255, 233, 255]


# ---- frames

def animation(n: int) -> list[Image.Image]:
    return [Image.fromarray(np.full((24, 24, 3), (40 * i, 200 - 40 * i, 90), np.uint8)) for i in range(n)]


@pytest.mark.parametrize(('suffix', 'options'), [('gif', {}), ('webp', {'lossless': True}), ('png', {}), ('tif', {}), ('mpo', {})])
def test_frames_are_counted_and_the_first_is_edited(suffix: str, options: dict[str, Any], tmp_path: Path) -> None:
    """What a camera puts beside its photograph (MPO) is no frame of it."""
    first, *others = animation(3)
    first.save(path := tmp_path / f'a.{suffix}', save_all=True, append_images=others, **options)
    first.save(alone := tmp_path / f'b.{suffix}', **options)
    counted = 1 if suffix == 'mpo' else 3
    assert frames_of(path) == counted and frames_of(str(alone)) == 1
    edit = editor(Brighten(masked=False, amount=0.0)).edit(path, Eyeglasses=1)
    said = [note for note in edit.notes if 'frames' in note]
    assert said == ([] if counted == 1 else ['the picture has 3 frames or pages: the first alone was edited'])
    assert np.abs(np.asarray(edit.image).astype(int) - np.asarray(first)).max() <= (4 if suffix == 'mpo' else 0)
    assert not any('frames' in note for note in editor().edit(alone, Eyeglasses=1).notes)
    with Image.open(path) as opened:
        assert any('3 frames' in note for note in editor().edit(opened, Eyeglasses=1).notes) == (counted == 3)
        if counted == 3:                                         # a frame that was chosen is the one that is meant
            opened.seek(2)
            edit = editor(Brighten(masked=False, amount=0.0)).edit(opened, Eyeglasses=1)
            assert not any('frames' in note for note in edit.notes)
            assert np.array_equal(np.asarray(edit.image.convert('RGB')), np.asarray(others[1]))


def test_a_picture_that_was_decoded_and_closed_is_edited_all_the_same(tmp_path: Path) -> None:
    for suffix in ('gif', 'tif', 'png'):
        animation(1)[0].save(path := tmp_path / f'a.{suffix}')
        with Image.open(path) as opened:
            opened.load()
        assert np.array_equal(Canvas.open(opened, None, None).rgb, np.asarray(animation(1)[0]))


def test_counting_frames_of_what_is_no_picture_is_one_line(tmp_path: Path) -> None:
    (tmp_path / 'a.gif').write_bytes(b'GIF89a')
    with pytest.raises(ValueError, match='a.gif') as caught:
        frames_of(tmp_path / 'a.gif')
    assert '\n' not in str(caught.value)
