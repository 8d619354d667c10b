"""Structural similarity outside the edit region."""
from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure


def images_to_ssim_outside(output: Tensor, reference: Tensor, region: Tensor) -> tuple[Tensor, Tensor]:
    """SSIM averaged over the pixels outside a region.

    The map is torchmetrics' (gaussian 11, sigma 1.5, data range 2), so a pixel near the region's edge also sees what is inside it.

    Args:
        output: [N,3,H,W] in [-1,1].
        reference: [N,3,H,W] in [-1,1].
        region: [N,1,H,W] bool.

    Returns:
        mean over the outside pixels and RGB [N] in [-1,1] (0 where there is no outside), and whether there is an outside (bool [N]).
    """
    _, full = structural_similarity_index_measure(output.float(), reference.float(), data_range=2.0, sigma=1.5, kernel_size=11,
                                                  reduction='none', return_full_image=True)
    outside = ~region
    count = outside.flatten(1).sum(1)
    total = torch.where(outside, full.mean(1, keepdim=True), 0.0).flatten(1).sum(1)
    return total / count.clamp(min=1), count > 0
