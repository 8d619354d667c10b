"""Maps of floats to another size, by Pillow: antialiased, the filters that torch copied from it."""
from __future__ import annotations

import numpy as np
from PIL import Image

from retouch.data.frame import RESAMPLE


def resize_to(x: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    """[...,h,w] -> float32 [...,*size], 'bilinear' or 'bicubic', antialiased; x itself if it has that size.

    A border pixel counts as often as the filter reaches it: nothing is added around the map.
    """
    if x.shape[-2:] == size:
        return x
    planes = np.asarray(x, np.float32).reshape(-1, *x.shape[-2:])
    out = np.empty((len(planes), *size), np.float32)
    for plane, to in zip(planes, out, strict=True):
        to[:] = Image.fromarray(plane).resize(size[::-1], RESAMPLE[mode])
    return out.reshape(*x.shape[:-2], *size)
