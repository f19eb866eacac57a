"""What is left to decide: layers with exact weights, storage in whole units, no idle servers."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.problem import Instance
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.layer_problem import LayerProblem, layer_problems
from instances.structure.upper_weights import UpperWeights, upper_weights

HEADROOM = 4
"""Sums stay exact up to this multiple of the worth of everything: values, prices of all storage and
rents are at most that worth each."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Storage:
    """An instance without what is settled beforehand, over M servers.

    A server that has room for everything that is wanted from it stores just that. What remains is
    measured in units: the common divisor of all sizes, to which capacities are rounded down.

    Parameters
    ----------
    clauses
        All clauses of the instance, with the weights of ``upper``.
    upper
        Weights that are not below the exact ones, of which sums are exact.
    settled
        What roomy servers store; bool (N, X).
    settled_ms
        Worth of that, ms per token.
    unit_bytes
        The unit.
    servers
        Servers that are left, indices of the instance; int64 (M,).
    capacity
        Their storage, units; int64 (M,).
    layers
        Layers that are left; their sizes and capacities are in units.
    """

    clauses: Clauses
    upper: UpperWeights
    settled: NDArray[np.bool_]
    settled_ms: float
    unit_bytes: int
    servers: NDArray[np.int64]
    capacity: NDArray[np.int64]
    layers: tuple[LayerProblem, ...]

    @property
    def worth_ms(self) -> float:
        """Worth of all clauses that are left, ms per token."""
        return float(sum(layer.worth_ms for layer in self.layers))

    def position(self, layer: LayerProblem) -> NDArray[np.int64]:
        """Return where the servers of a layer stand among those that are left."""
        return np.searchsorted(self.servers, layer.servers)

    def used(self, layer: LayerProblem, part: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return the units that a placement of one layer takes on all servers; int64 (M,)."""
        used = np.zeros(self.servers.size, dtype=np.int64)
        used[self.position(layer)] = layer.used_bytes(part)
        return used


def storage_of(instance: Instance) -> Storage:
    """Take an instance apart."""
    clauses = build_clauses(instance)
    upper = upper_weights(instance, clauses, headroom=HEADROOM)
    clauses = dataclasses.replace(clauses, weight=upper.weight_ms)
    settled, met = _settle(instance, clauses)
    layers = layer_problems(instance, _keep(clauses, ~met & (clauses.weight > 0.0)))
    sizes = [layer.sizes for layer in layers]
    unit = int(np.gcd.reduce(np.concatenate(sizes))) if sizes else 1
    servers = np.unique(np.concatenate([[], *(layer.servers for layer in layers)])).astype(np.int64)
    wanted = sum(int(size.sum()) for size in sizes)
    capacity = np.minimum(instance.capacity_bytes[servers], wanted) // unit
    return Storage(
        clauses=clauses,
        upper=upper,
        settled=settled,
        settled_ms=float(clauses.weight[met].sum()),
        unit_bytes=unit,
        servers=servers,
        capacity=capacity,
        layers=tuple(
            dataclasses.replace(
                layer,
                sizes=layer.sizes // unit,
                capacity_bytes=capacity[np.searchsorted(servers, layer.servers)],
            )
            for layer in layers
        ),
    )


def _settle(instance: Instance, clauses: Clauses) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Fill servers that have room for all that is wanted; returns that and the clauses met.

    Clauses that are met want nothing any more, which may make other servers roomy.
    """
    settled = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    met = np.zeros(len(clauses), dtype=np.bool_)
    offsets, expert = clauses.flat_experts(clauses.itemset)
    clause = np.repeat(np.arange(len(clauses)), np.diff(offsets))
    members = clauses.server_sets[clauses.server_set]
    changed = True
    while changed:
        changed = False
        for server in range(instance.num_servers):
            wants = members[:, server] & ~met & (clauses.weight > 0.0)
            wanted = np.unique(expert[wants[clause]])
            fits = instance.expert_bytes[wanted].sum() <= instance.capacity_bytes[server]
            if wanted.size and fits and not settled[server].any():
                settled[server, wanted] = True
                met |= wants
                changed = True
    return settled, met


def _keep(clauses: Clauses, kept: NDArray[np.bool_]) -> Clauses:
    """Keep some clauses."""
    before = np.concatenate([[0], np.cumsum(kept)])
    return dataclasses.replace(
        clauses,
        weight=clauses.weight[kept],
        server_set=clauses.server_set[kept],
        itemset=clauses.itemset[kept],
        layer_clause_offset=before[clauses.layer_clause_offset],
    )
