import doctest

import pytest

from bench import kinds
from bench.kinds import SETTLED, Kind, kind_of
from instances.result import Status, StopReason


@pytest.mark.parametrize(
    ("status", "stop_reason", "kind"),
    [
        ("optimal", "completed", "optimal"),
        ("feasible", "completed", "feasible"),
        ("feasible", "time_limit", "feasible"),
        ("infeasible", "completed", "infeasible"),
        ("no_solution", "completed", "no_solution"),
        ("no_solution", "time_limit", "time_limit"),
        ("no_solution", "unsupported", "unsupported"),
        ("error", "memory_limit", "out_of_memory"),
        ("feasible", "memory_limit", "out_of_memory"),
        ("error", "crashed", "crashed"),
        ("feasible", "crashed", "crashed"),
        ("error", "solver_error", "crashed"),
        ("feasible", "solver_error", "crashed"),
        ("error", "wrong_claim", "wrong"),
    ],
)
def test_kind_of_every_end(status: str, stop_reason: str, kind: str) -> None:
    assert kind_of(status, stop_reason) is Kind(kind)
    assert kind_of(Status(status), StopReason(stop_reason)) is Kind(kind)


def test_every_combination_has_a_kind_and_every_kind_an_origin() -> None:
    found = {kind_of(status, stop_reason) for status in Status for stop_reason in StopReason}
    assert found == set(Kind)


def test_failures_are_what_another_try_could_change() -> None:
    assert set(Kind) - SETTLED == {
        Kind.NO_SOLUTION,
        Kind.TIME_LIMIT,
        Kind.OUT_OF_MEMORY,
        Kind.CRASHED,
        Kind.WRONG,
    }


def test_unknown_words_are_refused() -> None:
    with pytest.raises(ValueError, match="'done' is not a valid Status"):
        kind_of("done", "completed")


def test_examples() -> None:
    assert doctest.testmod(kinds).failed == 0
