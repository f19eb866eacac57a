import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heuristics.coverage import Coverage, most_servers, why_not_coverage
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from tests.heuristics.test_baselines import one_layer
from tests.heuristics.test_successive import best_saving
from tests.strategies import instances, random_instance

NO_LIMIT = Deadline.after(None)


def draw(seed: int, **limits: int) -> tuple[Instance, Coverage, np.random.Generator]:
    rng = np.random.default_rng(seed)
    instance = random_instance(
        rng, top_k=1, **{"max_servers": 4, "max_users": 5, "max_rows": 25, **limits}
    )
    return instance, Coverage.of(instance), rng


def random_configuration(coverage: Coverage, server: int, rng: np.random.Generator) -> np.ndarray:
    room, stored = int(coverage.capacity_bytes[server]), np.zeros(coverage.shape[1], dtype=bool)
    for x in rng.permutation(stored.size):
        if coverage.expert_bytes[x] <= room and rng.random() < 0.7:
            stored[x] = True
            room -= int(coverage.expert_bytes[x])
    return stored


@given(instances(top_k=1, max_servers=4, max_rows=20), st.integers(0, 9))
def test_saving_is_that_of_the_evaluator(instance: Instance, seed: int) -> None:
    stored = np.random.default_rng(seed).random((instance.num_servers, instance.num_experts)) < 0.4
    assert Coverage.of(instance).saving_ms(stored) == pytest.approx(
        evaluate(instance, Placement(stored)).saving_ms, rel=1e-12, abs=1e-15
    )


@pytest.mark.parametrize("seed", range(25))
def test_the_extension_is_the_expectation_of_independent_draws(seed: int) -> None:
    _, coverage, rng = draw(seed, max_servers=3)
    options = [
        [random_configuration(coverage, server, rng) for _ in range(3)]
        for server in range(coverage.shape[0])
    ]
    share = np.array([np.mean(configurations, axis=0) for configurations in options])
    drawn = [coverage.saving_ms(np.array(choice)) for choice in itertools.product(*options)]
    assert coverage.expected_saving_ms(1.0 - share) == pytest.approx(np.mean(drawn), abs=1e-12)


@pytest.mark.parametrize("seed", range(25))
def test_wanted_is_the_derivative_times_what_is_absent(seed: int) -> None:
    _, coverage, rng = draw(seed)
    absent = rng.random(coverage.shape)
    unmet = coverage.unmet_ms(absent)
    for server in range(coverage.shape[0]):
        wanted = coverage.wanted_ms(server, unmet)
        for x in range(coverage.shape[1]):
            ends = []
            for value in (1.0, 0.0):  # the extension is linear in one coordinate
                moved = absent.copy()
                moved[server, x] = value
                ends.append(coverage.expected_saving_ms(moved))
            slope = ends[1] - ends[0]
            assert wanted[x] == pytest.approx(absent[server, x] * slope, rel=1e-9, abs=1e-11)


@pytest.mark.parametrize("seed", range(60))
def test_rounding_never_falls_below_the_expectation(seed: int) -> None:
    instance, coverage, rng = draw(seed, max_experts=6, max_rows=60)
    mix = rng.dirichlet(np.ones(4), size=coverage.shape[0])
    share = np.array(
        [
            sum(part * random_configuration(coverage, server, rng) for part in parts)
            for server, parts in enumerate(mix)
        ]
    )
    stored, lost = coverage.round_off(1.0 - share, NO_LIMIT)
    assert lost == 0
    assert evaluate(instance, Placement(stored)).feasible
    expected = coverage.expected_saving_ms(1.0 - share)
    assert coverage.saving_ms(stored) >= expected - 1e-12 * (1 + expected)


@pytest.mark.parametrize("seed", range(60))
def test_every_choice_of_multipliers_bounds_the_optimum(seed: int) -> None:
    instance, coverage, rng = draw(seed, max_cells=10)
    best = best_saving(instance)
    for scale in (0.0, 0.3, 1.0):
        multiplier = coverage.weight * np.where(
            rng.random(coverage.weight.size) < 0.5, rng.random(coverage.weight.size), scale
        )
        assert coverage.bound_ms(multiplier) >= best


def test_the_bound_is_tight_where_servers_do_not_compete() -> None:
    # One server with room for 4 bytes: experts of 3, 2 and 2 bytes worth 30, 20 and 20.
    instance = one_layer(
        rows=[(0, [0], 3.0), (0, [1], 2.0), (0, [2], 2.0)],
        capacity=[4],
        latency=[[0.0]],
        cloud=[10.0],
        sizes=[[3, 2, 2]],
        top_k=1,
    )
    coverage = Coverage.of(instance)
    assert 40.0 <= coverage.bound_ms(coverage.weight) <= 40.0 * (1 + 1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_improve_ends_where_no_server_alone_can_gain(seed: int) -> None:
    instance, coverage, rng = draw(seed, max_cells=12)
    start = np.array([random_configuration(coverage, n, rng) for n in range(coverage.shape[0])])
    if seed % 2:
        start[:] = False
    stored = coverage.improve(start, NO_LIMIT)
    saving = evaluate(instance, Placement(stored)).saving_ms
    assert saving >= evaluate(instance, Placement(start)).saving_ms - 1e-12
    masks = np.array(list(itertools.product([False, True], repeat=instance.num_experts)))
    for server in range(instance.num_servers):
        fitting = masks[masks @ instance.expert_bytes <= instance.capacity_bytes[server]]
        for mask in fitting:
            other = stored.copy()
            other[server] = mask
            assert evaluate(instance, Placement(other)).saving_ms <= saving * (1 + 1e-8) + 1e-12


def test_single_experts_of_a_larger_model_are_welcome_and_pairs_are_not() -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0), (0, [1], 1.0)],
        capacity=[1],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
        top_k=2,
    )
    assert why_not_coverage(instance) is None
    pairs = one_layer(
        rows=[(0, [0], 1.0), (0, [0, 1], 1.0)],
        capacity=[1],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1]],
    )
    assert why_not_coverage(pairs) == (
        "demands.experts[1] uses 2 experts together; the method is for K = 1, one expert in every "
        "row"
    )
    with pytest.raises(ValueError, match="a clause has 2 experts"):
        Coverage.of(pairs)


def test_most_servers_counts_those_that_beat_the_cloud_for_users_with_rows() -> None:
    instance = one_layer(
        rows=[(0, [0], 1.0)],
        capacity=[1, 1, 1],
        latency=[[0.0, 9.0, 10.0], [0.0, 0.0, 0.0]],
        cloud=[10.0, 10.0],
        sizes=[[1]],
    )
    assert most_servers(instance) == 2


def test_servers_come_by_worth_then_by_storage() -> None:
    # Worth: s0 9 + 0, s1 9 + 5, s2 9 + 5; s2 has more storage than s1.
    instance = one_layer(
        rows=[(0, [0], 9.0), (1, [0], 5.0)],
        capacity=[9, 1, 2],
        latency=[[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]],
        cloud=[1.0, 1.0],
        sizes=[[1]],
        top_k=1,
    )
    assert Coverage.of(instance).order.tolist() == [2, 1, 0]


def test_a_configuration_is_bounded_by_what_thin_lists_may_have_cost() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(10**6, 10**8, 200)
    instance = one_layer(
        rows=[(0, [x], float(size + 10**7)) for x, size in enumerate(sizes)],
        capacity=[int(sizes.sum()) // 4],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[sizes.tolist()],
        top_k=1,
    )
    coverage = Coverage.of(instance)
    quick = coverage.best_configuration(0, coverage.weight, node_budget=0)
    better = coverage.best_configuration(0, coverage.weight)
    assert quick.lost_ms > better.lost_ms > 0
    assert quick.gain_ms < better.gain_ms <= quick.bound_ms
    assert quick.gain_ms + quick.lost_ms < quick.bound_ms
