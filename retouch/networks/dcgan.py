"""DCGAN's family of 64-px nets: DiscoGAN's translator, a discriminator that returns its features, IcGAN's generator and encoders.

Layer facts: Kim et al., ICML 2017, and SKTBrain/DiscoGAN @ f044178 (no licence file); Perarnau et al., 2016, and
Guim3/IcGAN @ 0c73cf8 (BSD).
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from retouch.networks.layers import BatchNorm, with_condition


def halvings(size: int, most: int = 4) -> int:
    """How often `size` px are halved, at least twice and at most `most` times, so that the map keeps a side of 4 px or more.

    Raises:
        ValueError: not even twice, or a half does not come out even.
    """
    n = max(2, min(most, (size // 4).bit_length() - 1))
    if size % 2 ** n or size < 16:
        raise ValueError(f'size={size}: these nets halve the picture {n} times, expected a multiple of {2 ** n} from 16 on; '
                         f'set --data.size {max(16, size // 2 ** n * 2 ** n)}')
    return n


def init_dcgan(module: nn.Module) -> nn.Module:
    """Convolutions and matrices N(0, 0.02), scales of norms N(1, 0.02), biases 0. Returns the module."""
    for m in module.modules():
        if isinstance(m, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.normal_(m.weight, float(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)), 0.02)
            if m.bias is not None:
                nn.init.zeros_(m.bias)
    return module


class Translator(nn.Module):
    """[N,3,H,W] -> [N,3,H,W], without the output activation: strided convolutions and as many transposed ones, nothing beside them.

    No biases; batch norm on all but the first and last: training mode uses the batch, eval mode the running statistics. H, W multiples of
    2**layers. 5,513,856 parameters with 4 layers, 1,318,016 with 3; 7,153,480 with 4 and a bottleneck of 100.

    Args:
        width: channels of the first convolution; they double with every further one.
        layers: strided convolutions.
        bottleneck: channels of one more convolution, 4x4 without padding, in the middle: at 64 px a vector; None: none.
    """

    def __init__(self, width: int = 64, layers: int = 4, bottleneck: int | None = None) -> None:
        super().__init__()
        c = [width * 2 ** i for i in range(layers)]
        main: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2, inplace=True)]
        for a, b in zip(c, c[1:], strict=False):
            main += [nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True)]
        if bottleneck:
            main += [nn.Conv2d(c[-1], bottleneck, 4, bias=False), nn.BatchNorm2d(bottleneck), nn.LeakyReLU(0.2, inplace=True)]
            main += [nn.ConvTranspose2d(bottleneck, c[-1], 4, bias=False), nn.BatchNorm2d(c[-1]), nn.ReLU(inplace=True)]
        for a, b in zip(c[:0:-1], c[-2::-1], strict=True):
            main += [nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.main = nn.Sequential(*main, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)


class FeatureDiscriminator(nn.Module):
    """[N,3,H,W] -> logits [N,1,h,w] and what all its strided convolutions but the first made of the picture, after their LeakyReLU.

    One logit at 4 * 2**layers px, 5x5 at twice, 13x13 at four times that. Batch norm of the batch on all but the first and last.
    2,765,568 parameters; with 18 conditions and biases 2,803,393.

    Args:
        width: channels of the first convolution; they double with every further one.
        layers: strided convolutions.
        bias: whether convolutions have biases.
        conditions: entries of a vector that is tiled behind the first convolution's channels.
    """

    def __init__(self, width: int = 64, layers: int = 4, bias: bool = False, conditions: int = 0) -> None:
        super().__init__()
        c = [width * 2 ** i for i in range(layers)]
        self.first = nn.Sequential(nn.Conv2d(3, width, 4, 2, 1, bias=bias), nn.LeakyReLU(0.2, inplace=True))
        self.strided = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a + conditions * (i == 0), b, 4, 2, 1, bias=bias), BatchNorm(b), nn.LeakyReLU(0.2, inplace=True))
            for i, (a, b) in enumerate(zip(c, c[1:], strict=False)))
        self.head = nn.Conv2d(c[-1], 1, 4, bias=bias)

    def forward(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, list[Tensor]]:
        h, features = self.first(x), []
        if condition is not None:
            h = with_condition(h, condition)
        for layer in self.strided:
            h = layer(h)
            features.append(h)
        return self.head(h), features


class LatentGenerator(nn.Module):
    """A vector [N,latent] and conditions [N,K] -> [N,3,size,size], without the output activation. 3,725,123 parameters with 18 conditions.

    Transposed convolutions from 1 px to 4 and then doubling, batch norm and ReLU on all but the last: training mode uses the batch,
    eval mode the running statistics.

    Args:
        conditions: K.
        size: 4 * 2**n px.
        latent: entries of the vector.
        width: channels of the last map; every map before it has twice those of the next.
    """

    def __init__(self, conditions: int, size: int = 64, latent: int = 100, width: int = 64) -> None:
        super().__init__()
        c = [width * 2 ** i for i in reversed(range(halvings(size, 99)))]
        main: list[nn.Module] = [nn.ConvTranspose2d(latent + conditions, c[0], 4), nn.BatchNorm2d(c[0]), nn.ReLU(inplace=True)]
        for a, b in zip(c, c[1:], strict=False):
            main += [nn.ConvTranspose2d(a, b, 4, 2, 1), nn.BatchNorm2d(b), nn.ReLU(inplace=True)]
        self.main = nn.Sequential(*main, nn.ConvTranspose2d(width, 3, 4, 2, 1))

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        return self.main(torch.cat([z, y.to(z.dtype)], 1)[:, :, None, None])


class VectorEncoder(nn.Module):
    """[N,3,size,size] -> [N,out], linear: four strided convolutions and two matrices, batch norm and ReLU on all but the last.

    18,278,244 parameters to 100 at 64 px; 3,186,962 to 18 with 512 in the hidden layer.

    Args:
        out: entries of the vector.
        size: a multiple of 16 px.
        width: channels of the first convolution; they double with every further one.
        hidden: entries between the matrices; None: as many as the last map has, 4,096 at 64 px.
    """

    def __init__(self, out: int, size: int = 64, width: int = 32, hidden: int | None = None) -> None:
        super().__init__()
        c = [3, *(width * 2 ** i for i in range(4))]
        inside = c[-1] * (size // 16) ** 2
        hidden = hidden or inside
        strided = [layer for a, b in zip(c, c[1:], strict=False)
                   for layer in (nn.Conv2d(a, b, 5, 2, 2), nn.BatchNorm2d(b), nn.ReLU(inplace=True))]
        self.main = nn.Sequential(*strided, nn.Flatten(), nn.Linear(inside, hidden), nn.BatchNorm1d(hidden), nn.ReLU(inplace=True),
                                  nn.Linear(hidden, out))

    def forward(self, x: Tensor) -> Tensor:
        return self.main(x)
