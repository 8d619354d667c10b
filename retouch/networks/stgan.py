"""STGAN's generator: an encoder and a decoder whose shortcuts pass through selective transfer units (STU).

Layer facts: Liu, Ding, Xia, Liu, Ding, Zuo, Wen. STGAN, CVPR 2019; bluestyle97/STGAN-pytorch @ 1136a5d (no licence file) and the
authors' csmliu/STGAN @ 8a206ad (MIT, TensorFlow). The discriminator is `networks.attgan.Discriminator`.
"""
from __future__ import annotations

import torch
from torch import Tensor, nn

from retouch.networks.layers import maps_of, with_condition


class STU(nn.Module):
    """Selects what of an encoder map f the decoder gets, led by a state from the next deeper unit. A GRU along the depth.

    s^ = up([s, d]);  r, z = sigma(W_r [f, s^]), sigma(W_z [f, s^]);  s' = r s^;  t = (1 - z) s^ + z tanh(W_h [f, s'])

    Args:
        attributes: K.
        deep: channels of the state that comes in.
        channels: of f, of t and of the state that goes out.
        norm: batch norm after the three 3x3 convolutions.
        bias: of every layer without a norm.
    """

    def __init__(self, attributes: int, deep: int, channels: int, *, norm: bool, bias: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(deep + attributes, channels, 4, 2, 1, bias=bias)

        def gate() -> nn.Module:
            conv = nn.Conv2d(2 * channels, channels, 3, 1, 1, bias=bias and not norm)
            return nn.Sequential(conv, nn.BatchNorm2d(channels)) if norm else conv

        self.reset, self.update, self.hidden = gate(), gate(), gate()

    def forward(self, f: Tensor, s: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """f [N,C,2h,2w], s [N,deep,h,w], condition [N,K] -> what replaces f, and the state for the next unit, [N,C,2h,2w] each."""
        s_hat = self.up(with_condition(s, condition))
        both = torch.cat([f, s_hat], 1)
        r, z = self.reset(both).sigmoid(), self.update(both).sigmoid()
        state = r * s_hat
        new = self.hidden(torch.cat([f, state], 1)).tanh()
        return (1 - z) * s_hat + z * new, state


class Generator(nn.Module):
    """[N,3,H,W] and a condition [N,K] -> [N,3,H,W], without the output activation. H, W multiples of 2**layers.

    Batch norm: training mode uses the batch, eval mode the running statistics. With 13 attributes 74,471,760 parameters as
    bluestyle97 publishes it (the defaults), 74,998,771 in the authors' form (shortcut=4, inject=4, stu_norm=False, extra=False, bias=True).

    Args:
        attributes: K.
        width: channels of the first convolution; they double up to 16 times it.
        layers: strided convolutions, and transposed ones.
        shortcut: encoder maps that reach the decoder, from the second deepest on; at most layers - 1.
        inject: decoder levels after the first that get the condition again; at most layers - 1.
        stu: whether the shortcuts pass through STUs.
        stu_norm: batch norm inside them.
        extra: one more convolution at full size, after width / 4 channels.
        bias: of every layer without a norm.
        in_channels: of what is edited.
        out_channels: of the result.
    """

    def __init__(self, attributes: int, width: int = 64, layers: int = 5, shortcut: int = 3, inject: int = 0, *, stu: bool = True,
                 stu_norm: bool = True, extra: bool = True, bias: bool = False, in_channels: int = 3, out_channels: int = 3) -> None:
        super().__init__()
        self.shortcut, self.inject = min(shortcut, layers - 1), min(inject, layers - 1)
        c = [width * 2 ** min(i, 4) for i in range(layers)]

        def encode(a: int, b: int) -> nn.Module:
            return nn.Sequential(nn.Conv2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.LeakyReLU(0.2, inplace=True))

        def decode(a: int, b: int) -> nn.Module:
            return nn.Sequential(nn.ConvTranspose2d(a, b, 4, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))

        self.encoder = nn.ModuleList(encode(a, b) for a, b in zip([in_channels, *c], c, strict=False))
        deep = range(layers - 2, layers - 2 - self.shortcut, -1)                       # maps with a shortcut, deepest first
        self.stus = nn.ModuleList(STU(attributes, c[i + 1], c[i], norm=stu_norm, bias=bias) for i in deep) if stu else None
        self.decoder = nn.ModuleList()
        inside = c[-1] + attributes
        for i in range(1, layers):
            self.decoder.append(decode(inside, c[layers - i]))
            inside = c[layers - i] + c[layers - 1 - i] * (i <= self.shortcut) + attributes * (i <= self.inject)
        last = nn.ConvTranspose2d(width // 4, out_channels, 3, 1, 1, bias=bias)
        self.decoder.append(nn.Sequential(decode(inside, width // 4), last) if extra
                            else nn.ConvTranspose2d(inside, out_channels, 4, 2, 1, bias=bias))

    def encode(self, x: Tensor) -> list[Tensor]:
        """[N,3,H,W] -> the maps of every depth, [N,C_i,H/2**i,W/2**i] for i = 1 … layers. They do not depend on the condition."""
        return maps_of(self.encoder, x)

    def decode(self, maps: list[Tensor], condition: Tensor) -> Tensor:
        """The maps of `encode` and a condition [N,K] -> [N,3,H,W], without the output activation."""
        state = maps[-1]
        x = self.decoder[0](with_condition(maps[-1], condition))
        for i, layer in enumerate(self.decoder[1:], 1):
            if i <= self.shortcut:
                f = maps[-1 - i]
                if self.stus is not None:
                    f, state = self.stus[i - 1](f, state, condition)
                x = torch.cat([x, f], 1)
            if i <= self.inject:
                x = with_condition(x, condition)
            x = layer(x)
        return x

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.decode(self.encode(x), condition)
