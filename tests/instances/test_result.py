import math
import re
from dataclasses import replace

import numpy as np
import pytest

from instances.checker import check
from instances.placement import Placement
from instances.result import Outcome, Result, Status, StopReason, judge, relative_gap
from instances.rounding_up import round_up


@pytest.fixture
def outcome(tiny_placement):
    """A heuristic's answer, worth 9 ms."""
    return Outcome(stop_reason=StopReason.COMPLETED, placement=tiny_placement, proven_optimal=False)


@pytest.fixture
def without(outcome):
    return replace(outcome, placement=None, stop_reason=StopReason.TIME_LIMIT)


def test_values_come_from_the_evaluator(tiny, outcome):
    result = judge(tiny, outcome, seconds=0.25)
    assert result.status is Status.FEASIBLE
    assert result.stop_reason is StopReason.COMPLETED
    assert (result.saving_ms, result.latency_ms, result.seconds) == (9.0, 14.5625, 0.25)
    assert result.bound_saving_ms == math.inf
    assert result.gap == math.inf
    assert math.isnan(result.claimed_saving_ms)
    assert result.placement is outcome.placement


def test_proven_optimum(tiny, outcome):
    claim = replace(outcome, proven_optimal=True, bound_saving_ms=9.0, claimed_saving_ms=9.0)
    result = judge(tiny, claim, seconds=1.0)
    assert result.status is Status.OPTIMAL
    assert (result.bound_saving_ms, result.gap) == (9.0, 0.0)


def test_bound_and_gap(tiny, outcome):
    result = judge(tiny, replace(outcome, bound_saving_ms=12.0), seconds=1.0)
    assert result.status is Status.FEASIBLE
    assert result.bound_saving_ms == 12.0
    assert result.gap == 0.25


def test_stopped_early_with_a_placement(tiny, outcome):
    stopped = replace(outcome, stop_reason=StopReason.TIME_LIMIT, bound_saving_ms=9.0)
    result = judge(tiny, stopped, seconds=1.0)
    assert result.status is Status.FEASIBLE
    assert result.stop_reason is StopReason.TIME_LIMIT
    assert result.gap == 0.0


def test_rounding_of_solvers_is_excused(tiny, outcome):
    claim = replace(
        outcome,
        proven_optimal=True,
        bound_saving_ms=9.0 - 5e-6,
        claimed_saving_ms=9.0 + 5e-6,
    )
    result = judge(tiny, claim, seconds=1.0)
    assert result.status is Status.OPTIMAL
    assert result.bound_saving_ms == result.saving_ms == 9.0
    slightly_below = replace(outcome, bound_saving_ms=9.0 - 5e-6)
    assert judge(tiny, slightly_below, seconds=1.0).bound_saving_ms == 9.0


def test_rounding_is_excused_where_nothing_is_saved(tiny, outcome):
    nothing = replace(outcome, placement=Placement.empty(tiny), claimed_saving_ms=1e-12)
    assert judge(tiny, nothing, seconds=1.0).status is Status.FEASIBLE
    too_much = replace(nothing, claimed_saving_ms=1e-9)
    assert judge(tiny, too_much, seconds=1.0).stop_reason is StopReason.WRONG_CLAIM


def test_a_stopped_solver_may_undersell_its_placement(tiny, outcome):
    stopped = replace(outcome, claimed_saving_ms=8.9, stop_reason=StopReason.TIME_LIMIT)
    result = judge(tiny, stopped, seconds=1.0)
    assert (result.status, result.saving_ms) == (Status.FEASIBLE, 9.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"claimed_saving_ms": 9.1}, r"claims a saving of 9\.1 ms; it is 9\.0"),
        (
            {"claimed_saving_ms": 8.9, "proven_optimal": True, "bound_saving_ms": 9.0},
            r"claims a saving of 8\.9 ms",
        ),
        ({"claimed_saving_ms": math.inf}, "claims a saving of inf ms"),
        ({"bound_saving_ms": 8.9}, r"claims the bound 8\.9 ms; its placement saves 9\.0"),
        ({"bound_saving_ms": math.nan}, "claims the bound nan ms"),
        ({"bound_saving_ms": -math.inf}, "claims the bound -inf ms"),
        ({"proven_optimal": True}, r"claims optimality with bound inf ms and saving 9\.0"),
        (
            {"proven_optimal": True, "bound_saving_ms": 9.1},
            r"claims optimality with bound 9\.1 ms",
        ),
        (
            {"proven_optimal": True, "bound_saving_ms": 9.0, "stop_reason": StopReason.TIME_LIMIT},
            "claims optimality, but was stopped by time_limit",
        ),
        (
            {"placement": None, "proven_optimal": True, "bound_saving_ms": 9.0},
            "claims optimality without a placement",
        ),
        ({"placement": None, "bound_saving_ms": math.nan}, "claims the bound nan ms"),
        (
            {"placement": None, "bound_saving_ms": -1.0},
            r"claims the bound -1\.0 ms; the empty placement saves 0",
        ),
        ({"placement": Placement(np.zeros((2, 5), dtype=np.bool_))}, "of the wrong shape"),
        (
            {"placement": Placement(np.ones((2, 6), dtype=np.bool_))},
            "server 'near' holds 60 bytes where its capacity is 20",
        ),
    ],
)
def test_wrong_claims_are_errors(tiny, outcome, changes, reason):
    result = judge(tiny, replace(outcome, **changes), seconds=1.0)
    assert result.status is Status.ERROR
    assert result.stop_reason is StopReason.WRONG_CLAIM
    assert result.placement is None
    assert math.isnan(result.saving_ms)
    assert result.bound_saving_ms == math.inf
    assert re.search(reason, result.reason)


@pytest.mark.parametrize(
    ("stop_reason", "status"),
    [
        (StopReason.TIME_LIMIT, Status.NO_SOLUTION),
        (StopReason.UNSUPPORTED, Status.NO_SOLUTION),
        (StopReason.COMPLETED, Status.NO_SOLUTION),
        (StopReason.MEMORY_LIMIT, Status.ERROR),
        (StopReason.CRASHED, Status.ERROR),
        (StopReason.SOLVER_ERROR, Status.ERROR),
    ],
)
def test_without_a_placement(tiny, without, stop_reason, status):
    claim = replace(without, stop_reason=stop_reason, reason="because", bound_saving_ms=20.0)
    result = judge(tiny, claim, seconds=2.0)
    assert (result.status, result.stop_reason, result.reason) == (status, stop_reason, "because")
    assert math.isnan(result.saving_ms)
    assert math.isnan(result.latency_ms)
    assert result.bound_saving_ms == 20.0
    assert result.gap == math.inf


def test_bound_just_below_zero_is_rounding(tiny, without):
    result = judge(tiny, replace(without, bound_saving_ms=-1e-12), seconds=1.0)
    assert result.bound_saving_ms == 0.0


def test_certified_bounds(tiny, outcome, without):
    claim = replace(outcome, bound_saving_ms=12.0, bound_certified=True)
    assert judge(tiny, claim, seconds=1.0).bound_certified
    assert not judge(tiny, replace(claim, bound_certified=False), seconds=1.0).bound_certified
    alone = replace(without, bound_saving_ms=12.0, bound_certified=True)
    assert judge(tiny, alone, seconds=1.0).bound_certified
    unknown = replace(claim, bound_saving_ms=math.inf)
    assert not judge(tiny, unknown, seconds=1.0).bound_certified
    unknown = replace(alone, bound_saving_ms=math.inf)
    assert not judge(tiny, unknown, seconds=1.0).bound_certified


def test_an_optimum_keeps_the_bound_that_is_certified(tiny, outcome):
    """The saving that the evaluator rounds may lie below the exact optimum; the bound does not."""
    above = math.nextafter(9.0, 10.0)
    claim = replace(outcome, proven_optimal=True, bound_saving_ms=above, bound_certified=True)
    result = judge(tiny, claim, seconds=1.0)
    assert (result.status, result.saving_ms) == (Status.OPTIMAL, 9.0)
    assert (result.bound_saving_ms, result.bound_certified, result.gap) == (above, True, 0.0)
    result = judge(tiny, replace(claim, bound_certified=False), seconds=1.0)
    assert (result.bound_saving_ms, result.bound_certified, result.gap) == (9.0, False, 0.0)


def test_a_certified_bound_may_lie_below_the_rounded_saving(tiny, outcome):
    """The evaluator rounds 0.1 (0.4 - 0.1) + 0.2 (0.4 - 0.1) up, to more than the next double."""
    instance = replace(
        tiny,
        demand_rate=np.array([0.0, 0.1, 0.2, 0.0, 0.0, 0.0]),
        latency_ms=np.array([[0.1, 0.1], [9.0, 9.0]]),
        cloud_latency_ms=np.array([0.4, 1.0]),
    )
    placement = Placement.of(instance, [(0, 2), (0, 4), (1, 5)])
    bound = round_up(check(instance, placement).saving_ms)
    claim = replace(outcome, placement=placement, bound_saving_ms=bound, bound_certified=True)
    result = judge(instance, claim, seconds=1.0)
    assert bound < result.saving_ms == result.bound_saving_ms
    assert result.bound_certified
    below = replace(claim, bound_saving_ms=math.nextafter(bound, 0.0))
    wrong = judge(instance, below, seconds=1.0)
    assert wrong.stop_reason is StopReason.WRONG_CLAIM
    assert "claims the certified bound 0.09 ms" in wrong.reason
    excused = judge(instance, replace(below, bound_certified=False), seconds=1.0)
    assert (excused.status, excused.bound_certified) == (Status.FEASIBLE, False)


def test_a_certified_bound_below_zero_is_wrong(tiny, without):
    claim = replace(without, bound_saving_ms=-1e-12, bound_certified=True)
    assert judge(tiny, claim, seconds=1.0).stop_reason is StopReason.WRONG_CLAIM


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"placement": None}, "status feasible with placement None"),
        ({"status": Status.NO_SOLUTION}, "status no_solution with placement"),
        ({"status": Status.ERROR, "placement": None}, r"status error with saving_ms 9\.0"),
        ({"saving_ms": math.nan}, "status feasible with saving_ms nan"),
        ({"status": Status.OPTIMAL}, "status optimal without a bound"),
        (
            {
                "status": Status.OPTIMAL,
                "bound_saving_ms": 9.0,
                "stop_reason": StopReason.TIME_LIMIT,
            },
            "status optimal, but stopped by time_limit",
        ),
        ({"bound_saving_ms": 8.0}, r"bound 8\.0 below saving 9\.0"),
        ({"bound_saving_ms": math.nan}, "bound NaN"),
    ],
)
def test_results_that_contradict_themselves(tiny, outcome, changes, match):
    result = judge(tiny, outcome, seconds=1.0)
    assert isinstance(result, Result)
    with pytest.raises(ValueError, match=match):
        replace(result, **changes)


@pytest.mark.parametrize(
    ("saving", "bound", "gap"),
    [
        (9.0, 10.0, 0.1),
        (0.0, 10.0, 1.0),
        (0.0, 0.0, 0.0),
        (10.0, 10.0, 0.0),
        (10.0, 9.0, 0.0),
        (9.0, math.inf, math.inf),
        (9.0, math.nan, math.inf),
        (math.nan, 10.0, math.inf),
    ],
)
def test_relative_gap(saving, bound, gap):
    assert relative_gap(saving, bound) == pytest.approx(gap)
