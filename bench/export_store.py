"""A store as tables, for programs that do not read SQLite: CSV or Parquet files in a folder."""

import importlib.util
import io
from pathlib import Path
from typing import TYPE_CHECKING

from bench.store import Store
from instances.errors import InputError
from instances.files import write_atomically

if TYPE_CHECKING:
    import pandas as pd


def export_store(
    store: Store, folder: Path, file_format: str, *, history: bool = False
) -> dict[str, int]:
    """Write the tables, one file each, and return how many rows each has.

    ``attempts`` and ``instances`` have the columns of :meth:`Store.results` and
    :meth:`Store.instances`, ``trajectories`` those of :meth:`Store.trajectories`. ``placements``
    has one row for each server, layer and expert that is stored: attempt_id, server, model, layer,
    expert.

    Raises
    ------
    InputError
        When the store or the folder cannot be used, or Parquet cannot be written here.
    """
    if file_format == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise InputError(
            "--format", "parquet needs pyarrow, which is not installed: moeplace[parquet] brings it"
        )
    if folder.exists() and not folder.is_dir():
        raise InputError("", "cannot be written: it is not a directory", source=str(folder))
    attempts = store.results(history=history)
    trajectories = store.trajectories()
    tables = {
        "attempts": attempts,
        "trajectories": trajectories[trajectories["attempt_id"].isin(attempts["attempt_id"])],
        "instances": store.instances(),
        "placements": _placements(store, attempts["attempt_id"].tolist()),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        write_atomically(folder / f"{name}.{file_format}", _content(table, file_format))
    return {name: len(table) for name, table in tables.items()}


def _content(table: "pd.DataFrame", file_format: str) -> bytes:
    if file_format == "csv":
        return bytes(table.to_csv(index=False, lineterminator="\n").encode())
    buffer = io.BytesIO()
    table.to_parquet(buffer, engine="pyarrow", index=False)
    return buffer.getvalue()


def _placements(store: Store, attempts: list[int]) -> "pd.DataFrame":
    import pandas as pd

    rows = []
    for attempt_id in attempts:
        content = store.placement(attempt_id)
        if content is None:
            continue
        rows += [
            (attempt_id, server, entry["model"], entry["layer"], expert)
            for server, entries in content["servers"].items()
            for entry in entries
            for expert in entry["experts"]
        ]
    columns = ["attempt_id", "server", "model", "layer", "expert"]
    whole = {"attempt_id": "int64", "layer": "int64", "expert": "int64"}
    kinds = {**dict.fromkeys(columns, "object"), **whole}
    return pd.DataFrame(rows, columns=columns).astype(kinds)
