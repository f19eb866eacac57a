"""Clause weights rounded up to a common unit, so that sums of them are exact.

A bound holds in exact arithmetic if it bounds the sum of weights that are not below the exact ones
of the clauses, and if nothing is rounded downwards after that. Weights that are whole multiples of
one power of two, with a total far below 2^53 of them, make the second half easy: additions and
subtractions of such numbers in doubles are exact, in any order. Multipliers may be rounded to the
same unit freely, since bounds hold for any multipliers. Proof: docs/theory.md, section 7.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.problem import MAX_BYTES, Instance
from instances.rounding_up import grown, sum_up
from instances.structure.clauses import Clauses

EXACT_BITS = 53
"""Whole numbers of up to so many bits are added exactly in doubles."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class UpperWeights:
    """Weights of the clauses, not below the exact ones.

    For every feasible placement, in exact arithmetic,

        F <= (sum of ``weight_ms`` over the clauses that it satisfies) + ``vanished_ms``.

    Parameters
    ----------
    weight_ms
        Multiples of ``unit_ms``; 0 for clauses that no placement satisfies; ms per token;
        float64 (C,).
    unit_ms
        A power of two, ms per token.
    largest_ms
        Sums and differences of multiples of the unit are exact while no partial sum exceeds this,
        at least the ``headroom`` times the total weight.
    vanished_ms
        Bounds what products too small for a double are worth together.
    """

    weight_ms: NDArray[np.float64]
    unit_ms: float
    largest_ms: float
    vanished_ms: float

    def down(self, values_ms: NDArray[np.float64]) -> NDArray[np.float64]:
        """Round non-negative values down to multiples of the unit; negative ones become 0.

        Values may be at most ``largest_ms``.
        """
        # dividing by a power of two only shifts; a quotient that vanishes is below 1 and goes to 0
        return np.asarray(np.floor(np.maximum(values_ms, 0.0) / self.unit_ms) * self.unit_ms)

    def bound_ms(self, *parts_ms: float) -> float:
        """Add up the parts of a bound on the sum of weights, upwards; a bound on the saving."""
        return sum_up([*parts_ms, self.vanished_ms])


def upper_weights(instance: Instance, clauses: Clauses, *, headroom: int = 2) -> UpperWeights:
    """Round the weights of an instance's clauses up.

    Parameters
    ----------
    clauses
        The clauses of the instance.
    headroom
        Sums of up to this multiple of the total weight shall be exact. Each factor of two costs one
        bit: weights grow by less than a unit each, which is at most 2^-50 of the total times the
        headroom.

    Raises
    ------
    ValueError
        When the headroom is not at least 1.
    """
    if headroom < 1:
        raise ValueError(f"headroom {headroom} is not at least 1")
    weight = grown(1.0, _roundings(instance)) * clauses.weight
    weight[~_can_be_satisfied(instance, clauses)] = 0.0
    unit = _unit(_total(weight), headroom)
    # in place, as there may be a hundred million clauses
    is_positive = weight > 0.0
    np.divide(weight, unit, out=weight)
    np.ceil(weight, out=weight)
    np.maximum(weight, is_positive, out=weight)  # a quotient far below 1 may vanish
    np.multiply(weight, unit, out=weight)
    return UpperWeights(
        weight_ms=weight,
        unit_ms=unit,
        largest_ms=unit * 2.0**EXACT_BITS,  # infinite near the end of doubles
        vanished_ms=vanished_ms(instance),
    )


def bound_of_computed(instance: Instance, bound_ms: float) -> float:
    """Turn a bound on sums of computed clause weights into one on the exact saving, ms per token.

    ``bound_ms`` is not below the sum of ``Clauses.weight`` over the clauses that any placement
    satisfies, these numbers being taken as they are. As all of them are non-negative and none is
    too small by more than some share, neither is any sum of them.
    """
    return sum_up([grown(bound_ms, _roundings(instance)), vanished_ms(instance)])


def _roundings(instance: Instance) -> int:
    """Return how many operations in a row are rounded on the way to a weight, at most.

    A weight is a sum of products rate * (t' - t), one or none for each row of the layer: a
    difference, a product and fewer additions than rows.
    """
    model = instance.user_model[instance.demand_user]
    layer = instance.model_layer_offset[model] + instance.demand_layer
    return int(np.bincount(layer, minlength=1).max()) + 1


def vanished_ms(instance: Instance) -> float:
    """Return what products below the normal range of doubles may lose.

    Each is off by at most half of the smallest double, and left out when it vanishes; there is at
    most one of them for each row and server. Most instances have none.
    """
    times = np.column_stack(
        [instance.latency_ms, instance.cloud_latency_ms, instance.local_latency_ms]
    )
    steps = np.diff(np.sort(times, axis=1), axis=1)
    least_step = float(steps[steps > 0.0].min(initial=1.0))
    rates = instance.demand_rate
    if float(rates[rates > 0.0].min(initial=1.0)) * least_step >= 2.0**-1021:
        return 0.0
    return instance.num_rows * instance.num_servers * 2.0**-1074


def _total(weight_ms: NDArray[np.float64]) -> float:
    """Add up weights, right up to a few roundings.

    Raises
    ------
    OverflowError
        When the sum is beyond the range of doubles.
    """
    with np.errstate(over="ignore"):
        total = float(weight_ms.sum())
    if math.isinf(total):
        raise OverflowError(f"{weight_ms.size} weights add up to more than a double can hold")
    return total


def _unit(total_ms: float, headroom: int) -> float:
    """Return a power of two of which 2^53 cover the headroom times the total, with room to spare.

    Rounding up adds less than one unit for each clause. The headroom is below a power of two of
    which twice is taken here: that covers it while there are fewer than 2^51 clauses, far more than
    any memory holds.
    """
    if total_ms == 0.0:
        return 1.0
    exponent = math.frexp(total_ms)[1] + headroom.bit_length() + 1 - EXACT_BITS
    return math.ldexp(1.0, max(exponent, -1074))


def _can_be_satisfied(instance: Instance, clauses: Clauses) -> NDArray[np.bool_]:
    """Tell which clauses have, for each of their experts, a server that it fits into; (C,)."""
    largest = np.where(clauses.server_sets, instance.capacity_bytes, -1).max(axis=1, initial=-1)
    needed = np.zeros(clauses.itemset_layer.size, dtype=np.int64)
    if instance.expert_bytes.max() <= largest.min(initial=MAX_BYTES):
        return np.ones(len(clauses), dtype=np.bool_)
    if needed.size:
        sizes = instance.expert_bytes[clauses.itemset_experts]
        needed = np.maximum.reduceat(sizes, clauses.itemset_offsets[:-1])
    return np.asarray(needed[clauses.itemset] <= largest[clauses.server_set])
