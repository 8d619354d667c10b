"""From per-image sums to a value with its 95 % interval."""
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from retouch.metrics.psnr import mse_to_psnr

RESAMPLES, LEVEL = 1000, 0.95
Reduce = Callable[[np.ndarray, np.ndarray], np.ndarray]


def pooled(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """[...,K] sums and counts -> [...]: one mean over all images of all attributes. NaN where nothing was counted."""
    with np.errstate(divide='ignore', invalid='ignore'):
        return total.sum(-1) / count.sum(-1)


def mean_over_attributes(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """[...,K] sums and counts -> [...]: the mean of every attribute, then their plain mean. Attributes without a count are left out."""
    seen = count > 0
    means = np.where(seen, total / np.where(seen, count, 1), 0.0)
    with np.errstate(divide='ignore', invalid='ignore'):
        return means.sum(-1) / seen.sum(-1)


def pooled_psnr(total: np.ndarray, count: np.ndarray) -> np.ndarray:
    """[...,K] squared errors and counts -> [...] dB of the pooled mean squared error; infinite where it is 0."""
    return mse_to_psnr(pooled(total, count))


@dataclass(frozen=True)
class Tally:
    """What a measure sums up: one numerator and one weight for every attribute and identity."""

    total: np.ndarray        # [K,n] float64
    count: np.ndarray        # [K,n] float64, 0 where the identity does not take part
    reduce: Reduce = pooled


def finite_or_none(value: float | np.ndarray) -> float | None:
    """Infinite and undefined values are written as null."""
    return float(value) if np.isfinite(value) else None


def tally_to_value(tally: Tally) -> float | None:
    """The measure over all identities."""
    return finite_or_none(tally.reduce(tally.total.sum(1), tally.count.sum(1)))


def tally_to_values(tally: Tally) -> list[float | None]:
    """The measure of every attribute by itself [K]."""
    total, count = tally.total.sum(1), tally.count.sum(1)
    return [finite_or_none(tally.reduce(total[k:k + 1], count[k:k + 1])) for k in range(len(total))]


def tally_to_interval(tally: Tally, seed: int = 0, resamples: int = RESAMPLES, level: float = LEVEL) -> tuple[float | None, float | None]:
    """Percentile bootstrap over identities: all attributes of a face are drawn together, since they share its background and pose.

    Args:
        tally: the sums.
        seed: of the resampling.
        resamples: how many sets of n identities are drawn with replacement.
        level: share of the resampled values inside the interval.

    Returns:
        low and high; None where the bound is infinite or undefined.
    """
    n = tally.total.shape[1]
    if n == 0:
        return None, None
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.float64)             # [R,n]
    values = np.sort(tally.reduce(weights @ tally.total.T, weights @ tally.count.T))               # [R], infinite and NaN last
    low, high = (values[round(q * (resamples - 1))] for q in ((1 - level) / 2, (1 + level) / 2))
    return finite_or_none(low), finite_or_none(high)
