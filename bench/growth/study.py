"""The study: every task grows along every axis until it needs too much."""

import dataclasses
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bench.algorithms import find_algorithm
from bench.environment import code_version, current_environment
from bench.growth.document import End, Growth, Measured, Point
from bench.growth.measurement import Cost, Failure, Made, make, measure
from bench.growth.shapes import SHAPES, Size, sizes_of
from bench.growth.tasks import Task
from bench.warmup import warm
from instances.checker import check
from instances.errors import InputError
from instances.families import generate
from instances.files import read_instance, write_instance
from instances.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a study measures.

    Parameters
    ----------
    tasks, axes
        What grows, and along which axes.
    largest_rows
        Rows of the largest instance, about.
    every
        Take every so many sizes only.
    time_limit_s, memory_limit_bytes
        A task stops growing once it needs more.
    budget_s
        Nothing new is begun after so many seconds; None for no end.
    """

    tasks: Sequence[Task]
    axes: Sequence[str]
    largest_rows: int
    every: int
    time_limit_s: float
    memory_limit_bytes: int
    budget_s: float | None


Keep = Callable[[Growth], None]
"""Told of every new measurement."""


class OutOfBudget(Exception):
    """The time for the whole study is over."""


def begin(plan: Plan) -> Growth:
    """Return a study in which nothing has been measured."""
    return Growth(
        code_version=code_version(),
        commit=_commit(),
        environment=current_environment(),
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        time_limit_s=plan.time_limit_s,
        memory_limit_bytes=plan.memory_limit_bytes,
        complete=False,
        tasks=tuple(
            Measured(name=task.name, kind=task.kind, complexity=task.complexity)
            for task in plan.tasks
        ),
    )


def resume(plan: Plan, earlier: Growth) -> Growth:
    """Return an earlier study, to go on with: its points count.

    Raises
    ------
    InputError
        When it was made by other code, on another machine or under other limits.
    """
    new = begin(plan)
    for name in ("code_version", "environment", "time_limit_s", "memory_limit_bytes"):
        if getattr(earlier, name) != getattr(new, name):
            problem = "differs from that of this run: begin anew without --resume"
            raise InputError(name, problem)
    tasks = {task.name: task for task in (*earlier.tasks, *new.tasks)}
    return dataclasses.replace(earlier, tasks=tuple(tasks.values()), complete=False)


def grow(plan: Plan, growth: Growth, keep: Keep) -> Growth:
    """Measure what is not there yet; return everything.

    ``keep`` is told after each measurement, so that nothing is lost when it is interrupted.
    """
    _warm(plan.tasks)
    deadline = None if plan.budget_s is None else time.monotonic() + plan.budget_s
    study = _Study(plan, growth, keep, deadline)
    try:
        for axis in plan.axes:
            study.grow_along(axis)
    except OutOfBudget:
        return study.growth
    study.update(complete=True)
    return study.growth


class _Study:
    def __init__(self, plan: Plan, growth: Growth, keep: Keep, deadline: float | None) -> None:
        self.plan = plan
        self.growth = growth
        self._keep = keep
        self._deadline = deadline

    def update(self, **changes: object) -> None:
        self.growth = dataclasses.replace(self.growth, **changes)  # type: ignore[arg-type]
        self._keep(self.growth)

    def grow_along(self, axis: str) -> None:
        waiting = [task for task in self.plan.tasks if axis in task.axes]
        for shape in SHAPES:
            sizes = sizes_of(axis, shape, largest_rows=self.plan.largest_rows)
            going = [task for task in waiting if shape in task.shapes]
            # the largest size stays when some are left out: it says most about growth
            for size in sizes[(len(sizes) - 1) % self.plan.every :: self.plan.every]:
                going = self._grow_to(size, going)
            here = [p.task for p in self.growth.points if (p.axis, p.shape) == (axis, shape)]
            # one point is no growth: the next shape may do better
            waiting = [task for task in waiting if here.count(task.name) < 2]

    def _grow_to(self, size: Size, tasks: list[Task]) -> list[Task]:
        """Measure tasks at one size; return those that go on."""
        going, missing = [], []
        for task in tasks:
            entry = self._known(size, task)
            if entry is None:
                missing.append(task)
            elif isinstance(entry, Point):
                going.append(task)
        if not missing:
            return going
        with tempfile.TemporaryDirectory(prefix="moeplace-growth-") as folder:
            self._check_budget()
            made = make(size, Path(folder))
            for task in missing:
                self._check_budget()
                if self._measure(task, size, made):
                    going.append(task)
        return [task for task in tasks if task in going]

    def _known(self, size: Size, task: Task) -> Point | End | None:
        mine = (size.axis, size.shape, task.name)
        for end in self.growth.ends:
            if (end.axis, end.shape, end.task) == mine and end.size <= size.value:
                return end
        for point in self.growth.points:
            same = size.value == point.size or (size.axis == "rows" and _near(size, point))
            if (point.axis, point.shape, point.task) == mine and same:
                return point
        return None

    def _measure(self, task: Task, size: Size, made: Made | Failure) -> bool:
        """Measure one task; tell whether it may go on to larger sizes."""
        plan = self.plan
        answer: Cost | Failure = (
            made
            if isinstance(made, Failure)
            else measure(task, size, made, plan.time_limit_s, plan.memory_limit_bytes)
        )
        if isinstance(answer, Cost) and isinstance(made, Made):
            self.update(points=(*self.growth.points, _point(task, size, made, answer)))
            if answer.clock_s <= plan.time_limit_s:
                return True
            answer = Failure(f"longer than {plan.time_limit_s:g} s")
        assert isinstance(answer, Failure)
        end = End(
            axis=size.axis,
            shape=size.shape,
            task=task.name,
            size=size.value,
            reason=" ".join(answer.reason.split()),
        )
        self.update(ends=(*self.growth.ends, end))
        return False

    def _check_budget(self) -> None:
        if self._deadline is not None and time.monotonic() > self._deadline:
            raise OutOfBudget


def _near(size: Size, point: Point) -> bool:
    """Whether a point is of the size that grows by rows: their number is known only afterwards."""
    return (size.users, size.layers) == (point.users, point.layers) and (
        0.5 < point.rows / size.value < 2.0
    )


def _point(task: Task, size: Size, made: Made, cost: Cost) -> Point:
    return Point(
        axis=size.axis,
        shape=size.shape,
        task=task.name,
        size=made.rows if size.axis == "rows" else size.value,
        rows=made.rows,
        layers=size.layers,
        experts=size.experts,
        top_k=size.top_k,
        users=made.users,
        servers=made.servers,
        instance_bytes=made.num_bytes,
        **dataclasses.asdict(cost),
    )


def _warm(tasks: Sequence[Task]) -> None:
    """Compile or load every kernel and import every solver: the processes to come inherit them."""
    warm([find_algorithm(task.name) for task in tasks if task.kind != "step"])
    instance = generate("tiny", size="tiny", seed=0)
    check(instance, Placement.empty(instance))
    with tempfile.TemporaryDirectory(prefix="moeplace-growth-") as folder:
        path = Path(folder) / "tiny.npz"
        write_instance(path, instance)
        read_instance(path)


def _commit() -> str:
    """Return the commit of the source, with a mark when it was changed; empty without git."""
    folder = Path(__file__).parent
    git = [
        "git",
        "-C",
        str(folder),
        "describe",
        "--always",
        "--dirty",
        "--abbrev=12",
        "--exclude=*",
    ]
    try:
        found = subprocess.run(git, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()
