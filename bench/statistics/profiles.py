"""Performance profiles (Dolan and More, Mathematical Programming 91, 2002)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.matrices import cost_matrix


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Step functions: the share of problems that a method solves within a factor of the best.

    Parameters
    ----------
    factors
        Ascending factors at which some share steps up, from 1; float64 (T,).
    shares
        ``shares[i, m]``: share of all problems that method m solves within ``factors[i]`` times
        the best cost; float64 (T, M), not decreasing along the first axis.
    """

    factors: NDArray[np.float64]
    shares: NDArray[np.float64]

    def at(self, factor: float) -> NDArray[np.float64]:
        """Return the shares within a factor of at least 1; float64 (M,)."""
        if not factor >= 1.0:
            raise ValueError(f"factor {factor} is below 1")
        step = int(np.searchsorted(self.factors, factor, side="right")) - 1
        shares: NDArray[np.float64] = self.shares[step]
        return shares


def performance_profile(costs: ArrayLike, *, floor: float = 0.0) -> Profile:
    """Return for each method the share of problems on which it is within a factor of the best.

    Parameters
    ----------
    costs
        Cost of each method on each problem, such as seconds; (P, M). NaN or infinite: failed, which
        is within no factor. A problem on which all fail still counts in the denominator, so that
        profiles end at the share that a method solves at all.
    floor
        Costs below it count as it, so that noise of the clock is no victory. Where the best cost is
        0 all the same, a cost of 0 is within the factor 1, and any other within none.

    Raises
    ------
    ValueError
        When there are no problems or no methods, or a cost is negative.

    When not to use it
    ------------------
    To rank more than two methods beyond who is best: the curves of two methods depend on the third
    (Gould and Scott, ACM TOMS 43, 2016); draw a profile of the two alone. For qualities with a
    proven optimum, where the ratio to the optimum itself says more. For a handful of problems.

    Examples
    --------
    >>> profile = performance_profile([[1.0, 2.0], [4.0, 2.0], [3.0, float("nan")]])
    >>> profile.factors, profile.at(1.0), profile.at(2.0)
    (array([1., 2.]), array([0.66666667, 0.33333333]), array([1.        , 0.66666667]))
    """
    matrix = np.maximum(cost_matrix(costs), floor)
    best = matrix.min(axis=1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = matrix / best  # x / 0 = infinite; 0 / 0 and inf / inf are NaN
    ratios[(matrix == best) & np.isfinite(matrix)] = 1.0
    ratios[np.isnan(ratios)] = np.inf
    factors = np.unique(np.concatenate([[1.0], ratios[np.isfinite(ratios)]]))
    within = ratios[None, :, :] <= factors[:, None, None]
    return Profile(factors, within.mean(axis=1))
