"""Storage that experts can fill: sizes come in units, and what is left of one is of no use."""

import numpy as np
from numpy.typing import NDArray


def usable_bytes(capacity_bytes: int, sizes: NDArray[np.int64]) -> int:
    """Round a capacity down to what experts of these sizes can take together.

    They take a multiple of the greatest common divisor of the sizes of those that fit. Relaxations
    that mix placements profit: half of an expert no longer fills the rest of a server.

    Examples
    --------
    >>> usable_bytes(59, np.array([20, 30, 77]))
    50
    """
    fitting = sizes[sizes <= capacity_bytes]
    unit = max(1, int(np.gcd.reduce(fitting)))
    return capacity_bytes - capacity_bytes % unit
