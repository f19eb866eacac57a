"""Bounds that heuristics call certified, against exact optima in fractions."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from formulations.brute_force import BRUTE_FORCE, supports
from heuristics import HEURISTICS
from instances.checker import check
from instances.registry import run
from instances.result import judge
from tests.strategies import random_instance

METHODS = ("layer-generation", "continuous-greedy", "lp-rounding")


def solved(name, instance):
    return run(HEURISTICS.get(name), instance, rng=np.random.default_rng(0))


def optimum(instance):
    outcome = run(BRUTE_FORCE, instance, rng=np.random.default_rng(0))
    return check(instance, outcome.placement).saving_ms


def small_instances(*, top_k, count, **options):
    found = []
    for seed in range(10 * count):
        instance = random_instance(np.random.default_rng(seed), max_cells=12, **options)
        if top_k == 1:
            instance = single_experts(instance)
        if supports(instance) is None and instance.num_rows:
            found.append(instance)
        if len(found) == count:
            return found
    raise AssertionError(f"{len(found)} instances")


def single_experts(instance):
    """Keep the first expert of every row."""
    return replace(
        instance,
        demand_offsets=np.arange(instance.num_rows + 1),
        demand_experts=instance.demand_experts[instance.demand_offsets[:-1]],
    )


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("wild", [False, True], ids=["tame", "wild"])
def test_certified_bounds_hold_in_fractions(name, wild):
    top_k = None if name == "layer-generation" else 1
    for instance in small_instances(top_k=top_k, count=40, wild=wild):
        outcome = solved(name, instance)
        assert outcome.bound_certified
        assert Fraction(outcome.bound_saving_ms) >= optimum(instance)
        assert judge(instance, outcome, seconds=1.0).bound_certified


@pytest.mark.parametrize("name", METHODS)
def test_nothing_to_prove(tiny, name):
    nobody = replace(single_experts(tiny), capacity_bytes=np.array([9, 9]))
    outcome = solved(name, nobody)
    assert (outcome.bound_saving_ms, outcome.bound_certified) == (0.0, True)


def test_storage_that_no_expert_fills_is_not_priced(tiny):
    """Two users of two servers, 29 bytes for experts of 10: as good as 20."""
    odd = solved("layer-generation", replace(tiny, capacity_bytes=np.array([29, 39])))
    even = solved("layer-generation", replace(tiny, capacity_bytes=np.array([20, 30])))
    assert odd.bound_saving_ms == pytest.approx(even.bound_saving_ms, rel=1e-9)
