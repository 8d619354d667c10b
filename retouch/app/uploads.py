"""From the bytes of a request to pixels: what is not wanted is refused by the header, before anything is decoded."""
from __future__ import annotations

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from retouch.app.limits import FORMATS, Limits
from retouch.data.images import tile_pixels, to_pixels, upright
from retouch.editor.pictures import painted_to_mask
from retouch.errors import one_line

EXPECTED = 'expected PNG, JPEG, WebP, AVIF or TIFF'


class Source(NamedTuple):
    """A picture as every edit of it begins: upright, 8 bits, RGB or RGBA, its colour profile and XMP in `info`."""

    image: Image.Image
    notes: tuple[str, ...]

    @property
    def bytes(self) -> int:
        return self.image.width * self.image.height * len(self.image.getbands())


class Mask(NamedTuple):
    """A painted mask, uint8 [H,W], of one picture."""

    values: np.ndarray
    image: str

    def as_shares(self) -> np.ndarray:
        """float32 [H,W] in [0,1]: the form of which the editor need not guess the range, four times as large."""
        return self.values.astype(np.float32) / 255


def bytes_to_source(body: bytes, limits: Limits) -> Source:
    """The bytes of a picture's file -> the picture. ValueError of one line for what is none, is damaged, or passes a limit."""
    picture, frames = _decoded(body, limits)
    pixels = to_pixels(picture)
    notes = [*pixels.notes]
    if frames > 1:
        notes.insert(0, f'the picture has {frames} frames or pages: the first alone is edited')
    image = Image.fromarray(pixels.rgb if pixels.alpha is None else np.dstack([pixels.rgb, pixels.alpha]))
    image.info = {key: value for key, value in (('icc_profile', pixels.icc), ('xmp', picture.info.get('xmp'))) if value}
    return Source(image, tuple(notes))


def bytes_to_mask(body: bytes, size: tuple[int, int], limits: Limits) -> tuple[np.ndarray, list[str]]:
    """The bytes of a painted mask -> uint8 [H,W] of a picture's size (width, height), 255 = may change, and notes. ValueError likewise."""
    picture, _ = _decoded(body, limits)
    notes = list[str]()
    values = painted_to_mask(picture, *size, notes)
    return (values * 255).round().astype(np.uint8), notes


def _decoded(body: bytes, limits: Limits) -> tuple[Image.Image, int]:
    """The first frame, upright, and how many there are."""
    if not body:
        raise ValueError(f'the body is empty: {EXPECTED}')
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')                      # broken metadata; a bomb is refused below, by its size
            with Image.open(io.BytesIO(body), formats=FORMATS) as picture:
                width, height = picture.size
                if width * height > limits.pixels:
                    raise Refused(f'{width} x {height} px: expected at most {limits.pixels // 10**6} megapixels; make it smaller first')
                if max(width, height) > limits.side_px:
                    raise Refused(f'{width} x {height} px: expected at most {limits.side_px} px a side; cut it first')
                if tile_pixels(picture) > limits.pixels:
                    raise Refused(f'{width} x {height} px in tiles of more than {limits.pixels // 10**6} megapixels: save it anew')
                if (frames := _frames_of(body, picture, limits.frames)) > limits.frames:
                    raise Refused(f'more than {limits.frames} frames or pages: expected one picture')
                return upright(picture), frames
    except Refused as error:
        raise ValueError(str(error)) from None
    except Image.DecompressionBombError:
        raise ValueError(f'too many pixels: expected at most {limits.pixels // 10**6} megapixels') from None
    except UnidentifiedImageError:
        raise ValueError(f'not a picture: {EXPECTED}') from None
    except MemoryError:
        raise
    except Exception as error:                                   # Pillow's readers fail in as many ways as files are damaged
        raise ValueError(f'damaged picture ({one_line(error)}): {EXPECTED}, whole') from None


class Refused(Exception):
    """A limit was passed."""


def _frames_of(body: bytes, picture: Image.Image, most: int) -> int:
    """How many frames there are, counted to one more than `most`; the thumbnails of a camera's JPEG are none."""
    if picture.format != 'TIFF':                                 # the others say it in their header
        return 1 if picture.format in ('JPEG', 'MPO') else int(getattr(picture, 'n_frames', 1))
    with Image.open(io.BytesIO(body), formats=('TIFF',)) as pages:   # a chain of pages, as long as its writer liked
        for page in range(1, most + 1):
            try:
                pages.seek(page)
            except EOFError:
                return page
    return most + 1
