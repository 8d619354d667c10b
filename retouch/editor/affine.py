"""Bringing a small edit back to a large picture as a local affine map of its colours.

In a window of the small picture the change is nearly an affine function of what is changed, y - x = A x + b: A and b vary slowly from
place to place, so they may be enlarged where the change itself may not, and applied to the large picture, whose edges and strands the
change then follows. It is the change that is fitted, and the ridge pulls A to 0: where nothing changed, nothing does, and detail that the
small picture cannot show survives.

Sources: He, Sun, Tang. Guided Image Filtering. ECCV 2010 (the fit in windows). Chen, Adams, Wadhwa, Hasinoff. Bilateral Guided Upsampling.
ACM Transactions on Graphics 35, 2016 (affine maps of colour, fitted small and applied large). No code taken.
"""
from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from retouch.editor.resample import resize_to

RADIUS = 1               # of a window in pixels of the small picture: 3x3
EPSILON = 3e-4           # squared units of [0,1]: how little contrast a window may have before its map is a constant
TOLERANCE = 0.05         # of [0,1]: an error of the fit from which on it is taken for new structure
TILE_PX = 32             # rows at once: the coefficients of a large picture are never all in memory


def fit_affine(x: np.ndarray, y: np.ndarray, radius: int = RADIUS, epsilon: float = EPSILON) -> np.ndarray:
    """The maps that best explain y by x in windows of 2 radius + 1 pixels, each the mean of those of all windows it lies in.

    Args:
        x: float32 [3,s,s] in [0,1], what was edited.
        y: float32 [C,s,s], what shall follow it: changes of colour, a mask.
        radius: of the windows in pixels.
        epsilon: ridge on A, in squared units of x; the larger, the nearer A is to 0 and b to the mean of y.

    Returns:
        [C,4,s,s] float32: for every pixel the three factors A, and b, of each of the C.
    """
    mean_x, mean_y = _box(x, radius), _box(y, radius)                                  # [3,s,s], [C,s,s]
    pairs = _box(x[:, None] * x, radius) - mean_x[:, None] * mean_x                    # [3,3,s,s]
    cross = _box(x[:, None] * y, radius) - mean_x[:, None] * mean_y                    # [3,C,s,s]
    ridge = epsilon * np.eye(3, dtype=np.float32)
    a = np.linalg.solve(pairs.transpose(2, 3, 0, 1) + ridge, cross.transpose(2, 3, 0, 1)).transpose(3, 2, 0, 1)                # [C,3,s,s]
    b = mean_y - (a * mean_x).sum(1)                                                   # [C,s,s]
    return _box(np.concatenate([a, b[:, None]], 1), radius)


def keep_structure(maps: np.ndarray, x: np.ndarray, y: np.ndarray, tolerance: float = TOLERANCE) -> np.ndarray:
    """The same maps, and to b added what they leave of y where they leave much: glasses where there was skin follow no colour.

    Args:
        maps: [C,4,s,s] that were fitted.
        x: [3,s,s] in [0,1] and
        y: [C,s,s] to which they were fitted: three changes of colour, and perhaps a mask, of which all is added.
        tolerance: of a colour, in [0,1]: what is left is a fault of the fit well below it, and new structure well above it.
    """
    left = y - (maps[:, :3] * x).sum(1) - maps[:, 3]                                   # [C,s,s]
    share = 1 - np.exp(-np.square(_box(np.abs(left[:3]), 1).max(0) / tolerance))       # [s,s]
    left[:3] *= share
    return np.concatenate([maps[:, :3], (maps[:, 3] + left)[:, None]], 1)


def widen(maps: np.ndarray, width: int) -> np.ndarray:
    """Maps [C,4,s,t] with their columns enlarged bilinearly: [C,4,s,width], a few MB; the rows are enlarged tile by tile."""
    return resize_to(maps, (maps.shape[2], width), 'bilinear')


def apply_affine(wide: np.ndarray, pixels: np.ndarray, rows: slice, height: int) -> np.ndarray:
    """What maps make of some rows of a picture.

    Args:
        wide: [C,4,s,width] from `widen`.
        pixels: float32 [3,h,width] in [0,1], those rows.
        rows: which of its rows.
        height: how many it has, at least s.

    Returns:
        [C,h,width].
    """
    small = wide.shape[2]
    at = ((np.arange(rows.start, rows.stop) + 0.5) * (small / height) - 0.5).clip(0, small - 1)
    share = (1 - np.abs(at[:, None] - np.arange(small))).clip(min=0).astype(np.float32)      # [h,s]: of a small row in a large one
    factors = share @ wide                                                             # [C,4,h,width]
    factors[:, :3] *= pixels
    return factors.sum(1)


def tiles(height: int) -> Iterator[slice]:
    """Rows of a picture, TILE_PX at a time."""
    return (slice(top, min(top + TILE_PX, height)) for top in range(0, height, TILE_PX))


def _box(x: np.ndarray, radius: int) -> np.ndarray:
    """Means over windows [...,s,s] -> [...,s,s], the border repeated."""
    h, w = x.shape[-2:]
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(radius, radius)] * 2, mode='edge')
    side = 2 * radius + 1
    columns = sum(padded[..., i:i + w] for i in range(side))
    return sum(columns[..., i:i + h, :] for i in range(side)) / (side * side)
