"""pix2pix's U-Net, and BicycleGAN's and DualGAN's: as many halvings as the picture allows, every level handed across to the decoder.

Layer facts: Isola et al., CVPR 2017, and junyanz/pytorch-CycleGAN-and-pix2pix (BSD); Zhu et al., NeurIPS 2017, and junyanz/BicycleGAN
@ 40b9d52 (BSD); Yi et al., ICCV 2017, and duxingren14/DualGAN @ bd64bf9 (Apache-2.0) with its history.
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from retouch.networks.layers import maps_of, norm_of, with_condition


def levels_of(size: int) -> int:
    """How often the U-Net halves pictures of `size` pixels: as often as it comes out even, 8 times at most. Raises ValueError."""
    levels = next((n for n in range(8, 3, -1) if size % 2 ** n == 0), None)
    if levels is None:
        raise ValueError(f'size={size}: the U-Net halves the picture at least four times, expected a multiple of 16; '
                         f'set --data.size {max(16, size // 16 * 16)}')
    return levels


def noise_to_draws(noise: Mapping[str, Tensor]) -> Callable[..., Tensor] | None:
    """Draws by name, [N,C,h,w] or [1,C,h,w] for all, as the argument of `UNet.forward`; None where there are none."""
    return (lambda name, *shape, device: noise[name].to(device)) if noise else None


class AffineInstanceNorm(nn.GroupNorm):
    """Instance norm of [N,C,H,W] with scale and offset; a map of 1x1 px becomes the offset, where torch's module refuses one."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__(channels, channels, eps)

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] * x.shape[3] == 1:                         # else its rounding, which the epsilon makes a thousandfold
            return (x - x) * self.weight[:, None, None] + self.bias[:, None, None]
        return super().forward(x)


def norm_at(norm: Literal['batch', 'instance', 'affine'], channels: int) -> nn.Module:
    """As `layers.norm_of`; 'affine': instance norm with scale and offset."""
    return AffineInstanceNorm(channels) if norm == 'affine' else norm_of(norm, channels)


class UNet(nn.Module):
    """[N,in,H,W] -> [N,out,H,W] in [-1,1]. H, W as `size`, or a multiple of 2^levels.

    256 px: 54,409,603 parameters with instance norm, 54,413,955 with batch norm, 39,075,459 with batch norm and without skips. 128 px:
    41,825,667, 41,828,995 and 30,684,803. BicycleGAN's, instance norm and 8 numbers told: 54,794,627 and 42,145,155. DualGAN's of 256 px
    with the norm at the deepest level: 85,022,787 with kernels of 5, 30,627,907 with kernels of 3 and of 5 at both ends.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, size: int = 256,
                 norm: Literal['batch', 'instance', 'affine'] = 'batch', dropout: bool | tuple[int, ...] = True, skips: bool = True,
                 told: int = 0, kernel: int = 4, kernel_ends: int | None = None, norm_deepest: bool = False) -> None:
        """Builds the network.

        Args:
            in_channels: of the picture given.
            out_channels: of the picture made.
            width: channels of the first level; they double up to 8 times that.
            size: side of the pictures in pixels; it decides the depth: 8 levels at 256 px, 7 at 128, 6 at 64.
            norm: after every convolution but the first, the deepest and the last; convolutions before batch norm have no bias. 'affine' is
                instance norm with scale and offset, epsilon 1e-6.
            dropout: half the values in the decoder's levels of 8 * width channels are dropped, but for the deepest, where draws are given;
                or in the levels named, 0 the deepest.
            skips: False is the encoder-decoder: nothing is handed across.
            told: how many numbers are tiled behind the input of every convolution on the way down (BicycleGAN's z).
            kernel: side of the kernels, 3 to 5.
            kernel_ends: of the first and the last; None: as the others.
            norm_deepest: whether the deepest map has a norm, too. Of a map of 1x1 px an instance norm leaves nothing but its offset.
        """
        super().__init__()
        levels, bias = levels_of(size), norm != 'batch'
        self.skips = skips
        c = [width * min(2 ** i, 8) for i in range(levels)]
        sides = [kernel_ends or kernel, *[kernel] * (levels - 1)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, side in enumerate(sides):
            conv = nn.Conv2d((c[i - 1] if i else in_channels) + told, c[i], side, 2, (side - 1) // 2, bias=bias)
            self.downs.append(nn.Sequential(*([nn.LeakyReLU(0.2)] if i else []), conv,
                                            *([norm_at(norm, c[i])] if 0 < i < levels - (not norm_deepest) else [])))
        for i, side in reversed(list(enumerate(sides))):
            inputs = c[i] * (2 if skips and i < levels - 1 else 1)
            conv = nn.ConvTranspose2d(inputs, c[i - 1] if i else out_channels, side, 2, (side - 1) // 2, side % 2, bias=bias or i == 0)
            self.ups.append(nn.Sequential(nn.ReLU(), conv, norm_at(norm, c[i - 1]) if i else nn.Tanh()))
        chosen = dropout if isinstance(dropout, tuple) else tuple(range(1, levels - 4)) if dropout else ()
        self.dropped = {j: (c[levels - 2 - j], size >> levels - 1 - j, size >> levels - 1 - j) for j in chosen}   # level -> [C,h,w]

    def forward(self, x: Tensor, draws: Callable[..., Tensor] | None = None, told: Tensor | None = None) -> Tensor:
        """Makes a picture.

        Args:
            x: [N,in,H,W].
            draws: a batch's `moment.uniform`, the noise of the dropout. Without it nothing is dropped.
            told: [N,told], where the network is told something.
        """
        if told is None:
            maps = maps_of(self.downs, x)                        # [N,width,H/2,W/2] … the deepest
        else:
            maps = maps_of([lambda x, down=down: down(with_condition(x, told)) for down in self.downs], x)      # type: ignore[misc]
        y = maps.pop()
        for j, up in enumerate(self.ups):
            if j and self.skips:
                y = torch.cat([maps.pop(), y], 1)
            y = up(y)
            if draws and j in self.dropped:
                y = y * 2 * (draws(f'dropout_{j}', *y.shape[1:], device=y.device) < 0.5)
        return y
