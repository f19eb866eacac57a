from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.structure.clauses import build_clauses
from instances.structure.server_problem import LayerRows, ServerProblem, servers_by_worth
from instances.structure.tables import LayerPart, layer_part, residual_of
from tests.strategies import instances, random_placement


def weights_of(part: LayerPart) -> dict[tuple[int, ...], float]:
    weights = defaultdict(float)
    for c, weight in enumerate(part.weight):
        bits = part.bits[part.offsets[c] : part.offsets[c + 1]]
        weights[tuple(part.wanted[np.sort(bits)].tolist())] += weight
    return weights


@given(instance=instances(max_models=2), seed=st.integers(0, 100), data=st.data())
def test_steps_are_the_clauses_that_the_server_decides(instance, seed, data):
    server = data.draw(st.integers(0, instance.num_servers - 1))
    stored = random_placement(np.random.default_rng(seed), instance).stored
    residual = residual_of(build_clauses(instance), stored, server)
    problem = ServerProblem(LayerRows.of(instance), stored, server)
    for layer in range(instance.num_layers):
        steps = problem.layer(layer)
        lacked = weights_of(layer_part(residual, layer, instance.expert_bytes))
        found = weights_of(steps)
        assert len(found) == steps.weight.size, "equal sets are one step"
        # a weight that is nothing but rounding may be there on one side alone
        keys = {k for w in (lacked, found) for k in w if w[k] > 1e-12 * max(w.values())}
        for key in keys:
            assert found[key] == pytest.approx(lacked[key], rel=1e-9, abs=1e-12)
        assert np.array_equal(steps.sizes, instance.expert_bytes[steps.wanted])


def many_rows(num_rows: int, *, experts: int, top_k: int, servers: int, seed: int) -> Instance:
    """Rows of all lengths in no order, many of them alike, and a few experts on devices."""
    rng = np.random.default_rng(seed)
    users = 7
    lengths = rng.integers(1, top_k + 1, num_rows)
    chosen = [rng.permutation(experts)[:length] for length in lengths]
    return Instance(
        name="many-rows",
        models=(Model.uniform("m", layers=2, experts=experts, top_k=top_k, expert_bytes=1),),
        server_names=tuple(f"s{n}" for n in range(servers)),
        capacity_bytes=np.full(servers, experts),
        user_names=tuple(f"u{u}" for u in range(users)),
        user_model=np.zeros(users, dtype=np.int64),
        latency_ms=rng.uniform(1.0, 120.0, (users, servers)),
        cloud_latency_ms=np.full(users, 100.0),
        local_latency_ms=np.full(users, 30.0),
        local_offsets=np.array([0, 2, 2, 2, 2, 2, 2, 2]),
        local_experts=np.array([1, experts + 2]),
        demand_user=rng.integers(0, users, num_rows),
        demand_layer=rng.integers(0, 2, num_rows),
        demand_offsets=np.concatenate([[0], np.cumsum(lengths)]),
        demand_experts=np.concatenate([np.zeros(0, dtype=np.int64), *chosen]),
        demand_rate=rng.uniform(0.0, 1.0, num_rows),
    )


@pytest.mark.parametrize(
    ("num_rows", "experts", "top_k"), [(20_000, 8, 4), (3_000, 70, 66), (0, 3, 2)]
)
def test_steps_add_up_to_what_the_evaluator_says(num_rows: int, experts: int, top_k: int) -> None:
    """More steps than are made room for at once, and rows longer than a word has bits."""
    instance = many_rows(num_rows, experts=experts, top_k=top_k, servers=5, seed=0)
    rng = np.random.default_rng(1)
    stored = rng.random((5, instance.num_experts)) < 0.3
    stored[2] = False
    before = evaluate(instance, Placement(stored)).saving_ms
    problem = ServerProblem(LayerRows.of(instance), stored, 2)
    steps = [problem.layer(layer) for layer in range(2)]
    for share in (0.3, 0.8, 1.0):
        stored[2] = rng.random(instance.num_experts) < share
        gain = 0.0
        for part in steps:
            missing = ~stored[2, part.wanted][part.bits]
            owner = np.repeat(np.arange(part.weight.size), np.diff(part.offsets))
            lacking = np.bincount(owner, weights=missing, minlength=part.weight.size)
            gain += float(part.weight[lacking == 0].sum())
        after = evaluate(instance, Placement(stored)).saving_ms
        assert gain == pytest.approx(after - before, rel=1e-9, abs=1e-12)


@given(instance=instances(max_models=2))
def test_servers_come_by_what_they_gain_alone(instance):
    order = servers_by_worth(instance)
    everything = []
    for server in range(instance.num_servers):
        stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
        stored[server] = True
        everything.append(evaluate(instance, Placement(stored)).saving_ms)
    gains = np.array(everything)[order]
    assert sorted(order) == list(range(instance.num_servers))
    assert np.all(gains[1:] <= gains[:-1] + 1e-9 * max(1.0, gains.max()))


@given(instance=instances(max_models=2))
def test_rows_are_grouped_by_layer_and_user(instance):
    rows = LayerRows.of(instance)
    assert np.array_equal(np.sort(rows.order), np.arange(instance.num_rows))
    first_layer = instance.model_layer_offset[instance.user_model[instance.demand_user]]
    layer = (first_layer + instance.demand_layer)[rows.order]
    user = instance.demand_user[rows.order]
    assert np.array_equal(np.lexsort((user, layer)), np.arange(instance.num_rows))
    counts = np.bincount(layer, minlength=instance.num_layers)
    assert np.array_equal(np.diff(rows.layer_offset), counts)
