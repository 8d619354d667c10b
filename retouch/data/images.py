"""Opening one picture safely: size limit, EXIF orientation, damage found at once, errors of one line."""
from __future__ import annotations

import io
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from retouch.errors import one_line

MAX_PIXELS = 100_000_000
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp')
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
        raise ValueError(f'{path}: no such file; expected a picture ({", ".join(s[1:] for s in IMAGE_SUFFIXES)})') from None
    except IsADirectoryError:
        raise ValueError(f'{path}: is a folder; expected a picture') from None
    except PermissionError:
        raise ValueError(f'{path}: cannot be read; expected a file this user may read') from None
    except UnidentifiedImageError:
        what = 'empty file' if path.stat().st_size == 0 else 'not a picture Pillow knows'
        raise ValueError(f'{path}: {what}; expected {", ".join(s[1:] for s in IMAGE_SUFFIXES)}; replace or remove it') from None
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
    """Any mode -> RGB: transparent pixels over white, 16-bit grey to 8 bits."""
    if picture.mode == 'RGB' and 'transparency' not in picture.info:
        return picture
    if picture.mode.startswith('I'):
        grey = np.asarray(picture).astype(np.float64) / 257
        return Image.fromarray(grey.round().clip(0, 255).astype(np.uint8)).convert('RGB')
    if picture.mode in ('RGBA', 'LA', 'PA', 'La', 'RGBa') or 'transparency' in picture.info:
        if picture.mode == 'La':                         # premultiplied grey has no direct way to RGBA
            picture = picture.convert('LA')
        rgba = picture.convert('RGBA')
        return Image.alpha_composite(Image.new('RGBA', rgba.size, (255, 255, 255, 255)), rgba).convert('RGB')
    return picture.convert('RGB')
