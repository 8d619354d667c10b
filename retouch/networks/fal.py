"""What FAL, as read here and in ASGIT's code, makes of the last answer and the discriminator's response to it: a scale and an offset.

Layer facts of `GlobalModulation`: voidstrike/ASGIT @ 235f922 (MIT). Those of `SpatialModulation` are this project's.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from retouch.networks.layers import instance_norm


class SpatialModulation(nn.Module):
    """A scale and an offset for every place and channel. 2,626,624 parameters; the last convolution starts at 0: scale 1, offset 0.

    Args:
        width: a quarter of the channels of the map that is modulated.
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w, c = width, 4 * width
        self.seen = nn.Sequential(nn.Conv2d(4, w, 4, 2, 1), nn.ReLU(inplace=True), nn.Conv2d(w, c, 4, 2, 1))
        self.joint = nn.Sequential(nn.Conv2d(2 * c, c, 3, 1, 1), nn.ReLU(inplace=True), nn.Conv2d(c, 2 * c, 3, 1, 1))

    def start_as_identity(self) -> SpatialModulation:
        """Sets the last convolution to 0. Returns the module."""
        last = self.joint[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        return self

    def forward(self, h: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """h [N,4 width,H/4,W/4], the answer y [N,3,H,W], the response r [N,1,H,W] -> scale and offset, each like h."""
        scale, offset = self.joint(torch.cat([h, self.seen(torch.cat([y, r], 1))], 1)).chunk(2, 1)
        return 1 + scale, offset


class GlobalModulation(nn.Module):
    """A scale and an offset for every channel, of 256 px alone. 5,310,784 parameters; the scale is the last convolution's own output."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        w, c = width, 4 * width
        self.seen = nn.Sequential(nn.Conv2d(4, w, 2, 2), instance_norm(w, False), nn.ReLU(inplace=True), nn.Conv2d(w, c, 2, 2))
        self.joint = nn.Sequential(nn.Conv2d(2 * c, c, 4, 4), instance_norm(c, False), nn.ReLU(inplace=True),
                                   nn.Conv2d(c, c, 4, 4), instance_norm(c, False), nn.ReLU(inplace=True), nn.Conv2d(c, 2 * c, 4))

    def forward(self, h: Tensor, y: Tensor, r: Tensor) -> tuple[Tensor, Tensor]:
        """As `SpatialModulation`; scale and offset [N,4 width,1,1]."""
        scale, offset = self.joint(torch.cat([h, self.seen(torch.cat([y, r], 1))], 1)).chunk(2, 1)
        return scale, offset
