"""Improvement: re-solve parts of a placement, given the rest, until nothing gains."""

from collections.abc import Iterator
from itertools import islice, permutations

import numpy as np
from numpy.typing import NDArray

from heuristics.successive import HULL_BINS, HULL_GUARANTEE, best_response, server_order
from instances.deadline import Deadline
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.curves import Curve
from instances.structure.tables import LayerPart, exact_curves, hull_curves

Stored = NDArray[np.bool_]

_TABLE_EXPERTS = 12
"""Wanted experts of a layer up to which the exact table is as fast as the hull sweep."""

_NOISE = 1e-12
"""Relative gain below which two placements count as equal: rounding of sums."""


def improve(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    orders: int = 6,
    rounds: int = 30,
) -> Placement:
    """F >= F(start), and the guarantees of successive-hull: it starts from such a placement too.

    Re-solves one server at a time, given the others, until none gains; does so from several orders
    of the servers and goes on from the best; then re-solves two servers together in either order;
    then, again and again, clears one layer on all servers or two servers, re-solves in a random
    order, and keeps what gained. Layers of up to 12 wanted experts are solved by exact tables,
    wider ones by the hull sweep.

    Time: that of one pass of the successive method for each server that is re-solved.

    Source: coordinate ascent on P3 (docs/theory.md); ruin and recreate: Schrimpf et al. 2000.

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
    best = search.over_pairs(best)
    failures = 0
    while failures < rounds and not search.deadline.passed and instance.num_experts > 0:
        order = rng.permutation(instance.num_servers).tolist()
        ruined = best.copy()
        if instance.num_layers > 1 and rng.random() < 0.5:
            layer = int(rng.integers(instance.num_layers))
            ruined[:, instance.layer_experts(layer)] = False
        else:
            ruined[order[:2]] = False
        found = search.better(best, search.rebuilt(ruined, order))
        failures = failures + 1 if found is best else 0
        best = found
    return Placement(best)


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

    def rebuilt(self, stored: Stored, order: list[int]) -> Stored:
        """Re-solve every server once in the given order, then go on to the fixpoint."""
        stored = stored.copy()
        for server in order:
            if self.deadline.passed:
                return stored
            stored[server] = self.response(stored, server)
        return self.to_fixpoint(stored)

    def to_fixpoint(self, stored: Stored) -> Stored:
        """Re-solve one server at a time until none gains."""
        unchanged = 0
        server = 0
        while unchanged < self.instance.num_servers and not self.deadline.passed:
            proposal = stored.copy()
            proposal[server] = self.response(stored, server)
            better = self.better(stored, proposal)
            unchanged = unchanged + 1 if better is stored else 1
            stored = better
            server = (server + 1) % self.instance.num_servers
        return stored

    def over_pairs(self, stored: Stored) -> Stored:
        """Clear two servers and re-solve them in either order, until no pair gains."""
        pairs = list(permutations(range(self.instance.num_servers), 2))
        tried = 0
        position = 0
        while tried < len(pairs) and not self.deadline.passed:
            proposal = stored.copy()
            proposal[list(pairs[position])] = False
            better = self.better(stored, self.rebuilt(proposal, list(pairs[position])))
            tried = tried + 1 if better is stored else 1
            stored = better
            position = (position + 1) % len(pairs)
        return stored

    def response(self, stored: Stored, server: int) -> NDArray[np.bool_]:
        """Re-solve one server given the others."""
        return best_response(
            self.instance,
            self.clauses,
            stored,
            server,
            _tables_or_hull,
            self.deadline,
            num_bins=HULL_BINS,
        )


def _tables_or_hull(part: LayerPart, capacity: int) -> list[Curve]:
    """Solve a layer exactly where that is as fast as the hull sweep."""
    curves_of = exact_curves if part.wanted.size <= _TABLE_EXPERTS else hull_curves
    return curves_of(part, capacity)


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
