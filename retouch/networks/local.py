"""Local's generator, which can be given noise and grow without checkers, and its critic with scores for labels at several scales.

Layer facts: the trunks are StarGAN's (Choi et al., CVPR 2018); scores by labels: Miyato and Koyama, ICLR 2018; resize-convolutions:
Odena, Dumoulin, Olah, Distill 2016; blocks that start as the identity: Goyal et al., arXiv:1706.02677, section 5.1; skips: Ronneberger,
Fischer, Brox, MICCAI 2015, added as in LinkNet (Chaurasia, Culurciello, 2017).
"""
from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from retouch.networks.layers import NarrowConv2d, ResidualBlock, conv_with_condition, depth_for, instance_norm

Scales = Literal['both', 'fine', 'last', 'local']
Upsample = Literal['deconv', 'resize']


def starting_as_identity(channels: int) -> ResidualBlock:
    """A residual block that adds nothing yet."""
    block = ResidualBlock(channels, affine=True, bias=False, reflect=False)
    nn.init.zeros_(block.main[-1].weight)
    return block


class Generator(nn.Module):
    """[N,3,H,W], a condition [N,K] and noise [N,Z,H/8,W/8] -> [N,4,H,W] without activation: the mask's logit, then the content.

    H, W divisible by 2**levels, by 8 with noise. Zero padding throughout.

    Args:
        attributes: K.
        width: channels of the first convolution.
        blocks: residual blocks.
        upsample: 'deconv': transposed convolutions, as StarGAN; 'resize': every pixel four times, then a convolution.
        noise: Z, channels of noise: where there is nothing in the picture that says where something new should be.
        levels: strided convolutions, each with twice the channels; 2 as StarGAN; one more a doubling of the side keeps its view of a thing.
        skips: whether every map on the way up has the one of its size on the way down added, so that a mask can follow a strand.
        detail: residual blocks on the way up, this many at every size below the picture's, after the skip. They start as the identity
            (the last scale 0), so that a network without them can be trained on with them.
    """

    def __init__(self, attributes: int, width: int = 64, blocks: int = 6, upsample: Upsample = 'deconv', noise: int = 0,
                 levels: int = 2, skips: bool = False, detail: int = 0) -> None:
        super().__init__()
        w, self.noise = width, noise
        top = w * 2 ** levels
        layers: list[nn.Module] = [nn.Conv2d(3 + attributes + noise, w, 7, 1, 3, bias=False), instance_norm(w, True),
                                   nn.ReLU(inplace=True)]
        for c in (w * 2 ** i for i in range(levels)):
            layers += [nn.Conv2d(c, 2 * c, 4, 2, 1, bias=False), instance_norm(2 * c, True), nn.ReLU(inplace=True)]
        layers += [ResidualBlock(top, affine=True, bias=False, reflect=False) for _ in range(blocks)]
        self.kept = tuple(2 + 3 * i for i in range(levels)) if skips else ()     # after the activation of every level but the smallest
        up = 3 if upsample == 'deconv' else 4                                    # modules of a step
        self.ups = tuple(len(layers) + up * (i + 1) - 1 for i in range(levels))  # the activation that ends a step up
        for c in (top // 2 ** i for i in range(levels)):
            grow = ([nn.ConvTranspose2d(c, c // 2, 4, 2, 1, bias=False)] if upsample == 'deconv' else
                    [nn.Upsample(scale_factor=2), nn.Conv2d(c, c // 2, 3, 1, 1, bias=False)])
            layers += [*grow, instance_norm(c // 2, True), nn.ReLU(inplace=True)]
        layers.append(NarrowConv2d(w, 4, 7, 1, 3, bias=False))
        self.main = nn.Sequential(*layers)
        self.detail = nn.ModuleList(nn.Sequential(*(starting_as_identity(top // 2 ** (i + 1)) for _ in range(detail)))
                                    for i in range(levels - 1))  # nothing at the picture's own size

    def forward(self, x: Tensor, condition: Tensor, noise: Tensor | None = None) -> Tensor:
        colours = x.shape[1]
        if self.noise:
            assert noise is not None
            x = torch.cat([x, F.interpolate(noise, size=x.shape[2:], mode='bilinear').to(x.dtype)], 1)
        x, down = conv_with_condition(self.main[0], x, condition, colours), list[Tensor]()
        for i, layer in enumerate(self.main[1:], 1):
            x = layer(x)
            if i in self.kept:
                down.append(x)
            elif i in self.ups:
                x = x + down.pop() if down else x
                if (step := self.ups.index(i)) < len(self.detail):
                    x = self.detail[step](x)
        return x


def label_scores(heads: Iterable[nn.Module], maps: list[Tensor], labels: Tensor, projection: bool = True) -> list[Tensor]:
    """[N,h,w] for every head and its map, float32: h_0 + sum_k (2 b_k - 1) h_k with labels b [N,K], or h_0 alone."""
    signs = torch.cat([torch.ones_like(labels[:, :1]), 2 * labels - 1], 1) if projection else torch.ones_like(labels[:, :1])
    return [(head(m).to(signs) * signs[:, :, None, None]).sum(1) for head, m in zip(heads, maps, strict=True)]


class Critic(nn.Module):
    """Scores [N,h,w] of a picture with labels at several scales, and class logits [N,K].

    No norm, LeakyReLU(0.01). Local scales are the third map, H/8, of which a score sees 22 px (38 px with its head's neighbours), and those
    after it down to a side of 8; the last is the trunk's, and sees all of it. The fine one is the second map, H/4: 10 px (18 px).
    Every score is h_0 + sum_k (2 b_k - 1) h_k (`projection`), or h_0 alone.

    Args:
        attributes: K.
        size: side of the pictures it learns from; larger ones have more scores, and logits averaged over their windows.
        width: channels of the first convolution.
        scales: 'both': local ones and the last; 'fine': these and the fine one; 'last' or 'local'.
        projection: whether scores are of pictures with labels.
        most: no convolution has more channels.
    """

    slope, local = 0.01, 2

    def __init__(self, attributes: int, size: int, width: int = 64, scales: Scales = 'both', projection: bool = True,
                 most: int = 2048) -> None:
        super().__init__()
        depth = depth_for(size, self.local + 1, '--data.size or --data.window')
        channels = [3, *(min(width * 2 ** i, most) for i in range(depth))]
        local = tuple(range(self.local, max(self.local + 1, depth - 2)))
        self.projection = projection
        self.convs = nn.ModuleList(nn.Conv2d(a, b, 4, 2, 1) for a, b in zip(channels, channels[1:], strict=False))
        for conv in self.convs:                                  # torch's own start lets a picture fade in a trunk without a norm
            nn.init.kaiming_normal_(conv.weight, self.slope)
        self.at = {'both': (*local, depth - 1), 'fine': (*local, depth - 1, self.local - 1), 'last': (depth - 1,), 'local': local}[scales]
        self.heads = nn.ModuleList(nn.Conv2d(channels[i + 1], 1 + attributes * projection, 3, 1, 1) for i in self.at)
        self.cls = nn.Conv2d(channels[-1], attributes, size // 2 ** depth, bias=False)

    def features(self, x: Tensor) -> list[Tensor]:
        """The maps after every strided convolution and its activation, [N,C_i,H/2**i,W/2**i]."""
        maps = []
        for conv in self.convs:
            x = F.leaky_relu(conv(x), self.slope)
            maps.append(x)
        return maps

    def scores(self, maps: list[Tensor], labels: Tensor) -> list[Tensor]:
        """[N,h,w] for every scale, float32: of pictures, by their maps, as pictures with `labels` [N,K]."""
        return label_scores(self.heads, [maps[i] for i in self.at], labels, self.projection)

    def mean_score(self, x: Tensor, labels: Tensor) -> Tensor:
        """[N]: the sum over scales of mean scores of pictures [N,3,H,W] with `labels` [N,K], which a penalty is the gradient of."""
        return torch.stack([s.mean((1, 2)) for s in self.scores(self.features(x), labels)]).sum(0)

    def logits(self, maps: list[Tensor]) -> Tensor:
        """Class logits [N,K]."""
        return self.cls(maps[-1]).flatten(2).mean(2)
