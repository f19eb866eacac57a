import math

import numpy as np
import pytest

from bench.planning.moves import find_moves, knee
from bench.planning.trade_off import draw_trade_off, ticks
from heuristics.migration import Move
from instances.evaluation import evaluate
from instances.moves import moved_bytes
from instances.placement import Placement
from instances.problem import Instance
from tests.instances.test_moves import feasible_placements


def frontier(*points: tuple[int, float]) -> tuple[Move, ...]:
    nothing = Placement(np.zeros((1, 1), dtype=np.bool_))
    return tuple(Move(placement=nothing, loaded_bytes=b, saving_ms=s) for b, s in points)


def test_the_knee_is_where_a_byte_begins_to_bring_less_than_on_average() -> None:
    assert knee(frontier((0, 10.0), (10, 18.0), (50, 19.0), (100, 20.0))) == 1
    assert knee(frontier((0, 0.0), (50, 1.0), (100, 2.0))) == 2  # straight: all of it
    assert knee(frontier((0, 5.0))) == 0


@pytest.mark.parametrize("budget", [None, 0, 10, 20, 50])
def test_budget_and_bound_against_all_placements(
    tiny: Instance, tiny_placement: Placement, budget: int | None
) -> None:
    old = Placement.of(tiny, [(0, 5), (1, 5), (1, 2)])
    moves = find_moves(
        tiny,
        old=old,
        old_file="old.json",
        new=tiny_placement,
        budget_bytes=budget,
        unrestricted_bound_ms=math.inf,
        time_limit=60.0,
        memory_bytes=None,
        seed=0,
    )
    loaded = int(moved_bytes(tiny, old, moves.move.placement).sum())
    allowed = loaded if budget is None else budget
    assert loaded <= allowed
    assert moves.old.loaded_bytes == 0
    assert moves.old.saving_ms <= moves.move.saving_ms
    best = max(
        evaluate(tiny, placement).saving_ms
        for placement in feasible_placements(tiny)
        if int(moved_bytes(tiny, old, placement).sum()) <= allowed
    )
    assert moves.move.saving_ms == pytest.approx(best)  # tiny: found
    assert best <= moves.bound_ms * (1 + 1e-12)


def test_the_picture_has_all_points_and_round_numbers() -> None:
    from bench.planning.moves import Moves

    moves = Moves(
        old_file="old.json",
        budget_bytes=None,
        frontier=frontier((0, 10.0), (10**9, 18.0), (4 * 10**9, 19.5)),
        chosen=1,
        bound_ms=math.inf,
    )
    picture = str(draw_trade_off(moves))
    assert picture.count('class="dot"') == 3
    assert picture.count('class="pick"') == 1
    for label in ("1 GB", "4 GB", ">2<", ">8<"):
        assert label in picture
    assert ticks(0.3)[-1] == pytest.approx(0.3)
