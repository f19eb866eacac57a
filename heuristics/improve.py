"""Improvement: re-solve parts of a placement, given the rest, until nothing gains."""

from collections.abc import Iterator
from itertools import islice, permutations

import numpy as np
from numpy.typing import NDArray

from heuristics.successive import (
    HULL_BINS,
    HULL_GUARANTEE,
    CurvesOf,
    best_response,
    server_order,
)
from heuristics.swap_kernels import tabu_swaps
from instances.deadline import Deadline
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.curves import Curve
from instances.structure.joint import Combination, JointLayer, layer_options, stored_by
from instances.structure.tables import (
    LayerPart,
    exact_curves,
    hull_curves,
    layer_part,
    modular_curves,
    residual_of,
)

Stored = NDArray[np.bool_]

_TABLE_EXPERTS = 12
"""Wanted experts of a layer up to which the exact table is as fast as the hull sweep."""

_JOINT_EXPERTS = 10
"""Wanted experts of a layer up to which two servers are solved jointly: 2^20 placements."""

_PATIENCE = 30
"""Moves of a swap search without a new best value."""

_NOISE = 1e-12
"""Relative gain below which two placements count as equal: rounding of sums."""


def improve(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    orders: int = 6,
    rounds: int = 60,
) -> Placement:
    """F >= F(start), and the guarantees of successive-hull: it starts from such a placement too.

    Re-solves one server at a time, given the others, until none gains, and searches by swaps inside
    each of its layers; does so from several orders of the servers (and from what successive-modular
    stores) and goes on from the best; then re-solves pairs of servers, jointly where layers are
    small; then, again and again, clears one layer on all servers, two servers, or a random share of
    all copies, re-solves in a random order, and keeps what gained. Layers of up to 12 wanted
    experts are solved by exact tables, wider ones by the hull sweep.

    Time: that of one pass of the successive method for each server that is re-solved.

    Source: coordinate ascent on P3 (docs/theory.md); ruin and recreate: Schrimpf et al. 2000; tabu
    search: Glover 1989.

    Parameters
    ----------
    start
        A feasible placement to improve; by default the best of the orders alone.
    orders
        How many orders of the servers are tried, the default one first.
    rounds
        How many clearings in a row may fail before the search stops.
    """
    for name, count in (("orders", orders), ("rounds", rounds)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InputError(name, f"{count!r} is not a whole number >= 0")
    search = _Search(instance, Deadline.after(time_limit))
    best = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    if start is not None:
        start.check_shape(instance)
        if np.any(start.used_bytes(instance) > instance.capacity_bytes):
            raise InputError("start", "the placement stores more than a server's capacity")
        best = start.stored.copy()
    best = search.to_fixpoint(best)
    default = server_order(instance, search.clauses, None)
    for order in _some_orders(default, orders, rng):
        best = search.better(best, search.rebuilt(np.zeros_like(best), order))
    if orders:
        sorted_by_gain = search.rebuilt(np.zeros_like(best), default, modular_curves)
        best = search.better(best, sorted_by_gain)
    best = search.over_pairs(best)
    failures = 0
    while failures < rounds and not search.deadline.passed and instance.num_experts > 0:
        order = rng.permutation(instance.num_servers).tolist()
        ruined = _ruined(instance, best, order, rng)
        found = search.better(best, search.rebuilt(ruined, order))
        failures = failures + 1 if found is best else 0
        best = found
    return Placement(best)


def _tables_or_hull(part: LayerPart, capacity: int) -> list[Curve]:
    """Solve a layer exactly where that is as fast as the hull sweep."""
    curves_of = exact_curves if part.wanted.size <= _TABLE_EXPERTS else hull_curves
    return curves_of(part, capacity)


def _ruined(
    instance: Instance, stored: Stored, order: list[int], rng: np.random.Generator
) -> Stored:
    """Clear one layer on all servers, or the first two servers, or a random share of all copies."""
    stored = stored.copy()
    kind = int(rng.integers(3))
    if kind == 0 and instance.num_layers > 1:
        layer = int(rng.integers(instance.num_layers))
        stored[:, instance.layer_experts(layer)] = False
    elif kind == 1 and instance.num_servers > 2:
        stored[order[:2]] = False
    else:
        stored &= rng.random(stored.shape) >= rng.uniform(0.1, 0.6)
    return stored


class _Search:
    """Moves on one instance; every move returns a feasible placement, bool (N, X)."""

    def __init__(self, instance: Instance, deadline: Deadline) -> None:
        self.instance = instance
        self.deadline = deadline
        self.clauses: Clauses = build_clauses(instance)

    def saving(self, stored: Stored) -> float:
        return self.clauses.saving_ms(Placement(stored))

    def better(self, old: Stored, new: Stored) -> Stored:
        """Return the new placement when it saves more beyond rounding, otherwise the old one."""
        return new if self.saving(new) > self.saving(old) * (1 + _NOISE) else old

    def rebuilt(
        self, stored: Stored, order: list[int], curves_of: CurvesOf = _tables_or_hull
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
            proposal[server] = self.response(stored, server, _tables_or_hull)
            better = self.better(stored, proposal)
            better = self.better(better, self.swapped(better, server))
            unchanged = unchanged + 1 if better is stored else 1
            stored = better
            server = (server + 1) % self.instance.num_servers
        return stored

    def over_pairs(self, stored: Stored) -> Stored:
        """Re-solve two servers together until no pair gains.

        Jointly where their layers are small and of one size, otherwise in either order.
        """
        pairs = list(permutations(range(self.instance.num_servers), 2))
        tried = 0
        position = 0
        while tried < len(pairs) and not self.deadline.passed:
            pair = list(pairs[position])
            proposal = self.together(stored, *pair) if pair[0] < pair[1] else None
            if proposal is None:
                proposal = stored.copy()
                proposal[pair] = False
                proposal = self.rebuilt(proposal, pair)
            better = self.better(stored, proposal)
            tried = tried + 1 if better is stored else 1
            stored = better
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
        part = residual_of(self.clauses, stored, server)
        sizes = self.instance.expert_bytes
        stored = stored.copy()
        room = int(self.instance.capacity_bytes[server]) - int(sizes[stored[server]].sum())
        for number in range(self.instance.num_layers):
            layer = layer_part(part, number, sizes)
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
            self.instance,
            self.clauses,
            stored,
            server,
            curves_of,
            self.deadline,
            num_bins=HULL_BINS,
        )


def _some_orders(default: list[int], count: int, rng: np.random.Generator) -> Iterator[list[int]]:
    """Yield different orders of the servers: the default one, its reverse, then random ones."""
    if len(default) <= 4:
        yield from (list(order) for order in islice(permutations(default), count))
        return
    yield from islice((default, default[::-1]), count)
    for _ in range(count - 2):
        yield rng.permutation(default).tolist()


IMPROVE = Algorithm(
    name="improve",
    solve=improve,
    exact=False,
    summary="re-solve servers, pairs of servers and layers, given the rest, until nothing gains",
    source="coordinate ascent on P3; ruin and recreate: Schrimpf et al. 2000",
    complexity="one pass of successive-hull for each server that is re-solved",
    guarantee=HULL_GUARANTEE,
    randomised=True,
)
