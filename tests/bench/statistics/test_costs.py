"""Profiles, quantiles and means: of zeros, of failures only, of one row, of ties, by hand."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.statistics import (
    Mean,
    cost_table,
    performance_profile,
    quantile_curves,
    shifted_geometric_mean,
    solved_within,
)

NAN, INF = math.nan, math.inf
MATRICES = arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 4)),
    elements=st.one_of(st.sampled_from([0.0, 1.0, NAN, INF]), st.floats(1e-3, 1e3)),
)

# -- performance profiles ---------------------------------------------------------------------


def test_a_profile_by_hand() -> None:
    # ratios: (1, 3), (2, 1), (1, failed), (1, 1)
    profile = performance_profile([[1.0, 3.0], [4.0, 2.0], [5.0, NAN], [7.0, 7.0]])
    assert profile.factors.tolist() == [1.0, 2.0, 3.0]
    assert profile.shares.tolist() == [[0.75, 0.5], [1.0, 0.5], [1.0, 0.75]]
    assert profile.at(2.99).tolist() == [1.0, 0.5]
    assert profile.at(1e9).tolist() == [1.0, 0.75]


def test_zeros_and_failures_in_profiles() -> None:
    zeros = performance_profile([[0.0, 0.0, 1.0]])
    assert (zeros.factors.tolist(), zeros.shares.tolist()) == ([1.0], [[1.0, 1.0, 0.0]])
    failed = performance_profile([[NAN, INF], [1.0, NAN]])
    assert failed.at(100.0).tolist() == [0.5, 0.0]  # a problem that nobody solves still counts
    nothing = performance_profile([[NAN, NAN]])
    assert (nothing.factors.tolist(), nothing.shares.tolist()) == ([1.0], [[0.0, 0.0]])
    floored = performance_profile([[0.0, 0.002], [1e-3, 0.5]], floor=0.01)
    assert floored.at(1.0).tolist() == [1.0, 0.5]
    assert floored.factors.tolist() == [1.0, 50.0]


@given(costs=MATRICES)
def test_profiles_rise_to_the_share_that_is_solved(costs: np.ndarray) -> None:
    profile = performance_profile(costs)
    assert (np.diff(profile.shares, axis=0) >= 0).all()
    best = np.where(np.isfinite(costs), costs, INF).min(axis=1, keepdims=True)
    reachable = np.isfinite(costs) & ((best > 0) | (costs == 0))
    assert np.allclose(profile.at(INF), reachable.mean(axis=0))
    some = np.isfinite(costs).any(axis=1)
    assert profile.at(1.0).sum() * len(costs) >= some.sum() - 1e-9  # everyone has a winner


@pytest.mark.parametrize(
    ("costs", "problem"),
    [
        ([], "problems, methods"),
        ([[]], "problems, methods"),
        ([1.0, 2.0], "problems, methods"),
        ([[1.0, -2.0]], "a cost is negative: -2"),
    ],
)
def test_what_is_no_matrix_of_costs_is_refused(costs: list[object], problem: str) -> None:
    for function in (performance_profile, quantile_curves):
        with pytest.raises(ValueError, match=problem):
            function(costs)  # type: ignore[operator]


def test_factors_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match=r"factor 0\.5 is below 1"):
        performance_profile([[1.0]]).at(0.5)


# -- quantiles --------------------------------------------------------------------------------


def test_quantile_curves_by_hand() -> None:
    costs = [[3.0, NAN], [0.0, INF], [3.0, 1.0]]
    first, second = quantile_curves(costs)
    assert first.tolist() == [0.0, 3.0, 3.0]
    assert second.tolist() == [1.0]
    assert solved_within(costs, 0.0).tolist() == [1, 0]
    assert solved_within(costs, 1.0).tolist() == [1, 1]
    assert solved_within(costs, INF).tolist() == [3, 1]
    with pytest.raises(ValueError, match="the budget is NaN"):
        solved_within(costs, NAN)


@given(costs=MATRICES)
def test_curves_and_counts_agree(costs: np.ndarray) -> None:
    for budget in (0.0, 1.0, 10.0):
        counted = [int((curve <= budget).sum()) for curve in quantile_curves(costs)]
        assert counted == solved_within(costs, budget).tolist()


# -- means ------------------------------------------------------------------------------------


def test_means_by_hand() -> None:
    # (1 + 1)(7 + 1) = 16, root 4, minus 1
    assert shifted_geometric_mean([1.0, 7.0], shift=1.0, failures="infinite").value == (
        pytest.approx(3.0, rel=1e-15)
    )
    assert shifted_geometric_mean([2.0, 8.0], shift=0.0, failures="infinite").value == (
        pytest.approx(4.0, rel=1e-15)
    )
    assert shifted_geometric_mean([5.0], shift=10.0, failures="omit") == Mean(
        pytest.approx(5.0), 1, 0
    )


def test_zeros_in_means() -> None:
    assert shifted_geometric_mean([0.0, 0.0], shift=1.0, failures="infinite").value == 0.0
    assert shifted_geometric_mean([0.0, 9.0], shift=0.0, failures="infinite").value == 0.0


def test_failures_in_means() -> None:
    costs = [3.0, NAN, INF]
    assert shifted_geometric_mean(costs, shift=1.0, failures="infinite") == Mean(INF, 1, 2)
    assert shifted_geometric_mean(costs, shift=1.0, failures="omit") == Mean(
        pytest.approx(3.0), 1, 2
    )
    # (3 + 1)(15 + 1)(15 + 1) = 1024
    mean = shifted_geometric_mean(costs, shift=1.0, failures="penalty", penalty=15.0)
    assert mean == Mean(pytest.approx(1024 ** (1 / 3) - 1), 1, 2)
    assert shifted_geometric_mean([0.0, NAN], shift=0.0, failures="infinite").value == INF


def test_means_of_nothing() -> None:
    for costs in ([], [NAN, INF]):
        mean = shifted_geometric_mean(costs, shift=1.0, failures="omit")
        assert math.isnan(mean.value)
        assert (mean.used, mean.failed) == (0, len(costs))
    assert shifted_geometric_mean([NAN], shift=1.0, failures="infinite").value == INF
    assert shifted_geometric_mean([NAN], shift=1.0, failures="penalty", penalty=20.0) == Mean(
        pytest.approx(20.0), 0, 1
    )


def test_wrong_parameters_of_means_are_refused() -> None:
    for costs in ([-1.0], [-INF]):
        with pytest.raises(ValueError, match="a cost is negative"):
            shifted_geometric_mean(costs, shift=1.0, failures="omit")
    with pytest.raises(ValueError, match="shift -1"):
        shifted_geometric_mean([1.0], shift=-1.0, failures="omit")
    with pytest.raises(ValueError, match="penalty nan"):
        shifted_geometric_mean([1.0], shift=1.0, failures="penalty")
    with pytest.raises(ValueError, match=r"penalty 3\.0"):
        shifted_geometric_mean([1.0], shift=1.0, failures="omit", penalty=3.0)
    with pytest.raises(ValueError, match=r"penalty -3\.0"):
        shifted_geometric_mean([1.0], shift=1.0, failures="penalty", penalty=-3.0)


@given(costs=st.lists(st.floats(0.0, 1e6), min_size=1), shift=st.floats(1e-3, 1e3))
def test_means_lie_between_least_and_most(costs: list[float], shift: float) -> None:
    value = shifted_geometric_mean(costs, shift=shift, failures="infinite").value
    slack = 1e-9 * (max(costs) + shift)
    assert min(costs) - slack <= value <= max(costs) + slack
    assert value <= float(np.mean(costs)) + slack


# -- from attempts ----------------------------------------------------------------------------


def test_tables_of_attempts() -> None:
    rows = [
        ("a", "one", "optimal", 1.0),
        ("a", "two", "error", 9.0),  # its seconds are not the cost of a solution
        ("b", "one", "feasible", 2.0),
        ("b", "one", "feasible", 4.0),
        ("b", "one", "no_solution", 60.0),
        ("b", "two", "feasible", 7.0),
    ]
    attempts = pd.DataFrame(rows, columns=["checksum", "label", "status", "seconds"])
    table = cost_table(attempts, "seconds")
    assert table.columns.tolist() == ["one", "two"]
    assert table.index.tolist() == ["a", "b"]
    expected = [[1.0, NAN], [3.0, 7.0]]
    np.testing.assert_array_equal(table.to_numpy(), expected)
    with pytest.raises(KeyError, match="saving_ms"):
        cost_table(attempts, "saving_ms")
    failed = cost_table(attempts[attempts["status"] == "error"], "seconds")
    np.testing.assert_array_equal(failed.to_numpy(), [[NAN]])
