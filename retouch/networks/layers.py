"""Layers shared by the networks."""
from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def instance_norm(channels: int, affine: bool, eps: float = 1e-5) -> nn.Module:
    """Instance norm of [N,C,H,W] without running statistics: the same in train and eval mode, independent of batch mates.

    GroupNorm with one channel a group is the same function (a test compares them in float64), and faster on CPU.
    """
    return nn.GroupNorm(channels, channels, eps, affine)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm of [N,C,H,W] that keeps no running statistics: in eval mode every picture has its own, as in a batch of 1."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if self.training else F.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


def norm_of(norm: Literal['batch', 'instance'], channels: int) -> nn.Module:
    """Normalises [N,C,H,W]: batch norm with scale and offset, instance norm without. Neither keeps running statistics."""
    return BatchNorm(channels) if norm == 'batch' else instance_norm(channels, False)


def with_condition(x: Tensor, condition: Tensor) -> Tensor:
    """A map [N,C,H,W] and a vector [N,K] tiled over it -> [N,C+K,H,W]."""
    return torch.cat([x, condition[:, :, None, None].expand(-1, -1, *x.shape[2:]).to(x.dtype)], 1)


def conv_with_condition(conv: nn.Conv2d, x: Tensor, condition: Tensor, before: int) -> Tensor:
    """A zero-padded convolution, stride 1, of x [N,C,H,W] with a condition [N,K] tiled behind its first `before` channels -> [N,O,H,W].

    H and W at least the kernel's side less 1. Nothing is tiled: a constant map is the same to a kernel everywhere but at the border, so one
    of the kernel's own size shows all there is, and its middle is stretched. Several conditions for the same pictures may stand one after
    another: condition [R N,K] -> [R N,O,H,W]. With 3 colours and 13 attributes 0.56 of the time forth and back (width 16, 64 px, batch 8,
    float32, one thread of a Xeon with AVX-512).
    """
    side, pad, after = conv.kernel_size[0], conv.kernel_size[0] // 2, before + condition.shape[1]
    constant = condition[:, :, None, None].expand(-1, -1, side, side).to(x.dtype)
    told = F.conv2d(constant, conv.weight[:, before:after], conv.bias, padding=pad)
    for d in (2, 3):
        middle = told.narrow(d, pad, 1).expand(*(x.shape[d] - side + 1 if i == d else -1 for i in range(4)))
        told = torch.cat([told.narrow(d, 0, pad), middle, told.narrow(d, pad + 1, pad)], d)
    seen = F.conv2d(x, torch.cat([conv.weight[:, :before], conv.weight[:, after:]], 1), padding=pad)
    if condition.shape[0] != x.shape[0]:                         # sizes, not len(): an exported graph takes any number of pictures
        seen = seen.repeat(condition.shape[0] // x.shape[0], 1, 1, 1)
    return seen + told


class NarrowConv2d(nn.Conv2d):
    """A convolution, stride 1, to few channels: in float32 on CPU one of single-row kernels to side times as many, rows then added.

    oneDNN pads outputs to 16 channels. Forth and back 0.53 to 0.72 of the time for 7x7 kernels to 3 channels (one thread of a Xeon with
    AVX-512). Parameters, and elsewhere the computation, are torch's.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != 'cpu' or torch.is_autocast_enabled('cpu'):             # in bf16 1.3 of the time at 16 channels
            return super().forward(x)
        side, pad = self.kernel_size[0], self.padding[0]                           # type: ignore[index]
        if pad:
            x = F.pad(x, [pad] * 4, self.padding_mode if self.padding_mode != 'zeros' else 'constant')
        rows = self.weight.permute(2, 0, 1, 3).flatten(0, 1)[:, :, None]           # [side O,C,1,side]
        parts = F.conv2d(x, rows).unflatten(1, (side, -1)).unbind(1)               # [N,O,H + side - 1,W] each
        height = x.shape[2] - side + 1
        y = sum(part[:, :, i:i + height] for i, part in enumerate(parts))
        return y if self.bias is None else y + self.bias[:, None, None]            # type: ignore[return-value]


def maps_of(layers: Iterable[nn.Module], x: Tensor) -> list[Tensor]:
    """What every layer makes of the one before it, x [N,C,H,W] first."""
    maps = []
    for layer in layers:
        x = layer(x)
        maps.append(x)
    return maps


class ResidualBlock(nn.Module):
    """x + conv-norm-relu-conv-norm of x, no activation after the sum. [N,C,H,W] -> [N,C,H,W]."""

    def __init__(self, channels: int, *, affine: bool, bias: bool, reflect: bool) -> None:
        super().__init__()
        pad = 'reflect' if reflect else 'zeros'
        self.main = nn.Sequential(
            nn.Conv2d(channels, channels, 3, 1, 1, bias=bias, padding_mode=pad), instance_norm(channels, affine), nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=bias, padding_mode=pad), instance_norm(channels, affine))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.main(x)


def depth_for(size: int, least: int = 2, options: str = '--data.size') -> int:
    """Strided convolutions of a StarGAN trunk: 6 from 128 px on as published, fewer below, so that the last map keeps a side of 2 or 3.

    Args:
        size: side of the pictures in px.
        least: how many there must be.
        options: what sets the size, for the message.

    Raises:
        ValueError: the size is no multiple of 64 from 128 px on, nor 2 or 3 times a power of two below, or leaves fewer than `least`.
    """
    depth, side = 0, size
    while depth < 6 and side % 2 == 0 and side >= 4:
        depth, side = depth + 1, side // 2
    if depth < least or (depth < 6 and side > 3):
        raise ValueError(f'size={size}: the discriminator would stop at a map of {side} px; expected 16, 32, 48, 64, 96 or a multiple '
                         f'of 64; set {options}')
    return depth
