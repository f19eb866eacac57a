"""Pricing: the best placement of one layer when storage has a price."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from heuristics.generation.branch_kernels import branch
from heuristics.generation.label_kernels import ascend, improve_split, label_costs
from heuristics.generation.layers import LayerProblem
from instances.deadline import Deadline
from instances.structure.closure_kernels import entries_of_experts
from instances.structure.curves import add_all
from instances.structure.kernels import residual
from instances.structure.tables import Residual, hull_curves, layer_part

MAX_LABEL_SERVERS = 10
"""Most servers of one layer for which every subset of them is a label of an expert."""

TOLERANCE = 1e-10
"""Share of the layer's worth below which two placements count as equally good."""

_FIRST_ITERATIONS = 300
"""Subgradient steps on a layer that has not been priced before."""

_ITERATIONS = 150
"""Subgradient steps from the split of the last prices."""

_BRANCH_STEPS = 5e7
"""Elementary steps of one search over labels, about 0.1 s."""

_STARTS = 4
"""Orders of the servers from which best responses start, beside the last placement."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Priced:
    """A placement of one layer at given prices.

    Parameters
    ----------
    stored
        Bool (M, E).
    bound_ms
        No placement is worth more at these prices, rounding included; infinite when unknown.
    is_exact
        No placement is worth more than this one, up to ``TOLERANCE``.
    """

    stored: NDArray[np.bool_]
    bound_ms: float
    is_exact: bool


class Pricer(Protocol):
    """Prices one layer again and again; remembers what helps the next time."""

    def price(self, price: NDArray[np.float64], deadline: Deadline) -> Priced:
        """Look for the placement with the largest value less price; prices per byte, (M,)."""


def pricer_for(problem: LayerProblem) -> Pricer:
    """Return the pricer that suits the number of servers."""
    if problem.servers.size <= MAX_LABEL_SERVERS:
        return LabelPricer(problem)
    return ServerPricer(problem)


class LabelPricer:
    """Exact: every expert gets a label, the set of servers that store it.

    An upper bound that separates the experts is lowered by a subgradient method; mostly it meets
    the best labels found. What is left is searched, expert by expert. A search that grows too large
    is given up: the bound still holds then, but nothing says that the placement is best.
    """

    def __init__(self, problem: LayerProblem) -> None:
        self._problem = problem
        self._sets = problem.members @ (1 << np.arange(problem.servers.size, dtype=np.int64))
        self._incidence = entries_of_experts(problem.offsets, problem.bits, problem.experts.size)
        lengths = np.diff(problem.offsets)
        self._split = np.repeat(problem.weight / lengths, lengths)
        self._rent = np.zeros(problem.servers.size)
        self._iterations = _FIRST_ITERATIONS
        self._tolerance = TOLERANCE * problem.worth_ms
        steps = problem.experts.size * problem.servers.size << problem.servers.size
        self._max_nodes = max(2 * problem.experts.size, int(_BRANCH_STEPS / steps))

    def price(self, price: NDArray[np.float64], deadline: Deadline) -> Priced:
        """Look for the labels with the largest value less price."""
        problem = self._problem
        sizes, capacity = problem.sizes, problem.capacity_bytes
        clauses = (problem.weight, self._sets, problem.offsets, problem.bits)
        ascent = (
            *clauses,
            *self._incidence,
            sizes,
            capacity,
            label_costs(price, np.zeros_like(price), sizes, capacity),
        )
        label = np.zeros(problem.experts.size, dtype=np.int64)
        value = ascend(*ascent, label, 0.0, self._tolerance)
        bound, value = improve_split(
            *clauses,
            sizes,
            capacity,
            price,
            self._split,
            self._rent,
            label,
            value,
            self._tolerance,
            self._iterations,
        )
        self._iterations = _ITERATIONS
        is_exact = bound <= value + self._tolerance
        if not is_exact:
            value = ascend(*ascent, label, value, self._tolerance)
            value, is_exact = branch(
                *clauses[1:],
                *self._incidence,
                sizes,
                capacity,
                price,
                self._split,
                self._rent,
                label,
                value,
                self._tolerance,
                self._max_nodes,
            )
        if is_exact:
            bound = value + self._tolerance
        return Priced(
            stored=(label >> np.arange(problem.servers.size)[:, None]) & 1 > 0,
            bound_ms=bound,
            is_exact=bool(is_exact),
        )


class ServerPricer:
    """Best responses of one server at a time, from several starts; proves nothing.

    For a fixed rest the gain of a server is supermodular (P3), and its best response at a price is
    a breakpoint of the concave hull of gain against bytes.
    """

    def __init__(self, problem: LayerProblem) -> None:
        self._problem = problem
        self._sets, index = np.unique(problem.members, axis=0, return_inverse=True)
        self._set_of = index.reshape(-1).astype(np.int64)
        self._last = np.zeros((problem.servers.size, problem.experts.size), dtype=np.bool_)
        worth = np.bincount(self._set_of, weights=problem.weight) @ self._sets
        self._order = np.argsort(-worth, kind="stable")

    def price(self, price: NDArray[np.float64], deadline: Deadline) -> Priced:
        """Look for a placement that no server can better alone."""
        best, highest = np.zeros_like(self._last), 0.0
        for start in range(_STARTS + 1):
            stored = self._last.copy() if start == 0 else np.zeros_like(self._last)
            first = max(0, start - 1) * self._order.size // _STARTS
            reduced = self._respond(stored, np.roll(self._order, -first), price, deadline)
            if reduced > highest:
                best, highest = stored, reduced
            if deadline.passed:
                break
        self._last = best
        return Priced(stored=best, bound_ms=np.inf, is_exact=False)

    def _respond(
        self,
        stored: NDArray[np.bool_],
        order: NDArray[np.int64],
        price: NDArray[np.float64],
        deadline: Deadline,
    ) -> float:
        """Let servers respond in turn until none gains; changes ``stored``, returns its worth."""
        problem = self._problem
        tolerance = TOLERANCE * problem.worth_ms
        reduced = problem.value_ms(stored) - float(price @ problem.used_bytes(stored))
        unchanged = position = 0
        while unchanged < order.size and not deadline.passed:
            server = order[position]
            before = stored[server].copy()
            stored[server] = self._response(stored, int(server), float(price[server]))
            now = problem.value_ms(stored) - float(price @ problem.used_bytes(stored))
            if now > reduced + tolerance:
                reduced, unchanged = now, 1
            else:
                stored[server] = before
                unchanged += 1
            position = (position + 1) % order.size
        return reduced

    def _response(self, stored: NDArray[np.bool_], server: int, price: float) -> NDArray[np.bool_]:
        problem = self._problem
        clause, offsets, experts = residual(
            np.arange(stored.shape[0]) == server,
            problem.weight,
            self._set_of,
            np.arange(problem.weight.size),
            self._sets,
            problem.offsets,
            problem.bits,
            stored,
        )
        part = Residual(
            clause=clause,
            weight=problem.weight[clause],
            offsets=offsets,
            experts=experts,
            layer_offset=np.array([0, clause.size]),
        )
        capacity = int(problem.capacity_bytes[server])
        curves = hull_curves(layer_part(part, 0, problem.sizes), capacity)
        curve = add_all(curves, capacity, Deadline.after(None))
        chosen = np.zeros(problem.experts.size, dtype=np.bool_)
        for picked in curve.choices(int(np.argmax(curve.value - price * curve.bytes))):
            chosen[picked] = True
        return chosen
