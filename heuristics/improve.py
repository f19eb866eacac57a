"""Improvement: re-solve parts of a placement, given the rest, until nothing gains."""

from collections.abc import Iterator
from itertools import islice, permutations

import numpy as np

from heuristics.ejection import EjectionSearch
from heuristics.packing import Effort, PackingSearch
from heuristics.row_search import improved_on_rows, is_large
from heuristics.search import Search, Stored
from heuristics.successive import HULL_GUARANTEE, server_order
from instances.deadline import Deadline
from instances.errors import InputError
from instances.parallel import require_threads
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.structure.clauses import build_clauses
from instances.structure.tables import modular_curves

_CYCLES = 4
"""Cycles of ejection chains after each clearing."""

_FIRST_PACKING, _PACKING = Effort(600_000_000, 20_000), Effort(60_000_000, 2_000)
"""The search over whole clauses, at first and after each clearing."""


def improve(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    orders: int = 6,
    rounds: int = 60,
    threads: int = 1,
) -> Placement:
    """F >= F(start), and the guarantees of successive-hull: it starts from such a placement too.

    Re-solves one server at a time, given the others, until none gains, and searches by swaps inside
    each of its layers; does so from several orders of the servers (and from what successive-modular
    stores) and goes on from the best; then re-solves pairs of servers, jointly where layers are
    small; then, again and again, clears one layer on all servers, two servers, or a random share of
    all copies, re-solves in a random order (one server alone: goes on by swaps), searches by
    ejection chains over all servers at once, where clauses are long and few by exchanging whole
    clauses, and keeps what gained. Layers of up to 12 wanted experts are solved by exact tables,
    wider ones by the hull sweep.

    Where so many clauses (millions) would have to be listed, everything is worked out from the rows
    and most of it on a sample of them: orders of the servers, pairs of servers that are cleared and
    re-solved, then all servers on all rows, until none gains (:mod:`heuristics.row_search`).

    Time: that of one pass of the successive method for each server that is re-solved.

    Source: coordinate ascent on P3 (docs/theory.md); ruin and recreate: Schrimpf et al. 2000; tabu
    search: Glover 1989; ejection chains: Glover 1996; exchange of clauses: Wei and Hao 2019.

    Parameters
    ----------
    start
        A feasible placement to improve; by default the best of the orders alone.
    orders
        How many orders of the servers are tried, the default one first.
    rounds
        How many clearings in a row may fail before the search stops.
    threads
        Threads that work on layers side by side where instances are large; the answer is the same
        for any number of them, as long as time does not run out.

    Raises
    ------
    InputError
        When a number is none, or ``start`` stores more than a server's capacity.
    """
    deadline = Deadline.after(time_limit)
    require_threads(threads)
    for name, count in (("orders", orders), ("rounds", rounds)):
        if isinstance(count, bool) or not isinstance(count, int) or count < 0:
            raise InputError(name, f"{count!r} is not a whole number >= 0")
    best = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    if start is not None:
        start.check_shape(instance)
        if np.any(start.used_bytes(instance) > instance.capacity_bytes):
            raise InputError("start", "the placement stores more than a server's capacity")
        best = start.stored.copy()
    if is_large(instance):
        return Placement(
            improved_on_rows(
                instance, best, rng, deadline, orders=orders, rounds=rounds, threads=threads
            )
        )
    search = Search(instance, build_clauses(instance), deadline)
    return Placement(improved(search, best, rng, orders=orders, rounds=rounds))


def improved(
    search: Search, stored: Stored, rng: np.random.Generator, *, orders: int, rounds: int
) -> Stored:
    """Improve a placement as :func:`improve` does; never worse."""
    instance = search.instance
    best = search.to_fixpoint(stored)
    default = server_order(instance, None)
    for order in _some_orders(default, orders, rng):
        best = search.better(best, search.rebuilt(np.zeros_like(best), order))
    if orders:
        sorted_by_gain = search.rebuilt(np.zeros_like(best), default, modular_curves)
        best = search.better(best, sorted_by_gain)
    best = search.over_pairs(best)
    ejection = EjectionSearch(instance, search.clauses, search.deadline)
    packing = PackingSearch(instance, search.clauses, search.deadline)
    best = search.better(best, packing.searched(best, rng, _FIRST_PACKING))
    failures = 0
    while failures < rounds and not search.deadline.passed:
        order = rng.permutation(instance.num_servers).tolist()
        ruined = _ruined(instance, best, order, rng)
        if len(order) == 1:  # re-solved, the server would always hold the same
            found = search.better(best, search.swapped(ruined, 0))
        else:
            found = search.better(best, search.rebuilt(ruined, order))
        ejected = search.better(found, ejection.searched(found, rng, _CYCLES))
        ejected = search.better(ejected, packing.searched(ejected, rng, _PACKING))
        if ejected is not found:
            found = search.to_fixpoint(ejected)
        failures = failures + 1 if found is best else 0
        best = found
    return best


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
