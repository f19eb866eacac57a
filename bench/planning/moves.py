"""How to get from what is stored now to a better placement with few moves."""

from dataclasses import dataclass

import numpy as np

from bench.planning.search import bound_of
from heuristics.migration import Migration, Move
from instances.deadline import Deadline
from instances.moves import bound_within, with_price_of_moves
from instances.placement import Placement
from instances.problem import Instance

_POINTS = 9
"""Placements along the trade-off, about."""

_NEAR = 1e-9
"""Relative difference of savings that counts as none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Moves:
    """The trade-off between loaded bytes and saving, and what was chosen.

    Parameters
    ----------
    old_file
        File of the old placement.
    budget_bytes
        Most bytes that may be loaded; None for no budget.
    frontier
        Placements of which none is both cheaper and better, by loaded bytes; the first loads
        nothing.
    chosen
        Index of the one that the plan recommends.
    bound_ms
        No placement that loads as few bytes (or the budget) saves more, ms per token; infinite when
        unknown. Certified.
    """

    old_file: str
    budget_bytes: int | None
    frontier: tuple[Move, ...]
    chosen: int
    bound_ms: float

    @property
    def move(self) -> Move:
        """What the plan recommends."""
        return self.frontier[self.chosen]

    @property
    def old(self) -> Move:
        """What is stored now."""
        return self.frontier[0]


def find_moves(
    instance: Instance,
    *,
    old: Placement,
    old_file: str,
    new: Placement,
    budget_bytes: int | None,
    unrestricted_bound_ms: float,
    time_limit: float,
    memory_bytes: int | None,
    seed: int,
) -> Moves:
    """Look for placements between the old and the new one, and choose.

    Parameters
    ----------
    instance
        The instance.
    old, old_file, new
        What is stored now, its file, and the best placement without regard to moves.
    budget_bytes
        Most bytes to be loaded; None for no budget: then the trade-off decides.
    unrestricted_bound_ms
        Certified bound on the saving of any placement; infinite when unknown.
    time_limit
        Seconds; a third of them for the bound.
    memory_bytes
        Memory for the bound; None for no limit.
    seed
        For the search.
    """
    migration = Migration(
        instance,
        old=old,
        new=new,
        rng=np.random.default_rng(seed),
        deadline=Deadline.after(2.0 * time_limit / 3.0),
    )
    if budget_bytes is not None:
        migration.within(budget_bytes)
    frontier = tuple(migration.explore(_POINTS))
    if budget_bytes is None:
        chosen = knee(frontier)
        allowed = frontier[chosen].loaded_bytes
    else:
        chosen = max(i for i, m in enumerate(frontier) if m.loaded_bytes <= budget_bytes)
        allowed = budget_bytes
    return Moves(
        old_file=old_file,
        budget_bytes=budget_bytes,
        frontier=frontier,
        chosen=chosen,
        bound_ms=min(
            unrestricted_bound_ms,
            _bound(instance, old, frontier, chosen, allowed, time_limit / 3.0, memory_bytes),
        ),
    )


def knee(frontier: tuple[Move, ...]) -> int:
    """Return the point that lies furthest above the straight line between first and last.

    Up to there a byte brings more than it does on average, and beyond it less.
    """
    first, last = frontier[0], frontier[-1]
    gain = (last.saving_ms - first.saving_ms) or 1.0
    cost = (last.loaded_bytes - first.loaded_bytes) or 1
    heights = [
        (move.saving_ms - first.saving_ms) / gain - (move.loaded_bytes - first.loaded_bytes) / cost
        for move in frontier
    ]
    best = max(heights)
    if best <= _NEAR:  # a straight line: everything or nothing
        return len(frontier) - 1
    return heights.index(best)


def _bound(
    instance: Instance,
    old: Placement,
    frontier: tuple[Move, ...],
    chosen: int,
    budget_bytes: int,
    time_limit: float,
    memory_bytes: int | None,
) -> float:
    """Bound the saving within a budget by a price on loaded bytes: the slope at the choice."""
    low = frontier[max(0, chosen - 1)]
    high = frontier[min(len(frontier) - 1, chosen + 1)]
    loaded = high.loaded_bytes - low.loaded_bytes
    price = (high.saving_ms - low.saving_ms) / loaded if loaded else 0.0
    if price <= 0.0:
        return np.inf
    priced = with_price_of_moves(instance, old, price)
    outcome = bound_of(
        priced,
        start=frontier[chosen].placement,
        time_limit=time_limit,
        memory_bytes=memory_bytes,
    )
    if outcome is None:
        return np.inf
    return bound_within(
        instance,
        old,
        budget_bytes=budget_bytes,
        price_ms=price,
        priced_bound_ms=outcome.bound_saving_ms,
    )
