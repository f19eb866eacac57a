"""How the heuristics stand against each other: ranks, contests with the best one, typical times.

Pure: tables in, tables out. The statistics and when not to use them: :mod:`bench.statistics`.
"""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.statistics import cost_table, rank_test, shifted_geometric_mean, win_tie_loss
from bench.summary import Summary

SHIFT_S = 0.01
"""Shift of the mean time: differences far below it are noise of the clock."""


LEAST_SEEDS = 5
"""Intervals are given where every family and size has so many instances: from fewer they come out
too short, down to nothing, and would pass for certainty."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Standings:
    """The heuristics side by side.

    Parameters
    ----------
    rows
        One row for each heuristic, best first: ``label``; ``rank``, the average over families (1 is
        best); ``wins``, ``ties``, ``losses``, ``lead``, ``low`` and ``high`` of the best one
        against it (NaN in its own row; the last two also with too few seeds); ``seconds``, the
        shifted geometric mean time; ``timed`` and ``unanswered`` instances.
    best
        The heuristic of the best average rank.
    left_out
        Heuristics that were not run on every instance: there is nothing fair to compare.
    families
        Families that were ranked.
    p_value, critical_difference
        Friedman's test, and how far average ranks must differ (NaN with fewer than two families).
    """

    rows: pd.DataFrame
    best: str
    left_out: tuple[str, ...]
    families: int
    p_value: float
    critical_difference: float


def find_standings(summary: Summary) -> Standings | None:
    """Return the standings, or None with fewer than two heuristics or nothing saved.

    Only heuristics that were run on all instances on which any was are compared; a run that gave no
    placement counts, as nothing saved.
    """
    attempts = summary.attempts[~summary.attempts["exact"]]
    tried = attempts.groupby("label")["checksum"].nunique()
    everywhere = tried == attempts["checksum"].nunique()
    labels = sorted(tried.index[everywhere])
    attempts = attempts[attempts["label"].isin(labels)]
    if len(labels) < 2 or not attempts["solved"].any():
        return None
    savings = cost_table(attempts, "saving_ms").reindex(columns=labels)
    facts = summary.instances.set_index("checksum").loc[savings.index]
    reference = facts["bound_ms"].fillna(facts["best_saving_ms"]).to_numpy(dtype=np.float64)
    shares = np.divide(
        savings.fillna(0.0).to_numpy(dtype=np.float64),
        reference[:, None],
        out=np.ones(savings.shape),
        where=reference[:, None] > 0.0,
    )
    shares[savings.isna().to_numpy()] = 0.0
    by_family = pd.DataFrame(shares, columns=labels).groupby(facts["family"].to_numpy()).mean()
    # Beyond rounding noise only, or equal methods would not tie.
    test = rank_test(by_family.to_numpy().round(9))
    ranks = dict(zip(labels, test.ranks.tolist(), strict=True))
    best = min(labels, key=lambda label: (ranks[label], label))
    strata = list(zip(facts["family"], facts["size"], strict=True))
    enough = min(strata.count(stratum) for stratum in set(strata)) >= LEAST_SEEDS
    seconds = cost_table(attempts, "seconds").reindex(columns=labels)
    rows = []
    for label in sorted(labels, key=lambda label: (ranks[label], label)):
        contest = (
            None
            if label == best
            else win_tie_loss(savings[best].to_numpy(), savings[label].to_numpy(), strata=strata)
        )
        mean = shifted_geometric_mean(seconds[label].to_numpy(), shift=SHIFT_S, failures="omit")
        rows.append(
            {
                "label": label,
                "rank": ranks[label],
                **{
                    name: math.nan if contest is None else getattr(contest, name)
                    for name in ("wins", "ties", "losses", "lead")
                },
                **{
                    name: getattr(contest, name) if contest is not None and enough else math.nan
                    for name in ("low", "high")
                },
                "seconds": mean.value,
                "timed": mean.used,
                "unanswered": mean.failed,
            }
        )
    several = len(by_family) > 1
    return Standings(
        rows=pd.DataFrame(rows),
        best=best,
        left_out=tuple(sorted(tried.index[~everywhere])),
        families=len(by_family),
        p_value=test.p_value if several else math.nan,
        critical_difference=test.critical_difference if several else math.nan,
    )
