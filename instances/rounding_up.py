"""Rounding upwards: values that are not below the exact ones, whatever was rounded on the way.

Doubles have 53 bits; every operation rounds to the nearest double, with a relative error of at most
2^-53 (products below the normal range apart). See docs/theory.md, section 7.
"""

import math
from collections.abc import Iterable
from fractions import Fraction

MOST_ROUNDINGS = 2**50
"""More roundings in a row than this may add up to a factor for which :func:`grown` is too small."""


def round_up(value: Fraction) -> float:
    """Return the smallest double that is not below a fraction; infinite beyond the largest.

    Examples
    --------
    >>> round_up(Fraction(1, 2)), round_up(Fraction(1, 3)) > 1 / 3
    (0.5, True)
    """
    try:
        nearest = float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
    return nearest if Fraction(nearest) >= value else math.nextafter(nearest, math.inf)


def sum_up(values: Iterable[float]) -> float:
    """Return the smallest double that is not below the exact sum of doubles.

    Examples
    --------
    >>> sum_up([1.0, 2.0]), sum_up([1.0, 2.0**-80]) > 1.0
    (3.0, True)
    """
    terms = list(values)
    nearest = math.fsum(terms)  # the exact sum, rounded once
    if math.isinf(nearest) or math.fsum([*terms, -nearest]) <= 0.0:
        return nearest
    return math.nextafter(nearest, math.inf)


def grown(value: float, roundings: int) -> float:
    """Return the most that a computed value of non-negative terms can stand for.

    Parameters
    ----------
    value
        Computed from non-negative doubles by additions, multiplications and divisions only, none of
        which left the normal range.
    roundings
        Most of these operations in a row, from any input to the value.

    Raises
    ------
    ValueError
        When there are more than ``MOST_ROUNDINGS``.

    Notes
    -----
    Each operation returns at least 1 - u of its exact result, u = 2^-53, so the exact value is at
    most value / (1 - u)^k <= value / (1 - k u) <= value (1 + 2 k u) for k u <= 1/2. One more step
    of 2 u makes up for the rounding of this product.
    """
    if not 0 <= roundings <= MOST_ROUNDINGS:
        raise ValueError(f"{roundings} roundings are not in 0..{MOST_ROUNDINGS}")
    return value * (1.0 + (roundings + 1) * 2.0**-52)
