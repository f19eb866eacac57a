import math

import pytest

from bench.standings import find_standings
from bench.statistics import shifted_geometric_mean
from bench.summary import summarise
from tests.bench.attempts import attempt, benchmark, failure, frame, optimum, unsupported


def standings(*rows):
    return find_standings(summarise(frame(*rows)))


def on(name, family="mixtral"):
    return {"instance": name, "checksum": name, "family": family}


def test_ranks_and_contests_by_hand():
    # a is best on both families; b ties with it on x and fails on y; the optimum is 100.
    rows = [optimum(100.0, **on("x")), optimum(100.0, **on("y", "switch"))]
    rows += [attempt(algorithm="a", saving_ms=90.0, seconds=1.0, **on("x"))]
    rows += [attempt(algorithm="a", saving_ms=80.0, seconds=4.0, **on("y", "switch"))]
    rows += [attempt(algorithm="b", saving_ms=90.0, seconds=2.0, **on("x"))]
    rows += [failure(algorithm="b", **on("y", "switch"))]
    found = standings(*rows)
    assert (found.best, found.families) == ("a", 2)
    first, second = found.rows.to_dict("records")
    assert (first["label"], first["rank"], second["rank"]) == ("a", 1.25, 1.75)
    assert (second["wins"], second["ties"], second["losses"]) == (1, 1, 0)
    assert second["lead"] == 0.5
    assert math.isnan(second["low"])  # one seed of each says nothing about others
    assert math.isnan(first["lead"])
    mean = shifted_geometric_mean([1.0, 4.0], shift=0.01, failures="omit")
    assert first["seconds"] == pytest.approx(mean.value)
    assert (second["timed"], second["unanswered"]) == (1, 1)
    assert found.critical_difference > 0


@pytest.mark.parametrize("seeds", [4, 5])
def test_intervals_need_five_seeds_everywhere(seeds):
    rows = []
    for seed in range(seeds):
        rows += [attempt(algorithm="a", saving_ms=90.0, **on(f"x{seed}"))]
        rows += [attempt(algorithm="b", saving_ms=95.0 if seed == 1 else 50.0, **on(f"x{seed}"))]
    found = standings(*rows)
    (row,) = found.rows[found.rows["label"] == "b"].to_dict("records")
    assert (row["wins"], row["losses"]) == (seeds - 1, 1)
    if seeds < 5:
        assert math.isnan(row["low"])
    else:
        assert -1 <= row["low"] < row["lead"] < row["high"] <= 1


def test_exact_methods_are_not_ranked():
    labels = set(find_standings(summarise(benchmark())).rows["label"])
    assert "milp-compact" not in labels
    assert "successive-dp" in labels


def test_an_unanswered_instance_counts_as_nothing_saved():
    rows = [optimum(100.0), unsupported(algorithm="a"), attempt(algorithm="b", saving_ms=1.0)]
    assert standings(*rows).best == "b"


def test_a_heuristic_that_was_not_run_everywhere_is_left_out():
    rows = [attempt(algorithm=name, **on("x")) for name in "abc"]
    rows += [attempt(algorithm=name, **on("y")) for name in "ab"]
    found = standings(*rows)
    assert found.left_out == ("c",)
    assert set(found.rows["label"]) == {"a", "b"}


def test_with_one_family_nothing_is_tested():
    found = standings(attempt(algorithm="a"), attempt(algorithm="b", saving_ms=1.0))
    assert math.isnan(found.p_value)
    assert math.isnan(found.critical_difference)


def test_where_nothing_can_be_saved_all_tie():
    found = standings(attempt(algorithm="a", saving_ms=0.0), attempt(algorithm="b", saving_ms=0.0))
    assert list(found.rows["rank"]) == [1.5, 1.5]


@pytest.mark.parametrize(
    "rows",
    [[], [attempt()], [failure(algorithm="a"), failure(algorithm="b")], [optimum(1.0), attempt()]],
    ids=["empty", "one", "all failed", "one heuristic"],
)
def test_without_two_heuristics_and_an_answer_there_are_no_standings(rows):
    assert standings(*rows) is None
