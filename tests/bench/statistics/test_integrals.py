"""Gaps over time and the areas below them, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import (
    gap_over_time,
    primal_dual_integral,
    primal_gap_over_time,
    primal_integral,
)

NAN, INF = math.nan, math.inf


def test_a_primal_gap_by_hand() -> None:
    # nothing until 1 s, then 5 of 10, then 8 of 10, a worse one, then the best
    steps = primal_gap_over_time([1, 2, 3, 4], [5, 8, 6, 10], reference_ms=10)
    assert steps.times_s.tolist() == [0, 1, 2, 3, 4]
    assert steps.values.tolist() == pytest.approx([1.0, 0.5, 0.2, 0.2, 0.0])
    integral = primal_integral([1, 2, 3, 4], [5, 8, 6, 10], reference_ms=10, horizon_s=10)
    assert integral == pytest.approx(1 + 0.5 + 0.2 + 0.2)


def test_a_horizon_cuts_steps() -> None:
    def area(horizon: float) -> float:
        return primal_integral([1, 2], [5, 10], reference_ms=10, horizon_s=horizon)

    assert area(0.5) == pytest.approx(0.5)
    assert area(1.5) == pytest.approx(1.25)
    assert area(100.0) == pytest.approx(1.5)


def test_nothing_found_is_the_horizon() -> None:
    assert primal_integral([], [], reference_ms=10, horizon_s=7) == 7
    assert primal_integral([1.0], [NAN], reference_ms=10, horizon_s=7) == 7
    assert primal_dual_integral([], [], [], horizon_s=7) == 7
    assert primal_dual_integral([1.0, 2.0], [NAN, NAN], [5.0, NAN], horizon_s=7) == 7
    assert primal_dual_integral([1.0], [5.0], [INF], horizon_s=7) == 7


def test_one_moment_at_zero() -> None:
    assert primal_integral([0.0], [10.0], reference_ms=10, horizon_s=3) == 0
    steps = primal_gap_over_time([0.0], [4.0], reference_ms=10)
    assert (steps.times_s.tolist(), steps.values.tolist()) == ([0.0], [0.6])


def test_of_several_values_at_one_moment_the_last_counts() -> None:
    steps = primal_gap_over_time([1, 1, 1], [2, 5, 3], reference_ms=10)
    assert steps.times_s.tolist() == [0, 1]
    assert steps.values.tolist() == [1.0, 0.5]


def test_references_of_zero_and_references_that_are_beaten() -> None:
    assert primal_integral([2.0], [0.0], reference_ms=0, horizon_s=9) == 2
    assert primal_integral([2.0], [12.0], reference_ms=10, horizon_s=9) == 2


def test_a_gap_to_the_bound_by_hand() -> None:
    # bounds 20, 16, 18 (worse), 10; savings -, 8, 8, 10
    steps = gap_over_time([0, 1, 2, 3], [NAN, 8, NAN, 10], [20, 16, 18, 10])
    assert steps.times_s.tolist() == [0, 1, 2, 3]
    assert steps.values.tolist() == [1.0, 0.5, 0.5, 0.0]
    area = primal_dual_integral([0, 1, 2, 3], [NAN, 8, NAN, 10], [20, 16, 18, 10], horizon_s=5)
    assert area == pytest.approx(2.0)


def test_a_bound_of_zero_leaves_no_gap() -> None:
    assert gap_over_time([1.0], [0.0], [0.0]).values.tolist() == [1.0, 0.0]
    assert gap_over_time([1.0], [NAN], [0.0]).values.tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    ("times", "savings", "problem"),
    [
        ([2, 1], [1, 2], "ascending"),
        ([-1], [1], "ascending"),
        ([NAN], [1], "ascending"),
        ([1, 2], [1], r"\(1,\) values for moments of shape \(2,\)"),
    ],
)
def test_what_is_no_trajectory_is_refused(
    times: list[float], savings: list[float], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        primal_gap_over_time(times, savings, reference_ms=10)
    with pytest.raises(ValueError, match=problem):
        gap_over_time(times, savings, savings)


def test_wrong_references_and_horizons_are_refused() -> None:
    for reference in (-1.0, NAN, INF):
        with pytest.raises(ValueError, match="reference"):
            primal_gap_over_time([1], [1], reference_ms=reference)
    for horizon in (0.0, -1.0, NAN, INF):
        with pytest.raises(ValueError, match="horizon"):
            primal_integral([1], [1], reference_ms=10, horizon_s=horizon)


@given(
    events=st.lists(
        st.tuples(st.integers(0, 50), st.one_of(st.just(NAN), st.integers(0, 10))), max_size=8
    )
)
def test_integrals_are_the_sum_over_moments(events: list[tuple[int, float]]) -> None:
    # every second on its own, from the definition
    events = sorted(events, key=lambda event: event[0])
    times = [time for time, _ in events]
    savings = [saving for _, saving in events]
    total = 0.0
    for second in range(40):
        known = [s for t, s in events if t <= second and not math.isnan(s)]
        total += 1.0 if not known else (10 - max(known)) / 10
    area = primal_integral(times, savings, reference_ms=10, horizon_s=40)
    assert area == pytest.approx(total)
    bounds = np.full(len(times), 10.0)
    assert primal_dual_integral(times, savings, bounds, horizon_s=40) == pytest.approx(total)
