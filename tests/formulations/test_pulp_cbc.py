import math
import tempfile
from pathlib import Path

import cbcbox
import numpy as np
import pulp
import pytest

from formulations import pulp_cbc
from formulations.compact import build_compact
from formulations.program import Program
from formulations.pulp_cbc import TimedCbc, read_answer, read_bound, solve_cbc
from instances.deadline import Deadline
from instances.result import StopReason
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES

OPTIMAL = "Result - Optimal solution found\n\nObjective value:                -3\n"
STOPPED = "Result - Stopped on time limit\n\nObjective value:  -3\nLower bound:      -398.458\n"


@pytest.fixture(scope="module")
def program() -> Program:
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    return build_compact(instance, build_clauses(instance))


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary directories go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def solved(sol_status: int) -> tuple[pulp.LpProblem, list[pulp.LpVariable]]:
    """Make a problem as PuLP leaves it: minus the saving is minimised, the first v is 1."""
    problem = pulp.LpProblem("p", pulp.LpMinimize)
    variables = [problem.add_variable(name, 0, 1) for name in ("v0", "v1")]
    problem.setObjective(-3.0 * variables[0] - 5.0 * variables[1])
    for variable, value in zip(variables, (1.0, 0.0), strict=True):
        variable.setInitialValue(value)
    problem.sol_status = sol_status
    return problem, variables


def test_an_optimum_is_an_optimum_when_the_log_says_so() -> None:
    answer = read_answer(*solved(pulp.LpSolutionOptimal), OPTIMAL, out_of_time=False)
    assert answer.stop_reason is StopReason.COMPLETED
    assert answer.proven_optimal
    assert (answer.objective, answer.bound) == (3.0, 3.0)
    assert answer.values is not None
    assert answer.values.tolist() == [1.0, 0.0]


def test_the_solution_file_alone_proves_nothing() -> None:
    # What CBC writes when time runs out right after the linear relaxation: "Optimal" with its
    # fractional values, and a log without a result.
    log = "LP Optimal - Frac: 64/96 (66.7%)   Obj: -398.458\nTotal time (Wallclock seconds): 0.08\n"
    answer = read_answer(*solved(pulp.LpSolutionOptimal), log, out_of_time=True)
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert not answer.proven_optimal
    assert answer.values is None


def test_a_time_limit_keeps_the_solution_and_the_bound() -> None:
    answer = read_answer(*solved(pulp.LpSolutionIntegerFeasible), STOPPED, out_of_time=True)
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert not answer.proven_optimal
    assert answer.objective == 3.0
    assert answer.bound == pytest.approx(398.459, abs=1e-9)


def test_a_time_limit_without_a_solution() -> None:
    log = "Result - Stopped on time limit\nNo feasible solution found\nLower bound:  -12.5\n"
    answer = read_answer(*solved(pulp.LpSolutionNoSolutionFound), log, out_of_time=True)
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert answer.values is None
    assert answer.bound == pytest.approx(12.6)


@pytest.mark.parametrize(
    ("status", "log"),
    [
        (pulp.LpSolutionInfeasible, "Result - Problem proven infeasible\n"),
        (pulp.LpSolutionIntegerFeasible, "Result - Stopped on node limit\n"),
        (pulp.LpSolutionNoSolutionFound, OPTIMAL),
        (pulp.LpSolutionOptimal, "killed\n"),
    ],
)
def test_every_other_end_is_an_error(status: int, log: str) -> None:
    answer = read_answer(*solved(status), log, out_of_time=False)
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert answer.values is None
    assert answer.reason.startswith("CBC said: ")


@pytest.mark.parametrize(
    ("printed", "bound"),
    [
        ("-398.458", 398.459),
        ("-47", 48.0),
        ("-1.25e+06", 1.26e6),
        ("-3.2e-07", 3.3e-7),
        ("-0", 1.0),
        ("-inf", math.inf),
        ("-1e+50", 2e50),
        ("nonsense", math.inf),
    ],
)
def test_bounds_are_rounded_up_by_a_unit_of_the_last_printed_digit(
    printed: str, bound: float
) -> None:
    assert read_bound(f"Gap: 3\nLower bound:      {printed}\nNodes: 3\n") == pytest.approx(bound)


def test_no_bound_in_the_log_is_no_bound() -> None:
    assert read_bound(OPTIMAL) == math.inf


def test_files_go_to_a_private_directory_that_is_removed(program: Program, scratch: Path) -> None:
    assert solve_cbc(program, start=None, deadline=Deadline.after(None), threads=1).proven_optimal
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho no licence\nexit 0\n"])
def test_a_failing_cbc_is_an_error_and_leaves_no_files(
    program: Program, scratch: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    fake = scratch / "cbc"
    fake.write_text(script)
    fake.chmod(0o755)
    monkeypatch.setattr(cbcbox, "cbc_bin_path", lambda: str(fake))
    answer = solve_cbc(program, start=None, deadline=Deadline.after(None), threads=1)
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert "no licence" in answer.reason or "no output" in answer.reason
    assert list(scratch.iterdir()) == [fake]


def test_a_missing_cbc_is_an_error(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cbcbox, "cbc_bin_path", lambda: "/nowhere/cbc")
    answer = solve_cbc(program, start=None, deadline=Deadline.after(None), threads=1)
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert "cannot execute /nowhere/cbc" in answer.reason


def test_a_directory_with_a_space_is_refused(
    program: Program, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # PuLP splits its command line at spaces.
    spaced = scratch / "a b"
    spaced.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spaced))
    answer = solve_cbc(program, start=None, deadline=Deadline.after(None), threads=1)
    assert answer.stop_reason is StopReason.SOLVER_ERROR
    assert "has a space" in answer.reason
    assert list(spaced.iterdir()) == []


def test_the_clock_is_looked_at_while_rows_are_written(
    program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulp_cbc, "ENTRIES_BETWEEN_CHECKS", 1)
    answer = solve_cbc(program, start=None, deadline=Deadline.after(0.0), threads=1)
    assert answer.stop_reason is StopReason.TIME_LIMIT
    assert answer.values is None


def test_the_limit_is_what_is_left_when_cbc_is_called() -> None:
    solver = TimedCbc(Deadline.after(100.0), path="cbc", timeLimit=7.0)
    first = solver.timeLimit
    assert 0.0 < first <= 100.0
    assert solver.timeLimit < first
    assert TimedCbc(Deadline.after(0.0), path="cbc").timeLimit == 1e-3
    assert TimedCbc(Deadline.after(None), path="cbc").timeLimit is None


@pytest.mark.parametrize("threads", [1, 2])
def test_cbc_gets_gap_threads_start_and_limit(
    program: Program, monkeypatch: pytest.MonkeyPatch, threads: int
) -> None:
    logs = []
    original = pulp_cbc.read_answer

    def watch(problem, variables, log, *, out_of_time):
        logs.append(log)
        return original(problem, variables, log, out_of_time=out_of_time)

    monkeypatch.setattr(pulp_cbc, "read_answer", watch)
    start = np.zeros(len(program))
    assert solve_cbc(
        program, start=start, deadline=Deadline.after(60.0), threads=threads
    ).proven_optimal
    command = next(line for line in logs[0].splitlines() if "-timeMode" in line)
    assert "-ratio 0.0" in command
    assert "-allow 0.0" in command
    assert "-timeMode elapsed" in command
    assert "-sec 5" in command
    assert "-mips" in command
    assert ("-threads 2" in command) == (threads == 2)
