"""Attempts as the store would return them, for tests of tables, pictures and pages."""

import hashlib
import math
from typing import Any

import pandas as pd

from instances.best_known.entry import Entry, Provenance


def attempt(**changes: Any) -> dict[str, Any]:
    """One solved attempt of a heuristic; derive others from it."""
    row = {
        "instance": "mixtral-tiny-s0",
        "checksum": "c0",
        "family": "mixtral",
        "size": "tiny",
        "instance_seed": 0,
        "models": 1,
        "servers": 3,
        "users": 5,
        "layers": 4,
        "experts": 32,
        "top_k": 2,
        "rows": 560,
        "clauses": 400,
        "algorithm": "greedy",
        "exact": False,
        "parameters": "{}",
        "seed": 0,
        "time_limit": 30.0,
        "start": "",
        "status": "feasible",
        "stop_reason": "completed",
        "reason": "",
        "saving_ms": 80.0,
        "latency_ms": 120.0,
        "empty_latency_ms": 200.0,
        "bound_saving_ms": math.nan,
        "bound_certified": False,
        "seconds": 0.01,
        "guarantee_ratio": math.nan,
        "guarantee": "",
    }
    unknown = set(changes) - set(row)
    assert not unknown, unknown
    row.update(changes)
    if "saving_ms" in changes and "latency_ms" not in changes:
        row["latency_ms"] = row["empty_latency_ms"] - row["saving_ms"]
    return row


def optimum(saving_ms: float = 100.0, **changes: Any) -> dict[str, Any]:
    """An attempt that proves the optimum."""
    return attempt(
        **{
            "algorithm": "milp-compact",
            "exact": True,
            "status": "optimal",
            "saving_ms": saving_ms,
            "bound_saving_ms": saving_ms,
            "seconds": 5.0,
            **changes,
        }
    )


def failure(stop_reason: str = "crashed", **changes: Any) -> dict[str, Any]:
    """An attempt that ended without a placement."""
    return attempt(
        **{
            "status": "error",
            "stop_reason": stop_reason,
            "reason": "killed by signal 9",
            "saving_ms": math.nan,
            "latency_ms": math.nan,
            **changes,
        }
    )


def unsupported(**changes: Any) -> dict[str, Any]:
    """An attempt that a method declined."""
    return failure(
        **{
            "stop_reason": "unsupported",
            "status": "no_solution",
            "reason": "a layer of 32 experts is more than 20",
            "seconds": 0.0,
            **changes,
        }
    )


def frame(*rows: dict[str, Any]) -> pd.DataFrame:
    """Return attempts as a table; without rows, the columns alone."""
    return pd.DataFrame(list(rows), columns=list(attempt()))


FAMILIES = (
    "tiny",
    *("switch", "switch-independent", "mixtral", "mixtral-independent", "sixteen-expert"),
    *("gpt-oss", "gpt-oss-independent", "fine-grained", "mixed", "mixed-independent"),
)
QUALITY = {
    "successive-dp": 0.004,
    "greedy": 0.35,
    "load-balance": 0.3,
    "layer-fill": 0.2,
    "local-popularity": 0.5,
    "popularity": 0.7,
    "round-robin": 0.8,
    "random": 0.85,
}


def benchmark(families: tuple[str, ...] = FAMILIES) -> pd.DataFrame:
    """A made-up benchmark of all shapes: optima, bounds only, failures, guarantees; no chance."""
    rows = []
    for family in families:
        wide = family.startswith(("gpt-oss", "fine"))
        for rank, size in enumerate(("tiny",) if family == "tiny" else ("tiny", "small", "medium")):
            for seed in range(2):
                name = f"{family}-{size}-s{seed}"
                chance = _chance(name)
                common = {
                    "instance": name,
                    "checksum": hashlib.sha256(name.encode()).hexdigest(),
                    "family": family,
                    "size": size,
                    "instance_seed": seed,
                    "empty_latency_ms": 200.0 * (rank + 1),
                    "top_k": 1 if family.startswith("switch") else 4 if wide else 2,
                    "rows": int(300 * 8**rank * (1 + chance)),
                    "clauses": int(200 * 7**rank * (1 + chance)),
                }
                best = (60 + 40 * chance) * (rank + 1)
                clauses = common["clauses"]
                for algorithm, miss in QUALITY.items():
                    luck = _chance(name + algorithm)
                    if algorithm == "successive-dp" and wide:
                        rows.append(unsupported(algorithm=algorithm, **common))
                        continue
                    gap = 0.0 if luck < 0.25 and miss < 0.1 else miss * (0.5 + luck)
                    promised = family.startswith("switch") and algorithm in ("greedy",)
                    if promised:
                        gap *= 0.1
                    rows.append(
                        attempt(
                            algorithm=algorithm,
                            saving_ms=best * (1 - min(gap, 1)),
                            seconds=1e-5 * clauses * (0.5 + luck) * (5 if miss < 0.1 else 1),
                            guarantee="F >= OPT / 2 (K = 1)" if algorithm == "greedy" else "",
                            guarantee_ratio=0.5 if promised else math.nan,
                            **common,
                        )
                    )
                for algorithm, speed in (("milp-compact", 0.05), ("layer-enumeration", 0.0004)):
                    seconds = speed * clauses * (0.5 + chance)
                    exact = {"algorithm": algorithm, "exact": True, **common}
                    if wide and algorithm == "layer-enumeration":
                        rows.append(unsupported(**exact))
                    elif seconds < 30 and not (wide and rank):
                        rows.append(optimum(best, seconds=seconds, **exact))
                    elif family == "mixed" and seed:
                        rows.append(failure("memory_limit", **exact, seconds=11.0))
                    else:
                        rows.append(
                            attempt(
                                stop_reason="time_limit",
                                saving_ms=0.97 * best,
                                bound_saving_ms=1.01 * best,
                                seconds=30.0,
                                **exact,
                            )
                        )
    return frame(*rows)


def archive_of(table: pd.DataFrame) -> dict[str, Entry]:
    """A made-up archive of the tiny instances of a table; every other one is beaten by a run."""
    source = Provenance(method="somebody", seconds=1.0, version="0.1.0", date="2026-11-23")
    solved = table[table["status"].isin(["optimal", "feasible"]) & (table["size"] == "tiny")]
    entries = {}
    for number, (checksum, group) in enumerate(solved.groupby("checksum")):
        row = group.loc[group["saving_ms"].idxmax()]
        value = float(row["saving_ms"]) * (0.99 if number % 2 else 1.01)
        entries[row["instance"]] = Entry(
            instance=row["instance"],
            family=row["family"],
            size=row["size"],
            seed=int(row["instance_seed"]),
            checksum=str(checksum),
            saving_ms=value,
            latency_ms=1.0,
            found=source,
            bound_saving_ms=1.1 * value,
            bounded=source,
            placement="",
        )
    return entries


def _chance(text: str) -> float:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32
