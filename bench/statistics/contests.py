"""Two methods side by side: wins, ties, losses, with bootstrap intervals over seeds."""

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 10_000
"""Resamples of a bootstrap."""


@dataclass(frozen=True, slots=True)
class Contest:
    """How often the first method does better than the second.

    Parameters
    ----------
    wins, ties, losses
        Problems on which the first is better, as good, worse.
    lead
        (wins - losses) / problems, in [-1, 1].
    low, high
        Interval of the lead; NaN where resampling has nothing to vary.
    """

    wins: int
    ties: int
    losses: int
    lead: float
    low: float
    high: float

    @property
    def significant(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0.0 or self.high < 0.0


def win_tie_loss(
    first: ArrayLike,
    second: ArrayLike,
    *,
    strata: Sequence[Hashable] | None = None,
    tolerance: float = 1e-9,
    confidence: float = 0.95,
    seed: int = 0,
) -> Contest:
    """Count on how many problems the first of two methods scores higher, lower, and neither.

    Parameters
    ----------
    first, second
        Scores of both methods on the same problems, larger is better, such as savings; (P,). NaN:
        failed, which loses against any score and ties with another failure.
    strata
        What problems are alike in but for their seed, such as (family, size); (P,). The bootstrap
        draws as many problems of each stratum as there are, with replacement, so that families keep
        their weight. None: all problems are alike.
    tolerance
        Relative difference that is a tie.
    confidence
        Of the percentile interval.
    seed
        Of the bootstrap; the same seed gives the same interval.

    Raises
    ------
    ValueError
        When there are no problems, shapes differ, or a parameter is out of range.

    When not to use it
    ------------------
    To say how much better: a win by a hair counts as much as one by half. With few seeds in every
    stratum (below about five): percentile intervals are then too short. For many pairs at once
    without a correction: see :func:`~bench.statistics.ranks.rank_test`. As evidence about families
    that were not run: seeds are varied, families are not.

    Examples
    --------
    >>> contest = win_tie_loss([3.0, 2.0, 5.0, 1.0], [1.0, 2.0, 4.0, float("nan")])
    >>> contest.wins, contest.ties, contest.losses, contest.lead
    (3, 1, 0, 0.75)
    """
    signs = _signs(first, second, tolerance)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence {confidence} is not between 0 and 1")
    labels = [0] * signs.size if strata is None else list(strata)
    if len(labels) != signs.size:
        raise ValueError(f"{len(labels)} strata for {signs.size} problems")
    low, high = _interval(signs, labels, confidence, np.random.default_rng(seed))
    return Contest(
        wins=int((signs > 0).sum()),
        ties=int((signs == 0).sum()),
        losses=int((signs < 0).sum()),
        lead=float(signs.mean()),
        low=low,
        high=high,
    )


def _signs(first: ArrayLike, second: ArrayLike, tolerance: float) -> NDArray[np.int64]:
    """Return 1 for a win, 0 for a tie, -1 for a loss; int64 (P,)."""
    one, two = np.array(first, dtype=np.float64), np.array(second, dtype=np.float64)
    if one.ndim != 1 or one.shape != two.shape or one.size == 0:
        raise ValueError(f"shapes {one.shape} and {two.shape} are not (problems,) and the same")
    if np.isinf(one).any() or np.isinf(two).any():
        raise ValueError("a score is infinite; failed runs are NaN")
    if not tolerance >= 0.0:
        raise ValueError(f"tolerance {tolerance} is negative")
    failed = np.isnan(two).astype(np.int64) - np.isnan(one).astype(np.int64)
    difference = np.nan_to_num(one - two)
    excused = tolerance * np.nan_to_num(np.maximum(np.abs(one), np.abs(two)))
    signs = np.where(np.abs(difference) <= excused, 0, np.sign(difference)).astype(np.int64)
    return signs + failed


def _interval(
    signs: NDArray[np.int64],
    labels: Sequence[Hashable],
    confidence: float,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Resample each stratum: how many wins, ties and losses it has is multinomial."""
    members: dict[Hashable, list[int]] = {}
    for sign, label in zip(signs.tolist(), labels, strict=True):
        members.setdefault(label, []).append(sign)
    if all(len(each) == 1 for each in members.values()):
        return math.nan, math.nan  # one seed each: nothing to resample
    total = np.zeros(RESAMPLES, dtype=np.int64)
    for each in members.values():
        counts = np.array([each.count(sign) for sign in (1, 0, -1)])
        drawn = rng.multinomial(len(each), counts / len(each), size=RESAMPLES)
        total += drawn[:, 0] - drawn[:, 2]
    tail = (1.0 - confidence) / 2.0
    low, high = np.quantile(total / signs.size, [tail, 1.0 - tail])
    return float(low), float(high)
