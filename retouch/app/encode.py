"""Pixels as files for a browser: exact ones to keep, small ones to look at."""
from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

FAST = 1                 # zlib level: a picture of 12 megapixels is written in a quarter of the time, a tenth larger
EXACT_PIXELS = 512 * 512     # a picture of at most so many is shown as it is
QUALITY = 92


def to_png(image: Image.Image | np.ndarray, level: int = FAST) -> bytes:
    """A PNG without a note; of a picture its colour profile is kept."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return _saved(image, 'PNG', compress_level=level, icc_profile=image.info.get('icc_profile'))


def to_preview(image: Image.Image | np.ndarray, side: int) -> tuple[bytes, str]:
    """What shows a picture in at most `side` pixels -> file and media type: a PNG where it is small, otherwise a JPEG or, with alpha, a
    WebP."""
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    icc = image.info.get('icc_profile')
    scale = side / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        # RGBA is not weighted by its alpha here; both pictures of a comparison are brought down alike
        image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
    if image.width * image.height <= EXACT_PIXELS:
        return _saved(image, 'PNG', compress_level=FAST, icc_profile=icc), 'image/png'
    if image.mode == 'RGBA':
        return _saved(image, 'WEBP', quality=QUALITY, method=0, icc_profile=icc), 'image/webp'
    return _saved(image, 'JPEG', quality=QUALITY, subsampling=0, icc_profile=icc), 'image/jpeg'


def _saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()
