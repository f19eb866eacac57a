"""What is measured: the steps that every use takes, and every method."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.algorithms import GROUPS, find_algorithm
from bench.growth.shapes import Size, build
from instances.checker import check
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import read_instance, write_instance
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, run
from instances.structure.clauses import build_clauses

STEPS = {
    "generate": "O(T L E) for T tokens",
    "save": "O(R K)",
    "load": "O(R K)",
    "evaluate": "O(R K)",
    "check": "O(R K), in rational arithmetic",
    "clauses": "O(R (K + N)), N servers that are faster than the cloud",
}
"""Steps and their running time; R rows, L layers of E experts."""

STEPS_WORD = "steps"
"""Stands for all steps where methods are named."""

Work = Callable[[], str]
"""Does the work once; returns why the result is of no use, or nothing."""


class UnsupportedSize(Exception):
    """A method does not take an instance; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A step or a method.

    Parameters
    ----------
    name
        Its name: of :data:`STEPS`, or of the registry.
    kind
        ``step``, ``heuristic``, ``exact`` or ``bound``.
    complexity
        Its own word on its running time.
    """

    name: str
    kind: str
    complexity: str

    @property
    def shapes(self) -> tuple[str, ...]:
        """Shapes to try, the first that works counts."""
        if self.kind == "step":
            return ("wide",)
        return ("narrow",) if self.kind == "exact" else ("wide", "narrow", "single")

    @property
    def axes(self) -> tuple[str, ...]:
        """Axes along which it makes sense."""
        # the tokens that it takes for the same rows differ with the experts and the users
        own = ("rows", "servers")
        return own if self.name == "generate" else ("rows", "experts", "servers", "users")


def find_tasks(names: Iterable[str]) -> list[Task]:
    """Return tasks by name; ``steps``, ``heuristics``, ``exact`` and ``bounds`` mean all of a kind.

    Raises
    ------
    InputError
        When a name is unknown.
    """
    found: dict[str, Task] = {}
    for name in names:
        if name in STEPS or name == STEPS_WORD:
            for step in STEPS if name == STEPS_WORD else (name,):
                found[step] = Task(name=step, kind="step", complexity=STEPS[step])
            continue
        for algorithm in GROUPS[name] if name in GROUPS else [find_algorithm(name)]:
            found[algorithm.name] = _method(algorithm)
    if not found:
        raise InputError("--algorithms", "names nothing")
    return list(found.values())


def _method(algorithm: Algorithm) -> Task:
    kind = next(
        kind
        for kind, registry in zip(("heuristic", "exact", "bound"), GROUPS.values(), strict=True)
        if algorithm.name in registry
    )
    return Task(name=algorithm.name, kind=kind, complexity=algorithm.complexity)


def prepare(task: Task, size: Size, path: Path) -> Work:
    """Return the work itself; what it needs is made or loaded before.

    Raises
    ------
    UnsupportedSize
        When a method does not take the instance.
    """
    if task.name == "generate":
        return lambda: _done(build(size))
    if task.name == "load":
        return lambda: _done(read_instance(path))
    instance = read_instance(path)
    if task.name == "save":
        copy = path.with_name(f"copy-{path.name}")

        def save() -> str:
            write_instance(copy, instance)
            return ""

        return save
    if task.name == "clauses":
        return lambda: _done(build_clauses(instance))
    if task.kind == "step":
        placement = half_full(instance)
        judge = {"evaluate": evaluate, "check": check}[task.name]
        return lambda: _done(judge(instance, placement))
    return _prepare_method(find_algorithm(task.name), instance)


def _prepare_method(algorithm: Algorithm, instance: Instance) -> Work:
    reason = algorithm.supports(instance)
    if reason is not None:
        raise UnsupportedSize(reason)

    def solve() -> str:
        outcome = run(algorithm, instance, rng=np.random.default_rng(0))
        proven = outcome.proven_optimal or not algorithm.exact
        if proven and (outcome.placement is not None or math.isfinite(outcome.bound_saving_ms)):
            return ""
        return outcome.reason or f"stopped by {outcome.stop_reason.value}"

    return solve


def _done(result: object) -> str:
    """Say that the step was done; whatever it gave is dropped."""
    del result
    return ""


def half_full(instance: Instance) -> Placement:
    """Fill servers at random while experts fit: as many copies as a real placement has."""
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    rng = np.random.default_rng(0)
    for server, capacity in enumerate(instance.capacity_bytes):
        order = rng.permutation(instance.num_experts)
        fits = np.cumsum(instance.expert_bytes[order]) <= capacity
        stored[server, order[fits]] = True
    return Placement(stored)
