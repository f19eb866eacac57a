"""Projections: the sum of options seen on a few servers only, the others at their prices.

Dropping the capacities of all other servers relaxes the problem: their storage costs its price, but
nobody counts it. So the least loss of a projection is a lower bound on the least loss of all, and
what it says about the layers that are left bounds any partial sum from below.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.within_gap.options import Options
from formulations.within_gap.projection_kernels import rest_of, spread
from instances.deadline import Deadline

MAX_CELLS = 1 << 19
"""Most cells of one projection."""

MAX_TABLE_BYTES = 1 << 29
"""Most memory for the tables of all projections that are kept."""

MOST_TRIPLES = 5
"""Most projections onto three servers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Projection:
    """Least losses of the last layers over the storage that is left on a few servers.

    Parameters
    ----------
    servers
        Indices among the M servers.
    shape
        Capacity of each plus one; int64 (servers,).
    after
        ``after[k][cell]``: least loss of layers k, k + 1, ... with ``cell`` units left, what stays
        unused included; infinite beyond the budget; float64 (cells,) each.
    """

    servers: tuple[int, ...]
    shape: NDArray[np.int64]
    after: list[NDArray[np.float64]]

    @property
    def least_ms(self) -> float:
        """Lower bound on the loss of every placement within the budget; infinite: there is none."""
        return float(self.after[0][-1])


def num_cells(capacity: NDArray[np.int64], servers: Sequence[int]) -> int:
    """Return the cells of a projection."""
    return math.prod(int(capacity[m]) + 1 for m in servers)


def project(
    options: Sequence[Options],
    price: NDArray[np.float64],
    capacity: NDArray[np.int64],
    servers: Sequence[int],
    budget_ms: float,
    deadline: Deadline,
) -> Projection | None:
    """Sum up all layers from the last to the first on a few servers; None when time is up."""
    shape = capacity[list(servers)] + 1
    units = np.indices(tuple(shape.tolist())).reshape(shape.size, -1)
    unused = price[list(servers)] @ units
    after = [np.where(unused <= budget_ms, unused, np.inf)]
    for layer in reversed(options):
        if deadline.passed:
            return None
        used, loss, _ = _seen(layer, servers)
        after.append(spread(after[-1], shape, used, loss, budget_ms))
    return Projection(servers=tuple(servers), shape=shape, after=after[::-1])


def rests(
    projection: Projection, options: Sequence[Options], budget_ms: float
) -> list[NDArray[np.float64]]:
    """Return for each option of each layer a lower bound on the loss of all other layers."""
    before = np.full(projection.after[0].size, np.inf)
    before[0] = 0.0
    found = []
    for number, layer in enumerate(options):
        used, loss, index = _seen(layer, projection.servers)
        after = projection.after[number + 1]
        found.append(rest_of(before, after, projection.shape, used, budget_ms)[index])
        before = spread(before, projection.shape, used, loss, budget_ms)
    return found


def select(capacity: NDArray[np.int64], pairs: Sequence[Projection]) -> list[tuple[int, ...]]:
    """Choose triples of servers that promise the largest bounds."""
    least = {pair.servers: pair.least_ms for pair in pairs}
    finite = [value for value in least.values() if math.isfinite(value)]
    most = 2.0 * max(finite, default=1.0)  # for pairs that leave nothing within the budget

    def promise(triple: tuple[int, ...]) -> float:
        return math.fsum(
            min(least.get(pair, 0.0), most) for pair in itertools.combinations(triple, 2)
        )

    triples: list[tuple[int, ...]] = [
        triple
        for triple in itertools.combinations(range(capacity.size), 3)
        if num_cells(capacity, triple) <= MAX_CELLS
    ]
    return sorted(triples, key=lambda triple: (-promise(triple), triple))[:MOST_TRIPLES]


def _seen(
    layer: Options, servers: Sequence[int]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int64]]:
    """Return what options use of some servers and their least loss, by ascending loss.

    Also returns for each option where its use stands.
    """
    used = np.ascontiguousarray(layer.used[:, list(servers)])
    _, first, index = np.unique(used, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")  # the first of equal uses loses least
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    first = first[order]
    return used[first], layer.loss[first], rank[index.reshape(-1)]


def rests_of_uses(
    projection: Projection,
    options: Sequence[Options],
    sizes: Sequence[NDArray[np.int64]],
    budget_ms: float,
) -> list[NDArray[np.float64]]:
    """Return the same by the units that a layer uses, shaped as the projection.

    Only for what whole numbers of experts use: 0, 1, ..., E times ``sizes[layer][0]``; infinite
    elsewhere.
    """
    before = np.full(projection.after[0].size, np.inf)
    before[0] = 0.0
    found = []
    for layer, size, after in zip(options, sizes, projection.after[1:], strict=True):
        units = np.arange(size.size + 1) * int(size[0])
        fitting = [units[units < cells] for cells in projection.shape]
        uses = np.stack(np.meshgrid(*fitting, indexing="ij"), axis=-1).reshape(-1, len(fitting))
        rest = np.full(tuple(projection.shape.tolist()), np.inf)
        rest[tuple(uses.T)] = rest_of(before, after, projection.shape, uses, budget_ms)
        found.append(rest)
        used, loss, _ = _seen(layer, projection.servers)
        before = spread(before, projection.shape, used, loss, budget_ms)
    return found
