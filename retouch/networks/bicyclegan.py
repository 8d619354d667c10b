"""BicycleGAN's encoder of pictures into Gaussians of z, and its discriminator at two scales.

Layer facts: Zhu et al., NeurIPS 2017, and junyanz/BicycleGAN @ 40b9d52 (BSD).
"""
from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.layers import instance_norm


def blocks_at(size: int) -> int:
    """Residual blocks of the encoder at `size` px: as many as leave a map of 8 px. 4 at 256 px, 3 at 128 (published), 2 at 64, 1 at 32."""
    return max(0, (size // 16).bit_length() - 1)


class PooledBlock(nn.Module):
    """[N,C,H,W] -> [N,O,H/2,W/2]: norm-lrelu-conv-norm-lrelu-conv-pool of x, and beside it pool-conv1x1 of x."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            instance_norm(inputs, False), nn.LeakyReLU(0.2), nn.Conv2d(inputs, inputs, 3, 1, 1),
            instance_norm(inputs, False), nn.LeakyReLU(0.2), nn.Conv2d(inputs, outputs, 3, 1, 1), nn.AvgPool2d(2))
        self.shortcut = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.shortcut(x)


class GaussianEncoder(nn.Module):
    """[N,3,S,S] -> mean and log of the variance, [N,z] each. 2,590,032 parameters at 256 px, 1,344,080 at 128.

    Args:
        size: S in pixels, at least 16; it decides the depth.
        width: channels of the first convolution; they grow to four times that.
        z: numbers that a picture is told in.
    """

    def __init__(self, size: int, width: int = 64, z: int = 8) -> None:
        super().__init__()
        channels = [width * min(n, 4) for n in range(1, blocks_at(size) + 2)]
        self.main = nn.Sequential(
            nn.Conv2d(3, width, 4, 2, 1), *(PooledBlock(a, b) for a, b in zip(channels, channels[1:], strict=False)),
            nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1))
        self.mean, self.logvar = nn.Conv2d(channels[-1], z, 1), nn.Conv2d(channels[-1], z, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.main(x)                                                           # [N,4 width,1,1]
        return self.mean(h).flatten(1), self.logvar(h).flatten(1)


class TwoScales(nn.Module):
    """Scores of a picture [N,C,H,W] by one discriminator, and by another of half the side."""

    def __init__(self, whole: nn.Module, half: nn.Module) -> None:
        super().__init__()
        self.scales = nn.ModuleList([whole, half])
        self.downsample = nn.AvgPool2d(3, 2, 1, count_include_pad=False)

    def forward(self, x: Tensor) -> list[Tensor]:
        whole, half = self.scales
        return [whole(x), half(self.downsample(x))]
