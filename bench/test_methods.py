"""How long methods take on growing instances of each family.

``pytest bench --benchmark-only``. A method that cannot take an instance, or does not finish within
the limit, is skipped with the reason (``-rs`` lists them). Heuristics that stop when their time is
up are timed all the same: the limit is what they take then.
"""

import time

import numpy as np
import pytest

from bench.algorithms import GROUPS, find_algorithm
from bench.conftest import make_instance
from instances.families import FAMILIES
from instances.registry import run
from instances.result import Outcome, Status, StopReason, judge

HEURISTIC_SIZES = ("tiny", "small", "medium")
EXACT_SIZES = ("tiny", "small")
LIMIT_S = 1.0
ENOUGH_S = 0.1
"""Rounds are repeated until about this much time has been spent, at most :data:`MAX_ROUNDS`."""
MAX_ROUNDS = 20

CASES = [
    pytest.param(family.name, size, algorithm.name, id=f"{family.name}-{size}-{algorithm.name}")
    for family in FAMILIES
    if not family.name.endswith("-independent")  # the same shapes once more
    for size in HEURISTIC_SIZES
    if size in family.sizes
    for registry in GROUPS.values()
    for algorithm in registry
    if not algorithm.exact or size in EXACT_SIZES
]


@pytest.mark.parametrize(("family", "size", "method"), CASES)
def test_method(benchmark, family: str, size: str, method: str) -> None:
    instance = make_instance(family, size)
    algorithm = find_algorithm(method)
    reason = algorithm.supports(instance)
    if reason is not None:
        pytest.skip(f"{method} on {instance.name}: {reason}")

    def solve() -> Outcome:
        rng = np.random.default_rng(0)
        return run(algorithm, instance, rng=rng, time_limit=LIMIT_S)

    begin = time.perf_counter()
    first = solve()
    seconds = time.perf_counter() - begin
    if algorithm.exact and not first.proven_optimal:
        pytest.skip(f"{method} on {instance.name}: not finished within {LIMIT_S:g} s")
    benchmark.group = family
    rounds = max(1, min(MAX_ROUNDS, int(ENOUGH_S / seconds)))
    outcome = benchmark.pedantic(solve, rounds=rounds, iterations=1)
    result = judge(instance, outcome, seconds=seconds)
    if result.placement is None and result.stop_reason is StopReason.TIME_LIMIT:
        pytest.skip(f"{method} on {instance.name}: nothing within {LIMIT_S:g} s")
    assert result.status in (Status.OPTIMAL, Status.FEASIBLE), result.reason
    benchmark.extra_info["saving_ms"] = result.saving_ms
