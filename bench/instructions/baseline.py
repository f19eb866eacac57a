"""The counts that instructions are held against: ``bench/instructions.json``."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from instances.errors import InputError
from instances.fields import (
    join,
    require_fields,
    require_integer,
    require_name,
    require_number,
    require_object,
    show,
)
from instances.files import read_document, write_atomically

FORMAT, VERSION = "moeplace/instructions", 1
TOLERANCE = 0.10
"""A kernel may take so much more than its baseline."""

LIBRARIES = ("numba", "llvmlite", "numpy")
"""What turns kernels into instructions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """Counts that were accepted.

    Parameters
    ----------
    tolerance
        A count may lie above its baseline by this share.
    versions
        Libraries with which they were counted.
    counts
        Instructions of each kernel.
    """

    tolerance: float
    versions: Mapping[str, str]
    counts: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A kernel whose count differs from its baseline, or that has none, or is gone (None)."""

    kernel: str
    before: int | None
    now: int | None

    @property
    def ratio(self) -> float | None:
        """Count over baseline; None where either is missing."""
        if self.before is None or self.now is None:
            return None
        return self.now / self.before

    def worse(self, tolerance: float) -> bool:
        """Whether it takes more than it may, or is not known at all."""
        return self.before is None or (self.ratio is not None and self.ratio > 1 + tolerance)


def current_versions() -> dict[str, str]:
    """Return the versions of the libraries that are installed."""
    return {name: metadata.version(name) for name in LIBRARIES}


def compare(baseline: Baseline, counts: Mapping[str, int]) -> list[Change]:
    """Return all kernels, the largest increase first; those without a baseline before them."""
    changes = [
        Change(kernel=name, before=baseline.counts.get(name), now=counts.get(name))
        for name in sorted({*baseline.counts, *counts})
    ]
    return sorted(
        changes,
        key=lambda change: (change.before is not None, -(change.ratio or 0.0), change.kernel),
    )


def write_baseline(path: str | os.PathLike[str], baseline: Baseline) -> None:
    """Write a file of baselines.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    content = {
        **{"format": FORMAT, "version": VERSION, "tolerance": baseline.tolerance},
        **{"versions": dict(baseline.versions), "counts": dict(sorted(baseline.counts.items()))},
    }
    write_atomically(path, f"{json.dumps(content, indent=1)}\n".encode())


def read_baseline(path: str | os.PathLike[str]) -> Baseline:
    """Read a file of baselines.

    Raises
    ------
    InputError
        Names the file, the field and the value that is wrong.
    """
    return read_document(path, _from_dict)


def _from_dict(content: object) -> Baseline:
    names = ("format", "version", "tolerance", "versions", "counts")
    fields: dict[str, Any] = require_fields(content, "", names)
    for name, needed in (("format", FORMAT), ("version", VERSION)):
        if fields[name] != needed or isinstance(fields[name], bool):
            raise InputError(name, f"{show(fields[name])} is not {show(needed)}")
    tolerance = require_number(fields["tolerance"], "tolerance")
    if not 0 < tolerance < 1:
        raise InputError("tolerance", f"{tolerance} is not between 0 and 1")
    versions = require_object(fields["versions"], "versions")
    counts = require_object(fields["counts"], "counts")
    for name, count in counts.items():
        if require_integer(count, join("counts", name)) < 1:
            raise InputError(join("counts", name), f"{count} is not a number of instructions")
    return Baseline(
        tolerance=tolerance,
        versions={
            name: require_name(version, join("versions", name))
            for name, version in versions.items()
        },
        counts=counts,
    )
