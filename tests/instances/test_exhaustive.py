import itertools

import numpy as np
import pytest

from formulations import EXACT
from instances.draws import Draws
from instances.evaluation import evaluate
from instances.families import generate
from instances.families.sampling import draw_small_instance
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import run
from instances.structure.exhaustive import best_placement, why_not_exhaustive
from tests.strategies import random_instance


def best_of_all(instance: Instance) -> float:
    """Try all placements, one by one."""
    best = 0.0
    for bits in itertools.product(
        [False, True], repeat=instance.num_servers * instance.num_experts
    ):
        placement = Placement(np.array(bits).reshape(instance.num_servers, -1))
        evaluation = evaluate(instance, placement)
        if evaluation.feasible:
            best = max(best, evaluation.saving_ms)
    return best


@pytest.mark.parametrize("seed", range(40))
def test_nothing_is_better(seed: int) -> None:
    instance = random_instance(np.random.default_rng(seed), max_cells=9)
    evaluation = evaluate(instance, best_placement(instance))
    assert evaluation.feasible
    assert evaluation.saving_ms == pytest.approx(best_of_all(instance), rel=1e-12, abs=1e-15)


@pytest.mark.parametrize("seed", range(12))
def test_exact_methods_agree(seed: int) -> None:
    instance = draw_small_instance(Draws("exhaustive", seed), "x", equal_sizes=True)
    outcome = run(EXACT.get("layer-enumeration"), instance, rng=np.random.default_rng(0))
    assert outcome.placement is not None
    assert evaluate(instance, best_placement(instance)).saving_ms == pytest.approx(
        evaluate(instance, outcome.placement).saving_ms, rel=1e-12
    )


def test_too_large_instances_are_refused_with_the_reason() -> None:
    wide = generate("coverage-tight", size="small", seed=0)
    assert why_not_exhaustive(wide) == "24 experts; the limit is 14"
    with pytest.raises(ValueError, match="coverage-tight-small-s0 is too large: 24 experts"):
        best_placement(wide)
    # a hub with 4 of 8 experts and two spokes with 2 of 8: 70 * 28 * 28
    trap = generate("coverage-tight", size="tiny", seed=0)
    assert why_not_exhaustive(trap, max_placements=54_880) is None
    assert why_not_exhaustive(trap, max_placements=54_879) == (
        "54880 combinations of full servers; the limit is 54879"
    )
