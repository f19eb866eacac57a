"""The clauses as the server-set bound sees them, and splits of their weights among experts."""

import dataclasses
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.block_kernels import sets_of_itemsets
from formulations.bounds.blocks import Blocks
from formulations.bounds.server_groups import ServerGroups
from instances.problem import Instance
from instances.rounding_up import grown
from instances.structure.clauses import Clauses
from instances.structure.upper_weights import UpperWeights

_WIDEST = 600.0
"""Logarithm of the largest quotient of attractions: far inside the range of doubles."""


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
    blocks
        The other clauses.
    total
        Weight of all clauses, units.
    longest_sum
        Most numbers that are added up for one credit.
    """

    experts: NDArray[np.int64]
    sizes: NDArray[np.int64]
    layer: NDArray[np.int64]
    fits: NDArray[np.bool_]
    groups: ServerGroups
    alone: NDArray[np.float64]
    blocks: Blocks
    total: float
    longest_sum: int

    @classmethod
    def of(
        cls, instance: Instance, clauses: Clauses, upper: UpperWeights, groups: ServerGroups
    ) -> "Credits":
        """Bring clauses into this form; those of no weight are left out."""
        set_offsets, sets = sets_of_itemsets(
            upper.weight_ms,
            clauses.server_set,
            clauses.itemset,
            groups.set_of,
            clauses.itemset_layer.size,
        )
        lengths = np.diff(clauses.itemset_offsets)
        is_wanted = np.zeros(instance.num_experts, dtype=np.bool_)
        is_wanted[clauses.itemset_experts[np.repeat(np.diff(set_offsets) > 0, lengths)]] = True
        experts = np.flatnonzero(is_wanted)
        index_of = np.cumsum(is_wanted) - 1
        alone = np.zeros((experts.size, groups.masks.size))
        single = np.flatnonzero((lengths == 1)[clauses.itemset] & (upper.weight_ms > 0.0))
        wanted = clauses.itemset_experts[clauses.itemset_offsets[clauses.itemset[single]]]
        # whole numbers far below 2^53: exact in any order
        np.add.at(
            alone,
            (index_of[wanted], groups.set_of[clauses.server_set[single]]),
            upper.weight_ms[single] / upper.unit_ms,
        )
        blocks = Blocks.of(
            clauses, upper.weight_ms, upper.unit_ms, set_offsets, sets, index_of, experts.size
        )
        sizes = instance.expert_bytes[experts]
        return cls(
            experts=experts,
            sizes=sizes,
            layer=np.searchsorted(instance.layer_expert_offset, experts, side="right") - 1,
            fits=sizes[:, None] <= groups.largest_bytes[None, :],
            groups=groups,
            alone=alone,
            blocks=blocks,
            total=float(alone.sum() + blocks.weight.sum()),
            longest_sum=int(np.diff(clauses.layer_clause_offset).max(initial=0))
            + int(lengths.max(initial=0)),
        )

    def with_storage(self, instance: Instance, capacity_bytes: NDArray[np.int64]) -> "Credits":
        """Return the same clauses with other storage of the servers, bytes; int64 (N,)."""
        groups = self.groups.with_storage(instance, capacity_bytes)
        fits = self.sizes[:, None] <= groups.largest_bytes[None, :]
        return dataclasses.replace(self, groups=groups, fits=fits)

    def most(self) -> NDArray[np.float64]:
        """Return the weight of all clauses of a set that want an expert, units; (X, S)."""
        total = self.alone.copy()
        self.blocks.add_whole(total)
        return total

    def split(self, repulsion: NDArray[np.float64], threads: int = 1) -> NDArray[np.float64]:
        """Split every clause in proportion to exp(-repulsion[x, s]); credits, (X, S).

        Repulsions that differ by more than doubles can tell are brought nearer to each other.
        """
        credit = self.alone.copy()
        self.blocks.split(attraction_of(repulsion), credit, threads)
        return credit

    def rounded_up(self, credit: NDArray[np.float64], num_splits: int) -> NDArray[np.float64]:
        """Return whole numbers of units that are not below exact credits; float64 (X, S).

        Parameters
        ----------
        credit
            A mean of so many splits with any weights, computed as a sum of splits times weights,
            divided by the sum of the weights.
        """
        # a share: the sum of attractions, a quotient, a product; then their sums, a product, and
        # sums and a quotient, whose divisor is a sum as well
        roundings = 2 * self.longest_sum + 2 * num_splits + 6
        return np.asarray(np.ceil(credit * grown(1.0, roundings)))


def attraction_of(repulsion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return exp(-repulsion) up to a factor for each set, within the range of doubles; (X, S)."""
    above = repulsion - repulsion.min(axis=0, keepdims=True, initial=np.inf)
    widest = float(above.max(initial=0.0))
    return np.asarray(np.exp(-above * (_WIDEST / max(widest, _WIDEST))))
