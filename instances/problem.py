"""The placement problem: models, servers, users, demand rows; frozen and validated whole.

Everything that varies in length is stored flat. Layers and experts are numbered across all
models ("global layer", "flat expert"): expert ``e`` of layer ``l`` of model ``m`` is
``model_expert_offset[m] + l * models[m].experts + e``.
"""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instances.arrays import frozen_array
from instances.demand_checks import Rows, check_rows
from instances.errors import InputError
from instances.fields import require_name
from instances.model import MAX_BYTES, Model

__all__ = ["ARRAYS", "MAX_BYTES", "Instance", "Model"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Instance:
    """One placement problem. N servers, U users, R demand rows.

    Arrays are cast, made read-only, and copied unless nobody can write to them anyway; every field
    and cross reference is checked. A variant is made with :func:`dataclasses.replace`.

    Parameters
    ----------
    name
        Name of the instance; placements refer to it.
    models
        The models that users run.
    server_names, capacity_bytes
        Servers and their storage, bytes; int64 (N,).
    user_names, user_model
        Users and the index of the model that each runs; int64 (U,).
    latency_ms
        Time for a user to get one expert's output from a server, ms; float64 (U, N).
    cloud_latency_ms
        The same from the cloud, which holds every expert, ms; float64 (U,).
    local_latency_ms
        The same for experts on the device itself, ms; float64 (U,).
    local_offsets, local_experts
        Experts on the device: user u has ``local_experts[local_offsets[u]:local_offsets[u + 1]]``,
        each ``layer * experts + expert`` within its own model, ascending; int64 (U + 1,), (any,).
    demand_user, demand_layer, demand_rate
        Row d: user (int32), layer within the user's model (int32), rate (float64); (R,).
    demand_offsets, demand_experts
        Experts that row d uses together:
        ``demand_experts[demand_offsets[d]:demand_offsets[d + 1]]``, indices within the layer;
        int64 (R + 1,), int32 (any,).

    Attributes
    ----------
    model_layer_offset, model_expert_offset
        First global layer and first flat expert of each model; int64 (models + 1,).
    layer_model, layer_expert_offset
        Model of each global layer (G,), and its first flat expert; int64 (G + 1,).
    expert_bytes
        Size of each flat expert, bytes; int64 (X,).

    Raises
    ------
    InputError
        Names the field, the index and the value that is wrong.
    """

    name: str
    models: tuple[Model, ...]
    server_names: tuple[str, ...]
    capacity_bytes: NDArray[np.int64]
    user_names: tuple[str, ...]
    user_model: NDArray[np.int64]
    latency_ms: NDArray[np.float64]
    cloud_latency_ms: NDArray[np.float64]
    local_latency_ms: NDArray[np.float64]
    local_offsets: NDArray[np.int64]
    local_experts: NDArray[np.int64]
    demand_user: NDArray[np.int32]
    demand_layer: NDArray[np.int32]
    demand_offsets: NDArray[np.int64]
    demand_experts: NDArray[np.int32]
    demand_rate: NDArray[np.float64]
    model_layer_offset: NDArray[np.int64] = field(init=False)
    model_expert_offset: NDArray[np.int64] = field(init=False)
    layer_model: NDArray[np.int64] = field(init=False)
    layer_expert_offset: NDArray[np.int64] = field(init=False)
    expert_bytes: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        for name, (dtype, ndim) in ARRAYS.items():
            array = frozen_array(getattr(self, name), dtype, _FILE_FIELD.get(name, name), ndim)
            object.__setattr__(self, name, array)
        for name in ("models", "server_names", "user_names"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check_names()
        self._derive_offsets()
        self._check_servers()
        self._check_users()
        self._check_local_experts()
        self._check_demands()

    # -- sizes ------------------------------------------------------------------------------

    @property
    def num_servers(self) -> int:
        """Number of servers, N."""
        return len(self.server_names)

    @property
    def num_users(self) -> int:
        """Number of users, U."""
        return len(self.user_names)

    @property
    def num_rows(self) -> int:
        """Number of demand rows, R."""
        return int(self.demand_rate.shape[0])

    @property
    def num_layers(self) -> int:
        """Number of layers over all models, G."""
        return int(self.layer_model.shape[0])

    @property
    def num_experts(self) -> int:
        """Number of experts over all layers of all models, X."""
        return int(self.expert_bytes.shape[0])

    @property
    def top_k(self) -> int:
        """Most experts that any model uses together."""
        return max(model.top_k for model in self.models)

    def layer_experts(self, layer: int) -> slice:
        """Flat experts of a global layer."""
        return slice(int(self.layer_expert_offset[layer]), int(self.layer_expert_offset[layer + 1]))

    def locate(self, expert: int) -> tuple[int, int, int]:
        """Return (model index, layer within the model, expert within the layer) of a flat expert.

        Raises
        ------
        IndexError
            When there is no such expert.
        """
        if not 0 <= expert < self.num_experts:
            raise IndexError(f"expert {expert} is not in 0..{self.num_experts - 1}")
        model_idx = int(np.searchsorted(self.model_expert_offset, expert, side="right")) - 1
        within = expert - int(self.model_expert_offset[model_idx])
        layer, index = divmod(within, self.models[model_idx].experts)
        return model_idx, layer, index

    def user_local_experts(self, user: int) -> NDArray[np.int64]:
        """Flat experts that a user's device holds itself, ascending."""
        local = self.local_experts[self.local_offsets[user] : self.local_offsets[user + 1]]
        first = int(self.model_expert_offset[self.user_model[user]])
        return local + first

    def checksum(self) -> str:
        """SHA-256 of the whole content, the same on every machine."""
        header = {
            "name": self.name,
            "models": [[m.name, m.layers, m.experts, m.top_k] for m in self.models],
            "servers": self.server_names,
            "users": self.user_names,
            "rows": self.num_rows,
        }
        digest = hashlib.sha256(json.dumps(header, ensure_ascii=True).encode())
        digest.update(np.ascontiguousarray(self.expert_bytes, dtype="<i8").tobytes())
        for name, (dtype, _) in ARRAYS.items():
            little_endian = np.dtype(dtype).newbyteorder("<")
            array = getattr(self, name).astype(little_endian, copy=False)
            digest.update(array.ravel().data)
        return digest.hexdigest()

    # -- validation -------------------------------------------------------------------------

    def _check_names(self) -> None:
        require_name(self.name, "name")
        model_names = tuple(model.name for model in self.models)
        for path, names in (
            ("models", model_names),
            ("servers", self.server_names),
            ("users", self.user_names),
        ):
            if not names:
                raise InputError(path, "the list is empty; at least one is needed")
            seen: dict[str, int] = {}
            for index, name in enumerate(names):
                require_name(name, f"{path}[{index}].name")
                if name in seen:
                    raise InputError(
                        f"{path}[{index}].name",
                        f"{name!r} is already the name of {path}[{seen[name]}]",
                    )
                seen[name] = index

    def _derive_offsets(self) -> None:
        layers = np.array([model.layers for model in self.models], dtype=np.int64)
        sizes = np.array([model.layers * model.experts for model in self.models], dtype=np.int64)
        per_layer = np.repeat([model.experts for model in self.models], layers)
        derived = {
            "model_layer_offset": _offsets(layers),
            "model_expert_offset": _offsets(sizes),
            "layer_model": np.repeat(np.arange(len(self.models)), layers),
            "layer_expert_offset": _offsets(per_layer),
            "expert_bytes": np.concatenate([m.expert_bytes.ravel() for m in self.models]),
        }
        for name, array in derived.items():
            object.__setattr__(self, name, frozen_array(array, np.int64, name, 1))
        if float(self.expert_bytes.astype(np.float64).sum()) > MAX_BYTES:
            raise InputError("models", f"expert_bytes add up to more than {MAX_BYTES} bytes")

    def _check_servers(self) -> None:
        _require_length(self.capacity_bytes, self.num_servers, "servers.capacity_bytes")
        for bad, why in (
            (self.capacity_bytes < 0, "is negative"),
            (self.capacity_bytes > MAX_BYTES, f"is more than {MAX_BYTES} bytes"),
        ):
            for n in np.flatnonzero(bad)[:1]:
                raise InputError(f"servers[{n}].capacity_bytes", f"{self.capacity_bytes[n]} {why}")

    def _check_users(self) -> None:
        num_users, num_servers = self.num_users, self.num_servers
        _require_length(self.user_model, num_users, "users.model")
        dangling = (self.user_model < 0) | (self.user_model >= len(self.models))
        for u in np.flatnonzero(dangling)[:1]:
            raise InputError(
                f"users[{u}].model", f"{self.user_model[u]} is not in 0..{len(self.models) - 1}"
            )
        if self.latency_ms.shape != (num_users, num_servers):
            raise InputError(
                "users.latency_ms",
                f"shape {self.latency_ms.shape} is not (users, servers) = "
                f"{(num_users, num_servers)}",
            )
        for (u, n), value in _first_bad(self.latency_ms):
            raise InputError(f"users[{u}].latency_ms[{n}]", f"{value} is not a finite number >= 0")
        for name in ("cloud_latency_ms", "local_latency_ms"):
            _require_length(getattr(self, name), num_users, f"users.{name}")
            for (u,), value in _first_bad(getattr(self, name)):
                raise InputError(f"users[{u}].{name}", f"{value} is not a finite number >= 0")

    def _check_local_experts(self) -> None:
        _check_offsets(
            self.local_offsets, self.num_users, self.local_experts, "users.local_experts"
        )
        sizes = np.array([m.layers * m.experts for m in self.models], dtype=np.int64)
        owner = np.repeat(np.arange(self.num_users), np.diff(self.local_offsets))
        dangling = (self.local_experts < 0) | (self.local_experts >= sizes[self.user_model[owner]])
        for i in np.flatnonzero(dangling)[:1]:
            u, value = owner[i], self.local_experts[i]
            raise InputError(
                f"users[{u}].local_experts[{i - self.local_offsets[u]}]",
                f"{value} is not an expert of model {self.models[self.user_model[u]].name!r}",
            )
        disorder = (owner[1:] == owner[:-1]) & (self.local_experts[1:] <= self.local_experts[:-1])
        for i in np.flatnonzero(disorder)[:1] + 1:
            u = owner[i]
            layer, expert = divmod(
                int(self.local_experts[i]), self.models[self.user_model[u]].experts
            )
            raise InputError(
                f"users[{u}].local_experts[{i - self.local_offsets[u]}]",
                f"[{layer}, {expert}] is repeated or out of ascending order",
            )

    def _check_demands(self) -> None:
        num_rows = self.num_rows
        for name in ("user", "layer"):
            _require_length(getattr(self, f"demand_{name}"), num_rows, f"demands.{name}")
        _check_offsets(self.demand_offsets, num_rows, self.demand_experts, "demands.experts")
        for (d,), value in _first_bad(self.demand_rate):
            raise InputError(f"demands.rate[{d}]", f"{value} is not a finite number >= 0")
        rows = Rows(
            user=self.demand_user,
            layer=self.demand_layer,
            offsets=self.demand_offsets,
            experts=self.demand_experts,
        )
        check_rows(rows, self.models, self.user_model)
        self._check_magnitude()

    def _check_magnitude(self) -> None:
        latencies = (self.latency_ms, self.cloud_latency_ms, self.local_latency_ms)
        slowest = max(float(np.max(array, initial=0.0)) for array in latencies)
        with np.errstate(over="ignore"):  # an infinite sum is what is looked for
            largest = float(self.demand_rate.sum()) * slowest
        if not np.isfinite(largest):
            raise InputError(
                "demands.rate", f"rates times latencies of up to {slowest} ms add up to infinity"
            )


ARRAYS: dict[str, tuple[type[np.generic], int]] = {
    "capacity_bytes": (np.int64, 1),
    "user_model": (np.int64, 1),
    "latency_ms": (np.float64, 2),
    "cloud_latency_ms": (np.float64, 1),
    "local_latency_ms": (np.float64, 1),
    "local_offsets": (np.int64, 1),
    "local_experts": (np.int64, 1),
    "demand_user": (np.int32, 1),
    "demand_layer": (np.int32, 1),
    "demand_offsets": (np.int64, 1),
    "demand_experts": (np.int32, 1),
    "demand_rate": (np.float64, 1),
}
"""The arrays that make up an instance beside its names and models: type, dimensions."""
_FILE_FIELD = {
    "capacity_bytes": "servers.capacity_bytes",
    "user_model": "users.model",
    "latency_ms": "users.latency_ms",
    "cloud_latency_ms": "users.cloud_latency_ms",
    "local_latency_ms": "users.local_latency_ms",
    "local_offsets": "users.local_experts",
    "local_experts": "users.local_experts",
    "demand_user": "demands.user",
    "demand_layer": "demands.layer",
    "demand_offsets": "demands.experts",
    "demand_experts": "demands.experts",
    "demand_rate": "demands.rate",
}
"""How the array is called in an instance file, for messages."""


def _offsets(lengths: ArrayLike) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _require_length(array: NDArray[Any], length: int, path: str) -> None:
    if array.shape[0] != length:
        raise InputError(path, f"{array.shape[0]} values where {length} are needed")


def _check_offsets(offsets: NDArray[np.int64], count: int, values: NDArray[Any], path: str) -> None:
    if (
        offsets.shape[0] != count + 1
        or offsets[0] != 0
        or offsets[-1] != values.shape[0]
        or bool(np.any(offsets[1:] < offsets[:-1]))
    ):
        raise InputError(path, f"offsets do not split {values.shape[0]} values into {count} slices")


def _first_bad(values: NDArray[np.float64]) -> Iterable[tuple[tuple[int, ...], float]]:
    """Yield at most one (index, value) that is negative or not finite."""
    if values.size and not (np.min(values) >= 0 and np.max(values) < np.inf):
        bad = np.argwhere(~(np.isfinite(values) & (values >= 0)))
        index = tuple(int(i) for i in bad[0])
        yield index, float(values[index])
