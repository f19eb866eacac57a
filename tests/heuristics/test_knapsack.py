import itertools

import numpy as np
import pytest

from heuristics.knapsack_kernels import NODE_BUDGET, best_configuration


def solve(
    profit: np.ndarray,
    size: np.ndarray,
    capacity: int,
    *,
    budget: int = NODE_BUDGET,
    tol: float = 0,
) -> tuple[np.ndarray, float, float]:
    return best_configuration(
        np.asarray(profit, dtype=float),
        np.asarray(size, dtype=np.int64),
        capacity,
        budget,
        float(tol),
    )


def best_by_force(profit: np.ndarray, size: np.ndarray, capacity: int) -> float:
    subsets = np.array(list(itertools.product([0, 1], repeat=len(profit))))
    return float((subsets @ profit)[subsets @ size <= capacity].max())


def best_by_table(profit: np.ndarray, size: np.ndarray, capacity: int) -> float:
    table = np.zeros(capacity + 1)
    for p, w in zip(profit, size, strict=True):
        if w <= capacity:
            table[w:] = np.maximum(table[w:], table[: capacity + 1 - w] + p)
    return float(table[-1])


def draw(seed: int, count: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Draw profits without order, like sizes, with ties, in proportion to sizes; some are 0."""
    rng = np.random.default_rng(seed)
    size = rng.integers(1, 40, count) if seed % 3 else rng.choice([4, 10, 15], count)
    profit = (
        rng.random(count),
        size + rng.integers(0, 3, count),
        rng.integers(0, 4, count),
        size,
        size + 10 * rng.random(count),
    )[seed % 5].astype(float)
    profit[rng.random(count) < 0.1] = 0.0
    return profit, size, int(rng.integers(0, size.sum() + 3))


@pytest.mark.parametrize("seed", range(150))
def test_no_set_is_better(seed: int) -> None:
    profit, size, capacity = draw(seed, 1 + seed % 12)
    chosen, lost, rounding = solve(profit, size, capacity)
    assert size[chosen].sum() <= capacity
    assert not chosen[profit == 0].any()
    assert lost == 0
    assert profit[chosen].sum() == pytest.approx(best_by_force(profit, size, capacity), rel=1e-14)
    assert 0 <= rounding <= 1e-11 * max(profit.sum(), 1e-300)


@pytest.mark.parametrize("count", [255, 256, 257, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_no_set_is_better_among_many_experts(seed: int, count: int) -> None:
    profit, size, _ = draw(seed, count)
    capacity = int(size.sum()) // 4
    chosen, lost, _ = solve(profit, size, capacity)
    assert size[chosen].sum() <= capacity
    assert lost == 0
    assert profit[chosen].sum() == pytest.approx(best_by_table(profit, size, capacity), rel=1e-12)


@pytest.mark.parametrize("seed", range(40))
def test_a_small_budget_says_what_it_may_cost(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = rng.integers(1000, 2000, 60)
    profit = size + (100.0 if seed % 2 else 10.0 * rng.random(60))
    capacity = int(size.sum()) // 3
    chosen, lost, _ = solve(profit, size, capacity, budget=0)
    best = best_by_table(profit, size, capacity)
    assert size[chosen].sum() <= capacity
    assert best - lost - 1e-9 <= profit[chosen].sum() <= best + 1e-9
    assert lost <= 0.02 * best


def test_a_small_budget_costs_something_at_all() -> None:
    rng = np.random.default_rng(0)
    size = rng.integers(10**6, 10**8, 200)
    _, lost, _ = solve(size + 1e7, size, int(size.sum()) // 4, budget=0)
    assert lost > 0


@pytest.mark.parametrize("tolerance", [1e-3, 1e-2, 0.5])
def test_a_tolerance_is_kept_and_reported(tolerance: float) -> None:
    for seed in range(40):
        profit, size, capacity = draw(seed, 12)
        chosen, lost, _ = solve(profit, size, capacity, tol=tolerance)
        best = best_by_force(profit, size, capacity)
        assert best - lost - 1e-12 <= profit[chosen].sum() <= best + 1e-12
        assert lost <= tolerance * (best + profit.max(initial=0))


@pytest.mark.parametrize("count", [0, 1, 7])
def test_everything_is_chosen_when_everything_fits(count: int) -> None:
    chosen, lost, rounding = solve(np.ones(count), np.arange(1, count + 1), 1000)
    assert chosen.tolist() == [True] * count
    assert (lost, rounding) == (0, 0)


def test_of_equal_experts_the_first_are_chosen() -> None:
    chosen, _, _ = solve(np.array([1.0, 2.0, 1.0, 1.0, 2.0]), np.full(5, 3), 11)
    assert chosen.tolist() == [True, True, False, False, True]


def test_experts_that_do_not_fit_alone_do_not_count() -> None:
    chosen, lost, _ = solve(np.array([9.0, 1.0, 1.5]), np.array([11, 10, 10]), 10)
    assert chosen.tolist() == [False, False, True]
    assert lost == 0
    chosen, _, _ = solve(np.array([9.0, 1.0]), np.array([1, 1]), 0)
    assert not chosen.any()


def test_sizes_close_to_the_largest_allowed() -> None:
    unit = 2**56
    profit, size = np.array([5.0, 4.0, 3.0, 3.0]), np.array([7, 5, 4, 4])
    chosen, _, _ = solve(profit, size * unit, 12 * unit)
    assert chosen.tolist() == [True, True, False, False]
    chosen, _, _ = solve(profit, size * unit, 12 * unit - 1)
    assert profit[chosen].sum() == best_by_force(profit, size, 11)
