"""How long it takes to make an instance, bring it into clauses, and evaluate a placement."""

import pytest

from bench.conftest import make_instance
from bench.growth.tasks import half_full
from instances.checker import check
from instances.evaluation import evaluate
from instances.families import FAMILIES, generate
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
    evaluation = benchmark(evaluate, instance, half_full(instance))
    assert evaluation.feasible


@pytest.mark.benchmark(group="check", **QUICK)
@pytest.mark.parametrize(("family", "size"), CASES)
def test_check(benchmark, family: str, size: str) -> None:
    instance = make_instance(family, size)
    assert not benchmark(check, instance, half_full(instance)).overfull
