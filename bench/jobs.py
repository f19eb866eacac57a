"""What a run is to do: instances times methods times seeds."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.algorithms import find_algorithms
from bench.presets import DEFAULT_SIZES, NONE, Batch
from bench.records import AttemptKey
from instances.errors import InputError
from instances.families import FAMILIES, generate
from instances.files import read_instance
from instances.problem import Instance
from instances.registry import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where an instance comes from: a family with size and seed, or a file."""

    family: str = ""
    size: str = ""
    seed: int | None = None
    path: str = ""

    @property
    def name(self) -> str:
        """A name for people."""
        return self.path or f"{self.family}-{self.size}-s{self.seed}"

    @property
    def options(self) -> dict[str, str]:
        """What the store notes besides family, size and seed."""
        return {"file": Path(self.path).name} if self.path else {}

    def load(self) -> Instance:
        """Read or generate the instance.

        Raises
        ------
        InputError
            When the file cannot be read or is wrong.
        """
        if self.path:
            return read_instance(self.path)
        if self.seed is None:
            raise ValueError(f"{self.name} has no seed")
        return generate(self.family, size=self.size, seed=self.seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One method to be run on an instance.

    Parameters
    ----------
    algorithm
        The method.
    seed
        None for a method that is not randomised.
    time_limit_s
        Seconds; None for no limit.
    start
        ``auto`` or ``none``; empty for a method that takes no start.
    """

    algorithm: Algorithm
    seed: int | None
    time_limit_s: float | None
    start: str

    def key(self, checksum: str) -> AttemptKey:
        """Return what the store knows this attempt by."""
        return AttemptKey(
            checksum=checksum,
            algorithm=self.algorithm.name,
            seed=self.seed,
            time_limit=self.time_limit_s,
            start=self.start,
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """The work of a run.

    Parameters
    ----------
    work
        Every instance once, with its tasks in order.
    left_out
        Sizes that a family does not have, one sentence each.
    """

    work: dict[Source, list[Task]]
    left_out: list[str]

    @property
    def num_tasks(self) -> int:
        """Number of attempts."""
        return sum(map(len, self.work.values()))


def make_plan(batches: Iterable[Batch]) -> Plan:
    """List the work of some batches; what they share is done once.

    Raises
    ------
    InputError
        When a family, a size or a method is unknown.
    """
    work: dict[Source, dict[AttemptKey, Task]] = {}
    left_out: dict[str, None] = {}
    for batch in batches:
        tasks = [
            task
            for algorithm in find_algorithms(batch.methods)
            for task in _tasks(algorithm, batch)
        ]
        for source in [*_generated(batch, left_out), *_files(batch.files)]:
            work.setdefault(source, {}).update({task.key(""): task for task in tasks})
    return Plan({source: list(tasks.values()) for source, tasks in work.items()}, list(left_out))


def _tasks(algorithm: Algorithm, batch: Batch) -> Iterable[Task]:
    seeds: Sequence[int | None] = batch.seeds if algorithm.randomised else (None,)
    for seed in seeds:
        yield Task(
            algorithm=algorithm,
            seed=seed,
            time_limit_s=batch.time_limit_s,
            start=_start(algorithm, batch),
        )


def _start(algorithm: Algorithm, batch: Batch) -> str:
    if not algorithm.takes_start:
        return ""
    return batch.start if algorithm.exact else NONE  # a heuristic has to find its own


def _generated(batch: Batch, left_out: dict[str, None]) -> list[Source]:
    families = [FAMILIES.get(name) for name in batch.families]
    known = {size: None for family in families for size in family.sizes}
    for size in batch.sizes:
        if families and size not in known:
            raise InputError("size", f"{size!r} is not one of {', '.join(known)}")
    sources = []
    for family in families:
        for size in batch.sizes or DEFAULT_SIZES:
            if size not in family.sizes:
                if batch.sizes:
                    left_out[f"{family.name} has no size {size}: left out"] = None
                continue
            sources += [Source(family=family.name, size=size, seed=seed) for seed in batch.seeds]
    return sources


def _files(paths: Iterable[str]) -> Iterable[Source]:
    for path in paths:
        read_instance(path)  # a mistake in the last file is found before the first is solved
        yield Source(path=path)
