"""The measured table as a JSON document.

{"format": "moeplace/peers", "version": 1,
"measured_at": "2026-11-23T14:00:00+00:00",      end of the measurement, UTC
"size": "full",                                  or "toy"
"code_version": "0.1.0+src.1f2e3d4c5b6a",
"environment": {"python", "platform", "cpu", "cores", "memory_bytes", "versions"},
"rows": [{"comparison": "greedy",                name, as --only takes it
"case": "50 users, ...",               the instance
"ours": "greedy",                      what is timed on our side
"peer": "submodlib-py 0.0.3: ...",     what is timed instead, with its version
"checked": "same picks, same value",   what was found to be the same; or why not measured
"measured": true,                      false: the peer is not installed
"finished": true,                      false: the peer ran out of time, ratios are lower bounds
"ours_seconds", "peer_seconds",        best wall clock; null where not measured
"ours_cpu_seconds", "peer_cpu_seconds",  best processor time, children included
"ratio", "cpu_ratio",                  peer / ours: above 1, moeplace is faster
"detail": {...}}]}                     further figures of the comparison
"""

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.environment import code_version, current_environment
from bench.peers.race import Row

FORMAT = "moeplace/peers"
VERSION = 1


def document(rows: Sequence[Row], size: str) -> dict[str, Any]:
    """Describe what was measured, and where."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "size": size,
        "code_version": code_version(),
        "environment": dataclasses.asdict(current_environment()),
        "rows": [_row(row) for row in rows],
    }


def write(path: Path, rows: Sequence[Row], size: str) -> None:
    """Write the document."""
    text = json.dumps(document(rows, size), indent=1, allow_nan=False, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def _row(row: Row) -> dict[str, Any]:
    measured = row.ours_s is not None and row.peer_s is not None
    return {
        "comparison": row.comparison,
        "case": row.case,
        "ours": row.ours,
        "peer": row.peer,
        "checked": row.checked,
        "measured": measured,
        "finished": row.finished,
        "ours_seconds": None if row.ours_s is None else row.ours_s.wall,
        "peer_seconds": None if row.peer_s is None else row.peer_s.wall,
        "ours_cpu_seconds": None if row.ours_s is None else row.ours_s.cpu,
        "peer_cpu_seconds": None if row.peer_s is None else row.peer_s.cpu,
        "ratio": row.ratio if measured else None,
        "cpu_ratio": row.cpu_ratio if measured else None,
        "detail": dict(row.detail),
    }
