"""Co-segmentation: where a picture shows what another one shows too, and the regulariser that makes similar cells agree.

A channel gate read off the other picture's features weights this picture's, and a small convolutional network turns them into a mask.

    coseg = CoSegmentation(channels=256)
    mask = coseg(c, c_other)                                     # [N,256,h,w] twice -> [N,1,h,w] in (0,1), 1 = foreground
    mask = coseg(c, c_other, size=128)                           # the same at 128 px, enlarged before the sigmoid
    loss = similarity_penalty_mean(c, [mask_at_features])        # small where cells with similar features have similar values

Batch norm: training mode takes the batch's statistics, eval mode the running averages, so that no picture depends on its batch mates.
Source: the ICLR 2019 submission Local Image-to-Image Translation via Pixel-wise Highway Adaptive Instance Normalization (the "LOMIT
paper") and AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization @ 82bb58c (no licence file; no code taken).
"""
from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CoSegmentation(nn.Module):
    """Features of a picture and of another one -> a mask of the first.

    Six times conv 3, batch norm, ReLU, then conv 1 and a sigmoid, on features weighted by a gate of two linear layers (tanh, sigmoid) that
    sees the channel means of the other picture's. Features of 3x3 cells or more.

    Args:
        channels: C of the features. 3,806,721 parameters with 256: gate 262,912, convolutions and norms 3,543,809.
    """

    def __init__(self, channels: int = 256) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(6):
            layers += [nn.Conv2d(channels, channels, 3, 1, 1, padding_mode='reflect'), nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(channels, 1, 1))
        self.gate = nn.Sequential(nn.Linear(channels, 2 * channels), nn.Tanh(), nn.Linear(2 * channels, channels), nn.Sigmoid())

    def forward(self, c: Tensor, other: Tensor, size: int | None = None) -> Tensor:
        """The mask of `c` for which `other` asks.

        Args:
            c: [N,C,h,w] features of the picture to segment.
            other: [N,C,h',w'] features of the other picture; `c` itself for what a picture has in common with itself.
            size: side to which the logits are enlarged (bilinearly) before the sigmoid; None: the features' own.

        Returns:
            [N,1,h,w] or [N,1,size,size] in [0,1], at least float32; 1 = foreground.

        Raises:
            ValueError: another number of channels than C.
        """
        expected = self.gate[0].in_features
        for name, features in {'c': c, 'other': other}.items():
            if features.shape[1] != expected:
                raise ValueError(f'{name} has {features.shape[1]} channels: expected {expected}, as this network was made for')
        logits = self.main(c * self.gate(other.mean((2, 3)))[:, :, None, None])
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if size is not None:
            logits = F.interpolate(logits, size=(size, size), mode='bilinear', align_corners=False)
        return logits.sigmoid()


def similarity_penalty_mean(content: Tensor, masks: Sequence[Tensor], *, rows: int | None = 512, clamp: bool = False) -> Tensor:
    """Mean over N and all pairs of cells i, j of cos(c_i, c_j) |m_i - m_j|, summed over the masks.

    The sum over pairs is linear in a mask as long as the order of its values stays, so it equals <m, g> with g its gradient, and g is all
    that is kept for the backward pass. Two blocks of rows x h*w numbers are in memory at a time: at 32x32 cells 2 MiB an image each with
    512 rows, beside the normalised features (1 MiB with 256 channels). At 128x128 cells all rows would take 1 GiB each, so bring masks to
    the features' size first.

    Args:
        content: [N,C,h,w] features; a constant here.
        masks: each [N,1,h,w].
        rows: so many rows of the h*w x h*w matrices at once; None: all. The result is the same but for rounding.
        clamp: take negative similarities for 0; a negative one rewards a difference.

    Returns:
        [] at least float32, differentiable once, in the masks alone.

    Raises:
        ValueError: a mask of another size than the content.
    """
    n, _, h, w = content.shape
    for mask in masks:
        if mask.shape != (n, 1, h, w):
            raise ValueError(f'mask has shape {tuple(mask.shape)}: expected {(n, 1, h, w)}, one channel at the size of the content map')
    m = torch.stack([mask.to(torch.promote_types(mask.dtype, torch.float32)).flatten(1) for mask in masks])       # [K,N,hw]
    with torch.no_grad(), torch.autocast(content.device.type, enabled=False):
        unit = F.normalize(content.to(m.dtype).flatten(2), dim=1, eps=1e-8).mT                                    # [N,hw,C]
        g, cells, step = torch.empty_like(m), h * w, rows or h * w
        for start in range(0, cells, step):
            similarity = unit[:, start:start + step] @ unit.mT                                                    # [N,rows,hw]
            if clamp:
                similarity.clamp_(min=0)
            for k in range(len(masks)):
                # nameless, so that no block outlives its line
                g[k, :, start:start + step] = (m[k, :, start:start + step, None] - m[k, :, None]).sign_().mul_(similarity).sum(-1)
        g *= 2 / (n * cells * cells)
        level = m.mean(-1, keepdim=True)                         # <1, g> = 0: without it, nearly constant masks would lose digits
    return ((m - level) * g).sum()
