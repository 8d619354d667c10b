"""Opening one picture safely (size limit, EXIF orientation, damage found at once), and bringing any mode to what a network sees."""
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
from PIL import Image, ImageCms, ImageOps, TiffImagePlugin, UnidentifiedImageError, features

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
                if tile_pixels(picture) > MAX_PIXELS:
                    raise ValueError(f'{path}: tiles of more than {MAX_PIXELS // 10**6} megapixels; save it anew')
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


def tile_pixels(picture: Image.Image) -> int:
    """Pixels of a tile of an open TIFF, which is decoded whole however small the picture is; 0 where there are no tiles."""
    tags = picture.tag_v2 if isinstance(picture, TiffImagePlugin.TiffImageFile) else {}
    return int(tags.get(TiffImagePlugin.TILEWIDTH, 0)) * int(tags.get(TiffImagePlugin.TILELENGTH, 0))


def shown_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """(width, height) in pixels from the header, as the picture is shown: EXIF orientation applied. Raises ValueError like `read_image`."""
    with opened(path) as picture:
        try:
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except Exception:                                # metadata too broken to be read count as none
            turned = False
        return picture.size[::-1] if turned else picture.size


def frames_of(picture: str | os.PathLike[str] | Image.Image) -> int:
    """How many frames or pages a picture has, of which the first alone is read: GIF, animated WebP and PNG, TIFF of several pages.

    What a camera stores beside its photograph (MPO) and the layers of a PSD are no frames; of an open picture that was turned to a later
    frame, that one is meant. Raises ValueError like `read_image`.
    """
    if not isinstance(picture, Image.Image):
        with opened(picture) as file:
            return frames_of(file)
    if picture.format in (None, 'MPO', 'PSD') or picture.tell():
        return 1
    try:
        return int(getattr(picture, 'n_frames', 1))
    except ValueError:                                           # one that was decoded and closed no longer tells
        return 1


def read_image(path: str | os.PathLike[str]) -> Image.Image:
    """The whole picture with its EXIF orientation applied; mode (alpha too) and `info['icc_profile']` as in the file.

    Raises ValueError of one line for a file that is missing, damaged or no picture, or has more than 100 megapixels (before decoding).
    """
    with opened(path) as picture:
        return upright(picture)


def upright(picture: Image.Image) -> Image.Image:
    """A decoded copy with the EXIF orientation applied; metadata too broken to be read count as none.

    Where Pillow keeps the high byte alone of colours of 16 bits, `info['high_bytes']` says so.
    """
    high_bytes = picture.mode[0] not in 'IF' and any(';16' in str(tile[3]) for tile in getattr(picture, 'tile', ()))
    picture.load()
    try:
        copy = ImageOps.exif_transpose(picture)
    except Exception:
        copy = picture.copy()
    if high_bytes:
        copy.info['high_bytes'] = True
    return copy


# ---- from any mode to what a network sees

GROUNDS: dict[str, int] = {'white': 255, 'black': 0}
WITH_ALPHA = ('RGBA', 'LA', 'PA', 'La', 'RGBa')


class Pixels(NamedTuple):
    """A picture of any mode, brought to 8 bits a channel."""

    rgb: np.ndarray                         # uint8 [H,W,3] in its own colours where they are of RGB, in sRGB otherwise
    alpha: np.ndarray | None                # uint8 [H,W]
    icc: bytes | None                       # the profile of `rgb`; None: sRGB
    notes: tuple[str, ...]                  # one sentence each: what was decided on the way

    @property
    def srgb(self) -> np.ndarray:
        """uint8 [H,W,3] in sRGB; `rgb` itself where it is that."""
        return to_srgb(self.rgb, self.icc)


def to_pixels(picture: Image.Image) -> Pixels:
    """Any mode -> 8 bits a channel, alpha and colours apart; the one way for training, scoring and editing.

    Raises:
        ValueError: values whose range cannot be told (see `to_eight_bits`).
    """
    notes, mode, icc, alpha = [], picture.mode, picture.info.get('icc_profile'), None
    if has_alpha := mode in WITH_ALPHA or 'transparency' in picture.info:
        alpha = alpha_of(picture)
    if mode[0] in 'IF':
        values, note = to_eight_bits(np.asarray(picture), mode)
        picture = Image.fromarray(values)
        notes.append(note)
    brought = f'the {mode} picture was brought to {"RGBA" if has_alpha else "RGB"}'
    way = None
    if mode == 'LAB':
        way = find_way(None, 'LAB')
    elif icc and space_of(icc) == 'CMYK' and mode == 'CMYK':
        way = find_way(icc, 'CMYK')
    elif icc and space_of(icc) == 'GRAY' and picture.mode in ('L', 'LA', '1'):
        way = find_way(icc, 'L')
    if way is not None:                                          # Pillow's own conversion knows no profile
        rgb = np.asarray(ImageCms.applyTransform(picture if mode in ('CMYK', 'LAB') else picture.convert('L'), way))
        return Pixels(rgb, alpha, None, (*notes, f'{brought} in sRGB, through its colour profile'))
    if mode not in ('RGB', 'RGBA', 'RGBX'):
        notes.append(brought)
    if icc and space_of(icc) != 'RGB':
        if mode in PROFILED:
            notes.append('the ICC profile cannot be read, or is none of RGB: the colours were taken as sRGB')
        else:
            icc = None
            notes.append(f'the ICC profile of the {mode} picture was left out: it cannot be read, or does not fit the picture')
    rgb = _colours(picture, has_alpha)
    if picture.info.get('high_bytes'):
        if rgb.max() < 16:
            raise ValueError(f'colours of 16 bits with values up to {256 * int(rgb.max()) + 255} of 65535: expected all of the range, of '
                             'which 8 bits are kept; were 12 bits stored in 16? save it with 8 bits a channel')
        notes.append(SIXTEEN)
    return Pixels(rgb, alpha, icc, tuple(notes))


def to_seen(picture: Image.Image, ground: str = 'white') -> np.ndarray:
    """Any mode -> uint8 [H,W,3] as a network sees it: in sRGB, transparent pixels over a ground. Raises ValueError as `to_pixels`."""
    pixels = to_pixels(picture)
    return laid_over(pixels.srgb, pixels.alpha, ground)


def to_rgb(picture: Image.Image) -> Image.Image:
    """The same over white, as a picture."""
    return Image.fromarray(to_seen(picture))


def laid_over(pixels: np.ndarray, alpha: np.ndarray | None, ground: str = 'white') -> np.ndarray:
    """uint8 [H,W,3] laid over white or black by their alpha uint8 [H,W], as Pillow does it; the array itself without alpha."""
    if alpha is None:
        return pixels
    rgba = Image.fromarray(np.dstack([pixels, alpha]))
    return np.asarray(Image.alpha_composite(Image.new('RGBA', rgba.size, (GROUNDS[ground],) * 3 + (255,)), rgba).convert('RGB'))


def alpha_of(picture: Image.Image) -> np.ndarray:
    """The transparency of a picture that has some, uint8 [H,W]: 0 is transparent."""
    if picture.mode[0] in 'IF':                                  # one grey value of 16 bits
        return np.where(np.asarray(picture) == picture.info['transparency'], 0, 255).astype(np.uint8)
    if picture.mode in ('LA', 'La'):
        return np.asarray(picture)[..., 1].copy()
    return np.asarray(picture.convert('RGBA'))[..., 3].copy()


def _colours(picture: Image.Image, has_alpha: bool) -> np.ndarray:
    """uint8 [H,W,3] of any mode of 8 bits."""
    if picture.mode == 'La':                                     # premultiplied grey has no direct way to RGBA
        picture = picture.convert('LA')
    if has_alpha and picture.mode != 'RGB':                      # by way of RGBA, which divides premultiplied colours by their alpha
        return np.ascontiguousarray(np.asarray(picture.convert('RGBA'))[..., :3])
    return np.asarray(picture if picture.mode == 'RGB' else picture.convert('RGB'))


SIXTEEN = 'the 16-bit picture was brought to 8 bits'
FEWER_BITS = {255: 8, 4095: 12}


def to_eight_bits(values: np.ndarray, mode: str) -> tuple[np.ndarray, str]:
    """Grey values of a picture in one of Pillow's deep modes -> uint8 [H,W], and a note on the range that they were taken for.

    Integers up to 65535 are of 16 bits, unless the largest is at most 4095 (12 bits in a file of 16) or 255 (8 bits): such a picture would
    be black. What a float calls white no file says.

    Raises:
        ValueError: floats, negative values and values above 65535.
    """
    lowest, highest = values.min(), values.max()
    if mode == 'F' or lowest < 0 or highest > 65535:
        raise ValueError(f'picture mode {mode} with values {lowest:.4g} to {highest:.4g}: expected 8 or 16 bits a channel; save it as such')
    for top, bits in FEWER_BITS.items():
        if highest <= top:
            eight = np.round(values.astype(np.float32) * (255 / top)).astype(np.uint8)
            return eight, f'no value of the 16-bit picture is above {top}: it was taken for {bits} bits and brought to 8'
    return np.round(values.astype(np.float32) / 257).astype(np.uint8), SIXTEEN


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


@functools.lru_cache(maxsize=32)
def space_of(icc: bytes) -> str | None:
    """The colours that an ICC profile is of: RGB, GRAY, CMYK, Lab, …; None for one that cannot be read."""
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile.xcolor_space.strip()
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return None


@functools.lru_cache(maxsize=32)
def find_way(icc: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The way from grey (L), CMYK or LAB to sRGB, relative colorimetric; None for a profile that gives none."""
    try:
        own = ImageCms.createProfile('LAB') if icc is None else ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.buildTransform(own, ImageCms.createProfile('sRGB'), mode, 'RGB', ImageCms.Intent.RELATIVE_COLORIMETRIC,
                                       ImageCms.Flags.NOCACHE)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError, ImportError):
        return None


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
