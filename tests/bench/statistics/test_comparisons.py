"""Contests and ranks: against hand-computed values, published tables, and enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import average_ranks, rank_test, win_tie_loss
from bench.statistics.ranks import chi_squared_tail, range_quantile

NAN = math.nan

# -- wins, ties, losses -----------------------------------------------------------------------


def test_a_contest_by_hand() -> None:
    contest = win_tie_loss([3.0, 1.0, 2.0, 0.0, NAN, 1.0, NAN], [1.0, 3.0, 2.0, 0.0, NAN, NAN, 0.0])
    assert (contest.wins, contest.ties, contest.losses) == (2, 3, 2)
    assert contest.lead == 0.0
    assert contest.low <= 0.0 <= contest.high
    assert not contest.significant


def test_a_difference_within_the_tolerance_is_a_tie() -> None:
    assert win_tie_loss([1.0 + 1e-12], [1.0]).ties == 1
    assert win_tie_loss([1.0 + 1e-12], [1.0], tolerance=0.0).wins == 1
    assert win_tie_loss([1e-30], [0.0]).wins == 1  # relative to what is there, not to 1


def test_winning_everywhere_is_significant_and_ties_everywhere_are_not() -> None:
    won = win_tie_loss(np.arange(8) + 1.0, np.arange(8))
    assert (won.wins, won.lead, won.low, won.high) == (8, 1.0, 1.0, 1.0)
    assert won.significant
    tied = win_tie_loss(np.zeros(8), np.zeros(8))
    assert (tied.ties, tied.lead, tied.low, tied.high) == (8, 0.0, 0.0, 0.0)
    assert not tied.significant
    failed = win_tie_loss([NAN] * 3, [NAN] * 3)
    assert (failed.ties, failed.significant) == (3, False)


def test_one_seed_says_nothing_about_seeds() -> None:
    for contest in (
        win_tie_loss([2.0], [1.0]),
        win_tie_loss([2.0, 3.0], [1.0, 1.0], strata=["mixtral", "switch"]),
    ):
        assert contest.lead == 1.0
        assert math.isnan(contest.low)
        assert math.isnan(contest.high)
        assert not contest.significant


def test_the_interval_is_that_of_all_resamples() -> None:
    # three seeds, won, won, lost: all 27 resamples have leads 1, 1/3, -1/3, -1
    leads = sorted(sum(signs) / 3 for signs in itertools.product((1, 1, -1), repeat=3))
    contest = win_tie_loss([2, 2, 0], [1, 1, 1], confidence=0.8)
    assert contest.low == pytest.approx(float(np.quantile(leads, 0.1)), abs=1e-9)
    assert contest.high == pytest.approx(float(np.quantile(leads, 0.9)), abs=1e-9)


def test_strata_keep_their_weight() -> None:
    # always won in one family, always lost in the other: no resample changes that
    first, second = [2, 2, 0, 0], [1, 1, 1, 1]
    contest = win_tie_loss(first, second, strata=["a", "a", "b", "b"])
    assert (contest.low, contest.high) == (0.0, 0.0)
    mixed = win_tie_loss(first, second)
    assert mixed.low < 0.0 < mixed.high


def test_the_interval_depends_on_the_seed_only() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.random(30), rng.random(30)
    assert win_tie_loss(first, second) == win_tie_loss(first, second)
    wide = win_tie_loss(first, second, confidence=0.99)
    narrow = win_tie_loss(first, second, confidence=0.5)
    assert wide.low < narrow.low < narrow.high < wide.high


@given(
    scores=st.lists(
        st.tuples(*[st.one_of(st.just(NAN), st.integers(0, 3))] * 2), min_size=1, max_size=9
    )
)
def test_contests_are_antisymmetric(scores: list[tuple[float, float]]) -> None:
    first, second = zip(*scores, strict=True)
    there, back = win_tie_loss(first, second), win_tie_loss(second, first)
    assert (there.wins, there.ties, there.losses) == (back.losses, back.ties, back.wins)
    assert there.wins + there.ties + there.losses == len(scores)
    assert there.lead == -back.lead


def test_wrong_contests_are_refused() -> None:
    for first, second in (([], []), ([1.0], [1.0, 2.0]), ([[1.0]], [[1.0]])):
        with pytest.raises(ValueError, match="problems"):
            win_tie_loss(first, second)
    with pytest.raises(ValueError, match="infinite"):
        win_tie_loss([math.inf], [1.0])
    with pytest.raises(ValueError, match=r"confidence 1\.0"):
        win_tie_loss([1.0], [1.0], confidence=1.0)
    with pytest.raises(ValueError, match="tolerance"):
        win_tie_loss([1.0], [1.0], tolerance=-1.0)
    with pytest.raises(ValueError, match="2 strata for 1 problems"):
        win_tie_loss([1.0], [1.0], strata=["a", "b"])


# -- ranks ------------------------------------------------------------------------------------


def test_ranks_by_hand() -> None:
    scores = [[9.0, 5.0, 1.0], [4.0, 4.0, 1.0], [NAN, 2.0, NAN], [NAN, NAN, NAN]]
    # 1 2 3; 1.5 1.5 3; 2.5 1 2.5; 2 2 2
    assert average_ranks(scores).tolist() == [7 / 4, 6.5 / 4, 10.5 / 4]


def test_friedman_by_hand() -> None:
    # ranks 1 2 3 in all four rows: chi2 = 12 * 4 / (3 * 4) * (1 + 0 + 1) = 8, and exp(-4)
    test = rank_test([[3.0, 2.0, 1.0]] * 4)
    assert test.ranks.tolist() == [1.0, 2.0, 3.0]
    assert test.statistic == pytest.approx(8.0)
    assert test.p_value == pytest.approx(math.exp(-4.0))
    # q = 2.343 for three methods, times the root of 3 * 4 / (6 * 4)
    assert test.critical_difference == pytest.approx(2.343 * math.sqrt(0.5), abs=1e-3)
    assert test.groups == ((0, 1), (1, 2))


def test_friedman_with_ties_by_hand() -> None:
    # ranks (1, 2.5, 2.5) and (1, 2, 3): column sums 2, 4.5, 5.5; tie-corrected
    # 2 * ((2 - 4)^2 + 0.5^2 + 1.5^2) / (1 + 0.25 + 0.25 + 1 + 0 + 1) = 13 / 3.5
    test = rank_test([[5.0, 1.0, 1.0], [5.0, 3.0, 1.0]])
    assert test.statistic == pytest.approx(13 / 3.5)


def test_all_tied_or_all_failed_is_no_difference() -> None:
    for value in (0.0, NAN):
        test = rank_test([[value] * 4] * 5)
        assert test.ranks.tolist() == [2.5] * 4
        assert (test.statistic, test.p_value) == (0.0, 1.0)
        assert test.groups == ((0, 1, 2, 3),)


def test_one_row_and_two_methods() -> None:
    test = rank_test([[1.0, 2.0]])
    assert test.ranks.tolist() == [2.0, 1.0]
    assert test.p_value == pytest.approx(math.erfc(math.sqrt(0.5)))  # chi2 = 1, one degree
    assert test.groups == ((1, 0),)


def test_groups_are_maximal() -> None:
    test = rank_test([[5.0, 4.0, 3.0, 2.0, 1.0]] * 50)
    assert test.groups == ((0,), (1,), (2,), (3,), (4,))
    test = rank_test([[5.0, 4.0, 3.0, 2.0, 1.0]] * 20)  # critical difference 1.364
    assert test.groups == ((0, 1), (1, 2), (2, 3), (3, 4))


@pytest.mark.parametrize(
    ("methods", "at_5_percent", "at_10_percent"),
    # Demsar 2006, table 5(a)
    [
        *((2, 1.960, 1.645), (3, 2.343, 2.052), (4, 2.569, 2.291), (5, 2.728, 2.459)),
        *((6, 2.850, 2.589), (7, 2.949, 2.693), (8, 3.031, 2.780), (9, 3.102, 2.855)),
        (10, 3.164, 2.920),
    ],
)
def test_critical_values_as_published(
    methods: int, at_5_percent: float, at_10_percent: float
) -> None:
    for probability, published in ((0.95, at_5_percent), (0.9, at_10_percent)):
        found = range_quantile(probability, methods) / math.sqrt(2)
        assert found == pytest.approx(published, abs=1.1e-3)


@pytest.mark.parametrize(
    ("degrees", "value"),
    # upper 5 % points of every textbook
    [
        *((1, 3.841459), (2, 5.991465), (3, 7.814728), (4, 9.487729), (5, 11.070498)),
        *((10, 18.307038), (19, 30.143527), (20, 31.410433)),
    ],
)
def test_chi_squared_as_published(degrees: int, value: float) -> None:
    assert chi_squared_tail(value, degrees) == pytest.approx(0.05, abs=1e-7)
    assert chi_squared_tail(0.0, degrees) == 1.0


def test_wrong_ranks_are_refused() -> None:
    for scores in ([], [[]], [1.0]):
        with pytest.raises(ValueError, match="problems, methods"):
            average_ranks(scores)
    with pytest.raises(ValueError, match="infinite"):
        average_ranks([[math.inf]])
    with pytest.raises(ValueError, match="nothing to compare"):
        rank_test([[1.0]])
    with pytest.raises(ValueError, match="significance 0"):
        rank_test([[1.0, 2.0]], significance=0.0)
