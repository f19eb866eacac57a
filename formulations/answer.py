"""What a solver answers about a program, before it is translated back into a placement."""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from formulations.program import Program
from instances.deadline import Deadline
from instances.result import StopReason


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """Why a solver stopped, what it found, what it proved: three things apart.

    Parameters
    ----------
    stop_reason
        Why it stopped.
    proven_optimal
        The solver claims that no better values exist.
    values
        The best values of the columns, if it found any; float64 (columns,).
    objective
        The solver's objective for them, in units of the program; NaN without values.
    bound
        Proven upper bound on the objective, in units of the program; infinite when unknown.
    reason
        A sentence for people; empty when there is nothing to say.
    nodes
        Nodes of the search tree, if the solver tells.

    Raises
    ------
    ValueError
        When the fields contradict each other.
    """

    stop_reason: StopReason
    proven_optimal: bool
    values: NDArray[np.float64] | None
    objective: float
    bound: float
    reason: str
    nodes: int | None = None

    def __post_init__(self) -> None:
        if self.proven_optimal and (self.values is None or not math.isfinite(self.bound)):
            raise ValueError("an optimum without values or without a bound")
        if self.proven_optimal and self.stop_reason is not StopReason.COMPLETED:
            raise ValueError(f"an optimum, but stopped because of {self.stop_reason}")
        if (self.values is None) != math.isnan(self.objective):
            raise ValueError(f"objective {self.objective} and values {self.values}")

    @classmethod
    def nothing(
        cls,
        stop_reason: StopReason,
        *,
        bound: float = math.inf,
        reason: str = "",
        nodes: int | None = None,
    ) -> "Answer":
        """Make the answer of a solver that found no values."""
        return cls(
            stop_reason=stop_reason,
            proven_optimal=False,
            values=None,
            objective=math.nan,
            bound=bound,
            reason=reason,
            nodes=nodes,
        )


class Report(Protocol):
    """Told by a solver, while it runs, of what it has: values of the columns, an upper bound."""

    def __call__(
        self, *, values: NDArray[np.float64] | None = None, bound: float = math.inf
    ) -> None:
        """Take note; what is not better than before may be told again."""


class Backend(Protocol):
    """A solver: program in, answer out."""

    def __call__(
        self,
        program: Program,
        *,
        start: NDArray[np.float64] | None,
        deadline: Deadline,
        threads: int,
        report: Report | None = None,
    ) -> Answer:
        """Solve a program to optimality, or until the deadline.

        Parameters
        ----------
        program
            The program, with at least one column.
        start
            Feasible values of the columns to start from; float64 (columns,).
        deadline
            When to stop.
        threads
            Most threads to use, at least 1.
        report
            Whom to tell of incumbents and bounds, in units of the program; None for nobody.
        """
