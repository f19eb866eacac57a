"""One minimal instance for each rule of the model, its optimum worked out by hand."""

import dataclasses
from collections.abc import Callable

import numpy as np

from instances.problem import Instance, Model

Rule = Callable[[], tuple[Instance, float]]

RULES: dict[str, Rule] = {}
"""Instance and greatest saving in ms, by the name of the rule."""


def rule(make: Rule) -> Rule:
    RULES[make.__name__] = make
    return make


def one_layer(
    *,
    rows: list[tuple[int, list[int], float]],
    capacity: list[int],
    latency: list[list[float]],
    cloud: list[float],
    sizes: list[list[int]],
    local: dict[int, list[int]] | None = None,
    local_ms: float = 0.0,
) -> Instance:
    """Build an instance of one model with the given rows (user, experts, rate) in layer 0.

    ``local`` lists the experts of layer 0 on the device of each user.
    """
    held = [(local or {}).get(u, []) for u in range(len(cloud))]
    widest = max([1, *(len(row[1]) for row in rows)])
    return Instance(
        name="rule",
        models=(Model(name="m", expert_bytes=np.array(sizes), top_k=widest),),
        server_names=tuple(f"s{n}" for n in range(len(capacity))),
        capacity_bytes=np.array(capacity),
        user_names=tuple(f"u{u}" for u in range(len(cloud))),
        user_model=np.zeros(len(cloud), dtype=np.int64),
        latency_ms=np.array(latency),
        cloud_latency_ms=np.array(cloud),
        local_latency_ms=np.full(len(cloud), local_ms),
        local_offsets=np.cumsum([0, *(len(experts) for experts in held)]),
        local_experts=np.array([e for experts in held for e in experts], dtype=np.int64),
        demand_user=np.array([row[0] for row in rows], dtype=np.int64),
        demand_layer=np.zeros(len(rows), dtype=np.int64),
        demand_offsets=np.cumsum([0, *(len(row[1]) for row in rows)]),
        demand_experts=np.array([e for row in rows for e in row[1]], dtype=np.int64),
        demand_rate=np.array([row[2] for row in rows], dtype=np.float64),
    )


@rule
def capacity_binds() -> tuple[Instance, float]:
    # Each expert saves 10 - 1 = 9 ms times its rate; two of three fit: 9 * (5 + 3).
    instance = one_layer(
        rows=[(0, [0], 3.0), (0, [1], 5.0), (0, [2], 2.0)],
        capacity=[2],
        latency=[[1.0]],
        cloud=[10.0],
        sizes=[[1, 1, 1]],
    )
    return instance, 72.0


@rule
def both_experts_of_a_pair_are_needed() -> tuple[Instance, float]:
    # Room for two: the pair saves 3, expert 2 with half of the pair 2.
    instance = one_layer(
        rows=[(0, [0, 1], 3.0), (0, [2], 2.0)],
        capacity=[2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1, 1]],
    )
    return instance, 3.0


@rule
def half_a_pair_saves_nothing() -> tuple[Instance, float]:
    # Room for one: half of the pair saves 0, expert 2 saves 2.
    instance, _ = both_experts_of_a_pair_are_needed()
    return dataclasses.replace(instance, capacity_bytes=np.array([1])), 2.0


@rule
def a_pair_may_be_split_over_two_servers() -> tuple[Instance, float]:
    # One expert on each server: the layer waits max(1, 2) = 2 instead of 10.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[1, 1],
        latency=[[1.0, 2.0]],
        cloud=[10.0],
        sizes=[[1, 1]],
    )
    return instance, 8.0


@rule
def the_nearer_server_saves_more() -> tuple[Instance, float]:
    # The more wanted expert near, the other far: 3 * (10 - 1) + 2 * (10 - 4); swapped 18 + 18.
    instance = one_layer(
        rows=[(0, [0], 3.0), (0, [1], 2.0)],
        capacity=[1, 1],
        latency=[[1.0, 4.0]],
        cloud=[10.0],
        sizes=[[1, 1]],
    )
    return instance, 39.0


@rule
def servers_may_tie() -> tuple[Instance, float]:
    # Both servers are 4 away, so the pair waits 4 wherever its halves are: 10 - 4.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[1, 1],
        latency=[[4.0, 4.0]],
        cloud=[10.0],
        sizes=[[1, 1]],
    )
    return instance, 6.0


@rule
def servers_no_faster_than_the_cloud_are_useless() -> tuple[Instance, float]:
    # One server is slower than the cloud, one as fast.
    instance = one_layer(
        rows=[(0, [0], 1.0)],
        capacity=[1, 1],
        latency=[[12.0, 10.0]],
        cloud=[10.0],
        sizes=[[1]],
    )
    return instance, 0.0


@rule
def users_may_need_a_copy_each() -> tuple[Instance, float]:
    # A copy beside each user: 9 + 9; one copy alone: 9 + 1.
    instance = one_layer(
        rows=[(0, [0], 1.0), (1, [0], 1.0)],
        capacity=[1, 1],
        latency=[[1.0, 9.0], [9.0, 1.0]],
        cloud=[10.0, 10.0],
        sizes=[[1]],
    )
    return instance, 18.0


@rule
def a_local_expert_bounds_the_wait_from_below() -> tuple[Instance, float]:
    # Expert 0 is on the device, 3 ms away. With 1 stored the wait is max(3, 1), not 1: 10 - 3.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)],
        capacity=[1],
        latency=[[1.0]],
        cloud=[10.0],
        sizes=[[1, 1]],
        local={0: [0]},
        local_ms=3.0,
    )
    return instance, 7.0


@rule
def a_slow_local_expert_leaves_nothing_to_save() -> tuple[Instance, float]:
    # Expert 0 is on the device, but 12 ms away: the row waits 12 whatever is stored.
    instance, _ = a_local_expert_bounds_the_wait_from_below()
    return dataclasses.replace(instance, local_latency_ms=np.array([12.0])), 0.0


@rule
def a_wholly_local_row_needs_no_storage() -> tuple[Instance, float]:
    # Expert 0 is on the device however much it is wanted; the one place goes to expert 1: 10 - 1.
    instance = one_layer(
        rows=[(0, [0], 100.0), (0, [1], 1.0)],
        capacity=[1],
        latency=[[1.0]],
        cloud=[10.0],
        sizes=[[1, 1]],
        local={0: [0]},
    )
    return instance, 9.0


@rule
def an_expert_local_to_one_user_is_stored_for_another() -> tuple[Instance, float]:
    # User 0 has expert 0 on the device. Stored, it saves user 1 9 ms; expert 1 would save 0.5 * 9.
    instance = one_layer(
        rows=[(0, [0], 5.0), (1, [0], 1.0), (0, [1], 0.5)],
        capacity=[1],
        latency=[[1.0], [1.0]],
        cloud=[10.0, 10.0],
        sizes=[[1, 1]],
        local={0: [0]},
    )
    return instance, 9.0


@rule
def sizes_make_a_knapsack() -> tuple[Instance, float]:
    # 7 bytes: the experts of 3 and 4 bytes save 4 + 5, the densest alone (5 bytes) saves 8.
    instance = one_layer(
        rows=[(0, [0], 4.0), (0, [1], 5.0), (0, [2], 8.0)],
        capacity=[7],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[3, 4, 5]],
    )
    return instance, 9.0


@rule
def models_compete_for_a_server() -> tuple[Instance, float]:
    # The pair of a needs 2 * 6 bytes and saves 5, that of b needs 2 * 4 and saves 7; 19 bytes hold
    # only one pair.
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (1, [0, 1], 7.0)],
        capacity=[19],
        latency=[[0.0], [0.0]],
        cloud=[1.0, 1.0],
        sizes=[[1, 1]],
    )
    models = (
        Model.uniform("a", layers=1, experts=2, top_k=2, expert_bytes=6),
        Model.uniform("b", layers=1, experts=2, top_k=2, expert_bytes=4),
    )
    return dataclasses.replace(instance, models=models, user_model=np.array([0, 1])), 7.0


@rule
def models_share_a_server_that_holds_both() -> tuple[Instance, float]:
    # One byte more holds both pairs: 5 + 7.
    instance, _ = models_compete_for_a_server()
    return dataclasses.replace(instance, capacity_bytes=np.array([20])), 12.0


@rule
def layers_have_experts_of_their_own() -> tuple[Instance, float]:
    # Expert 0 of layer 0 (rate 2) and expert 0 of layer 1 (rate 3) compete for one place.
    instance = one_layer(
        rows=[(0, [0], 2.0), (0, [0], 3.0)],
        capacity=[1],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1], [1]],
    )
    return dataclasses.replace(instance, demand_layer=np.array([0, 1])), 3.0


@rule
def three_experts_together() -> tuple[Instance, float]:
    # Room for three: {0, 1, 2} saves 2 + 1; {0, 1} with 3 saves 1 + 4.
    instance = one_layer(
        rows=[(0, [0, 1, 2], 2.0), (0, [0, 1], 1.0), (0, [3], 4.0)],
        capacity=[3],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[1, 1, 1, 1]],
    )
    return instance, 5.0


@rule
def no_demand() -> tuple[Instance, float]:
    instance = one_layer(rows=[], capacity=[1], latency=[[1.0]], cloud=[10.0], sizes=[[1]])
    return instance, 0.0


@rule
def demand_of_rate_zero() -> tuple[Instance, float]:
    instance = one_layer(
        rows=[(0, [0], 0.0)], capacity=[1], latency=[[1.0]], cloud=[10.0], sizes=[[1]]
    )
    return instance, 0.0


@rule
def no_storage() -> tuple[Instance, float]:
    instance, _ = capacity_binds()
    return dataclasses.replace(instance, capacity_bytes=np.array([0])), 0.0


@rule
def an_expert_larger_than_every_server() -> tuple[Instance, float]:
    # Two servers of 4 bytes do not make one of 8: expert 0 stays in the cloud, with the pair that
    # it is half of. Expert 1 alone saves 1 * 10.
    instance = one_layer(
        rows=[(0, [0], 9.0), (0, [0, 1], 3.0), (0, [1], 1.0)],
        capacity=[4, 4],
        latency=[[0.0, 0.0]],
        cloud=[10.0],
        sizes=[[5, 2]],
    )
    return instance, 10.0


@rule
def a_pair_that_fits_one_by_one_but_not_together() -> tuple[Instance, float]:
    # The pair saves 1000, but needs 8 bytes of 7; what is left is the better half, 0.002.
    instance = one_layer(
        rows=[(0, [0, 1], 1000.0), (0, [0], 0.001), (0, [1], 0.002)],
        capacity=[7],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[4, 4]],
    )
    return instance, 0.002


@rule
def one_byte_too_many() -> tuple[Instance, float]:
    # The pair needs 2**41 + 3 bytes of 2**41 + 2; the better half saves 2.
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (0, [0], 1.0), (0, [1], 2.0)],
        capacity=[2**41 + 2],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[2**40 + 1, 2**40 + 2]],
    )
    return instance, 2.0


@rule
def just_enough_bytes() -> tuple[Instance, float]:
    # Of three experts two fit, to the byte: 0 and 1 save 5 + 1 + 2, 0 and 2 would save 1 + 2.5.
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (0, [0], 1.0), (0, [1], 2.0), (0, [2], 2.5)],
        capacity=[2**41 + 3],
        latency=[[0.0]],
        cloud=[1.0],
        sizes=[[2**40 + 1, 2**40 + 2, 2**40]],
    )
    return instance, 8.0
