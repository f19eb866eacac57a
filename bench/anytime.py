"""How soon a method gets how far: areas below its gaps, and the mean gap over time.

Pure: data frames in, data frames out. The reference of an instance is its optimum; where none is
proven, the best saving that the runs or the archive know. Its horizon is the longest time limit of
its runs, or where no run had a limit, the longest run.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.statistics import primal_dual_integral, primal_gap_over_time, primal_integral
from instances.errors import InputError
from instances.result import Status

FIRST_S = 1e-3
"""Curves of the gap over time begin here: what is faster is noise of the clock."""

POINTS = 160
"""Moments of such a curve, at equal ratios."""


@dataclass(frozen=True, slots=True, eq=False)
class Course:
    """What was known at which moment of a run.

    Parameters
    ----------
    times_s
        Ascending moments, seconds since the method began; float64 (T,).
    savings_ms, bounds_ms
        Best saving and lowest bound from then on, ms per token, NaN while unknown; float64 (T,).
    """

    times_s: NDArray[np.float64]
    savings_ms: NDArray[np.float64]
    bounds_ms: NDArray[np.float64]


def add_horizons(instances: pd.DataFrame, attempts: pd.DataFrame) -> pd.DataFrame:
    """Add ``reference_ms`` and ``horizon_s`` to the table of instances; NaN where there is none.

    Parameters
    ----------
    instances
        With ``checksum``, ``optimum_ms``, ``best_saving_ms`` and ``known_ms``.
    attempts
        With ``checksum``, ``time_limit``, ``seconds``.
    """
    best = np.fmax(instances["best_saving_ms"], instances["known_ms"])
    limits = attempts.groupby("checksum")["time_limit"].max()
    longest = attempts.groupby("checksum")["seconds"].max()
    horizons = instances["checksum"].map(limits).fillna(instances["checksum"].map(longest))
    return instances.assign(
        reference_ms=instances["optimum_ms"].fillna(best).astype(np.float64),
        horizon_s=horizons.where(horizons > 0.0).astype(np.float64),
    )


def rate_over_time(
    attempts: pd.DataFrame, instances: pd.DataFrame, trajectories: pd.DataFrame | None = None
) -> pd.DataFrame:
    """Add ``primal_integral`` and ``primal_dual_integral``, as shares of the horizon.

    A run that found nothing has 1; NaN for a method that declined the instance, where there is no
    reference, and for the second one in all runs of a method that never proves a bound.

    Parameters
    ----------
    attempts
        Rated attempts, with ``attempt_id`` where trajectories are given.
    instances
        With ``reference_ms`` and ``horizon_s``.
    trajectories
        What the store returns; None: each run has one moment, its end.
    """
    proves = attempts["bound_saving_ms"].notna().groupby(attempts["label"]).transform("any")
    primal, both = (np.full(len(attempts), math.nan) for _ in range(2))
    for row, course, reference, horizon in _courses(attempts, instances, trajectories):
        primal[row] = (
            primal_integral(
                course.times_s, course.savings_ms, reference_ms=reference, horizon_s=horizon
            )
            / horizon
        )
        if proves.iloc[row]:
            both[row] = (
                primal_dual_integral(
                    course.times_s, course.savings_ms, course.bounds_ms, horizon_s=horizon
                )
                / horizon
            )
    return attempts.assign(primal_integral=primal, primal_dual_integral=both)


def mean_gaps(
    attempts: pd.DataFrame, instances: pd.DataFrame, trajectories: pd.DataFrame | None = None
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Return moments, and for each method the mean primal gap of its runs at each of them.

    Parameters
    ----------
    attempts, instances, trajectories
        As for :func:`rate_over_time`.

    Returns
    -------
    times_s
        Moments at equal ratios up to the longest horizon, from 1 ms or, where all horizons are
        shorter, a tenth of it; float64 (T,), empty without runs.
    gaps
        By the method's label, in the order of names; float64 (T,).
    """
    runs = list(_courses(attempts, instances, trajectories))
    if not runs:
        return np.empty(0), {}
    end = max(horizon for *_, horizon in runs)
    times = np.geomspace(min(FIRST_S, end / 10), end, POINTS)
    groups: dict[str, list[NDArray[np.float64]]] = {}
    labels = list(attempts["label"])
    for row, course, reference, _ in runs:
        steps = primal_gap_over_time(course.times_s, course.savings_ms, reference_ms=reference)
        found = np.searchsorted(steps.times_s, times, side="right") - 1
        groups.setdefault(labels[row], []).append(steps.values[found])
    return times, {label: np.mean(groups[label], axis=0) for label in sorted(groups)}


def _courses(
    attempts: pd.DataFrame, instances: pd.DataFrame, trajectories: pd.DataFrame | None
) -> Iterator[tuple[int, Course, float, float]]:
    """Return position, course, reference and horizon of every attempt that is measured."""
    known = instances.set_index("checksum")
    references = attempts["checksum"].map(known["reference_ms"]).to_list()
    horizons = attempts["checksum"].map(known["horizon_s"]).to_list()
    told = {} if trajectories is None else _split(trajectories)
    numbers = attempts["attempt_id"].to_list() if told else [0] * len(attempts)
    columns = ["unsupported", "status", "seconds", "saving_ms", "bound_saving_ms"]
    for row, (unsupported, status, *end) in enumerate(attempts[columns].itertuples(index=False)):
        if unsupported or math.isnan(references[row]) or math.isnan(horizons[row]):
            continue
        if status == Status.ERROR:  # what a liar has told counts for nothing
            course = Course(*(np.empty(0) for _ in range(3)))
        else:
            course = told.get(numbers[row]) or Course(*(np.array([value]) for value in end))
        if not (course.times_s >= 0.0).all():
            raise InputError("seconds", f"{course.times_s.min()} is not a number >= 0")
        yield row, course, references[row], horizons[row]


def _split(trajectories: pd.DataFrame) -> Mapping[int, Course]:
    """Return the trajectory of each attempt by its number."""
    if trajectories.empty:
        return {}
    ordered = trajectories.sort_values(["attempt_id", "seconds", "step"], kind="stable")
    numbers, begins = np.unique(ordered["attempt_id"].to_numpy(), return_index=True)
    columns = [
        np.split(ordered[name].to_numpy(dtype=np.float64), begins[1:])
        for name in ("seconds", "saving_ms", "bound_saving_ms")
    ]
    return {
        number: Course(*parts) for number, *parts in zip(numbers.tolist(), *columns, strict=True)
    }
