"""CycleGAN's residual generator and the 70x70 patch discriminator.

Layer facts: Zhu et al., ICCV 2017, and junyanz/pytorch-CycleGAN-and-pix2pix (BSD).
"""
from __future__ import annotations

from typing import Literal

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


class ResNetGenerator(nn.Module):
    """[N,in,H,W] -> [N,out,H,W] in [-1,1]. H, W divisible by 4. 11,378,179 parameters with 9 blocks, 7,837,699 with 6."""

    def __init__(self, in_channels: int = 3, out_channels: int = 3, width: int = 64, blocks: int = 9) -> None:
        super().__init__()
        w = width
        stem = nn.Conv2d(in_channels, w, 7, 1, 3, padding_mode='reflect')
        layers: list[nn.Module] = [stem, instance_norm(w, False), nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            layers += [nn.Conv2d(c, 2 * c, 3, 2, 1), instance_norm(2 * c, False), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(4 * w, affine=False, bias=True, reflect=True) for _ in range(blocks)]
        for c in (4 * w, 2 * w):
            layers += [nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1), instance_norm(c // 2, False), nn.ReLU(inplace=True)]
        layers += [NarrowConv2d(w, out_channels, 7, 1, 3, padding_mode='reflect'), nn.Tanh()]
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class PatchDiscriminator(nn.Module):
    """[N,in,H,W] -> patch scores [N,1,h,w]; at 256 px 30x30 scores with a 70x70 field. 2,764,737 parameters with 3 input channels.

    norm 'batch': convolutions before it have no bias; 2,765,633 parameters.
    """

    def __init__(self, in_channels: int = 3, width: int = 64, layers: int = 3, norm: Literal['batch', 'instance'] = 'instance') -> None:
        super().__init__()
        channels = [width * min(2 ** i, 8) for i in range(layers + 1)]
        main: list[nn.Module] = [nn.Conv2d(in_channels, width, 4, 2, 1), nn.LeakyReLU(0.2, inplace=True)]
        for i, (a, b) in enumerate(zip(channels, channels[1:], strict=False), 1):
            stride = 2 if i < layers else 1
            main += [nn.Conv2d(a, b, 4, stride, 1, bias=norm == 'instance'), norm_of(norm, b), nn.LeakyReLU(0.2, inplace=True)]
        main.append(nn.Conv2d(channels[-1], 1, 4, 1, 1))
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
