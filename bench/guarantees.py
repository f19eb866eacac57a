"""Claimed ratios beside measured ones: over all families, and family by family.

Pure: data frames in, data frames out.
"""

import math

import pandas as pd

from instances.result import StopReason


def compare_guarantees(rated: pd.DataFrame) -> pd.DataFrame:
    """Return what each method with a guarantee claims, beside the least that it reached."""
    rows = []
    stated = rated[rated["guarantee"] != ""]
    for (label, formula), group in stated.groupby(["label", "guarantee"], sort=False):
        # a run that was cut off promises nothing
        finished = group["stop_reason"] == StopReason.COMPLETED
        covered = group[group["guarantee_ratio"].notna() & finished]
        everywhere = rated[rated["label"] == label]
        row = {
            "label": label,
            "guarantee": formula,
            "instances": everywhere["checksum"].nunique(),
            "covered": covered["checksum"].nunique(),
            "claimed_least": covered["guarantee_ratio"].min(),
            "claimed_most": covered["guarantee_ratio"].max(),
        }
        row |= mean_and_worst(covered, "saving_ratio", "min")
        # Where no guarantee is claimed the smallest ratio is still worth knowing.
        elsewhere = everywhere.drop(covered.index)
        worst = mean_and_worst(elsewhere, "saving_ratio", "min")
        row["elsewhere_worst"] = worst["saving_ratio_worst"]
        row["elsewhere_worst_on"] = worst["saving_ratio_worst_on"]
        margins = (covered["saving_ratio"] - covered["guarantee_ratio"]).dropna()
        row["margin"] = margins.min()
        row["margin_on"] = "" if margins.empty else covered.loc[margins.idxmin(), "instance_label"]
        rows.append(row)
    columns = ["label", "guarantee", "instances", "covered", "claimed_least", "claimed_most"]
    columns += [f"saving_ratio_{part}" for part in ("count", "mean", "worst", "worst_on")]
    table = pd.DataFrame(
        rows, columns=[*columns, "elsewhere_worst", "elsewhere_worst_on", "margin", "margin_on"]
    )
    return table.sort_values(["label", "guarantee"], kind="stable").reset_index(drop=True)


def compare_by_family(rated: pd.DataFrame) -> pd.DataFrame:
    """Return claimed beside measured ratios of each heuristic on each family with known optima.

    `claims` counts the instances on which a run that completed claims a ratio, `claimed_least` and
    `claimed_most` are the smallest and the largest such claim, and `margin` is the smallest
    distance of a measured ratio above its claim.
    """
    measured = rated[~rated["exact"] & rated["saving_ratio"].notna()]
    rows = []
    for (label, family), group in measured.groupby(["label", "family"], sort=True):
        finished = group["stop_reason"] == StopReason.COMPLETED
        covered = group[group["guarantee_ratio"].notna() & finished]
        rows.append(
            {
                "label": label,
                "family": family,
                "instances": group["checksum"].nunique(),
                "claims": covered["checksum"].nunique(),
                "claimed_least": covered["guarantee_ratio"].min(),
                "claimed_most": covered["guarantee_ratio"].max(),
                "margin": (covered["saving_ratio"] - covered["guarantee_ratio"]).min(),
                **mean_and_worst(group, "saving_ratio", "min"),
            }
        )
    columns = ["label", "family", "instances", "claims", "claimed_least", "claimed_most", "margin"]
    columns += [f"saving_ratio_{part}" for part in ("count", "mean", "worst", "worst_on")]
    return pd.DataFrame(rows, columns=columns)


def mean_and_worst(group: pd.DataFrame, column: str, worst: str) -> dict[str, object]:
    """Return count, mean and worst of a column, and the instance of the worst.

    Parameters
    ----------
    worst
        ``min`` or ``max``: which end is bad.
    """
    values = group[column].dropna()
    row: dict[str, object] = {
        f"{column}_count": len(values),
        f"{column}_mean": math.nan,
        f"{column}_worst": math.nan,
        f"{column}_worst_on": "",
    }
    if not values.empty:
        position = values.idxmin() if worst == "min" else values.idxmax()
        row[f"{column}_mean"] = math.fsum(values) / len(values)
        row[f"{column}_worst"] = float(values[position])
        row[f"{column}_worst_on"] = group.loc[position, "instance_label"]
    return row
