import importlib.util
import json
from pathlib import Path

import pandas as pd
import pytest

from bench.cli import main
from bench.export_store import export_store
from bench.store import Store
from instances.errors import InputError


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("export") / "results.sqlite"
    words = ["run", "--families", "tiny", "--sizes", "tiny", "--store", str(path), "--with"]
    assert main([*words, "greedy", "random", "layer-enumeration"]) == 0
    assert main([*words, "greedy", "--redo", "all"]) == 0
    return path


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_tables_read_back_exactly(path: Path, tmp_path: Path, file_format: str) -> None:
    with Store.open(path) as store:
        counts = export_store(store, tmp_path / "out", file_format)
        attempts, trajectories = store.results(), store.trajectories()
        stored = {
            (row.attempt_id, server, entry["model"], entry["layer"], expert)
            for row in attempts.itertuples()
            for server, entries in (store.placement(row.attempt_id) or {"servers": {}})[
                "servers"
            ].items()
            for entry in entries
            for expert in entry["experts"]
        }
    trajectories = trajectories[trajectories["attempt_id"].isin(attempts["attempt_id"])]

    def read(name: str) -> pd.DataFrame:
        file = tmp_path / "out" / f"{name}.{file_format}"
        if file_format == "parquet":
            return pd.read_parquet(file)
        return pd.read_csv(file, keep_default_na=False, na_values=[""])

    assert len(attempts) == counts["attempts"] == 3
    for table, expected in (
        ("attempts", attempts),
        ("trajectories", trajectories.reset_index(drop=True)),
    ):
        found = read(table)
        assert list(found.columns) == list(expected.columns)
        for column in ("saving_ms", "seconds", "bound_certified", "attempt_id"):
            pd.testing.assert_series_equal(
                found[column], expected[column], check_dtype=False, check_exact=True
            )
    assert set(read("placements").itertuples(index=False, name=None)) == stored
    assert counts["placements"] == len(stored) > 0
    assert read("instances")["checksum"].tolist() == attempts["checksum"].unique().tolist()


def test_history_is_written_on_demand(path: Path, tmp_path: Path) -> None:
    with Store.open(path) as store:
        counts = export_store(store, tmp_path, "csv", history=True)
    assert counts["attempts"] == 4
    written = pd.read_csv(tmp_path / "attempts.csv")
    assert written["algorithm"].value_counts()["greedy"] == 2
    assert written["superseded_by"].notna().sum() == 1


def test_command_says_what_it_wrote(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["store", "export", str(path), "-o", str(tmp_path / "new")]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "attempts.csv" in out
    assert "3 rows" in out
    assert main([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"]["instances"] == 1


def test_what_cannot_be_written_is_refused_in_one_line(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    file.touch()
    with Store.open(path) as store:
        with pytest.raises(InputError, match="file: cannot be written: it is not a directory"):
            export_store(store, file, "csv")
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(InputError, match=r"--format: parquet needs pyarrow.*moeplace\[parquet"):
            export_store(store, tmp_path / "out", "parquet")
    assert not (tmp_path / "out").exists()
