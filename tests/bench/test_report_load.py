"""The measurement of long reports: real rows through the real store, and limits that bite."""

import shutil
from pathlib import Path

import pytest

from bench import report_load
from bench.report_load import METHODS, Opening, fill_store, main
from bench.store import Store
from instances.errors import InputError


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("load") / "load.sqlite"
    assert fill_store(path, 10) >= 10
    return path


def test_rows_are_judged_results_with_placements_and_trajectories(store: Path) -> None:
    with Store.open(store) as opened:
        rows = opened.results()
        assert set(rows["algorithm"]) == set(METHODS)
        assert set(rows["status"]) == {"feasible"}
        assert not rows.duplicated(["checksum", "algorithm", "seed"]).any()
        for row in rows.itertuples():
            assert opened.placement(row.attempt_id) is not None
            assert opened.trajectory(row.attempt_id)[-1].saving_ms == row.saving_ms


@pytest.mark.parametrize(
    ("seconds", "most_bytes", "code"), [(1.0, 15_000_000, 0), (4.0, 15_000_000, 1), (1.0, 1000, 1)]
)
def test_a_page_that_is_too_slow_or_too_large_fails(
    store: Path,
    seconds: float,
    most_bytes: int,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opening = Opening(seconds=(seconds, 0.1, 9.0), plots=3, status="All")
    monkeypatch.setattr(report_load, "open_page", lambda page: opening)
    monkeypatch.setattr(report_load, "MOST_BYTES", most_bytes)
    assert main(["--store", str(store)]) == code
    out = capsys.readouterr().out
    assert f"opened in {seconds:.2f} s (median of 3, from 0.10 to 9.00; at most 3)" in out


def test_without_a_browser_it_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(InputError, match="chromium: is not installed"):
        report_load.open_page(tmp_path / "index.html")
