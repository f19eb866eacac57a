"""Growth of max-plus convolution: times against length for each form, with fitted exponents.

    python -m bench.maxplus_growth

prints seconds for each length, the ratio to the naive form in the same run, and the slope of
log time against log length.
"""

import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from instances.structure.maxplus import convolve
from instances.structure.maxplus_kernels import blocked

LENGTHS = (500, 2_000, 8_000, 32_000)
REPEATS = 3

Convolution = Callable[[], object]


def _inputs(length: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Draw a pair of arrays for each form."""
    rng = np.random.default_rng(length)
    steps = rng.random((2, length))
    rough = np.cumsum(steps, axis=1)
    smooth = np.cumsum(-np.sort(-steps, axis=1), axis=1)
    return {
        "concave with concave": (smooth[0], smooth[1]),
        "concave with arbitrary": (rough[0], smooth[1]),
        "arbitrary with arbitrary": (rough[0], rough[1]),
    }


def _seconds(convolution: Convolution) -> float:
    """Return the shortest of a few runs."""
    best = np.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        convolution()
        best = min(best, time.perf_counter() - start)
    return float(best)


def main() -> None:
    """Measure and print."""
    for f, g in _inputs(10).values():  # compile
        convolve(f, g, 19)
        blocked(f, g, 19)
    seconds: dict[str, list[float]] = {}
    for length in LENGTHS:
        limit = 2 * length - 1
        for name, (f, g) in _inputs(length).items():
            seconds.setdefault(name, []).append(
                _seconds(lambda f=f, g=g, n=limit: convolve(f, g, n))  # type: ignore[misc]
            )
    naive = seconds["arbitrary with arbitrary"]
    table = Table(title="max-plus convolution, ms (ratio to all pairs)")
    table.add_column("form", no_wrap=True)
    for length in LENGTHS:
        table.add_column(f"{length:,}", justify="right")
    table.add_column("exponent", justify="right")
    for name, times in seconds.items():
        slope = np.polyfit(np.log(LENGTHS), np.log(times), 1)[0]
        cells = [f"{1e3 * t:.2g} ({t / n:.2g})" for t, n in zip(times, naive, strict=True)]
        table.add_row(name, *cells, f"{slope:.2f}")
    Console().print(table)


if __name__ == "__main__":
    main()
