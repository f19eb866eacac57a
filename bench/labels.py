"""What methods and instances are called in a report: short, and never the same for two of them."""

import json
import math

import pandas as pd

from instances.result import StopReason


def method_labels(attempts: pd.DataFrame) -> list[str]:
    """Name the algorithm, with its settings where the store holds several of one kind."""
    settings = attempts.groupby("algorithm")["parameters"].transform("nunique")
    limits = _varies(attempts, "time_limit", ["parameters", "start"])
    cut_off = attempts["stop_reason"] == StopReason.TIME_LIMIT
    # A limit that stopped no run of the algorithm does not make another method of it.
    limits &= cut_off.groupby(attempts["algorithm"]).transform("any")
    starts = _varies(attempts, "start", ["parameters", "time_limit"])
    labels = []
    for row, with_parameters, with_limit, with_start in zip(
        attempts.itertuples(), settings > 1, limits, starts, strict=True
    ):
        parts = [row.algorithm]
        if with_parameters and row.parameters not in ("", "{}"):
            parts.append(_parameters_text(row.parameters))
        if with_start and row.start:
            parts.append("cold start" if row.start == "none" else "warm start")
        if with_limit:
            parts.append("no limit" if math.isnan(row.time_limit) else f"{row.time_limit:g} s")
        labels.append(", ".join(parts))
    return labels


def _varies(attempts: pd.DataFrame, column: str, others: list[str]) -> pd.Series:
    """Tell for each attempt whether its algorithm ran twice with nothing but `column` changed."""
    same = ["checksum", "algorithm", "seed", *others]
    values = attempts.groupby(same, dropna=False)[column].transform("nunique", dropna=False)
    return values.groupby(attempts["algorithm"]).transform("max") > 1


def _parameters_text(parameters: str) -> str:
    try:
        given = json.loads(parameters)
    except json.JSONDecodeError:
        return parameters
    if not isinstance(given, dict):
        return parameters
    return ", ".join(f"{name}={given[name]}" for name in sorted(given))


def instance_labels(attempts: pd.DataFrame) -> list[str]:
    """Name the instance; where two different ones share a name, add the start of the checksum."""
    shared = attempts.groupby("instance")["checksum"].transform("nunique") > 1
    return [
        f"{name} #{checksum[:8]}" if ambiguous else name
        for name, checksum, ambiguous in zip(
            attempts["instance"], attempts["checksum"], shared, strict=True
        )
    ]
