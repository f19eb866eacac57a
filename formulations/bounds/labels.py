"""Labels: which servers store an expert, paid by credits and charged by prices of storage."""

import math

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.server_set_kernels import best_labels, label_worths, mix_labels
from instances.parallel import mapped

_NEWTON_STEPS, _MOST_NEWTON_STEPS = 4, 40
_NEWTON_CLOSE, _NEWTON_NEAR = 1e-3, 3e-2
"""Prices are good enough for steps when each storage is used up to this share of the largest: the
first one, or the second after some steps."""

_PRICE_STEPS = 12
"""Subgradient steps in the prices for each value."""

_LARGEST = 2.0**52

_MOST_PARTS = 8
_LEAST_WORK = 1 << 15
"""Experts are dealt out in a few parts for threads, where a part has so many labels or more."""


class Labels:
    """H(credit) = min over prices of: sum of prices times storage + each expert's best label.

    Parameters
    ----------
    credits
        The experts, server sets and groups of servers.
    threads
        Threads that work on experts side by side.

    Attributes
    ----------
    worth
        Of each label at the credits last looked at, units; float64 (X, 2^M).
    met, on
        Probability that an expert's label meets each set, and that each server stores it, in the
        last mix; float64 (X, S), (X, M).
    price, best_price
        Of storage, in the last mix and in the last value, in units a byte; float64 (M,).
    """

    def __init__(self, credits: Credits, threads: int = 1) -> None:
        self._credits = credits
        self._threads = threads
        self._storage = credits.groups.capacity_bytes.astype(np.float64)
        num_experts, num_servers = credits.fits.shape
        num_sets = credits.groups.masks.size
        num_labels = 1 << num_servers
        parts = min(_MOST_PARTS, max(1, num_experts * num_labels // _LEAST_WORK))
        ends = [num_experts * p // parts for p in range(parts + 1)]
        self._parts = list(zip(range(parts), ends[:-1], ends[1:], strict=True))
        self.worth = np.zeros((num_experts, num_labels))
        self.met = np.zeros((num_experts, num_sets))
        self.on = np.zeros((num_experts, num_servers))
        # of each part apart, and then added in their order: the same for any number of threads
        self._used = np.zeros((parts, num_servers))
        self._used_bytes = np.zeros((parts, num_servers), dtype=np.int64)
        self._curvature = np.zeros((parts, num_servers, num_servers))
        self._typical = credits.total / max(1.0, float(self._storage.sum()))
        self.price = np.full(num_servers, 0.5 * self._typical)
        self.best_price = self.price

    @property
    def used(self) -> NDArray[np.float64]:
        """Bytes that the last mix uses on each server; (M,)."""
        return np.asarray(self._used.sum(axis=0) * float(self._credits.sizes.mean()))

    def look_at(self, credit: NDArray[np.float64]) -> None:
        """Find the worth of every label at these credits, (X, S)."""
        groups = self._credits.groups

        def fill(part: tuple[int, int, int]) -> None:
            _, begin, end = part
            label_worths(begin, end, credit, groups.masks, groups.capacity_bytes.size, self.worth)

        mapped(fill, self._parts, self._threads)

    def value(self, *prices: NDArray[np.float64], steps: int = _PRICE_STEPS) -> float:
        """Return H or a little more, units; exact from credits of whole units, or infinite.

        Any prices give an upper bound of H; a few steps from the best of the given ones, the last
        best and those of the last mix look for the least.
        """
        best, length = math.inf, 1.0
        best_price, slack = self.price, np.zeros_like(self.price)
        for price in (self.price, self.best_price, *prices):
            total = self._value_at(price)
            if total < best:
                best, best_price, slack = total, price, self._slack()
        for _ in range(steps):
            steepest = np.abs(slack).max(initial=0.0)
            if steepest == 0.0 or best == math.inf:
                break
            step = 0.02 * length * float(best_price.mean()) / steepest
            price = np.maximum(0.0, best_price - step * slack)
            total = self._value_at(price)
            if total < best:
                best, best_price, slack = total, price, self._slack()
            else:
                length *= 0.6
        self.best_price = best_price
        return best

    def _slack(self) -> NDArray[np.float64]:
        return np.asarray(self._storage - self._used_bytes.sum(axis=0))

    def _value_at(self, price: NDArray[np.float64]) -> float:
        rent = np.ceil(price * self._storage) + 1.0  # off by less than a unit below 2^52
        credits = self._credits
        self._used_bytes[:] = 0

        def earn(part: tuple[int, int, int]) -> float:
            p, begin, end = part
            used = self._used_bytes[p]
            return float(
                best_labels(begin, end, self.worth, credits.sizes, credits.fits, price, used)
            )

        total = float(rent.sum()) + sum(mapped(earn, self._parts, self._threads))
        # non-negative whole numbers whose computed sum is below 2^53 were added exactly
        return total if total < _LARGEST else math.inf

    def mix(
        self,
        pull: NDArray[np.float64],
        scale: NDArray[np.float64],
        paid: NDArray[np.float64] | None = None,
        length: float = 1.0,
    ) -> None:
        """Mix labels by exp((worth - cost) / scale), at prices for which the storage suffices.

        The prices of a byte are ``paid + length * price``, with the least ``price`` >= 0.

        Parameters
        ----------
        pull
            Credits that the worth of labels is made of, units; (X, S).
        scale
            What counts as a small amount, for each expert, units; (X,).
        paid
            Units a byte; (M,), or None for nothing.
        """
        # all in comparable numbers: sizes in mean sizes, prices relative to the typical one
        mean = float(self._credits.sizes.mean())
        sizes, storage = self._credits.sizes / mean, self._storage / mean
        slope = self._credits.sizes * self._typical / scale
        before = np.zeros_like(storage) if paid is None else paid / self._typical
        price = self.price / self._typical
        known, best = price, math.inf  # what prices are worth: to be minimised, convex
        for attempt in range(_MOST_NEWTON_STEPS):
            worth = self._mix_at(pull, scale, sizes, slope, before + length * price)
            worth += length * float(price @ storage)
            excess = self._used.sum(axis=0) - storage
            free = (price > 0.0) | (excess > 0.0)
            farthest = np.abs(excess[free]).max(initial=0.0) / storage.max()
            close = _NEWTON_CLOSE if attempt < _NEWTON_STEPS - 1 else _NEWTON_NEAR
            if farthest <= close or attempt == _MOST_NEWTON_STEPS - 1:
                break
            if worth > best:  # too far: half of the last step
                price = 0.5 * (known + price)
                continue
            known, best = price, worth
            curvature = length * self._curvature.sum(axis=0)[np.ix_(free, free)]
            ridge = 1e-9 * (1.0 + float(np.trace(curvature)))
            curvature = curvature + ridge * np.eye(curvature.shape[0])
            step = np.zeros_like(price)
            step[free] = np.linalg.solve(curvature, excess[free])
            most = 0.3 * max(float(price.max()), 1e-3)
            step *= min(1.0, most / max(float(np.abs(step).max()), most))
            price = np.maximum(0.0, price + step)
        self.price = price * self._typical

    def mix_as_paid(
        self, pull: NDArray[np.float64], scale: NDArray[np.float64], paid: NDArray[np.float64]
    ) -> None:
        """Mix labels at the prices ``paid`` alone, whatever storage they use; see :meth:`mix`."""
        sizes = self._credits.sizes / float(self._credits.sizes.mean())
        slope = self._credits.sizes * self._typical / scale
        self._mix_at(pull, scale, sizes, slope, paid / self._typical)

    def _mix_at(
        self,
        pull: NDArray[np.float64],
        scale: NDArray[np.float64],
        sizes: NDArray[np.float64],
        slope: NDArray[np.float64],
        price: NDArray[np.float64],
    ) -> float:
        masks, fits = self._credits.groups.masks, self._credits.fits
        self._used[:] = 0.0
        self._curvature[:] = 0.0

        def mix(part: tuple[int, int, int]) -> float:
            p, begin, end = part
            earned = mix_labels(
                begin,
                end,
                pull,
                scale,
                sizes,
                slope,
                price,
                masks,
                fits,
                self.met,
                self.on,
                self._used[p],
                self._curvature[p],
            )
            return float(earned)

        return sum(mapped(mix, self._parts, self._threads))
