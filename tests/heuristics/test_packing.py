"""The search over whole clauses: against brute force, its promises, and where it keeps out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heuristics import HEURISTICS
from heuristics.packing import Effort, PackingSearch
from heuristics.packing_kernels import pack
from instances.deadline import Deadline
from instances.draws import Draws
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.published.random_instances import random_set_union_knapsack
from instances.structure.clauses import build_clauses
from tests.strategies import instances

NO_LIMIT = Deadline.after(None)


def knapsack(seed: int, items: int = 10, elements: int = 12, density: float = 0.5) -> Instance:
    return random_set_union_knapsack(
        Draws("test", seed),
        f"sukp-{seed}",
        items=items,
        elements=elements,
        density=density,
        ratio=0.7,
    ).instance()


def arrays(instance: Instance) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int]:
    return (
        instance.demand_rate,
        instance.demand_offsets,
        instance.demand_experts.astype(np.int64),
        instance.expert_bytes,
        int(instance.capacity_bytes[0]),
    )


def best_by_trying_all(instance: Instance) -> float:
    weight, offsets, bits, sizes, capacity = arrays(instance)
    needs = np.zeros((weight.size, sizes.size), dtype=bool)
    needs[np.repeat(np.arange(weight.size), np.diff(offsets)), bits] = True
    return max(
        float(weight[list(some)].sum())
        for count in range(weight.size + 1)
        for some in itertools.combinations(range(weight.size), count)
        if sizes[needs[list(some)].any(axis=0)].sum() <= capacity
    )


@pytest.mark.parametrize("seed", range(8))
def test_small_knapsacks_are_packed_optimally(seed: int) -> None:
    instance = knapsack(seed)
    nothing = np.zeros(instance.num_rows, dtype=np.bool_)
    chosen, value = pack(
        *arrays(instance), nothing, 300_000, 10_000, np.array([seed], dtype=np.uint64)
    )
    assert value == best_by_trying_all(instance)
    assert instance.demand_rate[chosen].sum() == value


@given(seed=st.integers(0, 10**6), steps=st.integers(0, 30_000))
@settings(max_examples=40)
def test_what_is_chosen_fits_and_is_worth_what_is_said(seed: int, steps: int) -> None:
    instance = knapsack(seed % 50, items=15, elements=20, density=0.3)
    weight, offsets, bits, sizes, capacity = arrays(instance)
    start = np.zeros(weight.size, dtype=np.bool_)
    first = bits[offsets[0] : offsets[1]]
    start[0] = sizes[first].sum() <= capacity
    chosen, value = pack(*arrays(instance), start, steps, 10_000, np.array([seed], dtype=np.uint64))
    inside = np.unique(bits[np.repeat(chosen, np.diff(offsets))])
    assert sizes[inside].sum() <= capacity
    assert value == weight[chosen].sum() >= weight[start].sum()


def test_the_search_never_loses_and_repeats_itself() -> None:
    instance = knapsack(3, items=40, elements=60, density=0.2)
    clauses = build_clauses(instance)
    stored = np.zeros((1, instance.num_experts), dtype=np.bool_)
    found = [
        PackingSearch(instance, clauses, NO_LIMIT).searched(
            stored, np.random.default_rng(5), Effort(1_000_000, 1000)
        )
        for _ in range(2)
    ]
    np.testing.assert_array_equal(*found)
    saving = clauses.saving_ms(Placement(found[0]))
    assert saving > 0
    again = PackingSearch(instance, clauses, NO_LIMIT).searched(
        found[0], np.random.default_rng(6), Effort(10_000, 1000)
    )
    assert clauses.saving_ms(Placement(again)) >= saving


def test_short_clauses_are_left_alone_and_draw_nothing() -> None:
    instance = generate("fine-grained", size="tiny", seed=0)
    rng = np.random.default_rng(0)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    search = PackingSearch(instance, build_clauses(instance), NO_LIMIT)
    assert search.searched(stored, rng, Effort(1_000_000, 1000)) is stored
    assert rng.bit_generator.state == np.random.default_rng(0).bit_generator.state


def test_time_that_is_up_ends_the_search() -> None:
    instance = knapsack(1, items=40, elements=60, density=0.2)
    stored = np.zeros((1, instance.num_experts), dtype=np.bool_)
    search = PackingSearch(instance, build_clauses(instance), Deadline.after(0.0))
    assert search.searched(stored, np.random.default_rng(0), Effort(10**10, 10**9)) is stored


@given(instance=instances())
@settings(max_examples=25)
def test_placements_stay_feasible_on_any_instance(instance: Instance) -> None:
    clauses = build_clauses(instance)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    found = PackingSearch(instance, clauses, NO_LIMIT).searched(
        stored, np.random.default_rng(0), Effort(1000, 100)
    )
    assert evaluate(instance, Placement(found)).feasible


def test_no_more_moves_are_made_than_allowed() -> None:
    instance = knapsack(2, items=40, elements=60, density=0.2)
    nothing = np.zeros(instance.num_rows, dtype=np.bool_)
    for moves in (0, 1, 3):
        chosen, _ = pack(*arrays(instance), nothing, 10**9, moves, np.zeros(1, dtype=np.uint64))
        assert chosen.sum() == moves


@pytest.mark.parametrize("name", ["successive-hull", "improve"])
def test_the_order_of_the_items_leaves_no_trace(name: str) -> None:
    problem = random_set_union_knapsack(
        Draws("order"), "order", items=30, elements=40, density=0.3, ratio=0.6
    )
    backwards = type(problem)(
        name="order",
        profits=problem.profits[::-1],
        weights=problem.weights,
        needs=problem.needs[::-1],
        capacity=problem.capacity,
    )
    savings = [
        evaluate(
            each, HEURISTICS.get(name).solve(each, rng=np.random.default_rng(0), time_limit=None)
        ).saving_ms
        for each in (problem.instance(), backwards.instance())
    ]
    assert savings[0] == savings[1]
