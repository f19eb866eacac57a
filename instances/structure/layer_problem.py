"""One layer by itself: its clauses over the experts and servers that matter to it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.problem import Instance
from instances.structure.clauses import Clauses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LayerProblem:
    """The clauses of one layer, over E experts and M servers.

    Servers without room for any wanted expert are left out, and so are clauses without a server.

    Parameters
    ----------
    layer
        Global layer.
    experts, sizes
        The experts in some clause (flat) and their sizes, bytes; int64 (E,).
    servers, capacity_bytes
        The servers in some clause's set and their storage, bytes; int64 (M,).
    weight
        Saving of each clause, ms per token; float64 (C,).
    members
        ``members[c, m]``: server m is in the set of clause c; bool (C, M).
    offsets, bits
        The experts of each clause, indices into ``experts``; int64 (C + 1,), (any,).
    """

    layer: int
    experts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    servers: NDArray[np.int64]
    capacity_bytes: NDArray[np.int64]
    weight: NDArray[np.float64]
    members: NDArray[np.bool_]
    offsets: NDArray[np.int64]
    bits: NDArray[np.int64]

    @property
    def worth_ms(self) -> float:
        """Saving when every clause is satisfied, ms per token."""
        return float(self.weight.sum())

    @property
    def largest_clause(self) -> int:
        """Most experts in one clause."""
        return int(np.diff(self.offsets).max())

    def value_ms(self, stored: NDArray[np.bool_]) -> float:
        """Return the saving of a placement of the layer, bool (M, E); ms per token."""
        clause = np.repeat(np.arange(self.weight.size), np.diff(self.offsets))
        held = (stored.T[self.bits] & self.members[clause]).any(axis=1)
        met = np.logical_and.reduceat(held, self.offsets[:-1])
        return float(self.weight[met].sum())

    def used_bytes(self, stored: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the bytes that each server stores of this layer; int64 (M,)."""
        return np.asarray(stored @ self.sizes, dtype=np.int64)

    def cut(self, stored: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Cut what matters here out of a placement of all layers, bool (N, X); bool (M, E)."""
        return np.ascontiguousarray(stored[np.ix_(self.servers, self.experts)])

    def paste(self, part: NDArray[np.bool_], stored: NDArray[np.bool_]) -> None:
        """Write a placement of this layer, bool (M, E), into one of all layers, bool (N, X)."""
        stored[np.ix_(self.servers, self.experts)] = part


def layer_problems(instance: Instance, clauses: Clauses) -> list[LayerProblem]:
    """Take an instance apart into its layers; those that nobody wants are left out."""
    problems = (_layer_problem(instance, clauses, layer) for layer in range(instance.num_layers))
    return [problem for problem in problems if problem.weight.size > 0]


def _layer_problem(instance: Instance, clauses: Clauses, layer: int) -> LayerProblem:
    begin, end = clauses.layer_clause_offset[layer : layer + 2]
    itemset = clauses.itemset[begin:end]
    members = clauses.server_sets[clauses.server_set[begin:end]]
    smallest = int(instance.expert_bytes[instance.layer_experts(layer)].min())
    members = members & (instance.capacity_bytes >= smallest)
    alive = members.any(axis=1)
    members = members[alive]
    offsets, flat = clauses.flat_experts(itemset[alive])
    experts, bits = np.unique(flat, return_inverse=True)
    servers = np.flatnonzero(members.any(axis=0)).astype(np.int64)
    return LayerProblem(
        layer=layer,
        experts=experts,
        sizes=instance.expert_bytes[experts],
        servers=servers,
        capacity_bytes=instance.capacity_bytes[servers],
        weight=clauses.weight[begin:end][alive],
        members=np.ascontiguousarray(members[:, servers]),
        offsets=offsets,
        bits=bits.astype(np.int64),
    )
