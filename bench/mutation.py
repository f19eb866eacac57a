"""Small random changes of an instance, for a search that climbs towards bad cases."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.model import Model
from instances.problem import Instance
from instances.rounding import round_significant

DIGITS = 6
FACTORS = (0.1, 0.25, 0.5, 0.9, 1.1, 2.0, 4.0, 10.0)

Changes = dict[str, Any]


def mutated(instance: Instance, draws: Draws) -> Instance:
    """Return an instance of one model that differs in one to three random details.

    Rates, latencies, capacities, sizes of experts, rows and the experts in a row may change; the
    numbers of servers, users, layers and experts do not.
    """
    for _ in range(1 + draws.integer(3)):
        change = MUTATIONS[draws.integer(len(MUTATIONS))]
        instance = dataclasses.replace(instance, **change(instance, draws))
    return instance


def _one_rate(instance: Instance, draws: Draws) -> Changes:
    if not instance.num_rows:
        return {}
    rates = instance.demand_rate.copy()
    row = draws.integer(rates.size)
    if draws.chance(0.3):  # as another row's, or a shade more
        rates[row] = rates[draws.integer(rates.size)] * (1.0 + 0.01 * draws.integer(2))
    else:
        rates[row] *= FACTORS[draws.integer(len(FACTORS))]
    return {"demand_rate": round_significant(rates, DIGITS)}


def _one_latency(instance: Instance, draws: Draws) -> Changes:
    latency = instance.latency_ms.copy()
    user, server = draws.integer(instance.num_users), draws.integer(instance.num_servers)
    cloud = float(instance.cloud_latency_ms[user])
    other = float(latency[user, draws.integer(instance.num_servers)])
    choices = (0.0, other, 0.99 * other, min(1.01 * other, cloud), 2.0 * cloud, 0.5 * cloud)
    latency[user, server] = choices[draws.integer(len(choices))]
    return {"latency_ms": round_significant(latency, DIGITS)}


def _one_capacity(instance: Instance, draws: Draws) -> Changes:
    capacity = instance.capacity_bytes.copy()
    server = draws.integer(capacity.size)
    sizes = instance.expert_bytes
    if draws.chance(0.5):
        step = int(sizes[draws.integer(sizes.size)])
        capacity[server] += step if draws.chance(0.5) else -step
    else:  # exactly what some experts take
        chosen = draws.permutation(sizes.size)[: 1 + draws.integer(sizes.size)]
        capacity[server] = int(sizes[chosen].sum())
    return {"capacity_bytes": np.maximum(capacity, int(sizes.min()))}


def _one_size(instance: Instance, draws: Draws) -> Changes:
    (model,) = instance.models
    sizes = model.expert_bytes.copy()
    if sizes.min() == sizes.max():  # instances of one size stay so: some guarantees need it
        return {}
    layer, expert = draws.integer(model.layers), draws.integer(model.experts)
    sizes[layer, expert] = sizes.ravel()[draws.integer(sizes.size)] * (1 + draws.integer(2))
    return {"models": (Model(name=model.name, expert_bytes=sizes, top_k=model.top_k),)}


def _one_row_less(instance: Instance, draws: Draws) -> Changes:
    if instance.num_rows < 2:
        return {}
    rows = _rows(instance)
    del rows[draws.integer(len(rows))]
    return _demand(rows)


def _one_row_more(instance: Instance, draws: Draws) -> Changes:
    (model,) = instance.models
    rows = _rows(instance)
    rows.append(
        (
            draws.integer(instance.num_users),
            draws.integer(model.layers),
            _some_experts(model, draws),
            float(instance.demand_rate[draws.integer(len(rows))]) if rows else 1.0,
        )
    )
    return _demand(rows)


def _other_experts(instance: Instance, draws: Draws) -> Changes:
    if not instance.num_rows:
        return {}
    (model,) = instance.models
    rows = _rows(instance)
    index = draws.integer(len(rows))
    user, layer, _, rate = rows[index]
    rows[index] = (user, layer, _some_experts(model, draws), rate)
    return _demand(rows)


Row = tuple[int, int, NDArray[np.int64], float]


def _some_experts(model: Model, draws: Draws) -> NDArray[np.int64]:
    return np.sort(draws.permutation(model.experts)[: 1 + draws.integer(model.top_k)])


def _rows(instance: Instance) -> list[Row]:
    experts = np.split(instance.demand_experts.astype(np.int64), instance.demand_offsets[1:-1])
    return list(
        zip(
            instance.demand_user.tolist(),
            instance.demand_layer.tolist(),
            experts[: instance.num_rows],
            instance.demand_rate.tolist(),
            strict=True,
        )
    )


def _demand(rows: list[Row]) -> Changes:
    return {
        "demand_user": np.array([row[0] for row in rows]),
        "demand_layer": np.array([row[1] for row in rows]),
        "demand_offsets": np.cumsum([0, *(row[2].size for row in rows)]),
        "demand_experts": np.concatenate([row[2] for row in rows]),
        "demand_rate": np.array([row[3] for row in rows]),
    }


MUTATIONS: tuple[Callable[[Instance, Draws], Changes], ...] = (
    _one_rate,
    _one_rate,
    _one_latency,
    _one_latency,
    _one_capacity,
    _one_size,
    _one_row_less,
    _one_row_more,
    _other_experts,
)
