"""What a method knows while it runs: gaps over time, and the areas below them.

A trajectory is a list of moments, each with the incumbent's saving and the upper bound from then
on. Savings are maximised; a gap of 1 stands for nothing known, 0 for nothing left to gain.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray


class Steps(NamedTuple):
    """A step function from time 0: ``values[i]`` from ``times_s[i]`` on, until the next moment.

    Parameters
    ----------
    times_s
        Ascending moments, seconds, the first of them 0; float64 (T,).
    values
        Values; float64 (T,).
    """

    times_s: NDArray[np.float64]
    values: NDArray[np.float64]

    def integral(self, horizon_s: float) -> float:
        """Return the area below the function from 0 to a horizon."""
        if not 0.0 < horizon_s < np.inf:
            raise ValueError(f"horizon {horizon_s} is not a positive number of seconds")
        ends = np.minimum(np.append(self.times_s[1:], np.inf), horizon_s)
        begins = np.minimum(self.times_s, horizon_s)
        return float(np.sum((ends - begins) * self.values))


def primal_gap_over_time(
    times_s: ArrayLike, savings_ms: ArrayLike, *, reference_ms: float
) -> Steps:
    """Return (reference - saving) / reference over time, 1 before there is an incumbent.

    Parameters
    ----------
    times_s
        Moments, seconds, in ascending order; (T,).
    savings_ms
        Saving of the incumbent that was found then, ms per token; (T,). NaN: none. A saving that
        is worse than an earlier one changes nothing.
    reference_ms
        Optimum, or best known saving, ms per token. A saving beyond it has the gap 0. Where it is
        0, every incumbent has the gap 0.

    Raises
    ------
    ValueError
        When the moments are not ascending from 0, or the reference is not a finite number >= 0.

    When not to use it
    ------------------
    With a reference of unknown quality: all gaps shrink together when it is poor.
    """
    if not 0.0 <= reference_ms < np.inf:
        raise ValueError(f"reference {reference_ms} is not a finite number >= 0")
    times, savings = _trajectory(times_s, savings_ms)
    best = np.fmax.accumulate(savings)
    if reference_ms == 0.0:
        gaps = np.zeros_like(best)
    else:
        gaps = np.clip((reference_ms - best) / reference_ms, 0.0, 1.0)
    return _from_zero(times, np.where(np.isnan(best), 1.0, gaps))


def gap_over_time(times_s: ArrayLike, savings_ms: ArrayLike, bounds_ms: ArrayLike) -> Steps:
    """Return (bound - saving) / bound over time, 1 while either is unknown.

    Parameters
    ----------
    times_s, savings_ms
        As for :func:`primal_gap_over_time`.
    bounds_ms
        Upper bound that was proved then, ms per token; (T,). NaN or infinite: none. A bound above
        an earlier one changes nothing. Where the bound is 0, every incumbent has the gap 0.

    Raises
    ------
    ValueError
        When the moments are not ascending from 0.

    When not to use it
    ------------------
    To judge placements: a gap may be all the bound's fault.
    """
    times, savings = _trajectory(times_s, savings_ms)
    _, bounds = _trajectory(times_s, bounds_ms)
    best = np.fmax.accumulate(savings)
    bound = np.fmin.accumulate(np.where(np.isfinite(bounds), bounds, np.nan))
    known = ~np.isnan(best) & ~np.isnan(bound)
    gaps = np.ones_like(best)
    positive = known & (bound > 0.0)
    gaps[known] = 0.0
    gaps[positive] = np.clip((bound[positive] - best[positive]) / bound[positive], 0.0, 1.0)
    return _from_zero(times, gaps)


def primal_integral(
    times_s: ArrayLike, savings_ms: ArrayLike, *, reference_ms: float, horizon_s: float
) -> float:
    """Return the area below the primal gap, in seconds (Berthold, OR Letters 41, 2013).

    The time for which a method might as well have had nothing: small for one that finds good
    placements early. Parameters as for :func:`primal_gap_over_time`; ``horizon_s`` is the same for
    everyone who is compared, seconds.

    Raises
    ------
    ValueError
        As there, or when the horizon is not positive.

    When not to use it
    ------------------
    With methods that tell of no incumbent before their end: their integral is their running time.
    Across instances without dividing by the horizon; with horizons that differ.
    """
    return primal_gap_over_time(times_s, savings_ms, reference_ms=reference_ms).integral(horizon_s)


def primal_dual_integral(
    times_s: ArrayLike, savings_ms: ArrayLike, bounds_ms: ArrayLike, *, horizon_s: float
) -> float:
    """Return the area below the gap between saving and bound, in seconds.

    Parameters as for :func:`gap_over_time`; ``horizon_s`` is the same for everyone, seconds.

    Raises
    ------
    ValueError
        As there, or when the horizon is not positive.

    When not to use it
    ------------------
    For methods that prove no bound: theirs is the horizon. Otherwise as :func:`primal_integral`.
    """
    return gap_over_time(times_s, savings_ms, bounds_ms).integral(horizon_s)


def _trajectory(
    times_s: ArrayLike, values: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    times = np.array(times_s, dtype=np.float64)
    array = np.array(values, dtype=np.float64)
    if times.ndim != 1 or times.shape != array.shape:
        raise ValueError(f"{array.shape} values for moments of shape {times.shape}")
    if not np.isfinite(times).all() or (times < 0).any() or (np.diff(times) < 0).any():
        raise ValueError("moments are not finite, ascending and at least 0")
    return times, array


def _from_zero(times: NDArray[np.float64], gaps: NDArray[np.float64]) -> Steps:
    """Begin with the gap 1 at time 0; of several values at one moment the last one counts."""
    times = np.concatenate([[0.0], times])
    gaps = np.concatenate([[1.0], gaps])
    last = np.append(times[1:] > times[:-1], True)
    return Steps(times[last], gaps[last])
