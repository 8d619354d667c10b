"""DualGAN's discriminators: of 2017, all kernels of 5, and of 2020, with kernels of 3 and a layer more.

Layer facts: Yi, Zhang, Tan, Gong, ICCV 2017, and duxingren14/DualGAN @ d7ee5b8 (2017) and @ bd64bf9 (Apache-2.0).
"""
from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from retouch.networks.layers import instance_norm


class Critic(nn.Module):
    """[N,3,S,S] -> scores [N,1,h,w]; [N,1,1,1] of the whole picture with a linear head. At 256 px 4,321,153 parameters with kernels of 5.

    With kernels of 3: 3,921,281, with a linear head 3,949,441.

    Args:
        size: S in pixels, at least 16, a multiple of 2 as often as it is halved.
        width: channels of the first convolution.
        kernel: 5: strides 2, 2, 2, 1 and a head of stride 1. 3: the first has 5, strides 2, 2, 2, 2, 2 and a head of stride 2. Small
            pictures have fewer strided layers, so that the last map keeps 4 px.
        head: 'conv', or 'linear' on the whole map.
    """

    def __init__(self, size: int, width: int = 64, kernel: Literal[3, 5] = 5, head: Literal['conv', 'linear'] = 'conv') -> None:
        super().__init__()
        strided = min(3 if kernel == 5 else 5, (size // 4).bit_length() - 1)
        if strided < 1:
            raise ValueError(f'size={size}: the discriminator needs at least 8 px; set --data.size 16 or more')
        strides = [2] * strided + [1] * (kernel == 5)
        channels = [width * min(2 ** i, 8) for i in range(len(strides))]
        layers: list[nn.Module] = []
        for i, (stride, outputs) in enumerate(zip(strides, channels, strict=True)):
            side = 5 if i == 0 else kernel
            layers += [nn.Conv2d(channels[i - 1] if i else 3, outputs, side, stride, side // 2),
                       *([instance_norm(outputs, True, 1e-6)] if i else []), nn.LeakyReLU(0.2)]
        if head == 'linear':
            layers.append(nn.Conv2d(channels[-1], 1, size >> strided))
        else:
            layers.append(nn.Conv2d(channels[-1], 1, kernel, 1 if kernel == 5 else 2, kernel // 2))
        self.main = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
