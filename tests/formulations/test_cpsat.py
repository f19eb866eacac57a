import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ortools.sat.python import cp_model

from formulations import EXACT, cpsat_method
from formulations.cpsat import build_boolean, solve_boolean
from formulations.whole_clauses import build_whole_clauses, decimal
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Status, StopReason, judge
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES, one_layer
from tests.strategies import instances, placements

RNG = np.random.default_rng(0)


def worth(instance: Instance, placement: Placement) -> Fraction:
    """What the clauses in whole numbers make of a placement, ms per token."""
    clauses = build_whole_clauses(instance)
    units = sum(
        weight
        for (servers, experts), weight in clauses.weight.items()
        if placement.stored[np.ix_(servers, experts)].any(axis=0).all()
    )
    return units * clauses.unit_ms


@given(st.data())
def test_whole_clauses_are_worth_what_a_placement_saves(data: st.DataObject) -> None:
    instance = data.draw(instances(max_servers=4, max_rows=20))
    placement = data.draw(placements(instance))
    saving_ms = evaluate(instance, placement).saving_ms
    assert float(worth(instance, placement)) == pytest.approx(saving_ms, rel=1e-12, abs=1e-12)


@given(instances(max_servers=4, max_rows=20))
def test_whole_clauses_are_the_clauses(instance: Instance) -> None:
    whole, clauses = build_whole_clauses(instance), build_clauses(instance)
    offsets = clauses.itemset_offsets
    floating = {}
    for c in range(len(clauses)):
        servers = tuple(np.flatnonzero(clauses.server_sets[clauses.server_set[c]]).tolist())
        begin, end = offsets[clauses.itemset[c] : clauses.itemset[c] + 2]
        floating[servers, tuple(clauses.itemset_experts[begin:end].tolist())] = clauses.weight[c]
    exact = {key: float(weight * whole.unit_ms) for key, weight in whole.weight.items()}
    assert exact == pytest.approx(floating, rel=1e-12)
    assert math.gcd(*whole.weight.values()) in (0, 1)


def test_numbers_are_the_decimals_of_the_file() -> None:
    assert decimal(np.float64(0.1)) == Fraction(1, 10)
    assert decimal(1e-7) == Fraction(1, 10**7)
    # 0.3 * (1.1 - 0.2) and 0.1 * (1.1 - 0.2): in floating point neither is a multiple of the other.
    instance = one_layer(
        rows=[(0, [0], 0.3), (0, [1], 0.1)],
        capacity=[1],
        latency=[[0.2]],
        cloud=[1.1],
        sizes=[[1, 1]],
    )
    clauses = build_whole_clauses(instance)
    assert clauses.weight == {((0,), (0,)): 3, ((0,), (1,)): 1}
    assert clauses.unit_ms == Fraction(9, 100)
    assert clauses.total == 4


def test_weights_that_would_have_to_be_rounded_are_refused() -> None:
    # 1 and 2^-30 + 10^-21 of 1: more than 62 bits apart.
    instance = one_layer(
        rows=[(0, [0], 1.0), (0, [1], 1.000000000000001e-6)],
        capacity=[1],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
    )
    reason = EXACT.get("cp-sat").supports(instance)
    assert reason is not None
    assert "take 70 bits; CP-SAT has room for 62" in reason
    rounder = dataclasses.replace(instance, demand_rate=np.array([1.0, 1e-6]))
    assert EXACT.get("cp-sat").supports(rounder) is None


def test_too_many_rows_are_refused_before_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    instance, _ = RULES["three_experts_together"]()
    monkeypatch.setattr(cpsat_method, "MAX_STEPS", 3)
    assert EXACT.get("cp-sat").supports(instance) is None
    monkeypatch.setattr(cpsat_method, "MAX_STEPS", 2)
    reason = EXACT.get("cp-sat").supports(instance)
    assert reason == "3 rows times servers; at most 2 are written in whole numbers"


def test_generated_instances_are_whole() -> None:
    for family in ("tiny", "mixtral", "gpt-oss", "fine-grained", "mixed", "order-trap"):
        assert EXACT.get("cp-sat").supports(generate(family, size="tiny", seed=0)) is None


def test_feasible_is_not_optimal() -> None:
    instance = generate("gpt-oss", size="small", seed=0)
    told = []
    outcome = run(EXACT.get("cp-sat"), instance, rng=RNG, time_limit=3.0, on_progress=told.append)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert not outcome.proven_optimal
    result = judge(instance, outcome, seconds=3.0)
    assert result.status in (Status.FEASIBLE, Status.NO_SOLUTION)
    assert all(not one.proven_optimal for one in told)


def test_no_time_leaves_nothing_or_the_start() -> None:
    instance, _ = RULES["servers_may_tie"]()
    assert run(EXACT.get("cp-sat"), instance, rng=RNG, time_limit=0.0).placement is None
    start = Placement.empty(instance)
    outcome = run(EXACT.get("cp-sat"), instance, rng=RNG, time_limit=0.0, start=start)
    assert outcome.placement is start


def test_incumbents_are_told() -> None:
    instance, optimum_ms = RULES["the_nearer_server_saves_more"]()
    told = []
    outcome = run(EXACT.get("cp-sat"), instance, rng=RNG, on_progress=told.append)
    assert outcome.proven_optimal
    assert max(
        evaluate(instance, one.placement).saving_ms for one in told if one.placement is not None
    ) == pytest.approx(optimum_ms)
    assert all(one.bound_saving_ms >= optimum_ms * (1 - 1e-12) for one in told)


@pytest.mark.parametrize(
    ("status", "stop_reason"),
    [
        (cp_model.UNKNOWN, StopReason.TIME_LIMIT),
        (cp_model.INFEASIBLE, StopReason.SOLVER_ERROR),
        (cp_model.MODEL_INVALID, StopReason.SOLVER_ERROR),
    ],
)
def test_other_ends_have_no_placement(
    status: int, stop_reason: StopReason, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cp_model.CpSolver, "solve", lambda self, model, callback: status)
    instance, _ = RULES["servers_may_tie"]()
    built = build_boolean(instance, build_whole_clauses(instance))
    outcome = solve_boolean(built, start=None, deadline=Deadline.after(None), threads=1, tell=None)
    assert outcome.stop_reason is stop_reason
    assert outcome.placement is None
    assert outcome.bound_saving_ms == math.inf
