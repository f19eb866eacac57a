import itertools

import numpy as np
import pytest

from heuristics import HEURISTICS
from instances.evaluation import evaluate
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, StopReason
from tests.heuristics.test_baselines import one_layer, solve
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance


def outcome_of(instance: Instance, **parameters: object) -> Outcome:
    spec = HEURISTICS.get("greedy-enumeration")
    return run(spec, instance, rng=np.random.default_rng(0), **parameters)


def saving_of(instance: Instance, name: str = "greedy-enumeration") -> float:
    return evaluate(instance, solve(name, instance)).saving_ms


def ratio_of(instance: Instance) -> float:
    guarantee = HEURISTICS.get("greedy-enumeration").guarantee
    assert guarantee is not None
    ratio = guarantee.ratio(instance)
    assert ratio is not None
    return ratio


def naive_enumeration(instance: Instance) -> float:
    """Follow the definition, each gain by the evaluator."""

    def saving(stored: np.ndarray) -> float:
        return evaluate(instance, Placement(stored)).saving_ms

    def fits(stored: np.ndarray) -> bool:
        return bool(np.all(stored @ instance.expert_bytes <= instance.capacity_bytes))

    pairs = list(itertools.product(range(instance.num_servers), range(instance.num_experts)))
    best = 0.0
    for size in range(4):
        for start in itertools.combinations(pairs, size):
            stored = np.zeros((instance.num_servers, instance.num_experts), dtype=bool)
            for pair in start:
                stored[pair] = True
            if not fits(stored):
                continue
            while True:
                value = saving(stored)
                options = []
                for pair in pairs:
                    more = stored.copy()
                    more[pair] = True
                    if not stored[pair] and fits(more) and saving(more) > value * (1 + 1e-12):
                        density = (saving(more) - value) / instance.expert_bytes[pair[1]]
                        options.append((density, -pairs.index(pair)))
                if not options:
                    break
                stored[pairs[-max(options)[1]]] = True
            best = max(best, value)
    return best


@pytest.mark.parametrize("seed", range(12))
def test_equals_the_definition(seed: int) -> None:
    # Rates without ties: where gains per byte tie, the naive sums may round to either side.
    instance = random_instance(
        np.random.default_rng(seed), top_k=1, max_servers=3, max_cells=8, max_models=1, max_rows=8
    )
    assert saving_of(instance) == pytest.approx(naive_enumeration(instance), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(80))
def test_the_guarantee_holds(seed: int) -> None:
    instance = random_instance(
        np.random.default_rng(seed),
        top_k=1,
        max_servers=1 + seed % 4,
        max_users=5,
        max_rows=30,
        max_cells=12,
        uniform=seed % 3 == 0,
    )
    best = best_saving(instance)
    assert ratio_of(instance) * best - 1e-12 <= saving_of(instance) <= best + 1e-12


@pytest.mark.parametrize("seed", range(20))
def test_one_size_is_never_worse_than_half_or_than_greedy_from_nothing(seed: int) -> None:
    instance = random_instance(
        np.random.default_rng(seed),
        top_k=1,
        uniform=True,
        max_servers=4,
        max_users=6,
        max_experts=5,
        max_rows=40,
    )
    assert ratio_of(instance) >= 0.5
    assert saving_of(instance) >= saving_of(instance, "greedy") * (1 - 1e-12)


def test_one_server_reaches_three_quarters_and_no_more_is_claimed() -> None:
    # Greedy per byte prefers 0 (1 byte, worth 2); 1..4 have 5 bytes, worth 5; room for 20 bytes.
    # A start with three of the four leaves 5 bytes, taken by 0 first: 17 of 20.
    instance = one_layer(
        rows=[(0, [0], 2.0), *((0, [x], 5.0) for x in range(1, 5))],
        capacity=[20],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 5, 5, 5, 5]],
        top_k=1,
    )
    assert best_saving(instance) == 20.0
    assert saving_of(instance) == 17.0
    assert ratio_of(instance) == 0.75


def test_with_several_servers_three_of_them_are_saved_from_small_baits() -> None:
    # Every user has a server of her own with room for 20 bytes, an expert of 1 byte worth 2 and
    # one of 20 bytes worth 20. Per byte the small one wins; a start saves three servers.
    servers, room = 12, 20
    instance = one_layer(
        rows=[row for u in range(servers) for row in ((u, [0], 2.0), (u, [1], float(room)))],
        capacity=[room] * servers,
        latency=(9.0 - 9.0 * np.eye(servers)).tolist(),
        cloud=[1.0] * servers,
        sizes=[[1, room]],
        top_k=1,
    )
    saving = saving_of(instance)
    assert saving == 3 * room + 2 * (servers - 3)
    ratio = saving / (servers * room)
    assert ratio_of(instance) == 3 / (3 + servers) <= ratio < 1 - np.exp(-1)


@pytest.mark.parametrize(("servers", "ratio"), [(1, 0.75), (2, 0.5), (3, 0.5), (9, 0.25)])
def test_what_is_claimed_for_unequal_sizes_falls_with_the_servers_that_are_short(
    servers: int, ratio: float
) -> None:
    # One more server holds everything and does not count.
    instance = one_layer(
        rows=[(0, [x], 1.0) for x in range(5)],
        capacity=[*[8] * servers, 9],
        latency=[[*[0.0] * servers, 9.0 if servers == 1 else 0.0]],
        cloud=[1.0],
        sizes=[[1, 2, 3, 1, 2]],
        top_k=1,
    )
    assert ratio_of(instance) == ratio


def test_one_size_tends_to_half() -> None:
    # Copies of the instance on which greedy stays at 1 of 2 (test_greedy.py), experts of their own.
    copies = 6
    latency = np.full((2 * copies, 2 * copies), 9.0)
    rows = []
    for i in range(copies):
        latency[2 * i, 2 * i] = latency[2 * i + 1, 2 * i] = latency[2 * i, 2 * i + 1] = 0.0
        rows += [(2 * i, [2 * i], 1.0), (2 * i + 1, [2 * i + 1], 1.0)]
    instance = one_layer(
        rows=rows,
        capacity=[1] * (2 * copies),
        latency=latency.tolist(),
        cloud=[1.0] * (2 * copies),
        sizes=[[1] * (2 * copies)],
        top_k=1,
    )
    assert saving_of(instance) == copies + 3  # of 2 * copies
    assert ratio_of(instance) == 0.5 + 3 / (4 * copies)


def test_where_everything_wanted_fits_it_is_stored() -> None:
    instance = one_layer(
        rows=[(0, [x], 1.0) for x in range(5)],
        capacity=[12, 1],
        latency=[[0.0, 9.0]],
        cloud=[1.0],
        sizes=[[1, 2, 3, 2, 3, 9]],
        top_k=1,
    )
    assert solve("greedy-enumeration", instance).stored[0].tolist() == [True] * 5 + [False]
    assert ratio_of(instance) == 1.0


def test_nothing_to_gain() -> None:
    for rows, capacity in (([], [3]), ([(0, [0], 1.0)], [0])):
        instance = one_layer(
            rows=rows, capacity=capacity, latency=[[0.0]], cloud=[1.0], sizes=[[1, 2]], top_k=1
        )
        assert solve("greedy-enumeration", instance).num_copies == 0
        assert ratio_of(instance) == 1.0


def test_without_time_it_is_plain_greedy() -> None:
    instance = generate("switch", size="tiny", seed=0)
    outcome = outcome_of(instance, time_limit=0.0)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.reason == "time was up before all starts were tried: no guarantee"
    assert outcome.placement is not None
    assert evaluate(instance, outcome.placement).saving_ms == pytest.approx(
        saving_of(instance, "greedy"), rel=1e-12
    )


def test_too_many_starts_are_refused_with_the_number() -> None:
    outcome = outcome_of(generate("switch", size="medium", seed=0))
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert "pairs make" in outcome.reason
    assert "the limit is 2e+10" in outcome.reason


def test_pairs_are_refused_with_the_reason() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    outcome = outcome_of(instance)
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert outcome.reason.startswith("demands.experts[0] uses 2 experts together")
    guarantee = HEURISTICS.get("greedy-enumeration").guarantee
    assert guarantee is not None
    assert guarantee.ratio(instance) is None
