"""Max-plus convolution of dense arrays, the fastest form that a checked property allows."""

import numpy as np
from numpy.typing import NDArray

from instances.structure.maxplus_kernels import blocked, is_concave, merge_concave, smawk


def convolve(
    f: NDArray[np.float64], g: NDArray[np.float64], limit: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return h[k] = max over i of f[i] + g[k - i] for k < limit, and an i that attains it.

    Two concave arrays are merged by falling differences, O(limit). One concave array makes the
    matrix of sums totally monotone: SMAWK, O(limit + length of the other). Otherwise all pairs.
    Concavity is checked, in linear time, never assumed.

    Parameters
    ----------
    f, g
        Finite values, at least one each; float64.
    limit
        Length of the result, at most len(f) + len(g) - 1.

    Raises
    ------
    ValueError
        When an array is empty or the limit is out of range.
    """
    if not (f.size and g.size and 1 <= limit <= f.size + g.size - 1):
        raise ValueError(f"lengths {f.size} and {g.size} have no convolution of length {limit}")
    f_is_concave, g_is_concave = is_concave(f), is_concave(g)
    if f_is_concave and g_is_concave:
        h, arg = merge_concave(f, g, limit)
    elif g_is_concave:
        h, arg = smawk(f, g, limit)
    elif f_is_concave:
        h, arg = smawk(g, f, limit)
        arg = np.arange(limit) - arg
    else:
        h, arg = blocked(f, g, limit)
    return h, arg
