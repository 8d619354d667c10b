"""CycleGAN's residual generator and the 70x70 patch discriminator.

Layer facts: Zhu et al., ICCV 2017, and junyanz/pytorch-CycleGAN-and-pix2pix (BSD); of `antialias`, taesungp/
contrastive-unpaired-translation @ b3ac297 (BSD).
"""
from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import NarrowConv2d, ResidualBlock, instance_norm, norm_of


def init_normal(module: nn.Module, std: float = 0.02) -> nn.Module:
    """The CycleGAN family's initialisation: convolutions N(0, std), scales of norms N(1, std), biases 0. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(m.weight, 0.0, std)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
        elif isinstance(m, nn.BatchNorm2d | nn.GroupNorm) and m.affine:
            nn.init.normal_(m.weight, 1.0, std)
            nn.init.zeros_(m.bias)
    return module


def init_xavier(module: nn.Module, gain: float = 0.02) -> nn.Module:
    """Convolutions and linear layers by Xavier's normal rule, biases 0. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.xavier_normal_(m.weight, gain)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return module


def layers_at(size: int, layers: int | None = None) -> int:
    """Strided layers of a patch discriminator at `size` px: `layers`, or 3 from 64 px (the published form) and 2 below.

    Raises:
        ValueError: none at all, or so many that no score is left.
    """
    layers = layers if layers is not None else 3 if size >= 64 else 2
    most = (size // 3).bit_length() - 1                          # the last two convolutions need a map of 3 px
    if not 1 <= layers <= most:
        raise ValueError(f'layers_d={layers}: a patch discriminator of {size} px has 1 to {most} strided layers; '
                         f'set --method.layers-d {max(1, most)}')
    return layers


class Halved(nn.Module):
    """[N,C,H,W] -> [N,C,H/2,W/2], rounded up: the kernel [1,2,1] in both directions, reflected at the border, at every other pixel.

    As two products with a narrow band: on CPU half the time of a convolution of every channel, forth and back.
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.band(x.shape[2], x).T @ x @ self.band(x.shape[3], x)

    @staticmethod
    def band(side: int, like: Tensor) -> Tensor:
        """[side,side/2], rounded up: what every pixel of a line, reflected at its ends, gives to every other one."""
        one = F.pad(torch.eye(side, dtype=like.dtype, device=like.device)[None], [1, 1], 'reflect')[0]
        return (one[:, :-2:2] + 2 * one[:, 1:-1:2] + one[:, 2::2]) / 4


class ResNetGenerator(nn.Module):
    """[N,in,H,W] -> [N,out,H,W] in [-1,1]. H, W divisible by 4. 11,378,179 parameters with 9 blocks, 7,837,699 with 6.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        width: channels at full resolution.
        blocks: residual blocks.
        antialias: strides come after convolutions of stride 1, blurred by [1,2,1] and, upwards, [1,3,3,1]. As many parameters.
        affine: norms with scale and offset.
        pad: what the first convolution and the blocks, and all others where it is zeros, see beyond the border.
        rectified: a ReLU after the sum of every block.
        kernel_up: side of the transposed convolutions' kernels, 3 or 4.
    """

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, blocks: int = 9, *, antialias: bool = False,
                 affine: bool = False, pad: Literal['reflect', 'zeros'] = 'reflect', rectified: bool = False,
                 kernel_up: Literal[3, 4] = 3) -> None:
        super().__init__()
        w = width
        layers: list[nn.Module] = [nn.Conv2d(in_channels, w, 7, 1, 3, padding_mode=pad), instance_norm(w, affine), nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, 1 if antialias else 2, 1), instance_norm(2 * c, affine), nn.ReLU(inplace=True)]
            layers += [Halved()] if antialias else []
        block = [ResidualBlock(4 * w, affine=affine, bias=True, reflect=pad == 'reflect') for _ in range(blocks)]
        layers += [nn.Sequential(b, nn.ReLU(inplace=True)) for b in block] if rectified else block
        for c in (4 * w, 2 * w):
            # the kernel [1,3,3,1] at stride 2 is bilinear interpolation
            layers += ([nn.Upsample(scale_factor=2, mode='bilinear'), nn.Conv2d(c, c // 2, 3, 1, 1)] if antialias else
                       [nn.ConvTranspose2d(c, c // 2, kernel_up, 2, 1, output_padding=4 - kernel_up)])
            layers += [instance_norm(c // 2, affine), nn.ReLU(inplace=True)]
        layers += [NarrowConv2d(w, out_channels, 7, 1, 3, padding_mode=pad), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)

    def features(self, x: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """What the layers `taps` make of x [N,in,H,W], maps [N,C,h,w] in rising order; no layer after the last of them is run.

        0 is the reflected picture itself, i > 0 the i-th layer of `main`, a convolution or a block (ReLUs overwrite what norms make).
        """
        found = [F.pad(x, [3] * 4, 'reflect')] if 0 in taps else []
        for i, layer in enumerate(self.main[:max(taps)], 1):
            x = layer(x)
            if i in taps:
                found.append(x)
        return found


class PatchDiscriminator(nn.Module):
    """[N,in,H,W] -> patch scores [N,1,h,w]; at 256 px 30x30 scores with a 70x70 field. 2,764,737 parameters with 3 input channels.

    Args:
        in_channels: of the input.
        width: channels of the first convolution.
        layers: strided convolutions.
        norm: 'batch': convolutions before it have no bias; 2,765,633 parameters.
        antialias: strides come after convolutions of stride 1, blurred by [1,2,1]. As many scores and parameters.
        padding: zeros around every convolution's input; with 2, 35x35 scores at 256 px.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, layers: int = 3, norm: Literal['batch', 'instance'] = 'instance', *,
                 antialias: bool = False, padding: int = 1) -> None:
        super().__init__()
        channels = [width * min(2 ** i, 8) for i in range(layers + 1)]

        def conv(a: int, b: int, halves: bool, bias: bool = True) -> nn.Module:
            return nn.Conv2d(a, b, 4, 2 if halves and not antialias else 1, padding, bias=bias)

        def activation(halves: bool) -> nn.Module:
            rectifier = nn.LeakyReLU(0.2, inplace=True)
            return nn.Sequential(rectifier, Halved()) if halves and antialias else rectifier

        main: list[nn.Module] = [conv(in_channels, width, True), activation(True)]
        for i, (a, b) in enumerate(zip(channels, channels[1:], strict=False), 1):
            main += [conv(a, b, i < layers, norm == 'instance'), norm_of(norm, b), activation(i < layers)]
        main.append(conv(channels[-1], 1, False))
        self.main = nn.Sequential(*main)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)

    def with_activation(self, x: Tensor, conv: int, rectified: bool = True) -> tuple[Tensor, Tensor]:
        """Scores and, from the same pass, what a convolution made of x.

        Args:
            x: [N,in,H,W].
            conv: which convolution, 1 is the first and `layers` + 1 the last before the scores.
            rectified: after its LeakyReLU; otherwise before, after its norm.

        Returns:
            scores [N,1,h,w] and the activation [N,C,h',w'], both attached to the graph.
        """
        cut = 3 * conv - 1 - (not rectified)
        a = self.main[:cut](x)
        return self.main[cut:](a if rectified else a.clone()), a         # the LeakyReLU works in place
