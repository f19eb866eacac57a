"""The best bound and placement that a bound method has found so far, and when it may stop."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.responses import respond_in_turn
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.result import relative_gap
from instances.rounding_up import sum_up
from instances.structure.server_problem import LayerRows


class Search:
    """The best bound and placement so far, and when to stop.

    Parameters
    ----------
    instance, credits
        The instance, and its clauses by expert and server set.
    unit_ms, vanished_ms
        The unit of their weights, and what these leave out; of
        :class:`~instances.structure.upper_weights.UpperWeights`.
    start
        A feasible placement, or None.
    tell
        Called with the search when the bound or the placement has become better.
    deadline, gap
        When to stop: by time, or at this (bound - saving) / bound.
    threads
        Threads that work on layers side by side.

    Attributes
    ----------
    placement, saving_ms, bound_ms
        The best so far, and the saving of the placement.
    credit, price
        Credits, units, and prices of storage, units a byte, that the bound was found at; float64
        (X, S), (M,). None and 0 while it is the weight of all clauses.
    was_hurried
        Time has been up, or short enough to change what is done.
    """

    def __init__(
        self,
        instance: Instance,
        credits: Credits,
        start: Placement | None,
        tell: Callable[["Search"], None],
        *,
        unit_ms: float,
        vanished_ms: float = 0.0,
        deadline: Deadline,
        gap: float = 0.0,
        threads: int = 1,
    ) -> None:
        self.instance = instance
        self.deadline = deadline
        self.threads = threads
        self._unit_ms, self._vanished_ms = unit_ms, vanished_ms
        self._rows: LayerRows | None = None
        self._credits = credits
        self._tell = tell
        self._gap = gap
        self.was_hurried = False
        self.placement = start if start is not None else Placement.empty(instance)
        self.saving_ms = evaluate(instance, self.placement).saving_ms
        self.bound_ms = self.bound_of(credits.total)
        self.credit: NDArray[np.float64] | None = None
        self.price = np.zeros(credits.groups.capacity_bytes.size)

    @property
    def target(self) -> float:
        """Saving of the best placement, units."""
        return self.saving_ms / self._unit_ms

    def must_stop(self) -> bool:
        """Tell whether the gap is closed or time is up, and remember the latter."""
        if self.is_closed:
            return True
        if self.deadline.passed:
            self.was_hurried = True
            return True
        return False

    @property
    def is_closed(self) -> bool:
        """Whether the gap is as small as is wanted."""
        return relative_gap(self.saving_ms, self.bound_ms) <= self._gap

    def bound_of(self, total: float) -> float:
        """Turn a bound in whole units into one on the saving, ms per token."""
        return sum_up([total * self._unit_ms, self._vanished_ms])

    def lower(self, total: float, credit: NDArray[np.float64], price: NDArray[np.float64]) -> bool:
        """Take a bound, units, if it is better; whole, and exact where it is below 2^52.

        ``credit`` (X, S) and ``price`` (M,) are what it was found at.
        """
        if not total < min(self._credits.total + 1.0, 2.0**52):
            return False
        bound = self.bound_of(total)
        if bound >= self.bound_ms:
            return False
        self.bound_ms, self.credit, self.price = bound, credit, price
        self._tell(self)
        return True

    def round(self, on: NDArray[np.float64]) -> None:
        """Fill servers by falling probability, (X, M), and keep the placement if it is better."""
        self._keep(self._filled(on))

    def respond(self, on: NDArray[np.float64] | None = None) -> None:
        """Let servers respond to one placement in turn; keep the result if it is better.

        ``on`` is as for :meth:`round`, or None for the placement that stores nothing.
        """
        stored = np.zeros_like(self.placement.stored) if on is None else self._filled(on)
        if not self.must_stop():
            self._rows = self._rows or LayerRows.of(self.instance)
            self._keep(respond_in_turn(self._rows, stored, self.deadline, self.threads))

    def _filled(self, on: NDArray[np.float64]) -> NDArray[np.bool_]:
        credits, instance = self._credits, self.instance
        stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
        for group, share in zip(credits.groups.members, on.T, strict=True):
            order = np.argsort(-share, kind="stable")
            order = order[share[order] > 0.0]
            for server in group:  # what does not fit goes to the next member
                sizes = credits.sizes[order]
                taken = _fill(sizes, int(instance.capacity_bytes[server]))
                stored[server, credits.experts[order[taken]]] = True
                order = order[~taken]
        return stored

    def _keep(self, stored: NDArray[np.bool_]) -> None:
        placement = Placement(stored)
        saving = evaluate(self.instance, placement).saving_ms
        if saving > self.saving_ms:
            self.placement, self.saving_ms = placement, saving
            self._tell(self)


def _fill(sizes: NDArray[np.int64], capacity: int) -> NDArray[np.bool_]:
    """Take items in their order while they fit; smaller ones may still fit after larger ones."""
    taken = np.zeros(sizes.size, dtype=np.bool_)
    free = capacity
    for item, size in enumerate(sizes.tolist()):
        if size <= free:
            taken[item] = True
            free -= size
    return taken
