"""UNIT's networks of 2017: two coupled auto-encoders and two discriminators that are one from their third layer on.

Layer facts: Liu, Breuel, Kautz, NIPS 2017, and mingyuliutw/UNIT @ 96def6b, branch `version_02` (CC BY-NC-SA 4.0). What the domains share
of the auto-encoders is `munit.SharedBlocks`, padded with zeros.
"""
from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.layers import ResidualBlock


def init_kernels(module: nn.Module, std: float = 0.02) -> nn.Module:
    """Convolutions N(0, std); their biases stay torch's. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(m.weight, 0.0, std)
    return module


def leaky(layer: nn.Module) -> list[nn.Module]:
    """A layer and its LeakyReLU(0.01)."""
    return [layer, nn.LeakyReLU(0.01, inplace=True)]


class CoupledAutoEncoder(nn.Module):
    """One domain's own part: `encode` [N,3,H,W] -> [N,4 width,H/4,W/4] and `decode` back to [-1,1]; H, W divisible by 4.

    No norm outside the residual blocks, zero padding. 7,828,483 parameters: encoder 3,918,976, decoder 3,909,507.

    Args:
        width: channels of the first convolution.
        blocks: residual blocks of the encoder, and as many of the decoder.
    """

    def __init__(self, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        w, c = width, 4 * width
        own = [[ResidualBlock(c, affine=False, bias=True, reflect=False) for _ in range(blocks)] for _ in range(2)]
        self.encode = nn.Sequential(*leaky(nn.Conv2d(3, w, 7, 1, 3)), *leaky(nn.Conv2d(w, 2 * w, 3, 2, 1)),
                                    *leaky(nn.Conv2d(2 * w, c, 3, 2, 1)), *own[0])
        self.decode = nn.Sequential(*own[1], *leaky(nn.ConvTranspose2d(c, 2 * w, 3, 2, 1, output_padding=1)),
                                    *leaky(nn.ConvTranspose2d(2 * w, w, 3, 2, 1, output_padding=1)), nn.Conv2d(w, 3, 1), nn.Tanh())

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


def depth_at(size: int) -> int:
    """Strided convolutions of a discriminator at `size` px: six, or as many as leave the last one a map of 2 px. 6 from 128, 4 at 32."""
    return min(6, size.bit_length() - 2)


class CoupledDiscriminator(nn.Sequential):
    """A domain's own first layers of the discriminator: [N,3,S,S] -> [N,2 width,S/4,S/4]."""

    def __init__(self, width: int = 64) -> None:
        super().__init__(*leaky(nn.Conv2d(3, width, 7, 2, 3)), *leaky(nn.Conv2d(width, 2 * width, 3, 2, 1)))


class SharedDiscriminator(nn.Sequential):
    """What both domains share: [N,2 width,S/4,S/4] -> logits [N,1,h,w]. With two `CoupledDiscriminator` 25,240,065 parameters.

    Args:
        size: S in pixels, at least 16.
        width: channels of a domain's own first convolution.
    """

    def __init__(self, size: int, width: int = 64) -> None:
        if depth_at(size) < 3:
            raise ValueError(f'size={size}: the discriminator needs at least 16 px; set --data.size 16 or more')
        channels = [2 * width * 2 ** i for i in range(depth_at(size) - 1)]
        strided = [layer for a, b in zip(channels, channels[1:], strict=False) for layer in leaky(nn.Conv2d(a, b, 3, 2, 1))]
        super().__init__(*strided, nn.Conv2d(channels[-1], 1, 1))
