"""Few moves: placements between an old one and a better one, by the bytes that must be loaded."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from heuristics.ejection import EjectionSearch
from heuristics.ejection_kernels import settle
from heuristics.migration_kernels import give_back, load_more
from heuristics.search import Search, Stored, tables_or_hull
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.moves import moved_bytes, with_price_of_moves
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses

_CYCLES = 1
"""Cycles of ejection chains at each price."""

_PASSES = 2
"""Times that every server is re-solved at each price."""

_PRICES = 8
"""Most prices that are tried for one budget."""

_CHUNK = 256
"""Steps of a loop between two looks at the clock."""

_NOISE = 1e-9
"""Relative differences of savings that count as none."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Move:
    """A placement, and what it takes to get there.

    Parameters
    ----------
    placement
        The placement.
    loaded_bytes
        Bytes that servers must load, over all servers.
    saving_ms
        Its saving, ms per token.
    """

    placement: Placement
    loaded_bytes: int
    saving_ms: float


class Migration:
    """Placements between an old one and a better one; never over budget, never worse than the old.

    Guarantee: none beyond that, since an expert that is loaded may gain only with others (P4). How
    far a placement is from the best within its budget, ``bound_within`` in ``instances/moves.py``
    says for the instance at hand. On tiny instances it gains at least 0.72 of the best, 0.996 on
    average (99 cases with 14 places for experts, against all placements).

    A price on loaded bytes makes no new kind of problem (:func:`with_price_of_moves`), so at each
    price servers are re-solved one at a time and ejection chains follow, from the cheaper end of
    the part of the trade-off that is looked at; its slope is the price (dichotomic search). Between
    prices, loaded copies are given back, least loss per byte first, and old ones return to the room
    that becomes free; and copies are loaded, most gain per loaded byte first.

    Time: one pass of successive-hull and some ejection chains for each price.

    Source: dichotomic search for two objectives: Aneja and Nair 1979; docs/theory.md, section 13.

    Parameters
    ----------
    instance
        The instance.
    old, new
        What the servers store now, and a better placement to go towards; both feasible.
    rng
        For the ejection chains.
    deadline
        When to stop looking for better ones.

    Raises
    ------
    InputError
        When a placement is not feasible.
    """

    def __init__(
        self,
        instance: Instance,
        *,
        old: Placement,
        new: Placement,
        rng: np.random.Generator,
        deadline: Deadline,
    ) -> None:
        for placement in (old, new):
            placement.check_capacity(instance)
        self.instance = instance
        self.old = old
        self.deadline = deadline
        self._rng = rng
        self._clauses = build_clauses(instance)
        self._chains = EjectionSearch(instance, self._clauses, deadline)
        self._layer_of = np.repeat(
            np.arange(instance.num_layers), np.diff(instance.layer_expert_offset)
        )
        self._chains.state.stored[:] = old.stored
        settle(self._chains.rows, self._chains.state)
        self._worth = self._chains.state.loss.copy()
        self._known = [self._move(old.stored)]
        self._keep(new.stored)

    @property
    def frontier(self) -> list[Move]:
        """Placements found so far of which none is both cheaper and better, by loaded bytes."""
        kept: list[Move] = []
        for move in sorted(self._known, key=lambda m: (m.loaded_bytes, -m.saving_ms)):
            if not kept or move.saving_ms > kept[-1].saving_ms + _NOISE * abs(kept[-1].saving_ms):
                kept.append(move)
        return kept

    def explore(self, count: int) -> list[Move]:
        """Look for about so many placements along the trade-off; returns the frontier."""
        closed: set[tuple[int, int]] = set()
        while len(self.frontier) < count and not self.deadline.passed:
            parts = [part for part in _parts(self.frontier) if _ends(part) not in closed]
            if not parts:
                break
            part = max(parts, key=_area)
            closed.add(_ends(part))
            self._search_between(*part)
        top = self.frontier[-1]
        for k in range(1, count):  # where slopes find nothing, the curve bends inwards
            if self.deadline.passed:
                break
            self._towards(top, top.loaded_bytes * k // count)
        return self.frontier

    def within(self, budget_bytes: int) -> Move:
        """Return the best placement found that loads at most so many bytes.

        Raises
        ------
        InputError
            When the budget is negative.
        """
        if budget_bytes < 0:
            raise InputError("move budget", f"{budget_bytes} is negative")
        for _ in range(_PRICES):
            below, above = self._around(budget_bytes)
            if above is None or self.deadline.passed:
                break
            self._search_between(below, above)
            if self._around(budget_bytes) == (below, above):
                break
        below, above = self._around(budget_bytes)
        if above is not None:
            self._towards(above, budget_bytes)
            self._keep(self._filled_up(below.placement.stored, budget_bytes))
        return self._around(budget_bytes)[0]

    def _around(self, budget: int) -> tuple[Move, Move | None]:
        """Return the last of the frontier within the budget, and the first beyond it."""
        frontier = self.frontier
        inside = [move for move in frontier if move.loaded_bytes <= budget]
        return inside[-1], frontier[len(inside)] if len(inside) < len(frontier) else None

    def _search_between(self, low: Move, high: Move) -> None:
        """Search at the price at which both ends are worth the same."""
        price = (high.saving_ms - low.saving_ms) / (high.loaded_bytes - low.loaded_bytes)
        if not 0.0 < price < math.inf:
            return
        priced = with_price_of_moves(self.instance, self.old, price)
        search = Search(priced, build_clauses(priced), self.deadline)
        chains = EjectionSearch(priced, search.clauses, self.deadline)
        stored = low.placement.stored.copy()  # the other end is far from what few moves reach
        for _ in range(_PASSES):
            before = stored
            for server in range(self.instance.num_servers):
                if self.deadline.passed:
                    break
                proposal = stored.copy()
                proposal[server] = search.response(stored, server, tables_or_hull)
                stored = search.better(stored, proposal)
            if stored is before:
                break
        self._keep(chains.searched(stored, self._rng, _CYCLES))

    def _towards(self, move: Move, budget: int) -> None:
        """Give back what was loaded until the budget is kept, then fill it up."""
        chains = self._chains
        chains.state.stored[:] = move.placement.stored
        settle(chains.rows, chains.state)
        loaded = move.loaded_bytes
        while loaded > budget:
            if self.deadline.passed:
                return
            loaded = give_back(
                chains.rows,
                chains.state,
                self.old.stored,
                self._worth,
                self.instance.layer_expert_offset,
                self._layer_of,
                loaded,
                budget,
                _CHUNK,
            )
        self._keep(self._filled_up(chains.state.stored.copy(), budget))

    def _filled_up(self, stored: Stored, budget: int) -> Stored:
        """Use what is left of a budget for copies that gain."""
        chains = self._chains
        chains.state.stored[:] = stored
        settle(chains.rows, chains.state)
        loaded = self._move(stored).loaded_bytes
        load_more(chains.rows, chains.state, self.old.stored, loaded, budget, _CHUNK)
        return chains.state.stored.copy()

    def _keep(self, stored: Stored) -> None:
        move = self._move(stored)
        if move.saving_ms >= self._known[0].saving_ms:  # the old placement: nothing worse is kept
            self._known.append(move)

    def _move(self, stored: Stored) -> Move:
        placement = Placement(stored)
        return Move(
            placement=placement,
            loaded_bytes=sum(moved_bytes(self.instance, self.old, placement).tolist()),
            saving_ms=evaluate(self.instance, placement).saving_ms,
        )


def _parts(frontier: list[Move]) -> list[tuple[Move, Move]]:
    return list(itertools.pairwise(frontier))


def _ends(part: tuple[Move, Move]) -> tuple[int, int]:
    return part[0].loaded_bytes, part[1].loaded_bytes


def _area(part: tuple[Move, Move]) -> float:
    low, high = part
    return (high.saving_ms - low.saving_ms) * (high.loaded_bytes - low.loaded_bytes)
