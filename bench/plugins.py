"""Which installed package a method or a family has come from, and which version of it.

Kept with every attempt and every instance, so that results of an upgraded plug-in are never taken
for those of the one before.
"""

import functools
from importlib import metadata

from bench.algorithms import GROUPS
from bench.environment import source_fingerprint
from instances.families import FAMILIES
from instances.registry import Algorithm


def algorithm_plugin(algorithm: Algorithm) -> str:
    """Return name and version of the package of a method; empty for moeplace's own.

    The version ends in a fingerprint of the source, ``moeplace-example 1.0+src.1f2e3d4c5b6a``: a
    plug-in that is being written changes while its version does not.
    """
    for registry in GROUPS.values():
        if algorithm.name in registry:
            return _version(registry.entry_point(algorithm.name))
    return ""


def family_plugin(name: str) -> str:
    """Return the same for a family; empty also for an instance of no family."""
    return _version(FAMILIES.entry_point(name))


def _version(point: metadata.EntryPoint | None) -> str:
    if point is None:
        return ""
    package = point.module.partition(".")[0]
    name, version = (point.dist.name, point.dist.version) if point.dist else (package, "unknown")
    return f"{name} {version}+src.{_fingerprint(package)}"


@functools.cache
def _fingerprint(package: str) -> str:
    return source_fingerprint([package])
