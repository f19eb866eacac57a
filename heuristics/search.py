"""Moves of a local search: re-solve one server, two servers, or a layer, given the rest."""

from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from heuristics.successive import HULL_BINS
from heuristics.swap_kernels import tabu_swaps
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import Clauses
from instances.structure.curves import Curve
from instances.structure.joint import Combination, JointLayer, layer_options, stored_by
from instances.structure.server_problem import CurvesOf, LayerRows, ServerProblem, best_response
from instances.structure.tables import (
    LayerPart,
    exact_curves,
    hull_curves,
    layer_part,
    residual_of,
)

Stored = NDArray[np.bool_]
"""A placement in the making: bool (N, X)."""

_TABLE_EXPERTS = 12
"""Wanted experts of a layer up to which the exact table is as fast as the hull sweep."""

_JOINT_EXPERTS = 10
"""Wanted experts of a layer up to which two servers are solved jointly: 2^20 placements."""

_PATIENCE = 30
"""Moves of a swap search without a new best value."""

_NOISE = 1e-12
"""Relative gain below which two placements count as equal: rounding of sums."""


def tables_or_hull(part: LayerPart, capacity: int) -> list[Curve]:
    """Solve a layer exactly where that is as fast as the hull sweep."""
    curves_of = exact_curves if part.wanted.size <= _TABLE_EXPERTS else hull_curves
    return curves_of(part, capacity)


class Search:
    """Moves on one instance; every move returns a feasible placement, bool (N, X)."""

    def __init__(self, instance: Instance, clauses: Clauses, deadline: Deadline) -> None:
        self.instance = instance
        self.clauses = clauses
        self.rows = LayerRows.of(instance)
        self.deadline = deadline

    def saving(self, stored: Stored) -> float:
        """Return the saving, ms per token."""
        return self.clauses.saving_ms(Placement(stored))

    def better(self, old: Stored, new: Stored) -> Stored:
        """Return the new placement when it saves more beyond rounding, otherwise the old one."""
        return new if self.saving(new) > self.saving(old) * (1 + _NOISE) else old

    def rebuilt(
        self, stored: Stored, order: list[int], curves_of: CurvesOf = tables_or_hull
    ) -> Stored:
        """Re-solve every server once in the given order, then go on to the fixpoint."""
        stored = stored.copy()
        for server in order:
            if self.deadline.passed:
                return stored
            stored[server] = self.response(stored, server, curves_of)
        return self.to_fixpoint(stored)

    def to_fixpoint(self, stored: Stored) -> Stored:
        """Re-solve one server at a time until none gains."""
        unchanged = 0
        server = 0
        while unchanged < self.instance.num_servers and not self.deadline.passed:
            proposal = stored.copy()
            proposal[server] = self.response(stored, server, tables_or_hull)
            better = self.better(stored, proposal)
            better = self.better(better, self.swapped(better, server))
            unchanged = unchanged + 1 if better is stored else 1
            stored = better
            server = (server + 1) % self.instance.num_servers
        return stored

    def over_pairs(self, stored: Stored) -> Stored:
        """Re-solve two servers together until no pair gains.

        Jointly where their layers are small and of one size, otherwise one after the other.
        """
        pairs = list(combinations(range(self.instance.num_servers), 2))
        unchanged = 0
        position = 0
        while unchanged < len(pairs) and not self.deadline.passed:
            pair = list(pairs[position])
            proposal = self.together(stored, *pair)
            if proposal is None:
                proposal = stored.copy()
                proposal[pair] = False
                for server in pair:
                    proposal[server] = self.response(proposal, server, tables_or_hull)
            better = self.better(stored, proposal)
            if better is stored:
                unchanged += 1
            else:
                stored = self.to_fixpoint(better)
                unchanged = 0
            position = (position + 1) % len(pairs)
        return stored

    def together(self, stored: Stored, first: int, second: int) -> Stored | None:
        """Solve two servers jointly, given the others; None when that takes too long."""
        instance = self.instance
        part = residual_of(self.clauses, stored, first, second)
        sets = self.clauses.server_sets[self.clauses.server_set[part.clause]]
        masks = sets[:, first] + 2 * sets[:, second].astype(np.int64)
        sizes = np.unique(instance.expert_bytes[part.experts])
        if sizes.size != 1:
            return None
        slots = instance.capacity_bytes[[first, second]] // int(sizes[0])
        combination = Combination(np.minimum(slots, part.experts.size) + 1)
        for number in range(instance.num_layers):
            layer = layer_part(part, number, instance.expert_bytes)
            if layer.wanted.size > _JOINT_EXPERTS:
                return None
            if layer.wanted.size == 0:
                continue
            joint = JointLayer(
                experts=layer.wanted,
                weight=layer.weight,
                servers=masks[part.layer_offset[number] : part.layer_offset[number + 1]],
                offsets=layer.offsets,
                bits=layer.bits,
            )
            options = layer_options(joint, np.minimum(slots, layer.wanted.size), self.deadline)
            if options is None:
                return None
            combination.add(options, 1)
        _, chosen = combination.best()
        proposal = stored.copy()
        proposal[[first, second]] = stored_by(chosen, 2, instance.num_experts)
        return proposal

    def swapped(self, stored: Stored, server: int) -> Stored:
        """Search by swaps inside each layer of one server, wide layers only."""
        problem = ServerProblem(self.rows, stored, server)
        sizes = self.instance.expert_bytes
        stored = stored.copy()
        room = int(self.instance.capacity_bytes[server]) - int(sizes[stored[server]].sum())
        for number in range(self.instance.num_layers):
            layer = problem.layer(number)
            if layer.is_additive or layer.wanted.size <= _TABLE_EXPERTS or self.deadline.passed:
                continue
            inside = stored[server, layer.wanted]
            room += int(layer.sizes[inside].sum())
            found, _ = tabu_swaps(
                layer.weight, layer.offsets, layer.bits, layer.sizes, inside, room, _PATIENCE
            )
            stored[server, layer.wanted] = found
            room -= int(layer.sizes[found].sum())
        return stored

    def response(self, stored: Stored, server: int, curves_of: CurvesOf) -> NDArray[np.bool_]:
        """Re-solve one server given the others."""
        return best_response(
            self.rows,
            stored,
            server,
            curves_of,
            self.deadline,
            num_bins=HULL_BINS,
        )
