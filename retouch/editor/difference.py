"""A picture of where two pictures differ."""
from __future__ import annotations

import numpy as np

# black, violet, red, orange, yellow, white: brightness grows steadily, so that it reads in grey and for colour-blind eyes
_STOPS = np.array([(0, 0, 0), (66, 10, 104), (187, 55, 84), (249, 142, 9), (252, 255, 164), (255, 255, 255)], np.float64)
FULL = 96      # 8-bit levels of difference that show as the brightest colour
_BLOCK = 256   # rows at once: a large picture needs no second one in memory


def _colours() -> np.ndarray:
    """uint8 [256,3], a colour for every difference."""
    difference = np.arange(256)
    level = np.where(difference > 0, 0.06 + 0.94 * np.minimum(difference / FULL, 1.0), 0.0)
    where = np.linspace(0, 1, len(_STOPS))
    return np.stack([np.interp(level, where, _STOPS[:, c]) for c in range(3)], axis=1).round().astype(np.uint8)


COLOURS = _colours()


def difference_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Heat map of a difference.

    Args:
        a: uint8 [H,W,3].
        b: uint8 [H,W,3].

    Returns:
        uint8 [H,W,3]: black where both are equal, brighter with the largest difference over RGB, never black where they differ.

    Raises:
        ValueError: pictures of different shapes.
    """
    if a.shape != b.shape:
        raise ValueError(f'pictures of shapes {a.shape} and {b.shape} cannot be compared: expected equal sizes')
    picture = np.empty(a.shape, np.uint8)
    for start in range(0, len(a), _BLOCK):
        rows = slice(start, start + _BLOCK)
        picture[rows] = COLOURS[(np.maximum(a[rows], b[rows]) - np.minimum(a[rows], b[rows])).max(axis=2)]
    return picture
