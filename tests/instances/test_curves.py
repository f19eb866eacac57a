import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.deadline import Deadline
from instances.structure import curves
from instances.structure.curves import (
    NO_DEADLINE,
    Curve,
    Prefixes,
    add,
    add_all,
    frontier,
    nothing,
)


@st.composite
def leaf(draw: st.DrawFn) -> Curve:
    unit = draw(st.sampled_from([1, 3, 7, 10**9]))
    steps = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 20)), max_size=6))
    used = np.cumsum([0, *(step * unit for step, _ in steps)]).astype(np.int64)
    value = np.cumsum([0.0, *(gain for _, gain in steps)])
    # what a point means: its own index as an "expert"
    return Curve(used, value, Prefixes(np.arange(100), np.arange(used.size)))


def value_at(curve: Curve, room: int) -> float:
    return float(curve.value[np.searchsorted(curve.bytes, room, side="right") - 1])


@given(leaf(), leaf(), st.integers(0, 40))
def test_sum_is_the_best_split(left: Curve, right: Curve, tenths: int) -> None:
    capacity = tenths * (int(left.bytes[-1]) + int(right.bytes[-1])) // 30
    total = add(left, right, capacity)
    assert (total.bytes[0], total.value[0]) == (0, 0)
    assert np.all(np.diff(total.bytes) > 0)
    assert np.all(np.diff(total.value) > 0)
    assert total.bytes[-1] <= capacity
    pairs = [
        (a + b, v + w)
        for a, v in zip(left.bytes.tolist(), left.value, strict=True)
        for b, w in zip(right.bytes.tolist(), right.value, strict=True)
        if a + b <= capacity
    ]
    for room, _ in pairs:
        assert value_at(total, room) == max(v for b, v in pairs if b <= room)


@given(leaf(), leaf())
def test_dense_grid_and_lists_give_the_same_points(left: Curve, right: Curve) -> None:
    capacity = int(left.bytes[-1]) + int(right.bytes[-1])
    by_default = add(left, right, capacity)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_DENSE", 0)
        patch.setattr(curves, "_GRID_CELLS", 10**5)
        on_grid = add(left, right, min(capacity, 10**5))
        patch.setattr(curves, "_GRID_CELLS", -(10**9))
        on_lists = add(left, right, capacity)
    assert np.array_equal(by_default.bytes, on_lists.bytes)
    assert np.array_equal(by_default.value, on_lists.value)
    if capacity <= 10**5:
        assert np.array_equal(on_grid.value, on_lists.value)


@given(st.lists(leaf(), max_size=5), st.integers(0, 30))
def test_choices_add_up_to_every_point(leaves: list[Curve], tenths: int) -> None:
    leaves = [  # the experts of leaf k are 100 k, 100 k + 1, ...
        Curve(leaf.bytes, leaf.value, Prefixes(100 * k + np.arange(100), np.arange(len(leaf))))
        for k, leaf in enumerate(leaves)
    ]
    capacity = tenths * sum(int(curve.bytes[-1]) for curve in leaves) // 30
    total = add_all(leaves, capacity, NO_DEADLINE)
    by_hand = nothing()
    for curve in leaves:
        by_hand = add(by_hand, curve, capacity)
    assert np.array_equal(total.bytes, by_hand.bytes)
    assert np.allclose(total.value, by_hand.value, rtol=1e-14)
    for point in range(len(total)):
        used, value = 0, 0.0
        for chosen in total.choices(point):
            if chosen.size:
                curve = leaves[chosen[0] // 100]
                used += int(curve.bytes[chosen.size])
                value += float(curve.value[chosen.size])
        assert used == total.bytes[point]
        assert value == pytest.approx(total.value[point])


def test_when_time_is_up_nothing_more_is_added() -> None:
    curve = Curve(np.array([0, 1]), np.array([0.0, 1.0]), Prefixes(np.arange(1), np.arange(2)))
    assert len(add_all([curve], 10, Deadline.after(0.0))) == 1


def test_frontier_keeps_only_points_that_nothing_beats() -> None:
    used = np.array([0, 5, 5, 2, 3, 9])
    value = np.array([0.0, 4.0, 6.0, 3.0, 3.0, 6.0])
    assert frontier(used, value).tolist() == [0, 3, 2]


@given(leaf(), leaf(), st.integers(1, 8))
def test_thinned_sums_keep_the_concave_hull_and_only_attained_points(
    left: Curve, right: Curve, num_bins: int
) -> None:
    capacity = int(left.bytes[-1]) + int(right.bytes[-1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "_DENSE", 0)
        patch.setattr(curves, "_GRID_CELLS", -(10**9))
        exact = add(left, right, capacity)
        thin = add(left, right, capacity, num_bins=num_bins)
    assert len(thin) <= len(exact)
    points = dict(zip(exact.bytes.tolist(), exact.value.tolist(), strict=True))
    for used, value in zip(thin.bytes.tolist(), thin.value.tolist(), strict=True):
        assert points[used] == value
    for i, used in enumerate(exact.bytes.tolist()):  # no exact point above the thinned hull
        hull = np.interp(used, thin.bytes.astype(float), _concave(thin))
        assert exact.value[i] <= hull * (1 + 1e-12)


def _concave(curve: Curve) -> np.ndarray:
    """Return the concave hull of a curve at its own points."""
    used, value = curve.bytes.astype(float), curve.value
    return np.array(
        [
            max(
                value[a] + (value[b] - value[a]) * (used[i] - used[a]) / max(used[b] - used[a], 1)
                for a in range(i + 1)
                for b in range(i, len(curve))
            )
            for i in range(len(curve))
        ]
    )
