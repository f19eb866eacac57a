"""Physical maps: a placement as serving systems with expert parallelism hold it.

SGLang and vLLM give every rank (here: server) the same number of slots in every layer, and number
the slots of a layer through, rank by rank: server n has the slots ``n * k`` to ``n * k + k - 1``.
``physical_to_logical_map [layers, slots]`` says which expert each slot holds.

From a placement::

    physical_map = to_physical_map(instance, placement)          # -1 in slots that stay empty
    write_physical_map("map.json", physical_map.filled())        # as SGLang takes it

SGLang reads such a file with ``--init-expert-location map.json``: an object with the one field
``physical_to_logical_map`` (sgl-project/sglang, python/sglang/srt/eplb/expert_location.py,
compute_initial_expert_location_metadata). Each expert must be in some slot of its layer, no slot
may be empty (it would take -1 for the last expert), and there is a row for each transformer layer,
dense ones too. A map with empty slots is written with further fields, so that SGLang refuses it.

The same placement as a plain table: :mod:`instances.placement_csv`.
"""

import json
import os
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.arrays import frozen_array
from instances.errors import InputError
from instances.fields import integer_lists, require_fields, require_object, show
from instances.files import StrPath, read_json, write_json
from instances.model import Model
from instances.placement import Placement
from instances.problem import Instance

EMPTY = -1
"""Stands in a slot that holds no expert."""
FORMAT = "moeplace/physical-map"
_FIELD = "physical_to_logical_map"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PhysicalMap:
    """Which expert each slot of each layer of one model holds. L layers, N servers, k slots.

    Parameters
    ----------
    experts
        ``experts[l, n * k + s]``: expert in slot s of server n, -1 for none; int64 (L, N k).
    num_servers
        Number of servers, N.
    num_experts
        Experts of a layer, E.

    Raises
    ------
    InputError
        When the slots cannot be shared out evenly, or a slot holds what is no expert.
    """

    experts: NDArray[np.int64]
    num_servers: int
    num_experts: int

    def __post_init__(self) -> None:
        experts = frozen_array(self.experts, np.int64, _FIELD, ndim=2)
        object.__setattr__(self, "experts", experts)
        if self.num_servers < 1 or experts.shape[1] % self.num_servers:
            raise InputError(
                _FIELD, f"{experts.shape[1]} slots do not share out to {self.num_servers} servers"
            )
        for layer, slot in np.argwhere((experts < EMPTY) | (experts >= self.num_experts))[:1]:
            raise InputError(
                f"{_FIELD}[{layer}][{slot}]",
                f"{experts[layer, slot]} is not in 0..{self.num_experts - 1}, the experts of a "
                f"layer, nor {EMPTY} for an empty slot",
            )

    @property
    def num_layers(self) -> int:
        """Number of layers, L."""
        return int(self.experts.shape[0])

    @property
    def slots_per_server(self) -> int:
        """Slots of a server in each layer, k."""
        return int(self.experts.shape[1]) // self.num_servers

    @property
    def num_empty(self) -> int:
        """Number of slots that hold no expert."""
        return int(np.count_nonzero(self.experts == EMPTY))

    def copies(self) -> NDArray[np.int64]:
        """Count the slots that hold each expert; int64 (L, E)."""
        layer, slot = np.nonzero(self.experts != EMPTY)
        flat = layer * self.num_experts + self.experts[layer, slot]
        counted = np.bincount(flat, minlength=self.num_layers * self.num_experts)
        return counted.astype(np.int64).reshape(self.num_layers, self.num_experts)

    def filled(self) -> "PhysicalMap":
        """Return the map without empty slots, as serving systems need it.

        Experts that no server stores come first, in ascending order, each to the server with the
        most empty slots in that layer. Then a server repeats what it stores, in turn; one that
        stores nothing in a layer takes the experts with the fewest copies.

        Raises
        ------
        InputError
            When a layer has more experts that no server stores than empty slots.
        """
        rows = [self._filled_row(layer) for layer in range(self.num_layers)]
        return PhysicalMap(
            experts=np.array(rows).reshape(self.experts.shape),
            num_servers=self.num_servers,
            num_experts=self.num_experts,
        )

    def _filled_row(self, layer: int) -> NDArray[np.int64]:
        row: NDArray[np.int64] = self.experts[layer].reshape(self.num_servers, -1).copy()
        copies = np.bincount(row[row != EMPTY], minlength=self.num_experts)
        missing = np.flatnonzero(copies == 0)
        empty = np.count_nonzero(row == EMPTY, axis=1)
        if missing.size > empty.sum():
            needed = -(-(int(row.size - empty.sum()) + missing.size) // self.num_servers)
            raise InputError(
                f"{_FIELD}[{layer}]",
                f"{missing.size} experts are on no server, and {empty.sum()} slots are empty; "
                f"serving systems need each expert: at least {needed} slots a server, or more "
                "storage",
            )
        for expert in missing:
            emptiest = int(empty.argmax())
            row[emptiest, np.flatnonzero(row[emptiest] == EMPTY)[0]] = expert
            empty[emptiest] -= 1
            copies[expert] += 1
        for slots in row:
            holes = np.flatnonzero(slots == EMPTY)
            own = slots[slots != EMPTY]
            if not own.size:
                own = np.argsort(copies, kind="stable")
            slots[holes] = np.resize(own, holes.size)
            np.add.at(copies, slots[holes], 1)
        return row.reshape(-1)


def to_physical_map(
    instance: Instance,
    placement: Placement,
    *,
    model: str | None = None,
    slots_per_server: int | None = None,
) -> PhysicalMap:
    """Make the map of one model; each server's experts in ascending order, then empty slots.

    Parameters
    ----------
    instance, placement
        Server n of the instance becomes rank n.
    model
        Name of the model; None when there is only one.
    slots_per_server
        Slots of each server in each layer; None takes as many as the fullest server needs in its
        fullest layer.

    Raises
    ------
    InputError
        When the model is unknown or not named, or a server stores more experts than it has slots.
    """
    placement.check_shape(instance)
    model_idx = _model_idx(instance, model)
    which = instance.models[model_idx]
    first = int(instance.model_expert_offset[model_idx])
    stored = placement.stored[:, first : first + which.layers * which.experts]
    stored = stored.reshape(instance.num_servers, which.layers, which.experts)
    most = stored.sum(axis=2)
    slots = max(1, int(most.max())) if slots_per_server is None else slots_per_server
    for server, layer in np.argwhere(most > slots)[:1]:
        raise InputError(
            "slots_per_server",
            f"{slots} is less than the {most[server, layer]} experts of layer {layer} on server "
            f"{instance.server_names[server]!r}",
        )
    experts = np.full((which.layers, instance.num_servers, slots), EMPTY, dtype=np.int64)
    for server, layer in np.argwhere(most):
        held = np.flatnonzero(stored[server, layer])
        experts[layer, server, : held.size] = held
    return PhysicalMap(
        experts=experts.reshape(which.layers, -1),
        num_servers=instance.num_servers,
        num_experts=which.experts,
    )


def to_placement(
    instance: Instance, physical_map: PhysicalMap, *, model: str | None = None
) -> Placement:
    """Make the placement that a map describes; other models store nothing.

    Raises
    ------
    InputError
        When the map does not fit the instance, or a server would store more than its capacity.
    """
    model_idx = _model_idx(instance, model)
    which = instance.models[model_idx]
    _check_fit(instance, physical_map, which)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    layer, slot = np.nonzero(physical_map.experts != EMPTY)
    flat = layer * which.experts + physical_map.experts[layer, slot]
    server = slot // physical_map.slots_per_server
    stored[server, instance.model_expert_offset[model_idx] + flat] = True
    placement = Placement(stored)
    placement.check_capacity(instance)
    return placement


def write_physical_map(
    path: StrPath, physical_map: PhysicalMap, *, dense_layers: Collection[int] = ()
) -> None:
    """Write a ``.json`` file: what SGLang takes, when no slot is empty and no expert is missing.

    Parameters
    ----------
    path
        Where to.
    physical_map
        The map. With empty slots or missing experts the file has the further fields ``format`` and
        ``servers``, which make SGLang refuse it.
    dense_layers
        Transformer layers without routed experts, 0 for the first layer of the model. SGLang wants
        a row for them, too; what it holds does not matter (experts in turn).

    Raises
    ------
    InputError
        When a dense layer is repeated or out of range, or the file cannot be written.
    """
    if not os.fspath(path).lower().endswith(".json"):
        raise InputError("", "the name must end in .json", source=os.fspath(path))
    total = physical_map.num_layers + len(dense_layers)
    dense = _checked_dense(dense_layers, total)
    rows = np.empty((total, physical_map.experts.shape[1]), dtype=np.int64)
    rows[dense] = np.arange(rows.shape[1]) % physical_map.num_experts
    rows[~dense] = physical_map.experts
    fields: list[str] = []
    if physical_map.num_empty or not physical_map.copies().all():
        fields = [f'"format": {json.dumps(FORMAT)}', f'"servers": {physical_map.num_servers}']
    lines = ",\n  ".join(json.dumps(row) for row in rows.tolist())
    fields.append(f'"{_FIELD}": [\n  {lines}\n ]')
    write_json(path, "{" + ",\n ".join(fields) + "}\n")


def read_physical_map(
    path: StrPath,
    instance: Instance,
    *,
    model: str | None = None,
    dense_layers: Collection[int] = (),
) -> PhysicalMap:
    """Read a map for one model of an instance; the rows of dense layers are left out.

    Raises
    ------
    InputError
        When it cannot be read, or names the field, the index and the value that is wrong.
    """
    which = instance.models[_model_idx(instance, model)]
    data = read_json(path)
    try:
        own = "format" in require_object(data, "")
        fields = require_fields(data, "", ("format", "servers", _FIELD) if own else (_FIELD,))
        if own and fields["format"] != FORMAT:
            raise InputError("format", f"{show(fields['format'])} is not {FORMAT!r}")
        if own and fields["servers"] != instance.num_servers:
            raise InputError(
                "servers", f"{show(fields['servers'])} is not {instance.num_servers}, the servers"
            )
        offsets, flat = integer_lists(fields[_FIELD], _FIELD)
        lengths = np.diff(offsets)
        for row in np.flatnonzero(lengths != lengths[:1])[:1]:
            raise InputError(f"{_FIELD}[{row}]", f"{lengths[row]} slots where others are before")
        rows = flat.reshape(lengths.size, -1) if lengths.size else flat.reshape(0, 0)
        physical_map = PhysicalMap(
            experts=rows[~_checked_dense(dense_layers, lengths.size)],
            num_servers=instance.num_servers,
            num_experts=which.experts,
        )
        _check_fit(instance, physical_map, which)
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None
    return physical_map


def _model_idx(instance: Instance, name: str | None) -> int:
    names = [model.name for model in instance.models]
    if name is None:
        if len(names) > 1:
            raise InputError("model", f"there are several, and a map is of one: {', '.join(names)}")
        return 0
    if name not in names:
        raise InputError("model", f"{name!r} is not one of {', '.join(names)}")
    return names.index(name)


def _check_fit(instance: Instance, physical_map: PhysicalMap, model: Model) -> None:
    for what, found, needed in (
        ("servers", physical_map.num_servers, instance.num_servers),
        ("layers", physical_map.num_layers, model.layers),
        ("experts a layer", physical_map.num_experts, model.experts),
    ):
        if found != needed:
            raise InputError(_FIELD, f"{found} {what} where {needed} are needed")


def _checked_dense(dense_layers: Collection[int], total: int) -> NDArray[np.bool_]:
    """Mark the dense layers among all; bool (total,)."""
    mask = np.zeros(total, dtype=np.bool_)
    for layer in dense_layers:
        if not 0 <= layer < total:
            raise InputError("dense_layers", f"{layer} is not in 0..{total - 1}, the layers")
        if mask[layer]:
            raise InputError("dense_layers", f"{layer} is repeated")
        mask[layer] = True
    return mask
