import numpy as np
import pytest

from formulations import EXACT
from instances.registry import Algorithm, run
from instances.result import Status, StopReason, judge
from tests.formulations.rules import RULES

RNG = np.random.default_rng(0)
PAIRS = [
    pytest.param(algorithm, name, id=f"{algorithm.name}-{name}")
    for algorithm in EXACT
    for name, make in RULES.items()
    if algorithm.supports(make()[0]) is None
]


@pytest.mark.parametrize(("algorithm", "name"), PAIRS)
def test_every_exact_method_keeps_every_rule(algorithm: Algorithm, name: str) -> None:
    instance, optimum_ms = RULES[name]()
    result = judge(instance, run(algorithm, instance, rng=RNG), seconds=0.0)
    assert result.status is Status.OPTIMAL, result.reason
    assert result.stop_reason is StopReason.COMPLETED
    assert result.saving_ms == pytest.approx(optimum_ms, rel=1e-12)
    assert result.claimed_saving_ms == pytest.approx(optimum_ms, rel=1e-9)
    assert result.bound_saving_ms == pytest.approx(optimum_ms, rel=1e-9)


@pytest.mark.parametrize(
    "name", ["brute-force", "milp-compact", "milp-compact-scip", "milp-compact-cbc"]
)
def test_these_methods_take_every_rule(name: str) -> None:
    assert {EXACT.get(name).supports(make()[0]) for make in RULES.values()} == {None}
