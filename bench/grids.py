"""Tables of the report with methods or sizes across."""

from typing import Any

import pandas as pd

from bench import formats
from bench.summary import Summary, size_rank


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows of a table."""
    return [dict(row) for row in table.to_dict("records")]


def matrix(summary: Summary, column: str) -> dict[str, Any]:
    """Arrange the mean and worst of a column by family (rows) and method (columns)."""
    counted = summary.families[summary.families[f"{column}_count"] > 0]
    order = summary.methods[summary.methods[f"{column}_count"] > 0].sort_values(
        f"{column}_mean", ascending=column == "bound_gap", kind="stable"
    )
    worst = order[f"{column}_worst"]
    flawed = worst > formats.NOISE if column == "bound_gap" else worst < 1 - formats.NOISE
    kept = order[flawed | ~order["exact"]]
    methods = list((order if kept.empty else kept)["label"])
    left_out = sorted(set(order["label"]) - set(methods))
    cells = {}
    for row in records(counted):
        mean = row[f"{column}_mean"]
        share = 1 - mean if column == "bound_gap" else mean
        # The fourth power sets 0.99 apart from 0.9, where methods worth using differ.
        shaded = {"shade": f"{min(1.0, max(0.0, share)) ** 4:.3f}"}
        cells[row["family"], row["label"]] = row | shaded
    rows = [
        {"family": family, "cells": [cells.get((family, method)) for method in methods]}
        for family in sorted(set(counted.loc[counted["label"].isin(methods), "family"]))
    ]
    return {"methods": methods, "rows": rows, "column": column, "left_out": left_out}


def time_matrix(summary: Summary) -> dict[str, Any]:
    """Arrange the times by method (rows) and size (columns)."""
    times = records(summary.times)
    sizes = sorted({row["size"] for row in times}, key=size_rank)
    cells = {(row["label"], row["size"]): row for row in times}
    order = summary.methods[summary.methods["solved"] > 0].sort_values(
        ["seconds_median", "label"], kind="stable"
    )
    rows = [
        {"method": row, "cells": [cells.get((row["label"], size)) for size in sizes]}
        for row in records(order)
    ]
    return {"sizes": sizes, "rows": rows}
