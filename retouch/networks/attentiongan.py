"""AttentionGAN's generator (version 2): one encoder, a decoder of contents and a decoder of attention maps.

Layer facts: Ha0Tang/AttentionGAN @ 45da496, `models/networks.py` (CC BY-NC-SA 4.0).
"""
from __future__ import annotations

from torch import Tensor, nn

from retouch.networks.layers import ResidualBlock, instance_norm


class Generator(nn.Module):
    """[N,3,H,W] -> contents [N,C,3,H,W] in [-1,1] and logits of their attention maps and the input's [N,C+1,H,W].

    H, W divisible by 4. 11,822,949 parameters with 9 contents and 9 blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 9, contents: int = 9) -> None:
        super().__init__()
        w = width
        encoder: list[nn.Module] = [nn.Conv2d(3, w, 7, 1, 3, padding_mode='reflect'), instance_norm(w, False), nn.ReLU(inplace=True)]
        for c in (w, 2 * w):
            encoder += [nn.Conv2d(c, 2 * c, 3, 2, 1), instance_norm(2 * c, False), nn.ReLU(inplace=True)]
        encoder += [ResidualBlock(4 * w, affine=False, bias=True, reflect=True) for _ in range(blocks)]
        self.encoder = nn.Sequential(*encoder)
        self.content = nn.Sequential(*self._doublings(4 * w), nn.Conv2d(w, 3 * contents, 7, 1, 3, padding_mode='reflect'), nn.Tanh())
        self.attention = nn.Sequential(*self._doublings(4 * w), nn.Conv2d(w, contents + 1, 1))

    @staticmethod
    def _doublings(channels: int) -> list[nn.Module]:
        """[N,c,h,w] -> [N,c/4,4h,4w]."""
        return [layer for c in (channels, channels // 2) for layer in
                (nn.ConvTranspose2d(c, c // 2, 3, 2, 1, output_padding=1), instance_norm(c // 2, False), nn.ReLU(inplace=True))]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.encoder(x)                                      # [N,4w,H/4,W/4]
        return self.content(h).unflatten(1, (-1, 3)), self.attention(h)
