"""What the timings share: instances made once, methods warmed once."""

import functools

import pytest

from bench.algorithms import GROUPS
from bench.warmup import warm
from instances.families import generate
from instances.problem import Instance


@pytest.fixture(scope="session", autouse=True)
def _warm() -> None:
    """Compile every kernel and import every solver before the first timing."""
    warm([algorithm for registry in GROUPS.values() for algorithm in registry])


@functools.cache
def make_instance(family: str, size: str) -> Instance:
    """Return the instance of a family and size with seed 0."""
    return generate(family, size=size, seed=0)
