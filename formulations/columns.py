"""The variables that the integer programs share: x, y and z.

| symbol | meaning |
|---|---|
| x[n,i] | server n stores expert i; 0 or 1 |
| y[S,i] | some server of S stores expert i |
| z[c] | clause c is satisfied: each of its experts is on some server of its set |

Only what can matter gets a column. A server counts for an expert only if the expert fits into its
whole storage; a clause with an expert that fits nowhere in its server set is dropped. y[S,i] is
x[n,i] itself where only n counts, and z of a clause of one expert is its y. Clauses that need the
same y have one z.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Columns:
    """All variables, numbered x first, then y, then z. P, Y and Z of them.

    Parameters
    ----------
    x_server, x_expert
        Server and flat expert of each x; int64 (P,).
    y_offsets, y_sources
        Columns x of which y number j needs one:
        ``y_sources[y_offsets[j]:y_offsets[j + 1]]``; int64 (Y + 1,), (any,).
    z_offsets, z_parts
        Columns x or y that z number j needs all of; int64 (Z + 1,), (any,).
    weight_ms
        Saving for each unit of each column, ms per token; float64 (P + Y + Z,).
    placement_shape
        (servers, experts) of the instance.
    """

    x_server: NDArray[np.int64]
    x_expert: NDArray[np.int64]
    y_offsets: NDArray[np.int64]
    y_sources: NDArray[np.int64]
    z_offsets: NDArray[np.int64]
    z_parts: NDArray[np.int64]
    weight_ms: NDArray[np.float64]
    placement_shape: tuple[int, int]

    def __len__(self) -> int:
        return int(self.weight_ms.size)

    @property
    def num_x(self) -> int:
        """Number of columns x, P."""
        return int(self.x_server.size)

    @property
    def num_choices(self) -> int:
        """Number of leading columns that settle the placement: those of x."""
        return self.num_x

    @property
    def first_z(self) -> int:
        """Number of the first column z, P + Y."""
        return self.num_x + int(self.y_offsets.size) - 1

    def values(self, placement: Placement) -> NDArray[np.float64]:
        """Value of every column under a placement; float64 (P + Y + Z,), each 0 or 1."""
        values = np.zeros(len(self))
        values[: self.num_x] = placement.stored[self.x_server, self.x_expert]
        if self.y_sources.size:
            values[self.num_x : self.first_z] = np.maximum.reduceat(
                values[self.y_sources], self.y_offsets[:-1]
            )
        if self.z_parts.size:
            values[self.first_z :] = np.minimum.reduceat(values[self.z_parts], self.z_offsets[:-1])
        return values

    def placement(self, chosen: NDArray[np.bool_]) -> Placement:
        """Make a placement of the x that are set; bool (P,).

        A copy that no satisfied clause can use is left out, which changes no value.
        """
        table = np.zeros(self.placement_shape, dtype=np.bool_)
        table[self.x_server[chosen], self.x_expert[chosen]] = True
        values = self.values(Placement(table)) > 0.0
        needed = values & (self.weight_ms > 0.0)
        z_of_part = np.repeat(np.arange(self.first_z, len(self)), np.diff(self.z_offsets))
        needed[self.z_parts[values[z_of_part]]] = True
        y_of_source = np.repeat(np.arange(self.num_x, self.first_z), np.diff(self.y_offsets))
        needed[self.y_sources[needed[y_of_source]]] = True
        useless = ~needed[: self.num_x]
        table[self.x_server[useless], self.x_expert[useless]] = False
        return Placement(table)


def build_columns(instance: Instance, clauses: Clauses) -> Columns:
    """Make the variables that the clauses of an instance need."""
    # One entry for each expert of each clause.
    lengths = np.diff(clauses.itemset_offsets)[clauses.itemset]
    clause = np.repeat(np.arange(len(clauses)), lengths)
    within = np.arange(clause.size) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    expert = clauses.itemset_experts[clauses.itemset_offsets[clauses.itemset[clause]] + within]
    fitting_set, fitting_sets = _fitting_sets(
        instance, clauses.server_sets, clauses.server_set[clause], expert
    )
    possible = np.ones(len(clauses), dtype=np.bool_)
    somewhere = np.logical_or.reduce(fitting_sets, axis=1)
    possible[clause[~somewhere[fitting_set]]] = False
    kept = possible[clause]

    # One holder for each (server set, expert): its x if one server counts, else its y.
    key, holder = np.unique(
        fitting_set[kept] * instance.num_experts + expert[kept], return_inverse=True
    )
    holder_set, holder_expert = np.divmod(key, instance.num_experts)
    member, server = np.nonzero(fitting_sets[holder_set])
    x_key, source = np.unique(
        server * instance.num_experts + holder_expert[member], return_inverse=True
    )
    size = np.bincount(member, minlength=key.size)
    is_y = size > 1
    column = np.empty(key.size, dtype=np.int64)
    column[is_y] = x_key.size + np.arange(np.count_nonzero(is_y))
    column[member[~is_y[member]]] = source[~is_y[member]]

    parts = np.full((len(clauses), clauses.largest_itemset), -1, dtype=np.int64)
    parts[clause[kept], within[kept]] = column[holder]
    parts, weight_ms = _merge(parts[possible], clauses.weight[possible])
    needed = np.count_nonzero(parts >= 0, axis=1)
    joint, single = needed > 1, needed == 1
    first_z = x_key.size + int(np.count_nonzero(is_y))
    all_weights = np.zeros(first_z + int(np.count_nonzero(joint)))
    all_weights[parts[single, :1].reshape(-1)] = weight_ms[single]
    all_weights[first_z:] = weight_ms[joint]
    x_server, x_expert = np.divmod(x_key, instance.num_experts)
    return Columns(
        x_server=x_server,
        x_expert=x_expert,
        y_offsets=_offsets(size[is_y]),
        y_sources=source[is_y[member]],
        z_offsets=_offsets(needed[joint]),
        z_parts=parts[joint][parts[joint] >= 0],
        weight_ms=all_weights,
        placement_shape=(instance.num_servers, instance.num_experts),
    )


def _merge(
    parts: NDArray[np.int64], weight_ms: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Add up the weights of clauses that need the same columns: equal rows, as experts ascend."""
    distinct, index = np.unique(parts, axis=0, return_inverse=True)
    totals = np.zeros(distinct.shape[0])
    np.add.at(totals, index.reshape(-1), weight_ms)
    return distinct, totals


def _fitting_sets(
    instance: Instance,
    server_sets: NDArray[np.bool_],
    server_set: NDArray[np.int64],
    expert: NDArray[np.int64],
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Reduce each (server set, expert) to the servers into whose whole storage the expert fits.

    Returns the index of each reduced set, and the distinct ones; int64 (pairs,), bool (any, N).
    """
    # Which servers an expert fits into depends only on the smallest capacity that takes it.
    capacities = np.unique(instance.capacity_bytes)
    level = np.searchsorted(capacities, instance.expert_bytes)[expert]
    num_levels = capacities.size + 1
    key, pair = np.unique(server_set * num_levels + level, return_inverse=True)
    large_enough = instance.capacity_bytes >= np.append(capacities, np.iinfo(np.int64).max)[:, None]
    reduced = server_sets[key // num_levels] & large_enough[key % num_levels]
    packed, index = np.unique(np.packbits(reduced, axis=1), axis=0, return_inverse=True)
    distinct = np.unpackbits(packed, axis=1, count=instance.num_servers).astype(np.bool_)
    return index.reshape(-1)[pair], distinct


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
