"""A program handed to a MILP solver, and its answer turned into a placement."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from formulations.answer import Answer, Backend, Report
from formulations.program import Program
from formulations.progress import Progress
from formulations.start import check_start
from instances.deadline import Deadline
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.parallel import require_threads
from instances.placement import Placement
from instances.problem import Instance
from instances.result import CLAIM_TOLERANCE, OnProgress, Outcome, StopReason
from instances.structure.clauses import Clauses, build_clauses

Build = Callable[[Instance, Clauses, Deadline], Program | None]
"""Writes a formulation of an instance; None when time is up before it is written."""

TRUSTED_OBJECTIVE = 1.0
"""Optima at least this large in units of the program are taken from a solver as they are: what it
may overlook, about 1e-7 units, is then less than the tolerance of claims."""

SMALLEST_WEIGHT = 2.0**-10
"""No solver overlooks a column that weighs this much in units of the program."""

WHOLE_TOLERANCE = 1e-5
"""How far a solver's choices may be from 0 or 1."""

BOUND_SLACK = 1e-6
"""Relative room between a bound that is handed over and the row that it becomes: a row without
would cut off, by rounding, the very placement that attains it."""


@dataclasses.dataclass(frozen=True, slots=True)
class Request:
    """What is asked of a MILP solver besides the instance.

    Parameters
    ----------
    time_limit
        Seconds; None for no limit.
    start
        A feasible placement to start from.
    on_progress
        Whom to tell of incumbents and bounds on the way.
    threads
        Most threads that the solver may use.
    bound_ms
        An upper bound on the saving that somebody else has proven, ms per token.

    Raises
    ------
    InputError
        When there are no threads, or the bound is not a number >= 0.
    """

    time_limit: float | None
    start: Placement | None
    on_progress: OnProgress | None
    threads: int
    bound_ms: float | None

    def __post_init__(self) -> None:
        require_threads(self.threads)
        if self.bound_ms is not None and not (_is_number(self.bound_ms) and self.bound_ms >= 0.0):
            raise InputError("bound_ms", f"{self.bound_ms!r} is not a number >= 0")

    @property
    def known_ms(self) -> float:
        """The bound, infinite when there is none."""
        return math.inf if self.bound_ms is None else float(self.bound_ms)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def solve_milp(instance: Instance, build: Build, backend: Backend, request: Request) -> Outcome:
    """Write a formulation, have it solved, and read the answer.

    Raises
    ------
    InputError
        When the start is not feasible, or saves more than the bound that is handed over allows.
    """
    deadline, start = Deadline.after(request.time_limit), request.start
    if start is not None:
        check_start(instance, start)
        _check_bound(instance, start, request.known_ms)
    program = build(instance, build_clauses(instance), deadline)
    if program is None:
        return or_start(instance, start, request.known_ms, _out_of_time())
    program = program.capped(request.known_ms / program.unit_ms * (1.0 + BOUND_SLACK))
    values = None if start is None else program.values(start)
    progress = None
    if request.on_progress is not None:
        progress = Progress(instance, request.on_progress, start)
    program, answer = solve_closely(
        program, backend, values, deadline, request.threads, progress=progress
    )
    return or_start(instance, start, request.known_ms, read_outcome(instance, program, answer))


def _check_bound(instance: Instance, start: Placement, bound_ms: float) -> None:
    saving_ms = evaluate(instance, start).saving_ms
    if saving_ms > bound_ms * (1.0 + CLAIM_TOLERANCE):
        raise InputError("bound_ms", f"{bound_ms} is below the {saving_ms} that the start saves")


def _out_of_time() -> Outcome:
    return Outcome(stop_reason=StopReason.TIME_LIMIT, placement=None, proven_optimal=False)


def solve_closely(
    program: Program,
    backend: Backend,
    start: NDArray[np.float64] | None,
    deadline: Deadline,
    threads: int,
    *,
    progress: Progress | None = None,
) -> tuple[Program, Answer]:
    """Solve a program, and once more on a larger scale if its optimum is small.

    Solvers are exact up to an absolute error in the objective. Where the optimum is not large
    against it, it still tells which columns weigh too much to be ever gained; without them the
    objective can be scaled up. Returns the program that the answer belongs to.
    """
    while True:
        if not program.objective.any():
            return program, _nothing_to_gain(program)
        if deadline.passed:
            answer = Answer.nothing(StopReason.TIME_LIMIT)
        else:
            answer = backend(
                program,
                start=start,
                deadline=deadline,
                threads=threads,
                report=None if progress is None else _report(progress, program),
            )
        if not answer.proven_optimal or answer.bound >= TRUSTED_OBJECTIVE:
            return program, answer
        start = answer.values
        program = program.below(max(2.0 * answer.bound, SMALLEST_WEIGHT))


def _report(progress: Progress, program: Program) -> Report:
    def report(*, values: NDArray[np.float64] | None = None, bound: float = math.inf) -> None:
        progress.tell(program, values=values, bound=bound)

    return report


def read_outcome(instance: Instance, program: Program, answer: Answer) -> Outcome:
    """Translate values of columns into a placement, as they are: nothing is repaired."""
    bound_saving_ms = answer.bound * program.unit_ms
    if answer.values is None:
        return Outcome(
            stop_reason=answer.stop_reason,
            placement=None,
            proven_optimal=False,
            bound_saving_ms=bound_saving_ms,
            reason=answer.reason,
        )
    choices = answer.values[: program.columns.num_choices]
    chosen = choices > 0.5
    furthest = float(np.abs(choices - chosen).max(initial=0.0))
    if not furthest <= WHOLE_TOLERANCE:  # also when it is not a number
        return _error(f"a choice of the solver is {furthest:.3g} away from a whole number")
    placement = program.columns.placement(chosen)
    used = placement.used_bytes(instance)
    for server in np.flatnonzero(used > instance.capacity_bytes)[:1]:
        return _error(
            f"the solver's tolerances let server {instance.server_names[server]!r} hold "
            f"{used[server]} bytes where its capacity is {instance.capacity_bytes[server]}"
        )
    return Outcome(
        stop_reason=answer.stop_reason,
        placement=placement,
        proven_optimal=answer.proven_optimal,
        bound_saving_ms=bound_saving_ms,
        claimed_saving_ms=answer.objective * program.unit_ms,
        reason=answer.reason,
    )


def _nothing_to_gain(program: Program) -> Answer:
    """Answer for a program without weights: no placement saves anything."""
    return Answer(
        stop_reason=StopReason.COMPLETED,
        proven_optimal=True,
        values=np.zeros(len(program)),
        objective=0.0,
        bound=0.0,
        reason="no placement saves anything",
    )


def or_start(
    instance: Instance, start: Placement | None, bound_ms: float, outcome: Outcome
) -> Outcome:
    """Return the start where the solver has nothing better, if only within its tolerances.

    A bound that was handed over takes the place of a worse one.
    """
    if outcome.stop_reason is StopReason.SOLVER_ERROR:
        return outcome
    if not outcome.proven_optimal:
        bound_ms = min(outcome.bound_saving_ms, bound_ms)
        outcome = dataclasses.replace(outcome, bound_saving_ms=bound_ms)
    if start is None:
        return outcome
    start_ms = evaluate(instance, start).saving_ms
    if outcome.placement is not None:
        found_ms = evaluate(instance, outcome.placement).saving_ms
        if found_ms >= start_ms:
            return outcome
        if outcome.proven_optimal and found_ms < start_ms * (1.0 - CLAIM_TOLERANCE):
            return _error(
                f"the solver calls a saving of {found_ms} ms optimal; the start saves {start_ms}"
            )
    return dataclasses.replace(
        outcome,
        placement=start,
        bound_saving_ms=start_ms if outcome.proven_optimal else outcome.bound_saving_ms,
        claimed_saving_ms=start_ms,
        reason="the solver found nothing better than the start",
    )


def _error(reason: str) -> Outcome:
    return Outcome(
        stop_reason=StopReason.SOLVER_ERROR,
        placement=None,
        proven_optimal=False,
        bound_saving_ms=math.inf,
        reason=reason,
    )
