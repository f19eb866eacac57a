import dataclasses
import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations import EXACT, brute_force
from formulations.brute_force import MAX_PLACEMENTS
from instances.checker import check
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import StopReason
from tests.formulations.rules import RULES, one_layer
from tests.strategies import instances

RNG = np.random.default_rng(0)
BRUTE_FORCE = EXACT.get("brute-force")


def best_of_all_placements(instance: Instance) -> float:
    """Evaluate every subset on every server, useful or not, maximal or not."""
    subsets = np.array(list(itertools.product([False, True], repeat=instance.num_experts)))
    fitting = [
        subsets[subsets @ instance.expert_bytes <= capacity] for capacity in instance.capacity_bytes
    ]
    return max(
        evaluate(instance, Placement(np.array(rows))).saving_ms
        for rows in itertools.product(*fitting)
    )


@settings(max_examples=60)
@given(instances(max_cells=8))
def test_leaving_out_dominated_placements_loses_nothing(instance: Instance) -> None:
    outcome = run(BRUTE_FORCE, instance, rng=RNG)
    assert outcome.proven_optimal
    assert outcome.placement is not None
    saving_ms = evaluate(instance, outcome.placement).saving_ms
    assert saving_ms == pytest.approx(best_of_all_placements(instance), rel=1e-12)
    assert outcome.claimed_saving_ms == pytest.approx(saving_ms, rel=1e-12)


@settings(max_examples=40)
@given(instances(max_cells=6, wild=True))
def test_the_bound_holds_in_fractions(instance: Instance) -> None:
    outcome = run(BRUTE_FORCE, instance, rng=RNG)
    assert outcome.bound_certified
    subsets = np.array(list(itertools.product([False, True], repeat=instance.num_experts)))
    for rows in itertools.product(subsets, repeat=instance.num_servers):
        exact = check(instance, Placement(np.array(rows)))
        if exact.feasible:
            assert Fraction(outcome.bound_saving_ms) >= exact.saving_ms


def knapsack(sizes: list[int], capacity: int, *, servers: int = 1) -> Instance:
    return one_layer(
        rows=[(0, [e], 1.0) for e in range(len(sizes))],
        capacity=[capacity] * servers,
        latency=[[0.0] * servers],
        cloud=[1.0],
        sizes=[sizes],
    )


@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=9),
    capacity=st.integers(0, 60),
)
def test_contents_are_maximal_complete_and_distinct(sizes: list[int], capacity: int) -> None:
    instance = knapsack(sizes, capacity)
    found = [frozenset(c) for c in brute_force._maximal_contents(instance, 0)]  # noqa: SLF001  # the enumeration itself
    everything = range(len(sizes))
    fitting = {
        frozenset(c)
        for length in range(len(sizes) + 1)
        for c in itertools.combinations(everything, length)
        if sum(sizes[e] for e in c) <= capacity
    }
    maximal = {c for c in fitting if not any(c < other for other in fitting)}
    assert len(found) == len(set(found))
    assert set(found) == maximal


def test_one_maximal_set_is_found_at_once_however_many_experts() -> None:
    # 2**40 subsets, and a single one that matters: everything.
    outcome = run(BRUTE_FORCE, knapsack([1] * 40, 40), rng=RNG)
    assert outcome.proven_optimal
    assert outcome.claimed_saving_ms == 40.0


@pytest.mark.parametrize("experts", [19, 20])
def test_too_many_placements_are_counted_and_refused(experts: int) -> None:
    # comb(19, 9) = 92,378 choices are tried, comb(20, 10) = 184,756 are not.
    reason = BRUTE_FORCE.supports(knapsack([1] * experts, experts // 2))
    assert (reason is None) == (math.comb(experts, experts // 2) <= MAX_PLACEMENTS)
    if reason is not None:
        assert f"at least {MAX_PLACEMENTS + 1} placements" in reason
        assert f"at most {MAX_PLACEMENTS}" in reason


def test_choices_of_all_servers_multiply() -> None:
    # comb(6, 3) = 20 choices each: 8,000 placements on three servers, 160,000 on four.
    assert BRUTE_FORCE.supports(knapsack([1] * 6, 3, servers=3)) is None
    assert "at least 104000 placements" in str(
        BRUTE_FORCE.supports(knapsack([1] * 6, 3, servers=4))
    )


def test_only_useful_experts_are_stored() -> None:
    # Expert 0 is local, expert 1 wanted at rate 0, expert 2 wanted, expert 3 in no row; one server
    # is as fast as the cloud, one slower.
    instance = one_layer(
        rows=[(0, [0], 1.0), (0, [1], 0.0), (0, [0, 2], 1.0)],
        capacity=[4, 4, 4],
        latency=[[1.0, 10.0, 20.0]],
        cloud=[10.0],
        sizes=[[1, 1, 1, 1]],
        local={0: [0]},
    )
    outcome = run(BRUTE_FORCE, instance, rng=RNG)
    assert outcome.placement is not None
    assert np.argwhere(outcome.placement.stored).tolist() == [[0, 2]]


def test_the_first_of_equal_placements_is_returned() -> None:
    # Equal sizes and rates: experts are tried from the lowest up.
    outcome = run(BRUTE_FORCE, knapsack([1] * 4, 2), rng=RNG)
    assert outcome.placement is not None
    assert np.flatnonzero(outcome.placement.stored[0]).tolist() == [0, 1]


def test_an_equal_start_is_kept() -> None:
    instance = knapsack([1] * 4, 2)
    start = Placement.of(instance, [(0, 2), (0, 3)])
    assert run(BRUTE_FORCE, instance, rng=RNG, start=start).placement is start


def test_no_time_leaves_the_start_and_claims_nothing() -> None:
    instance, _ = RULES["capacity_binds"]()
    start = Placement.of(instance, [(0, 2)])
    outcome = run(BRUTE_FORCE, instance, rng=RNG, time_limit=0.0, start=start)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is start
    assert not outcome.proven_optimal
    assert outcome.claimed_saving_ms == 18.0
    assert outcome.bound_saving_ms == math.inf
    assert outcome.reason == "0 of 3 placements tried"


def test_placements_are_tried_in_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    instance, optimum_ms = RULES["the_nearer_server_saves_more"]()
    instance = dataclasses.replace(instance, demand_rate=np.array([2.0, 3.0]))
    whole = run(BRUTE_FORCE, instance, rng=RNG)
    monkeypatch.setattr(brute_force, "CHUNK", 1)
    single = run(BRUTE_FORCE, instance, rng=RNG)
    assert whole.placement is not None
    assert single.placement is not None
    assert np.array_equal(whole.placement.stored, single.placement.stored)
    assert whole.claimed_saving_ms == single.claimed_saving_ms == optimum_ms
