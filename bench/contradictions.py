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
unfinished solver runs are held to the looser tolerance at which results are judged, certified ones
to this."""

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
    best = attempts.groupby("checksum")["saving_ms"].transform("max")
    found = [*_refuted_bounds(attempts, best), *_broken_guarantees(attempts, best)]
    found.sort(key=lambda pair: pair[0])
    return pd.DataFrame([row for _, row in found], columns=list(COLUMNS))


def _row(attempt: pd.Series, kind: str, detail: str, *, disputes: bool) -> dict[str, object]:
    return {
        "kind": kind,
        "checksum": attempt["checksum"],
        "instance_label": attempt["instance_label"],
        "label": attempt["label"],
        "detail": detail,
        "disputes_optimum": disputes,
    }


def _refuted_bounds(
    attempts: pd.DataFrame, best: pd.Series
) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the position and the row of each claim that nothing saves more, where something does.

    Parameters
    ----------
    attempts
        Prepared attempts.
    best
        Largest saving on the instance of each attempt; NaN where there is none.
    """
    bounds = attempts["bound_saving_ms"]
    proven = attempts["status"] == Status.OPTIMAL
    speck = attempts["empty_latency_ms"] * CLAIM_TOLERANCE
    strict = proven | attempts["bound_certified"]  # these claim to hold exactly
    slack = (CLAIM_TOLERANCE * best.clip(lower=speck)).where(
        ~strict, OPTIMUM_TOLERANCE * best.clip(lower=bounds)
    )
    for position in attempts.index[best > bounds + slack]:
        claim = attempts.loc[position]
        same = attempts[attempts["checksum"] == claim["checksum"]]
        winner = same.loc[same["saving_ms"].idxmax()]
        bound, saving = float(claim["bound_saving_ms"]), float(winner["saving_ms"])
        if proven[position] and winner["status"] == Status.OPTIMAL:
            kind = "optimum"
            detail = (
                f"{claim['label']} proves that the largest saving is {bound!r} ms, "
                f"{winner['label']} proves that it is {saving!r} ms"
            )
        else:
            kind = "bound"
            detail = (
                f"{claim['label']} proves that no placement saves more than {bound!r} ms, "
                f"{winner['label']} saves {saving!r} ms"
            )
        yield position, _row(claim, kind, detail, disputes=True)


def _broken_guarantees(
    attempts: pd.DataFrame, best: pd.Series
) -> Iterator[tuple[int, dict[str, object]]]:
    """Compare with the largest saving anyone reached: it is at most the optimum, so no excuse."""
    finished = attempts["stop_reason"] == StopReason.COMPLETED  # a cut-off run promises nothing
    promised = attempts["guarantee_ratio"] * best
    broken = finished & (promised * (1 - OPTIMUM_TOLERANCE) > attempts["saving_ms"])
    for position in attempts.index[broken]:
        claim = attempts.loc[position]
        saving, possible = float(claim["saving_ms"]), float(best[position])
        detail = (
            f"{claim['label']} guarantees {float(claim['guarantee_ratio'])!r} of the optimum "
            f"({claim['guarantee']}), but saves {saving!r} ms where {possible!r} ms are possible, "
            f"a share of {saving_ratio_text(saving / possible)}"
        )
        yield position, _row(claim, "guarantee", detail, disputes=False)
