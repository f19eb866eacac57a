"""The audit of guarantees: what each method claims, beside the least that it ever reached.

Pure: a summary in, tables out. Ratios and contradictions are those of the report.
"""

import math
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.contradictions import OPTIMUM_TOLERANCE
from bench.summary import Summary, ratio_to_optimum
from instances.families.adversarial import TRAPS, near_tight_families
from instances.registry import Algorithm
from instances.result import Status, StopReason

EXACT_FORMULA = "F = OPT when it completes"
BOUND_FORMULA = "U >= OPT, U its upper bound"


@dataclass(frozen=True, slots=True)
class Measured:
    """A ratio F / OPT that was measured.

    Parameters
    ----------
    ratio
        F / OPT.
    instance
        The instance.
    bound
        The ratio that was claimed there; NaN where nothing was.
    """

    ratio: float
    instance: str
    bound: float

    @property
    def margin(self) -> float:
        """How far the ratio is above its bound."""
        return self.ratio - self.bound


@dataclass(frozen=True, slots=True, kw_only=True)
class FamilyLine:
    """What was measured of one method on one family.

    Parameters
    ----------
    family
        Name of the family.
    instances, runs
        Instances with a known optimum, and runs on them.
    bound
        The smallest ratio that was claimed there; NaN where nothing was.
    least
        The smallest ratio, its instance, and what was claimed on that one.
    mean
        Mean ratio over the runs.
    """

    family: str
    instances: int
    runs: int
    bound: float
    least: Measured
    mean: float

    def to_dict(self) -> dict[str, Any]:
        """Return the line for JSON."""
        return {
            "family": self.family,
            "instances": self.instances,
            "runs": self.runs,
            "bound": self.bound,
            "least": _measured_dict(self.least),
            "mean": self.mean,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What the audit says about one method.

    Parameters
    ----------
    label
        The method, with its settings where the store holds several of one kind.
    formula, scope, source
        Its guarantee; empty where it has none.
    claims
        Instances on which it claimed a ratio above 0, finished, and the optimum is known.
    measured
        Instances on which its ratio is known, with or without a claim.
    worst
        The smallest ratio over ``claims``.
    closest
        The smallest margin above a bound below 1; above a bound of 1 there is none.
    worst_unclaimed
        The smallest ratio where it claims nothing.
    near_tight
        Its adversarial families, and the smallest ratio on each; NaN where the store has none.
    hardest
        The smallest ratio on any adversarial family, its own or made for others.
    certificate
        The smallest share F / U that a run proved of itself by an upper bound U of its own.
    bound
        The smallest U / OPT of an upper bound U of its own, at least 1 unless it is refuted.
    families
        What was measured family by family.
    """

    label: str
    formula: str
    scope: str
    source: str
    claims: int
    measured: int
    worst: Measured | None
    closest: Measured | None
    worst_unclaimed: Measured | None
    near_tight: dict[str, float]
    hardest: Measured | None
    certificate: Measured | None
    bound: Measured | None
    families: list[FamilyLine]

    def to_dict(self) -> dict[str, Any]:
        """Return the line for JSON."""
        return {
            "label": self.label,
            "guarantee": (
                {"formula": self.formula, "scope": self.scope, "source": self.source}
                if self.formula
                else None
            ),
            "claims": self.claims,
            "measured": self.measured,
            "worst": _measured_dict(self.worst),
            "closest": _measured_dict(self.closest),
            "worst_unclaimed": _measured_dict(self.worst_unclaimed),
            "near_tight": self.near_tight,
            "hardest": _measured_dict(self.hardest),
            "certificate": _measured_dict(self.certificate),
            "bound": _measured_dict(self.bound),
            "families": [family.to_dict() for family in self.families],
        }


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit of a store.

    Parameters
    ----------
    lines
        One for each method that was run, then one for each known method that was not.
    contradictions
        Claims that were refuted, guarantees among them; as in the report.
    """

    lines: list[Line]
    contradictions: pd.DataFrame


def audit(summary: Summary, algorithms: Iterable[Algorithm], bounds: Container[str] = ()) -> Audit:
    """Compare what was claimed with what was measured.

    Parameters
    ----------
    summary
        Summary of the attempts.
    algorithms
        Known methods: for the text of guarantees, and to name those that were never run.
    bounds
        Names of those whose purpose is an upper bound.
    """
    known = {algorithm.name: algorithm for algorithm in algorithms}
    attempts = summary.attempts
    lines = [
        _line(str(label), known.get(str(group["algorithm"].iloc[0])), group, bounds)
        for _, by_kind in attempts.groupby("exact", sort=True)  # exact methods come last
        for label, group in by_kind.groupby("label", sort=True)
    ]
    ran = set(attempts["algorithm"])
    lines += [
        _line(name, algorithm, attempts[:0], bounds)
        for name, algorithm in known.items()
        if name not in ran
    ]
    return Audit(lines, summary.contradictions)


def _line(
    label: str, algorithm: Algorithm | None, group: pd.DataFrame, bounds: Container[str]
) -> Line:
    known = group[group["saving_ratio"].notna()]
    # a run that was cut off promises nothing; an exact method promises what it proved
    bound = known["guarantee_ratio"].where(
        ~(known["exact"] & (known["status"] == Status.OPTIMAL)), 1
    )
    bound = bound.where((known["stop_reason"] == StopReason.COMPLETED) & (bound > 0))
    claimed = known.assign(bound=bound)[bound.notna()]
    open_to_loss = claimed[claimed["bound"] < 1]
    elsewhere = known.assign(bound=math.nan)[bound.isna()]
    known = known.assign(bound=bound)
    trapped = known[known["family"].isin(list(TRAPS))]
    bounded = _shares_of_own_bounds(group)
    name = label if group.empty else str(group["algorithm"].iloc[0])
    formula, scope, source = _guarantee(algorithm, group)
    if algorithm is not None and algorithm.name in bounds and not formula:
        formula, scope, source = BOUND_FORMULA, "every instance that it supports", algorithm.source
    limits = _bounds_over_optima(group)
    return Line(
        label=label,
        formula=formula,
        scope=scope,
        source=source,
        claims=claimed["checksum"].nunique(),
        measured=known["checksum"].nunique(),
        worst=_least(claimed, claimed["saving_ratio"]),
        closest=_least(open_to_loss, open_to_loss["saving_ratio"] - open_to_loss["bound"]),
        worst_unclaimed=_least(elsewhere, elsewhere["saving_ratio"]),
        near_tight={
            family: float(known.loc[known["family"] == family, "saving_ratio"].min())
            for family in near_tight_families(name)
        },
        hardest=_least(trapped, trapped["saving_ratio"]),
        certificate=_least(bounded, bounded["saving_ratio"]),
        bound=_least(limits, limits["saving_ratio"]),
        families=[_family_line(str(name), part) for name, part in known.groupby("family")],
    )


def _shares_of_own_bounds(group: pd.DataFrame) -> pd.DataFrame:
    """Put F / U in the place of F / OPT, U the bound that the run itself proved."""
    bounded = group[group["solved"] & group["bound_saving_ms"].notna()]
    # a bound above nothing by what rounding may have cost says that nothing can be saved
    speck = OPTIMUM_TOLERANCE * bounded["empty_latency_ms"]
    bounds = bounded["bound_saving_ms"].where(bounded["bound_saving_ms"] > speck, 0.0)
    savings = bounded["saving_ms"].where(bounds > 0, 0.0)
    shares = [ratio_to_optimum(*pair) for pair in zip(savings, bounds, strict=True)]
    return bounded.assign(saving_ratio=shares, bound=math.nan)


def _bounds_over_optima(group: pd.DataFrame) -> pd.DataFrame:
    """Put U / OPT in the place of F / OPT, where something can be saved."""
    limits = group[group["bound_saving_ms"].notna() & (group["optimum_ms"] > 0)]
    shares = limits["bound_saving_ms"] / limits["optimum_ms"]
    return limits.assign(saving_ratio=shares, bound=math.nan)


def _family_line(family: str, group: pd.DataFrame) -> FamilyLine:
    row = group.loc[group["saving_ratio"].idxmin()]
    return FamilyLine(
        family=family,
        instances=group["checksum"].nunique(),
        runs=len(group),
        bound=float(group["bound"].min()),
        least=_measured(row),
        mean=math.fsum(group["saving_ratio"]) / len(group),
    )


def _guarantee(algorithm: Algorithm | None, group: pd.DataFrame) -> tuple[str, str, str]:
    if algorithm is not None and algorithm.guarantee is not None:
        guarantee = algorithm.guarantee
        return guarantee.formula, guarantee.scope, guarantee.source
    if algorithm is not None and algorithm.exact:
        return EXACT_FORMULA, "every instance that it supports", algorithm.source
    stated = [formula for formula in group["guarantee"].unique() if formula]
    return "; ".join(stated), "", ""  # a method that is not installed here


def _least(group: pd.DataFrame, values: pd.Series) -> Measured | None:
    if group.empty:
        return None
    return _measured(group.loc[values.idxmin()])


def _measured(row: pd.Series) -> Measured:
    return Measured(float(row["saving_ratio"]), str(row["instance_label"]), float(row["bound"]))


def _measured_dict(measured: Measured | None) -> dict[str, Any] | None:
    if measured is None:
        return None
    return {"ratio": measured.ratio, "instance": measured.instance, "bound": measured.bound}
