"""From the decoded content of a file to the nouns: every mistake is refused by its path.

What is checked here is what the arrays of an :class:`~instances.problem.Instance` can no longer
show (types, names, unknown fields, lists of unequal length) or what must be known before memory is
taken; the rest is checked by the instance itself, with the same paths.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import (
    hint,
    integer_lists,
    integers,
    numbers,
    require_fields,
    require_integer,
    require_list,
    require_name,
    require_number,
    require_object,
    show,
)
from instances.placement import Placement
from instances.problem import Instance, Model

INSTANCE_FORMAT = "moeplace/instance"
PLACEMENT_FORMAT = "moeplace/placement"
VERSION = 1
MAX_EXPERTS = 10**7
"""Most experts (layers times experts, over all models) that a file may claim: a few bytes of text
can claim any number, and memory is only taken after this check. Real models have up to 15,000."""


def instance_from_dict(data: object) -> Instance:
    """Make an instance from the decoded content of an instance file.

    Raises
    ------
    InputError
        Names the field, the index and the value that is wrong.
    """
    check_header(data, INSTANCE_FORMAT)
    fields = require_fields(
        data, "", ("format", "version", "name", "models", "servers", "users", "demands")
    )
    name = require_name(fields["name"], "name")
    models = _models(_entries(fields, "models"))
    servers = _servers(_entries(fields, "servers"))
    users = _users(_entries(fields, "users"), models, len(servers["server_names"]))
    demands = _demands(fields["demands"])
    return Instance(name=name, models=models, **servers, **users, **demands)


def _entries(fields: dict[str, Any], name: str) -> list[Any]:
    entries = require_list(fields[name], name)
    if not entries:
        raise InputError(name, "the list is empty; at least one is needed")
    return entries


def check_header(data: object, expected_format: str) -> None:
    """Check that the content is of a format and version that this release reads.

    Raises
    ------
    InputError
        When it is not.
    """
    fields = require_object(data, "")
    for name, expected in (("format", expected_format), ("version", VERSION)):
        if name not in fields:
            raise InputError(name, "the field is missing")
        value = fields[name]
        if type(value) is not type(expected) or value != expected:
            raise InputError(name, f"{show(value)} is not {expected!r}, which this release reads")


def check_model_size(path: str, layers: int, experts: int, so_far: int) -> int:
    """Return the number of experts including this model's, before memory is taken for them.

    Raises
    ------
    InputError
        When a count is not positive or the sum exceeds :data:`MAX_EXPERTS`.
    """
    for name, count in (("layers", layers), ("experts", experts)):
        if count < 1:
            raise InputError(f"{path}.{name}", f"{count} is not a positive number")
    total = so_far + layers * experts
    if total > MAX_EXPERTS:
        raise InputError(
            path, f"{layers} layers of {experts} experts: more than {MAX_EXPERTS} experts in all"
        )
    return total


def _models(items: list[Any]) -> tuple[Model, ...]:
    models = []
    num_experts = 0
    for m, item in enumerate(items):
        path = f"models[{m}]"
        fields = require_fields(item, path, ("name", "layers", "experts", "top_k", "expert_bytes"))
        name = require_name(fields["name"], f"{path}.name")
        layers = require_integer(fields["layers"], f"{path}.layers")
        experts = require_integer(fields["experts"], f"{path}.experts")
        top_k = require_integer(fields["top_k"], f"{path}.top_k")
        num_experts = check_model_size(path, layers, experts, num_experts)
        sizes = _expert_bytes(fields["expert_bytes"], f"{path}.expert_bytes", layers, experts)
        try:
            models.append(Model(name=name, expert_bytes=sizes, top_k=top_k))
        except InputError as error:
            raise error.within(path) from None
    return tuple(models)


def _expert_bytes(value: object, path: str, layers: int, experts: int) -> NDArray[np.int64]:
    if not isinstance(value, list):
        size = require_integer(value, path)
        if size <= 0:
            raise InputError(path, f"{size} is not a positive number of bytes")
        return np.full((layers, experts), size, dtype=np.int64)
    offsets, sizes = integer_lists(value, path)
    if len(value) != layers:
        raise InputError(path, f"{len(value)} lists where {layers} are needed, one for each layer")
    lengths = np.diff(offsets)
    for layer in np.flatnonzero(lengths != experts)[:1]:
        raise InputError(
            f"{path}[{layer}]",
            f"{lengths[layer]} values where {experts} are needed, one for each expert",
        )
    return sizes.reshape(layers, experts)


def _servers(items: list[Any]) -> dict[str, Any]:
    names = []
    capacities = []
    for n, item in enumerate(items):
        path = f"servers[{n}]"
        fields = require_fields(item, path, ("name", "capacity_bytes"))
        names.append(require_name(fields["name"], f"{path}.name"))
        capacities.append(require_integer(fields["capacity_bytes"], f"{path}.capacity_bytes"))
    return {
        "server_names": tuple(names),
        "capacity_bytes": np.array(capacities, dtype=np.int64),
    }


def _users(items: list[Any], models: tuple[Model, ...], num_servers: int) -> dict[str, Any]:
    model_idx = {model.name: m for m, model in enumerate(models)}
    names, user_model, latency, cloud, local_latency = [], [], [], [], []
    local = []
    for u, item in enumerate(items):
        path = f"users[{u}]"
        fields = require_fields(
            item,
            path,
            ("name", "model", "latency_ms", "cloud_latency_ms"),
            ("local_experts", "local_latency_ms"),
        )
        names.append(require_name(fields["name"], f"{path}.name"))
        m = _index_of(fields["model"], f"{path}.model", model_idx, "model")
        user_model.append(m)
        row = numbers(fields["latency_ms"], f"{path}.latency_ms")
        if row.shape[0] != num_servers:
            raise InputError(
                f"{path}.latency_ms",
                f"{row.shape[0]} values where {num_servers} are needed, one for each server",
            )
        latency.append(row)
        cloud.append(require_number(fields["cloud_latency_ms"], f"{path}.cloud_latency_ms"))
        local_latency.append(
            require_number(fields.get("local_latency_ms", 0.0), f"{path}.local_latency_ms")
        )
        pairs = fields.get("local_experts", [])
        local.append(local_expert_indices(pairs, f"{path}.local_experts", models[m]))
    return {
        "user_names": tuple(names),
        "user_model": np.array(user_model, dtype=np.int64),
        "latency_ms": np.array(latency, dtype=np.float64).reshape(len(items), num_servers),
        "cloud_latency_ms": np.array(cloud, dtype=np.float64),
        "local_latency_ms": np.array(local_latency, dtype=np.float64),
        "local_offsets": np.cumsum([0, *(held.shape[0] for held in local)], dtype=np.int64),
        "local_experts": np.concatenate([np.empty(0, dtype=np.int64), *local]),
    }


def _index_of(name: object, path: str, indices: dict[str, int], noun: str) -> int:
    if not isinstance(name, str) or name not in indices:
        raise InputError(path, f"{show(name)} is not the name of a {noun}{hint(name, indices)}")
    return indices[name]


def local_expert_indices(value: object, path: str, model: Model) -> NDArray[np.int64]:
    """Return ``layer * experts + expert`` of [layer, expert] pairs in any order, ascending.

    Raises
    ------
    InputError
        Names the first that is not a pair, not an expert of the model, or repeated.
    """
    offsets, flat = integer_lists(value, path)
    lengths = np.diff(offsets)
    for i in np.flatnonzero(lengths != 2)[:1]:
        raise InputError(f"{path}[{i}]", f"{lengths[i]} values where [layer, expert] is needed")
    pairs = flat.reshape(-1, 2)
    limits = np.array([model.layers, model.experts])
    for i, j in np.argwhere((pairs < 0) | (pairs >= limits))[:1]:
        noun = ("layers", "experts")[j]
        raise InputError(
            f"{path}[{i}][{j}]",
            f"{pairs[i, j]} is not in 0..{limits[j] - 1}, the {noun} of model {model.name!r}",
        )
    experts = pairs[:, 0] * model.experts + pairs[:, 1]
    order = np.argsort(experts, kind="stable")
    ascending = experts[order]
    repeats = order[1:][ascending[1:] == ascending[:-1]]
    if repeats.size:
        i = repeats.min()
        raise InputError(f"{path}[{i}]", f"{pairs[i].tolist()} is repeated")
    return ascending


def _demands(value: object) -> dict[str, Any]:
    fields = require_fields(value, "demands", ("user", "layer", "experts", "rate"))
    offsets, experts = integer_lists(fields["experts"], "demands.experts")
    user = integers(fields["user"], "demands.user")
    layer = integers(fields["layer"], "demands.layer")
    rate = numbers(fields["rate"], "demands.rate")
    for name in ("layer", "experts", "rate"):
        length = len(fields[name])
        if length != user.shape[0]:
            raise InputError(
                f"demands.{name}", f"{length} values where demands.user has {user.shape[0]}"
            )
    for path, column in (("demands.user", user), ("demands.layer", layer)):
        for d in np.flatnonzero(_beyond_int32(column))[:1]:
            raise InputError(f"{path}[{d}]", f"{column[d]} is out of range")
    for i in np.flatnonzero(_beyond_int32(experts))[:1]:
        d = np.searchsorted(offsets, i, side="right") - 1
        raise InputError(f"demands.experts[{d}][{i - offsets[d]}]", f"{experts[i]} is out of range")
    return {
        "demand_user": user,
        "demand_layer": layer,
        "demand_offsets": offsets,
        "demand_experts": experts,
        "demand_rate": rate,
    }


def _beyond_int32(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    limits = np.iinfo(np.int32)
    return (values < limits.min) | (values > limits.max)


def placement_from_dict(data: object, instance: Instance) -> Placement:
    """Make a placement from the decoded content of a placement file.

    Servers that are left out store nothing.

    Raises
    ------
    InputError
        Names the field, the index and the value that is wrong; a server that stores more than its
        capacity is wrong too.
    """
    check_header(data, PLACEMENT_FORMAT)
    fields = require_fields(data, "", ("format", "version", "instance", "servers"))
    if fields["instance"] != instance.name:
        raise InputError(
            "instance",
            f"{show(fields['instance'])} is not {instance.name!r}, the name of the instance",
        )
    server_idx = {name: n for n, name in enumerate(instance.server_names)}
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for name, entries in require_object(fields["servers"], "servers").items():
        path = f"servers[{show(name)}]"
        server = _index_of(name, path, server_idx, "server")
        _store(require_list(entries, path), path, instance, stored[server])
    placement = Placement(stored)
    placement.check_capacity(instance)
    return placement


def _store(entries: list[Any], path: str, instance: Instance, stored: NDArray[np.bool_]) -> None:
    """Mark the experts that the entries of one server list."""
    model_idx = {model.name: m for m, model in enumerate(instance.models)}
    seen: dict[tuple[int, int], int] = {}
    for i, entry in enumerate(entries):
        where = f"{path}[{i}]"
        fields = require_fields(entry, where, ("model", "layer", "experts"))
        m = _index_of(fields["model"], f"{where}.model", model_idx, "model")
        model = instance.models[m]
        layer = require_integer(fields["layer"], f"{where}.layer")
        if not 0 <= layer < model.layers:
            raise InputError(
                f"{where}.layer",
                f"{layer} is not in 0..{model.layers - 1}, the layers of model {model.name!r}",
            )
        if (m, layer) in seen:
            raise InputError(
                where,
                f"layer {layer} of model {model.name!r} was already in entry {seen[m, layer]}",
            )
        seen[m, layer] = i
        experts = integers(fields["experts"], f"{where}.experts")
        for j in np.flatnonzero((experts < 0) | (experts >= model.experts))[:1]:
            raise InputError(
                f"{where}.experts[{j}]",
                f"{experts[j]} is not in 0..{model.experts - 1}, "
                f"the experts of model {model.name!r}",
            )
        flat = instance.layer_expert_offset[instance.model_layer_offset[m] + layer] + experts
        first = np.unique(experts, return_index=True)[1]
        if first.size != experts.size:
            j = np.setdiff1d(np.arange(experts.size), first)[0]
            raise InputError(f"{where}.experts[{j}]", f"{experts[j]} is repeated")
        stored[flat] = True
