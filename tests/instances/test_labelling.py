from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.deadline import Deadline
from instances.structure import labelling as module
from instances.structure.labelling import Labelling, Options, useful_labels

NO_LIMIT = Deadline.after(None)


class Layer:
    """A random layer as plain lists, and its labelling."""

    def __init__(self, seed: int, *, max_experts: int = 4, max_servers: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.num_servers = int(rng.integers(1, max_servers + 1))
        most = max_experts - (self.num_servers > 2)  # at most 8^3 or 4^4 placements
        self.num_experts = int(rng.integers(1, most + 1))
        count = int(rng.integers(1, 12))
        self.clauses = []
        for _ in range(count):
            size = int(rng.integers(1, self.num_experts + 1))
            itemset = sorted(rng.permutation(self.num_experts)[:size].tolist())
            servers = int(rng.integers(1, 1 << self.num_servers))
            self.clauses.append((int(rng.integers(1, 1000)), servers, itemset))
        sizes = rng.integers(1, 4, self.num_experts)
        self.units = sizes if rng.random() < 0.5 else np.full_like(sizes, sizes[0])
        self.room = rng.integers(1, 2 * self.num_experts + 1, self.num_servers)
        self.prices = rng.integers(0, 300, self.num_servers)
        self.experts = 100 + np.arange(self.num_experts)
        bits = [expert for _, _, itemset in self.clauses for expert in itemset]
        self.labelling = Labelling(
            self.experts,
            self.units,
            np.array([weight for weight, _, _ in self.clauses]),
            np.array([servers for _, servers, _ in self.clauses]),
            np.cumsum([0, *(len(itemset) for _, _, itemset in self.clauses)]),
            np.array(bits),
            self.room,
        )

    def used_and_value(self, labels: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
        """Storage on each server and value when expert e is on the servers of ``labels[e]``."""
        used = tuple(
            sum(int(self.units[e]) for e, label in enumerate(labels) if label >> n & 1)
            for n in range(self.num_servers)
        )
        value = sum(
            weight
            for weight, servers, itemset in self.clauses
            if all(labels[e] & servers for e in itemset)
        )
        return used, value

    def best_of_all(self) -> dict[tuple[int, ...], int]:
        """Return the best value for each use of storage that fits, by looking at everything."""
        best: dict[tuple[int, ...], int] = {}
        for labels in product(range(1 << self.num_servers), repeat=self.num_experts):
            used, value = self.used_and_value(labels)
            if all(np.array(used) <= self.room):
                best[used] = max(best.get(used, -1), value)
        return best

    def check(self, options: Options, at_least: int, window: int) -> None:
        """Hold what a search found against looking at everything."""
        best = self.best_of_all()
        reduced = {used: value - int(used @ self.prices) for used, value in best.items()}
        limit = max(at_least, max(reduced.values()) - window)
        found = {}
        for index, used in enumerate(options.used.tolist()):
            found[tuple(used)] = int(options.value[index])
            held = self.labelling.experts_of(options.labels[index])
            labels = [
                sum(1 << n for n in range(self.num_servers) if x in held[n]) for x in self.experts
            ]
            assert self.used_and_value(tuple(labels)) == (tuple(used), found[tuple(used)])
        assert len(found) == options.value.size
        for used, value in reduced.items():
            if found.get(used) == best[used]:
                assert value >= limit
            elif value >= limit:
                # with a useless server in a label, the same value takes less storage
                assert any(
                    all(np.array(other) <= used) and worth >= best[used]
                    for other, worth in found.items()
                ), (used, value)


@given(seed=st.integers(0, 10**6), window=st.integers(0, 2000), floor=st.integers(-2000, 1000))
def test_search_lists_all_that_is_near_the_best(seed: int, window: int, floor: int) -> None:
    layer = Layer(seed)
    found = layer.labelling.search(layer.prices, at_least=floor, window=window, deadline=NO_LIMIT)
    assert found is not None
    layer.check(found, floor, window)


def test_searches_may_be_repeated_at_other_prices() -> None:
    layer = Layer(8)
    for prices in ([0, 0, 0], [5, 700, 20], [300, 1, 1]):
        layer.prices = np.array(prices[: layer.num_servers])
        found = layer.labelling.search(layer.prices, at_least=-5000, window=500, deadline=NO_LIMIT)
        assert found is not None
        layer.check(found, -5000, 500)


def test_interruptions_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for seed in range(12):
        plain, stopped = (Layer(seed, max_experts=5) for _ in range(2))
        found = plain.labelling.search(plain.prices, at_least=0, window=10**6, deadline=NO_LIMIT)
        with monkeypatch.context() as patch:
            patch.setattr(module, "_NODES_BETWEEN_LOOKS", 1)
            again = stopped.labelling.search(
                stopped.prices, at_least=0, window=10**6, deadline=NO_LIMIT
            )
        assert found is not None
        assert again is not None
        np.testing.assert_array_equal(found.used, again.used)
        np.testing.assert_array_equal(found.value, again.value)
        np.testing.assert_array_equal(found.labels, again.labels)


def test_tables_grow() -> None:
    # Expert e takes 2^e units and is worth 3^e: all 2^9 subsets use storage of their own.
    labelling = Labelling(
        np.arange(9),
        2 ** np.arange(9),
        3 ** np.arange(9),
        np.ones(9, dtype=np.int64),
        np.arange(10),
        np.arange(9),
        np.array([511]),
    )
    found = labelling.search(np.array([0]), at_least=0, window=10**6, deadline=NO_LIMIT)
    assert found is not None
    values = dict(zip(found.used[:, 0].tolist(), found.value.tolist(), strict=True))
    assert values == {used: sum(3**e for e in range(9) if used >> e & 1) for used in range(512)}


def test_no_search_after_the_deadline() -> None:
    layer = Layer(1)
    late = Deadline.after(0.0)
    assert layer.labelling.search(layer.prices, at_least=0, window=0, deadline=late) is None


def test_experts_that_do_not_fit_are_nowhere() -> None:
    # Expert 0 takes 3 units where there is room for 2: only the other clause can be met.
    labelling = Labelling(
        np.array([7, 9]),
        np.array([3, 2]),
        np.array([1000, 1]),
        np.array([1, 1]),
        np.array([0, 1, 2]),
        np.array([0, 1]),
        np.array([2]),
    )
    found = labelling.search(np.array([0]), at_least=0, window=10**6, deadline=NO_LIMIT)
    assert found is not None
    assert sorted(zip(found.used[:, 0].tolist(), found.value.tolist(), strict=True)) == [
        (0, 0),
        (2, 1),
    ]


@given(
    sets=st.lists(st.integers(1, 15), min_size=1, max_size=6, unique=True),
    num_servers=st.just(4),
)
def test_useful_labels_are_those_without_a_useless_server(
    sets: list[int], num_servers: int
) -> None:
    def met(label: int) -> list[bool]:
        return [bool(label & members) for members in sets]

    useful = [
        label
        for label in range(1 << num_servers)
        if all(met(label & ~(1 << n)) != met(label) for n in range(num_servers) if label >> n & 1)
    ]
    assert useful_labels(np.array(sets), num_servers).tolist() == useful


@given(data=st.data())
def test_dominated_options_go(data: st.DataObject) -> None:
    entries = data.draw(
        st.lists(st.tuples(*[st.integers(0, 3)] * 3), min_size=1, max_size=12, unique=True)
    )
    used = np.array([entry[:2] for entry in entries])
    value = np.array([entry[2] for entry in entries])
    labels = np.arange(len(entries), dtype=np.int16)[:, None]
    left = set(Options(used, value, labels).undominated().labels[:, 0].tolist())
    for index, entry in enumerate(entries):
        better = [
            other
            for other in entries
            if other != entry
            and other[0] <= entry[0]
            and other[1] <= entry[1]
            and other[2] >= entry[2]
        ]
        assert (index in left) == (not better)
