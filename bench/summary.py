"""From attempts to tables: optima, bounds, ratios, times, failures, guarantees.

Pure: data frames in, data frames out. Two ratios are kept apart under two names: `saving_ratio`
is F / F* (what guarantees speak of), `latency_ratio` is T / T* (what a user feels). Both exist only
where some attempt proved the optimum; elsewhere there is `bound_gap`, (bound - F) / bound.
"""

import json
import math
import re
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import pandas as pd

from bench.anytime import add_horizons, rate_over_time
from bench.best_known import add_best_known, rate_to_best_known
from bench.contradictions import OPTIMUM_TOLERANCE, find_contradictions
from bench.formats import NOISE
from bench.guarantees import compare_by_family, compare_guarantees, mean_and_worst
from bench.labels import instance_labels, method_labels
from instances.best_known.archive import Archive
from instances.errors import InputError
from instances.result import Status, StopReason, relative_gap

SIZES = ("tiny", "small", "medium", "large", "real")
_NUMBER = re.compile(r"\d[\d.]*(e[+-]?\d+)?")
NO_FAMILY = "(no family)"
"""Family of instances that were imported rather than generated."""

MEASURES = {
    "saving_ratio": "min",
    **dict.fromkeys(("latency_ratio", "bound_gap", "certified_gap"), "max"),
    **dict.fromkeys(("known_gap", "known_bound_gap"), "max"),
    **dict.fromkeys(("primal_integral", "primal_dual_integral"), "max"),
}
"""What attempts are measured by, and which end of it is bad."""

REQUIRED = (
    *("instance", "checksum", "family", "size", "instance_seed", "models", "servers", "users"),
    *("layers", "experts", "top_k", "rows", "clauses", "algorithm", "exact", "parameters", "seed"),
    *("time_limit", "status", "stop_reason", "reason", "saving_ms", "latency_ms"),
    *("empty_latency_ms", "bound_saving_ms", "seconds", "guarantee_ratio", "guarantee"),
)
_SHAPE = (
    *("instance_seed", "models", "servers", "users", "layers", "experts", "top_k", "rows"),
    "clauses",
)
_WHOLE = (*_SHAPE, "seed")
_NUMBERS = (
    *("time_limit", "saving_ms", "latency_ms", "empty_latency_ms", "bound_saving_ms"),
    *("seconds", "guarantee_ratio"),
)
_TEXTS = (
    *("instance", "checksum", "family", "size", "algorithm", "parameters", "start", "status"),
    *("stop_reason", "reason", "guarantee"),
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Summary:
    """Everything that a report says in numbers.

    Parameters
    ----------
    attempts
        The attempts, sorted, each with `label` (the method: algorithm, with parameters where they
        differ), `optimum_ms`, `saving_ratio`, `latency_ratio`, `bound_gap`, `certified_gap`,
        `known_gap`, `known_bound_gap`, `primal_integral` and `primal_dual_integral` (NaN:
        undefined).
    instances
        One row for each instance: its size, optimum, best proven bound, best certified bound, best
        saving found, and what the archive knows of it.
    methods
        One row for each method, over all families.
    families
        One row for each method and family.
    times
        One row for each method and size of instance; runs that gave a placement.
    failures
        Attempts without a placement, grouped by method, reason and kind (failed, unsupported).
    guarantees
        Claimed ratios beside the smallest ones measured.
    bounds
        The same family by family, with and without a claim: one row for each heuristic and family.
    contradictions
        Claims that other attempts refute; empty when all is well.
    """

    attempts: pd.DataFrame
    instances: pd.DataFrame
    methods: pd.DataFrame
    families: pd.DataFrame
    times: pd.DataFrame
    failures: pd.DataFrame
    guarantees: pd.DataFrame
    bounds: pd.DataFrame
    contradictions: pd.DataFrame


def summarise(
    attempts: pd.DataFrame,
    *,
    archive: Archive = MappingProxyType({}),
    trajectories: pd.DataFrame | None = None,
) -> Summary:
    """Compute every table of the report.

    Parameters
    ----------
    attempts
        What :meth:`bench.store.Store.results` returns.
    archive
        Best known values of published instances.
    trajectories
        What :meth:`bench.store.Store.trajectories` returns; None when only the ends of runs are
        known.

    Raises
    ------
    InputError
        When a column is missing.
    """
    prepared = prepare(attempts)
    contradictions = find_contradictions(prepared)
    disputed = set(contradictions.loc[contradictions["disputes_optimum"].astype(bool), "checksum"])
    instances = add_best_known(describe_instances(prepared, disputed), archive)
    instances = add_horizons(instances, prepared)
    rated = rate_to_best_known(rate(prepared, instances), instances)
    rated = rate_over_time(rated, instances, trajectories)
    return Summary(
        attempts=rated,
        instances=instances,
        methods=aggregate(rated, ["label", "exact"]),
        families=aggregate(rated, ["label", "exact", "family"]),
        times=tabulate_times(rated),
        failures=group_failures(rated),
        guarantees=compare_guarantees(rated),
        bounds=compare_by_family(rated),
        contradictions=contradictions,
    )


def prepare(attempts: pd.DataFrame) -> pd.DataFrame:
    """Return a sorted copy with plain column types, and with names fit for display.

    Raises
    ------
    InputError
        When a column is missing.
    """
    for column in REQUIRED:
        if column not in attempts.columns:
            raise InputError("results", f"column {column!r} is missing")
    prepared = attempts.copy()
    if "start" not in prepared.columns:
        prepared["start"] = ""
    if "bound_certified" not in prepared.columns:
        prepared["bound_certified"] = False
    for column in _WHOLE:
        prepared[column] = pd.to_numeric(prepared[column]).astype("Int64")
    for column in _NUMBERS:
        prepared[column] = pd.to_numeric(prepared[column]).astype(np.float64)
    for column in _TEXTS:
        prepared[column] = [_text(value) for value in prepared[column]]
    prepared["exact"] = prepared["exact"].astype(bool)
    prepared["bound_certified"] = prepared["bound_certified"].eq(True)
    prepared["family"] = prepared["family"].replace("", NO_FAMILY)
    bounds = prepared["bound_saving_ms"]
    prepared["bound_saving_ms"] = bounds.where(np.isfinite(bounds), np.nan)
    prepared["label"] = method_labels(prepared)
    prepared["instance_label"] = instance_labels(prepared)
    prepared["unsupported"] = prepared["stop_reason"] == StopReason.UNSUPPORTED
    prepared["solved"] = prepared["status"].isin([Status.OPTIMAL, Status.FEASIBLE])
    prepared["failed"] = ~prepared["solved"] & ~prepared["unsupported"]
    order = ["family", "size", "instance_seed", "instance", "checksum", "algorithm", "parameters"]
    order += ["start", "time_limit", "seed", "status", "seconds"]
    prepared = prepared.sort_values(
        order, kind="stable", key=lambda c: c.map(size_rank) if c.name == "size" else c
    )
    return prepared.reset_index(drop=True)


def size_rank(size: str) -> tuple[int, str]:
    """Return the sort key of a size name: tiny to real, then the unknown ones by name."""
    return (SIZES.index(size), "") if size in SIZES else (len(SIZES), size)


def describe_instances(attempts: pd.DataFrame, disputed: set[str]) -> pd.DataFrame:
    """Return one row for each instance: what is proven about it, and the best that was found.

    Parameters
    ----------
    attempts
        Prepared attempts.
    disputed
        Checksums of instances whose optimum or bounds contradict each other: nothing counts as
        proven there.
    """
    keys = ["instance", "instance_label", "checksum", "family", "size", *_SHAPE]
    table = attempts.drop_duplicates("checksum")[[*keys, "empty_latency_ms"]].copy()
    table["disputed"] = table["checksum"].isin(disputed)
    solved = attempts[attempts["solved"]]
    best = table["checksum"].map(solved.groupby("checksum")["saving_ms"].max())
    table["best_saving_ms"] = best.astype(np.float64)
    reached = solved.groupby("checksum")["saving_ms"].transform("max") * (1 - OPTIMUM_TOLERANCE)
    table["best_by"] = _names(table, solved[solved["saving_ms"] >= reached])

    trusted = attempts[~attempts["checksum"].isin(disputed)]
    proofs = trusted[trusted["status"] == Status.OPTIMAL]
    winners = proofs.loc[proofs.groupby("checksum")["saving_ms"].idxmax()].set_index("checksum")
    table["optimum_ms"] = table["checksum"].map(winners["saving_ms"]).astype(np.float64)
    # T(empty) - F*, but summed exactly rather than as a difference.
    table["optimum_latency_ms"] = table["checksum"].map(winners["latency_ms"]).astype(np.float64)
    table["proven_by"] = _names(table, proofs)

    claims = trusted[trusted["bound_saving_ms"].notna()]
    least = claims.groupby("checksum")["bound_saving_ms"].transform("min")
    tightest = claims[claims["bound_saving_ms"] == least]
    bounds = tightest.drop_duplicates("checksum").set_index("checksum")["bound_saving_ms"]
    # Within the tolerance of solvers a bound may lie below a saving: the saving stands.
    bound = table["checksum"].map(bounds).astype(np.float64).clip(lower=table["best_saving_ms"])
    table["bound_ms"] = table["optimum_ms"].fillna(bound)
    table["bound_by"] = _names(table, tightest)
    table["bound_by"] = table["bound_by"].where(table["proven_by"] == "", table["proven_by"])

    certified = claims[claims["bound_certified"]]
    least = certified.groupby("checksum")["bound_saving_ms"].transform("min")
    tightest = certified[certified["bound_saving_ms"] == least]
    bounds = tightest.drop_duplicates("checksum").set_index("checksum")["bound_saving_ms"]
    table["certified_ms"] = table["checksum"].map(bounds).astype(np.float64)
    table["certified_by"] = _names(table, tightest)
    return table.reset_index(drop=True)


def rate(attempts: pd.DataFrame, instances: pd.DataFrame) -> pd.DataFrame:
    """Add the optimum and bound of the instance, both ratios and the gap to every attempt."""
    known = instances[["checksum", "optimum_ms", "optimum_latency_ms", "bound_ms", "certified_ms"]]
    rated = attempts.merge(known, on="checksum", how="left", validate="many_to_one")
    columns = ["saving_ms", "latency_ms", "optimum_ms", "optimum_latency_ms", "bound_ms"]
    ratings = [
        (
            ratio_to_optimum(saving, optimum),
            ratio_to_optimum(latency, optimum_latency),
            _gap(saving, optimum, bound),
            _gap(saving, optimum, certified),
        )
        for saving, latency, optimum, optimum_latency, bound, certified in rated[
            [*columns, "certified_ms"]
        ].itertuples(index=False)
    ]
    names = ["saving_ratio", "latency_ratio", "bound_gap", "certified_gap"]
    rated[names] = np.array(ratings, dtype=np.float64).reshape(-1, len(names))
    return rated


def _gap(saving: float, optimum: float, bound: float) -> float:
    """Return the gap to a bound where no optimum is known; NaN where there is none to speak of."""
    unknown = math.isnan(optimum) and not math.isnan(saving) and not math.isnan(bound)
    return relative_gap(saving, bound) if unknown else math.nan


def ratio_to_optimum(value: float, optimum: float) -> float:
    """Return value / optimum; 1 when both are 0, infinite when only the optimum is 0.

    >>> ratio_to_optimum(3.0, 4.0), ratio_to_optimum(0.0, 0.0), ratio_to_optimum(1.0, 0.0)
    (0.75, 1.0, inf)
    """
    if math.isnan(value) or math.isnan(optimum):
        return math.nan
    if optimum == 0:
        return 1.0 if value == 0 else math.inf
    return value / optimum


def aggregate(rated: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Return counts, mean and worst ratios, gaps and times of the attempts with equal keys."""
    rows = []
    for values, group in rated.groupby(keys, sort=False):
        solved = group[group["solved"]]
        row = dict(zip(keys, values, strict=True))
        row |= {
            "attempts": len(group),
            "instances": group["checksum"].nunique(),
            "solved": len(solved),
            "failed": int(group["failed"].sum()),
            "unsupported": int(group["unsupported"].sum()),
            "proven": int((group["status"] == Status.OPTIMAL).sum()),
        }
        for column, worst in MEASURES.items():
            row |= mean_and_worst(group, column, worst)
        row["known_reached"] = int((group["known_gap"] <= NOISE).sum())
        row["seconds_median"] = solved["seconds"].median()
        row["seconds_max"] = solved["seconds"].max()
        rows.append(row)
    columns = [*keys, "attempts", "instances", "solved", "failed", "unsupported", "proven"]
    for column in MEASURES:
        columns += [f"{column}_{part}" for part in ("count", "mean", "worst", "worst_on")]
    columns += ["known_reached", "seconds_median", "seconds_max"]
    table = pd.DataFrame(rows, columns=columns)
    by = (["family"] if "family" in keys else []) + ["saving_ratio_mean", "bound_gap_mean", "label"]
    ascending = [column != "saving_ratio_mean" for column in by]
    table = table.sort_values(
        by,
        ascending=ascending,
        kind="stable",
        key=lambda column: column.round(9) if column.dtype == np.float64 else column,  # ties
    )
    return table.reset_index(drop=True)


def tabulate_times(rated: pd.DataFrame) -> pd.DataFrame:
    """Return median and largest time of each method on each size of instance."""
    solved = rated[rated["solved"]]
    rows = [
        {
            "label": label,
            "exact": exact,
            "size": size,
            "runs": len(group),
            "seconds_median": group["seconds"].median(),
            "seconds_max": group["seconds"].max(),
            "at_limit": int((group["stop_reason"] == StopReason.TIME_LIMIT).sum()),
        }
        for (label, exact, size), group in solved.groupby(["label", "exact", "size"], sort=False)
    ]
    columns = ["label", "exact", "size", "runs", "seconds_median", "seconds_max", "at_limit"]
    table = pd.DataFrame(rows, columns=columns)
    order = sorted(range(len(rows)), key=lambda i: (rows[i]["label"], size_rank(rows[i]["size"])))
    return table.iloc[order].reset_index(drop=True)


def group_failures(rated: pd.DataFrame) -> pd.DataFrame:
    """Return the attempts without a placement, grouped; real failures before unsupported ones.

    Reasons that differ in their numbers only are one group: `reason` is that of the `example`, and
    `variants` counts the different ones.
    """
    missing = rated[~rated["solved"]].copy()
    missing["kind"] = np.where(missing["unsupported"], "unsupported", "failed")
    missing["pattern"] = [reason_pattern(reason) for reason in missing["reason"]]
    rows = [
        {
            "kind": kind,
            "label": label,
            "status": status,
            "stop_reason": stop_reason,
            "reason": group.iloc[0]["reason"],
            "variants": group["reason"].nunique(),
            "count": len(group),
            "families": ", ".join(sorted(set(group["family"]))),
            "example": group.iloc[0]["instance_label"],
        }
        for (kind, label, status, stop_reason, _), group in missing.groupby(
            ["kind", "label", "status", "stop_reason", "pattern"], sort=False
        )
    ]
    columns = ["kind", "label", "status", "stop_reason", "reason", "variants", "count"]
    table = pd.DataFrame(rows, columns=[*columns, "families", "example"])
    return table.sort_values(
        ["kind", "label", "count", "reason"], ascending=[True, True, False, True], kind="stable"
    ).reset_index(drop=True)


def reason_pattern(reason: str) -> str:
    """Return a reason without its numbers: what different runs have in common.

    >>> reason_pattern("a layer of 32 experts is more than 20")
    'a layer of # experts is more than #'
    """
    return _NUMBER.sub("#", reason)


def _names(table: pd.DataFrame, attempts: pd.DataFrame) -> list[str]:
    """Name the methods of these attempts, for each instance of the table."""
    names: dict[str, set[str]] = {}
    for checksum, label in zip(attempts["checksum"], attempts["label"], strict=True):
        names.setdefault(checksum, set()).add(label)
    return [", ".join(sorted(names.get(checksum, ()))) for checksum in table["checksum"]]


def _text(value: object) -> str:
    if isinstance(value, dict):
        return json.dumps(value, sort_keys=True) if value else ""
    if value is None or (isinstance(value, float) and math.isnan(value)) or value is pd.NA:
        return ""
    return str(value)
