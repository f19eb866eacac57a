"""Runs beside the best known values of published instances. Pure: data frames in, data frames out.

The archive comes with the code and says where each value is from. Unlike "the best of this table"
it does not change with who is in the table.
"""

import math

import numpy as np
import pandas as pd

from instances.best_known.archive import Archive, find_entry
from instances.result import relative_gap


def add_best_known(instances: pd.DataFrame, archive: Archive) -> pd.DataFrame:
    """Add what the archive knows of each instance, found by name and checksum.

    Parameters
    ----------
    instances
        One row for each instance: ``instance``, ``checksum``, ``best_saving_ms``.
    archive
        Best known values.

    Returns
    -------
    pandas.DataFrame
        The table with ``known_ms``, ``known_by``, ``known_bound_ms`` (the best known saving, its
        method, the lowest certified bound), ``known_gap`` and ``known_bound_gap`` of the best
        placement that was found; NaN and empty for what is not in the archive.
    """
    names = ["known_ms", "known_by", "known_bound_ms", "known_gap", "known_bound_gap"]
    rows = []
    for name, checksum, best in instances[["instance", "checksum", "best_saving_ms"]].itertuples(
        index=False
    ):
        entry = find_entry(archive, name, checksum)
        if entry is None:
            rows.append((math.nan, "", math.nan, math.nan, math.nan))
            continue
        bound = entry.bound_saving_ms if math.isfinite(entry.bound_saving_ms) else math.nan
        gaps = (known_gap(best, entry.saving_ms), bound_gap(best, bound))
        rows.append((entry.saving_ms, entry.found.method, bound, *gaps))
    known = pd.DataFrame(rows, columns=names, index=instances.index)
    kinds = {name: "object" if name == "known_by" else "float64" for name in names}
    return pd.concat([instances, known.astype(kinds)], axis=1)


def rate_to_best_known(attempts: pd.DataFrame, instances: pd.DataFrame) -> pd.DataFrame:
    """Add ``known_gap`` and ``known_bound_gap`` to every attempt, NaN where unknown."""
    known = instances.set_index("checksum")[["known_ms", "known_bound_ms"]]
    values, bounds = (attempts["checksum"].map(known[name]) for name in known.columns)
    savings = attempts["saving_ms"].where(attempts["solved"])
    return attempts.assign(
        known_gap=pd.Series(map(known_gap, savings, values), attempts.index, np.float64),
        known_bound_gap=pd.Series(map(bound_gap, savings, bounds), attempts.index, np.float64),
    )


def known_gap(saving_ms: float, known_ms: float) -> float:
    """Return (known - saving) / known; below 0 for a saving that beats the best known one.

    >>> known_gap(9.0, 10.0), known_gap(11.0, 10.0), known_gap(0.0, 0.0)
    (0.1, -0.1, 0.0)
    """
    if math.isnan(saving_ms) or math.isnan(known_ms):
        return math.nan
    if known_ms == 0.0:
        return 0.0 if saving_ms == 0.0 else -math.inf
    return (known_ms - saving_ms) / known_ms


def bound_gap(saving_ms: float, bound_ms: float) -> float:
    """Return (bound - saving) / bound; NaN when either is unknown."""
    unknown = math.isnan(saving_ms) or math.isnan(bound_ms)
    return math.nan if unknown else relative_gap(saving_ms, bound_ms)
