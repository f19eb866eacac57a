"""The threshold form: the saving as a sum of clauses "AND over experts of OR over servers".

F(X) = sum of weight over the clauses whose every expert is on some server of the clause's server
set (docs/theory.md, section 1). Clauses with equal server set and equal experts are merged across
users. The experts of a clause belong to one layer; experts that the user's device holds itself are
left out, since they are always there.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.placement import Placement
from instances.problem import Instance
from instances.structure.kernels import (
    gather_rows,
    gathered,
    intern_itemsets,
    merge_weights,
    satisfied,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Clauses:
    """Clauses (weight, server set, itemset) of an instance, sorted by layer and itemset.

    Parameters
    ----------
    weight
        Saving when the clause is satisfied, ms per token, > 0; float64 (C,).
    server_set, itemset
        Index into the tables below; int64 (C,).
    server_sets
        ``server_sets[s, n]``: server n belongs to set s; bool (S, N). The sets of one user are
        nested.
    itemset_layer
        Global layer of each itemset, ascending; int64 (I,).
    itemset_offsets, itemset_experts
        Flat experts of each itemset, ascending; int64 (I + 1,), (any,).
    layer_clause_offset
        Clauses of layer g: ``layer_clause_offset[g] : layer_clause_offset[g + 1]``; int64 (G + 1,).
    """

    weight: NDArray[np.float64]
    server_set: NDArray[np.int64]
    itemset: NDArray[np.int64]
    server_sets: NDArray[np.bool_]
    itemset_layer: NDArray[np.int64]
    itemset_offsets: NDArray[np.int64]
    itemset_experts: NDArray[np.int64]
    layer_clause_offset: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.weight.shape[0])

    @property
    def largest_itemset(self) -> int:
        """Most experts in one clause; 0 when there is none. At most the ``top_k`` of the models."""
        return int(np.diff(self.itemset_offsets).max(initial=0))

    def flat_experts(
        self, itemsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the experts of some itemsets one after the other, as offsets and experts.

        ``itemsets`` is int64 (n,), in any order, with repetition; the offsets are int64 (n + 1,).
        """
        first = self.itemset_offsets[itemsets]
        offsets, experts = gathered(
            self.itemset_experts, first, self.itemset_offsets[itemsets + 1] - first
        )
        return offsets, experts

    def saving_ms(self, placement: Placement) -> float:
        """F(X) by the clauses, ms per token; agrees with the evaluator up to rounding."""
        met = satisfied(
            self.server_set,
            self.itemset,
            self.server_sets,
            self.itemset_offsets,
            self.itemset_experts,
            placement.stored,
        )
        return float(self.weight[met].sum())


def build_clauses(instance: Instance) -> Clauses:
    """Bring an instance into threshold form, in time linear in the rows times useful servers."""
    rows = gather_rows(
        instance.demand_user,
        instance.demand_layer,
        instance.demand_offsets,
        instance.demand_experts,
        instance.user_model,
        instance.model_layer_offset,
        instance.layer_expert_offset,
        instance.model_expert_offset,
        instance.local_offsets,
        instance.local_experts,
    )
    row_layer, row_has_local, row_offsets, row_experts = rows
    del rows
    row_itemset, first_row = intern_itemsets(row_layer, row_offsets, row_experts)
    order = np.argsort(row_layer[first_row], kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    first_row = first_row[order]
    lengths = np.diff(row_offsets)[first_row]
    itemset_offsets, itemset_experts = gathered(row_experts, row_offsets[first_row], lengths)
    itemset_layer = row_layer[first_row].astype(np.int64)
    row_itemset = np.append(rank, -1)[row_itemset]
    del row_experts, row_offsets  # a good part of what millions of rows need

    server_sets, step_offsets, step_set, step_ms, local_step_ms = _threshold_steps(instance)
    weight, server_set, itemset = merge_weights(
        row_itemset,
        row_has_local,
        instance.demand_user,
        instance.demand_rate,
        step_offsets,
        step_set,
        step_ms,
        local_step_ms,
        order.size,
        server_sets.shape[0],
    )
    first_itemset = np.searchsorted(itemset_layer, np.arange(instance.num_layers + 1))
    return Clauses(
        weight=weight,
        server_set=server_set,
        itemset=itemset,
        server_sets=server_sets,
        itemset_layer=itemset_layer,
        itemset_offsets=itemset_offsets,
        itemset_experts=itemset_experts,
        layer_clause_offset=np.searchsorted(itemset, first_itemset).astype(np.int64),
    )


def _threshold_steps(
    instance: Instance,
) -> tuple[
    NDArray[np.bool_],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.float64],
    NDArray[np.float64],
]:
    """List, for each user, the nested server sets and what reaching each of them saves.

    Step r of user u is worth t[r + 1] - t[r]; for rows with a local expert both ends are first
    raised to the local latency. Servers of equal latency enter together.
    """
    index_of: dict[bytes, int] = {}
    sets: list[NDArray[np.bool_]] = []
    offsets = [0]
    step_set: list[int] = []
    step_ms: list[float] = []
    local_step_ms: list[float] = []
    for user in range(instance.num_users):
        cloud, local = float(instance.cloud_latency_ms[user]), instance.local_latency_ms[user]
        latency = instance.latency_ms[user]
        levels = np.unique(latency[latency < cloud])
        for level, reach in zip(levels, np.append(levels, cloud)[1:], strict=True):
            members = latency <= level
            key = np.packbits(members).tobytes()
            if key not in index_of:
                index_of[key] = len(sets)
                sets.append(members)
            step_set.append(index_of[key])
            step_ms.append(reach - level)
            local_step_ms.append(max(reach, local) - max(level, local))
        offsets.append(len(step_set))
    table = np.array(sets, dtype=np.bool_).reshape(len(sets), instance.num_servers)
    # sorted, so that the order of users leaves no trace in the clauses
    order = sorted(range(len(sets)), key=lambda s: table[s].tolist())
    rank = np.empty(len(sets), dtype=np.int64)
    rank[order] = np.arange(len(sets))
    return (
        table[order],
        np.array(offsets, dtype=np.int64),
        rank[np.array(step_set, dtype=np.int64)],
        np.array(step_ms, dtype=np.float64),
        np.array(local_step_ms, dtype=np.float64),
    )
