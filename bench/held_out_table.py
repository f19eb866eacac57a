"""Studies of held-out traffic as rows of the report's tables."""

import math
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Context

from bench.formats import MISSING
from bench.studies import Cache, Measurement, Plan, Study


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A method or a policy; one cell for each split, None where it gave no placement."""

    name: str
    cells: tuple["Cell | None", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What it came to: ms per token, and its saving as a share of the best plan's.

    ``fetched_bytes`` is NaN for a plan; all but the share and the measured time for a cache.
    """

    promised_ms: float
    measured_ms: float
    hindsight_ms: float
    share: float
    load_factor: float = math.nan
    fetched_bytes: float = math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """One study: methods by mean share, best first; policies; who gave no placement, and why."""

    study: Study
    plans: tuple[Row, ...]
    caches: tuple[Row, ...]
    silent: tuple[tuple[str, str], ...]


def arrange(study: Study) -> Table:
    """Arrange a study for reading."""
    parts = study.measurements
    names = dict.fromkeys(plan.method for part in parts for plan in part.plans)
    by_name = [{plan.method: plan for plan in part.plans} for part in parts]
    rows, silent = [], []
    for name in names:
        plans = [known.get(name) for known in by_name]
        cells = tuple(
            None if plan is None else _plan_cell(part, plan)
            for part, plan in zip(parts, plans, strict=True)
        )
        if any(cell is not None for cell in cells):
            rows.append(Row(name=name, cells=cells))
        silent += [(name, plan.reason) for plan in plans if plan is not None and plan.reason]
    policies = dict.fromkeys(cache.policy for part in parts for cache in part.caches)
    caches = tuple(
        Row(
            name=policy,
            cells=tuple(
                next((_cache_cell(part, c) for c in part.caches if c.policy == policy), None)
                for part in parts
            ),
        )
        for policy in policies
    )
    return Table(
        study=study,
        plans=tuple(sorted(rows, key=lambda row: -_mean_share(row))),
        caches=caches,
        silent=tuple(dict(silent).items()),
    )


def floor_text(value: float) -> str:
    """Write a lower bound with five digits, rounded down; a dash where it is unknown.

    >>> floor_text(163.7079), floor_text(0.5), floor_text(math.nan) == MISSING
    ('163.70', '0.5', True)
    """
    if math.isnan(value):
        return MISSING
    context = Context(prec=5, rounding=ROUND_FLOOR)
    return f"{context.create_decimal_from_float(value):f}"


def size_text(count: float) -> str:
    """Write a number of bytes with three digits and a decimal unit.

    >>> size_text(1.024e9), size_text(2949.0), size_text(0.0)
    ('1.02 GB', '2.95 kB', '0 B')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5 or unit == "GB":
            break
        count /= 1e3
    return f"{count:.3g} {unit}"


def _plan_cell(part: Measurement, plan: Plan) -> Cell | None:
    if math.isnan(plan.measured_ms):
        return None
    return Cell(
        promised_ms=plan.promised_ms,
        measured_ms=plan.measured_ms,
        hindsight_ms=plan.hindsight_ms,
        share=part.share(plan.measured_ms),
        load_factor=plan.load_factor,
    )


def _cache_cell(part: Measurement, cache: Cache) -> Cell:
    return Cell(
        promised_ms=math.nan,
        measured_ms=cache.measured_ms,
        hindsight_ms=math.nan,
        share=part.share(cache.measured_ms),
        fetched_bytes=cache.fetched_bytes,
    )


def _mean_share(row: Row) -> float:
    shares = [cell.share for cell in row.cells if cell is not None]
    return math.fsum(shares) / len(shares)
