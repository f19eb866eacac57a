"""What the script of the report reads: runs in columns, trajectories and maps, as JSON.

Names travel as JSON strings and reach the page as text only. The letters that mean something in
HTML are written as escapes, so that no name can end the element that holds them.
"""

import base64
import json
import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from bench.drawing import MARKERS, SERIES
from bench.instance_pages import InstancePage
from bench.placement_map import PlacementMap
from bench.plots import family_looks
from bench.summary import Summary, reason_pattern, size_rank
from instances.result import Status, StopReason

NUMBERS = (
    *("saving_ratio", "latency_ratio", "bound_gap", "certified_gap", "seconds", "saving_ms"),
    *("latency_ms", "bound_saving_ms", "known_gap", "known_bound_gap", "primal_integral"),
    "primal_dual_integral",
)


def page_data(summary: Summary, pages: Sequence[InstancePage]) -> Markup:
    """Return the data of the page, safe between the tags of an element."""
    attempts, instances = summary.attempts, summary.instances
    families = sorted(set(attempts["family"]))
    sizes = sorted(set(attempts["size"]), key=size_rank)
    methods = list(summary.methods["label"])
    checksums = list(instances["checksum"])
    looks = family_looks(families)
    data = {
        "families": [
            {
                "name": name,
                "colour": SERIES.index(looks[name][0]) + 1,
                "marker": MARKERS.index(looks[name][1]),
                "filled": looks[name][2],
            }
            for name in families
        ],
        "gaps": bool((summary.methods["bound_gap_count"] > 0).any()),
        "certified": bool((summary.methods["certified_gap_count"] > 0).any()),
        "sizes": sizes,
        "methods": [
            {"name": label, "exact": bool(exact)}
            for label, exact in zip(methods, summary.methods["exact"], strict=True)
        ],
        "instances": [
            {
                "name": row["instance_label"],
                "family": families.index(row["family"]),
                "size": sizes.index(row["size"]),
                "clauses": int(row["clauses"]),
                "optimum": number(row["optimum_ms"]),
                "bound": number(row["bound_ms"]),
                "reference": number(row["reference_ms"]),
                "horizon": number(row["horizon_s"]),
            }
            for row in instances.to_dict("records")
        ],
        "runs": {
            "instance": _indices(attempts["checksum"], checksums),
            "method": _indices(attempts["label"], methods),
            "failure": _failure_numbers(summary),
            "solved": _flags(attempts["solved"]),
            "unsupported": _flags(attempts["unsupported"]),
            "proven": _flags(attempts["status"] == Status.OPTIMAL),
            "refuted": _flags(attempts["status"] == Status.ERROR),
            "limited": _flags(attempts["stop_reason"] == StopReason.TIME_LIMIT),
            "seed": [None if pd.isna(seed) else int(seed) for seed in attempts["seed"]],
            **{name: [number(value) for value in attempts[name]] for name in NUMBERS},
        },
        "pages": _pages(attempts, pages),
    }
    return _escaped(data)


def number(value: float) -> float | str | None:
    """Return a number as JSON has it: null when unknown, text when infinite.

    >>> number(0.5), number(math.nan), number(math.inf)
    (0.5, None, 'Infinity')
    """
    if math.isnan(value):
        return None
    return float(value) if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"


def _drawn(value: float) -> float | None:
    """Return a number of a picture: nine significant digits are more than anyone sees."""
    return float(f"{value:.9g}") if math.isfinite(value) else None


def _escaped(data: Any) -> Markup:
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for letter in "&<>":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)  # nothing in it is markup any more


def _pages(attempts: pd.DataFrame, pages: Sequence[InstancePage]) -> list[dict[str, Any]]:
    if not pages:
        return []
    rows = {attempt: row for row, attempt in enumerate(attempts["attempt_id"])}
    return [
        {
            "trajectories": [
                {
                    "run": rows[attempt],
                    "seconds": [_drawn(step.seconds) for step in steps],
                    "savings": [_drawn(step.saving_ms) for step in steps],
                    "bounds": [_drawn(step.bound_saving_ms) for step in steps],
                }
                for attempt, steps in page.trajectories.items()
            ],
            "map": None if page.shown is None else _map(page.shown),
        }
        for page in pages
    ]


def _map(shown: PlacementMap) -> dict[str, Any]:
    """Return a map with its bits packed, row by row, the first bit highest."""
    bits = np.packbits(shown.stored, axis=1)
    return {
        "servers": list(shown.servers),
        "models": [list(model) for model in shown.models],
        "stored": [base64.b64encode(row.tobytes()).decode() for row in bits],
    }


def _failure_numbers(summary: Summary) -> list[int | None]:
    """Return for each attempt the row of the table of failures that counts it."""
    columns = ["kind", "label", "status", "stop_reason"]
    failures = summary.failures
    known = {
        (*key, reason_pattern(reason)): row
        for row, (*key, reason) in enumerate(failures[[*columns, "reason"]].itertuples(index=False))
    }
    attempts = summary.attempts
    kinds = np.where(attempts["unsupported"], "unsupported", "failed")
    return [
        None if solved else known[kind, label, status, stop_reason, reason_pattern(reason)]
        for kind, solved, label, status, stop_reason, reason in zip(
            kinds,
            *(attempts[name] for name in ("solved", "label", "status", "stop_reason", "reason")),
            strict=True,
        )
    ]


def _indices(values: Iterable[str], names: Sequence[str]) -> list[int]:
    positions = {name: position for position, name in enumerate(names)}
    return [positions[value] for value in values]


def _flags(values: Iterable[bool]) -> list[int]:
    return [int(value) for value in values]
