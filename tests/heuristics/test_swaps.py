import numpy as np
import pytest

from heuristics.swap_kernels import tabu_swaps
from instances.structure.kernels import subset_bytes, subset_values
from tests.instances.test_closures import random_clauses


@pytest.mark.parametrize("seed", range(200))
def test_value_and_capacity_are_what_the_table_says(seed: int) -> None:
    weight, offsets, bits, sizes = random_clauses(seed)
    rng = np.random.default_rng(seed)
    table, used = subset_values(weight, offsets, bits, sizes.size), subset_bytes(sizes)
    start = int(rng.integers(table.size))
    capacity = int(used[start] + rng.integers(0, 5))
    inside = ((start >> np.arange(sizes.size)) & 1).astype(bool)
    found, gained = tabu_swaps(weight, offsets, bits, sizes, inside, capacity, 30)
    mask = int((found << np.arange(sizes.size)).sum())
    assert used[mask] <= capacity
    assert gained == pytest.approx(table[mask] - table[start], abs=1e-9)
    assert gained >= 0


def test_small_layers_are_nearly_always_solved() -> None:
    solved = 0
    for seed in range(200):
        weight, offsets, bits, sizes = random_clauses(seed)
        table, used = subset_values(weight, offsets, bits, sizes.size), subset_bytes(sizes)
        capacity = int(used[-1]) // 2
        nothing = np.zeros(sizes.size, dtype=bool)
        _, gained = tabu_swaps(weight, offsets, bits, sizes, nothing, capacity, 30)
        solved += bool(gained >= table[used <= capacity].max() - 1e-9)
    assert solved >= 196
