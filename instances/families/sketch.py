"""A sketch: an instance made row by row, together with the placement that is best in it.

For families whose optimum is known because they were built around it. The seed shuffles servers,
users, layers and experts, so that no method is helped or hurt by the order of indices.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike, NDArray

from instances.demand import RATE_DIGITS
from instances.draws import Draws
from instances.model import Model
from instances.placement import Placement
from instances.problem import Instance
from instances.rounding import round_significant

CLOUD_MS = 120.0
EDGE_MS = 20.0
"""Latency of a user's own server: 100 ms are saved there, unless a family says otherwise."""

OUT_OF_REACH_MS = 500.0
"""Latency of a server that is slower than the cloud, so that it is of no use to the user."""


@dataclass(frozen=True, slots=True)
class Planted:
    """An instance and a placement that no other one beats."""

    instance: Instance
    optimum: Placement


@dataclass(slots=True)
class Sketch:
    """An instance of one model in the making.

    Parameters
    ----------
    expert_bytes
        Size of each expert, bytes; shape (layers, experts).
    top_k
        Most experts used together.
    """

    expert_bytes: ArrayLike
    top_k: int
    _capacity: list[int] = field(default_factory=list)
    _latency: list[Mapping[int, float]] = field(default_factory=list)
    _rows: list[tuple[int, int, tuple[int, ...], float]] = field(default_factory=list)
    _stored: list[tuple[int, int, int]] = field(default_factory=list)

    def add_server(self, capacity_bytes: int) -> int:
        """Add a server and return its number."""
        self._capacity.append(capacity_bytes)
        return len(self._capacity) - 1

    def add_user(self, latency_ms: Mapping[int, float]) -> int:
        """Add a user who reaches these servers, ms each, and return the number."""
        self._latency.append(latency_ms)
        return len(self._latency) - 1

    def add_row(self, user: int, layer: int, experts: Iterable[int], rate: float) -> None:
        """Let a user ask for some experts of a layer together."""
        self._rows.append((user, layer, tuple(experts), rate))

    def store(self, server: int, layer: int, experts: Iterable[int]) -> None:
        """Let the planted placement store some experts of a layer."""
        self._stored += [(server, layer, expert) for expert in experts]

    def finish(self, name: str, draws: Draws) -> Planted:
        """Shuffle and put together; rates are scaled to one row per token and layer."""
        sizes = np.asarray(self.expert_bytes, dtype=np.int64)
        layers, experts = sizes.shape
        server_at = draws.permutation(len(self._capacity))
        user_at = draws.permutation(len(self._latency))
        layer_at = draws.permutation(layers)
        expert_at = np.stack([draws.permutation(experts) for _ in range(layers)])
        shuffled = np.empty_like(sizes)
        shuffled[layer_at[:, None], expert_at] = sizes
        latency = np.full((len(self._latency), len(self._capacity)), OUT_OF_REACH_MS)
        for user, reached in enumerate(self._latency):
            for server, latency_ms in reached.items():
                latency[user_at[user], server_at[server]] = latency_ms
        rows = sorted(
            (
                int(user_at[user]),
                int(layer_at[layer]),
                sorted(expert_at[layer, list(chosen)].tolist()),
                rate,
            )
            for user, layer, chosen, rate in self._rows
        )
        capacity = np.zeros(len(self._capacity), dtype=np.int64)
        capacity[server_at] = self._capacity
        users = len(self._latency)
        instance = Instance(
            name=name,
            models=(Model(name="trap", expert_bytes=shuffled, top_k=self.top_k),),
            server_names=tuple(f"edge-{n}" for n in range(capacity.size)),
            capacity_bytes=capacity,
            user_names=tuple(f"user-{u}" for u in range(users)),
            user_model=np.zeros(users, dtype=np.int64),
            latency_ms=latency,
            cloud_latency_ms=np.full(users, CLOUD_MS),
            local_latency_ms=np.zeros(users),
            local_offsets=np.zeros(users + 1, dtype=np.int64),
            local_experts=np.zeros(0, dtype=np.int64),
            demand_user=np.array([row[0] for row in rows]),
            demand_layer=np.array([row[1] for row in rows]),
            demand_offsets=np.cumsum([0, *(len(row[2]) for row in rows)]),
            demand_experts=np.array([expert for row in rows for expert in row[2]]),
            demand_rate=_scaled(np.array([row[3] for row in rows]), layers),
        )
        pairs = [
            (int(server_at[server]), int(layer_at[layer] * experts + expert_at[layer, expert]))
            for server, layer, expert in self._stored
        ]
        return Planted(instance, Placement.of(instance, pairs))


def _scaled(rates: NDArray[np.float64], layers: int) -> NDArray[np.float64]:
    # fsum is exact, so that the order of additions cannot show
    return round_significant(rates * (layers / math.fsum(rates)), RATE_DIGITS)
