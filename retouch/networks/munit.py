"""MUNIT's auto-encoder of content and style, UNIT's of a latent map, and the discriminator at three scales that DRIT has too.

Layer facts: Huang et al., ECCV 2018, and NVlabs/MUNIT @ a82e222, mingyuliutw/UNIT @ 28d5982 (CC BY-NC-SA 4.0).
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import NarrowConv2d, ResidualBlock, instance_norm


def init_kaiming(module: nn.Module) -> nn.Module:
    """Convolutions and linear layers N(0, 2 / inputs), their biases 0. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(m.weight)
            nn.init.zeros_(m.bias)
    return module


def depth_at(size: int) -> int:
    """Strided convolutions of a discriminator scale at `size` px: as many, up to four, as leave the largest scale a map of 8 px.

    4 from 128 px (the published form), 3 from 64, 2 from 32, 1 from 16. The style encoder has as many.
    """
    return min(4, (size // 8).bit_length() - 1)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, norm: nn.Module | None = None) -> list[nn.Module]:
    """Reflection-padded convolution, norm if any, ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(inputs, outputs, kernel, stride, (kernel - 1) // 2, padding_mode='reflect')]
    return layers + ([norm] if norm else []) + [nn.ReLU(inplace=True)]


class LayerNorm(nn.Module):
    """Normalises every picture [C,H,W] as a whole, by its unbiased standard deviation; scale and offset a channel, scales from U(0,1)."""

    def __init__(self, channels: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.rand(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.to(torch.promote_types(x.dtype, torch.float32))                      # [N,C,H,W]
        flat = x.flatten(1)
        mean, std = (s.view(-1, 1, 1, 1) for s in (flat.mean(1), flat.std(1)))
        return (x - mean) / (std + self.eps) * self.weight.view(-1, 1, 1) + self.bias.view(-1, 1, 1)


class AdaINResidual(nn.Module):
    """x + conv-AdaIN-relu-conv-AdaIN of x, reflection padding. [N,C,H,W], and [N,4C]: offset and scale of the first norm, of the second."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, 1, 1, padding_mode='reflect')
        self.second = nn.Conv2d(channels, channels, 3, 1, 1, padding_mode='reflect')

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        offset_1, scale_1, offset_2, scale_2 = style[:, :, None, None].chunk(4, 1)              # [N,C,1,1] each
        h = F.relu(F.group_norm(self.first(x), x.shape[1]) * scale_1 + offset_1)                # group norm: see layers.instance_norm
        return x + F.group_norm(self.second(h), x.shape[1]) * scale_2 + offset_2


def downsampling(width: int) -> list[nn.Module]:
    """[N,3,H,W] -> [N,4 width,H/4,W/4]: three convolutions with instance norm, which the residual blocks of an encoder follow."""
    w, c = width, 4 * width
    return [*convolution(3, w, 7, 1, instance_norm(w, False)), *convolution(w, 2 * w, 4, 2, instance_norm(2 * w, False)),
            *convolution(2 * w, c, 4, 2, instance_norm(c, False))]


def residuals(channels: int, blocks: int, reflect: bool = True) -> list[nn.Module]:
    """Residual blocks with instance norm, [N,C,H,W] -> [N,C,H,W] each."""
    return [ResidualBlock(channels, affine=False, bias=True, reflect=reflect) for _ in range(blocks)]


def upsampling(width: int) -> list[nn.Module]:
    """[N,4 width,h,w] -> [N,3,4h,4w] in [-1,1]: what follows the residual blocks of a decoder."""
    w, c = width, 4 * width
    return [nn.Upsample(scale_factor=2), *convolution(c, 2 * w, 5, 1, LayerNorm(2 * w)),
            nn.Upsample(scale_factor=2), *convolution(2 * w, w, 5, 1, LayerNorm(w)),
            NarrowConv2d(w, 3, 7, 1, 3, padding_mode='reflect'), nn.Tanh()]


class AutoEncoder(nn.Module):
    """One domain's `content` [N,3,H,W] -> [N,4 width,H/4,W/4], `style` [N,3,H,W] -> [N,style_dim], and `decode` of both to [-1,1].

    15,026,187 parameters: content 5,385,856, style 2,764,936, MLP 1,120,768, decoder 5,754,627.

    Args:
        size: side of the pictures, divisible by 4, at least 16; the style encoder has `depth_at(size)` strided convolutions.
        width: channels of the first convolution.
        blocks: residual blocks of the content encoder, and as many of the decoder.
        style_dim: length of a style.
        width_mlp: hidden width of the MLP that makes AdaIN's parameters of a style.
    """

    def __init__(self, size: int, width: int = 64, blocks: int = 4, style_dim: int = 8, width_mlp: int = 256) -> None:
        super().__init__()
        if depth_at(size) < 1:
            raise ValueError(f'size={size}: the style encoder needs at least 16 px; set --data.size 16 or more')
        w, c = width, 4 * width
        self.content = nn.Sequential(*downsampling(w), *residuals(c, blocks))
        widths = [w * min(2 ** i, 4) for i in range(depth_at(size) + 1)]
        strided = [layer for a, b in zip(widths, widths[1:], strict=False) for layer in convolution(a, b, 4, 2)]
        self.style = nn.Sequential(*convolution(3, w, 7), *strided, nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[-1], style_dim, 1),
                                   nn.Flatten())
        self.mlp = nn.Sequential(nn.Linear(style_dim, width_mlp), nn.ReLU(inplace=True), nn.Linear(width_mlp, width_mlp),
                                 nn.ReLU(inplace=True), nn.Linear(width_mlp, blocks * 4 * c))
        self.blocks = nn.ModuleList(AdaINResidual(c) for _ in range(blocks))
        self.up = nn.Sequential(*upsampling(w))

    def decode(self, content: Tensor, style: Tensor) -> Tensor:
        """[N,4 width,h,w] and [N,style_dim] -> [N,3,4h,4w]."""
        for block, part in zip(self.blocks, self.mlp(style).chunk(len(self.blocks), 1), strict=True):
            content = block(content, part)
        return self.up(content)

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.content(x), self.style(x))


class LatentAutoEncoder(nn.Module):
    """UNIT's: `encode` [N,3,H,W] -> [N,4 width,H/4,W/4] and `decode` of that to [-1,1], MUNIT's encoder and decoder without a style.

    11,140,483 parameters: encoder 5,385,856, decoder 5,754,627.

    Args:
        width: channels of the first convolution.
        blocks: residual blocks of the encoder, and as many of the decoder.
    """

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.encode = nn.Sequential(*downsampling(width), *residuals(4 * width, blocks))
        self.decode = nn.Sequential(*residuals(4 * width, blocks), *upsampling(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x))


class SharedBlocks(nn.Module):
    """The last residual blocks of both domains' encoders and the first of both decoders, `encode` and `decode`, one tensor for both.

    2,360,320 parameters with one block each and 256 channels.

    Args:
        channels: of the latent map.
        blocks: in each of the two.
        reflect: padding by reflection, or with zeros.
    """

    def __init__(self, channels: int, blocks: int, reflect: bool) -> None:
        super().__init__()
        self.encode = nn.Sequential(*residuals(channels, blocks, reflect))
        self.decode = nn.Sequential(*residuals(channels, blocks, reflect))


class MultiScaleDiscriminator(nn.Module):
    """[N,3,S,S] -> patch scores [N,1,h,w] at `scales` scales, each of half the side of the one before. 8,271,171 parameters.

    A scale is `depth_at(size)` convolutions k4 s2 with reflection padding, widths doubling, LeakyReLU, no norm; a 1x1 convolution.

    Args:
        size: S in pixels, at least 16.
        width: channels of the first convolution.
        scales: how many.
        slope: of the LeakyReLU.
    """

    def __init__(self, size: int, width: int = 64, scales: int = 3, slope: float = 0.2) -> None:
        super().__init__()
        channels = [3, *(width * 2 ** i for i in range(depth_at(size)))]
        if len(channels) == 1:
            raise ValueError(f'size={size}: the discriminator needs at least 16 px; set --data.size 16 or more')
        self.downsample = nn.AvgPool2d(3, 2, 1, count_include_pad=False)
        self.scales = nn.ModuleList()
        for _ in range(scales):
            layers: list[nn.Module] = []
            for a, b in zip(channels, channels[1:], strict=False):
                layers += [nn.Conv2d(a, b, 4, 2, 1, padding_mode='reflect'), nn.LeakyReLU(slope, inplace=True)]
            self.scales.append(nn.Sequential(*layers, nn.Conv2d(channels[-1], 1, 1)))

    def forward(self, x: Tensor) -> list[Tensor]:
        scores = []
        for scale in self.scales:
            scores.append(scale(x))
            x = self.downsample(x)
        return scores
