import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.cli import main
from bench.comparison import Change, bootstrap, compare
from bench.environment import Environment
from bench.facts import describe_instance
from bench.records import AttemptKey, AttemptRecord
from bench.store import Store
from instances.errors import InputError
from instances.problem import Instance


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    plain = {
        "algorithm": "greedy",
        "parameters": "{}",
        "seed": pd.NA,
        "time_limit": 10.0,
        "start": "",
        "saving_ms": 50.0,
        "bound_saving_ms": math.nan,
        "kind": "feasible",
        "seconds": 1.0,
        "empty_latency_ms": 200.0,
    }
    frame = pd.DataFrame([{**plain, **row} for row in rows])
    return frame.astype({"seed": "Int64"})


def _rows(count: int = 12, **changes: Any) -> list[dict[str, Any]]:
    return [{"checksum": f"c{number:02}", **changes} for number in range(count)]


def _compare(old: list[dict[str, Any]], new: list[dict[str, Any]], **options: Any) -> Any:
    options = {"time_tolerance": 0.1, "same_machine": True, **options}
    return compare(_frame(old), _frame(new), **options)


def _found(comparison: Any, quantity: str, method: str = "greedy") -> Change:
    (change,) = (c for c in comparison.changes if (c.method, c.quantity) == (method, quantity))
    return change  # type: ignore[no-any-return]


def test_equal_sets_are_the_same() -> None:
    comparison = _compare(_rows(), _rows())
    assert {change.quantity: change.verdict for change in comparison.changes} == {
        "saving": "same",
        "ending": "same",
        "time": "same",
    }
    assert comparison.worse == ()
    assert (comparison.pairs, comparison.only_old, comparison.only_new) == (12, 0, 0)


def test_saving_that_is_smaller_everywhere_is_worse() -> None:
    """49 against 50: a change of -2 % in each of 12 pairs."""
    comparison = _compare(_rows(), _rows(saving_ms=49.0))
    change = _found(comparison, "saving")
    assert (change.pairs, change.better, change.worse, change.verdict) == (12, 0, 12, "worse")
    assert (change.mean, change.low, change.high) == pytest.approx((-0.02,) * 3)
    assert comparison.worse == (change,)
    assert _found(_compare(_rows(saving_ms=49.0), _rows()), "saving").verdict == "better"


def test_few_pairs_and_single_outliers_are_not_significant() -> None:
    assert _found(_compare(_rows(5), _rows(5, saving_ms=1.0)), "saving").verdict == "unclear"
    assert _found(_compare(_rows(6), _rows(6, saving_ms=1.0)), "saving").verdict == "worse"
    one_bad = [*_rows(11), {"checksum": "c11", "saving_ms": 1.0}]
    assert _found(_compare(_rows(), one_bad), "saving").verdict == "unclear"
    mixed = [{**row, "saving_ms": 50.0 + (-1) ** k} for k, row in enumerate(_rows())]
    assert _found(_compare(_rows(), mixed), "saving").verdict == "unclear"


def test_seeds_of_one_instance_count_as_one() -> None:
    """Worse on one instance with 20 seeds, equal on five others: no evidence about instances."""
    old = [{"checksum": "a", "seed": seed} for seed in range(20)] + _rows(5, seed=0)
    new = [{**row, "saving_ms": 40.0 if row["checksum"] == "a" else 50.0} for row in old]
    change = _found(_compare(old, new), "saving")
    assert (change.worse, change.verdict) == (20, "unclear")
    assert change.mean == pytest.approx(-0.2 / 6)


def test_lost_placement_counts_as_saving_nothing() -> None:
    lost = {"saving_ms": math.nan, "kind": "crashed", "seconds": 0.1}
    comparison = _compare(_rows(), _rows(**lost))
    assert _found(comparison, "saving").mean == -1.0
    ending = _found(comparison, "ending")
    assert (ending.mean, ending.verdict) == (-1.0, "worse")
    assert [change.quantity for change in comparison.changes] == ["saving", "ending"]  # no time
    back = _compare(_rows(**lost), _rows())
    assert _found(back, "ending").verdict == _found(back, "saving").verdict == "better"


def test_unsupported_is_no_failure() -> None:
    comparison = _compare(_rows(), _rows(saving_ms=math.nan, kind="unsupported"))
    assert _found(comparison, "ending").verdict == "same"


def test_higher_bound_is_worse_and_a_lost_one_counts_as_the_trivial_one() -> None:
    tight = _rows(bound_saving_ms=60.0)
    assert _found(_compare(tight, _rows(bound_saving_ms=61.0)), "bound").verdict == "worse"
    assert _found(_compare(tight, _rows(bound_saving_ms=59.0)), "bound").verdict == "better"
    lost = _found(_compare(tight, _rows()), "bound")
    assert lost.mean == pytest.approx((60 - 200) / 200)
    assert lost.verdict == "worse"


@pytest.mark.parametrize(
    ("seconds", "options", "verdict"),
    [
        (1.05, {}, "unclear"),
        (1.2, {}, "worse"),
        (1.2, {"time_tolerance": 0.25}, "unclear"),
        (1.05, {"time_tolerance": 0.0}, "worse"),
        (0.5, {}, "better"),
        (5.0, {"same_machine": False}, "unclear"),
    ],
)
def test_time_is_judged_beyond_its_tolerance(
    seconds: float, options: dict[str, Any], verdict: str
) -> None:
    change = _found(_compare(_rows(), _rows(seconds=seconds), **options), "time")
    assert change.verdict == verdict
    assert change.mean == pytest.approx(math.log(1 / seconds))


def test_times_below_a_millisecond_are_equal() -> None:
    change = _found(_compare(_rows(seconds=1e-5), _rows(seconds=9e-4)), "time")
    assert change.verdict == "same"


def test_keys_decide_who_is_compared() -> None:
    old = [*_rows(3), *_rows(2, algorithm="milp", start="auto"), *_rows(1, time_limit=math.nan)]
    new = [*_rows(4), *_rows(2, algorithm="milp", start="none"), *_rows(1, time_limit=math.nan)]
    comparison = _compare(old, new)
    assert (comparison.pairs, comparison.only_old, comparison.only_new) == (4, 2, 3)
    assert {change.method for change in comparison.changes} == {"greedy (-1 s)", "greedy (10 s)"}
    with pytest.raises(InputError, match="compare: no attempt of the first has a partner"):
        _compare(_rows(), _rows(algorithm="other"))


@given(
    st.lists(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=4), min_size=1, max_size=8)
)
def test_interval_turns_around_with_the_sign(values: list[list[float]]) -> None:
    groups = [np.array(group, dtype=np.float64) for group in values]
    low, high = bootstrap(groups, 0.05)
    assert min(map(min, values)) - 1e-12 <= low <= high <= max(map(max, values)) + 1e-12
    minus_low, minus_high = bootstrap([-group for group in groups], 0.05)
    assert (minus_low, minus_high) == pytest.approx((-high, -low), abs=1e-9)


def test_interval_of_a_known_distribution() -> None:
    """50 instances, normal with deviation 1: 95 % of the mean lie within 1.96 / sqrt(50)."""
    values = np.random.default_rng(1).normal(size=50)
    values = (values - values.mean()) / values.std()
    low, high = bootstrap([np.array([value]) for value in values], 0.05)
    assert (low, high) == pytest.approx((-0.277, 0.277), abs=0.02)


# -- the command ------------------------------------------------------------------------------


@pytest.fixture
def write(tiny: Instance, tmp_path: Path) -> Callable[..., Path]:
    record = describe_instance(
        tiny, family="tiny", size="tiny", seed=0, options={}, code_version="v"
    )

    def write(name: str, saving: float, *, version: str = "0.1.0+src.aaa", cpu: str = "x") -> Path:
        path = tmp_path / name
        environment = Environment(
            python="3", platform="L", cpu=cpu, cores=1, memory_bytes=1, versions={}
        )
        with Store.open_for_writing(path) as store:
            number = store.add_environment(environment)
            for instance in range(8):
                checksum = f"c{instance}"
                store.add_instance(dataclasses.replace(record, checksum=checksum))
                store.record(
                    AttemptRecord(
                        key=AttemptKey(checksum=checksum, algorithm="greedy"),
                        exact=False,
                        status="feasible",
                        stop_reason="completed",
                        reason="",
                        seconds=0.5,
                        started_at="2026-01-01T00:00:00.000+00:00",
                        code_version=version,
                        environment=number,
                        saving_ms=saving,
                        latency_ms=1.0,
                    )
                )
        return path

    return write


def test_exit_codes_tell_better_from_worse(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    low, high = str(write("low.sqlite", 1.0)), str(write("high.sqlite", 2.0))
    assert main(["compare", low, high]) == 0
    out = capsys.readouterr().out
    assert "8 pairs" in out
    assert "+50 % [+50, +50]" in out
    assert main(["compare", high, low]) == 1
    captured = capsys.readouterr()
    assert "worse" in captured.out
    assert captured.err == "moeplace: worse: greedy: saving -50 % [-50, -50]\n"
    assert main(["compare", high, low, "--json"]) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"] is False
    assert answer["pairs"] == 8
    assert answer["changes"][0] == {
        **{"method": "greedy", "quantity": "saving", "pairs": 8, "better": 0, "worse": 8},
        **{"mean": -0.5, "low": -0.5, "high": -0.5, "verdict": "worse"},
    }


def test_versions_in_one_store(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write("both.sqlite", 2.0)
    store = str(write("both.sqlite", 1.0, version="0.1.0+src.bbb"))
    assert main(["compare", store, "--versions", "aaa", "bbb"]) == 1
    assert "greedy: saving -50 %" in capsys.readouterr().err
    assert main(["compare", store, "--versions", "0.1.0+src.bbb", "aaa"]) == 0
    capsys.readouterr()
    for words, text in (
        ([store], "compare: give a second store, or --versions OLD NEW"),
        ([store] * 3, "compare: 3 stores are given; two can be compared"),
        ([store, "--versions", "aaa", "x"], "'x' is not there; known: 0.1.0+src.aaa, 0.1.0+src.b"),
        ([store, "--time-tolerance", "-1"], "'-1' is not a positive number"),
    ):
        try:
            code = main(["compare", *words])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        assert code == 2
        err = capsys.readouterr().err
        assert text in err
        assert err.count("\n") == 1


def test_times_of_different_processors_are_not_judged(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = str(write("one.sqlite", 1.0)), str(write("other.sqlite", 1.0, cpu="y"))
    assert main(["compare", one, other]) == 0
    assert "different processors: times are shown, but not judged" in capsys.readouterr().out
