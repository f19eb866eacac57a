"""One part of an instance, solved exactly: prices, options near the best, combination."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from formulations.enumeration.combination import Combination, OutOfMemory
from formulations.enumeration.prices import best_prices, merged
from instances.deadline import Deadline
from instances.structure.labelling import MAX_WEIGHT, Labelling, Options

_PRICE_ROUNDS = 100
"""Most rounds of the search for prices; some ten to thirty are usual."""

_CLOSE = 1e-7
"""Share of the bound up to which known options count as all that matter to the prices."""

_BEAM = 300
"""States kept for each layer when an incumbent is looked for."""

_FIRST_WINDOW = 13
"""The first window is the bound divided by 2 to this power."""

_MANY_STATES = 300_000
"""States of a combination from which on windows grow by a fifth only, and before by a half: the
number of states grows with a high power of the window, and what is too much is lost."""

Chosen = list[list[NDArray[np.int64]]]
"""Flat experts on each server of a part, layer by layer."""


class PartSolver:
    """Solve one part; the best solution and bound so far are there at any time.

    Parameters
    ----------
    layers
        The layers of the part.
    room
        Storage of each server, in units; int64 (N,).
    known
        Value of a solution that is known, in units of weight; 0 when there is none.
    tell
        Called when the solution or the bound has become better.

    Attributes
    ----------
    bound
        No solution is worth more, in units of weight.
    value
        What the best known solution is worth.
    chosen
        That solution; None while it is the one that was known before.
    """

    def __init__(
        self,
        layers: list[Labelling],
        room: NDArray[np.int64],
        known: int,
        tell: Callable[[], None],
    ) -> None:
        self.layers, self.room = layers, room
        self._tell = tell
        self._total = sum(layer.total for layer in layers)
        self.bound = self._total
        self.value = known
        self.chosen: Chosen | None = None
        self._prices = np.minimum(self._total // 2 // room.size, MAX_WEIGHT) // room
        self._pool = [layer.nothing() for layer in layers]
        self._best: list[int] = []
        self._lagrangian = 0

    def approach(self, deadline: Deadline) -> bool:
        """Find a bound and a solution not far from it; False when time was up first."""
        if not self._price(deadline):
            return False
        self._beam(deadline)
        return True

    def close(self, deadline: Deadline) -> bool:
        """Close the gap; False when time was up first.

        Raises
        ------
        OutOfMemory
            When the combination of layers needs too many states.
        """
        window = max(1, self._lagrangian >> _FIRST_WINDOW)
        while self.bound > self.value:
            options = self._near_best(min(window, self._lagrangian - self.value), deadline)
            if options is None:
                return False
            self._pool = list(map(merged, self._pool, options))
            self._beam(deadline)
            window = min(window, self._lagrangian - self.value)
            combination = Combination(options, self._best, self.room, self._prices)
            solution = combination.solve(window, deadline)
            if solution is not None:
                self._keep(options, solution.chosen, self._lagrangian - solution.slack)
                self.bound = self.value
            elif deadline.passed:
                return False
            else:  # no solution stays within the window: all of them are below it
                self.bound = max(self.value, self._lagrangian - window - 1)
                window += window // (2 if combination.num_states < _MANY_STATES else 5) + 1
            self._tell()
        return True

    def _price(self, deadline: Deadline) -> bool:
        """Find prices of a small Lagrangian bound, and options; False when time is up."""
        pool = self._pool
        prices = self._prices
        for _ in range(_PRICE_ROUNDS):
            bound = known = int(prices @ self.room)
            best = []
            for index, layer in enumerate(self.layers):
                at_least = int(pool[index].reduced(prices).max())
                found = layer.search(prices, at_least=at_least, window=0, deadline=deadline)
                if found is None:
                    return False
                pool[index] = merged(pool[index], found)
                best.append(int(pool[index].reduced(prices).max()))
                known += at_least
            bound += sum(best)
            if not self._best or bound < self._lagrangian:
                self._prices, self._best, self._lagrangian = prices, best, bound
                self.bound = min(bound, self.bound)
                self._tell()
            if bound - known <= bound * _CLOSE:
                break
            prices = best_prices(pool, self.room, self._total, prices)
        return True

    def _beam(self, deadline: Deadline) -> None:
        """Look for a solution among the options seen, keeping a few states for each layer."""
        combination = Combination(self._pool, self._best, self.room, self._prices)
        solution = combination.solve(2 * MAX_WEIGHT, deadline, width=_BEAM)
        if solution is not None:
            value = self._lagrangian - solution.slack
            if value > self.value:
                self._keep(self._pool, solution.chosen, value)
                self._tell()

    def _near_best(self, window: int, deadline: Deadline) -> list[Options] | None:
        """List the options within the window below the best of each layer; None if time is up."""
        near = []
        for layer, best in zip(self.layers, self._best, strict=True):
            found = layer.search(
                self._prices, at_least=best - window, window=window, deadline=deadline
            )
            if found is None:
                return None
            near.append(found.undominated())
        return near

    def _keep(self, options: list[Options], chosen: list[int], value: int) -> None:
        self.value = value
        self.chosen = [
            layer.experts_of(those.labels[index])
            for layer, those, index in zip(self.layers, options, chosen, strict=True)
        ]


__all__ = ["OutOfMemory", "PartSolver"]
