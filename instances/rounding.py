"""Rounding to significant digits: what makes generated numbers the same on every machine.

Logarithms and exponentials may differ by one unit in the last place between processors and
mathematical libraries. Rounded to 6 or 9 digits, they no longer do.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def round_significant(values: ArrayLike, digits: int) -> NDArray[np.float64]:
    """Round to a number of significant decimal digits.

    Parameters
    ----------
    values
        Finite numbers; float64, any shape.
    digits
        Significant digits to keep.

    Returns
    -------
    NDArray[np.float64]
        The nearest doubles to the rounded decimals, same shape.

    Examples
    --------
    >>> round_significant([1234.5678, 0.00123456], 3).tolist()
    [1230.0, 0.00123]
    """
    array = np.asarray(values, dtype=np.float64)
    # Formatting is correctly rounded everywhere, unlike multiplying by a power of ten. Values
    # repeat a lot (rates are counts over totals), so each distinct one is formatted once.
    distinct, inverse = np.unique(array, return_inverse=True)
    rounded = np.array([float(f"{value:.{digits - 1}e}") for value in distinct.tolist()])
    return rounded[inverse].reshape(array.shape) if array.size else array.copy()
