import dataclasses
import math

import numpy as np
import pytest

from bench.planning.storage import find_growth
from formulations.bounds.server_set import SERVER_SET
from formulations.brute_force import BRUTE_FORCE
from heuristics.successive import SUCCESSIVE_HULL
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.registry import run
from instances.structure.clauses import build_clauses
from tests.strategies import random_instance


@pytest.mark.parametrize("seed", range(25))
def test_what_is_found_and_what_is_possible_enclose_the_truth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_cells=10, uniform=True)
    extra = int(instance.expert_bytes.max())
    placement = run(SUCCESSIVE_HULL, instance, rng=rng).placement
    assert placement is not None
    outcome = run(SERVER_SET, instance, rng=rng, steps=20, extra_bytes=extra)
    assert outcome.bounds_with_more_ms is not None
    growths = find_growth(
        instance,
        build_clauses(instance),
        placement,
        outcome.bounds_with_more_ms,
        extra,
        Deadline.after(None),
    )
    before = evaluate(instance, placement).saving_ms
    for server, growth in enumerate(growths):
        capacity = instance.capacity_bytes.copy()
        capacity[server] += extra
        best = run(BRUTE_FORCE, dataclasses.replace(instance, capacity_bytes=capacity), rng=rng)
        assert best.placement is not None
        possible = evaluate(instance, best.placement).saving_ms - before
        slack = 1e-9 * (1.0 + abs(possible))
        assert 0.0 <= growth.found_ms <= possible + slack
        assert possible <= growth.most_ms + slack


def test_without_time_nothing_is_claimed_to_be_found() -> None:
    instance = random_instance(np.random.default_rng(3), max_cells=10)
    placement = run(SUCCESSIVE_HULL, instance, rng=np.random.default_rng(0)).placement
    assert placement is not None
    bounds = np.full(instance.num_servers, math.inf)
    growths = find_growth(
        instance, build_clauses(instance), placement, bounds, 1, Deadline.after(1e-9)
    )
    assert all(math.isnan(g.found_ms) and math.isinf(g.most_ms) for g in growths)
