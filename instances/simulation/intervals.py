"""Confidence intervals of a mean: independent tokens, tokens of requests, tokens of one queue."""

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.99
"""How often the interval of a new sample holds the mean that is estimated."""

BATCHES = 32
"""Batches of consecutive tokens: few enough to be long, enough for a narrow interval."""

_ROUNDING = 1e-12
"""Relative error of the mean itself: times that are all equal have no spread, but round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A mean and its confidence interval, mean +- half width.

    Parameters
    ----------
    mean
        The estimate.
    half_width
        Infinite where the sample is too small to tell.
    batch_correlation
        Correlation of neighbouring batches, for batch means; else NaN. Clearly above 0, the
        batches are too short and the interval is too narrow.
    """

    mean: float
    half_width: float
    batch_correlation: float = math.nan

    def __contains__(self, value: float) -> bool:
        return abs(value - self.mean) <= self.half_width

    def scaled(self, factor: float) -> "Interval":
        """Return the interval of the mean times a factor."""
        return Interval(
            mean=self.mean * factor,
            half_width=self.half_width * factor,
            batch_correlation=self.batch_correlation,
        )


def independent(times: NDArray[np.float64]) -> Interval:
    """Return the interval of independent values, or of a stratified sample, where it is wide.

    A stratified sample has a mean that varies less than its values suggest, so that the interval
    holds the true mean in at least as many cases as it says.
    """
    mean = _mean(times)
    if times.size < 2:
        return Interval(mean=mean, half_width=math.inf)
    spread = math.sqrt(float(np.square(times - mean).sum()) / (times.size - 1))
    half = student_quantile(times.size - 1) * spread / math.sqrt(times.size)
    return _interval(mean, half)


def clustered(times: NDArray[np.float64], cluster: NDArray[np.int64]) -> Interval:
    """Return the interval of a mean over values of independent clusters of any length.

    The mean is a ratio of two sums over clusters; its variance is that of the linearised ratio
    (Cochran, Sampling Techniques, 3rd edition, section 9A.1), with as many degrees of freedom as
    clusters less one. Of a single cluster the interval is that of :func:`batched`.
    """
    mean = _mean(times)
    _, index = np.unique(cluster, return_inverse=True)
    excess = np.bincount(index, weights=times - mean)
    if excess.size < 2:
        return batched(times)
    variance = float(np.square(excess).sum()) * excess.size / (excess.size - 1)
    half = student_quantile(excess.size - 1) * math.sqrt(variance) / times.size
    return _interval(mean, half)


def batched(times: NDArray[np.float64]) -> Interval:
    """Return the interval of a stationary sequence by means of consecutive batches.

    What does not fill the batches equally is left out of the interval, not of the mean.
    """
    mean = _mean(times)
    length = times.size // BATCHES
    if length < 2:
        return Interval(mean=mean, half_width=math.inf)
    batches = times[times.size - BATCHES * length :].reshape(BATCHES, length).mean(axis=1)
    excess = batches - batches.mean()
    squares = float(np.square(excess).sum())
    half = student_quantile(BATCHES - 1) * math.sqrt(squares / (BATCHES - 1) / BATCHES)
    correlation = float((excess[1:] * excess[:-1]).sum()) / squares if squares > 0 else 0.0
    return _interval(mean, half, correlation)


@cache
def student_quantile(degrees: int, level: float = LEVEL) -> float:
    """Return t with P(-t < T < t) = level for Student's distribution.

    By bisection of the finite series for whole degrees of freedom (Abramowitz and Stegun, 26.7.3
    and 26.7.4).

    Examples
    --------
    >>> round(student_quantile(1), 3), round(student_quantile(31), 3)
    (63.657, 2.744)
    """
    low, high = 0.0, 1.0
    while _central(high, degrees) < level:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central(middle, degrees) < level else (low, middle)
    return high


def _central(t: float, degrees: int) -> float:
    """Return P(-t < T < t)."""
    degrees = min(degrees, 10_000)  # beyond, the quantiles differ by less than 1e-3
    theta = math.atan(t / math.sqrt(degrees))
    square = math.cos(theta) ** 2
    odd = degrees % 2
    term = math.cos(theta) if odd else 1.0
    total = 0.0
    for i in range(1 + odd, degrees, 2):
        total += term
        term *= square * i / (i + 1)
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total


def _mean(times: NDArray[np.float64]) -> float:
    return math.fsum(times) / times.size if times.size else math.nan


def _interval(mean: float, half: float, correlation: float = math.nan) -> Interval:
    return Interval(
        mean=mean, half_width=half + _ROUNDING * abs(mean), batch_correlation=correlation
    )
