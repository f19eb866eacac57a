"""Integrals and gaps over time of runs, by hand; the statistics: tests/bench/statistics."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bench.anytime import mean_gaps, rate_over_time
from bench.curves import draw_gaps_over_time
from bench.summary import Summary, summarise
from instances.errors import InputError
from tests.bench.attempts import attempt, failure, frame, optimum, unsupported

NAN = math.nan
COLUMNS = ["attempt_id", "step", "seconds", "saving_ms", "bound_saving_ms"]


def summary_of(*rows: dict[str, Any], steps: tuple[tuple[float, ...], ...] = ()) -> Summary:
    """A summary of attempts that are numbered from 1; steps: attempt, seconds, saving, bound."""
    table = frame(*rows).assign(attempt_id=range(1, len(rows) + 1))
    told = [(number, place, *rest) for place, (number, *rest) in enumerate(steps)]
    return summarise(table, trajectories=pd.DataFrame(told, columns=COLUMNS))


def integrals(summary: Summary) -> dict[str, list[float]]:
    columns = ["primal_integral", "primal_dual_integral"]
    return {
        label: values for label, *values in summary.attempts[["label", *columns]].values.tolist()
    }


def test_integrals_by_hand() -> None:
    rows = [optimum(100.0, time_limit=10.0), attempt(saving_ms=80.0, time_limit=10.0, seconds=2.0)]
    steps = ((1, 1.0, 50.0, NAN), (1, 2.0, 75.0, 150.0), (1, 5.0, 100.0, 100.0))
    found = integrals(summary_of(*rows, steps=steps))
    assert found["milp-compact"] == pytest.approx([(1 + 0.5 + 3 * 0.25) / 10, (2 + 3 * 0.5) / 10])
    # no trajectory: nothing until the end of the run; no bound: no second integral
    assert found["greedy"] == pytest.approx([(2 + 8 * 0.2) / 10, NAN], nan_ok=True)


def test_failures_lies_and_declined_instances() -> None:
    rows = [optimum(100.0, time_limit=10.0), failure(algorithm="liar", time_limit=10.0)]
    rows += [unsupported(algorithm="shy", time_limit=10.0)]
    rows += [failure("time_limit", algorithm="late", status="no_solution", time_limit=10.0)]
    found = integrals(summary_of(*rows, steps=((2, 0.0, 100.0, 100.0),)))
    assert found["liar"][0] == found["late"][0] == 1.0
    assert math.isnan(found["shy"][0])


def test_zeros() -> None:
    # nothing can be saved, and a run took no time at all
    rows = [optimum(0.0, time_limit=10.0, seconds=0.0), attempt(saving_ms=0.0, time_limit=10.0)]
    found = integrals(summary_of(*rows))
    assert found["milp-compact"] == [0.0, 0.0]
    assert found["greedy"][0] == pytest.approx(0.001)


def test_without_limits_the_longest_run_is_the_horizon() -> None:
    rows = [optimum(100.0, time_limit=NAN, seconds=4.0)]
    rows += [attempt(saving_ms=100.0, time_limit=NAN, seconds=1.0)]
    found = integrals(summary_of(*rows))
    assert (found["milp-compact"][0], found["greedy"][0]) == (1.0, 0.25)
    only = summary_of(attempt(time_limit=NAN, seconds=0.0))
    assert only.attempts["primal_integral"].isna().all()


def test_all_failed_and_nothing_known() -> None:
    summary = summary_of(failure(), failure(algorithm="b"))
    assert summary.attempts["primal_integral"].isna().all()
    times, gaps = mean_gaps(summary.attempts, summary.instances)
    assert (len(times), gaps) == (0, {})
    assert draw_gaps_over_time(summary.attempts, summary.instances, None, "x") is None


def test_mean_gaps_are_those_of_the_runs_at_each_moment() -> None:
    rows = [optimum(100.0, time_limit=10.0)]
    rows += [attempt(saving_ms=80.0, time_limit=10.0, seed=seed) for seed in (0, 1)]
    steps = ((2, 0.1, 60.0, NAN), (3, 5.0, 80.0, NAN))
    summary = summary_of(*rows, steps=steps)
    trajectories = pd.DataFrame(
        [(number, place, *rest) for place, (number, *rest) in enumerate(steps)], columns=COLUMNS
    )
    times, gaps = mean_gaps(summary.attempts, summary.instances, trajectories)
    assert (times[0], times[-1]) == pytest.approx((1e-3, 10.0))
    for moment, gap in ((0.05, 1.0), (0.2, (0.4 + 1.0) / 2), (6.0, (0.4 + 0.2) / 2)):
        at = int(np.searchsorted(times, moment))
        assert gaps["greedy"][at] == pytest.approx(gap)
    drawing = draw_gaps_over_time(summary.attempts, summary.instances, trajectories, "gap")
    assert drawing is not None
    assert drawing.title == (
        "milp-compact has the smallest primal integral: 50.00 % of the time allowed"
    )


def test_the_end_of_a_trajectory_that_is_out_of_order_counts_by_its_time() -> None:
    steps = ((1, 5.0, 100.0, 100.0), (1, 1.0, 50.0, NAN))
    found = integrals(summary_of(optimum(100.0, time_limit=10.0), steps=steps))
    assert found["milp-compact"][0] == pytest.approx((1 + 4 * 0.5) / 10)


def test_a_moment_before_the_beginning_is_an_error() -> None:
    summary = summary_of(optimum(100.0))
    wrong = pd.DataFrame([(1, 0, -1.0, 5.0, NAN)], columns=COLUMNS)
    with pytest.raises(InputError, match=r"seconds: -1\.0 is not a number >= 0"):
        rate_over_time(summary.attempts, summary.instances, wrong)
