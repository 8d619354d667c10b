"""pix2pix's U-Net: as many halvings as the picture allows, every level handed across to the decoder.

Layer facts: Isola et al., CVPR 2017, and junyanz/pytorch-CycleGAN-and-pix2pix (BSD).
"""
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from retouch.networks.layers import maps_of, norm_of


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


class UNet(nn.Module):
    """[N,in,H,W] -> [N,out,H,W] in [-1,1]. H, W as `size`, or a multiple of 2^levels.

    256 px: 54,409,603 parameters with instance norm, 54,413,955 with batch norm, 39,075,459 with batch norm and without skips. 128 px:
    41,825,667, 41,828,995 and 30,684,803.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, size: int = 256,
                 norm: Literal['batch', 'instance'] = 'batch', dropout: bool = True, skips: bool = True) -> None:
        """Builds the network.

        Args:
            in_channels: of the picture given.
            out_channels: of the picture made.
            width: channels of the first level; they double up to 8 times that.
            size: side of the pictures in pixels; it decides the depth: 8 levels at 256 px, 7 at 128, 6 at 64.
            norm: after every convolution but the first, the deepest and the last; convolutions before batch norm have no bias.
            dropout: half the values in the decoder's levels of 8 * width channels are dropped, but for the deepest, where draws are given.
            skips: False is the encoder-decoder: nothing is handed across.
        """
        super().__init__()
        levels, bias = levels_of(size), norm == 'instance'
        self.skips = skips
        c = [width * min(2 ** i, 8) for i in range(levels)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i in range(levels):
            conv = nn.Conv2d(c[i - 1] if i else in_channels, c[i], 4, 2, 1, bias=bias)
            self.downs.append(nn.Sequential(*([nn.LeakyReLU(0.2)] if i else []), conv,
                                            *([norm_of(norm, c[i])] if 0 < i < levels - 1 else [])))
        for i in reversed(range(levels)):
            inputs = c[i] * (2 if skips and i < levels - 1 else 1)
            conv = nn.ConvTranspose2d(inputs, c[i - 1] if i else out_channels, 4, 2, 1, bias=bias or i == 0)
            self.ups.append(nn.Sequential(nn.ReLU(), conv, norm_of(norm, c[i - 1]) if i else nn.Tanh()))
        self.dropped = {j: (c[i - 1], size >> i, size >> i) for j, i in enumerate(reversed(range(levels)))
                        if dropout and 4 <= i < levels - 1}      # level of the decoder -> [C,h,w] of its map

    def forward(self, x: Tensor, draws: Callable[..., Tensor] | None = None) -> Tensor:
        """Makes a picture; `draws` is a batch's `moment.uniform`, the noise of the dropout. Without it nothing is dropped."""
        maps = maps_of(self.downs, x)                            # [N,width,H/2,W/2] … the deepest
        y = maps.pop()
        for j, up in enumerate(self.ups):
            if j and self.skips:
                y = torch.cat([maps.pop(), y], 1)
            y = up(y)
            if draws and j in self.dropped:
                y = y * 2 * (draws(f'dropout_{j}', *y.shape[1:], device=y.device) < 0.5)
        return y
