"""Runs beside the archive of best known values, by hand."""

import dataclasses
import math

import pytest

from bench.summary import summarise
from tests.bench.attempts import archive_of, attempt, failure, frame, optimum

OTHER = {"instance": "other", "checksum": "c9"}


def test_gaps_to_the_best_known_value_and_bound() -> None:
    rows = [attempt(saving_ms=80.0), attempt(algorithm="b", saving_ms=120.0), optimum(100.0)]
    archive = archive_of(frame(*rows[:1]))
    name = rows[0]["instance"]
    archive[name] = dataclasses.replace(archive[name], saving_ms=100.0, bound_saving_ms=125.0)
    summary = summarise(frame(*rows, failure(algorithm="dead")), archive=archive)
    gaps = summary.attempts.set_index("algorithm")[["known_gap", "known_bound_gap"]]
    assert gaps.loc["greedy"].tolist() == pytest.approx([0.2, 45 / 125])
    assert gaps.loc["b"].tolist() == pytest.approx([-0.2, 5 / 125])
    assert gaps.loc["milp-compact"].tolist() == pytest.approx([0.0, 0.2])
    assert gaps.loc["dead"].isna().all()
    (instance,) = summary.instances.to_dict("records")
    assert (instance["known_ms"], instance["known_by"]) == (100.0, "somebody")
    assert instance["known_gap"] == pytest.approx(-0.2)
    methods = summary.methods.set_index("label")
    assert methods["known_reached"].to_dict() == {
        **{"greedy": 0, "b": 1, "milp-compact": 1, "dead": 0}
    }


def test_another_instance_of_the_same_name_is_not_compared() -> None:
    row = attempt()
    archive = archive_of(frame(row))
    summary = summarise(frame({**row, "checksum": "another"}), archive=archive)
    assert summary.attempts["known_gap"].isna().all()
    assert summary.instances["known_by"].tolist() == [""]


@pytest.mark.parametrize(("saving", "gap"), [(0.0, 0.0), (1.0, -math.inf)])
def test_where_the_best_known_saving_is_zero(saving: float, gap: float) -> None:
    archive = archive_of(frame(attempt(saving_ms=0.0)))
    summary = summarise(frame(attempt(saving_ms=saving)), archive=archive)
    assert summary.attempts["known_gap"].tolist() == [gap]


def test_a_value_without_a_bound() -> None:
    archive = archive_of(frame(attempt()))
    (name,) = archive
    archive[name] = dataclasses.replace(archive[name], bound_saving_ms=math.inf, bounded=None)
    summary = summarise(frame(attempt(), attempt(**OTHER)), archive=archive)
    assert summary.attempts["known_gap"].notna().tolist() == [True, False]
    assert summary.attempts["known_bound_gap"].isna().all()
    assert summary.methods["known_bound_gap_count"].tolist() == [0]
