"""Claims that cannot all be true: two optima, a saving above a bound, a guarantee not kept.

A contradiction means that some method, or the evaluator, is wrong. It is never averaged away: the
report opens with it, and ratios are not computed on an instance whose bounds are in dispute.
"""

from collections.abc import Iterator

import pandas as pd

from bench.formats import saving_ratio_text
from instances.result import CLAIM_TOLERANCE, Status, StopReason

OPTIMUM_TOLERANCE = 1e-9
"""Relative difference that two evaluated savings may have and still count as equal. Bounds of
unfinished solver runs are held to the looser tolerance at which results are judged."""

COLUMNS = ("kind", "checksum", "instance_label", "label", "detail", "disputes_optimum")


def find_contradictions(attempts: pd.DataFrame) -> pd.DataFrame:
    """Return one row for each claim that other attempts on the same instance refute.

    Parameters
    ----------
    attempts
        Prepared attempts, see :func:`bench.summary.prepare`.

    Returns
    -------
    pandas.DataFrame
        Columns `COLUMNS`: kind (optimum, bound or guarantee), the instance, the method
        whose claim is refuted, a sentence, and whether the optimum of the instance is in dispute.
    """
    found = []
    for _, group in attempts.groupby("checksum", sort=False):
        found += list(_bounds(group))
        found += list(_guarantees(group))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _row(attempt: pd.Series, kind: str, detail: str, *, disputes: bool) -> dict[str, object]:
    return {
        "kind": kind,
        "checksum": attempt["checksum"],
        "instance_label": attempt["instance_label"],
        "label": attempt["label"],
        "detail": detail,
        "disputes_optimum": disputes,
    }


def _bounds(group: pd.DataFrame) -> Iterator[dict[str, object]]:
    solved = group[group["saving_ms"].notna()]
    if solved.empty:
        return
    best = solved.loc[solved["saving_ms"].idxmax()]
    saving = float(best["saving_ms"])
    for _, claim in group[group["bound_saving_ms"].notna()].iterrows():
        bound = float(claim["bound_saving_ms"])
        proven = claim["status"] == Status.OPTIMAL
        if proven:
            slack = OPTIMUM_TOLERANCE * max(saving, bound)
        else:
            speck = float(claim["empty_latency_ms"]) * CLAIM_TOLERANCE
            slack = CLAIM_TOLERANCE * max(saving, speck)  # as when results are judged
        if saving <= bound + slack:
            continue
        if proven and best["status"] == Status.OPTIMAL:
            kind = "optimum"
            detail = (
                f"{claim['label']} proves that the largest saving is {bound!r} ms, "
                f"{best['label']} proves that it is {saving!r} ms"
            )
        else:
            kind = "bound"
            detail = (
                f"{claim['label']} proves that no placement saves more than {bound!r} ms, "
                f"{best['label']} saves {saving!r} ms"
            )
        yield _row(claim, kind, detail, disputes=True)


def _guarantees(group: pd.DataFrame) -> Iterator[dict[str, object]]:
    """Compare with the largest saving anyone reached: it is at most the optimum, so no excuse."""
    best = float(group["saving_ms"].max())
    finished = group["stop_reason"] == StopReason.COMPLETED  # a cut-off run promises nothing
    claims = group[finished & group["saving_ms"].notna() & group["guarantee_ratio"].notna()]
    for _, claim in claims.iterrows():
        promised = float(claim["guarantee_ratio"]) * best
        saving = float(claim["saving_ms"])
        if promised > saving + OPTIMUM_TOLERANCE * promised:
            yield _row(
                claim,
                "guarantee",
                f"{claim['label']} guarantees {float(claim['guarantee_ratio'])!r} of the optimum "
                f"({claim['guarantee']}), but saves {saving!r} ms where "
                f"{best!r} ms are possible, a share of {saving_ratio_text(saving / best)}",
                disputes=False,
            )
