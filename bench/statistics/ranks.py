"""Average ranks of several methods, the Friedman test, and critical differences (Nemenyi).

After Demsar, Journal of Machine Learning Research 7, 2006. Both distributions are computed here: a
chi-squared variable with whole degrees of freedom has a closed form, and the range of normal
variables is one integral.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.matrices import score_matrix

_REACH = 9.0
"""Standard deviations beyond which a normal variable does not matter in double precision."""

_POINTS = 2001
"""Points of the integral; the trapezoidal rule is exact on such functions, but for rounding."""


@dataclass(frozen=True, slots=True, eq=False)
class RankTest:
    """Average ranks and what may be said of their differences.

    Parameters
    ----------
    ranks
        Average rank of each method, 1 is best; float64 (M,).
    statistic, p_value
        Friedman's statistic, corrected for ties, and the probability of one as large if all methods
        were alike.
    critical_difference
        Average ranks must differ by more than it.
    groups
        Largest sets of methods that cannot be told apart, best first; indices, ascending by rank.
    """

    ranks: NDArray[np.float64]
    statistic: float
    p_value: float
    critical_difference: float
    groups: tuple[tuple[int, ...], ...]


def average_ranks(scores: ArrayLike) -> NDArray[np.float64]:
    """Return the average rank of each method, 1 is best; float64 (M,).

    Parameters
    ----------
    scores
        Score of each method on each problem, larger is better; (P, M). NaN: failed, which ranks
        below every score. Equal scores share the mean of their ranks.

    Raises
    ------
    ValueError
        When there are no problems or no methods, or a score is infinite.

    When not to use it
    ------------------
    As for :func:`rank_test`.
    """
    ranks: NDArray[np.float64] = _rank_rows(score_matrix(scores)).mean(axis=0)
    return ranks


def rank_test(scores: ArrayLike, *, significance: float = 0.05) -> RankTest:
    """Test whether methods differ in rank, and which of them do.

    Parameters
    ----------
    scores
        As for :func:`average_ranks`, at least two methods.
    significance
        Of the critical difference: the probability of telling any two methods apart if all were
        alike.

    Raises
    ------
    ValueError
        When there are no problems or fewer than two methods, a score is infinite, or the
        significance is not between 0 and 1.

    When not to use it
    ------------------
    When problems are not independent, such as several sizes or seeds of one family: average over
    them first, so that a row is a family. With few problems (below about ten, or twice the methods)
    the distributions are only approximate. To pick out one pair: it also depends on who else is in
    the table (Benavoli, Corani, Mangili, JMLR 17, 2016); a contest of the two does not. The groups
    mean nothing when the Friedman test itself finds no difference.
    """
    matrix = score_matrix(scores)
    problems, methods = matrix.shape
    if methods < 2:
        raise ValueError(f"{methods} method: there is nothing to compare")
    if not 0.0 < significance < 1.0:
        raise ValueError(f"significance {significance} is not between 0 and 1")
    rows = _rank_rows(matrix)
    ranks = rows.mean(axis=0)
    middle = (methods + 1) / 2.0
    spread = float(((rows - middle) ** 2).sum())
    between = float(((ranks - middle) ** 2).sum()) * problems**2
    statistic = (methods - 1) * between / spread if spread > 0.0 else 0.0  # all tie everywhere
    critical = range_quantile(1.0 - significance, methods) / math.sqrt(2.0)
    difference = critical * math.sqrt(methods * (methods + 1) / (6.0 * problems))
    return RankTest(
        ranks=ranks,
        statistic=statistic,
        p_value=chi_squared_tail(statistic, methods - 1),
        critical_difference=difference,
        groups=_groups(ranks, difference),
    )


def chi_squared_tail(value: float, degrees: int) -> float:
    """Return the probability that a chi-squared variable exceeds a value.

    Abramowitz and Stegun 26.4.4 and 26.4.5.
    """
    if value <= 0.0:
        return 1.0
    half = value / 2.0
    if degrees % 2 == 0:
        term = math.exp(-half)
        total = term
        for j in range(1, degrees // 2):
            term *= half / j
            total += term
        return min(1.0, total)
    total = math.erfc(math.sqrt(half))
    term = math.sqrt(2.0 * value / math.pi) * math.exp(-half)
    for j in range(1, (degrees - 1) // 2 + 1):
        total += term
        term *= value / (2 * j + 1)
    return min(1.0, total)


def range_quantile(probability: float, count: int) -> float:
    """Return the quantile of the range of independent standard normal variables.

    This is the studentized range with infinite degrees of freedom.
    """
    low, high = 0.0, 2.0 * _REACH
    for _ in range(60):
        middle = (low + high) / 2.0
        if _range_probability(middle, count) < probability:
            low = middle
        else:
            high = middle
    return high


def _range_probability(width: float, count: int) -> float:
    """P(range <= w) = k * integral of phi(z) (Phi(z + w) - Phi(z))^(k-1): z is the smallest."""
    z = np.linspace(-_REACH, _REACH, _POINTS)
    density = np.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    inside = _normal(z + width) - _normal(z)
    return float(count * np.sum(density * inside ** (count - 1)) * (z[1] - z[0]))


def _normal(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in values.tolist()])


def _rank_rows(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rank each row, 1 for the largest score; ties share the mean; float64 (P, M)."""
    filled = np.where(np.isnan(scores), -np.inf, scores)
    better = (filled[:, :, None] < filled[:, None, :]).sum(axis=2)
    alike = (filled[:, :, None] == filled[:, None, :]).sum(axis=2)
    ranks: NDArray[np.float64] = better + (alike + 1) / 2.0
    return ranks


def _groups(ranks: NDArray[np.float64], difference: float) -> tuple[tuple[int, ...], ...]:
    order = np.argsort(ranks, kind="stable").tolist()
    groups: list[tuple[int, ...]] = []
    for position, best in enumerate(order):
        group = tuple(m for m in order[position:] if ranks[m] - ranks[best] <= difference)
        if not groups or not set(group) <= set(groups[-1]):
            groups.append(group)
    return tuple(groups)
