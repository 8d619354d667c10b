"""From per-image sums to a value with its 95 % interval."""
from __future__ import annotations

import functools
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
    return _percentiles(tally_to_resampled(tally, seed, resamples), level)


def tallies_to_difference(first: Tally, second: Tally, seed: int = 0, resamples: int = RESAMPLES,
                          level: float = LEVEL) -> tuple[float | None, float | None, float | None]:
    """The second's measure less the first's, of the same identities: both are drawn together, so that what they share cancels.

    Args:
        first: its sums [K,n].
        second: its sums [K,n], of the same identities in the same order.
        seed: of the resampling.
        resamples: how many sets of n identities are drawn with replacement.
        level: share of the resampled differences inside the interval.

    Returns:
        the difference, low and high; None where it is infinite or undefined.

    Raises:
        ValueError: sums of different shapes.
    """
    if first.total.shape != second.total.shape:
        raise ValueError(f'sums of shapes {first.total.shape} and {second.total.shape}: expected the same attributes and identities')
    values = [tally.reduce(tally.total.sum(1), tally.count.sum(1)) for tally in (first, second)]
    with np.errstate(invalid='ignore'):                          # two infinite values have no difference
        resampled = tally_to_resampled(second, seed, resamples) - tally_to_resampled(first, seed, resamples)
        return finite_or_none(values[1] - values[0]), *_percentiles(resampled, level)


def tally_to_resampled(tally: Tally, seed: int = 0, resamples: int = RESAMPLES) -> np.ndarray:
    """The measure of `resamples` sets of identities drawn with replacement, float64 [R]; the same sets for every tally of n identities."""
    drawn = _draw(tally.total.shape[1], seed, resamples)
    values = [np.empty(0)]
    for start in range(0, len(drawn), 100):                      # as float64 all of them would be 8 kB a picture
        weights = drawn[start:start + 100].astype(np.float64)
        values.append(tally.reduce(weights @ tally.total.T, weights @ tally.count.T))
    return np.concatenate(values)


@functools.lru_cache(maxsize=1)
def _draw(n: int, seed: int, resamples: int) -> np.ndarray:
    """How often each of n identities is drawn in each of R sets, uint16 [R,n]; kept, since all measures of a card ask for the same."""
    if n == 0:
        return np.empty((0, 0), np.uint16)
    return np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=resamples).astype(np.uint16)


def _percentiles(values: np.ndarray, level: float) -> tuple[float | None, float | None]:
    if not len(values):
        return None, None
    values = np.sort(values)                                     # infinite and NaN last
    low, high = (values[round(q * (len(values) - 1))] for q in ((1 - level) / 2, (1 + level) / 2))
    return finite_or_none(low), finite_or_none(high)
