"""The Mask contract: [N,1,H,W] float32 in [0,1], 1 = may change."""
from __future__ import annotations

import torch
from torch import Tensor


def check_mask(mask: Tensor, image: Tensor) -> Tensor:
    """Returns `mask` if it is a Mask [N,1,H,W] for `image` [N,3,H,W]; raises ValueError otherwise."""
    expected = (image.shape[0], 1, *image.shape[2:])
    if tuple(mask.shape) != expected:
        raise ValueError(f'mask has shape {tuple(mask.shape)}: expected {expected}, one channel at the size of its image')
    if mask.dtype != torch.float32:
        raise ValueError(f'mask is {mask.dtype}: expected torch.float32 (masks are computed outside autocast)')
    return mask


def composite(content: Tensor, image: Tensor, mask: Tensor) -> Tensor:
    """mask * content + (1 - mask) * image, at the mask's precision (float32). content, image [N,3,H,W]; mask [N,1,H,W]."""
    return mask * content.to(mask.dtype) + (1 - mask) * image


def mask_logs(mask: Tensor) -> dict[str, Tensor]:
    """What the engine's collapse monitor reads: mean area, and the spread over pixels (0 for a constant mask)."""
    m = mask.detach()
    return {'mask_area': m.mean(), 'mask_spread': m.flatten(1).std(1).mean()}
