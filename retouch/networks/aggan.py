"""AGGAN's generator of content and mask, and its discriminator of whole pictures.

Layer facts: Tang et al., IJCNN 2019, and Ha0Tang/AttentionGAN @ 45da496, `AttentionGAN-v1` (CC BY-NC-SA 4.0).
"""
from __future__ import annotations

from functools import partial
from typing import Any, Literal

from torch import Tensor, nn

from retouch.networks.layers import NarrowConv2d, instance_norm

Norm = Literal['batch', 'instance']
Upsample = Literal['deconv', 'pixelshuffle']


def init_weights(module: nn.Module, std: float = 0.02) -> nn.Module:
    """Convolutions N(0, std), norm scales N(1, std), norm offsets 0; the biases of convolutions stay torch's. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(m.weight, 0.0, std)
        elif isinstance(m, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(m.weight, 1.0, std)
            nn.init.zeros_(m.bias)
    return module


def depth_at(size: int) -> int:
    """Strided convolutions of a discriminator at `size` px: as many, up to four, as leave the last convolution a map of 4 px.

    4 from 94 px (the published form), 3 from 46, 2 from 22, 1 from 10.
    """
    return min(4, ((size + 2) // 6).bit_length() - 1)


class Residual(nn.Module):
    """x + conv-norm-relu-conv-norm of x, reflection padding, no activation after the sum. [N,C,H,W] -> [N,C,H,W]."""

    def __init__(self, channels: int, norm: Any) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, padding_mode='reflect'), norm(channels), nn.ReLU(inplace=True),
                                  nn.Conv2d(channels, channels, 3, 1, 1, padding_mode='reflect'), norm(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


class Generator(nn.Module):
    """[N,3,H,W] -> [N,out,H,W] without activation: channel 0 the mask's logit, 1 to 3 the content; or out=3, the content alone.

    H, W divisible by 4. With 4 channels and 6 blocks 7,848,260 parameters (deconv, as the paper) or 7,931,332 (pixelshuffle, as the code).

    Args:
        out_channels: 4, or 3 without a mask.
        width: channels of the first convolution.
        blocks: residual blocks.
        norm: 'batch' (training mode: the batch's statistics, eval mode: running averages) or 'instance' (affine, the same in both).
        upsample: 'deconv': transposed convolution; 'pixelshuffle': convolution, then a 1x1 convolution whose channels become pixels.
    """

    def __init__(self, out_channels: int = 4, width: int = 64, blocks: int = 6, norm: Norm = 'batch',
                 upsample: Upsample = 'deconv') -> None:
        super().__init__()
        w, normed = width, {'batch': nn.BatchNorm2d, 'instance': partial(instance_norm, affine=True)}[norm]
        layers: list[nn.Module] = [nn.Conv2d(3, w, 7, 1, 3, padding_mode='reflect'), normed(w), nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), normed(2 * c), nn.ReLU(inplace=True)]
        layers += [Residual(4 * w, normed) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            half = c // 2
            if upsample == 'deconv':
                layers += [nn.ConvTranspose2d(c, half, 3, 2, 1, output_padding=1)]
            else:
                layers += [nn.Conv2d(c, half, 3, 1, 1, padding_mode='reflect'), normed(half), nn.ReLU(inplace=True),
                           nn.Conv2d(half, 4 * half, 1), nn.PixelShuffle(2)]
            layers += [normed(half), nn.ReLU(inplace=True)]
        layers.append(NarrowConv2d(w, out_channels, 7, 1, 3, padding_mode='reflect'))
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class Discriminator(nn.Module):
    """[N,in,S,S] -> one score a picture [N,1]. 6,953,793 parameters with 3 input channels, 6,954,817 with 4.

    `depth_at(size)` convolutions k4 s2 without padding, widths doubling, each with norm and LeakyReLU; one k4 s1 of the last width with
    LeakyReLU; average over the map; a 1x1 convolution. Batch norm keeps no running averages: it uses its batch's statistics in every mode,
    so that a pass of the generator's step leaves nothing behind.

    Args:
        in_channels: 3, or 4 with a mask before the picture.
        size: S in pixels, at least 10.
        width: channels of the first convolution.
        norm: 'batch' or 'instance' (affine).
    """

    def __init__(self, in_channels: int, size: int, width: int = 64, norm: Norm = 'batch') -> None:
        super().__init__()
        depth = depth_at(size)
        if depth < 1:
            raise ValueError(f'size={size}: the discriminator needs at least 10 px; set --data.size 12 or more')
        normed = {'batch': partial(nn.BatchNorm2d, track_running_stats=False), 'instance': partial(instance_norm, affine=True)}[norm]
        channels = [in_channels, *(width * 2 ** i for i in range(depth))]
        layers: list[nn.Module] = []
        for a, b in zip(channels, channels[1:], strict=False):
            layers += [nn.Conv2d(a, b, 4, 2), normed(b), nn.LeakyReLU(0.01, inplace=True)]
        last = channels[-1]
        layers += [nn.Conv2d(last, last, 4), nn.LeakyReLU(0.01, inplace=True), nn.AdaptiveAvgPool2d(1), nn.Conv2d(last, 1, 1), nn.Flatten()]
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
