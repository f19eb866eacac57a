import dataclasses
import itertools
import math

import numpy as np
import pytest

from heuristics import HEURISTICS
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.registry import run
from instances.result import StopReason
from instances.structure.server_problem import LayerRows, best_response
from instances.structure.tables import exact_curves
from tests.heuristics.test_baselines import one_layer, solve
from tests.strategies import random_instance


def best_saving(instance: Instance) -> float:
    """Try every placement of every server; subsets that do not fit are left out."""
    masks = np.array(list(itertools.product([False, True], repeat=instance.num_experts)))
    sizes = masks @ instance.expert_bytes
    choices = [masks[sizes <= capacity] for capacity in instance.capacity_bytes]
    return max(
        evaluate(instance, Placement(np.array(rows))).saving_ms
        for rows in itertools.product(*choices)
    )


@pytest.mark.parametrize("seed", range(60))
def test_one_server_is_solved_exactly(seed: int) -> None:
    instance = random_instance(np.random.default_rng(seed), max_servers=1, max_cells=10)
    saving = evaluate(instance, solve("successive-dp", instance)).saving_ms
    assert saving == pytest.approx(best_saving(instance), rel=1e-12, abs=1e-15)
    guarantee = HEURISTICS.get("successive-dp").guarantee
    assert guarantee is not None
    assert guarantee.ratio(instance) == 1.0


@pytest.mark.parametrize("seed", range(60))
def test_k_1_reaches_half(seed: int) -> None:
    instance = random_instance(np.random.default_rng(seed), top_k=1, max_cells=10)
    saving = evaluate(instance, solve("successive-dp", instance)).saving_ms
    assert saving >= 0.5 * best_saving(instance) - 1e-12


def test_k_1_takes_layers_of_any_width() -> None:
    # 300 experts, rates 1..300: a server with room for three takes the last three.
    instance = one_layer(
        rows=[(0, [x], float(x + 1)) for x in range(300)],
        capacity=[3],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1] * 300],
        top_k=1,
    )
    stored = solve("successive-dp", instance).stored
    assert np.flatnonzero(stored[0]).tolist() == [297, 298, 299]


def test_wide_layers_with_larger_k_are_refused_with_the_reason() -> None:
    instance = one_layer(
        rows=[(0, [0, 20], 1.0)],
        capacity=[2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1] * 21],
    )
    outcome = run(HEURISTICS.get("successive-dp"), instance, rng=np.random.default_rng(0))
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert outcome.placement is None
    assert "layers of 21 experts" in outcome.reason
    assert "2^21" in outcome.reason


def test_sizes_without_a_useful_common_divisor_are_refused_with_the_reason() -> None:
    sizes = (10**9 + np.arange(60) ** 3).tolist()
    instance = one_layer(
        rows=[(0, [x], 1.0) for x in range(60)],
        capacity=[30 * 10**9],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[sizes],
        top_k=1,
    )
    outcome = run(HEURISTICS.get("successive-dp"), instance, rng=np.random.default_rng(0))
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert "sizes differ so much" in outcome.reason
    assert solve("successive-hull-pass", instance).num_copies == 29


def test_a_wide_model_that_nobody_uses_is_no_obstacle() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    wide = Model.uniform("wide", layers=1, experts=30, top_k=2, expert_bytes=1)
    instance = dataclasses.replace(instance, models=(*instance.models, wide))
    assert solve("successive-dp", instance).stored[0, :2].all()


def test_sizes_of_several_models_compete_for_the_same_bytes() -> None:
    # Pairs: model a 2 * 3 bytes gains 5, model b 2 * 5 bytes gains 7; 16 bytes hold both, 15 only
    # the better one.
    models = (
        Model.uniform("a", layers=1, experts=2, top_k=2, expert_bytes=3),
        Model.uniform("b", layers=1, experts=2, top_k=2, expert_bytes=5),
    )
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (1, [0, 1], 7.0)],
        capacity=[16],
        latency=[[0.0], [0.0]],
        cloud=[1.0, 1.0],
        sizes=[[3, 3]],
    )
    instance = dataclasses.replace(instance, models=models, user_model=np.array([0, 1]))
    assert solve("successive-dp", instance).stored.all()
    tight = dataclasses.replace(instance, capacity_bytes=np.array([15]))
    assert solve("successive-dp", tight).stored.tolist() == [[False, False, True, True]]


def test_order_can_be_given_and_is_checked() -> None:
    # Both servers serve user 0; only s0 serves user 1. Filling s0 first with the common expert
    # leaves s1 without a gain; the other order reaches both.
    instance = one_layer(
        rows=[(0, [0], 2.0), (1, [1], 1.0)],
        capacity=[1, 1],
        latency=[[0.0, 0.0], [0.0, 9.0]],
        cloud=[1.0, 1.0],
        sizes=[[1, 1]],
        top_k=1,
    )
    first = evaluate(instance, solve("successive-dp", instance, order=["s0", "s1"])).saving_ms
    second = evaluate(instance, solve("successive-dp", instance, order=["s1", "s0"])).saving_ms
    assert (first, second) == (2.0, 3.0)
    with pytest.raises(InputError, match=r"order.*does not list every server once"):
        solve("successive-dp", instance, order=["s0"])


def test_unknown_parameters_are_refused() -> None:
    instance = one_layer(
        rows=[(0, [0], 2.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1]], top_k=1
    )
    with pytest.raises(InputError, match="no parameter 'ordr'; known parameters: order"):
        solve("successive-dp", instance, ordr=["s0"])


@pytest.mark.parametrize("seed", range(80))
def test_the_hull_keeps_its_guarantee_on_one_server(seed: int) -> None:
    instance = random_instance(
        np.random.default_rng(seed), max_servers=1, max_layers=3, max_experts=5, max_rows=40
    )
    best = evaluate(instance, solve("successive-dp", instance)).saving_ms
    saving = evaluate(instance, solve("successive-hull-pass", instance)).saving_ms
    guarantee = HEURISTICS.get("successive-hull-pass").guarantee
    assert guarantee is not None
    ratio = guarantee.ratio(instance)
    assert ratio is not None
    assert ratio * best - 1e-12 <= saving <= best + 1e-12


@pytest.mark.parametrize("seed", range(40))
def test_hull_and_tables_agree_where_gains_are_additive(seed: int) -> None:
    instance = random_instance(np.random.default_rng(seed), top_k=1, max_experts=6, max_rows=30)
    exact = evaluate(instance, solve("successive-dp", instance)).saving_ms
    hull = evaluate(instance, solve("successive-hull-pass", instance)).saving_ms
    assert hull == pytest.approx(exact, rel=1e-12)


def test_the_hull_takes_layers_of_any_width_and_finds_the_pairs() -> None:
    # 40 disjoint pairs with rates 1..40 in a layer of 80 experts: room for three pairs and a half.
    instance = one_layer(
        rows=[(0, [2 * i, 2 * i + 1], float(i + 1)) for i in range(40)],
        capacity=[7],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1] * 80],
    )
    stored = solve("successive-hull-pass", instance).stored
    assert np.flatnonzero(stored[0]).tolist() == [74, 75, 76, 77, 78, 79]


def test_modular_keeps_its_guarantee_and_reports_the_curvature() -> None:
    claimed = 0
    for seed in range(150):
        instance = random_instance(
            np.random.default_rng(seed), max_servers=1, max_layers=2, max_experts=5, max_rows=40
        )
        best = evaluate(instance, solve("successive-dp", instance)).saving_ms
        saving = evaluate(instance, solve("successive-modular", instance)).saving_ms
        guarantee = HEURISTICS.get("successive-modular").guarantee
        assert guarantee is not None
        ratio = guarantee.ratio(instance)
        assert ratio is not None
        assert ratio * best - 1e-12 <= saving <= best + 1e-12
        claimed += ratio > 0.1
    assert claimed >= 20


def test_curvature_of_a_hand_made_instance() -> None:
    # v(0 | nothing) = 1, v(0 | others) = 1 + 3; v(1 | nothing) = 0: k = 1. Without the single row
    # for 1 nothing is claimed; with one of weight 3, k = 1 - min(1 / 4, 3 / 6) = 0.75.
    rows = [(0, [0], 1.0), (0, [0, 1], 3.0)]
    instance = one_layer(rows=rows, capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]])
    outcome = run(HEURISTICS.get("successive-modular"), instance, rng=np.random.default_rng(0))
    assert outcome.reason == "supermodular curvature k = 1.000"
    instance = one_layer(
        rows=[*rows, (0, [1], 3.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    outcome = run(HEURISTICS.get("successive-modular"), instance, rng=np.random.default_rng(0))
    assert outcome.reason == "supermodular curvature k = 0.750"
    guarantee = HEURISTICS.get("successive-modular").guarantee
    assert guarantee is not None
    assert guarantee.ratio(instance) == 0.25


# -- what one server at a time cannot do --------------------------------------------------------

MARGIN = 0.05


def many_small_groups(servers: int, slots: int, top_k: int) -> tuple[Instance, Placement]:
    """Every set of K of N c experts is wanted a little; baits fill one server each.

    Where K experts fit on no server: one set of K, and single experts worth a margin together.
    """
    room = servers * slots
    near = range(room)
    rows: list[tuple[int, list[int], float]] = []
    if slots >= top_k:
        wanted = list(itertools.combinations(near, top_k))
        rows += [(0, list(chosen), 1.0 / len(wanted)) for chosen in wanted]
        for first in range(room, 2 * room, slots):
            bait = itertools.combinations(range(first, first + slots), top_k)
            rows += [(0, list(chosen), (1 + MARGIN) / len(wanted)) for chosen in bait]
    else:
        rows.append((0, list(range(top_k)), 1.0))
        rows += [(0, [room + i], MARGIN * (0.9 + 0.001 * i) / room) for i in near]
    instance = one_layer(
        rows=rows,
        capacity=[slots] * servers,
        latency=[[0.0] * servers],
        cloud=[1.0],
        sizes=[[1] * (2 * room)],
        top_k=top_k,
    )
    spread = Placement.of(instance, [(i // slots, i) for i in near])
    return instance, spread


@pytest.mark.parametrize(
    ("servers", "slots", "top_k"),
    [(2, 4, 3), (2, 3, 3), (3, 2, 2), (2, 4, 4), (2, 2, 3), (3, 1, 2)],
)
def test_no_order_and_no_number_of_passes_over_single_servers_helps(
    servers: int, slots: int, top_k: int
) -> None:
    instance, spread = many_small_groups(servers, slots, top_k)
    share = servers * math.comb(slots, top_k) / math.comb(servers * slots, top_k)
    assert share <= servers ** (1.0 - top_k)
    most = (1 + MARGIN) * share if slots >= top_k else MARGIN
    possible = evaluate(instance, spread)
    assert possible.feasible
    assert possible.saving_ms >= 1 - 1e-12
    rows = LayerRows.of(instance)
    for order in itertools.permutations(range(servers)):
        stored = np.zeros((servers, instance.num_experts), dtype=np.bool_)
        for server in 3 * order:
            deadline = Deadline.after(None)
            stored[server] = best_response(rows, stored, server, exact_curves, deadline)
            saving = evaluate(instance, Placement(stored)).saving_ms
            assert saving <= most * (1 + 1e-12)
    saving = evaluate(instance, solve("successive-dp", instance)).saving_ms
    assert saving <= most * (1 + 1e-12)
