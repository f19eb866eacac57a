"""What a solver has so far, told while it runs: a killed solve keeps it.

Solvers print their bound, rounded to some digits; :func:`printed_bound` rounds it up again.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from formulations.program import Program
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.result import OnProgress, Outcome, StopReason

SMALLEST_STEP = 1e-6
"""Bounds are told when they are better by this share; solvers print some many times a second."""


@dataclass(slots=True, eq=False)
class Progress:
    """The best placement and the best bound so far of one solve.

    Parameters
    ----------
    instance
        The instance.
    on_progress
        Whom to tell.
    placement
        The start, if there is one.
    """

    instance: Instance
    on_progress: OnProgress
    placement: Placement | None = None
    saving_ms: float = field(init=False, default=-1.0)
    bound_ms: float = field(init=False, default=math.inf)

    def __post_init__(self) -> None:
        if self.placement is not None:
            self.saving_ms = evaluate(self.instance, self.placement).saving_ms

    def tell(
        self,
        program: Program,
        *,
        values: NDArray[np.float64] | None = None,
        bound: float = math.inf,
    ) -> None:
        """Take what a solver has in units of its program; tell it on if it is better."""
        placement = None
        if values is not None:
            chosen = values[: program.columns.num_choices] > 0.5
            placement = program.columns.placement(chosen)
        self.note(placement, bound * program.unit_ms)

    def note(self, placement: Placement | None, bound_ms: float) -> None:
        """Take a placement, if there is one, and a bound; tell it on if it is better."""
        better = placement is not None and self._take(placement)
        # A bound that is not a number compares as False.
        if bound_ms < self.bound_ms - SMALLEST_STEP * abs(bound_ms):
            self.bound_ms = bound_ms
            better = True
        if better:
            self.on_progress(
                Outcome(
                    stop_reason=StopReason.TIME_LIMIT,
                    placement=self.placement,
                    proven_optimal=False,
                    bound_saving_ms=self.bound_ms,
                )
            )

    def _take(self, placement: Placement) -> bool:
        if np.any(placement.used_bytes(self.instance) > self.instance.capacity_bytes):
            return False  # feasible within the solver's tolerances only
        saving_ms = evaluate(self.instance, placement).saving_ms
        if saving_ms <= self.saving_ms:
            return False
        self.placement, self.saving_ms = placement, saving_ms
        return True


def printed_bound(text: str, digits: int) -> float:
    """Read an upper bound that was printed with so many significant digits, and round it up.

    Infinite when the text is not a number.

    >>> printed_bound("100", 3), printed_bound("-100", 3), printed_bound("nothing", 3)
    (101.0, -99.0, inf)
    """
    try:
        value = float(text)
    except ValueError:
        return math.inf
    if not math.isfinite(value):
        return math.inf
    return value + abs(value) * 10.0 ** (1 - digits)
