"""Every aggregate on zeros, on failures alone, on one row and on ties."""

import math

import numpy as np
import pandas as pd
import pytest

from bench.statistics import (
    Mean,
    cost_table,
    gap_over_time,
    performance_profile,
    primal_dual_integral,
    primal_integral,
    quantile_curves,
    rank_test,
    shifted_geometric_mean,
    solved_within,
    win_tie_loss,
)

NAN = math.nan
ZEROS = [[0.0, 0.0], [0.0, 0.0], [0.0, 0.0]]
FAILED = [[NAN, NAN], [NAN, NAN], [NAN, NAN]]
ONE_ROW = [[2.0, 1.0]]
TIES = [[3.0, 3.0], [5.0, 5.0], [7.0, 7.0]]


@pytest.mark.parametrize(
    ("costs", "at_once", "in_the_end"),
    [
        (ZEROS, [1.0, 1.0], [1.0, 1.0]),
        (FAILED, [0.0, 0.0], [0.0, 0.0]),
        (ONE_ROW, [0.0, 1.0], [1.0, 1.0]),
        (TIES, [1.0, 1.0], [1.0, 1.0]),
    ],
    ids=["zeros", "all failed", "one row", "ties"],
)
def test_profiles(costs: list[list[float]], at_once: list[float], in_the_end: list[float]) -> None:
    profile = performance_profile(costs)
    assert profile.at(1.0).tolist() == at_once
    assert profile.at(1e9).tolist() == in_the_end
    assert profile.factors[0] == 1.0


@pytest.mark.parametrize(
    ("costs", "curves"),
    [
        (ZEROS, [[0.0, 0.0, 0.0]] * 2),
        (FAILED, [[], []]),
        (ONE_ROW, [[2.0], [1.0]]),
        (TIES, [[3.0, 5.0, 7.0]] * 2),
    ],
    ids=["zeros", "all failed", "one row", "ties"],
)
def test_quantiles(costs: list[list[float]], curves: list[list[float]]) -> None:
    assert [curve.tolist() for curve in quantile_curves(costs)] == curves
    assert solved_within(costs, math.inf).tolist() == [len(curve) for curve in curves]
    assert solved_within(costs, 1.0).tolist() == [sum(c <= 1 for c in each) for each in curves]


def test_means() -> None:
    assert shifted_geometric_mean([0.0] * 3, shift=1.0, failures="omit") == Mean(0.0, 3, 0)
    one = shifted_geometric_mean([2.0], shift=1.0, failures="infinite")
    assert (one.value, one.used, one.failed) == (pytest.approx(2.0), 1, 0)
    assert shifted_geometric_mean([4.0] * 5, shift=1.0, failures="omit").value == pytest.approx(4.0)
    failed = [NAN] * 3
    omitted = shifted_geometric_mean(failed, shift=1.0, failures="omit")
    assert math.isnan(omitted.value)
    assert (omitted.used, omitted.failed) == (0, 3)
    assert shifted_geometric_mean(failed, shift=1.0, failures="infinite") == Mean(math.inf, 0, 3)
    punished = shifted_geometric_mean(failed, shift=1.0, failures="penalty", penalty=7.0)
    assert (punished.value, punished.failed) == (pytest.approx(7.0), 3)


@pytest.mark.parametrize(
    ("scores", "wins", "ties", "losses"),
    [(ZEROS, 0, 3, 0), (FAILED, 0, 3, 0), (ONE_ROW, 1, 0, 0), (TIES, 0, 3, 0)],
    ids=["zeros", "all failed", "one row", "ties"],
)
def test_contests(scores: list[list[float]], wins: int, ties: int, losses: int) -> None:
    own, other = np.transpose(scores)
    contest = win_tie_loss(own, other)
    assert (contest.wins, contest.ties, contest.losses) == (wins, ties, losses)
    assert contest.lead == (wins - losses) / len(own)
    if len(own) == 1:  # one problem says nothing about others
        assert math.isnan(contest.low)
        assert math.isnan(contest.high)
    else:
        assert contest.low <= contest.lead <= contest.high


@pytest.mark.parametrize(
    ("scores", "ranks", "groups"),
    [
        (ZEROS, [1.5, 1.5], ((0, 1),)),
        (FAILED, [1.5, 1.5], ((0, 1),)),
        (ONE_ROW, [1.0, 2.0], ((0, 1),)),
        (TIES, [1.5, 1.5], ((0, 1),)),
    ],
    ids=["zeros", "all failed", "one row", "ties"],
)
def test_ranks(
    scores: list[list[float]], ranks: list[float], groups: tuple[tuple[int, ...], ...]
) -> None:
    test = rank_test(scores)
    assert test.ranks.tolist() == ranks
    assert test.groups == groups  # one row, or nothing but ties, tells nobody apart
    assert test.p_value > 0.3
    assert math.isfinite(test.critical_difference)


def test_integrals() -> None:
    # zeros: nothing to save, and everything known at once
    assert primal_integral([0.0], [0.0], reference_ms=0.0, horizon_s=5.0) == 0.0
    assert primal_dual_integral([0.0], [0.0], [0.0], horizon_s=5.0) == 0.0
    # all failed
    assert primal_integral([], [], reference_ms=1.0, horizon_s=5.0) == 5.0
    assert primal_dual_integral([], [], [], horizon_s=5.0) == 5.0
    # one moment, and the same value again and again
    assert primal_integral([1.0], [1.0], reference_ms=2.0, horizon_s=5.0) == 3.0
    assert primal_integral([1, 2, 3], [1, 1, 1], reference_ms=2.0, horizon_s=5.0) == 3.0
    steps = gap_over_time([1.0, 1.0], [1.0, 1.0], [2.0, 2.0])
    assert (steps.times_s.tolist(), steps.values.tolist()) == ([0.0, 1.0], [1.0, 0.5])


def test_tables() -> None:
    row = {"checksum": "c", "label": "a", "status": "feasible", "seconds": 0.0}
    one = cost_table(pd.DataFrame([row]), "seconds")
    assert one.to_numpy().tolist() == [[0.0]]
    failed = cost_table(pd.DataFrame([{**row, "status": "error"}]), "seconds")
    assert failed.shape == (1, 1)
    assert failed.isna().all(axis=None)
    tied = cost_table(pd.DataFrame([row, {**row, "label": "b"}]), "seconds")
    assert tied.to_numpy().tolist() == [[0.0, 0.0]]
