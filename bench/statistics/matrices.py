"""Checks of the matrices that statistics are computed of."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def cost_matrix(costs: ArrayLike) -> NDArray[np.float64]:
    """Return costs as an array of problems x methods; failed runs become infinite.

    Raises
    ------
    ValueError
        When there are no problems or no methods, or a cost is negative.
    """
    matrix = _matrix(costs)
    if (matrix < 0).any():
        raise ValueError(f"a cost is negative: {matrix[matrix < 0][0]}")
    return np.where(np.isnan(matrix), np.inf, matrix)


def score_matrix(scores: ArrayLike) -> NDArray[np.float64]:
    """Return scores as an array of problems x methods, NaN for failed runs.

    Raises
    ------
    ValueError
        When there are no problems or no methods, or a score is infinite.
    """
    matrix = _matrix(scores)
    if np.isinf(matrix).any():
        raise ValueError("a score is infinite; failed runs are NaN")
    return matrix


def _matrix(values: ArrayLike) -> NDArray[np.float64]:
    matrix = np.array(values, dtype=np.float64)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"shape {matrix.shape} is not (problems, methods) with at least one each")
    return matrix
