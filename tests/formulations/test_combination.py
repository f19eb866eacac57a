from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from formulations.enumeration import combination as module
from formulations.enumeration.combination import Combination, OutOfMemory
from formulations.enumeration.prices import best_prices, merged
from instances.deadline import Deadline
from instances.structure.labelling import Options

NO_LIMIT = Deadline.after(None)


class Problem:
    """Random layers of options, and the combination of them."""

    def __init__(self, seed: int, *, num_servers: int | None = None) -> None:
        rng = np.random.default_rng(seed)
        self.num_servers = num_servers or int(rng.integers(1, 4))
        self.room = rng.integers(1, 12, self.num_servers)
        self.prices = rng.integers(0, 20, self.num_servers)
        self.options = []
        for _ in range(int(rng.integers(1, 5))):
            used = np.unique(
                rng.integers(0, 6, (int(rng.integers(1, 8)), self.num_servers)), axis=0
            )
            value = rng.integers(0, 200, used.shape[0])
            labels = np.arange(used.shape[0], dtype=np.int16)[:, None]
            self.options.append(Options(used, value, labels))
        self.best = [int(layer.reduced(self.prices).max()) for layer in self.options]
        self.bound = int(self.prices @ self.room) + sum(self.best)

    def combination(self) -> Combination:
        return Combination(self.options, self.best, self.room, self.prices)

    def value_of(self, chosen: list[int]) -> int:
        used = sum(layer.used[i] for layer, i in zip(self.options, chosen, strict=True))
        assert np.all(used <= self.room)
        return sum(int(layer.value[i]) for layer, i in zip(self.options, chosen, strict=True))

    def best_value(self) -> int | None:
        """Return the best value that fits, by looking at everything."""
        values = [
            sum(int(layer.value[i]) for layer, i in zip(self.options, chosen, strict=True))
            for chosen in product(*(range(layer.value.size) for layer in self.options))
            if np.all(
                sum(layer.used[i] for layer, i in zip(self.options, chosen, strict=True))
                <= self.room
            )
        ]
        return max(values, default=None)


@given(seed=st.integers(0, 10**6), cells=st.sampled_from([1, 4, 1 << 12]))
def test_the_best_combination_is_found(seed: int, cells: int) -> None:
    problem = Problem(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CELLS", cells)  # coarse bounds are bounds
        combination = problem.combination()
    best = problem.best_value()
    found = combination.solve(10**9, NO_LIMIT)
    if best is None:
        assert found is None
        return
    assert found is not None
    assert problem.value_of(found.chosen) == best == problem.bound - found.slack
    again = combination.solve(found.slack, NO_LIMIT)
    assert again is not None
    assert again.slack == found.slack
    assert combination.solve(found.slack - 1, NO_LIMIT) is None
    beam = combination.solve(10**9, NO_LIMIT, width=1)
    if beam is not None:
        assert problem.bound - beam.slack == problem.value_of(beam.chosen) <= best


def test_storage_in_many_bytes() -> None:
    # 10^12 units of room: no table is made for them. Two of the three layers fit, to the unit.
    used = np.array([[0], [400_000_000_003]])
    labels = np.zeros((2, 1), dtype=np.int16)
    options = [Options(used, np.array([0, worth]), labels) for worth in (5, 7, 6)]
    room = np.array([800_000_000_006])
    found = Combination(options, [5, 7, 6], room, np.array([0])).solve(100, NO_LIMIT)
    assert found is not None
    assert (found.chosen, found.slack) == ([0, 1, 1], 5)
    found = Combination(options, [5, 7, 6], room - 1, np.array([0])).solve(100, NO_LIMIT)
    assert found is not None
    assert (found.chosen, found.slack) == ([0, 1, 0], 11)


def test_tables_of_states_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    # 13 layers of one unit on one of two servers, or none: more states than the smallest table
    # holds, looked at one by one.
    monkeypatch.setattr(module, "_STATES_BETWEEN_LOOKS", 7)
    used = np.array([[0, 0], [1, 0], [0, 1], [10, 0], [0, 10], [100, 0], [0, 100]])
    value = np.array([0, 1, 1, 10, 10, 100, 99])
    labels = np.zeros((value.size, 1), dtype=np.int16)
    options = [Options(used, value, labels) for _ in range(7)]
    room = np.array([312, 303])
    found = Combination(options, [100] * 7, room, np.zeros(2, dtype=np.int64)).solve(
        10**9, NO_LIMIT
    )
    assert found is not None
    assert 700 - found.slack == 3 * 100 + 3 * 99 + 10


def test_no_solution_after_the_deadline() -> None:
    assert Problem(3).combination().solve(10**9, Deadline.after(0.0)) is None


def test_memory_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STATES", 2)
    seed = next(s for s in range(100) if (Problem(s).best_value() or 0) > 300)
    with pytest.raises(OutOfMemory, match="more than 2 states"):
        Problem(seed).combination().solve(10**9, NO_LIMIT)


@given(seed=st.integers(0, 10**6))
def test_prices_give_about_the_least_bound(seed: int) -> None:
    problem = Problem(seed)
    nothing = Options(
        np.zeros((1, problem.num_servers), dtype=np.int64),
        np.zeros(1, dtype=np.int64),
        np.zeros((1, 1), dtype=np.int16),
    )
    # in large units, so that whole prices are fine enough
    scale = 10**6
    layers = [
        Options(layer.used, layer.value * scale, layer.labels)
        for layer in (merged(nothing, option) for option in problem.options)
    ]
    total = sum(int(layer.value.max()) for layer in layers) + 1

    def bound(prices: np.ndarray) -> int:
        return int(prices @ problem.room) + sum(
            int(layer.reduced(prices).max()) for layer in layers
        )

    prices = best_prices(layers, problem.room, total, problem.prices * scale)
    assert np.all(prices >= 0)
    least = bound(prices)
    rng = np.random.default_rng(seed)
    for spread in (1.0, 0.1, 0.01, 0.001):
        for _ in range(8):
            other = np.rint(prices + spread * total / problem.room * rng.normal(size=prices.size))
            assert bound(np.maximum(other, 0).astype(np.int64)) >= least - 1e-5 * total


def test_merging_keeps_the_better_option() -> None:
    left = Options(
        np.array([[1, 2], [0, 0]]), np.array([5, 1]), np.array([[0], [1]], dtype=np.int16)
    )
    right = Options(
        np.array([[1, 2], [3, 0]]), np.array([6, 2]), np.array([[2], [3]], dtype=np.int16)
    )
    both = merged(left, right)
    assert both.used.tolist() == [[0, 0], [1, 2], [3, 0]]
    assert both.value.tolist() == [1, 6, 2]
    assert both.labels[:, 0].tolist() == [1, 2, 3]
