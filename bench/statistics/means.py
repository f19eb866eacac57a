"""Shifted geometric means, with failures treated in a way that is said."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

Treatment = Literal["infinite", "penalty", "omit"]
"""``infinite``: one failure makes the mean infinite. ``penalty``: it counts as a given cost, such
as twice the time limit (PAR2). ``omit``: it is left out, and counted beside the mean."""


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean, and of how much.

    Parameters
    ----------
    value
        The mean; NaN when it is one of nothing.
    used, failed
        Costs that are in it as they are, and failures, whatever became of them.
    """

    value: float
    used: int
    failed: int


def shifted_geometric_mean(
    costs: ArrayLike,
    *,
    shift: float,
    failures: Treatment,
    penalty: float = math.nan,
) -> Mean:
    """Return exp(mean of log(cost + shift)) - shift.

    Parameters
    ----------
    costs
        Costs of one method, such as seconds; (P,). NaN or infinite: failed.
    shift
        Costs much smaller than it hardly count; in the unit of the costs, from 0. With 0 this is
        the geometric mean, and one cost of 0 makes it 0.
    failures
        What becomes of failures, see :data:`Treatment`.
    penalty
        What a failure costs, with ``failures="penalty"``.

    Raises
    ------
    ValueError
        When a cost, the shift or the penalty is negative, or a penalty is missing or given in vain.

    When not to use it
    ------------------
    With ``omit``, to compare methods that fail on different problems: who gives up on the hard ones
    looks fast. With ``penalty``, when the limits differ. For savings or gaps that may be negative.
    To say how long a benchmark takes, which is the arithmetic mean.

    Examples
    --------
    >>> shifted_geometric_mean([0.0, 3.0, math.nan], shift=1.0, failures="omit")
    Mean(value=1.0, used=2, failed=1)
    """
    values = np.array(costs, dtype=np.float64).ravel()
    failed = ~np.isfinite(values)
    if (values[~failed] < 0).any() or (values == -np.inf).any():
        raise ValueError("a cost is negative")
    if not 0.0 <= shift < math.inf:
        raise ValueError(f"shift {shift} is not a finite number >= 0")
    if (failures == "penalty") == math.isnan(penalty) or penalty < 0:
        raise ValueError(f"penalty {penalty} with failures={failures!r}")
    num_failed = int(failed.sum())
    used = values.size - num_failed
    replacement = {"infinite": math.inf, "penalty": penalty, "omit": math.nan}[failures]
    counted = np.where(failed, replacement, values)
    counted = counted[~np.isnan(counted)]
    if counted.size == 0:
        return Mean(math.nan, used, num_failed)
    if np.isinf(counted).any():
        return Mean(math.inf, used, num_failed)
    if shift > 0.0:  # the same as exp(mean(log(cost + shift))) - shift, and exact for zeros
        value = shift * math.expm1(float(np.log1p(counted / shift).mean()))
    else:
        with np.errstate(divide="ignore"):  # the logarithm of 0
            value = math.exp(float(np.log(counted).mean()))
    return Mean(value, used, num_failed)
