"""The master program: mix whole-layer columns within the servers' storage."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from instances.structure.simplex_kernels import simplex

_TOLERANCE = 1e-12
"""Reduced value, as a share of the value of everything, below which a column does not enter."""

_MAX_STEPS = 1_000_000
"""Simplex steps in one call: far beyond need; the best mix so far is used if it ends there."""

_RESTARTS = 4
"""How often the basis is inverted afresh; columns at the tolerance could go in and out for ever."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Column:
    """One placement of one layer on all servers.

    Parameters
    ----------
    problem
        Index of the layer's problem.
    stored
        Bool (servers of the layer, experts of the layer).
    value_ms
        Its saving, ms per token.
    used_bytes
        Bytes on each server of the instance; int64 (N,).
    """

    problem: int
    stored: NDArray[np.bool_]
    value_ms: float
    used_bytes: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mix:
    """A basic optimum over the columns so far.

    Parameters
    ----------
    value_ms
        Its value, ms per token.
    weight
        Share of each column; float64 (columns,).
    price
        Worth of a byte on each server, ms per token; float64 (N,), >= 0.
    rent_ms
        Worth of having each layer, ms per token: its dual; float64 (L,), >= 0.
    """

    value_ms: float
    weight: NDArray[np.float64]
    price: NDArray[np.float64]
    rent_ms: NDArray[np.float64]

    def whole(self) -> NDArray[np.int64]:
        """Return the columns that are taken whole; all others belong to fractional layers."""
        return np.flatnonzero(self.weight > 1.0 - 1e-7)


@dataclass(slots=True, eq=False)
class Master:
    """Columns, and the basis from which the next optimum starts.

    Parameters
    ----------
    capacity_bytes
        Storage of each server, bytes; int64 (N,).
    num_layers
        Number of layers that have columns, L.
    worth_ms
        Saving when every clause is satisfied: the unit of values.
    """

    capacity_bytes: NDArray[np.int64]
    num_layers: int
    worth_ms: float
    columns: list[Column] = field(default_factory=list)
    _known: set[tuple[int, bytes]] = field(default_factory=set)
    _basis: NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self._basis = -1 - np.arange(self.capacity_bytes.size + self.num_layers)

    def add(self, column: Column) -> bool:
        """Take in a column; False when it is known or stores nothing."""
        key = (column.problem, np.packbits(column.stored).tobytes())
        if key in self._known or not column.stored.any():
            return False
        self._known.add(key)
        self.columns.append(column)
        return True

    def solve(self) -> Mix:
        """Find a basic optimum over the columns so far, from the last basis."""
        num_servers = self.capacity_bytes.size
        value = np.array([c.value_ms for c in self.columns]) / self.worth_ms
        layer = np.array([c.problem for c in self.columns], dtype=np.int64)
        used = np.array([c.used_bytes for c in self.columns]).reshape(-1, num_servers)
        filled = np.maximum(self.capacity_bytes, 1)
        for _ in range(_RESTARTS):  # again from a fresh inverse, until nothing moves
            x, y, steps = simplex(
                value,
                layer,
                used / filled,
                self.num_layers,
                self._basis,
                _TOLERANCE,
                _MAX_STEPS,
            )
            if steps == 0:
                break
        weight = np.zeros(value.size)
        basic = self._basis >= 0
        weight[self._basis[basic]] = x[basic]
        y = np.maximum(y, 0.0) * self.worth_ms
        return Mix(
            value_ms=float(weight @ value) * self.worth_ms,
            weight=weight,
            price=y[:num_servers] / filled,
            rent_ms=y[num_servers:],
        )
