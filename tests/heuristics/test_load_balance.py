import dataclasses

import numpy as np
import pytest

from heuristics import HEURISTICS
from heuristics.expert_balancing import balance_globally, balance_hierarchically
from instances.errors import InputError
from instances.model import Model
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.result import Outcome, StopReason

RATES = [[9, 5, 1, 2, 3, 3, 8, 4], [1, 1, 2, 9, 9, 9, 1, 1]]


def gpus(
    slots: int = 3, names: tuple[str, ...] = ("gpu-8", "gpu-9", "gpu-10", "gpu-11")
) -> Instance:
    """Four equal servers on two nodes, 2 layers of 8 experts; expert loads as in ``RATES``."""
    layers, experts = 2, 8
    return Instance(
        name="gpus",
        models=(Model.uniform("m", layers=layers, experts=experts, top_k=1, expert_bytes=10),),
        server_names=names,
        capacity_bytes=np.full(4, slots * layers * 10 + 9),
        user_names=("a", "b"),
        user_model=np.zeros(2, int),
        latency_ms=np.array([[1.0, 1.0, 2.0, 2.0], [2.0, 2.0, 1.0, 1.0]]),
        cloud_latency_ms=np.array([9.0, 9.0]),
        local_latency_ms=np.zeros(2),
        local_offsets=np.zeros(3, int),
        local_experts=np.zeros(0, int),
        demand_user=np.arange(16) % 2,
        demand_layer=np.repeat([0, 1], 8),
        demand_offsets=np.arange(17),
        demand_experts=np.tile(np.arange(8), 2),
        demand_rate=np.array(RATES, float).ravel(),
    )


def solve(instance: Instance, **parameters: object) -> Outcome:
    return run(HEURISTICS.get("load-balance"), instance, rng=np.random.default_rng(0), **parameters)


def placed(instance: Instance, **parameters: object) -> list[list[set[int]]]:
    """Experts of each layer and server."""
    placement = solve(instance, **parameters).placement
    assert isinstance(placement, Placement)
    placement.check_capacity(instance)
    stored = placement.stored.reshape(4, 2, 8)
    return [[set(np.flatnonzero(server[layer]).tolist()) for server in stored] for layer in (0, 1)]


def expected(slots_of_rank: int, found: np.ndarray) -> list[list[set[int]]]:
    return [[set(rank) for rank in row.reshape(4, slots_of_rank).tolist()] for row in found]


def test_equal_servers_get_the_published_global_placement():
    want = expected(3, balance_globally(RATES, num_replicas=12, num_ranks=4))
    assert placed(gpus()) == want
    assert placed(gpus(), policy="global") == want
    assert placed(gpus(), policy="sizes") != want


def test_hierarchical_finds_the_nodes_by_the_latencies():
    numbers = {"num_replicas": 12, "num_nodes": 2, "num_ranks": 4}
    want = expected(3, balance_hierarchically(RATES, num_groups=8, **numbers))
    assert placed(gpus(), policy="hierarchical") == want
    assert placed(gpus(), policy="hierarchical", nodes=2) == want
    want = expected(3, balance_hierarchically(RATES, num_groups=4, **numbers))
    assert placed(gpus(), policy="hierarchical", groups=4) == want
    assert placed(gpus(), groups=4) == want  # auto: 2 nodes divide 4 groups


def test_auto_is_global_where_nodes_do_not_divide_the_groups():
    assert placed(gpus(), groups=1) == placed(gpus(), policy="global")


def test_nodes_whose_servers_are_not_named_in_turn():
    mixed = dataclasses.replace(
        gpus(), latency_ms=np.array([[1.0, 2.0, 1.0, 2.0], [2.0, 1.0, 2.0, 1.0]])
    )
    found = placed(mixed, policy="hierarchical")
    for layer, servers in enumerate(placed(gpus(), policy="hierarchical")):
        assert [found[layer][n] for n in (0, 2, 1, 3)] == servers


def test_ranks_go_by_name_with_numbers_as_numbers():
    turned = gpus(names=("gpu-10", "gpu-11", "gpu-8", "gpu-9"))
    for ours, theirs in zip(placed(turned), placed(gpus()), strict=True):
        assert [ours[n] for n in (2, 3, 0, 1)] == theirs


def test_names_of_odd_digits():
    odd = gpus(names=("²", "1" * 5000, "007", "7"))
    assert solve(odd).placement is not None


def test_fewer_replicas_than_slots():
    want = expected(2, balance_globally(RATES, num_replicas=8, num_ranks=4))
    assert placed(gpus(), policy="global", replicas=8) == want


def test_huge_and_tiny_rates_do_not_leave_single_precision():
    for factor in (2.0**900, 2.0**-900):
        scaled = dataclasses.replace(gpus(), demand_rate=gpus().demand_rate * factor)
        assert placed(scaled) == placed(gpus())


@pytest.mark.parametrize(
    ("instance", "parameters", "reason"),
    [
        (
            dataclasses.replace(gpus(), capacity_bytes=np.array([60, 60, 60, 70])),
            {"policy": "global"},
            r"servers differ in capacity \(60 to 70 bytes\)",
        ),
        (
            dataclasses.replace(
                gpus(),
                models=(Model(name="m", expert_bytes=np.arange(1, 17).reshape(2, 8), top_k=1),),
            ),
            {"policy": "hierarchical"},
            "hierarchical .* the experts differ in size",
        ),
        (
            dataclasses.replace(
                gpus(),
                models=(
                    *gpus().models,
                    Model.uniform("n", layers=1, experts=2, top_k=1, expert_bytes=1),
                ),
            ),
            {"policy": "global"},
            "2 models, where it takes one",
        ),
        (gpus(1), {"policy": "global"}, "4 replicas a layer are fewer than its 8 experts"),
        (gpus(), {"policy": "global", "replicas": 10}, "10 replicas do not share out .* 4 ranks"),
        (gpus(), {"policy": "global", "replicas": 16}, "16 replicas .* storage has 12 slots"),
        (gpus(), {"policy": "hierarchical", "nodes": 3}, "8 groups do not share out .* 3 nodes"),
        (gpus(), {"policy": "hierarchical", "groups": 5}, "8 experts do not share out .* 5 groups"),
        (
            dataclasses.replace(
                gpus(), latency_ms=np.array([[1.0, 1.0, 1.0, 2.0], [2.0, 2.0, 2.0, 1.0]])
            ),
            {"policy": "hierarchical"},
            "nodes of 1 to 3 servers",
        ),
    ],
)
def test_unsupported_with_the_reason(instance, parameters, reason):
    outcome = solve(instance, **parameters)
    assert outcome.stop_reason is StopReason.UNSUPPORTED
    assert outcome.placement is None
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(outcome.reason)


def test_auto_takes_real_sizes_where_the_published_rules_do_not_apply():
    unequal = dataclasses.replace(gpus(), capacity_bytes=np.array([60, 60, 60, 70]))
    auto, sizes = solve(unequal).placement, solve(unequal, policy="sizes").placement
    assert np.array_equal(auto.stored, sizes.stored)
    auto, sizes = solve(gpus(1)).placement, solve(gpus(1), policy="sizes").placement
    assert np.array_equal(auto.stored, sizes.stored)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"policy": "fair"}, "policy: 'fair' is not one of auto, sizes, global, hierarchical"),
        ({"nodes": -1}, "nodes: -1 is negative"),
        ({"replicas": -4}, "replicas: -4 is negative"),
    ],
)
def test_wrong_parameters(parameters, message):
    with pytest.raises(InputError, match=message):
        solve(gpus(), **parameters)
