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

import torch
import torch.nn.functional as F
from torch import Tensor

RADIUS = 1               # of a window in pixels of the small picture: 3x3
EPSILON = 3e-4           # squared units of [0,1]: how little contrast a window may have before its map is a constant
TOLERANCE = 0.05         # of [0,1]: an error of the fit from which on it is taken for new structure
TILE_PX = 32             # rows at once: the coefficients of a large picture are never all in memory


def fit_affine(x: Tensor, y: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """The maps that best explain y by x in windows of 2 radius + 1 pixels, each the mean of those of all windows it lies in.

    Args:
        x: [3,s,s] in [0,1], what was edited.
        y: [C,s,s], what shall follow it: changes of colour, a mask.
        radius: of the windows in pixels.
        epsilon: ridge on A, in squared units of x; the larger, the nearer A is to 0 and b to the mean of y.

    Returns:
        [C,4,s,s] float32: for every pixel the three factors A, and b, of each of the C.
    """
    x, y = x.float(), y.float()
    mean_x, mean_y = _box(x, radius), _box(y, radius)                                  # [3,s,s], [C,s,s]
    pairs = _box((x[:, None] * x[None]).flatten(0, 1), radius).unflatten(0, (3, 3)) - mean_x[:, None] * mean_x[None]           # [3,3,s,s]
    cross = _box((x[:, None] * y[None]).flatten(0, 1), radius).unflatten(0, (3, len(y))) - mean_x[:, None] * mean_y[None]      # [3,C,s,s]
    ridge = epsilon * torch.eye(3, device=x.device)
    a = torch.linalg.solve(pairs.permute(2, 3, 0, 1) + ridge, cross.permute(2, 3, 0, 1)).permute(3, 2, 0, 1)                   # [C,3,s,s]
    b = mean_y - (a * mean_x).sum(1)                                                   # [C,s,s]
    return _box(torch.cat([a, b[:, None]], 1).flatten(0, 1), radius).unflatten(0, (len(y), 4))


def keep_structure(maps: Tensor, x: Tensor, y: Tensor, tolerance: float = TOLERANCE) -> Tensor:
    """The same maps, and to b added what they leave of y where they leave much: glasses where there was skin follow no colour.

    Args:
        maps: [C,4,s,s] that were fitted.
        x: [3,s,s] in [0,1] and
        y: [C,s,s] to which they were fitted: three changes of colour, and perhaps a mask, of which all is added.
        tolerance: of a colour, in [0,1]: what is left is a fault of the fit well below it, and new structure well above it.
    """
    left = y.float() - (maps[:, :3] * x).sum(1) - maps[:, 3]                           # [C,s,s]
    share = 1 - (-(_box(left[:3].abs(), 1).amax(0) / tolerance).square()).exp()       # [s,s]
    left = torch.cat([left[:3] * share, left[3:]])
    return torch.cat([maps[:, :3], (maps[:, 3] + left)[:, None]], 1)


def widen(maps: Tensor, width: int) -> Tensor:
    """Maps [C,4,s,t] with their columns enlarged bilinearly: [C,4,s,width], a few MB; the rows are enlarged tile by tile."""
    return F.interpolate(maps, size=(maps.shape[2], width), mode='bilinear', align_corners=False)


def apply_affine(wide: Tensor, pixels: Tensor, rows: slice, height: int) -> Tensor:
    """What maps make of some rows of a picture.

    Args:
        wide: [C,4,s,width] from `widen`.
        pixels: [3,h,width] in [0,1], those rows.
        rows: which of its rows.
        height: how many it has, at least s.

    Returns:
        [C,h,width].
    """
    small = wide.shape[2]
    at = ((torch.arange(rows.start, rows.stop) + 0.5) * (small / height) - 0.5).clamp(0, small - 1)
    share = (1 - (at[:, None] - torch.arange(small)).abs()).clamp(min=0).to(wide)      # [h,s]: of each small row in each large one
    factors = torch.matmul(share, wide)                                                # [C,4,h,width]
    out = factors[:, 3]
    for channel in range(3):
        out = torch.addcmul(out, factors[:, channel], pixels[channel])
    return out


def tiles(height: int) -> Iterator[slice]:
    """Rows of a picture, TILE_PX at a time."""
    return (slice(top, min(top + TILE_PX, height)) for top in range(0, height, TILE_PX))


def _box(x: Tensor, radius: int) -> Tensor:
    """Means over windows [N,s,s] -> [N,s,s], the border repeated."""
    return F.avg_pool2d(F.pad(x[None], (radius,) * 4, mode='replicate'), 2 * radius + 1, 1)[0]
