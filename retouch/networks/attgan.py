"""AttGAN's generator and discriminator; STGAN shares the discriminator.

Layer facts: He, Zuo, Kan, Shan, Chen. AttGAN: Facial Attribute Editing by Only Changing What You Want. IEEE TIP 2019, and
elvisyjlin/AttGAN-PyTorch @ be2d6c6 (MIT); discriminator of STGAN: bluestyle97/STGAN-pytorch @ 1136a5d (no licence file).
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from retouch.networks.layers import instance_norm, maps_of, with_condition


class Generator(nn.Module):
    """[N,in_channels,H,W] and a label [N,K] -> [N,out_channels,H,W], without the output activation. H, W multiples of 2**layers.

    An encoder that never sees the label and a decoder that does. Batch norm: training mode uses the batch, eval mode the running
    statistics. 43,459,203 parameters with 13 attributes at the defaults, 43,352,707 with inject=0.

    Args:
        attributes: K.
        width: channels of the first convolution; they double up to 16 times it.
        layers: strided convolutions, and transposed ones.
        shortcut: encoder maps that reach the decoder, from the second deepest on; at most layers - 1.
        inject: decoder levels after the first that get the label again; at most layers - 1.
        slope: of the encoder's LeakyReLU.
        norm_eps: of batch norm.
        norm_momentum: how much of the running statistics every training pass replaces.
        in_channels: of the picture.
        out_channels: of what is made of it.
    """

    def __init__(self, attributes: int, width: int = 64, layers: int = 5, shortcut: int = 1, inject: int = 1, *, slope: float = 0.01,
                 norm_eps: float = 1e-5, norm_momentum: float = 0.1, in_channels: int = 3, out_channels: int = 3) -> None:
        super().__init__()
        self.shortcut, self.inject = min(shortcut, layers - 1), min(inject, layers - 1)
        c = [width * 2 ** min(i, 4) for i in range(layers)]

        def norm(channels: int) -> nn.Module:
            return nn.BatchNorm2d(channels, norm_eps, norm_momentum)

        self.encoder = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), norm(b), nn.LeakyReLU(slope, inplace=True))
                                     for a, b in zip([in_channels, *c], c, strict=False))
        self.decoder = nn.ModuleList()
        inside = c[-1] + attributes
        for i in range(1, layers):
            outside, beside = c[layers - i], c[layers - 1 - i]
            self.decoder.append(nn.Sequential(nn.ConvTranspose2d(inside, outside, 4, 2, 1, bias=False), norm(outside),
                                              nn.ReLU(inplace=True)))
            inside = outside + beside * (i <= self.shortcut) + attributes * (i <= self.inject)
        self.decoder.append(nn.ConvTranspose2d(inside, out_channels, 4, 2, 1))

    def encode(self, x: Tensor) -> list[Tensor]:
        """[N,in_channels,H,W] -> the maps of every depth, [N,C_i,H/2**i,W/2**i] for i = 1 … layers. They do not depend on the label."""
        return maps_of(self.encoder, x)

    def decode(self, maps: list[Tensor], label: Tensor) -> Tensor:
        """The maps of `encode` and a label [N,K] -> [N,out_channels,H,W], without the output activation."""
        x = maps[-1]
        for i, layer in enumerate(self.decoder):
            if 1 <= i <= self.shortcut:
                x = torch.cat([x, maps[-1 - i]], 1)
            if i <= self.inject:                                                       # the first level always has it
                x = with_condition(x, label)
            x = layer(x)
        return x

    def forward(self, x: Tensor, label: Tensor) -> Tensor:
        return self.decode(self.encode(x), label)


class Discriminator(nn.Module):
    """Critic with a class head: [N,in_channels,H,W] -> src [N,1] and logits [N,K]. H a multiple of 2**layers.

    `layers` strided convolutions with instance norm and LeakyReLU, widths doubling from `width` to at most 16 times it, then two
    heads of two linear layers each. 44,718,990 parameters with 13 attributes at 128 px; 44,720,974 with convolution biases (STGAN).

    Args:
        attributes: K.
        size: H = W in pixels.
        width: channels of the first convolution; the heads' hidden layers have 16 times as many.
        layers: strided convolutions.
        bias: whether the convolutions have biases (STGAN) or not (AttGAN).
        slope: of the convolutions' LeakyReLU.
        norm_eps: of instance norm.
        head_slope: of the activation between a head's linear layers; 0 is a ReLU.
        in_channels: of the picture.
    """

    def __init__(self, attributes: int, size: int, width: int = 64, layers: int = 5, *, bias: bool = False, slope: float = 0.01,
                 norm_eps: float = 1e-5, head_slope: float = 0.0, in_channels: int = 3) -> None:
        super().__init__()
        if size % 2 ** layers or size == 2 ** layers:
            raise ValueError(f'size={size}: {layers} strided convolutions need a larger multiple of {2 ** layers}: '
                             'choose another size or fewer layers')
        channels = [in_channels, *(width * 2 ** min(i, 4) for i in range(layers))]
        # one channel a group: instance norm, as layers.instance_norm, with an epsilon of its own
        self.convs = nn.ModuleList(nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=bias), instance_norm(b, True, norm_eps), nn.LeakyReLU(slope))
                                   for a, b in zip(channels, channels[1:], strict=False))
        flat, hidden = channels[-1] * (size // 2 ** layers) ** 2, 16 * width
        self.src = nn.Sequential(nn.Linear(flat, hidden), nn.LeakyReLU(head_slope), nn.Linear(hidden, 1))
        self.cls = nn.Sequential(nn.Linear(flat, hidden), nn.LeakyReLU(head_slope), nn.Linear(hidden, attributes))

    def features(self, x: Tensor, depth: int | None = None) -> list[Tensor]:
        """The maps after the first `depth` (None: all) strided convolutions and their activations, [N,C_i,H/2**i,W/2**i] each."""
        return maps_of(self.convs[:depth], x)

    def heads(self, a: Tensor, depth: int | None = None) -> tuple[Tensor, Tensor]:
        """src [N,1] and class logits [N,K] from the map after `depth` convolutions (None: the last one)."""
        for conv in self.convs[len(self.convs) if depth is None else depth:]:
            a = conv(a)
        a = a.flatten(1)
        return self.src(a), self.cls(a)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.heads(self.features(x)[-1])
