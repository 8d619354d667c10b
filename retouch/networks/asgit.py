"""ASGIT's networks: the discriminator with a trainable attention branch, and the block that carries a map to the generator.

Layer facts: Lin et al., WACV 2021, and voidstrike/ASGIT @ 235f922 (MIT).
"""
from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import instance_norm, norm_of


class AttentionDiscriminator(nn.Module):
    """[N,in,H,W] -> patch scores [N,1,h,w]: the patch discriminator whose trunk T is weighted by a branch A of its own, (A + 1) T.

    At 256 px A and T are [N,256,32,32] and there are 30x30 scores. 3,228,609 parameters with 3 input channels, 3,231,681 with 6.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, layers: int = 3,
                 mask_norm: Literal['instance', 'batch'] = 'instance') -> None:
        """Builds the network.

        Args:
            in_channels: of the picture, or of two pictures.
            width: channels of the first convolution.
            layers: strided convolutions of the trunk, the first one included.
            mask_norm: in the branch, with scale and offset: 'batch', or what it computes at a batch of 1.
        """
        super().__init__()
        c = [width * min(2 ** i, 8) for i in range(layers + 1)]
        self.stem = nn.Sequential(nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True))
        trunk: list[nn.Module] = []
        for a, b in zip(c[:layers - 1], c[1:layers], strict=True):
            trunk += [nn.Conv2d(a, b, 4, 2, 1), instance_norm(b, False), nn.LeakyReLU(0.2, inplace=True)]
        self.trunk = nn.Sequential(*trunk)

        def conv3() -> list[nn.Module]:
            return [nn.Conv2d(width, width, 3, 1, 1, bias=False), nn.ReLU()]

        def norm() -> nn.Module:
            return norm_of('batch', c[layers - 1]) if mask_norm == 'batch' else instance_norm(c[layers - 1], True)

        def conv1() -> nn.Module:
            return nn.Conv2d(c[layers - 1], c[layers - 1], 1, bias=False)

        self.descend = nn.Sequential(*[m for _ in range(layers - 1) for m in (nn.MaxPool2d(3, 2, 1), *conv3())])
        self.skip, self.middle = nn.Sequential(*conv3()), nn.Sequential(*conv3(), *conv3())
        self.mask = nn.Sequential(nn.Conv2d(width, c[layers - 1], 3, 1, 1, bias=False), norm(), nn.ReLU(), conv1(), norm(), conv1(),
                                  nn.Sigmoid())
        self.head = nn.Sequential(nn.Conv2d(c[layers - 1], c[layers], 4, 1, 1), instance_norm(c[layers], False),
                                  nn.LeakyReLU(0.2, inplace=True), nn.Conv2d(c[layers], 1, 4, 1, 1))

    def with_attention(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[N,in,H,W] -> scores [N,1,h,w] and, from the same pass, A [N,C,H/2^layers,W/2^layers] in [0,1]."""
        x = self.stem(x)
        trunk, a = self.trunk(x), self.descend(x)
        a = self.skip(a) + self.middle(a)
        if a.shape[2:] != trunk.shape[2:]:                       # odd sizes: pools round up, strided convolutions down
            a = F.interpolate(a, size=trunk.shape[2:], mode='bilinear', align_corners=True)
        a = self.mask(a)
        return self.head((a + 1) * trunk), a

    def forward(self, x: Tensor) -> Tensor:
        return self.with_attention(x)[0]


class TransferBlock(nn.Module):
    """A map [N,1,h,w] in [0,1] -> the generator's [N,1,H,W] in [0,1], H = h 2^doublings. 75,649 parameters at width 64."""

    def __init__(self, width: int = 64, doublings: int = 3, last_norm: bool = True) -> None:
        """Builds the network.

        Args:
            width: channels after the first convolution; twice as many after the second.
            doublings: how many of the three convolutions, the last ones, have stride 2.
            last_norm: instance norm before the sigmoid, as published: the answer then has mean and spread whatever the map is.
        """
        super().__init__()
        layers: list[nn.Module] = []
        for i, (a, b) in enumerate(((1, width), (width, 2 * width), (2 * width, 1))):
            double = i >= 3 - doublings
            layers.append(nn.ConvTranspose2d(a, b, 3, 2 if double else 1, 1, output_padding=int(double)))
            layers += [instance_norm(b, False), nn.ReLU(inplace=True)] if i < 2 else [instance_norm(b, False)] if last_norm else []
        self.main = nn.Sequential(*layers, nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
