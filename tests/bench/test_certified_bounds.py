"""Whoever calls a bound certified is held to it: in fractions, against brute force."""

from fractions import Fraction

import numpy as np
import pytest

from bench.algorithms import GROUPS
from formulations.brute_force import BRUTE_FORCE, supports
from instances.checker import check
from instances.problem import Instance
from instances.registry import Algorithm, run
from instances.result import Outcome, StopReason, judge
from tests.strategies import random_instance

METHODS: list[Algorithm] = [method for registry in GROUPS.values() for method in registry]

CERTIFYING = {
    "brute-force",
    "continuous-greedy",
    "layer-generation",
    "lp",
    "lp-rounding",
    "server-set",
}
"""Methods whose every bound has to be certified; others may certify some of theirs."""


def instances_with_optima() -> list[tuple[Instance, Fraction]]:
    found = []
    for seed in range(100):
        instance = random_instance(
            np.random.default_rng(seed),
            max_cells=10,
            top_k=1 if seed % 2 else None,  # some methods are for K = 1 alone
            wild=seed % 3 == 0,
        )
        if supports(instance) is None and instance.num_rows:
            outcome = run(BRUTE_FORCE, instance, rng=np.random.default_rng(0))
            assert outcome.placement is not None
            found.append((instance, check(instance, outcome.placement).saving_ms))
        if len(found) == 16:
            return found
    raise AssertionError(len(found))


CASES = instances_with_optima()


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_certified_bounds_hold_in_fractions(method: Algorithm) -> None:
    num_bounds = 0
    for instance, optimum_ms in CASES:
        told: list[Outcome] = []
        outcome = run(
            method,
            instance,
            rng=np.random.default_rng(0),
            time_limit=20.0,
            on_progress=told.append,
        )
        if outcome.stop_reason is StopReason.UNSUPPORTED:
            continue
        for claim in (outcome, *told):
            if claim.bound_certified:
                assert Fraction(claim.bound_saving_ms) >= optimum_ms
        result = judge(instance, outcome, seconds=0.0)
        assert result.stop_reason is not StopReason.WRONG_CLAIM
        if result.bound_certified:
            assert Fraction(result.bound_saving_ms) >= optimum_ms
        num_bounds += result.bound_certified
        if method.name in CERTIFYING:
            assert result.bound_certified
    if method.name in CERTIFYING:
        assert num_bounds > 0
