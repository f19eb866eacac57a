"""From the nouns to the content of a JSON file, and its canonical text.

The text is the same, byte for byte, for equal nouns: fixed order of fields, shortest decimal that
reads back as the same number, one line for each model, server, user and demand column.
"""

import json
from itertools import pairwise
from typing import Any

import numpy as np

from instances.parsing import INSTANCE_FORMAT, PLACEMENT_FORMAT, VERSION
from instances.placement import Placement
from instances.problem import Instance, Model


def instance_to_dict(instance: Instance) -> dict[str, Any]:
    """Return the content of an instance file."""
    return {
        "format": INSTANCE_FORMAT,
        "version": VERSION,
        "name": instance.name,
        "models": [_model_to_dict(model) for model in instance.models],
        "servers": [
            {"name": name, "capacity_bytes": capacity}
            for name, capacity in zip(
                instance.server_names, instance.capacity_bytes.tolist(), strict=True
            )
        ],
        "users": [_user_to_dict(instance, user) for user in range(instance.num_users)],
        "demands": {
            "user": instance.demand_user.tolist(),
            "layer": instance.demand_layer.tolist(),
            "experts": _slices(instance.demand_experts.tolist(), instance.demand_offsets.tolist()),
            "rate": instance.demand_rate.tolist(),
        },
    }


def placement_to_dict(instance: Instance, placement: Placement) -> dict[str, Any]:
    """Return the content of a placement file.

    Raises
    ------
    InputError
        When the placement does not have the shape of the instance.
    """
    placement.check_shape(instance)
    return {
        "format": PLACEMENT_FORMAT,
        "version": VERSION,
        "instance": instance.name,
        "servers": {
            name: _stored_layers(instance, placement, server)
            for server, name in enumerate(instance.server_names)
        },
    }


def instance_text(instance: Instance) -> str:
    """Return the canonical text of an instance file."""
    return document_text(instance_to_dict(instance))


def placement_text(instance: Instance, placement: Placement) -> str:
    """Return the canonical text of a placement file.

    Raises
    ------
    InputError
        When the placement does not have the shape of the instance.
    """
    return document_text(placement_to_dict(instance, placement))


def _model_to_dict(model: Model) -> dict[str, Any]:
    uniform = model.uniform_bytes
    return {
        "name": model.name,
        "layers": model.layers,
        "experts": model.experts,
        "top_k": model.top_k,
        "expert_bytes": model.expert_bytes.tolist() if uniform is None else uniform,
    }


def _user_to_dict(instance: Instance, user: int) -> dict[str, Any]:
    model = instance.models[instance.user_model[user]]
    local = instance.local_experts[
        instance.local_offsets[user] : instance.local_offsets[user + 1]
    ].tolist()
    fields: dict[str, Any] = {
        "name": instance.user_names[user],
        "model": model.name,
        "latency_ms": instance.latency_ms[user].tolist(),
        "cloud_latency_ms": float(instance.cloud_latency_ms[user]),
    }
    if local:
        fields["local_experts"] = [list(divmod(x, model.experts)) for x in local]
    fields["local_latency_ms"] = float(instance.local_latency_ms[user])
    return fields


def _stored_layers(instance: Instance, placement: Placement, server: int) -> list[dict[str, Any]]:
    """List what a server stores, layer by layer; layers of which it stores nothing are left out."""
    experts = np.flatnonzero(placement.stored[server])
    layers = np.searchsorted(instance.layer_expert_offset, experts, side="right") - 1
    entries = []
    for layer in np.unique(layers).tolist():
        m = int(instance.layer_model[layer])
        within = experts[layers == layer] - instance.layer_expert_offset[layer]
        entries.append(
            {
                "model": instance.models[m].name,
                "layer": layer - int(instance.model_layer_offset[m]),
                "experts": within.tolist(),
            }
        )
    return entries


def _slices(values: list[int], offsets: list[int]) -> list[list[int]]:
    return [values[a:b] for a, b in pairwise(offsets)]


def document_text(document: dict[str, Any]) -> str:
    """Write each field on a line of its own, and each entry of a list or object in it."""
    return _block([(_json(key), _field(value)) for key, value in document.items()], 0) + "\n"


def _field(value: Any) -> str:
    if isinstance(value, dict):
        return _block([(_json(key), _json(entry)) for key, entry in value.items()], 1)
    if isinstance(value, list):
        return _lines([_json(entry) for entry in value], "[]", 1)
    return _json(value)


def _block(entries: list[tuple[str, str]], depth: int) -> str:
    return _lines([f"{key}: {value}" for key, value in entries], "{}", depth)


def _lines(entries: list[str], brackets: str, depth: int) -> str:
    indent = "  " * depth
    body = ",\n".join(f"{indent}  {entry}" for entry in entries)
    return f"{brackets[0]}\n{body}\n{indent}{brackets[1]}"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
