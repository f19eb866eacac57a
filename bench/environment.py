"""What ran: version of the code and its libraries, Python, operating system, processor."""

import functools
import hashlib
import importlib.util
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from instances.memory import physical_memory_bytes

PACKAGES = ("instances", "formulations", "heuristics")
"""Import packages that decide what a result is; their source makes up the code version."""

_SOURCES = (".py", ".json", ".so", ".pyd")

LIBRARIES = ("numpy", "numba", "ortools", "pulp", "cbcbox", "networkx", "pandas")
"""Distributions whose version can change a result or a timing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """The machine and the libraries behind a measurement.

    Parameters
    ----------
    python, platform, cpu
        Descriptions for people: ``3.11.7``, ``Linux-6.1-x86_64``, ``AMD EPYC 7B13``.
    cores
        Logical processors that this process may use.
    memory_bytes
        Physical memory; 0 when the system does not tell.
    versions
        Version of each library of :data:`LIBRARIES` that is installed.
    """

    python: str
    platform: str
    cpu: str
    cores: int
    memory_bytes: int
    versions: Mapping[str, str]


def current_environment() -> Environment:
    """Describe the machine that this runs on."""
    versions = {}
    for name in LIBRARIES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return Environment(
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.release()}-{platform.machine()}",
        cpu=_cpu_name(),
        cores=available_cores(),
        memory_bytes=physical_memory_bytes(),
        versions=versions,
    )


def available_cores() -> int:
    """Logical processors that this process may use."""
    return len(allowed_cores()) or os.cpu_count() or 1


def allowed_cores() -> tuple[int, ...]:
    """Numbers of the logical processors that this process may use; empty when unknown."""
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return ()


@functools.cache
def code_version() -> str:
    """Version of the package and a fingerprint of its source: ``0.1.0+src.1f2e3d4c5b6a``.

    The fingerprint changes with every edit of the code, installed from a repository or not, so that
    results of different code are never taken for the same.
    """
    return f"{metadata.version('moeplace')}+src.{source_fingerprint(PACKAGES)}"


def source_fingerprint(packages: Iterable[str]) -> str:
    """Return twelve letters that change with every edit of the source of these packages."""
    digest = hashlib.sha256()
    for package in packages:
        spec = importlib.util.find_spec(package)
        for folder in spec.submodule_search_locations or () if spec else ():
            root = Path(folder)
            for path in sorted(root.rglob("*")):
                if path.suffix in _SOURCES:
                    digest.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
                    digest.update(path.read_bytes())
        if spec and spec.submodule_search_locations is None and spec.origin:  # a single file
            digest.update(f"{package}\0".encode())
            digest.update(Path(spec.origin).read_bytes())
    return digest.hexdigest()[:12]


def _cpu_name() -> str:
    information = Path("/proc/cpuinfo")
    if information.is_file():
        for line in information.read_text(errors="replace").splitlines():
            if line.lower().startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown"
