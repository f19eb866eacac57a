import numpy as np
import pytest

from bench.planning.spare import with_missing_experts
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from tests.strategies import random_instance, random_placement


@pytest.mark.parametrize("seed", range(30))
def test_free_room_goes_to_experts_that_are_nowhere(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng)
    placement = random_placement(rng, instance)
    filled = with_missing_experts(instance, placement)
    before, after = evaluate(instance, placement), evaluate(instance, filled)
    assert after.feasible
    assert after.saving_ms >= before.saving_ms
    new = filled.stored & ~placement.stored
    assert not placement.stored[:, new.any(axis=0)].any()  # they were nowhere
    assert new.sum(axis=0).max(initial=0) <= 1  # and are stored once
    nowhere = ~filled.stored.any(axis=0)
    room = instance.capacity_bytes - after.used_bytes
    assert not np.any(instance.expert_bytes[nowhere] <= room.max())


def test_those_that_are_used_most_come_first(tiny: Instance) -> None:
    """Of layer 1, experts 1 and 2 are used at the rate 1, expert 0 at 0.25; of layer 0, 1 at 1."""
    stored = np.zeros((2, 6), dtype=np.bool_)
    filled = with_missing_experts(tiny, Placement(stored)).stored
    assert filled.any(axis=0).sum() == 5
    assert not filled[:, 3].any()
