"""Night: a whole-scene change of a drawn face, so that two domains may differ everywhere.

Day is the picture as it was drawn; night is a function of that picture alone. Each pixel keeps half of its colour against its grey, is
tinted blue, and is dimmed towards the bottom, where the sky's light does not reach. The function hardly loses anything, so that day and
night are each other's exact counterfactual: a system can learn either way, and both true results are known. It touches neither what
`toyfaces` draws nor its labels.
"""
from __future__ import annotations

import functools
import hashlib

import numpy as np

from retouch.toyfaces.faces import drawing_hash

NIGHT = 'Night'                                       # what `DomainData.attribute` calls it
COLOUR = 0.5                                          # share of a pixel's colour that is left; the rest is its grey
GREY = np.array([0.299, 0.587, 0.114])
TINT = np.array([0.42, 0.50, 0.74])                   # of red, green and blue, at the top
BOTTOM = 0.5                                          # brightness of the last row, of that of the first


def night(images: np.ndarray) -> np.ndarray:
    """The same pictures at night. uint8 [N,H,W,3] -> uint8 [N,H,W,3]."""
    rows = np.linspace(1, BOTTOM, images.shape[1])[:, None, None]
    dark = np.empty_like(images)
    for start in range(0, len(images), 64):           # a whole set as float64 would be held several times over
        x = images[start:start + 64].astype(np.float64)
        grey = (x * GREY).sum(-1, keepdims=True)
        dark[start:start + 64] = np.rint((COLOUR * x + (1 - COLOUR) * grey) * TINT * rows)
    return dark


@functools.cache
def night_hash() -> str:
    """12 hex digits that change with the drawing or with the night."""
    probe = np.arange(16 * 16 * 3, dtype=np.uint32).reshape(1, 16, 16, 3) * 37 % 256
    return hashlib.sha256(drawing_hash().encode() + night(probe.astype(np.uint8)).tobytes()).hexdigest()[:12]
