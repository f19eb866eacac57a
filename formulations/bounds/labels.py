"""Labels: which servers store an expert, paid by credits and charged by prices of storage."""

import math

import numpy as np
from numpy.typing import NDArray

from formulations.bounds.credits import Credits
from formulations.bounds.server_set_kernels import best_labels, label_worths, mix_labels

_NEWTON_STEPS = 4
_NEWTON_CLOSE = 1e-3
"""Prices are good enough for steps when each storage is used up to this share of the largest."""

_PRICE_STEPS = 12
"""Subgradient steps in the prices for each value."""

_LARGEST = 2.0**52


class Labels:
    """H(credit) = min over prices of: sum of prices times storage + each expert's best label.

    Parameters
    ----------
    credits
        The experts, server sets and groups of servers.

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

    def __init__(self, credits: Credits) -> None:
        self._credits = credits
        self._storage = credits.groups.capacity_bytes.astype(np.float64)
        num_experts, num_servers = credits.fits.shape
        num_sets = credits.groups.masks.size
        labels = np.arange(1 << num_servers)
        self._has = (labels[:, None] >> np.arange(num_servers)) & 1 > 0
        self._barred = (~credits.fits) @ self._has.T
        self.worth = np.zeros((num_experts, labels.size))
        self.met = np.zeros((num_experts, num_sets))
        self.on = np.zeros((num_experts, num_servers))
        self._used = np.zeros(num_servers)
        self._used_bytes = np.zeros(num_servers, dtype=np.int64)
        self._curvature = np.zeros((num_servers, num_servers))
        self._typical = credits.total / max(1.0, float(self._storage.sum()))
        self.price = np.full(num_servers, 0.5 * self._typical)
        self.best_price = self.price

    def look_at(self, credit: NDArray[np.float64]) -> None:
        """Find the worth of every label at these credits, (X, S)."""
        groups = self._credits.groups
        label_worths(credit, groups.masks, groups.capacity_bytes.size, self.worth)

    def value(self, *prices: NDArray[np.float64]) -> float:
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
        for _ in range(_PRICE_STEPS):
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
        return np.asarray(self._storage - self._used_bytes)

    def _value_at(self, price: NDArray[np.float64]) -> float:
        rent = np.ceil(price * self._storage) + 1.0  # off by less than a unit below 2^52
        credits = self._credits
        total = float(rent.sum()) + float(
            best_labels(self.worth, credits.sizes, credits.fits, price, self._used_bytes)
        )
        # non-negative whole numbers whose computed sum is below 2^53 were added exactly
        return total if total < _LARGEST else math.inf

    def mix(self, score: NDArray[np.float64], scale: NDArray[np.float64]) -> NDArray[np.float64]:
        """Mix labels by exp(score - cost / scale), at prices for which the storage suffices.

        Parameters
        ----------
        score
            Of each label, (X, 2^M); becomes -inf for labels that do not fit.
        scale
            What counts as a small amount, for each expert, units; (X,).

        Returns
        -------
        NDArray[np.float64]
            cost / scale of each label, (X, 2^M).
        """
        score[self._barred] = -np.inf
        # all in comparable numbers: sizes in mean sizes, prices relative to the typical one
        mean = float(self._credits.sizes.mean())
        sizes, storage = self._credits.sizes / mean, self._storage / mean
        slope = self._credits.sizes * self._typical / scale
        masks = self._credits.groups.masks
        price = self.price / self._typical
        for attempt in range(_NEWTON_STEPS):
            mix_labels(
                score, sizes, slope, price, masks, self.met, self.on, self._used, self._curvature
            )
            excess = self._used - storage
            free = (price > 0.0) | (excess > 0.0)
            is_close = np.abs(excess[free]).max(initial=0.0) <= _NEWTON_CLOSE * storage.max()
            if is_close or attempt == _NEWTON_STEPS - 1:
                break
            curvature = self._curvature[np.ix_(free, free)]
            ridge = 1e-9 * (1.0 + float(np.trace(curvature)))
            curvature = curvature + ridge * np.eye(curvature.shape[0])
            step = np.zeros_like(price)
            step[free] = np.linalg.solve(curvature, excess[free])
            most = 0.3 * max(float(price.max()), 1e-3)
            step *= min(1.0, most / max(float(np.abs(step).max()), most))
            price = np.maximum(0.0, price + step)
        self.price = price * self._typical
        return slope[:, None] * (self._has @ price)[None, :]
