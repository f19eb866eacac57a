"""The clauses as the server-set bound sees them, and splits of their weights among experts."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.server_groups import ServerGroups
from formulations.bounds.server_set_kernels import share_out
from instances.problem import Instance
from instances.rounding_up import grown
from instances.structure.clauses import Clauses
from instances.structure.upper_weights import UpperWeights

_LOWEST = -600.0
"""Logarithm of the least attraction: its exponential is far inside the range of doubles."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Credits:
    """Clauses over X wanted experts and S server sets; those of one expert are added up.

    Parameters
    ----------
    experts, sizes, layer
        Wanted experts (flat), their sizes in bytes, and their global layers; int64 (X,).
    fits
        Expert x fits into some server of group m; bool (X, M).
    groups
        The servers.
    alone
        ``alone[x, s]``: weight of the clauses that want x alone, units; float64 (X, S).
    weight, clause_set, offsets, entries
        The other clauses: weights in units, server sets, and experts as indices into ``experts``;
        float64 (C,), int32 (C,), int64 (C + 1,), int32 (any,).
    longest_sum
        Most numbers that are added up for one credit.
    """

    experts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    layer: NDArray[np.int64]
    fits: NDArray[np.bool_]
    groups: ServerGroups
    alone: NDArray[np.float64]
    weight: NDArray[np.float64]
    clause_set: NDArray[np.int32]
    offsets: NDArray[np.int64]
    entries: NDArray[np.int32]
    longest_sum: int

    @classmethod
    def of(
        cls, instance: Instance, clauses: Clauses, upper: UpperWeights, groups: ServerGroups
    ) -> "Credits":
        """Bring clauses into this form; those of no weight are left out."""
        kept = np.flatnonzero(upper.weight_ms > 0.0)
        weight = upper.weight_ms[kept] / upper.unit_ms  # whole numbers: a power of two
        clause_set = groups.set_of[clauses.server_set[kept]]
        offsets, flat = clauses.flat_experts(clauses.itemset[kept])
        begin, lengths = offsets[:-1], np.diff(offsets)
        is_wanted = np.zeros(instance.num_experts, dtype=np.bool_)
        is_wanted[flat] = True
        experts = np.flatnonzero(is_wanted)
        entries = (np.cumsum(is_wanted) - 1)[flat].astype(np.int32)
        layer = np.searchsorted(instance.layer_expert_offset, experts, side="right") - 1
        alone = np.zeros((experts.size, groups.masks.size))
        is_single = lengths == 1
        # whole numbers far below 2^53: exact in any order
        np.add.at(alone, (entries[begin[is_single]], clause_set[is_single]), weight[is_single])
        several = ~is_single
        clause_layer = clauses.itemset_layer[clauses.itemset[kept]]
        busiest = int(np.bincount(clause_layer, minlength=1).max())
        sizes = instance.expert_bytes[experts]
        return cls(
            experts=experts,
            sizes=sizes,
            layer=layer,
            fits=sizes[:, None] <= groups.largest_bytes[None, :],
            groups=groups,
            alone=alone,
            weight=weight[several],
            clause_set=clause_set[several].astype(np.int32),
            offsets=np.concatenate([[0], np.cumsum(lengths[several])]).astype(np.int64),
            entries=entries[np.repeat(several, lengths)],
            longest_sum=busiest + int(lengths.max(initial=0)),
        )

    def with_storage(self, instance: Instance, capacity_bytes: NDArray[np.int64]) -> "Credits":
        """Return the same clauses with other storage of the servers, bytes; int64 (N,)."""
        groups = self.groups.with_storage(instance, capacity_bytes)
        fits = self.sizes[:, None] <= groups.largest_bytes[None, :]
        return dataclasses.replace(self, groups=groups, fits=fits)

    @property
    def total(self) -> float:
        """Weight of all clauses, units."""
        return float(self.alone.sum() + self.weight.sum())

    def most(self) -> NDArray[np.float64]:
        """Return the weight of all clauses of a set that want an expert, units; (X, S)."""
        num_sets = self.alone.shape[1]
        lengths = np.diff(self.offsets)
        pair = self.entries.astype(np.int64) * num_sets + np.repeat(self.clause_set, lengths)
        added = np.bincount(
            pair, weights=np.repeat(self.weight, lengths), minlength=self.alone.size
        )
        return self.alone + added.reshape(self.alone.shape)

    def split(self, repulsion: NDArray[np.float64]) -> NDArray[np.float64]:
        """Split every clause in proportion to exp(-repulsion[x, s]); credits, (X, S)."""
        lowest = repulsion.min(axis=0, keepdims=True, initial=np.inf)
        attraction = np.exp(np.maximum(lowest - repulsion, _LOWEST))
        credit = self.alone.copy()
        share_out(self.weight, self.clause_set, self.offsets, self.entries, attraction, credit)
        return credit

    def rounded_up(self, credit: NDArray[np.float64], num_splits: int) -> NDArray[np.float64]:
        """Return whole numbers of units that are not below exact credits; float64 (X, S).

        Parameters
        ----------
        credit
            The sum of so many splits, divided by their number.
        """
        # a share: the sum of attractions, a quotient, a product; then sums and the last quotient
        roundings = 2 * self.longest_sum + num_splits + 4
        return np.asarray(np.ceil(credit * grown(1.0, roundings)))
