"""Parts of an instance that can be solved apart, with as few servers as possible.

Servers that share no server set have nothing to do with each other: their groups are problems of
their own. Servers that are in exactly the same sets are one server with the storage of all, when
all experts have one size (docs/theory.md, section 5).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from instances.problem import Instance
from instances.structure.clauses import Clauses
from instances.structure.labelling import Labelling


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Some servers, and the clauses that they alone decide.

    Parameters
    ----------
    groups
        The servers that count as one, for each of the N servers of the part; int64 (any,) each.
    room
        Storage of each of them, in units; int64 (N,).
    unit_bytes
        The unit: a common divisor of the sizes of all wanted experts, bytes.
    clause, servers
        The clauses, and their server sets as bit masks over the groups; int64 (C,). Bit masks
        beyond 62 groups mean nothing; such parts are refused before.
    widths
        Wanted experts of each layer that is wanted at all; int64 (layers,).
    num_sets
        Different server sets.
    """

    groups: list[NDArray[np.int64]]
    room: NDArray[np.int64]
    unit_bytes: int
    clause: NDArray[np.int64]
    servers: NDArray[np.int64]
    widths: NDArray[np.int64]
    num_sets: int

    def layers(
        self, instance: Instance, clauses: Clauses, weight: NDArray[np.int64]
    ) -> list[Labelling]:
        """Cut the part into layers; ``weight`` is the weight of each clause, int64 (C,)."""
        layer_of = clauses.itemset_layer[clauses.itemset[self.clause]]
        edges = np.flatnonzero(np.diff(layer_of, prepend=-1, append=instance.num_layers))
        layers = []
        for begin, end in pairwise(edges.tolist()):
            chosen = self.clause[begin:end]
            offsets, flat = clauses.flat_experts(clauses.itemset[chosen])
            experts, bits = np.unique(flat, return_inverse=True)
            layers.append(
                Labelling(
                    experts,
                    instance.expert_bytes[experts] // self.unit_bytes,
                    weight[chosen],
                    self.servers[begin:end],
                    offsets,
                    bits.astype(np.int64),
                    self.room,
                )
            )
        return layers

    def store(
        self,
        instance: Instance,
        chosen: Iterable[list[NDArray[np.int64]]],
        stored: NDArray[np.bool_],
    ) -> None:
        """Store what was chosen, layer by layer and group by group, in ``stored``; bool (N, X)."""
        held: list[list[NDArray[np.int64]]] = [[] for _ in self.groups]
        for layer in chosen:
            for group, experts in enumerate(layer):
                held[group].append(experts)
        for servers, lists in zip(self.groups, held, strict=True):
            experts = np.concatenate([np.empty(0, dtype=np.int64), *lists])
            for server in servers.tolist():
                space = experts.size
                if servers.size > 1 and space:
                    space = int(instance.capacity_bytes[server] // self.unit_bytes)
                stored[server, experts[:space]] = True
                experts = experts[space:]


def parts_of(instance: Instance, clauses: Clauses, weight: NDArray[np.int64]) -> list[Part]:
    """Split an instance into parts; clauses of weight 0 are left out, as are useless servers."""
    live = np.flatnonzero(weight)
    if live.size == 0:
        return []
    offsets, experts = clauses.flat_experts(clauses.itemset[live])
    smallest = np.full(clauses.server_sets.shape[0], np.iinfo(np.int64).max)
    least = np.minimum.reduceat(instance.expert_bytes[experts], offsets[:-1])
    np.minimum.at(smallest, clauses.server_set[live], least)
    fits = np.where(clauses.server_sets, smallest[:, None], np.iinfo(np.int64).max).min(axis=0)
    reached = clauses.server_sets & (instance.capacity_bytes >= fits)
    live = live[reached[clauses.server_set[live]].any(axis=1)]
    parts = []
    for members in _connected(reached[np.unique(clauses.server_set[live])]):
        inside = reached[:, members].any(axis=1)
        parts.append(
            _part(instance, clauses, reached, members, live[inside[clauses.server_set[live]]])
        )
    return parts


def _part(
    instance: Instance,
    clauses: Clauses,
    reached: NDArray[np.bool_],
    members: NDArray[np.int64],
    clause: NDArray[np.int64],
) -> Part:
    experts = np.unique(clauses.flat_experts(clauses.itemset[clause])[1])
    sizes = instance.expert_bytes[experts]
    unit = int(np.gcd.reduce(sizes))
    used_sets, set_of = np.unique(clauses.server_set[clause], return_inverse=True)
    table = reached[np.ix_(used_sets, members)]
    if sizes.min() == sizes.max():
        _, first, group_of = np.unique(table, axis=1, return_index=True, return_inverse=True)
        group_of = group_of.ravel()
        groups = [members[group_of == group] for group in np.argsort(first)]
        table = table[:, np.sort(first)]
    else:
        groups = [members[[position]] for position in range(members.size)]
    room = [int((instance.capacity_bytes[servers] // unit).sum()) for servers in groups]
    masks = table @ (1 << np.arange(len(groups))) if len(groups) <= 62 else set_of
    layer_of = np.searchsorted(instance.layer_expert_offset, experts, side="right")
    return Part(
        groups=groups,
        room=np.minimum(room, int(sizes.sum()) // unit),
        unit_bytes=unit,
        clause=clause,
        servers=masks[set_of].astype(np.int64),
        widths=np.unique(layer_of, return_counts=True)[1],
        num_sets=np.unique(table, axis=0).shape[0],
    )


def _connected(sets: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Return the groups of servers that chains of common sets connect, as ascending indices."""
    group_of = np.arange(sets.shape[1])
    for members in sets:
        joined = np.unique(group_of[members])
        group_of[np.isin(group_of, joined)] = joined[0]
    used = sets.any(axis=0)
    return [np.flatnonzero(group_of == group) for group in np.unique(group_of[used])]
