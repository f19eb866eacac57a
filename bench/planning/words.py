"""How sizes, times and shares read in a plan."""

import math
from collections.abc import Callable

from bench.formats import MISSING, count_text

_UNITS = ("kB", "MB", "GB", "TB", "PB")


def size_text(size_bytes: float) -> str:
    """Return a number of bytes with its decimal unit and three significant digits.

    >>> [size_text(b) for b in (0, 999, 49783680, 8.96e9, 38.23e9, 1.5e12, 6e9, 999.9e6)]
    ['0 B', '999 B', '49.8 MB', '8.96 GB', '38.2 GB', '1.5 TB', '6 GB', '1 GB']
    """
    if not math.isfinite(size_bytes):
        return MISSING
    if abs(size_bytes) < 1000:
        return f"{round(size_bytes)} B"
    rounded = float(f"{size_bytes:.3g}")
    power = min(len(_UNITS), math.floor(math.log10(abs(rounded))) // 3)
    value = rounded / 1000.0**power
    return f"{count_text(value) if abs(value) >= 1000 else f'{value:g}'} {_UNITS[power - 1]}"


def ms_text(milliseconds: float) -> str:
    """Return milliseconds with as many digits as people read.

    >>> [ms_text(v) for v in (316.126, 31.6126, 3.16126, 0.0316126, 0.0, -0.00001)]
    ['316.1', '31.6', '3.16', '0.0316', '0', '0']
    """
    if not math.isfinite(milliseconds):
        return MISSING
    size = abs(milliseconds)
    if size < 5e-4:
        return "0"
    decimals = 1 if size >= 10 else 2 if size >= 1 else 2 - math.floor(math.log10(size))
    return f"{milliseconds:.{decimals}f}"


def most_ms_text(milliseconds: float) -> str:
    """Return an upper limit in milliseconds, rounded up.

    >>> [most_ms_text(v) for v in (316.121, 2.00001, 0.0)]
    ['316.2', '2.01', '0']
    """
    return _rounded(milliseconds, math.ceil)


def least_ms_text(milliseconds: float) -> str:
    """Return a lower limit in milliseconds, rounded down.

    >>> [least_ms_text(v) for v in (316.19, 1.999, 0.00001)]
    ['316.1', '1.99', '0.000']
    """
    return _rounded(milliseconds, math.floor)


def _rounded(milliseconds: float, whole: Callable[[float], int]) -> str:
    if not math.isfinite(milliseconds) or milliseconds == 0.0:
        return ms_text(milliseconds)
    decimals = 1 if milliseconds >= 10 else 2 if milliseconds >= 1 else 3
    return f"{whole(milliseconds * 10**decimals) / 10**decimals:.{decimals}f}"


def share_text(share: float) -> str:
    """Return a share in percent with one decimal.

    >>> [share_text(v) for v in (0.6687, 1.0, 0.00001, 0.0)]
    ['66.9 %', '100.0 %', '< 0.1 %', '0 %']
    """
    if not math.isfinite(share):
        return MISSING
    if share == 0.0:
        return "0 %"
    return f"{100 * share:.1f} %" if abs(share) >= 5e-4 else "< 0.1 %"


def listed(names: list[str], most: int) -> str:
    """Return names with commas; after so many, how many more there are.

    >>> listed(["a", "b", "c", "d"], 2), listed(["a"], 2), listed([], 2)
    ('a, b and 2 more', 'a', 'nobody')
    """
    if not names:
        return "nobody"
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"
