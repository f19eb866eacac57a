import dataclasses
import math
from fractions import Fraction

import numpy as np
import pytest

from formulations import EXACT
from formulations.brute_force import BRUTE_FORCE
from formulations.layer_enumeration import LAYER_ENUMERATION
from instances.checker import check
from instances.errors import InputError
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.registry import run
from instances.result import Outcome, Result, Status, StopReason, judge
from instances.structure.exhaustive import best_placement
from tests.heuristics.test_baselines import one_layer
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance, random_placement

RNG = np.random.default_rng(0)


def optimum(instance: Instance, **parameters: object) -> tuple[Outcome, Result]:
    """Solve an instance, hold the claims against each other, and return what came out."""
    assert LAYER_ENUMERATION.supports(instance) is None
    outcome = run(LAYER_ENUMERATION, instance, rng=RNG, **parameters)
    result = judge(instance, outcome, seconds=0.0)
    assert result.status is Status.OPTIMAL, result.reason
    assert result.claimed_saving_ms == pytest.approx(result.saving_ms, rel=1e-9, abs=1e-12)
    assert outcome.placement is not None
    exact = check(instance, outcome.placement)
    assert exact.feasible
    assert outcome.bound_certified
    assert Fraction(outcome.bound_saving_ms) >= exact.saving_ms
    assert outcome.bound_saving_ms <= result.saving_ms * (1 + 1e-9) + 1e-300
    return outcome, result


def test_agrees_with_trying_everything() -> None:
    for seed in range(120):
        instance = random_instance(np.random.default_rng(seed), max_cells=11)
        _, result = optimum(instance)
        assert result.saving_ms == pytest.approx(best_saving(instance), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("wild", [False, True])
def test_the_bound_holds_for_every_placement_in_exact_arithmetic(wild: bool) -> None:
    for seed in range(60):
        rng = np.random.default_rng(seed)
        instance = random_instance(rng, max_cells=11, wild=wild)
        outcome, result = optimum(instance)
        best = best_placement(instance)
        exact = check(instance, best).saving_ms
        assert Fraction(outcome.bound_saving_ms) >= exact
        assert result.saving_ms == pytest.approx(float(exact), rel=1e-9, abs=1e-300)


@pytest.mark.long
def test_agrees_with_brute_force_on_many_instances() -> None:
    for seed in range(1000, 1800):
        rng = np.random.default_rng(seed)
        instance = random_instance(
            rng, max_servers=4, max_cells=16, max_users=4, max_rows=20, wild=seed % 4 == 0
        )
        _, result = optimum(instance)
        other = judge(instance, run(BRUTE_FORCE, instance, rng=RNG), seconds=0.0)
        assert result.saving_ms == pytest.approx(other.saving_ms, rel=1e-9, abs=1e-300), seed


def test_agrees_with_the_milp_beyond_brute_force() -> None:
    for seed in range(8):
        rng = np.random.default_rng(seed)
        instance = random_instance(
            rng, max_servers=4, max_cells=60, max_layers=4, max_users=6, max_rows=60
        )
        _, result = optimum(instance)
        other = judge(instance, run(EXACT.get("milp-compact"), instance, rng=RNG), seconds=0.0)
        assert other.status is Status.OPTIMAL
        assert result.saving_ms == pytest.approx(other.saving_ms, rel=1e-9, abs=1e-12), seed


@pytest.mark.parametrize("bits", [2, 14, 30])
def test_capacities_are_kept_to_the_byte(bits: int) -> None:
    # Sizes differ by a byte or two, and capacities lie at a sum of sizes or a byte below it: the
    # common divisor is one byte.
    for seed in range(30):
        rng = np.random.default_rng(seed)
        instance = random_instance(rng, max_servers=3, max_cells=11, max_users=4, max_rows=20)
        models = tuple(
            dataclasses.replace(m, expert_bytes=2**bits + rng.integers(0, 3, m.expert_bytes.shape))
            for m in instance.models
        )
        sizes = np.concatenate([m.expert_bytes.ravel() for m in models])
        capacity = [
            max(0, int(sizes[rng.random(sizes.size) < 0.5].sum()) - int(rng.integers(0, 2)))
            for _ in range(instance.num_servers)
        ]
        instance = dataclasses.replace(instance, models=models, capacity_bytes=np.array(capacity))
        _, result = optimum(instance)
        assert result.saving_ms == pytest.approx(best_saving(instance), rel=1e-9, abs=1e-12)


def test_servers_that_nobody_shares_are_solved_apart() -> None:
    # 40 servers, each with a user of its own, whose pair (worth more) or single expert fits: 2^80
    # joint placements of the layer, but 2^2 for each server.
    num = 40
    latency = np.full((num, num), 9.0)
    np.fill_diagonal(latency, 0.0)
    instance = one_layer(
        rows=[row for u in range(num) for row in ((u, [0, 1], 2.0 + u), (u, [2], 1.0))],
        capacity=[2] * num,
        latency=latency.tolist(),
        cloud=[1.0] * num,
        sizes=[[1, 1, 1]],
    )
    _, result = optimum(instance)
    assert result.saving_ms == sum(2.0 + u for u in range(num))


def test_servers_in_the_same_sets_count_as_one() -> None:
    # A site of twelve equally fast servers with room for one expert and a half each, and a user
    # who wants six pairs out of eight experts: all fit on the site together, on none alone.
    pairs = [[0, 1], [2, 3], [4, 5], [6, 7], [0, 7], [1, 6]]
    instance = one_layer(
        rows=[(0, pair, 1.0) for pair in pairs],
        capacity=[15] * 12,
        latency=[[0.0] * 12],
        cloud=[1.0],
        sizes=[[10] * 8],
    )
    _, result = optimum(instance)
    assert result.saving_ms == 6.0
    smaller = dataclasses.replace(instance, capacity_bytes=np.array([15] * 5 + [9] * 7))
    assert optimum(smaller)[1].saving_ms == best_saving(
        dataclasses.replace(
            smaller,
            capacity_bytes=np.array([50]),
            server_names=("all",),
            latency_ms=np.array([[0.0]]),
        )
    )


def test_progress_gets_better_and_bounds_hold() -> None:
    seen: list[Outcome] = []
    instance = generate("mixtral", size="small", seed=1)
    outcome, result = optimum(instance, on_progress=seen.append)
    assert len(seen) >= 3
    bounds = [told.bound_saving_ms for told in seen]
    values = [0.0 if told.placement is None else told.claimed_saving_ms for told in seen]
    assert bounds == sorted(bounds, reverse=True)
    assert values == sorted(values)
    assert min(bounds) >= result.saving_ms >= max(values) * (1 - 1e-12)
    assert all(told.bound_certified and not told.proven_optimal for told in seen)
    again, _ = optimum(instance)
    assert again.placement is not None
    assert outcome.placement is not None
    np.testing.assert_array_equal(again.placement.stored, outcome.placement.stored)


def test_a_start_does_not_change_the_optimum() -> None:
    for seed in range(40):
        rng = np.random.default_rng(seed)
        instance = random_instance(rng, max_cells=11)
        start = random_placement(rng, instance)
        best = best_placement(instance)
        for placement in (start, best):
            _, result = optimum(instance, start=placement)
            assert result.saving_ms == pytest.approx(best_saving(instance), rel=1e-9, abs=1e-12)


def test_a_start_that_does_not_fit_is_refused() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    start = Placement(np.ones((1, 2), dtype=np.bool_))
    with pytest.raises(InputError, match=r"start: server 's0' holds 2 bytes where its capacity"):
        run(LAYER_ENUMERATION, instance, rng=RNG, start=start)


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("formulations.enumeration.combination.MAX_STATES", 3)
    instance = generate("mixtral", size="small", seed=0)
    outcome = run(LAYER_ENUMERATION, instance, rng=RNG)
    assert outcome.stop_reason is StopReason.MEMORY_LIMIT
    assert "more than 3 states" in outcome.reason
    assert not outcome.proven_optimal
    assert math.isfinite(outcome.bound_saving_ms)


def test_models_of_unequal_size_share_the_grid() -> None:
    # As pairs: a needs 2 * 6 bytes and gains 5, b needs 2 * 4 bytes and gains 7. 18 bytes hold one
    # pair only, and b is worth more; with 20 bytes both fit.
    models = (
        Model.uniform("a", layers=1, experts=2, top_k=2, expert_bytes=6),
        Model.uniform("b", layers=1, experts=2, top_k=2, expert_bytes=4),
    )
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (1, [0, 1], 7.0)],
        capacity=[19],
        latency=[[0.0], [0.0]],
        cloud=[1.0, 1.0],
        sizes=[[1, 1]],
    )
    instance = dataclasses.replace(instance, models=models, user_model=np.array([0, 1]))
    result = judge(instance, run(LAYER_ENUMERATION, instance, rng=RNG), seconds=0.0)
    assert (result.status, result.saving_ms) == (Status.OPTIMAL, 7.0)
    roomy = dataclasses.replace(instance, capacity_bytes=np.array([20]))
    assert judge(roomy, run(LAYER_ENUMERATION, roomy, rng=RNG), seconds=0.0).saving_ms == 12.0


def test_time_limit_returns_the_start_and_no_claim() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    start = Placement.of(instance, [(0, 0)])
    outcome = run(LAYER_ENUMERATION, instance, rng=RNG, time_limit=0.0, start=start)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is start
    assert not outcome.proven_optimal
    assert outcome.bound_saving_ms == pytest.approx(5.0, rel=1e-12)  # all that is asked for
    assert outcome.bound_certified
    nothing = run(LAYER_ENUMERATION, instance, rng=RNG, time_limit=0.0)
    assert nothing.placement is None


def test_unequal_sizes_inside_a_layer() -> None:
    # The pair takes 3 bytes and gains 5; with 2 bytes only the single expert of 2 bytes fits.
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (0, [1], 1.0)],
        capacity=[2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 2]],
    )
    assert optimum(instance)[1].saving_ms == 1.0
    roomy = dataclasses.replace(instance, capacity_bytes=np.array([3]))
    assert optimum(roomy)[1].saving_ms == 6.0


def all_pairs(num_servers: int, num_experts: int) -> Instance:
    """Each user reaches one server fast and all others slowly, and wants all pairs."""
    return one_layer(
        rows=[
            (user, [i, j], 1.0)
            for user in range(num_servers)
            for i in range(num_experts)
            for j in range(i)
        ],
        capacity=[4] * num_servers,
        latency=(2.0 - np.eye(num_servers)).tolist(),
        cloud=[3.0] * num_servers,
        sizes=[[1] * num_experts],
    )


@pytest.mark.parametrize(("num_servers", "num_experts"), [(2, 26), (7, 12)])
def test_the_estimate_is_given_before_the_work(num_servers: int, num_experts: int) -> None:
    reason = LAYER_ENUMERATION.supports(all_pairs(num_servers, num_experts)) or ""
    assert "would take about" in reason
    assert f"{num_experts} wanted experts" in reason
    assert "the limits are 1 GiB and 2^64" in reason


def test_experts_that_nobody_wants_do_not_count() -> None:
    instance = one_layer(
        rows=[(0, [7, 150], 5.0), (0, [3], 1.0)],
        capacity=[2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1] * 200],
    )
    assert optimum(instance)[1].saving_ms == 5.0


def test_the_estimate_may_be_beyond_any_float() -> None:
    reason = LAYER_ENUMERATION.supports(all_pairs(3, 60)) or ""
    assert "would take about" in reason
    instance = one_layer(
        rows=[(0, list(range(1100)), 5.0)],
        capacity=[200] * 3,
        latency=[[0.0] * 3],
        cloud=[1.0],
        sizes=[[1] * 1100],
        top_k=1100,
    )
    assert "would take about 9.3e+290 GiB" in (LAYER_ENUMERATION.supports(instance) or "")
