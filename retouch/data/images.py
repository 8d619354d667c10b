"""Opening one picture safely (size limit, EXIF orientation, damage found at once), and bringing any mode to the RGB that a network sees."""
from __future__ import annotations

import functools
import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError, features

from retouch.errors import one_line

MAX_PIXELS = 100_000_000

# What Pillow opens and sets are not made of: formats that want a handler or another program, hold no pixels, are icons, or measurements.
_NO_PICTURES = frozenset(('BUFR', 'GRIB', 'HDF5', 'WMF', 'EPS', 'MPEG', 'IPTC', 'ICO', 'CUR', 'ICNS', 'FITS'))
_CODECS = {'JPEG': 'jpg', 'MPO': 'jpg', 'PNG': 'zlib', 'WEBP': 'webp', 'AVIF': 'avif', 'JPEG2000': 'jpg_2000'}


def _suffixes() -> tuple[str, ...]:
    """Lower-case suffixes of the pictures that this Pillow decodes, with the plugins that are registered now."""
    Image.init()
    built = features.get_supported()
    formats = {name for name in (*Image.OPEN, 'MPO') if name not in _NO_PICTURES and (name not in _CODECS or _CODECS[name] in built)}
    return tuple(sorted(suffix for suffix, name in Image.registered_extensions().items() if name in formats))


IMAGE_SUFFIXES = _suffixes()
KINDS = ', '.join(s[1:] for s in ('.jpg', '.png', '.webp', '.tif', '.gif', '.bmp', '.avif', '.jp2') if s in IMAGE_SUFFIXES) + ', …'
_OPENING = threading.Lock()


@contextmanager
def opened(path: str | os.PathLike[str]) -> Iterator[Image.Image]:
    """The picture with its header read and nothing decoded.

    Raises ValueError of one line for a file that is missing, is no picture, is damaged (also where the body of the `with` decodes it),
    or has more than 100 megapixels.
    """
    path = Path(path)
    try:
        with io.BufferedReader(io.FileIO(path), 1 << 16) as file:
            file.peek(1)                                 # the slow read of a network disk happens outside the lock
            # Pillow's own limit is a module global with a warning below ours; ours holds from here on.
            with _OPENING:
                limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
                try:
                    picture = Image.open(file)
                finally:
                    Image.MAX_IMAGE_PIXELS = limit
            with picture:
                if picture.width * picture.height > MAX_PIXELS:
                    megapixels = picture.width * picture.height / 1e6
                    raise ValueError(f'{path}: {picture.width} x {picture.height} px = {megapixels:.1f} megapixels: expected '
                                     f'at most {MAX_PIXELS // 10**6}; make it smaller first')
                yield picture
    except FileNotFoundError:
        raise ValueError(f'{path}: no such file; expected a picture ({KINDS})') from None
    except IsADirectoryError:
        raise ValueError(f'{path}: is a folder; expected a picture') from None
    except PermissionError:
        raise ValueError(f'{path}: cannot be read; expected a file this user may read') from None
    except UnidentifiedImageError:
        what = 'empty file' if path.stat().st_size == 0 else 'not a picture Pillow knows'
        raise ValueError(f'{path}: {what}; expected {KINDS}; replace or remove it') from None
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f'{path}: damaged picture ({one_line(error)}); replace or remove it') from None
    except (OSError, SyntaxError, EOFError, IndexError, KeyError, TypeError, ArithmeticError, Image.DecompressionBombError) as error:
        # The many ways in which Pillow's readers fail on damaged files.
        raise ValueError(f'{path}: damaged picture ({one_line(error)}); replace or remove it') from None
    except Exception as error:
        if type(error).__module__ not in ('struct', 'zlib'):
            raise
        raise ValueError(f'{path}: damaged picture ({one_line(error)}); replace or remove it') from None


def shown_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) in pixels from the header, as the picture is shown: EXIF orientation applied. Raises ValueError like `read_image`."""
    with opened(path) as picture:
        try:
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except Exception:                                # metadata too broken to be read count as none
            turned = False
        return picture.size[::-1] if turned else picture.size


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """The whole picture with its EXIF orientation applied; mode (alpha too) and `info['icc_profile']` as in the file.

    Raises ValueError of one line for a file that is missing, damaged or no picture, or has more than 100 megapixels (before decoding).
    """
    with opened(path) as picture:
        picture.load()
        return upright(picture)


def upright(picture: Image.Image) -> Image.Image:
    """A copy with the EXIF orientation applied; metadata too broken to be read count as none."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        return picture.copy()


def to_rgb(picture: Image.Image) -> Image.Image:
    """Any mode -> RGB as a network sees it: 16-bit grey at 8 bits, colours in sRGB, transparent pixels over white.

    Raises:
        ValueError: grey values that are no 16 bits.
    """
    if picture.mode.startswith('I') or picture.mode == 'F':
        return Image.fromarray(sixteen_to_eight(np.asarray(picture), picture.mode)).convert('RGB')
    profile = picture.info.get('icc_profile') if picture.mode in PROFILED else None
    if picture.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in picture.info:
        if picture.mode == 'La':                         # premultiplied grey has no direct way to RGBA
            picture = picture.convert('LA')
        rgba = picture.convert('RGBA')
        pixels = np.asarray(rgba)
        return Image.fromarray(over_white(to_srgb(np.ascontiguousarray(pixels[..., :3]), profile), pixels[..., 3]))
    rgb = picture if picture.mode == 'RGB' else picture.convert('RGB')
    return rgb if find_profile(profile) is None else Image.fromarray(to_srgb(np.asarray(rgb), profile))


def over_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """uint8 [H,W,3] laid over white by their alpha uint8 [H,W], as Pillow does it."""
    rgba = Image.fromarray(np.dstack([pixels, alpha]))
    return np.asarray(Image.alpha_composite(Image.new('RGBA', rgba.size, (255, 255, 255, 255)), rgba).convert('RGB'))


def sixteen_to_eight(values: np.ndarray, mode: str) -> np.ndarray:
    """Grey values 0..65535 [H,W] of a picture in one of Pillow's deep modes -> uint8. ValueError for values beyond, and for floats."""
    if mode == 'F' or values.min() < 0 or values.max() > 65535:
        found = f'{values.min():.4g} to {values.max():.4g}'
        raise ValueError(f'picture mode {mode} with values {found}: expected 8 or 16 bits a channel; save it as such')
    return np.round(values.astype(np.float32) / 257).astype(np.uint8)


# ---- colour profiles

PROFILED = ('RGB', 'RGBA', 'RGBX', 'RGBa', 'P', 'PA')      # modes whose profile is one of RGB


class Profile(NamedTuple):
    """The ways from a picture's own colours to sRGB and back: relative colorimetric, 8 bits."""

    there: ImageCms.ImageCmsTransform
    back: ImageCms.ImageCmsTransform


@functools.lru_cache(maxsize=32)
def find_profile(icc: bytes | None) -> Profile | None:
    """What an ICC profile of RGB does; None for none, for sRGB under any name (no colour moves by more than a level), and for one that
    cannot be read."""
    if not icc:
        return None
    try:
        own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.ImageCmsProfile(ImageCms.createProfile('sRGB'))
        intent, flags = ImageCms.Intent.RELATIVE_COLORIMETRIC, ImageCms.Flags.NOCACHE          # threads share them
        found = Profile(ImageCms.buildTransform(own, srgb, 'RGB', 'RGB', intent, flags),
                        ImageCms.buildTransform(srgb, own, 'RGB', 'RGB', intent, flags))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):                # ImportError: a Pillow built without lcms
        return None
    steps = np.arange(0, 256, 17, dtype=np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    moved = np.abs(_transformed(colours, found.there).astype(int) - colours).max()
    return found if moved > 1 else None


def is_unreadable(icc: bytes) -> bool:
    """Whether an ICC profile is damaged or none of RGB, so that its colours can only be taken as sRGB."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space.strip() != 'RGB'
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return True


def to_srgb(pixels: np.ndarray, icc: bytes | None) -> np.ndarray:
    """uint8 [H,W,3] in the colours of an ICC profile -> the same in sRGB; the array itself where nothing is to be done."""
    profile = find_profile(icc)
    return pixels if profile is None else _transformed(pixels, profile.there)


def from_srgb(pixels: np.ndarray, icc: bytes | None) -> np.ndarray:
    """uint8 [H,W,3] in sRGB -> the same in the colours of an ICC profile; the array itself where nothing is to be done."""
    profile = find_profile(icc)
    return pixels if profile is None else _transformed(pixels, profile.back)


def _transformed(pixels: np.ndarray, transform: ImageCms.ImageCmsTransform) -> np.ndarray:
    return np.asarray(ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels)), transform))
