"""Colour profiles: a network sees sRGB, and a picture that comes back keeps its profile and, outside the mask, its bytes."""
from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from retouch.data.cache import decode
from retouch.data.images import find_profile, from_srgb, read_image, to_eight_bits, to_rgb, to_srgb
from retouch.editor.canvas import Canvas
from retouch.engine.update import Translation

# XYZ of red, green and blue at D50, as the profiles of these names have them
SRGB = np.array(((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410)))
P3 = np.array(((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)))
ADOBE = np.array(((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)))
D50 = np.array((0.9642, 1, 0.8249))


def packed(space: bytes, between: bytes, kind: bytes, tags: dict[bytes, bytes]) -> bytes:
    """An ICC profile (version 2) of tags."""
    table, body, at = struct.pack('>I', len(tags)), b'', 128 + 4 + 12 * len(tags)
    for key, data in tags.items():
        data += bytes(-len(data) % 4)
        table += key + struct.pack('>II', at + len(body), len(data))
        body += data
    header = struct.pack('>I4sI4s4s4s', at + len(body), b'lcms', 0x02100000, kind, space, between) + bytes(12) + b'acsp' + bytes(28)
    header += struct.pack('>3i', *(round(v * 65536) for v in D50))
    return header + bytes(128 - len(header)) + table + body


def profile_of(primaries: np.ndarray, gamma: float) -> bytes:
    """An ICC profile (version 2) of three primaries and one gamma."""
    def xyz(values: np.ndarray) -> bytes:
        return b'XYZ \0\0\0\0' + b''.join(struct.pack('>i', round(float(v) * 65536)) for v in values)

    name = b'test\0'
    described = b'desc\0\0\0\0' + struct.pack('>I', len(name)) + name + bytes(78)
    tags = {b'desc': described, b'cprt': b'text\0\0\0\0none\0', b'wtpt': xyz(np.array((0.9505, 1.0, 1.0891))),          # D65
            **{key: xyz(row) for key, row in zip((b'rXYZ', b'gXYZ', b'bXYZ'), primaries, strict=True)},
            **dict.fromkeys((b'rTRC', b'gTRC', b'bTRC'), b'curv\0\0\0\0' + struct.pack('>IH', 1, round(gamma * 256)))}
    return packed(b'RGB ', b'XYZ ', b'mntr', tags)


def srgb_by_hand(pixels: np.ndarray, primaries: np.ndarray, gamma: float) -> np.ndarray:
    """uint8 [N,3] of a profile -> levels 0..255 in sRGB, clipped."""
    linear = (pixels / 255) ** (round(gamma * 256) / 256) @ primaries @ np.linalg.inv(SRGB)
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


COLOURS = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
PROFILES = {'Display P3': (P3, 2.2), 'Adobe RGB': (ADOBE, 2.19921875)}


@pytest.mark.parametrize('name', PROFILES)
def test_a_network_sees_srgb(name: str, tmp_path: Path) -> None:
    icc = profile_of(*PROFILES[name])
    expected = srgb_by_hand(COLOURS.reshape(-1, 3), *PROFILES[name]).reshape(16, 16, 3)
    assert np.abs(expected - COLOURS).max() > 20                                       # a profile that matters
    assert np.abs(to_srgb(COLOURS, icc) - expected).max() < 1.6                        # littleCMS rounds its tables
    for suffix, options in (('png', {}), ('webp', {'lossless': True}), ('tif', {})):
        Image.fromarray(COLOURS).save(path := tmp_path / f'a.{suffix}', icc_profile=icc, **options)
        assert np.array_equal(np.asarray(to_rgb(read_image(path))), to_srgb(COLOURS, icc)), suffix      # training
        assert np.array_equal(decode(path, 16, 16), to_srgb(COLOURS, icc)), suffix
        canvas = Canvas.open(path, None, None)                                                          # editing
        assert np.array_equal(canvas.seen, to_srgb(COLOURS, icc)) and np.array_equal(canvas.rgb, COLOURS), suffix
        assert np.array_equal(((canvas.model_input(16)[0].transpose(1, 2, 0) + 1) * 127.5).round(), canvas.seen), suffix


def test_a_palette_has_a_profile_too(tmp_path: Path) -> None:
    icc, few = profile_of(*PROFILES['Display P3']), Image.fromarray(COLOURS).quantize(16)
    few.save(path := tmp_path / 'a.png', icc_profile=icc)
    expected = to_srgb(np.asarray(few.convert('RGB')), icc)
    assert np.array_equal(decode(path, 16, 16), expected) and np.array_equal(Canvas.open(path, None, None).seen, expected)
    assert np.abs(expected.astype(int) - np.asarray(few.convert('RGB'))).max() > 10


def test_white_stays_white() -> None:
    """Relative colorimetric: another white point of the display is no tint."""
    for primaries, gamma in PROFILES.values():
        assert to_srgb(np.full((1, 1, 3), 255, np.uint8), profile_of(primaries, gamma)).min() >= 254


def test_transparency_is_laid_over_white_in_srgb(tmp_path: Path) -> None:
    icc, alpha = profile_of(*PROFILES['Display P3']), np.full((16, 16, 1), 128, np.uint8)
    Image.fromarray(np.concatenate([COLOURS, alpha], 2)).save(path := tmp_path / 'a.png', icc_profile=icc)
    expected = to_srgb(COLOURS, icc) * (128 / 255) + 255 * (127 / 255)
    assert np.abs(decode(path, 16, 16) - expected).max() <= 1


@pytest.mark.parametrize('name', PROFILES)
def test_what_comes_back_keeps_profile_and_bytes(name: str, tmp_path: Path) -> None:
    """The left half is brightened by a fifth of the range in sRGB; the right half keeps every byte, also colours that sRGB lacks."""
    icc = profile_of(*PROFILES[name])
    pixels = np.full((16, 16, 3), 100, np.uint8)
    pixels[:, 8:] = (0, 255, 0)                                                        # outside sRGB
    pixels[:, :8] = (90, 120, 140)
    Image.fromarray(pixels).save(path := tmp_path / 'a.png', icc_profile=icc)
    canvas = Canvas.open(path, None, (0, 0, 8, 16))
    x = canvas.model_input(16)
    edited, mask = canvas.compose(x, Translation(x + 0.4), 1.0, 0.02)
    image = canvas.image_of(edited)
    assert image.info['icc_profile'] == icc and 'sRGB' in ' '.join(canvas.notes)
    assert np.array_equal(edited[:, 8:], pixels[:, 8:]) and not mask[:, 8:].any() and (mask[:, :8] == 255).all()
    change = to_srgb(edited, icc)[:, :8].astype(int) - canvas.seen[:, :8]
    assert np.abs(change - 51).max() <= 2                                              # what the model asked for, in the colours it saw
    untouched, _ = canvas.compose(x, Translation(x), 1.0, 0.02)
    assert np.array_equal(untouched, pixels)


@pytest.mark.parametrize('another', [False, True])
def test_a_new_colour_is_the_one_that_was_asked_for(another: bool) -> None:
    """Green beyond sRGB becomes grey: nothing of what sRGB lacked of it is left."""
    icc, picture = profile_of(*PROFILES['Display P3']), Image.fromarray(np.full((16, 16, 3), (0, 255, 0), np.uint8))
    picture.info['icc_profile'] = icc
    canvas = Canvas.open(picture, None, None)
    x = canvas.model_input(16)
    edited, _ = canvas.compose(x, Translation(np.zeros_like(x)), 1.0, 0.02, another=another)
    assert np.abs(to_srgb(edited, icc).astype(int) - 128).max() <= 2


def test_a_profile_that_cannot_be_read_is_said() -> None:
    picture = Image.fromarray(COLOURS)
    for icc, words in ((b'not a profile', 'cannot be read'), (profile_of(*PROFILES['Adobe RGB']), 'seen in sRGB'), (None, '')):
        picture.info['icc_profile'] = icc
        notes = ' '.join(Canvas.open(picture, None, None).notes)
        assert words in notes and (words or not notes)


def test_the_gamma_alone_makes_a_profile() -> None:
    """sRGB's primaries with another curve: dark colours move by a few levels, and count."""
    assert 2 < np.abs(to_srgb(COLOURS, profile_of(SRGB, 2.2)).astype(int) - COLOURS).max() < 12


@pytest.mark.parametrize('icc', [None, b'', b'not a profile', ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB')).tobytes(),
                                 profile_of(SRGB, 2.2)[:200]])
def test_nothing_is_done_for_srgb_and_for_what_cannot_be_read(icc: bytes | None) -> None:
    assert find_profile(icc) is None and to_srgb(COLOURS, icc) is COLOURS and from_srgb(COLOURS, icc) is COLOURS


def test_both_ways_cancel() -> None:
    icc = profile_of(*PROFILES['Adobe RGB'])
    inside = (COLOURS // 4 + 96).astype(np.uint8)                                      # colours that both have
    assert np.abs(to_srgb(from_srgb(inside, icc), icc).astype(int) - inside).max() <= 2


def test_sixteen_bits_become_eight_in_one_place(tmp_path: Path) -> None:
    values = np.array([[0, 128, 129, 257, 65535]], np.uint16)
    Image.fromarray(values).save(path := tmp_path / 'deep.png')
    expected = [0, 0, 1, 1, 255]                                                       # round(v / 257)
    assert to_eight_bits(values.astype(np.int32), 'I')[0].tolist() == [expected]
    assert np.asarray(to_rgb(read_image(path)))[0, :, 0].tolist() == expected
    canvas = Canvas.open(path, None, None)
    assert canvas.rgb[0, :, 0].tolist() == expected and '16-bit' in canvas.notes[0]
    buffer = io.BytesIO()
    Image.fromarray(np.array([[0.0, 0.5]], np.float32)).save(buffer, 'TIFF')
    (tmp_path / 'float.tif').write_bytes(buffer.getvalue())
    for read in (lambda: Canvas.open(tmp_path / 'float.tif', None, None), lambda: decode(tmp_path / 'float.tif', 1, 1)):
        with pytest.raises(ValueError, match='mode F with values 0 to 0.5: expected 8 or 16 bits'):
            read()


# ---- profiles of grey and CMYK, which no RGB can keep

INKS = np.array([[(i >> s) & 1 for s in (3, 2, 1, 0)] for i in range(16)])             # [16,4]: every full ink or none, cyan the slowest


def inks_to_lab(inks: np.ndarray) -> np.ndarray:
    """[N,4] -> [N,3]: inks as no conversion without their profile would have them."""
    c, m, y, k = inks.T
    light = 100 * (1 - 0.5 * c) * (1 - 0.5 * m) * (1 - 0.1 * y) * (1 - 0.9 * k)
    return np.stack([light, (60 * m - 30 * c) * (1 - k), (80 * y - 40 * c) * (1 - k)], 1)


def profile_of_table(space: str, lab: np.ndarray) -> bytes:
    """An ICC profile (version 2) of a printer: Lab [2**n,3] at the corners of its n inks."""
    table8 = np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], 1).round().astype(np.uint8)
    inks, ramp = len(lab).bit_length() - 1, bytes(range(256))
    identity = struct.pack('>9i', 65536, 0, 0, 0, 65536, 0, 0, 0, 65536)
    table = b'mft1\0\0\0\0' + bytes([inks, 3, 2, 0]) + identity + ramp * inks + table8.tobytes() + ramp * 3
    white = b'XYZ \0\0\0\0' + struct.pack('>3i', *(round(v * 65536) for v in D50))
    tags = {b'desc': b'desc\0\0\0\0' + struct.pack('>I', 5) + b'test\0' + bytes(78), b'cprt': b'text\0\0\0\0none\0', b'wtpt': white,
            b'A2B0': table}
    return packed(space.encode().ljust(4), b'Lab ', b'prtr', tags)


def lab_by_hand(lab: np.ndarray) -> np.ndarray:
    """Lab [N,3] -> levels 0..255 in sRGB, clipped."""
    y = (lab[:, :1] + 16) / 116
    f = np.concatenate([y + lab[:, 1:2] / 500, y, y - lab[:, 2:] / 200], 1)
    xyz = np.where(f > 6 / 29, f ** 3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * D50
    linear = (xyz @ np.linalg.inv(SRGB)).clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def test_cmyk_goes_through_its_profile_in_training_and_editing(tmp_path: Path) -> None:
    icc, picture = profile_of_table('CMYK', inks_to_lab(INKS)), Image.fromarray((INKS[None] * 255).astype(np.uint8), 'CMYK')
    expected = lab_by_hand(inks_to_lab(INKS))
    picture.save(path := tmp_path / 'a.tif', icc_profile=icc)
    found = decode(path, 1, 16)[0].astype(int)
    assert np.abs(found - expected).max() < 3
    assert np.abs(np.asarray(picture.convert('RGB'))[0] - expected).mean() > 30        # what no profile would have made of it
    canvas = Canvas.open(path, None, None)
    assert np.array_equal(canvas.rgb[0], found) and canvas.rgb is canvas.seen and canvas.icc is None
    assert canvas.notes[0] == 'the CMYK picture was brought to RGB in sRGB, through its colour profile'
    edited, mask = canvas.compose(x := canvas.model_input(16), Translation(x, np.zeros_like(x[:, :1])), 1.0, 0.02)
    assert np.abs(edited[0] - expected).max() < 3 and not mask.any() and 'icc_profile' not in canvas.image_of(edited).info


@pytest.mark.parametrize('mode', ['L', 'LA', 'I;16'])
def test_grey_goes_through_its_profile(mode: str, tmp_path: Path) -> None:
    """A grey of gamma 1.0, as scanners write it: half the light is 188 of 255 in sRGB."""
    curve = b'curv\0\0\0\0' + struct.pack('>IH', 1, 256)
    white = b'XYZ \0\0\0\0' + struct.pack('>3i', *(round(v * 65536) for v in D50))
    icc = packed(b'GRAY', b'XYZ ', b'mntr', {b'desc': b'desc\0\0\0\0' + struct.pack('>I', 5) + b'test\0' + bytes(78),
                                            b'cprt': b'text\0\0\0\0none\0', b'wtpt': white, b'kTRC': curve})
    levels = np.array([[0, 10, 64, 128, 255]], np.uint8)
    alpha = np.array([[255, 255, 255, 255, 0]], np.uint8)
    picture = {'L': Image.fromarray(levels), 'LA': Image.fromarray(np.dstack([levels, alpha]), 'LA'),
               'I;16': Image.fromarray(levels.astype(np.uint16) * 257)}[mode]
    picture.save(path := tmp_path / 'a.png', icc_profile=icc)
    linear = levels[0] / 255
    expected = 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    found = decode(path, 1, 5)[0]
    assert np.abs(found - expected[:, None]).max() < 1.6 and 187 <= found[3, 0] <= 189
    canvas = Canvas.open(path, None, None)
    assert np.array_equal(canvas.shown[0], found) and canvas.icc is None and 'through its colour profile' in ' '.join(canvas.notes)
    assert (canvas.alpha is None) == (mode != 'LA') and (mode != 'LA' or np.array_equal(canvas.alpha, alpha))


def test_grey_with_a_profile_of_rgb_keeps_it(tmp_path: Path) -> None:
    icc = profile_of(*PROFILES['Adobe RGB'])
    Image.fromarray(levels := np.arange(256, dtype=np.uint8)[None]).save(path := tmp_path / 'a.png', icc_profile=icc)
    expected = to_srgb(np.repeat(levels[..., None], 3, 2), icc)
    canvas = Canvas.open(path, None, None)
    assert canvas.icc == icc and np.array_equal(canvas.seen, expected) and np.array_equal(decode(path, 1, 256), expected)


def test_lab_is_a_space_of_its_own(tmp_path: Path) -> None:
    lab = np.array([[100, 0, 0], [50, 0, 0], [40, 30, -20], [70, -30, 40]])
    stored = np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], 1).round().astype(np.uint8)[None]
    Image.merge('LAB', [Image.fromarray(np.ascontiguousarray(stored[..., c])) for c in range(3)]).save(path := tmp_path / 'a.tif')
    expected = lab_by_hand(lab.astype(float))
    assert np.abs(decode(path, 1, 4)[0] - expected).max() < 3 and np.abs(Canvas.open(path, None, None).rgb[0] - expected).max() < 3
