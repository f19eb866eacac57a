"""Max-plus convolution over growing lengths against a loop over all pairs, with fitted exponents.

Exponents are those of processor time.
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from bench.peers.race import Race, Row, race, require_equal, titled
from instances.structure.maxplus import convolve

NAME = "convolution"
SUMMARY = "max-plus convolution over growing lengths: a loop over all pairs, by NumPy"

LENGTHS = {"toy": (20, 40), "full": (2_000, 8_000, 32_000, 128_000)}
ROUNDS = {"toy": 1, "full": 2}
CALLS = 2
"""Calls of ours for each of the peer's."""

Values = NDArray[np.float64]


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    lengths = LENGTHS[size]
    for form in FORMS:
        races = [_race(form, length, ROUNDS[size]) for length in lengths]
        ours, peer = ([r.ours_s.cpu for r in races], [r.peer_s.cpu for r in races])
        exponents = exponent(lengths, ours), exponent(lengths, peer)
        yield Row(
            comparison=NAME,
            case=f"two curves of {lengths[-1]:,} points, {form}",
            ours=f"convolve, exponent {exponents[0]:.2f}",
            peer=f"{titled('numpy', 'NumPy')}: all pairs, exponent {exponents[1]:.2f}",
            checked="same values",
            ours_s=races[-1].ours_s,
            peer_s=races[-1].peer_s,
            detail={
                "lengths": list(lengths),
                "ours_cpu_seconds": ours,
                "peer_cpu_seconds": peer,
                "ours_exponent": exponents[0],
                "peer_exponent": exponents[1],
            },
        )


def _race(form: str, length: int, rounds: int) -> Race[Values, Values]:
    f, g = FORMS[form](length)
    result = race(
        lambda: convolve(f, g, 2 * length - 1)[0],
        lambda: all_pairs(f, g),
        rounds=rounds,
        calls=CALLS,
    )
    require_equal(f"{form}, value", result.ours, result.peer)
    return result


def all_pairs(f: Values, g: Values) -> Values:
    """Return h[k] = max over i of f[i] + g[k - i], with one NumPy operation for each i."""
    h = np.full(f.size + g.size - 1, -np.inf)
    for i, value in enumerate(f):
        window = h[i : i + g.size]
        np.maximum(window, value + g, out=window)
    return h


def exponent(sizes: tuple[int, ...], seconds: list[float]) -> float:
    """Return the slope of log time against log size."""
    return float(np.polyfit(np.log(sizes), np.log(seconds), 1)[0])


def _curves(length: int, *, concave: tuple[bool, bool]) -> tuple[Values, Values]:
    """Draw two increasing curves; sums of whole numbers, so that all of them are exact."""
    rng = np.random.default_rng(length)
    steps = rng.integers(0, 1 << 20, (2, length)).astype(np.float64)
    f, g = (
        np.cumsum(-np.sort(-step) if smooth else step)
        for step, smooth in zip(steps, concave, strict=True)
    )
    return f, g


FORMS: Mapping[str, Callable[[int], tuple[Values, Values]]] = {
    "both concave": lambda length: _curves(length, concave=(True, True)),
    "one concave": lambda length: _curves(length, concave=(False, True)),
    "none concave": lambda length: _curves(length, concave=(False, False)),
}
"""What is known of the two curves; the convolution finds out by itself."""
