"""Which users wait for what: a stored placement evaluated once more, user by user.

The store keeps what an instance is made of, not its demand. A generated instance is made again and
known by its checksum; where that is not possible the reason is told instead.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.records import InstanceRecord
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.placement import Placement
from instances.problem import Instance

MOST_CLAUSES = 50_000
"""Larger instances are not made again: the report would take longer than reading it."""
MOST_USERS = 50
"""The users with the longest waits; the others are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserWait:
    """What one user waits for, ms per token of the whole demand.

    Parameters
    ----------
    user, model
        Names.
    latency_ms, saving_ms
        Its part of T and of F; a user who asks for more has more of both.
    """

    user: str
    model: str
    latency_ms: float
    saving_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerWait:
    """What is waited for in one layer, ms per token of the whole demand."""

    model: str
    layer: int
    latency_ms: float
    saving_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """The latency of a placement, split by user and by layer.

    Parameters
    ----------
    users
        The users who wait longest, longest first.
    users_left_out
        Users who are not listed.
    layers
        All layers, in their order.
    reason
        Why nothing is known; empty when it is.
    """

    users: tuple[UserWait, ...] = ()
    users_left_out: int = 0
    layers: tuple[LayerWait, ...] = ()
    reason: str = ""


def find_waiting(record: InstanceRecord, placement: Mapping[str, Any]) -> Waiting:
    """Evaluate a stored placement user by user and layer by layer.

    Parameters
    ----------
    record
        The instance, as the store knows it.
    placement
        Object of a placement file.
    """
    if record.family not in FAMILIES or record.seed is None:
        return Waiting(reason="The store does not keep the demand of an imported instance.")
    if record.clauses > MOST_CLAUSES:
        return Waiting(
            reason=f"Left out, because the instance has more than {MOST_CLAUSES:,} clauses."
        )
    try:
        instance = generate(record.family, size=record.size, seed=record.seed)
    except InputError as error:
        return Waiting(reason=f"The instance cannot be made again: {error}.")
    if instance.checksum() != record.checksum:
        return Waiting(reason="This version generates another instance of this name.")
    return _split(instance, Placement(_stored(instance, placement)))


def _stored(instance: Instance, placement: Mapping[str, Any]) -> Any:
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    models = {model.name: number for number, model in enumerate(instance.models)}
    for server, name in enumerate(instance.server_names):
        for entry in placement["servers"].get(name, []):
            model = models[entry["model"]]
            layer = int(instance.model_layer_offset[model]) + entry["layer"]
            first = int(instance.layer_expert_offset[layer])
            stored[server, first + np.array(entry["experts"], dtype=np.int64)] = True
    return stored


def _split(instance: Instance, placement: Placement) -> Waiting:
    evaluation = evaluate(instance, placement)
    order = np.argsort(-evaluation.user_latency_ms, kind="stable").tolist()
    users = tuple(
        UserWait(
            user=instance.user_names[u],
            model=instance.models[int(instance.user_model[u])].name,
            latency_ms=float(evaluation.user_latency_ms[u]),
            saving_ms=float(evaluation.user_saving_ms[u]),
        )
        for u in order[:MOST_USERS]
    )
    layers = tuple(
        LayerWait(
            model=instance.models[int(instance.layer_model[g])].name,
            layer=g - int(instance.model_layer_offset[int(instance.layer_model[g])]),
            latency_ms=float(evaluation.layer_latency_ms[g]),
            saving_ms=float(evaluation.layer_saving_ms[g]),
        )
        for g in range(instance.num_layers)
    )
    return Waiting(users=users, users_left_out=len(order) - len(users), layers=layers)
