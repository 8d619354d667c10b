"""StarGAN's generator (with an optional mask head) and discriminator.

Layer facts: Choi et al., CVPR 2018, and yunjey/stargan @ 94dd002 (MIT); mask head: Ha0Tang/AttentionGAN @ 45da496, `AttentionGAN-v1-multi`.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import NarrowConv2d, ResidualBlock, conv_with_condition, depth_for, instance_norm


class Generator(nn.Module):
    """[N,in_channels,H,W] and a condition [N,K] -> [N,out_channels,H,W], without the output activation. H, W divisible by 4.

    Several conditions for the same pictures may stand one after another, [R N,K] -> [R N,out_channels,H,W].

    Zero padding throughout: reflection padding lets instance norm remove the tiled condition (authors' remark).
    8,455,616 parameters with 13 attributes, width 64, 6 blocks, 3 output channels.
    """

    def __init__(self, attributes: int, width: int = 64, blocks: int = 6, out_channels: int = 3, in_channels: int = 3) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [nn.Conv2d(in_channels + attributes, w, 7, 1, 3, bias=False), instance_norm(w, True),
                                   nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), instance_norm(2 * c, True), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * w, affine=True, bias=False, reflect=False) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            layers += [nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False), instance_norm(c // 2, True), nn.ReLU(inplace=True)]
        layers.append(NarrowConv2d(w, out_channels, 7, 1, 3, bias=False))
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.main[1:](conv_with_condition(self.main[0], x, condition, x.shape[1]))


class Discriminator(nn.Module):
    """PatchGAN critic with a class head: [N,in_channels,H,W] -> src [N,1,h,w] and logits [N,K], h = H / 2**depth.

    No norm layer, LeakyReLU(0.01): piecewise linear in its input. 44,827,584 parameters with 13 attributes at 128 px.
    """

    slope = 0.01

    def __init__(self, attributes: int, size: int, width: int = 64, depth: int | None = None, in_channels: int = 3) -> None:
        super().__init__()
        depth = depth_for(size) if depth is None else depth
        channels = [in_channels, *(width * 2 ** i for i in range(depth))]
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(channels, channels[1:], strict=False))
        self.src = nn.Conv2d(channels[-1], 1, 3, 1, 1, bias=False)
        self.cls = nn.Conv2d(channels[-1], attributes, size // 2 ** depth, bias=False)

    def features(self, x: Tensor, depth: int | None = None) -> list[Tensor]:
        """The maps after the first `depth` (None: all) strided convolutions and their activations, [N,C_i,H/2**i,W/2**i] each."""
        maps = []
        for conv in self.convs[:depth]:
            x = F.leaky_relu(conv(x), self.slope)
            maps.append(x)
        return maps

    def heads(self, a: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
        """src [N,1,h,w] and class logits [N,K] from the map after `depth` convolutions (None: the last one)."""
        for conv in self.convs[len(self.convs) if depth is None else depth:]:
            a = F.leaky_relu(conv(a), self.slope)
        return self.src(a), self.cls(a).flatten(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads(self.features(x)[-1])

    def input_gradient(self, x: Tensor) -> Tensor:
        """d sum(src(x)) / dx as a closed form that is differentiable in the weights. x and the result [N,in_channels,H,W].

        The critic is piecewise linear, so its gradient is a chain of transposed convolutions through fixed slopes, and the gradient
        penalty needs no double backward (a test compares both in float64).
        """
        slopes = []
        with torch.no_grad():
            for conv in self.convs:
                x = conv(x)
                slopes.append(torch.where(x > 0, 1.0, self.slope))
                x = F.leaky_relu(x, self.slope)
        g = F.conv_transpose2d(torch.ones_like(x[:, :1]), self.src.weight, padding=1)
        for conv, slope in zip(reversed(self.convs), reversed(slopes), strict=True):
            g = F.conv_transpose2d(g * slope, conv.weight, stride=2, padding=1)
        return g
