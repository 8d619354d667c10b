"""Structural similarity outside the edit region."""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE, SIGMA, K1, K2, RANGE = 11, 1.5, 0.01, 0.03, 2.0            # Wang et al. 2004, as torchmetrics has them; data range of [-1,1]


def images_to_ssim_outside(output: Tensor, reference: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM averaged over the pixels outside a region.

    A pixel near the region's edge also sees what is inside it.

    Args:
        output: [N,3,H,W] in [-1,1].
        reference: [N,3,H,W] in [-1,1].
        region: [N,1,H,W] bool.

    Returns:
        mean over the outside pixels and RGB [N] in [-1,1] (0 where there is no outside), and whether there is an outside (bool [N]).
    """
    outside = ~region
    count = outside.flatten(1).sum(1)
    total = torch.where(outside, images_to_ssim(output, reference).mean(1, keepdim=True), 0.0).flatten(1).sum(1)
    return total / count.clamp(min=1), count > 0


def images_to_ssim(output: Tensor, reference: Tensor) -> Tensor:
    """The map [N,C,H,W] of pictures [N,C,H,W] in [-1,1]: torchmetrics' `return_full_image`, within 1e-5.

    Its window is taken apart into a column and a row, each a product of matrices: their convolution was a third of an evaluation.
    """
    x, y = output.float(), reference.float()
    mean_x, mean_y, xx, yy, xy = _blurred(torch.cat([x, y, x * x, y * y, x * y])).chunk(5)
    c1, c2 = (K1 * RANGE) ** 2, (K2 * RANGE) ** 2
    variances = (xx - mean_x ** 2).clamp(min=0) + (yy - mean_y ** 2).clamp(min=0)
    covariance = xy - mean_x * mean_y
    return (2 * mean_x * mean_y + c1) * (2 * covariance + c2) / ((mean_x ** 2 + mean_y ** 2 + c1) * (variances + c2))


def _blurred(x: Tensor) -> Tensor:
    """[N,C,H,W] under a gaussian window, edges mirrored."""
    return _window(x.shape[-2], x) @ x @ _window(x.shape[-1], x).T


def _window(side: int, like: Tensor) -> Tensor:
    """[side,side]: row i holds what each of a line's values counts for in the i-th of the blurred line."""
    at = torch.arange(SIDE, dtype=like.dtype, device=like.device) - SIDE // 2
    g = torch.exp(-(at / SIGMA) ** 2 / 2)
    lines = torch.eye(side, dtype=like.dtype, device=like.device).unsqueeze(1)
    return F.conv1d(F.pad(lines, (SIDE // 2, SIDE // 2), mode='reflect'), (g / g.sum()).view(1, 1, -1)).squeeze(1).T
