"""Pricing: the best placement of one layer when storage has a price."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.structure.curves import add_all
from instances.structure.kernels import residual
from instances.structure.label_pricing import MAX_LABEL_SERVERS, TOLERANCE, LabelPricer, Priced
from instances.structure.layer_problem import LayerProblem
from instances.structure.tables import Residual, hull_curves, layer_part

_STARTS = 4
"""Orders of the servers from which best responses start, beside the last placement."""


class Pricer(Protocol):
    """Prices one layer again and again; remembers what helps the next time."""

    def price(self, price: NDArray[np.float64], deadline: Deadline) -> Priced:
        """Look for the placement with the largest value less price; prices per byte, (M,)."""


def pricer_for(problem: LayerProblem) -> Pricer:
    """Return the pricer that suits the number of servers."""
    if problem.servers.size <= MAX_LABEL_SERVERS:
        return LabelPricer(problem)
    return ServerPricer(problem)


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
        clause, weight, offsets, experts = residual(
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
            weight=weight,
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
