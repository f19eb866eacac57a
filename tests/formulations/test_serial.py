"""G6: minimising the serial latency is a K = 1 problem within a factor K of the parallel one."""

import dataclasses

import numpy as np

from formulations import EXACT
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from tests.heuristics.test_baselines import one_layer
from tests.strategies import random_instance


def serial(instance: Instance) -> Instance:
    """Split every row into rows of single experts."""
    lengths = np.diff(instance.demand_offsets)
    return dataclasses.replace(
        instance,
        models=tuple(dataclasses.replace(model, top_k=1) for model in instance.models),
        demand_user=np.repeat(instance.demand_user, lengths),
        demand_layer=np.repeat(instance.demand_layer, lengths),
        demand_rate=np.repeat(instance.demand_rate, lengths),
        demand_offsets=np.arange(instance.demand_experts.size + 1),
    )


def optimum(instance: Instance) -> Placement:
    outcome = run(EXACT.get("brute-force"), instance, rng=np.random.default_rng(0))
    assert outcome.proven_optimal
    assert outcome.placement is not None
    return outcome.placement


def test_a_serial_optimum_is_within_k_of_the_parallel_one() -> None:
    apart = 0
    for seed in range(60):
        instance = random_instance(np.random.default_rng(seed), max_cells=12, max_rows=30)
        parallel = evaluate(instance, optimum(instance)).latency_ms
        of_serial = evaluate(instance, optimum(serial(instance))).latency_ms
        assert of_serial <= instance.top_k * parallel * (1 + 1e-12)
        apart += of_serial > parallel * (1 + 1e-9)
    assert apart >= 1  # the two problems differ


def test_a_serial_optimum_may_save_nothing_in_parallel() -> None:
    # Room for one of the two experts that are always used together: alone it saves nothing.
    instance = one_layer(
        rows=[(0, [0, 1], 1.0)], capacity=[1], latency=[[0.0]], cloud=[1.0], sizes=[[1, 1]]
    )
    stored = optimum(serial(instance))
    assert stored.num_copies == 1
    assert evaluate(serial(instance), stored).saving_ms == 1.0
    assert evaluate(instance, stored).saving_ms == 0.0
