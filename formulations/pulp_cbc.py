"""CBC, through PuLP.

PuLP hands the program to CBC in files. Three things of theirs must not be believed: ``LpStatus``
says optimal at a time limit; CBC's solution file says optimal when time ran out right after the
linear relaxation, and then holds fractional values; and a file loses whether it is to be maximised.
Hence the log decides what is proven, and the program is written as a minimisation. The log also
tells of bounds while CBC runs; incumbents it keeps to itself until it ends.
"""

import contextlib
import itertools
import math
import re
import tempfile
import threading
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import cbcbox
import numpy as np
import pulp
from numpy.typing import NDArray

from formulations.answer import Answer, Report
from formulations.program import Program
from instances.deadline import Deadline
from instances.result import StopReason

ENTRIES_BETWEEN_CHECKS = 10_000
"""PuLP takes row after row in Python; the clock is looked at after this many entries."""

SHORTEST_LIMIT_S = 1e-3
"""CBC is never told of less: 0 could mean no limit."""

SECONDS_BETWEEN_LOOKS = 0.2
"""How often the log is looked at while CBC runs."""

BOUND_LINES = (
    re.compile(r"^\S* Cut generation complete .* (-?[\d.e+]+) in \d+ pass", re.MULTILINE),
    re.compile(r"^.{2} *\d+ +\d+ +\d+ .*?(-?[\d.e+]+) +[\d.]+% +[\d.]+$", re.MULTILINE),
)
"""Where the log tells a bound: after the root's cuts, and in the table of branch and bound."""

TOLERANCES = (
    "primalTolerance 1e-7",
    "dualTolerance 1e-7",
    "integerTolerance 1e-7",
    "increment 1e-9",  # by how much a new incumbent must be better
)


class OutOfTimeError(Exception):
    """The time limit passed while the program was being written."""


class TimedCbc(pulp.COIN_CMD):  # type: ignore[misc]  # PuLP has no types
    """CBC with what is left of the time when its command line is made, after the file is written.

    Parameters
    ----------
    deadline
        When CBC has to stop.
    options
        As PuLP knows them.
    """

    def __init__(self, deadline: Deadline, **options: Any) -> None:
        self._deadline = deadline
        super().__init__(**options)

    @property
    def timeLimit(self) -> float | None:  # the name is PuLP's
        """Seconds that are left, None without a limit."""
        if math.isinf(self._deadline.at):
            return None
        return max(self._deadline.remaining, SHORTEST_LIMIT_S)

    @timeLimit.setter
    def timeLimit(self, value: None) -> None:  # PuLP sets what it is not given
        pass


def solve_cbc(
    program: Program,
    *,
    start: NDArray[np.float64] | None,
    deadline: Deadline,
    threads: int,
    report: Report | None = None,
) -> Answer:
    """Solve a program with CBC."""
    variables = _make_variables(program)
    try:
        problem = _make_problem(program, variables, deadline)
    except OutOfTimeError:
        return Answer.nothing(StopReason.TIME_LIMIT)
    if start is not None:
        for variable, value in zip(variables, start.tolist(), strict=True):
            variable.setInitialValue(value)
    with tempfile.TemporaryDirectory(prefix="moeplace-cbc-") as directory:
        if any(character.isspace() for character in directory):
            return Answer.nothing(
                StopReason.SOLVER_ERROR,
                reason=f"PuLP cannot pass the temporary directory {directory!r} to CBC: "
                "its name has a space in it",
            )
        log_path = Path(directory, "cbc.log")
        solver = TimedCbc(
            deadline,
            path=cbcbox.cbc_bin_path(),
            msg=False,
            gapRel=0.0,
            gapAbs=0.0,
            timeMode="elapsed",
            threads=threads if threads > 1 else None,
            warmStart=start is not None,
            options=list(TOLERANCES),
            logPath=str(log_path),
        )
        solver.tmpDir = directory
        try:
            with _following(log_path, report):
                problem.solve(solver)
        except pulp.PulpSolverError as error:
            log = _read_log(log_path)
            last = log.strip().splitlines()[-1:] or ["no output"]
            return Answer.nothing(StopReason.SOLVER_ERROR, reason=f"{error}: {last[0].strip()}")
        log = _read_log(log_path)
    return read_answer(problem, variables, log, out_of_time=deadline.passed)


@contextlib.contextmanager
def _following(path: Path, report: Report | None) -> Iterator[None]:
    """Look at the log of a running CBC now and then, in a thread of its own."""
    if report is None:
        yield
        return
    ended = threading.Event()

    def follow() -> None:
        last = math.inf
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            bound = read_running_bound(_read_log(path))
            if bound < last:
                last = bound
                report(bound=bound)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()


def _read_log(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


def _make_variables(program: Program) -> list[pulp.LpVariable]:
    scratch = pulp.LpProblem("moeplace")
    kinds = [pulp.LpInteger if whole else pulp.LpContinuous for whole in program.is_whole]
    digits = len(str(len(kinds)))  # PuLP sorts variables by name
    return [
        scratch.add_variable(f"v{j:0{digits}d}", 0, upper, kind)
        for j, (upper, kind) in enumerate(zip(program.upper.tolist(), kinds, strict=True))
    ]


def _make_problem(
    program: Program, variables: list[pulp.LpVariable], deadline: Deadline
) -> pulp.LpProblem:
    problem = pulp.LpProblem("moeplace", pulp.LpMinimize)
    _set_objective(problem, program, variables)
    _add_rows(problem, program, variables, deadline)
    return problem


def _set_objective(
    problem: pulp.LpProblem, program: Program, variables: list[pulp.LpVariable]
) -> None:
    problem.setObjective(
        pulp.LpAffineExpression(
            [(variables[j], -float(program.objective[j])) for j in program.objective.nonzero()[0]]
        )
    )


def _add_rows(
    problem: pulp.LpProblem,
    program: Program,
    variables: list[pulp.LpVariable],
    deadline: Deadline,
) -> None:
    rows = program.rows
    columns, coefficients = rows.column.tolist(), rows.coefficient.tolist()
    offsets, upper = rows.offsets.tolist(), rows.upper.tolist()
    unchecked = 0
    for row, (begin, end) in enumerate(itertools.pairwise(offsets)):
        terms = zip(columns[begin:end], coefficients[begin:end], strict=True)
        left = pulp.LpAffineExpression([(variables[j], value) for j, value in terms])
        problem.addConstraint(left <= upper[row])
        unchecked += end - begin
        if unchecked >= ENTRIES_BETWEEN_CHECKS:
            unchecked = 0
            if deadline.passed:
                raise OutOfTimeError


def read_answer(
    problem: pulp.LpProblem, variables: list[pulp.LpVariable], log: str, *, out_of_time: bool
) -> Answer:
    """Read what CBC left behind: values from PuLP, what they are from CBC's log."""
    said = re.search(r"^Result - (.*)$", log, re.MULTILINE)
    result = said[1].strip() if said else "nothing about the result"
    bound = read_bound(log)
    counted = re.search(r"^Enumerated nodes:\s+(\d+)$", log, re.MULTILINE)
    nodes = int(counted[1]) if counted else None
    found = problem.sol_status in (pulp.LpSolutionOptimal, pulp.LpSolutionIntegerFeasible)
    if result.startswith("Optimal solution found") and problem.sol_status == pulp.LpSolutionOptimal:
        values = np.array([variable.varValue for variable in variables])
        objective = -float(pulp.value(problem.objective))
        return Answer(
            stop_reason=StopReason.COMPLETED,
            proven_optimal=True,
            values=values,
            objective=objective,
            bound=objective,
            reason="",
            nodes=nodes,
        )
    if "time limit" in result or (said is None and out_of_time):
        if said is None or not found:
            return Answer.nothing(StopReason.TIME_LIMIT, bound=bound, nodes=nodes)
        return Answer(
            stop_reason=StopReason.TIME_LIMIT,
            proven_optimal=False,
            values=np.array([variable.varValue for variable in variables]),
            objective=-float(pulp.value(problem.objective)),
            bound=bound,
            reason="",
            nodes=nodes,
        )
    # Storing nothing is always feasible and savings are finite, so every other answer is wrong.
    return Answer.nothing(StopReason.SOLVER_ERROR, reason=f"CBC said: {result}")


def read_bound(log: str) -> float:
    """Return the upper bound on the maximum that a log of CBC tells, infinite when it tells none.

    CBC minimises the negative and prints six digits, so one unit of the last digit is added.
    """
    told = re.search(r"^Lower bound:\s+(\S+)$", log, re.MULTILINE)
    return math.inf if told is None else _rounded_up(told[1])


def read_running_bound(log: str) -> float:
    """Return the best upper bound that the unfinished log of CBC tells, infinite when none."""
    complete = log[: log.rfind("\n") + 1]
    told = (text for pattern in BOUND_LINES for text in pattern.findall(complete))
    return min(map(_rounded_up, told), default=math.inf)


def _rounded_up(text: str) -> float:
    """Turn a printed lower bound of the minimisation into an upper bound of the maximum."""
    try:
        printed = Decimal(text)
    except InvalidOperation:
        return math.inf
    exponent = printed.as_tuple().exponent
    if not isinstance(exponent, int):  # infinity or not a number
        return math.inf
    return float(-printed + Decimal(1).scaleb(exponent))
