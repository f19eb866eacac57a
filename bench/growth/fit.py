"""Exponents: the slope of a straight line through logarithms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

DECADES = 2
"""Of what was measured, the upper decades count: small sizes say what a call costs at least."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """value = factor * size ** exponent, by least squares on logarithms.

    Parameters
    ----------
    exponent
        The slope.
    error
        Its standard error; NaN for two points, through which a line always goes.
    spread
        Largest ratio between a value and the line, 1 when all lie on it.
    points
        Points that were used.
    """

    exponent: float
    error: float
    spread: float
    points: int


def fit_exponent(sizes: Sequence[float], values: Sequence[float]) -> Fit | None:
    """Fit the upper two decades of sizes; None with fewer than two sizes there.

    Values that are 0 (memory that cannot be told from none) are left out.

    >>> fit = fit_exponent([1, 10, 100, 1000, 10000], [5, 5, 10, 100, 1000])
    >>> round(fit.exponent, 6), fit.points
    (1.0, 3)
    """
    if not sizes:
        return None
    least = max(sizes) / 10**DECADES * (1 - 1e-9)
    kept = [(s, v) for s, v in zip(sizes, values, strict=True) if s >= least and v > 0]
    if len({size for size, _ in kept}) < 2:
        return None
    x, y = np.log(np.array(kept, dtype=np.float64)).T
    about = x - x.mean()
    exponent = float(about @ y / (about @ about))
    residuals = y - y.mean() - exponent * about
    free = len(kept) - 2
    error = math.sqrt(float(residuals @ residuals) / free / float(about @ about)) if free else None
    return Fit(
        exponent=exponent,
        error=math.nan if error is None else error,
        spread=math.exp(float(np.abs(residuals).max())),
        points=len(kept),
    )
