"""How long it takes to make an instance, bring it into clauses, and evaluate a placement."""

import numpy as np
import pytest

from bench.conftest import make_instance
from instances.checker import check
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses

SIZES = ("tiny", "small", "medium", "large")
CASES = [
    pytest.param(family.name, size, id=f"{family.name}-{size}")
    for family in FAMILIES
    if not family.name.endswith("-independent")  # the same shapes once more
    for size in SIZES
    if size in family.sizes
]
QUICK = {"max_time": 0.05, "min_rounds": 1, "warmup": False}


def _half_full(instance: Instance) -> Placement:
    """Fill servers at random while experts fit: as many copies as a real placement has."""
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    rng = np.random.default_rng(0)
    for server, capacity in enumerate(instance.capacity_bytes):
        order = rng.permutation(instance.num_experts)
        fits = np.cumsum(instance.expert_bytes[order]) <= capacity
        stored[server, order[fits]] = True
    return Placement(stored)


@pytest.mark.benchmark(group="generate", **QUICK)
@pytest.mark.parametrize(("family", "size"), CASES)
def test_generate(benchmark, family: str, size: str) -> None:
    instance = benchmark(generate, family, size=size, seed=0)
    assert instance.checksum() == make_instance(family, size).checksum()


@pytest.mark.benchmark(group="clauses", **QUICK)
@pytest.mark.parametrize(("family", "size"), CASES)
def test_build_clauses(benchmark, family: str, size: str) -> None:
    clauses = benchmark(build_clauses, make_instance(family, size))
    benchmark.extra_info["clauses"] = len(clauses)


@pytest.mark.benchmark(group="evaluate", **QUICK)
@pytest.mark.parametrize(("family", "size"), CASES)
def test_evaluate(benchmark, family: str, size: str) -> None:
    instance = make_instance(family, size)
    evaluation = benchmark(evaluate, instance, _half_full(instance))
    assert evaluation.feasible


@pytest.mark.benchmark(group="check", **QUICK)
@pytest.mark.parametrize(("family", "size"), CASES)
def test_check(benchmark, family: str, size: str) -> None:
    instance = make_instance(family, size)
    assert not benchmark(check, instance, _half_full(instance)).overfull
