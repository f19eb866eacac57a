from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.math_opt.python import mathopt

from formulations import BOUNDS
from formulations.bounds import lp as lp_module
from formulations.bounds.lp import LP
from formulations.bounds.lp_solver import read_answer
from formulations.bounds.relaxation import Relaxation
from formulations.brute_force import BRUTE_FORCE, supports
from instances.certificate import Certificate
from instances.certificate_checker import proven_bound
from instances.checker import check
from instances.errors import InputError
from instances.families import FAMILIES
from instances.multipliers import DualForm
from instances.placement import Placement
from instances.registry import run
from instances.result import Status, StopReason, judge
from tests.strategies import random_instance

SOLVERS = ("glop", "highs", "pdlp")


def solve(instance, **parameters):
    return run(LP, instance, rng=np.random.default_rng(0), **parameters)


def exact_optimum(instance):
    outcome = run(BRUTE_FORCE, instance, rng=np.random.default_rng(0))
    return check(instance, outcome.placement).saving_ms


def proven(instance, outcome):
    certificate = Certificate.of(
        DualForm.of(instance), outcome.multipliers, method="lp", bound_saving_ms=0.0
    )
    return proven_bound(instance, certificate)


@pytest.mark.parametrize("solver", SOLVERS)
def test_bounds_hold_in_fractions(solver):
    for seed in range(30):
        instance = random_instance(np.random.default_rng(seed), max_cells=12)
        if supports(instance) is not None:
            continue
        outcome = solve(instance, solver=solver)
        assert outcome.bound_certified
        assert Fraction(outcome.bound_saving_ms) >= proven(instance, outcome)
        assert proven(instance, outcome) >= exact_optimum(instance)


@pytest.mark.parametrize("family", ["mixtral", "switch", "mixed", "gpt-oss"])
def test_solvers_agree(family):
    instance = FAMILIES.get(family).generate("tiny", seed=1)
    bounds = [solve(instance, solver=solver, tolerance=1e-8) for solver in SOLVERS]
    values = [outcome.bound_saving_ms for outcome in bounds]
    assert values == pytest.approx([values[0]] * 3, rel=1e-6)
    assert [outcome.reason for outcome in bounds] == list(SOLVERS)


def test_the_value_of_the_relaxation_by_hand(tiny):
    """Two experts wanted together, room for one: the LP stores half of each.

    Ann wants experts 0 and 1 of layer 0 at rate 1 from ``near`` alone, 10 - 1 = 9 ms faster.
    """
    instance = replace(
        tiny,
        capacity_bytes=np.array([10, 30]),
        latency_ms=np.array([[1.0, 99.0], [99.0, 99.0]]),
        demand_user=np.array([0]),
        demand_layer=np.array([0]),
        demand_offsets=np.array([0, 2]),
        demand_experts=np.array([0, 1]),
        demand_rate=np.array([1.0]),
    )
    for solver in SOLVERS:
        outcome = solve(instance, solver=solver)
        assert outcome.bound_saving_ms == pytest.approx(4.5, rel=1e-5)
        assert outcome.bound_saving_ms >= 4.5
    assert exact_optimum(instance) == 0


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32), data=st.data())
def test_any_answer_of_a_solver_proves_a_bound(seed, data):
    """Duals of the wrong sign or size, or not even numbers."""
    instance = random_instance(np.random.default_rng(seed), max_cells=8)
    form = DualForm.of(instance)
    relaxation = Relaxation.of(form)
    size = relaxation.rows.num_rows
    anything = st.floats(allow_nan=True, allow_infinity=False, width=32)
    duals = np.array(data.draw(st.lists(anything, min_size=size, max_size=size)), dtype=float)
    bound, _ = form.tightened(relaxation.multipliers(duals))
    assert Fraction(bound) >= exact_optimum(instance)


def test_time_limit_leaves_a_bound(tiny):
    outcome = solve(tiny, time_limit=1e-9)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.bound_certified
    assert judge(tiny, outcome, seconds=1.0).status is Status.FEASIBLE
    assert Fraction(outcome.bound_saving_ms) >= exact_optimum(tiny)
    assert "no dual values: the bound is that of the multipliers at the start" in outcome.reason


def test_progress_comes_before_the_solver(tiny):
    told = []
    outcome = solve(tiny, on_progress=told.append)
    assert len(told) == 1
    assert told[0].bound_certified
    assert told[0].bound_saving_ms >= outcome.bound_saving_ms


def test_a_start_is_held_against_the_bound(tiny, tiny_placement):
    result = judge(tiny, solve(tiny, start=tiny_placement), seconds=1.0)
    assert result.status is Status.FEASIBLE
    assert result.saving_ms > 9.0  # that of the start: the LP, rounded, is better
    assert result.bound_certified
    rushed = judge(tiny, solve(tiny, start=tiny_placement, time_limit=1e-9), seconds=1.0)
    assert (rushed.placement, rushed.saving_ms) == (tiny_placement, 9.0)
    assert 0.0 < rushed.gap < 1.0
    assert result.bound_certified
    overfull = Placement(np.ones((2, 6), dtype=np.bool_))
    with pytest.raises(InputError, match="server 'near' holds 60 bytes"):
        solve(tiny, start=overfull)


def test_better_multipliers_are_kept(tiny):
    good = solve(tiny)
    rough = solve(tiny, time_limit=1e-9, multipliers=good.multipliers)
    assert rough.bound_saving_ms == pytest.approx(good.bound_saving_ms, rel=1e-12)


@pytest.mark.parametrize("family", ["mixtral", "mixed"])
def test_the_placement_is_worth_something(family):
    instance = FAMILIES.get(family).generate("small", seed=0)
    for solver in SOLVERS:
        result = judge(instance, solve(instance, solver=solver), seconds=1.0)
        assert result.status is Status.FEASIBLE
        assert result.gap < 0.2


def test_rounding_takes_the_largest_values_that_fit(tiny):
    relaxation = Relaxation.of(DualForm.of(tiny))
    near = relaxation.x_server == 0
    values = np.where(near, 1.0 - relaxation.x_expert / 10, 0.0)
    stored = relaxation.rounded(values).stored
    wanted = sorted(relaxation.x_expert[near].tolist())
    assert np.flatnonzero(stored[0]).tolist() == wanted[:2]  # 20 bytes
    assert not stored[1].any()


def test_nothing_to_gain(tiny):
    idle = replace(tiny, demand_rate=np.zeros(6))
    outcome = solve(idle)
    assert (outcome.bound_saving_ms, outcome.stop_reason) == (0.0, StopReason.COMPLETED)


@pytest.mark.parametrize(
    ("parameters", "match"),
    [
        ({"solver": "clp"}, "solver: 'clp' is not one of auto, glop, highs, pdlp"),
        ({"tolerance": 0.0}, r"tolerance: 0\.0 is not between 0 and 1"),
    ],
)
def test_wrong_parameters(tiny, parameters, match):
    with pytest.raises(InputError, match=match):
        solve(tiny, **parameters)


def test_too_large(tiny, monkeypatch):
    assert LP.supports(tiny) is None
    monkeypatch.setattr(lp_module, "MAX_ENTRIES", 5)
    assert "the LP has about 24 matrix entries; at most 5 are solved" in LP.supports(tiny)


def test_a_solver_that_fails_says_why():
    model = mathopt.Model()
    x = model.add_variable(lb=0.0)
    row = model.add_linear_constraint(x >= 1.0)
    model.add_linear_constraint(x <= 0.0)
    result = mathopt.solve(model, mathopt.SolverType.GLOP)
    found = read_answer(result, [row], [x])
    assert found.stop_reason is StopReason.SOLVER_ERROR
    assert found.duals is None or found.duals.shape == (1,)
    assert found.reason.startswith("the solver ended with INFEASIBLE")


def test_registered():
    assert BOUNDS.get("lp") is LP
