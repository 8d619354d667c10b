"""DRIT's content encoder, attribute encoder and generator, each for both domains, and its discriminator of contents.

Layer facts: Lee et al., ECCV 2018, and HsinYingLee/DRIT @ f19f50a (no licence stated).
"""
from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from retouch.networks.layers import ResidualBlock, instance_norm, with_condition

Domain = Literal['A', 'B']
DOMAINS: tuple[Domain, Domain] = ('A', 'B')


def init_gaussian(module: nn.Module) -> nn.Module:
    """Convolutions N(0, 0.02); biases and linear layers stay torch's. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(m.weight, 0.0, 0.02)
    return module


def strided_at(side: int) -> int:
    """Strided convolutions (k7, padding 1) of the content discriminator for contents of `side` px: up to 3 that leave a map of 4 px.

    3 from 53 px (pictures of 212 px on: the published form), 2 from 25, 1 from 11, 0 below.
    """
    n = 0
    while n < 3 and (side - 5) // 2 + 1 >= 4:
        side, n = (side - 5) // 2 + 1, n + 1
    return n


def residual(channels: int) -> nn.Module:
    """Instance norm without scale and offset, reflection padding."""
    return ResidualBlock(channels, affine=False, bias=True, reflect=True)


class ContentEncoder(nn.Module):
    """A picture [N,3,H,W] of a domain -> its content [N,4 width,H/4,W/4]; the last block serves both domains. 9,018,112 parameters.

    Args:
        width: channels of the first convolution.
        blocks: residual blocks of a domain's own.
    """

    def __init__(self, width: int = 64, blocks: int = 3) -> None:
        super().__init__()
        w = width
        self.own = nn.ModuleDict({domain: nn.Sequential(
            nn.Conv2d(3, w, 7, 1, 3, padding_mode='reflect'), nn.LeakyReLU(0.01, inplace=True),
            nn.Conv2d(w, 2 * w, 3, 2, 1, padding_mode='reflect'), instance_norm(2 * w, False), nn.ReLU(inplace=True),
            nn.Conv2d(2 * w, 4 * w, 3, 2, 1, padding_mode='reflect'), instance_norm(4 * w, False), nn.ReLU(inplace=True),
            *(residual(4 * w) for _ in range(blocks))) for domain in DOMAINS})
        self.shared = residual(4 * w)

    def forward(self, x: Tensor, domain: Domain) -> Tensor:
        return self.shared(self.own[domain](x))


class HalvingResidual(nn.Module):
    """Two convolutions, each after LeakyReLU, and a 1x1 convolution beside them, both at half the side. [N,in,H,W] -> [N,out,H/2,W/2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.main = nn.Sequential(nn.LeakyReLU(0.2), nn.Conv2d(inputs, inputs, 3, 1, 1, padding_mode='reflect'), nn.LeakyReLU(0.2),
                                  nn.Conv2d(inputs, outputs, 3, 1, 1, padding_mode='reflect'), nn.AvgPool2d(2))
        self.beside = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x) + self.beside(x)


class AttributeEncoder(nn.Module):
    """A picture [N,3,H,W] of a domain -> mean and logarithm of the variance of its style [N,style_dim]. 2,688,160 parameters.

    Args:
        width: channels of the first convolution.
        style_dim: length of a style.
    """

    def __init__(self, width: int = 64, style_dim: int = 8) -> None:
        super().__init__()
        w = width
        self.trunk = nn.ModuleDict({domain: nn.Sequential(
            nn.Conv2d(3, w, 4, 2, 1, padding_mode='reflect'), HalvingResidual(w, 2 * w), HalvingResidual(2 * w, 3 * w),
            HalvingResidual(3 * w, 4 * w), nn.LeakyReLU(0.2), nn.AdaptiveAvgPool2d(1), nn.Flatten()) for domain in DOMAINS})
        self.mean = nn.ModuleDict({domain: nn.Linear(4 * w, style_dim) for domain in DOMAINS})
        self.logvar = nn.ModuleDict({domain: nn.Linear(4 * w, style_dim) for domain in DOMAINS})

    def forward(self, x: Tensor, domain: Domain) -> tuple[Tensor, Tensor]:
        h = self.trunk[domain](x)
        return self.mean[domain](h), self.logvar[domain](h)


class Generator(nn.Module):
    """A content [N,4 width,h,w] and a style [N,style_dim] -> a picture [N,3,4h,4w] of a domain in [-1,1]. 9,564,710 parameters.

    The first block serves both domains; the style is tiled and joined to the input of each of the four stages after it.

    Args:
        width: a quarter of the content's channels.
        blocks: residual blocks of a domain's own.
        style_dim: length of a style.
    """

    def __init__(self, width: int = 64, blocks: int = 3, style_dim: int = 8) -> None:
        super().__init__()
        self.shared = residual(4 * width)
        self.stages = nn.ModuleDict({domain: self.stages_of(4 * width, blocks, style_dim) for domain in DOMAINS})

    @staticmethod
    def stages_of(channels: int, blocks: int, style_dim: int) -> nn.ModuleList:
        """Residual blocks, two transposed convolutions with layer norm, and the layer of colours."""
        c = channels + style_dim
        stages: list[nn.Module] = [nn.Sequential(*(residual(c) for _ in range(blocks)))]
        for _ in range(2):
            half = (c + style_dim) // 2
            stages.append(nn.Sequential(nn.ConvTranspose2d(c + style_dim, half, 3, 2, 1, output_padding=1), nn.GroupNorm(1, half),
                                        nn.ReLU(inplace=True)))
            c = half
        return nn.ModuleList([*stages, nn.Sequential(nn.ConvTranspose2d(c + style_dim, 3, 1), nn.Tanh())])

    def forward(self, content: Tensor, style: Tensor, domain: Domain) -> Tensor:
        x = self.shared(content)
        for stage in self.stages[domain]:
            x = stage(with_condition(x, style))
        return x


class ContentDiscriminator(nn.Module):
    """Contents [N,C,s,s] -> patch scores [N,1,h,w]: which domain are they of? 10,683,649 parameters at 256 channels.

    `strided_at(s)` convolutions k7 s2 with reflection padding of 1, one k4 without, each with LeakyReLU; a 1x1 convolution. No norm.

    Args:
        side: s, at least 4.
        channels: C.
    """

    def __init__(self, side: int, channels: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(strided_at(side)):
            layers += [nn.Conv2d(channels, channels, 7, 2, 1, padding_mode='reflect'), nn.LeakyReLU(0.01, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(channels, channels, 4), nn.LeakyReLU(0.01, inplace=True), nn.Conv2d(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
