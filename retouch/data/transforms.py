"""Batched picture transforms that run wherever the tensor lives; stored maps [N,1,H,W] follow their pictures through them."""
from __future__ import annotations

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 [N,H,W,3] -> float32 [N,3,H,W] in [-1,1]: 0 is -1, 255 is 1."""
    if images.dtype != torch.uint8 or images.ndim != 4:
        raise ValueError(f'images are {images.dtype} {list(images.shape)}: expected uint8 [N,H,W,3]')
    # The bytes are transposed before they grow to four each; 2/255 as a factor is faster than a division and still gives 1 for 255.
    return images.permute(0, 3, 1, 2).contiguous().to(torch.float32).mul_(2 / 255).sub_(1)


def to_uint8(images: Tensor) -> Tensor:
    """float [N,3,H,W] in [-1,1] (values beyond are clamped, NaN is unspecified) -> uint8 [N,H,W,3], rounded."""
    if not images.is_floating_point() or images.ndim != 4:
        raise ValueError(f'images are {images.dtype} {list(images.shape)}: expected float [N,3,H,W] in [-1,1]')
    levels = images.detach().to(torch.float32).add(1).mul_(127.5).round_().clamp_(0, 255)
    return levels.to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def flip_where(images: Tensor, where: Tensor) -> Tensor:
    """Mirrors left and right the samples of images [N,C,H,W] for which where [N] (bool) is true. Pictures and masks alike."""
    if where.dtype != torch.bool or where.shape != images.shape[:1]:
        raise ValueError(f'where is {where.dtype} {list(where.shape)}: expected bool [{images.shape[0]}], one per picture')
    return torch.where(where[:, None, None, None], images.flip(-1), images)


def crop_at(images: Tensor, top: Tensor, left: Tensor, size: int | tuple[int, int]) -> Tensor:
    """Cuts one window from each sample: images [N,C,H,W], top and left int [N] in pixels -> [N,C,size,size].

    Args:
        images: pictures or masks, any dtype and device.
        top: first row of each window, 0 <= top <= H - height.
        left: first column of each window, 0 <= left <= W - width.
        size: side of the window, or (height, width), in pixels.

    Raises:
        ValueError: a window larger than the pictures, or (tensors on the CPU) one that leaves its picture.
    """
    n, _, h, w = images.shape
    height, width = (size, size) if isinstance(size, int) else size
    if not (0 < height <= h and 0 < width <= w):
        raise ValueError(f'window of {height} x {width} px: expected at most the size of the pictures, {h} x {w} px')
    if top.shape != (n,) or left.shape != (n,):
        raise ValueError(f'top {list(top.shape)}, left {list(left.shape)}: expected [{n}], one per picture')
    if images.device.type == 'cpu':
        corners = list(zip(top.tolist(), left.tolist(), strict=True))
        for y, x in corners:
            if not (0 <= y <= h - height and 0 <= x <= w - width):
                raise ValueError(f'window at row {y}, column {x}: expected rows 0 to {h - height} and columns 0 to {w - width}')
        return torch.stack([image[:, y:y + height, x:x + width] for image, (y, x) in zip(images, corners, strict=True)])
    # Elsewhere one gather: reading the corners on the host would stop the device.
    rows = top.long()[:, None] + torch.arange(height, device=images.device)
    columns = left.long()[:, None] + torch.arange(width, device=images.device)
    return gather_windows(images, rows, columns)


def gather_windows(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """images [N,C,H,W], rows int64 [N,h], columns int64 [N,w] -> [N,C,h,w], without a wait of the host for the device."""
    n, channels = images.shape[:2]
    sample = torch.arange(n, device=images.device)[:, None, None, None]
    channel = torch.arange(channels, device=images.device)[None, :, None, None]
    return images[sample, channel, rows[:, None, :, None], columns[:, None, None, :]]
