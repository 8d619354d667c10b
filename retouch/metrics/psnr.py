"""Squared error and PSNR inside and outside an edit region, on the 8-bit scale that a saved picture has."""
from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

PEAK = 255.0


class SquaredError(NamedTuple):
    """Per-image sums over RGB values in squared 8-bit levels, and how many values each sum has; float64 [N] on the CPU."""

    inside: Tensor
    inside_count: Tensor
    outside: Tensor
    outside_count: Tensor


def to_bytes(image: Tensor) -> Tensor:
    """[N,3,H,W] in [-1,1] -> uint8 as a saved picture has it: clamped, then rounded to the nearest of 256 levels."""
    return ((image.float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def squared_error_inside_outside(output: Tensor, reference: Tensor, region: Tensor) -> SquaredError:
    """Squared error of two pictures, split by a region.

    Args:
        output: [N,3,H,W] in [-1,1], or uint8.
        reference: [N,3,H,W] in [-1,1], or uint8.
        region: [N,1,H,W] bool; True counts as inside.

    Returns:
        Sums over RGB and pixels, and the number of values in each (3 a pixel). Nothing is averaged: pooled and per-image PSNR both follow.

    Raises:
        ValueError: shapes that do not belong together.
    """
    if output.shape != reference.shape or tuple(region.shape) != (len(output), 1, *output.shape[2:]):
        shapes = f'{tuple(output.shape)}, {tuple(reference.shape)} and {tuple(region.shape)}'
        raise ValueError(f'output, reference and region of shapes {shapes} do not belong together: '
                         'expected [N,3,H,W], [N,3,H,W] and [N,1,H,W]')
    a, b = (x if x.dtype == torch.uint8 else to_bytes(x) for x in (output, reference))
    squared = (a.int() - b.int()).square().sum(1, keepdim=True)                        # [N,1,H,W], exact
    inside = (squared * region).flatten(1).sum(1).cpu().double()           # MPS has no float64
    count = 3.0 * region.flatten(1).sum(1).cpu().double()
    values = float(output[0].numel()) if len(output) else 0.0
    return SquaredError(inside, count, squared.flatten(1).sum(1).cpu().double() - inside, values - count)


def images_to_arrived(output: Tensor, truth: Tensor, start: Tensor) -> Tensor:
    """Whether the output is less than half as far (root mean square) from the true result as the input is: float64 [N] of 0/1.

    It is then also nearer to the true result than to the input. A grey picture is that too, where the input is dark; so half the way.

    Args:
        output: [N,3,H,W] in [-1,1].
        truth: [N,3,H,W] in [-1,1].
        start: [N,3,H,W] in [-1,1], the input.
    """
    nowhere = torch.zeros(len(output), 1, *output.shape[2:], dtype=torch.bool, device=output.device)
    left, whole = (squared_error_inside_outside(x, truth, nowhere).outside for x in (output, start))
    return (4 * left < whole).double()


def mse_to_psnr(mse: np.ndarray) -> np.ndarray:
    """Mean squared error in squared 8-bit levels -> dB with peak 255; infinite for 0, NaN for NaN."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return 10 * np.log10(PEAK ** 2 / np.asarray(mse, dtype=np.float64))


def squared_error_to_psnr(total: Tensor, count: Tensor) -> float | None:
    """PSNR in dB of one mean squared error over all images. total, count [N]. None where infinite or nothing is compared."""
    if float(count.sum()) == 0 or float(total.sum()) == 0:
        return None
    return float(mse_to_psnr(np.asarray(float(total.sum()) / float(count.sum()))))


def squared_error_to_psnr_per_image(total: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """PSNR of every image in dB [N], and which of them are finite (bool [N]; the others hold 0 and are left out of a mean)."""
    finite = (total > 0) & (count > 0)
    mse = torch.where(finite, total, PEAK ** 2) / torch.where(finite, count, 1)
    return torch.where(finite, 10 * (PEAK ** 2 / mse).log10(), 0.0), finite
