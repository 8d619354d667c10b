"""LOMIT's encoders, decoder and discriminator; the mask network and highway AdaIN are in `guidance`.

Layer facts: the ICLR 2019 submission Local Image-to-Image Translation via Pixel-wise Highway Adaptive Instance Normalization, and
AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization @ 82bb58c (no licence file). Every convolution is padded by reflection and has
a bias.
"""
from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import NarrowConv2d, instance_norm

Norm = Callable[[int], nn.Module]

INSTANCE: Norm = partial(instance_norm, affine=True)             # no running statistics
LAYER: Norm = partial(nn.GroupNorm, 1)


def conv(inside: int, outside: int, kernel: int, stride: int, padding: int, *after: nn.Module) -> nn.Sequential:
    """A convolution padded by reflection, and what follows it."""
    return nn.Sequential(nn.Conv2d(inside, outside, kernel, stride, padding, padding_mode='reflect'), *after)


class Residual(nn.Module):
    """x + conv-norm-relu-conv-norm of x, no activation after the sum. [N,C,H,W] -> [N,C,H,W]."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.main = nn.Sequential(conv(channels, channels, 3, 1, 1, norm(channels), nn.ReLU(inplace=True)),
                                  conv(channels, channels, 3, 1, 1, norm(channels)))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


class ContentEncoder(nn.Module):
    """[N,3,H,W] -> content [N,4*width,H/4,W/4]. H, W multiples of 4. 5,390,848 parameters at the defaults.

    Args:
        width: channels of the first convolution; they double twice.
        blocks: residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        c = [3, width, 2 * width, 4 * width]
        shapes = ((7, 1, 3), (4, 2, 1), (4, 2, 1))
        self.main = nn.Sequential(*(conv(a, b, *shape, INSTANCE(b), nn.ReLU(inplace=True))
                                    for a, b, shape in zip(c, c[1:], shapes, strict=False)),
                                  *(Residual(c[-1], INSTANCE) for _ in range(blocks)))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class StyleEncoder(nn.Module):
    """Foreground and background of pictures, each [N,3,H,W], -> their style codes, each [N,style_dim]. H, W at least 16.

    A trunk for both and a head for each. 4,864,656 parameters at the defaults, 2,764,936 with one head.

    Args:
        width: channels of the first convolution; they double twice.
        style_dim: length of a code.
        share: one head for both.
    """

    def __init__(self, width: int = 64, style_dim: int = 8, share: bool = False) -> None:
        super().__init__()
        c = [3, width, 2 * width, 4 * width]
        shapes = ((7, 1, 3), (4, 2, 1), (4, 2, 1))
        self.trunk = nn.Sequential(*(conv(a, b, *shape, nn.LeakyReLU(0.01, inplace=True))
                                     for a, b, shape in zip(c, c[1:], shapes, strict=False)))

        def head() -> nn.Module:
            return nn.Sequential(*(conv(c[-1], c[-1], 4, 2, 1, nn.LeakyReLU(0.01, inplace=True)) for _ in range(2)),
                                 nn.AdaptiveAvgPool2d(1), nn.Conv2d(c[-1], style_dim, 1), nn.Flatten())

        self.foreground = head()
        self.background = None if share else head()

    def forward(self, foreground: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        n, h = foreground.shape[0], self.trunk(torch.cat([foreground, background]))        # slices: an exported graph takes any N
        return self.foreground(h[:n]), (self.foreground if self.background is None else self.background)(h[n:])


class Decoder(nn.Module):
    """A styled map [N,C,h,w] -> a picture [N,3,4h,4w] in [-1,1]. 5,758,723 parameters at the defaults.

    Args:
        channels: C; halved with each doubling of the side.
        blocks: residual blocks.
    """

    def __init__(self, channels: int = 256, blocks: int = 4) -> None:
        super().__init__()
        self.main = nn.Sequential(*(Residual(channels, LAYER) for _ in range(blocks)))
        for i in (1, 2):
            inside, outside = 2 * channels // 2 ** i, channels // 2 ** i
            self.main += nn.Sequential(nn.Upsample(scale_factor=2), conv(inside, outside, 5, 1, 2, LAYER(outside), nn.ReLU(inplace=True)))
        self.main += nn.Sequential(nn.Sequential(NarrowConv2d(channels // 4, 3, 7, 1, 3, padding_mode='reflect'), nn.Tanh()))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


def depth_at(size: int) -> int:
    """Strided convolutions of the discriminator: six from 128 px on, below so many that the last map has a side of 2 or 3."""
    return min(6, (size // 2).bit_length() - 1)


class Discriminator(nn.Module):
    """Critic with a class head: [N,3,H,W] -> src [N,1,h,w] and logits [N,K]. H = W at least 4.

    Strided convolutions with LeakyReLU, widths doubling, then two convolutions: 3x3 to the critic's map, one over the whole last map to the
    classes. No norm. 44,803,019 parameters with 10 attributes at 128 px.

    Args:
        attributes: K.
        size: H = W in pixels.
        width: channels of the first convolution.
        layers: strided convolutions; None: `depth_at(size)`.
    """

    def __init__(self, attributes: int, size: int, width: int = 64, layers: int | None = None) -> None:
        super().__init__()
        layers = depth_at(size) if layers is None else layers
        side = size >> layers
        if side < 2:
            raise ValueError(f'layers={layers} strided convolutions leave {side} px of {size}: expected a map of at least 2 px, which the '
                             f"critic's convolution can mirror; use at most {depth_at(size)}")
        c = [3, *(width * 2 ** i for i in range(layers))]
        self.main = nn.Sequential(*(conv(a, b, 4, 2, 1, nn.LeakyReLU(0.01, inplace=True)) for a, b in zip(c, c[1:], strict=False)))
        self.src = conv(c[-1], 1, 3, 1, 1)
        self.cls = nn.Conv2d(c[-1], attributes, side)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.main(x)
        return self.src(h), self.cls(h).flatten(1)

    def input_gradient(self, x: Tensor) -> Tensor:
        """d sum(src(x)) / dx as a closed form that is differentiable in the weights; see `networks.stargan`. [N,3,H,W] -> [N,3,H,W]."""
        maps, slopes = [x], list[Tensor]()
        with torch.no_grad():
            for layer in self.main:
                h = layer[0](maps[-1])
                slopes.append(torch.where(h > 0, 1.0, 0.01))
                maps.append(h * slopes[-1])
            score = self.src(maps[-1])
        g = self.turned_back(torch.ones_like(score), self.src[0], maps[-1])
        for layer, slope, before in zip(reversed(self.main), reversed(slopes), reversed(maps[:-1]), strict=True):
            g = self.turned_back(g * slope, layer[0], before)
        return g

    @staticmethod
    def turned_back(g: Tensor, layer: nn.Conv2d, before: Tensor) -> Tensor:
        """The gradient of a mirrored map's convolution with respect to the map `before` it: transposed, then the mirror folded in."""
        pad, stride = layer.padding[0], layer.stride[0]                                # type: ignore[index]
        unseen = (before.shape[2] + 2 * pad - layer.kernel_size[0]) % stride           # rows of an odd side that no kernel reached
        g = F.conv_transpose2d(g, layer.weight, stride=stride, output_padding=unseen)
        return torch.ops.aten.reflection_pad2d_backward(g, before, [pad] * 4)


def init_generator(net: nn.Module) -> nn.Module:
    """Kaiming-normal kernels and matrices (fan in, gain of a ReLU), biases 0; norms stay at 1 and 0. Returns the network."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, a=0, mode='fan_in')
            nn.init.zeros_(module.bias)                          # type: ignore[arg-type]
    return net


def init_discriminator(net: nn.Module) -> nn.Module:
    """Kernels N(0, 0.02), biases 0. Returns the network."""
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, 0.0, 0.02)
            nn.init.zeros_(module.bias)                          # type: ignore[arg-type]
    return net
