"""A compact U-Net for face parsing, and its frozen form in front of a generator.

Layer facts: Ronneberger, Fischer, Brox. U-Net. MICCAI 2015: two 3x3 convolutions a level, 2x2 max-pool, 2x2 transposed convolution,
shortcuts by concatenation. Here padded, with batch norm, and no wider than 8 times the first level.
"""
from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

DEPTH = 4


def pair(a: int, b: int) -> nn.Sequential:
    """Two 3x3 convolutions with batch norm and ReLU, [N,a,H,W] -> [N,b,H,W]."""
    return nn.Sequential(nn.Conv2d(a, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True),
                         nn.Conv2d(b, b, 3, 1, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))


class UNet(nn.Module):
    """[N,3,H,W] in [-1,1] -> logits [N,classes,H,W]. H, W divisible by 16. 1,286,892 parameters with 12 classes and width 16.

    Differentiable with respect to the picture; the deepest map has a sixteenth of the side.
    """

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__()
        c = [width * 2 ** min(i, 3) for i in range(DEPTH + 1)]
        self.down = nn.ModuleList(pair(a, b) for a, b in zip([3, *c], c, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(c[i + 1], c[i], 2, 2) for i in range(DEPTH))
        self.merge = nn.ModuleList(pair(2 * c[i], c[i]) for i in range(DEPTH))
        self.head = nn.Conv2d(c[0], classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        maps = []
        for i, layer in enumerate(self.down):
            x = layer(nn.functional.max_pool2d(x, 2) if i else x)
            maps.append(x)
        for i in reversed(range(DEPTH)):
            x = self.merge[i](torch.cat([maps[i], self.up[i](x)], 1))
        return self.head(x)


class FrozenParser(UNet):
    """A parser that is looked through and never learns: in eval mode for good, its weights without a gradient."""

    def __init__(self, classes: int, width: int = 16) -> None:
        super().__init__(classes, width)
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> FrozenParser:
        """Stays in eval mode."""
        return super().train(False)


class BesideParse(nn.Module):
    """A generator for 3 + C channels that is given pictures [N,3,H,W] and sees them with their parse, [N,3+C,H,W].

    Args:
        net: the generator; where it has `encode` and `decode`, so has this.
        parse: pictures [N,3,H,W] -> [N,C,H,W].
    """

    def __init__(self, net: nn.Module, parse: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.net, self.parse = net, parse
        self.known: tuple[Tensor, Tensor] | None = None          # pictures whose parse need not be made again

    def see(self, x: Tensor) -> Tensor:
        """The pictures with their parse behind them."""
        return torch.cat([x, self.known[1] if self.known and self.known[0] is x else self.parse(x)], 1)

    def encode(self, x: Tensor) -> list[Tensor]:
        """What `net` makes of the pictures and their parse."""
        return self.net.encode(self.see(x))

    def decode(self, maps: list[Tensor], condition: Tensor) -> Tensor:
        """As `net`."""
        return self.net.decode(maps, condition)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.net(self.see(x), condition)
