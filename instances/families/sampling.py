"""Small random instances, for searches and conformance tests: an oracle solves them at once.

Unlike the family ``tiny`` they can be kept free of ties, and their kind can be asked for.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.model import Model
from instances.problem import Instance
from instances.rounding import round_significant

MOST_EXPERTS = {1: 12, 2: 9, 3: 7, 4: 6}
"""Experts over all layers, by the number of servers."""

DIGITS = 6


def draw_small_instance(
    draws: Draws,
    name: str,
    *,
    servers: int | None = None,
    top_k: int | None = None,
    equal_sizes: bool | None = None,
    ties: bool = False,
) -> Instance:
    """Draw an instance of one model that :mod:`instances.structure.exhaustive` can solve.

    Parameters
    ----------
    draws
        Where every number comes from.
    name
        Name of the instance.
    servers, top_k
        1 to 4; drawn when left out.
    equal_sizes
        Whether all experts have one size; drawn when left out.
    ties
        Whether latencies and rates come from a few values, so that they often tie. Otherwise no two
        servers are equally fast for a user and no two rows weigh the same.
    """
    num_servers = servers or 1 + draws.integer(3)
    model = _draw_model(draws, MOST_EXPERTS[num_servers], top_k, equal_sizes)
    users = 1 + draws.integer(4)
    rows = [row for user in range(users) for row in _draw_rows(draws, user, model)]
    local = _draw_local(draws, model, users)
    total = int(model.expert_bytes.sum())
    least = int(model.expert_bytes.min())
    # anything from one expert to two thirds of all
    capacity = least + draws.below(max(1, 2 * total // 3), num_servers)
    return Instance(
        name=name,
        models=(model,),
        server_names=tuple(f"edge-{n}" for n in range(num_servers)),
        capacity_bytes=capacity,
        user_names=tuple(f"user-{u}" for u in range(users)),
        user_model=np.zeros(users, dtype=np.int64),
        latency_ms=_draw_values(draws, (users, num_servers), ties=ties),
        cloud_latency_ms=50.0 * (2 + draws.below(3, users)).astype(np.float64),
        local_latency_ms=_draw_values(draws, users, ties=ties) * (draws.below(3, users) == 2),
        local_offsets=np.cumsum([0, *map(len, local)]),
        local_experts=np.array([expert for held in local for expert in held], dtype=np.int64),
        demand_user=np.array([row[0] for row in rows]),
        demand_layer=np.array([row[1] for row in rows]),
        demand_offsets=np.cumsum([0, *(len(row[2]) for row in rows)]),
        demand_experts=np.array([expert for row in rows for expert in row[2]]),
        demand_rate=_draw_values(draws, len(rows), ties=ties)
        * 2.0 ** -draws.below(4, len(rows)).astype(np.float64),
    )


def _draw_model(
    draws: Draws, most_experts: int, top_k: int | None, equal_sizes: bool | None
) -> Model:
    most_used = top_k or 1 + draws.integer(3)
    layers = 1 + draws.integer(min(3, most_experts // (most_used + 1)))
    experts = most_used + 1 + draws.integer(most_experts // layers - most_used)
    equal = draws.chance(0.5) if equal_sizes is None else equal_sizes
    sizes = np.full((layers, experts), 1, dtype=np.int64)
    if not equal:
        sizes += draws.below(8, (layers, experts))
    return Model(name="small", expert_bytes=sizes * 1_000_000, top_k=most_used)


def _draw_rows(draws: Draws, user: int, model: Model) -> list[tuple[int, int, list[int]]]:
    rows = {}
    for _ in range(1 + draws.integer(5)):
        layer = draws.integer(model.layers)
        length = model.top_k if draws.chance(0.7) else 1 + draws.integer(model.top_k)
        experts = sorted(draws.permutation(model.experts)[:length].tolist())
        rows[layer, tuple(experts)] = (user, layer, experts)
    return list(rows.values())


def _draw_local(draws: Draws, model: Model, users: int) -> list[Sequence[int]]:
    """Draw experts on the devices, ascending: none for most users."""
    total = model.layers * model.experts
    return [
        sorted(draws.permutation(total)[:2].tolist()) if draws.chance(0.2) else []
        for _ in range(users)
    ]


def _draw_values(draws: Draws, shape: int | tuple[int, ...], *, ties: bool) -> NDArray[np.float64]:
    """Draw positive numbers up to 120, so that some servers are slower than the cloud."""
    if ties:
        return 20.0 * (1 + draws.below(6, shape)).astype(np.float64)
    count = math.prod((shape,) if isinstance(shape, int) else shape)
    # one draw from each of `count` equal parts: no two are the same
    parts = draws.permutation(count) + 0.05 + 0.9 * draws.uniform(count)
    return round_significant(120.0 * parts / max(1, count), DIGITS).reshape(shape)
