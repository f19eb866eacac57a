"""Quantile curves, also known as cactus plots: how many problems are solved within a budget."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.statistics.matrices import cost_matrix


def quantile_curves(costs: ArrayLike) -> list[NDArray[np.float64]]:
    """Return for each method its costs on the problems that it solves, ascending.

    Drawn as (1, first), (2, second), ...: the n-th point is the budget for each problem with which
    the method solves n of them.

    Parameters
    ----------
    costs
        Cost of each method on each problem, such as seconds; (P, M). NaN or infinite: failed, which
        ends up on no curve, so that curves have different lengths.

    Raises
    ------
    ValueError
        When there are no problems or no methods, or a cost is negative.

    When not to use it
    ------------------
    To compare methods problem by problem: two curves that coincide may belong to methods that solve
    different problems. When methods ran under different limits: the shorter limit cuts its curve.
    """
    matrix = cost_matrix(costs)
    return [np.sort(column[np.isfinite(column)]) for column in matrix.T]


def solved_within(costs: ArrayLike, budget: float) -> NDArray[np.int64]:
    """Return for each method how many problems it solves at a cost of at most the budget; (M,).

    Parameters
    ----------
    costs
        As for :func:`quantile_curves`.
    budget
        For each problem, in the unit of the costs.

    Raises
    ------
    ValueError
        When there are no problems or no methods, a cost is negative, or the budget is NaN.

    When not to use it
    ------------------
    As for :func:`quantile_curves`; and with a budget chosen after the costs were seen.
    """
    matrix = cost_matrix(costs)
    if np.isnan(budget):
        raise ValueError("the budget is NaN")
    solved: NDArray[np.int64] = (np.isfinite(matrix) & (matrix <= budget)).sum(axis=0)
    return solved
