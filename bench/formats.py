"""How numbers read in the report and on the terminal.

Ratios and gaps are rounded against the method that reached them, so that 0.99996 never reads as
the optimum; a difference of less than 1e-9 is rounding noise and is not held against anyone.
"""

import math
from datetime import UTC, datetime
from decimal import ROUND_CEILING, Context, Decimal

NOISE = 1e-9
MISSING = "\N{EN DASH}"
INFINITE = "∞"


def saving_ratio_text(ratio: float) -> str:
    """Return F / F* with four decimals, rounded down.

    >>> saving_ratio_text(0.99996), saving_ratio_text(1 - 1e-12), saving_ratio_text(0.75)
    ('0.9999', '1.0000', '0.7500')
    """
    return _special(ratio) or f"{math.floor((ratio + NOISE) * 1e4) / 1e4:.4f}"


def latency_ratio_text(ratio: float) -> str:
    """Return T / T* with four decimals, rounded up.

    >>> latency_ratio_text(1.00001), latency_ratio_text(1 + 1e-12), latency_ratio_text(math.inf)
    ('1.0001', '1.0000', '∞')
    """
    if 1e6 <= ratio < math.inf:
        return f"{ratio:.3g}"
    return _special(ratio) or f"{math.ceil((ratio - NOISE) * 1e4) / 1e4:.4f}"


def gap_text(gap: float) -> str:
    """Return a gap as a percentage with two decimals, rounded up.

    >>> gap_text(0.00991), gap_text(0.000001), gap_text(0.0)
    ('1.00 %', '0.01 %', '0.00 %')
    """
    return _special(gap) or f"{max(0.0, math.ceil((gap - NOISE) * 1e4)) / 1e2:.2f} %"


def beaten_text(gap: float) -> str:
    """Return a gap to a value that can be beaten; by how much, rounded down, where it is.

    >>> beaten_text(0.00991), beaten_text(-0.0123), beaten_text(-1e-12)
    ('1.00 %', 'beaten by 1.23 %', '0.00 %')
    """
    if gap < -NOISE and math.isfinite(gap):
        return f"beaten by {math.floor((NOISE - gap) * 1e4) / 1e2:.2f} %"
    return gap_text(gap)


def percent_of_optimum_text(ratio: float) -> str:
    """Return F / F* as a percentage with one decimal, rounded down.

    >>> percent_of_optimum_text(0.99996), percent_of_optimum_text(1.0)
    ('99.9 %', '100 %')
    """
    return _special(ratio) or f"{math.floor((ratio + NOISE) * 1e3) / 10:.1f} %".replace(".0 ", " ")


def seconds_text(seconds: float) -> str:
    """Return a duration with its unit and three significant digits.

    >>> [seconds_text(s) for s in (2.5e-7, 0.00123, 0.0456, 0.99999, 7.891, 75.0, 7200.0)]
    ['< 1 µs', '1.23 ms', '45.6 ms', '1.00 s', '7.89 s', '75.0 s', '2.00 h']
    """
    if not math.isfinite(seconds):
        return _special(seconds)
    rounded = float(f"{seconds:.3g}")
    if rounded < 1e-6:
        return "< 1 µs"
    for limit, scale, unit in (
        (1e-3, 1e6, "µs"),
        (1, 1e3, "ms"),
        (600, 1, "s"),
        (7200, 1 / 60, "min"),
    ):
        if rounded < limit:
            return f"{_significant(rounded * scale)} {unit}"
    return f"{_significant(rounded / 3600)} h"


def value_text(value: float) -> str:
    """Return a latency or a saving with six significant digits and no needless zeros.

    >>> value_text(801.1284999), value_text(0.0), value_text(1.5e13)
    ('801.128', '0', '1.5e+13')
    """
    return _special(value) or f"{value:.6g}"


def bound_text(bound_ms: float) -> str:
    """Return an upper bound with six significant digits, rounded up.

    >>> bound_text(801.1284001), bound_text(801.0), bound_text(math.inf)
    ('801.129', '801', '∞')
    """
    if not math.isfinite(bound_ms) or bound_ms == 0.0:
        return value_text(bound_ms)
    exact = Decimal(bound_ms)
    unit = Decimal(1).scaleb(exact.adjusted() - 5)
    return value_text(float(exact.quantize(unit, ROUND_CEILING, Context(prec=400))))


def count_text(count: float) -> str:
    """Return a whole number with commas between groups of three digits.

    >>> count_text(999), count_text(40000)
    ('999', '40,000')
    """
    return _special(count) or f"{int(count):,}"


def moment_text(moment: str) -> str:
    """Return an ISO 8601 time as day and minute, UTC.

    >>> moment_text("2026-11-23T04:10:31.5+00:00"), moment_text("2026-11-23T05:10:00+01:00")
    ('2026-11-23 04:10 UTC', '2026-11-23 04:10 UTC')
    """
    return f"{datetime.fromisoformat(moment).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def plural(count: int, noun: str, many: str | None = None) -> str:
    """Return the count with its noun.

    >>> plural(1, "instance"), plural(2, "family", "families")
    ('1 instance', '2 families')
    """
    return f"{count_text(count)} {noun if count == 1 else many or noun + 's'}"


def _special(value: float) -> str:
    if math.isnan(value):
        return MISSING
    if math.isinf(value):
        return INFINITE if value > 0 else f"-{INFINITE}"
    return ""


def _significant(value: float) -> str:
    if value >= 1000:
        return count_text(round(value))
    return f"{value:.{2 - max(0, math.floor(math.log10(value)))}f}"
