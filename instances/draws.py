"""Random draws that are the same on every machine and in every later version.

Only raw 64-bit words of PCG64 are drawn: NumPy guarantees the stream of a named bit generator,
but not that of ``Generator.normal`` and its kin. Uniform numbers are exact multiples of 2^-53.
Normal and Gumbel numbers are looked up in tables of 65,536 quantiles, rounded to multiples of
2^-16: they do not depend on the mathematical library, and sums of products of such fixed-point
numbers are exact in float64, in whatever order a matrix product adds them up.
"""

import hashlib
import math
from functools import cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

QUANTILES = 65536
"""Entries of a quantile table; 16 random bits pick one."""

RESOLUTION = 65536
"""Table entries and :func:`fixed_point` numbers are multiples of 1 / RESOLUTION."""

Shape = int | tuple[int, ...]


class Draws:
    """One stream of random numbers, named by its keys.

    Parameters
    ----------
    keys
        Words and whole numbers >= 0: ``Draws("mixtral", "small", 0, "network")``. Different keys
        give independent streams.
    """

    def __init__(self, *keys: str | int) -> None:
        entropy = [_entropy(key) for key in keys]
        self._bits = np.random.PCG64(np.random.SeedSequence(entropy))

    def words(self, shape: Shape) -> NDArray[np.uint64]:
        """Draw raw 64-bit words."""
        return np.asarray(self._bits.random_raw(shape), dtype=np.uint64)

    def uniform(self, shape: Shape) -> NDArray[np.float64]:
        """Draw from [0, 1): multiples of 2^-53."""
        return (self.words(shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def between(self, low: float, high: float, shape: Shape) -> NDArray[np.float64]:
        """Draw uniformly from [low, high)."""
        return low + (high - low) * self.uniform(shape)

    def below(self, limit: int, shape: Shape) -> NDArray[np.int64]:
        """Draw whole numbers from 0 .. limit - 1, for limits up to 2^53."""
        return (self.uniform(shape) * limit).astype(np.int64)

    def below_mass(self, mass: NDArray[np.int64], shape: Shape) -> NDArray[np.int64]:
        """Draw indices with probabilities in proportion to whole numbers, exactly summed."""
        bound = np.cumsum(mass)
        return np.searchsorted(bound, self.below(int(bound[-1]), shape), side="right").astype(
            np.int64
        )

    def integer(self, limit: int) -> int:
        """Draw one whole number from 0 .. limit - 1."""
        return int(self.below(limit, 1)[0])

    def chance(self, probability: float) -> bool:
        """Return True with the given probability."""
        return bool(self.uniform(1)[0] < probability)

    def permutation(self, count: int) -> NDArray[np.int64]:
        """Draw an order of 0 .. count - 1."""
        return np.argsort(self.words(count), kind="stable").astype(np.int64)

    def normal(self, shape: Shape) -> NDArray[np.float64]:
        """Draw standard normal numbers: multiples of 2^-16, at most 4.33 from zero."""
        return _normal_quantiles()[self._table_index(shape)]

    def gumbel(self, shape: Shape) -> NDArray[np.float64]:
        """Draw standard Gumbel numbers: multiples of 2^-16 between -2.5 and 11.8."""
        return gumbel_quantiles()[self._table_index(shape)]

    def quantile_index(self, shape: Shape) -> NDArray[np.uint16]:
        """Draw entries of a quantile table, four from each word.

        A large draw may be taken in parts, if all but the last are multiples of four.
        """
        dims = (shape,) if isinstance(shape, int) else shape
        count = math.prod(dims)
        words = self.words(-(-count // 4)).astype("<u8", copy=False)  # the same on every machine
        return words.view("<u2")[:count].reshape(dims).astype(np.uint16, copy=False)

    def _table_index(self, shape: Shape) -> NDArray[np.int64]:
        return self.quantile_index(shape).astype(np.int64)


def fixed_point(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Round to multiples of 1 / RESOLUTION, so that sums of products become exact."""
    return np.rint(values * RESOLUTION) / RESOLUTION


def _entropy(key: str | int) -> int:
    if isinstance(key, int):
        return key
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "little")


@cache
def _normal_quantiles() -> NDArray[np.float64]:
    inverse = NormalDist().inv_cdf
    upper = [inverse(0.5 + (i + 0.5) / QUANTILES) for i in range(QUANTILES // 2)]
    half = fixed_point(np.array(upper))
    return _frozen(np.concatenate([-half[::-1], half]))


@cache
def gumbel_quantiles() -> NDArray[np.float64]:
    """Return the table that Gumbel numbers are looked up in; float64 (65536,), read-only."""
    values = [-math.log(-math.log((i + 0.5) / QUANTILES)) for i in range(QUANTILES)]
    return _frozen(fixed_point(np.array(values)))


def _frozen(table: NDArray[np.float64]) -> NDArray[np.float64]:
    table.setflags(write=False)
    return table
