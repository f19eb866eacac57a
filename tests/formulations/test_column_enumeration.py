import dataclasses
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest

from formulations import EXACT
from formulations.column_enumeration import COLUMN_ENUMERATION
from formulations.within_gap.combination import GaveUpError
from instances.checker import check
from instances.errors import InputError
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, Status, StopReason, judge
from tests.formulations.rules import one_layer
from tests.strategies import random_instance, random_placement

RNG = np.random.default_rng(0)


def solved(instance: Instance, name: str = "column-enumeration", **offers: object) -> Outcome:
    outcome = run(EXACT.get(name), instance, rng=RNG, **offers)  # type: ignore[arg-type]
    assert judge(instance, outcome, seconds=0.0).status is Status.OPTIMAL, outcome.reason
    return outcome


def saving_ms(instance: Instance, outcome: Outcome) -> float:
    return judge(instance, outcome, seconds=0.0).saving_ms


def saving_ms_of_any(instance: Instance, outcome: Outcome) -> float:
    result = judge(instance, outcome, seconds=0.0)
    assert result.status is Status.FEASIBLE
    return result.saving_ms


def assert_agrees(instance: Instance, other: str) -> None:
    assert COLUMN_ENUMERATION.supports(instance) is None
    ours = saving_ms(instance, solved(instance))
    assert ours == pytest.approx(saving_ms(instance, solved(instance, other)), rel=1e-9, abs=1e-12)


def layered(seed: int) -> Instance:
    """Draw layers of one size each that layer-enumeration takes, more than brute force can try."""
    rng = np.random.default_rng(seed)
    while True:
        instance = random_instance(
            rng, max_servers=3, max_users=6, max_layers=5, max_experts=5, max_rows=60
        )
        if EXACT.get("layer-enumeration").supports(instance) is None:
            return instance


@pytest.mark.parametrize("first", [0, 1000])
def test_agrees_with_brute_force(first: int) -> None:
    for seed in range(first, first + 60):
        rng = np.random.default_rng(seed)
        assert_agrees(random_instance(rng, max_servers=4, max_cells=14), "brute-force")


def test_agrees_with_layer_enumeration() -> None:
    for seed in range(40):
        assert_agrees(layered(seed), "layer-enumeration")


@pytest.mark.parametrize("seed", range(3))
def test_agrees_on_a_family(seed: int) -> None:
    assert_agrees(generate("mixtral", size="small", seed=seed), "layer-enumeration")


@pytest.mark.long
def test_agrees_on_hundreds() -> None:
    for seed in range(2000, 2500):
        rng = np.random.default_rng(seed)
        assert_agrees(random_instance(rng, max_servers=4, max_cells=16), "brute-force")
    for seed in range(100, 400):
        assert_agrees(layered(seed), "layer-enumeration")
    for seed in range(3, 9):
        assert_agrees(generate("mixtral", size="small", seed=seed), "layer-enumeration")
        assert_agrees(generate("mixtral", size="medium", seed=seed), "layer-enumeration")


@pytest.mark.parametrize(
    "variant",
    [
        lambda i: dataclasses.replace(i, capacity_bytes=i.capacity_bytes * 0),
        lambda i: dataclasses.replace(i, capacity_bytes=i.capacity_bytes * 0 + 10**15),
        lambda i: dataclasses.replace(i, latency_ms=i.latency_ms * 0 + 1.0),
        lambda i: dataclasses.replace(i, latency_ms=i.latency_ms + i.cloud_latency_ms.max()),
        lambda i: dataclasses.replace(i, demand_rate=i.demand_rate * 2.0**-60),
        lambda i: dataclasses.replace(i, demand_rate=i.demand_rate * 1e300),
    ],
    ids=["no storage", "room for all", "ties", "servers nobody needs", "tiny rates", "huge rates"],
)
def test_agrees_at_the_edges(variant: Callable[[Instance], Instance]) -> None:
    for seed in range(8):
        instance = random_instance(np.random.default_rng(seed), max_servers=3, max_cells=14)
        assert_agrees(variant(instance), "brute-force")


def test_bounds_hold_in_exact_arithmetic() -> None:
    for seed in range(60):
        instance = random_instance(np.random.default_rng(seed), max_servers=4, max_cells=14)
        told: list[Outcome] = []
        outcome = solved(instance, on_progress=told.append)
        assert outcome.placement is not None
        exact = check(instance, outcome.placement)
        assert exact.feasible
        for one in [*told, outcome]:
            assert one.bound_certified
            assert Fraction(one.bound_saving_ms) >= exact.saving_ms
        assert outcome.bound_saving_ms <= float(exact.saving_ms) * (1 + 1e-11) + 1e-300


def test_progress_only_becomes_better_and_ends_at_the_optimum() -> None:
    instance = generate("mixtral", size="small", seed=1)
    told: list[Outcome] = []
    outcome = solved(instance, on_progress=told.append)
    assert len(told) >= 3
    bounds = [one.bound_saving_ms for one in told]
    savings = [one.claimed_saving_ms for one in told]
    assert bounds == sorted(bounds, reverse=True)
    assert savings == sorted(savings)
    assert savings[-1] == outcome.claimed_saving_ms
    assert not any(one.proven_optimal for one in told)


def test_any_start_gives_the_same_optimum() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        instance = random_instance(rng, max_servers=3, max_cells=14)
        first = solved(instance)
        for start in (first.placement, random_placement(rng, instance)):
            again = saving_ms(instance, solved(instance, start=start))
            assert again == pytest.approx(saving_ms(instance, first), rel=1e-12)


def test_a_start_that_does_not_fit_is_refused() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    start = Placement.of(instance, [(0, 0), (0, 1)])
    with pytest.raises(InputError, match="start: server 's0' holds 2 bytes"):
        run(COLUMN_ENUMERATION, instance, rng=RNG, start=start)


def test_without_time_there_is_the_start_and_a_bound() -> None:
    instance = generate("mixtral", size="small", seed=0)
    start = random_placement(np.random.default_rng(1), instance)
    outcome = run(COLUMN_ENUMERATION, instance, rng=RNG, time_limit=0.0, start=start)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is start
    assert not outcome.proven_optimal
    assert outcome.bound_certified
    best = saving_ms(instance, solved(instance))
    assert best <= outcome.bound_saving_ms < np.inf


def test_layers_that_grow_too_large_leave_a_placement_and_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = generate("mixtral", size="medium", seed=0)
    best = saving_ms(instance, solved(instance))
    monkeypatch.setattr("formulations.within_gap.options.MAX_NODES", 100)
    monkeypatch.setattr("formulations.within_gap.options._NODES_BETWEEN_LOOKS", 10)
    outcome = run(COLUMN_ENUMERATION, instance, rng=RNG)
    assert outcome.stop_reason is StopReason.MEMORY_LIMIT
    assert not outcome.proven_optimal
    assert "a layer has too many placements" in outcome.reason
    assert outcome.placement is not None
    assert 0.0 < saving_ms_of_any(instance, outcome) <= best <= outcome.bound_saving_ms


def test_too_many_partial_sums_leave_a_placement_and_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    instance = generate("mixtral", size="medium", seed=0)
    best = saving_ms(instance, solved(instance))

    def give_up(*arguments: object) -> None:
        raise GaveUpError

    monkeypatch.setattr("formulations.within_gap.combination.Combination.best", give_up)
    outcome = run(COLUMN_ENUMERATION, instance, rng=RNG)
    assert outcome.stop_reason is StopReason.MEMORY_LIMIT
    assert "too many partial sums" in outcome.reason
    assert 0.0 < saving_ms_of_any(instance, outcome) <= best <= outcome.bound_saving_ms


def test_the_same_answer_every_time() -> None:
    instance = generate("mixtral", size="small", seed=2)
    first, second = solved(instance), solved(instance)
    assert first.placement is not None
    assert second.placement is not None
    assert np.array_equal(first.placement.stored, second.placement.stored)
    assert first.bound_saving_ms == second.bound_saving_ms


def test_too_many_servers_are_refused() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)],
        capacity=[1] * 11,
        latency=[[float(n) for n in range(11)]],
        cloud=[100.0],
        sizes=[[1, 1]],
    )
    assert COLUMN_ENUMERATION.supports(instance) == (
        "a layer is wanted from 11 servers; at most 10 are solved"
    )


def test_sizes_that_need_too_many_bits_are_refused() -> None:
    sizes = [[2**40 + 1, 2**40, 2**40 + 3]]
    instance = one_layer(
        rows=[(0, [0, 1, 2], 5.0)],
        capacity=[2**41 + 5, 2**41 + 5],
        latency=[[0.0, 1.0]],
        cloud=[10.0],
        sizes=sizes,
    )
    reason = COLUMN_ENUMERATION.supports(instance) or ""
    assert "storage of 2 servers in units of 1 bytes takes 86 bits; at most 62" in reason
