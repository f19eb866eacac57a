import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings

from heuristics import HEURISTICS
from heuristics.continuous import mix_configurations
from heuristics.coverage import Coverage, most_servers
from heuristics.multipliers import tighten
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import generate
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, StopReason, judge
from tests.heuristics.test_baselines import one_layer, solve
from tests.heuristics.test_successive import best_saving
from tests.strategies import instances, random_instance

NO_LIMIT = Deadline.after(None)


def outcome_of(instance: Instance, **parameters: object) -> Outcome:
    spec = HEURISTICS.get("continuous-greedy")
    return run(spec, instance, rng=np.random.default_rng(0), **parameters)


def ratio_of(instance: Instance) -> float | None:
    guarantee = HEURISTICS.get("continuous-greedy").guarantee
    assert guarantee is not None
    return guarantee.ratio(instance)


def drawn(seed: int) -> Instance:
    return random_instance(
        np.random.default_rng(seed),
        top_k=1,
        max_servers=4,
        max_users=5,
        max_rows=30,
        max_cells=10,
        uniform=seed % 3 == 0,
    )


@pytest.mark.parametrize("seed", range(60))
def test_saving_and_bound_enclose_the_optimum(seed: int) -> None:
    instance = drawn(seed)
    best = best_saving(instance)
    outcome = outcome_of(instance)
    result = judge(instance, outcome, seconds=0.0)
    ratio = ratio_of(instance)
    assert ratio is not None
    assert ratio * best - 1e-12 <= result.saving_ms <= best + 1e-12
    assert best <= outcome.bound_saving_ms
    assert outcome.stop_reason is StopReason.COMPLETED
    assert outcome.reason == ""


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_continuous_phase_alone_keeps_the_guarantee(steps: int) -> None:
    for seed in range(40):
        instance = drawn(seed)
        coverage = Coverage.of(instance)
        best = best_saving(instance)
        mix = mix_configurations(coverage, steps, NO_LIMIT)
        reached = coverage.expected_saving_ms(mix.absent)
        assert reached >= (1 - (1 + 1 / steps) ** -steps) * best - 1e-12
        assert mix.bound_ms >= best
        stored, _ = coverage.round_off(mix.absent, NO_LIMIT)
        assert coverage.saving_ms(stored) >= reached - 1e-12


@pytest.mark.parametrize("seed", range(30))
def test_every_addition_gains_most(seed: int) -> None:
    # Follow the definition: all sets that fit, each tried with 1/6 on top of what is there.
    instance = random_instance(
        np.random.default_rng(seed),
        top_k=1,
        max_servers=2,
        max_users=5,
        max_cells=12,
        max_rows=60,
        max_models=1,
    )
    coverage = Coverage.of(instance)
    masks = np.array(list(itertools.product([0, 1], repeat=instance.num_experts)))
    share = np.zeros(coverage.shape)
    for _ in range(6):
        for server in coverage.order:
            best, best_share = -1.0, share
            for mask in masks[masks @ instance.expert_bytes <= instance.capacity_bytes[server]]:
                moved = share.copy()
                moved[server] += mask / 6
                value = coverage.expected_saving_ms(1.0 - moved)
                if value > best:
                    best, best_share = value, moved
            share = best_share
    reached = coverage.expected_saving_ms(mix_configurations(coverage, 6, NO_LIMIT).absent)
    assert reached == pytest.approx(coverage.expected_saving_ms(1.0 - share), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_probabilities_are_those_of_configurations(seed: int) -> None:
    # Each server mixes ``steps`` sets that fit: on average it stores no more than its capacity.
    instance = drawn(seed)
    mix = mix_configurations(Coverage.of(instance), 5, NO_LIMIT)
    used = (1.0 - mix.absent) @ instance.expert_bytes
    assert np.all(used <= instance.capacity_bytes * (1 + 1e-12))
    assert np.allclose(5 * mix.absent, np.rint(5 * mix.absent))
    assert mix.absent.min() >= 0


@pytest.mark.parametrize("seed", range(20))
def test_tightening_never_makes_anything_worse(seed: int) -> None:
    instance = random_instance(
        np.random.default_rng(seed), top_k=1, max_servers=5, max_users=6, max_experts=8, max_rows=90
    )
    coverage = Coverage.of(instance)
    mix = mix_configurations(coverage, 3, NO_LIMIT)
    start, _ = coverage.round_off(mix.absent, NO_LIMIT)
    multiplier, stored = tighten(coverage, mix.multiplier, start, steps=60, deadline=NO_LIMIT)
    assert np.all((multiplier >= 0) & (multiplier <= coverage.weight))
    before, after = coverage.bound_ms(mix.multiplier), coverage.bound_ms(multiplier)
    assert after <= before * (1 + 1e-9)
    assert coverage.saving_ms(start) <= coverage.saving_ms(stored) <= after


def test_the_gap_nearly_closes_on_a_switch_model() -> None:
    instance = generate("switch", size="small", seed=0)
    result = judge(instance, outcome_of(instance), seconds=0.0)
    assert result.gap < 1e-3
    loose = judge(instance, outcome_of(instance, multiplier_steps=0), seconds=0.0)
    assert result.gap < loose.gap < 0.2
    assert result.saving_ms >= loose.saving_ms


@given(instances(top_k=1, max_servers=3, max_rows=15))
@settings(max_examples=40)
def test_scaling_the_rates_scales_saving_and_bound(instance: Instance) -> None:
    scaled = dataclasses.replace(instance, demand_rate=8 * instance.demand_rate)
    first, second = outcome_of(instance), outcome_of(scaled)
    assert second.bound_saving_ms == 8 * first.bound_saving_ms
    assert first.placement is not None
    assert second.placement is not None
    assert np.array_equal(first.placement.stored, second.placement.stored)


def test_tightening_keeps_a_start_that_rounding_does_not_reach() -> None:
    instance = generate("switch-independent", size="medium", seed=0)
    coverage = Coverage.of(instance)
    good = solve("continuous-greedy", instance).stored
    empty = np.zeros(coverage.shape, dtype=bool)
    _, reached = tighten(coverage, coverage.weight, empty, steps=20, deadline=NO_LIMIT)
    assert 0 < coverage.saving_ms(reached) < coverage.saving_ms(good)
    _, kept = tighten(coverage, coverage.weight, good, steps=20, deadline=NO_LIMIT)
    assert np.array_equal(kept, good)


def test_steps_are_taken_where_users_have_two_servers() -> None:
    instance = generate("switch", size="tiny", seed=9)
    assert most_servers(instance) == 2
    once, often = (
        judge(instance, outcome_of(instance, steps=steps, multiplier_steps=0), seconds=0.0)
        for steps in (1, 50)
    )
    assert once.saving_ms < 0.95 * often.saving_ms
    assert ratio_of(instance) == 1 - 1.02**-50


def test_servers_take_turns() -> None:
    # Four equal servers with one slot each, four equally wanted experts. If all servers chose at
    # once a single step would store the same expert everywhere.
    instance = one_layer(
        rows=[(0, [x], 1.0) for x in range(4)],
        capacity=[1, 1, 1, 1],
        latency=[[0.0] * 4],
        cloud=[1.0],
        sizes=[[1] * 4],
        top_k=1,
    )
    coverage = Coverage.of(instance)
    assert coverage.expected_saving_ms(mix_configurations(coverage, 1, NO_LIMIT).absent) == 4.0


def test_where_servers_do_not_compete_one_step_is_optimal() -> None:
    # Each user has a server of her own; sizes differ: 4 bytes hold 2 + 2, worth more than 3.
    instance = one_layer(
        rows=[(u, [x], rate) for u in (0, 1) for x, rate in enumerate((3.0, 2.0, 2.0))],
        capacity=[4, 3],
        latency=[[0.0, 9.0], [9.0, 0.0]],
        cloud=[1.0, 1.0],
        sizes=[[3, 2, 2]],
        top_k=1,
    )
    assert most_servers(instance) == 1
    assert ratio_of(instance) == 1.0
    assert solve("continuous-greedy", instance).stored.tolist() == [
        [False, True, True],
        [True, False, False],
    ]


@pytest.mark.parametrize("family", ["coverage-tight", "density-trap"])
def test_the_traps_of_greedy_are_none(family: str) -> None:
    instance = generate(family, size="small", seed=1)
    result = judge(instance, outcome_of(instance), seconds=0.0)
    greedy = evaluate(instance, solve("greedy", instance)).saving_ms
    assert greedy < 0.52 * result.saving_ms
    assert result.saving_ms >= (1 - np.exp(-1)) * result.bound_saving_ms


@pytest.mark.parametrize(
    ("rows", "capacity"), [([], [3, 3]), ([(0, [0], 1.0)], [0, 0]), ([(0, [0], 0.0)], [3, 3])]
)
def test_nothing_to_gain(rows: list[tuple[int, list[int], float]], capacity: list[int]) -> None:
    instance = one_layer(
        rows=rows,
        capacity=capacity,
        latency=[[0.0, 0.0]],
        cloud=[1.0],
        sizes=[[1, 2]],
        top_k=1,
    )
    outcome = outcome_of(instance)
    assert outcome.bound_saving_ms == 0.0
    assert outcome.placement is not None
    assert outcome.placement.num_copies == 0


def test_without_time_the_placement_is_feasible_and_nothing_is_promised() -> None:
    instance = generate("switch", size="small", seed=0)
    outcome = outcome_of(instance, time_limit=0.0)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert "no guarantee" in outcome.reason
    assert outcome.bound_saving_ms == np.inf
    assert judge(instance, outcome, seconds=0.0).saving_ms >= 0


def test_knapsacks_beyond_the_budget_are_reported() -> None:
    # 250 experts whose value is their size plus a constant: hard for every exact knapsack method.
    rng = np.random.default_rng(0)
    sizes = rng.integers(10**6, 10**8, 250)
    instance = one_layer(
        rows=[(0, [x], float(size + 10**7)) for x, size in enumerate(sizes)],
        capacity=[int(sizes.sum()) // 4],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[sizes.tolist()],
        top_k=1,
    )
    outcome = outcome_of(instance, multiplier_steps=0)
    assert "too large to be solved exactly: the guarantee is" in outcome.reason
    result = judge(instance, outcome, seconds=0.0)
    assert 0 < result.gap < 1e-3


def test_pairs_are_refused_with_the_reason() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    outcome = outcome_of(instance)
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert outcome.reason.startswith("demands.experts[0] uses 2 experts together")
    assert ratio_of(instance) is None


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"steps": 0}, "steps: 0 is not at least 1"),
        ({"multiplier_steps": -1}, "multiplier_steps: -1 is negative"),
    ],
)
def test_step_counts_are_checked(parameters: dict[str, int], message: str) -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    with pytest.raises(InputError, match=message):
        outcome_of(instance, **parameters)
