import numpy as np
import pytest

from instances.structure.closure_kernels import hull_order
from instances.structure.kernels import subset_bytes, subset_values
from instances.structure.peeling_kernels import peel

Clauses = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def random_clauses(seed: int) -> Clauses:
    """Draw weights, offsets, bits and sizes; every expert is in some clause."""
    rng = np.random.default_rng(seed)
    num_experts = int(rng.integers(1, 10))
    sets = [
        np.sort(rng.choice(num_experts, rng.integers(1, min(4, num_experts) + 1), replace=False))
        for _ in range(rng.integers(1, 30))
    ]
    wanted, bits = np.unique(np.concatenate(sets), return_inverse=True)
    weight = rng.random(len(sets)) if seed % 2 else rng.integers(1, 4, len(sets)).astype(float)
    sizes = rng.integers(1, 4, wanted.size) if seed % 3 else np.ones(wanted.size, dtype=np.int64)
    return weight, np.cumsum([0, *(len(s) for s in sets)]), bits.astype(np.int64), sizes


def concave_hull(used: np.ndarray, value: np.ndarray) -> list[tuple[int, float]]:
    """Return the breakpoints of the concave hull, by cross products over the best points."""
    best: dict[int, float] = {}
    for b, v in zip(used.tolist(), value.tolist(), strict=True):
        best[b] = max(v, best.get(b, 0.0))
    hull: list[tuple[int, float]] = []
    for point in sorted(best.items()):
        if hull and point[1] <= hull[-1][1]:
            continue
        while len(hull) >= 2:
            (b0, v0), (b1, v1) = hull[-2:]
            if (v1 - v0) * (point[0] - b0) > (point[1] - v0) * (b1 - b0) * (1 + 1e-12):
                break
            hull.pop()
        hull.append(point)
    return hull


@pytest.mark.parametrize("seed", range(300))
def test_the_sweep_finds_every_breakpoint_of_the_hull(seed: int) -> None:
    weight, offsets, bits, sizes = random_clauses(seed)
    order, ends = hull_order(weight, offsets, bits, sizes)
    before = order.copy()
    value = peel(weight, offsets, bits, sizes, order, ends)
    used = np.concatenate([[0], np.cumsum(sizes[order])])
    table = subset_values(weight, offsets, bits, sizes.size)
    found = {int(used[i + 1]): float(value[i + 1]) for i in np.flatnonzero(ends)} | {0: 0.0}
    for b, v in concave_hull(subset_bytes(sizes), table):
        assert found[b] == pytest.approx(v, rel=1e-12)
    # peeling sorts within segments only, and prefixes are worth what the table says
    start = 0
    for end in np.flatnonzero(ends) + 1:
        assert set(order[start:end]) == set(before[start:end])
        start = end
    masks = np.concatenate([[0], np.cumsum(1 << order)])
    assert value == pytest.approx(table[masks], rel=1e-12, abs=1e-15)


def test_a_clique_is_one_segment_and_is_peeled_from_its_weakest_member() -> None:
    # A triangle with weights 3, 3, 1: no pair pays as well per byte as all three, 7 / 3 > 3 / 2.
    weight = np.array([3.0, 3.0, 1.0])
    bits = np.array([0, 1, 1, 2, 0, 2])
    order, ends = hull_order(weight, np.array([0, 2, 4, 6]), bits, np.ones(3, dtype=np.int64))
    assert ends.tolist() == [False, False, True]
    value = peel(weight, np.array([0, 2, 4, 6]), bits, np.ones(3, dtype=np.int64), order, ends)
    assert value.tolist() == [0.0, 0.0, 3.0, 7.0]
    assert 1 in order[:2]
