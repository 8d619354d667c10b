"""The attention network of Mejjati et al. and their discriminator, whose norms can be left out.

Layer facts: Mejjati et al., NeurIPS 2018, and AlamiMejjati/Unsupervised-Attention-guided-Image-to-Image-Translation @ a691e3a (MIT).
"""
from __future__ import annotations

from typing import Literal

import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import ResidualBlock, instance_norm


class Attention(nn.Module):
    """[N,3,H,W] -> the logits of a mask [N,1,H,W]. H, W divisible by 4. 104,001 parameters, 154,689 with kernel 3.

    Args:
        width: channels of the first map.
        kernel: 1: the convolutions that follow the enlargements are 1x1 as the authors' code runs them, so that the mask is constant on
            blocks of 4x4 pixels; 3: they are 3x3, 3x3 and 7x7, as that code names them.
    """

    def __init__(self, width: int = 32, kernel: Literal[1, 3] = 1) -> None:
        super().__init__()
        w = width

        def conv(a: int, b: int, side: int) -> nn.Module:
            return nn.Conv2d(a, b, side, 1, side // 2, padding_mode='reflect') if side > 1 else nn.Conv2d(a, b, 1)

        def normed(c: int) -> tuple[nn.Module, nn.Module]:
            return instance_norm(c, True), nn.ReLU(inplace=True)

        self.main = nn.Sequential(
            nn.Conv2d(3, w, 7, 2, 3, padding_mode='reflect'), *normed(w),
            nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(w, 2 * w, 3, 2), *normed(2 * w),       # TensorFlow's SAME pads the end only
            ResidualBlock(2 * w, affine=True, bias=True, reflect=True), nn.ReLU(inplace=True),
            nn.Upsample(scale_factor=2), conv(2 * w, 2 * w, kernel), *normed(2 * w),
            nn.Upsample(scale_factor=2), conv(2 * w, w, kernel), *normed(w),
            conv(w, 1, 7 if kernel == 3 else 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class ToggledDiscriminator(nn.Module):
    """[N,3,H,W] -> patch scores [N,1,h,w]; at 256 px 35x35 with a 70x70 field. 2,766,657 parameters.

    Widths and strides of CycleGAN's, two zeros around every convolution's input, norms with scale and offset on all but the last.
    """

    def __init__(self, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        channels = [3, *(width * min(2 ** i, 8) for i in range(layers + 1))]
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 4, 2 if i < layers else 1, 2)
                                          for i, (a, b) in enumerate(zip(channels, channels[1:], strict=False)))
        self.norms = nn.ModuleList(instance_norm(c, True) for c in channels[1:])
        self.scores = nn.Conv2d(channels[-1], 1, 4, 1, 2)

    def forward(self, x: Tensor, normed: bool = True) -> Tensor:
        """normed: False leaves out the norms, their scales and offsets too."""
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            x = convolution(x)
            x = F.leaky_relu(norm(x) if normed else x, 0.2)
        return self.scores(x)
