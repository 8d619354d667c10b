"""Highway AdaIN: one content map in two styles, the foreground's where a mask is 1 and the background's where it is 0.

AdaIN gives a whole map one style. Here a normalised content map takes two, and a mask in [0,1] decides in every cell how much of each.

    adain = HighwayAdaIN(channels=256)                           # with the two networks that turn style codes into scales and offsets
    out = adain(c, mask, s_f, s_b)                               # [N,256,h,w], [N,1,h,w], [N,8], [N,8] -> [N,256,h,w]
    out = highway_adain(c, mask, f, b)                           # the operation alone, with f, b [N,512] of your own

Source: the ICLR 2019 submission Local Image-to-Image Translation via Pixel-wise Highway Adaptive Instance Normalization (the "LOMIT
paper") and AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization @ 82bb58c (no licence file; no code taken).
"""
from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

Std = Literal['spatial', 'nested']
Param = Literal['exp', 'direct']


def highway_adain(c: Tensor, mask: Tensor, foreground: Tensor, background: Tensor, *, std: Std = 'spatial', param: Param = 'exp',
                  eps: float = 1e-5) -> Tensor:
    """mask * (g_f n + b_f) + (1 - mask) * (g_b n + b_b), with n = (c - mean) / (std + eps) of every channel of every sample.

    Args:
        c: [N,C,h,w] content, at least two cells.
        mask: [N,1,h,w] in [0,1], 1 = foreground.
        foreground: [N,2C]: C offsets b_f, then C numbers that give the scales g_f.
        background: [N,2C] in the same way.
        std: 'spatial': over all cells; 'nested': over the rows of what it is over the columns, which is several times smaller. Weights
            that the released code trained need it.
        param: 'exp': the numbers are log-variances, g = exp(x / 2); 'direct': they are the scales.
        eps: added to the deviation.

    Returns:
        [N,C,h,w], at least float32.

    Raises:
        ValueError: shapes that do not fit, or a map in which no deviation can be measured.
    """
    n, channels, h, w = c.shape
    if mask.shape != (n, 1, h, w):
        raise ValueError(f'mask has shape {tuple(mask.shape)}: expected {(n, 1, h, w)}, one channel at the size of the content map')
    for name, style in {'foreground': foreground, 'background': background}.items():
        if style.shape != (n, 2 * channels):
            raise ValueError(f'{name} has shape {tuple(style.shape)}: expected {(n, 2 * channels)}, an offset and a scale per channel')
    if h * w < 2 or (std == 'nested' and min(h, w) < 2):
        raise ValueError(f'a content map of {h}x{w} cells: expected at least two in all, and with std=nested at least 2x2')
    c, mask, foreground, background = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (c, mask, foreground, background))
    deviation = c.std((2, 3), keepdim=True) if std == 'spatial' else c.std(3, keepdim=True).std(2, keepdim=True)
    normal = (c - c.mean((2, 3), keepdim=True)) / (deviation + eps)
    (offset_f, scale_f), (offset_b, scale_b) = (style[:, :, None, None].chunk(2, 1) for style in (foreground, background))
    if param == 'exp':
        scale_f, scale_b = (0.5 * scale_f).exp(), (0.5 * scale_b).exp()
    return mask * (scale_f * normal + offset_f) + (1 - mask) * (scale_b * normal + offset_b)


class HighwayAdaIN(nn.Module):
    """`highway_adain` of style codes: two networks of three linear layers turn them into offsets and scales.

    Args:
        channels: C of the content map.
        style_dim: length of a style code.
        hidden: width of the networks' two hidden layers.
        std: see `highway_adain`.
        param: see `highway_adain`.

    199,680 parameters in each network with the defaults of 256 channels, codes of 8 and 256 hidden units.
    """

    def __init__(self, channels: int = 256, style_dim: int = 8, hidden: int = 256, std: Std = 'spatial', param: Param = 'exp') -> None:
        super().__init__()
        self.std, self.param = std, param
        self.foreground, self.background = (
            nn.Sequential(nn.Linear(style_dim, hidden), nn.LeakyReLU(0.01), nn.Linear(hidden, hidden), nn.LeakyReLU(0.01),
                          nn.Linear(hidden, 2 * channels)) for _ in range(2))

    def forward(self, c: Tensor, mask: Tensor, s_f: Tensor, s_b: Tensor) -> Tensor:
        """[N,C,h,w], [N,1,h,w] in [0,1] and the codes [N,S] of foreground and background -> [N,C,h,w]."""
        return highway_adain(c, mask, self.foreground(s_f), self.background(s_b), std=self.std, param=self.param)
