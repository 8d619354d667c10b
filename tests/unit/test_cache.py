"""The picture opener and the cache: pixels as the papers cut them, never half-written, errors that name the file."""
from __future__ import annotations

import errno
import json
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.functional import center_crop

from retouch.data import cache, images
from retouch.data.cache import cached_images, decode
from retouch.data.frame import Frame
from retouch.data.images import read_image, to_rgb


def noise(height: int, width: int, seed: int = 0, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def write(folder: Path, n: int, height: int = 20, width: int = 16) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f'{i}.png' for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(noise(height, width, i)).save(path)
    return paths


def one_line(error: pytest.ExceptionInfo[BaseException]) -> str:
    assert '\n' not in str(error.value)
    return str(error.value)


# ---- pixels

def test_the_crop_is_torchvisions(tmp_path: Path) -> None:
    for height, width, crop in ((218, 178, 178), (109, 89, 89), (31, 22, 9), (24, 31, 10), (33, 22, 10)):
        path = tmp_path / f'{height}.png'
        pixels = noise(height, width)
        Image.fromarray(pixels).save(path)
        expected = center_crop(torch.from_numpy(pixels).permute(2, 0, 1), crop).permute(1, 2, 0).numpy()
        assert np.array_equal(decode(path, crop, crop, Frame(crop=crop)), expected)
    assert np.array_equal(decode(tmp_path / '218.png', 178, 178, Frame(crop=178)), noise(218, 178)[20:198])


def test_crop_then_antialiased_resize(tmp_path: Path) -> None:
    pixels = noise(40, 30)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    for name, kind in (('bilinear', Image.Resampling.BILINEAR), ('bicubic', Image.Resampling.BICUBIC)):
        expected = np.asarray(Image.fromarray(pixels[5:35]).resize((12, 12), kind))
        assert np.array_equal(decode(tmp_path / 'a.png', 12, 12, Frame(resample=name)), expected)
        assert np.array_equal(decode(tmp_path / 'a.png', 12, 12, Frame(crop=30, resample=name)), expected)
    # A size of another aspect takes the largest window of that aspect: here 40 x 20.
    wide = np.asarray(Image.fromarray(pixels[:, 5:25]).resize((10, 20), Image.Resampling.BILINEAR))
    assert np.array_equal(decode(tmp_path / 'a.png', 20, 10), wide)


def test_the_sides_of_a_pair(tmp_path: Path) -> None:
    pixels = noise(8, 16)
    Image.fromarray(pixels).save(tmp_path / 'a.png')
    left, right = (cached_images([tmp_path / 'a.png'], 8, side=side) for side in ('left', 'right'))
    assert np.array_equal(left[0], pixels[:, :8]) and np.array_equal(right[0], pixels[:, 8:])
    Image.fromarray(noise(8, 15)).save(tmp_path / 'b.png')
    with pytest.raises(ValueError, match='b.png: 15 x 8 px: expected width = 2 x height'):
        cached_images([tmp_path / 'b.png'], 8, side='left')


def test_every_orientation(tmp_path: Path) -> None:
    upright = noise(6, 9)
    stored = {1: upright, 2: upright[:, ::-1], 3: upright[::-1, ::-1], 4: upright[::-1], 5: upright.transpose(1, 0, 2),
              6: np.rot90(upright), 7: upright[::-1, ::-1].transpose(1, 0, 2), 8: np.rot90(upright, 3)}
    for orientation, pixels in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / 'a.png', exif=exif)
        assert np.array_equal(np.asarray(read_image(tmp_path / 'a.png')), upright), orientation
        assert np.array_equal(decode(tmp_path / 'a.png', 6, 9), upright)


def test_modes_become_rgb(tmp_path: Path) -> None:
    clear = np.zeros((4, 4, 4), np.uint8)
    clear[:2] = (200, 10, 20, 255)
    half = np.full((4, 4, 4), (0, 0, 0, 128), np.uint8)
    sixteen = np.full((4, 4), 257 * 77, np.uint16)
    for picture, expected in (
        (Image.fromarray(clear), (200, 10, 20)), (Image.fromarray(half), (127, 127, 127)), (Image.fromarray(sixteen), (77, 77, 77)),
        (Image.new('L', (4, 4), 9), (9, 9, 9)), (Image.new('1', (4, 4), 1), (255, 255, 255)), (Image.new('LA', (4, 4), (0, 0)), (255,) * 3),
        (Image.fromarray(clear).convert('RGB').convert('P'), None),
    ):
        picture.save(tmp_path / 'a.png')
        pixels = decode(tmp_path / 'a.png', 4, 4)
        assert pixels.shape == (4, 4, 3) and pixels.dtype == np.uint8
        if expected:
            assert tuple(pixels[0, 0]) == expected
    Image.fromarray(clear).save(tmp_path / 'a.png')
    assert tuple(decode(tmp_path / 'a.png', 4, 4)[3, 0]) == (255, 255, 255)            # transparent is white
    Image.new('CMYK', (4, 4), (0, 0, 0, 0)).save(tmp_path / 'a.jpg')
    assert tuple(decode(tmp_path / 'a.jpg', 4, 4)[0, 0]) == (255, 255, 255)
    palette = Image.new('P', (4, 4), 0)
    palette.putpalette([10, 20, 30])
    palette.save(tmp_path / 'p.png', transparency=b'\x00')
    assert tuple(to_rgb(read_image(tmp_path / 'p.png')).getpixel((0, 0))) == (255, 255, 255)


def test_read_image_keeps_alpha_and_profile(tmp_path: Path) -> None:
    Image.fromarray(noise(5, 4, channels=4)).save(tmp_path / 'a.png', icc_profile=b'profile')
    picture = read_image(tmp_path / 'a.png')
    assert picture.mode == 'RGBA' and picture.info['icc_profile'] == b'profile'
    assert np.array_equal(np.asarray(picture), noise(5, 4, channels=4))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(5, 4, channels=4)).save(tmp_path / 'a.png', icc_profile=b'profile', exif=exif)
    picture = read_image(tmp_path / 'a.png')
    assert picture.size == (5, 4) and picture.mode == 'RGBA' and picture.info['icc_profile'] == b'profile'


# ---- the opener's errors

def test_bad_files_are_named_in_one_line(tmp_path: Path) -> None:
    Image.fromarray(noise(64, 64)).save(tmp_path / 'whole.jpg')
    data = (tmp_path / 'whole.jpg').read_bytes()
    (tmp_path / 'cut.jpg').write_bytes(data[:len(data) // 2])
    Image.fromarray(noise(64, 64)).save(tmp_path / 'whole.png')
    data = (tmp_path / 'whole.png').read_bytes()
    (tmp_path / 'cut.png').write_bytes(data[:len(data) // 2])
    (tmp_path / 'flipped.png').write_bytes(data[:200] + bytes([data[200] ^ 255]) + data[201:])
    (tmp_path / 'header.png').write_bytes(data[:20])
    (tmp_path / 'empty.jpg').write_bytes(b'')
    (tmp_path / 'text.jpg').write_text('<html>not found</html>')
    (tmp_path / 'folder.jpg').mkdir()
    for name, words in {'cut.jpg': 'damaged', 'cut.png': 'damaged', 'flipped.png': 'damaged',
                        'header.png': 'header.png', 'empty.jpg': 'empty file', 'text.jpg': 'not a picture',
                        'folder.jpg': 'is a folder', 'absent.jpg': 'no such file'}.items():
        with pytest.raises(ValueError, match=words) as caught:
            read_image(tmp_path / name)
        assert one_line(caught).startswith(str(tmp_path / name))


def test_the_limit_is_read_from_the_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'huge.pgm').write_bytes(b'P5 40000 40000 255\n')
    limit = Image.MAX_IMAGE_PIXELS
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        with pytest.raises(ValueError, match='1600.0 megapixels: expected at most 100') as caught:
            read_image(tmp_path / 'huge.pgm')
    one_line(caught)
    assert not seen and limit == Image.MAX_IMAGE_PIXELS
    # Between Pillow's own limit and ours a picture is read without a warning.
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 10)
    path = write(tmp_path, 1)[0]
    assert decode(path, 16, 16).shape == (16, 16, 3) and cached_images([path], 16).shape == (1, 16, 16, 3)
    monkeypatch.setattr(images, 'MAX_PIXELS', 319)
    with pytest.raises(ValueError, match='16 x 20 px'):
        read_image(path)


# ---- the cache

def test_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write(tmp_path / 'in', 70)
    calls: list[tuple[int, int]] = []
    stored = cached_images(paths, 8, root=tmp_path / 'c', progress=lambda done, total: calls.append((done, total)))
    assert isinstance(stored, np.memmap) and stored.shape == (70, 8, 8, 3) and stored.dtype == np.uint8 and not stored.flags.writeable
    assert calls[-1] == (70, 70) and len(calls) == 3
    assert all(np.array_equal(stored[i], decode(paths[i], 8, 8)) for i in (0, 31, 32, 69))
    monkeypatch.setattr(cache, 'decode', lambda *_: pytest.fail('decoded twice'))
    again = cached_images(paths, 8, root=tmp_path / 'c', progress=lambda *_: pytest.fail('progress on a hit'))
    assert np.array_equal(again, stored)
    described = json.loads(next((tmp_path / 'c').glob('*.json')).read_text())
    assert described['n'] == 70 and described['first'] == str(paths[0])
    assert sorted(p.suffix for p in (tmp_path / 'c').iterdir()) == ['.json', '.npy']


def test_another_key_for_other_files_or_another_transform(tmp_path: Path) -> None:
    paths = write(tmp_path / 'in', 2)
    root = tmp_path / 'c'
    cached_images(paths, 8, root=root)
    for n, call in enumerate((
        lambda: cached_images(paths, 9, root=root), lambda: cached_images(paths, (8, 9), root=root),
        lambda: cached_images(paths, 8, Frame(crop=12), root=root), lambda: cached_images(paths, 8, Frame(resample='bicubic'), root=root),
        lambda: cached_images(paths[::-1], 8, root=root), lambda: cached_images(paths[:1], 8, root=root),
    ), 2):
        call()
        assert len(list(root.glob('*.npy'))) == n
    before = np.array(cached_images(paths, 8, root=root))
    Image.fromarray(noise(20, 16, 99)).save(paths[0])
    os.utime(paths[0], ns=(1, 1))
    after = cached_images(paths, 8, root=root)
    assert not np.array_equal(before[0], after[0]) and np.array_equal(before[1], after[1])
    # The same files by another name are the same set.
    n = len(list(root.glob('*.npy')))
    (tmp_path / 'link').symlink_to(tmp_path / 'in')
    cached_images([tmp_path / 'link' / p.name for p in paths], 8, root=root)
    assert len(list(root.glob('*.npy'))) == n


def test_the_default_root_is_the_environments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('RETOUCH_CACHE', str(tmp_path / 'mine'))
    cached_images(write(tmp_path / 'in', 1), 8)
    assert len(list((tmp_path / 'mine').glob('*.npy'))) == 1


def test_a_killed_or_damaged_decode_is_never_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, root = write(tmp_path / 'in', 40), tmp_path / 'c'

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cached_images(paths, 8, root=root, progress=stop)
    assert not list(root.glob('*.npy')) and not list(root.glob('.*.tmp'))
    whole = np.array(cached_images(paths, 8, root=root))
    target = next(root.glob('*.npy'))
    leftover = target.with_name(f'.{target.name}.1.tmp')                               # as a killed process leaves it
    leftover.write_bytes(b'half')
    target.write_bytes(target.read_bytes()[:1000])
    assert np.array_equal(cached_images(paths, 8, root=root), whole) and not leftover.exists()


def test_unreadable_files_are_counted(tmp_path: Path) -> None:
    paths = write(tmp_path / 'in', 5)
    for i in (3, 1):
        paths[i].write_bytes(paths[i].read_bytes()[:100])
    with pytest.raises(ValueError, match=r'1.png: damaged.*one of 2 files of 5.*retouch data check') as caught:
        cached_images(paths, 8, root=tmp_path / 'c')
    one_line(caught)
    assert not list((tmp_path / 'c').glob('*.npy')) and not list((tmp_path / 'c').glob('.*.tmp'))


def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths, root = write(tmp_path / 'in', 3), tmp_path / 'c'

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(os, 'pwrite', full)
        with pytest.raises(OSError, match='no room.*RETOUCH_CACHE') as caught:
            cached_images(paths, 8, root=root)
        one_line(caught)
    assert not list(root.glob('*.npy')) and not list(root.glob('.*.tmp'))
    with monkeypatch.context() as patch:
        patch.setattr(cache.shutil, 'disk_usage', lambda _: type('Usage', (), {'free': 10})())
        patch.setattr(cache, 'decode', lambda *_: pytest.fail('decoded although there is no room'))
        with pytest.raises(OSError, match='no room'):
            cached_images(paths, 8, root=root)
    (tmp_path / 'file').write_text('')
    with pytest.raises(OSError, match='cannot write the cache') as caught:
        cached_images(paths, 8, root=tmp_path / 'file')
    one_line(caught)


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    paths = write(tmp_path, 2)
    for words, call in {
        'no pictures': lambda: cached_images([], 8),
        'expected positive numbers': lambda: cached_images(paths, 0),
        'square size': lambda: cached_images(paths, (8, 9), Frame(crop=8)),
        "unknown side 'top'": lambda: cached_images(paths, 8, side='top'),                      # type: ignore[arg-type]
        'expected at least the crop of 17': lambda: cached_images(paths, 8, Frame(crop=17)),
        'no such file': lambda: cached_images([tmp_path / 'gone.png'], 8),
    }.items():
        with pytest.raises(ValueError, match=words) as caught:
            call()
        one_line(caught)


def test_stretch_keeps_the_whole_picture(tmp_path: Path) -> None:
    wide = np.zeros((20, 40, 3), np.uint8)
    wide[:, :5] = 255                                            # a strip that the central square would lose
    Image.fromarray(wide).save(tmp_path / 'wide.png')
    assert cached_images([tmp_path / 'wide.png'], 16, root=tmp_path / 'c')[0].max() == 0
    assert cached_images([tmp_path / 'wide.png'], 16, Frame(stretch=True), root=tmp_path / 'c')[0][:, 0].min() == 255


def test_a_small_picture_in_a_tile_of_very_many_pixels_is_refused(tmp_path: Path) -> None:
    tags = {256: 16, 257: 16, 258: 8, 259: 8, 262: 1, 277: 1, 322: 16_000, 323: 16_000, 324: 134, 325: 0}
    entries = b''.join(struct.pack('<HHII', tag, 4, 1, value) for tag, value in tags.items())
    (tmp_path / 'tile.tif').write_bytes(struct.pack('<2sHIH', b'II', 42, 8, len(tags)) + entries + bytes(4))
    with pytest.raises(ValueError, match='tile.tif: tiles of more than 100 megapixels; save it anew'):
        read_image(tmp_path / 'tile.tif')
