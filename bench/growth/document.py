"""Growth files: what ``python -m bench.growth`` measured, for a report."""

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bench.environment import Environment
from bench.growth.shapes import AXES, SHAPES
from instances.errors import InputError
from instances.fields import (
    join,
    require_fields,
    require_integer,
    require_list,
    require_name,
    require_number,
    require_object,
    show,
)
from instances.files import read_document, write_atomically

FORMAT, VERSION = "moeplace/growth", 1
KINDS = ("step", "heuristic", "exact", "bound")

MOST_SECONDS = 1e9
"""No measurement takes 30 years; larger numbers would not fit on the axes of a plot."""

MOST = 10**15
"""Neither is anything else larger: rows, bytes, repetitions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A step or a method that was measured; see :class:`bench.growth.tasks.Task`."""

    name: str
    kind: str
    complexity: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One task on one instance.

    Parameters
    ----------
    axis, shape, task
        Which dimension grows, on which shape, and what was measured.
    size
        The dimension that grows: rows, experts in a layer, servers or users.
    rows, layers, experts, top_k, users, servers
        Dimensions of the instance; experts are those of one layer.
    instance_bytes
        Bytes of the arrays of the instance.
    cpu_s, clock_s
        Shortest processor and wall-clock time of the repetitions.
    peak_bytes
        Most memory in use during the first run, less what was in use before it.
    repetitions
        Runs that were timed.
    """

    axis: str
    shape: str
    task: str
    size: int
    rows: int
    layers: int
    experts: int
    top_k: int
    users: int
    servers: int
    instance_bytes: int
    cpu_s: float
    clock_s: float
    peak_bytes: int
    repetitions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a task stopped growing, and why; ``size`` is the value of the axis, about."""

    axis: str
    shape: str
    task: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """A study.

    Parameters
    ----------
    code_version, commit
        Version and fingerprint of the source; the commit, empty where there is no repository.
    environment
        Machine and libraries.
    started_at
        When the study began, UTC, ISO 8601.
    time_limit_s, memory_limit_bytes
        A task stops growing once it needs more.
    complete
        Everything that was asked for has been measured; false while it runs, and when its budget
        was spent.
    tasks
        What was measured.
    points, ends
        Measurements, and where tasks stopped.
    """

    code_version: str
    commit: str
    environment: Environment
    started_at: str
    time_limit_s: float
    memory_limit_bytes: int
    complete: bool
    tasks: tuple[Measured, ...]
    points: tuple[Point, ...] = ()
    ends: tuple[End, ...] = ()


def to_dict(growth: Growth) -> dict[str, Any]:
    """Return a study as it stands in a file."""
    return {"format": FORMAT, "version": VERSION, **dataclasses.asdict(growth)}


def write_growth(path: str | os.PathLike[str], growth: Growth) -> None:
    """Write a growth file.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    text = json.dumps(to_dict(growth), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read_growth(path: str | os.PathLike[str]) -> Growth:
    """Read a growth file.

    Raises
    ------
    InputError
        Names the file, the field and the value that is wrong.
    """
    return read_document(path, _from_dict)


_KIND_OF = {"tasks": Measured, "points": Point, "ends": End}
_CHOICES: Mapping[str, Sequence[str]] = {"axis": tuple(AXES), "shape": tuple(SHAPES), "kind": KINDS}
_MAY_BE_EMPTY = ("commit",)
_FROM_ZERO = ("peak_bytes", "memory_bytes")


def _from_dict(content: object) -> Growth:
    names = [field.name for field in dataclasses.fields(Growth)]
    fields = require_fields(content, "", ("format", "version", *names))
    for name, needed in (("format", FORMAT), ("version", VERSION)):
        if fields[name] != needed or isinstance(fields[name], bool):
            raise InputError(name, f"{show(fields[name])} is not {show(needed)}")
    growth = Growth(**_read(Growth, {name: fields[name] for name in names}, ""))
    _check(growth)
    return growth


def _check(growth: Growth) -> None:
    """Check what no field shows by itself."""
    known: set[str] = set()
    for i, task in enumerate(growth.tasks):
        if task.name in known:
            raise InputError(f"tasks[{i}].name", f"{task.name!r} occurs twice")
        known.add(task.name)
    both: dict[str, Sequence[Point | End]] = {"points": growth.points, "ends": growth.ends}
    for noun, entries in both.items():
        seen: set[tuple[str, str, str, int]] = set()
        for i, entry in enumerate(entries):
            if entry.task not in known:
                raise InputError(f"{noun}[{i}].task", f"{entry.task!r} is none of the tasks")
            key = (entry.axis, entry.shape, entry.task, entry.size)
            if key in seen:
                raise InputError(f"{noun}[{i}]", "the same task and size as an earlier one")
            seen.add(key)


def _read(kind: Any, value: object, path: str) -> dict[str, Any]:
    """Read an object whose fields are those of a dataclass."""
    kinds = {field.name: field.type for field in dataclasses.fields(kind)}
    fields = require_fields(value, path, tuple(kinds))
    return {name: _value(name, kinds[name], fields[name], join(path, name)) for name in kinds}


def _value(name: str, kind: Any, value: object, path: str) -> Any:
    if name in _KIND_OF:
        entries = require_list(value, path)
        entry = _KIND_OF[name]
        return tuple(entry(**_read(entry, each, f"{path}[{i}]")) for i, each in enumerate(entries))
    if name == "environment":
        return Environment(**_read(Environment, value, path))
    if name == "versions":
        libraries = require_object(value, path)
        return {
            require_name(library, path): require_name(version, join(path, library))
            for library, version in libraries.items()
        }
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(path, f"{show(value)} is neither true nor false")
        return value
    if kind is int:
        number = require_integer(value, path)
        least = 0 if name in _FROM_ZERO else 1
        if not least <= number <= MOST:
            raise InputError(path, f"{number} is not between {least} and {MOST}")
        return number
    if kind is float:
        seconds = require_number(value, path)
        if not 1e-9 <= seconds <= MOST_SECONDS:
            raise InputError(path, f"{seconds} s is not between 1e-09 and {MOST_SECONDS:g}")
        return seconds
    if name == "started_at":
        return _moment(require_name(value, path), path)
    if name in _CHOICES and value not in _CHOICES[name]:
        raise InputError(path, f"{show(value)} is not one of {', '.join(_CHOICES[name])}")
    return "" if value == "" and name in _MAY_BE_EMPTY else require_name(value, path)


def _moment(text: str, path: str) -> str:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise InputError(path, f"{show(text)} is not a moment with a time zone (ISO 8601)")
    return text
