"""The mask net of our reading of DIAT: a mask of a quarter of the picture's side, smoothed by a Gaussian.

Source: what summaries of Li, Zuo, Zhang (DIAT's later version) say, a mask of 32 px for pictures of 128, smoothed; layers are ours.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import instance_norm


class MaskNet(nn.Module):
    """[N,3,H,W] -> masks [N,1,H,W] in [0,1], float32. H, W divisible by 4. 245,825 parameters.

    Conv(7), two Conv(3, stride 2), each with instance norm and ReLU; Conv(3); sigmoid; a Gaussian of 5x5; bilinear to the picture's size.

    Args:
        width: channels of the first convolution.
        sigma: of the Gaussian, in pixels of the small mask.
    """

    def __init__(self, width: int = 32, sigma: float = 1.0) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [nn.Conv2d(3, w, 7, 1, 3, padding_mode='reflect'), instance_norm(w, False), nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), instance_norm(2 * c, False), nn.ReLU(inplace=True)]
        layers += [nn.Conv2d(4 * w, 4 * w, 3, 1, 1), instance_norm(4 * w, False), nn.ReLU(inplace=True), nn.Conv2d(4 * w, 1, 3, 1, 1)]
        self.main = nn.Sequential(*layers)
        line = torch.exp(-0.5 * (torch.arange(-2.0, 3.0, device='cpu') / sigma) ** 2)                  # moves with the module
        self.register_buffer('kernel', torch.outer(line, line)[None, None] / line.sum() ** 2, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        small = self.main(x)
        small = small.to(torch.promote_types(small.dtype, torch.float32)).sigmoid()                    # [N,1,H/4,W/4]
        smooth = F.conv2d(F.pad(small, [2] * 4, 'replicate'), self.kernel.to(small))
        return F.interpolate(smooth, scale_factor=4, mode='bilinear', align_corners=False)
