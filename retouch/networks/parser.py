"""A compact U-Net for face parsing.

Layer facts: Ronneberger, Fischer, Brox. U-Net. MICCAI 2015: two 3x3 convolutions a level, 2x2 max-pool, 2x2 transposed convolution,
shortcuts by concatenation. Here padded, with batch norm, and no wider than 8 times the first level.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

DEPTH = 4


def pair(a: int, b: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU, [N,a,H,W] -> [N,b,H,W]."""
    return nn.Sequential(nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
                         nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """[N,3,H,W] in [-1,1] -> logits [N,classes,H,W]. H, W divisible by 16. 1,286,892 parameters with 12 classes and width 16.

    Differentiable with respect to the picture; the deepest map has a sixteenth of the side.
    """

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        c = [width * 2 ** min(i, 3) for i in range(DEPTH + 1)]
        self.down = nn.ModuleList(pair(a, b) for a, b in zip([3, *c], c, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(c[i + 1], c[i], 2, 2) for i in range(DEPTH))
        self.merge = nn.ModuleList(pair(2 * c[i], c[i]) for i in range(DEPTH))
        self.head = nn.Conv2d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for i, layer in enumerate(self.down):
            x = layer(nn.functional.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(DEPTH)):
            x = self.merge[i](torch.cat([maps[i], self.up[i](x)], 1))
        return self.head(x)
