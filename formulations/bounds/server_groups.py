"""Few groups of servers: what a label may distinguish."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.problem import Instance
from instances.structure.clauses import Clauses


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ServerGroups:
    """Servers that count as one: a group stores what its members store together.

    A group that stores an expert is in every set of its members, so the saving only grows, and
    storage that is shared holds whatever the members hold: the best saving with groups is not below
    the best with servers.

    Parameters
    ----------
    members
        Servers of each group, ascending; those in no server set are in no group.
    unit_bytes
        Common divisor of the sizes of all experts that are wanted.
    capacity_bytes, largest_bytes
        Storage of each group, rounded down for each member to what sizes can add up to, and at most
        the bytes of all experts; and the storage of its largest member; int64 (M,).
    masks
        Distinct server sets in terms of groups, group m being bit m; int64 (S,).
    set_of
        Index into ``masks`` of each server set of the clauses; int64 (sets of the clauses,).
    """

    members: tuple[NDArray[np.int64], ...]
    unit_bytes: int
    capacity_bytes: NDArray[np.int64]
    largest_bytes: NDArray[np.int64]
    masks: NDArray[np.int64]
    set_of: NDArray[np.int64]

    @classmethod
    def of(
        cls, instance: Instance, clauses: Clauses, weight: NDArray[np.float64], most: int
    ) -> "ServerGroups":
        """Merge servers that occur in the same sets until at most ``most`` groups are left."""
        sets = clauses.server_sets
        worth = np.bincount(clauses.server_set, weights=weight, minlength=sets.shape[0])
        members = [np.array([n]) for n in np.flatnonzero(sets[worth > 0.0].any(axis=0))]
        in_group = [sets[:, group].any(axis=1) for group in members]
        while len(members) > most:
            table = np.array(in_group)
            both = (table * worth) @ table.T
            alone = np.diag(both)
            either = alone[:, None] + alone[None, :] - both
            likeness = np.triu(both / either, k=1)
            likeness[np.tril_indices(len(members))] = -1.0
            first, second = divmod(int(likeness.argmax()), len(members))
            members[first] = np.sort(np.concatenate([members[first], members.pop(second)]))
            in_group[first] = in_group[first] | in_group.pop(second)
        bits = np.array(in_group, dtype=np.int64).reshape(len(members), sets.shape[0])
        mask_of = (bits * (1 << np.arange(len(members)))[:, None]).sum(axis=0)
        masks, set_of = np.unique(mask_of, return_inverse=True)
        unit = _common_size(instance, clauses, weight)
        together, largest = _storage(instance, instance.capacity_bytes, members, unit)
        return cls(
            members=tuple(members),
            unit_bytes=unit,
            capacity_bytes=together,
            largest_bytes=largest,
            masks=masks,
            set_of=set_of.reshape(-1).astype(np.int64),
        )

    def with_storage(self, instance: Instance, capacity_bytes: NDArray[np.int64]) -> "ServerGroups":
        """Return the same groups with other storage of the servers, bytes; int64 (N,)."""
        together, largest = _storage(instance, capacity_bytes, self.members, self.unit_bytes)
        return dataclasses.replace(self, capacity_bytes=together, largest_bytes=largest)


def _storage(
    instance: Instance,
    capacity: NDArray[np.int64],
    members: Sequence[NDArray[np.int64]],
    unit: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what the members of each group can fill together, and their largest storage; (M,)."""
    everything = int(instance.expert_bytes.sum())  # more storage than that is never used
    # what is stored is a multiple of the sizes' common divisor, on every server
    together = [min(sum((capacity[g] // unit * unit).tolist()), everything) for g in members]
    largest = [capacity[group].max() for group in members]
    return np.array(together, dtype=np.int64), np.array(largest, dtype=np.int64)


def _common_size(instance: Instance, clauses: Clauses, weight: NDArray[np.float64]) -> int:
    """Return the common divisor of the sizes of all experts in a clause of some weight."""
    has_weight = np.zeros(clauses.itemset_layer.size, dtype=np.bool_)
    has_weight[clauses.itemset[weight > 0.0]] = True
    is_wanted = np.zeros(instance.num_experts, dtype=np.bool_)
    lengths = np.diff(clauses.itemset_offsets)
    is_wanted[clauses.itemset_experts[np.repeat(has_weight, lengths)]] = True
    return int(np.gcd.reduce(instance.expert_bytes[is_wanted])) or 1
