"""What a stranger reads first: which heuristic is best, how far off it can be, at what cost."""

import math
from dataclasses import dataclass

import pandas as pd

from bench.summary import Summary
from instances.result import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Headline:
    """The best heuristic in a few numbers.

    Parameters
    ----------
    method
        The heuristic with the largest mean F / F*, where an instance that it did not answer counts
        as 0 (nothing stored saves nothing). Where no optimum is known at all, the one with the
        smallest mean gap to the proven bound, chosen likewise.
    to_bound
        The numbers are relative to the proven bound, because no optimum is known.
    mean, worst
        Mean and smallest share of the optimum (or of the bound) over its runs.
    worst_on
        Instance of the smallest share.
    answered, instances
        Instances with a known optimum (bound) that it answered, and all of them.
    seconds
        Its median time on the instances that were also solved to proven optimality; NaN when none.
    proof_seconds
        Median time of the fastest proof on these instances; NaN when none.
    """

    method: str
    to_bound: bool
    mean: float
    worst: float
    worst_on: str
    answered: int
    instances: int
    seconds: float
    proof_seconds: float


def find_headline(summary: Summary) -> Headline | None:
    """Return the headline, or None when no heuristic can be measured against anything."""
    attempts = summary.attempts
    heuristics = attempts[~attempts["exact"]]
    to_bound = bool(heuristics["saving_ratio"].isna().all())
    shares = 1 - heuristics["bound_gap"] if to_bound else heuristics["saving_ratio"]
    measured = heuristics.assign(share=shares)[shares.notna()]
    if measured.empty:
        return None
    known = summary.instances["bound_ms" if to_bound else "optimum_ms"].notna().sum()
    # The mean over runs of an instance first, so that many seeds weigh no more than one.
    totals = measured.groupby(["label", "checksum"])["share"].mean().groupby("label").sum()
    method = min(totals.index, key=lambda label: (-totals[label], label))
    own = measured[measured["label"] == method]
    worst = own.loc[own["share"].idxmin()]
    seconds, proof_seconds = _compare_times(attempts, method)
    return Headline(
        method=str(method),
        to_bound=to_bound,
        mean=math.fsum(own["share"]) / len(own),
        worst=float(worst["share"]),
        worst_on=str(worst["instance_label"]),
        answered=own["checksum"].nunique(),
        instances=int(known),
        seconds=seconds,
        proof_seconds=proof_seconds,
    )


def _compare_times(attempts: pd.DataFrame, method: str) -> tuple[float, float]:
    proofs = attempts[(attempts["status"] == Status.OPTIMAL) & attempts["optimum_ms"].notna()]
    own = attempts[(attempts["label"] == method) & attempts["solved"]]
    times = pd.DataFrame(
        {
            "own": own.groupby("checksum")["seconds"].median(),
            "proof": proofs.groupby("checksum")["seconds"].min(),
        }
    ).dropna()
    return float(times["own"].median()), float(times["proof"].median())
