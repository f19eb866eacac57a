"""The instances that peers are compared on."""

import numpy as np

from instances.architectures import ARCHITECTURES
from instances.families.assembly import Workload, assemble
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.routing import FINE_GRAINED


def wide_instance(*, layers: int, users: int, servers: int, tokens: int) -> Instance:
    """Draw fine-grained routing through layers of 128 experts, K = 8."""
    workload = Workload(
        architecture=ARCHITECTURES.get("qwen3-30b-a3b"),
        layers=layers,
        precision="bf16",
        users=users,
        tokens=tokens,
        router=FINE_GRAINED["linear-router"],
    )
    return assemble("wide", ("peers", "wide"), workloads=(workload,), servers=servers)


def whole_number_instance(*, users: int, servers: int, experts: int) -> Instance:
    """Draw one layer, K = 1, where every user asks for every expert, all numbers whole.

    Rates are whole numbers below 2^12 and latencies below 2^10 ms, so that their products are exact
    in single precision, too, in which some peers compute. Storage is not short.
    """
    rng = np.random.default_rng(0)
    popularity = rng.lognormal(0.0, 1.0, experts) * rng.lognormal(0.0, 0.5, (users, experts))
    rate = np.clip(np.rint(400.0 * popularity), 1, 4095)
    return Instance(
        name=f"whole-{users}-{servers}-{experts}",
        models=(Model.uniform("single", layers=1, experts=experts, top_k=1, expert_bytes=1),),
        server_names=tuple(f"edge-{n}" for n in range(servers)),
        capacity_bytes=np.full(servers, experts),
        user_names=tuple(f"user-{u}" for u in range(users)),
        user_model=np.zeros(users, dtype=np.int64),
        latency_ms=rng.integers(1, 1024, (users, servers)).astype(np.float64),
        cloud_latency_ms=np.full(users, 1023.0),
        local_latency_ms=np.zeros(users),
        local_offsets=np.zeros(users + 1, dtype=np.int64),
        local_experts=np.zeros(0, dtype=np.int64),
        demand_user=np.repeat(np.arange(users), experts),
        demand_layer=np.zeros(users * experts, dtype=np.int64),
        demand_offsets=np.arange(users * experts + 1),
        demand_experts=np.tile(np.arange(experts), users),
        demand_rate=rate.ravel(),
    )


def filled(instance: Instance) -> Placement:
    """Fill every server with experts in random order, while they fit."""
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    rng = np.random.default_rng(0)
    for server, capacity in enumerate(instance.capacity_bytes):
        order = rng.permutation(instance.num_experts)
        stored[server, order[np.cumsum(instance.expert_bytes[order]) <= capacity]] = True
    return Placement(stored)
