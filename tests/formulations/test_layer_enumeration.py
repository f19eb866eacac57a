import dataclasses

import numpy as np
import pytest

from formulations.layer_enumeration import LAYER_ENUMERATION
from instances.placement import Placement
from instances.problem import Instance, Model
from instances.registry import run
from instances.result import Status, StopReason, judge
from tests.heuristics.test_baselines import one_layer
from tests.heuristics.test_successive import best_saving
from tests.strategies import random_instance

RNG = np.random.default_rng(0)


def uniform_layers(instance: Instance) -> bool:
    return LAYER_ENUMERATION.supports(instance) is None


def test_agrees_with_trying_everything() -> None:
    solved = 0
    for seed in range(220):
        instance = random_instance(np.random.default_rng(seed), max_cells=11)
        if not uniform_layers(instance):
            continue
        outcome = run(LAYER_ENUMERATION, instance, rng=RNG)
        result = judge(instance, outcome, seconds=0.0)
        assert result.status is Status.OPTIMAL
        assert result.saving_ms == pytest.approx(best_saving(instance), rel=1e-9, abs=1e-12)
        assert result.claimed_saving_ms == pytest.approx(result.saving_ms, rel=1e-9, abs=1e-12)
        solved += 1
    assert solved >= 120


def test_models_of_unequal_size_share_the_grid() -> None:
    # As pairs: a needs 2 * 6 bytes and gains 5, b needs 2 * 4 bytes and gains 7. 18 bytes hold one
    # pair only, and b is worth more; with 20 bytes both fit.
    models = (
        Model.uniform("a", layers=1, experts=2, top_k=2, expert_bytes=6),
        Model.uniform("b", layers=1, experts=2, top_k=2, expert_bytes=4),
    )
    instance = one_layer(
        rows=[(0, [0, 1], 5.0), (1, [0, 1], 7.0)],
        capacity=[19],
        latency=[[0.0], [0.0]],
        cloud=[1.0, 1.0],
        sizes=[[1, 1]],
    )
    instance = dataclasses.replace(instance, models=models, user_model=np.array([0, 1]))
    result = judge(instance, run(LAYER_ENUMERATION, instance, rng=RNG), seconds=0.0)
    assert (result.status, result.saving_ms) == (Status.OPTIMAL, 7.0)
    roomy = dataclasses.replace(instance, capacity_bytes=np.array([20]))
    assert judge(roomy, run(LAYER_ENUMERATION, roomy, rng=RNG), seconds=0.0).saving_ms == 12.0


def test_time_limit_returns_the_start_and_no_claim() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    start = Placement.of(instance, [(0, 0)])
    outcome = run(LAYER_ENUMERATION, instance, rng=RNG, time_limit=0.0, start=start)
    assert outcome.stop_reason is StopReason.TIME_LIMIT
    assert outcome.placement is start
    assert not outcome.proven_optimal
    assert outcome.bound_saving_ms == np.inf


def test_unequal_sizes_inside_a_layer_are_refused() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)], capacity=[2], latency=[[0.0]], cloud=[1.0], sizes=[[1, 2]]
    )
    assert "differ inside a layer" in (LAYER_ENUMERATION.supports(instance) or "")


def test_the_estimate_is_given_before_the_work() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)],
        capacity=[4] * 4,
        latency=[[0.0] * 4],
        cloud=[1.0],
        sizes=[[1] * 12],
    )
    reason = LAYER_ENUMERATION.supports(instance) or ""
    assert "would take about" in reason
    assert "4 servers" in reason
    assert "12 experts" in reason


def test_the_estimate_may_be_beyond_any_float() -> None:
    instance = one_layer(
        rows=[(0, [0, 1], 5.0)],
        capacity=[200] * 300,
        latency=[[0.0] * 300],
        cloud=[1.0],
        sizes=[[1] * 200],
    )
    assert "would take about 1.0e+300 steps" in (LAYER_ENUMERATION.supports(instance) or "")
