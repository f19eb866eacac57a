"""Clauses whose weights are whole numbers, without loss: straight from the definition.

Independent of :mod:`instances.structure.clauses`, which has the same clauses in floating point.
Rates and latencies are read as the decimals that stand in an instance file. Products and sums of
decimals are decimals, so all weights are whole multiples of one unit.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from instances.problem import Instance

Key = tuple[tuple[int, ...], tuple[int, ...]]
"""Servers and flat experts of a clause, each ascending."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeClauses:
    """Clauses (weight, servers, experts) with weights in one unit.

    Parameters
    ----------
    weight
        Weight of each clause in units, > 0.
    unit_ms
        The unit, ms per token, exactly.
    """

    weight: dict[Key, int]
    unit_ms: Fraction

    @property
    def total(self) -> int:
        """Sum of all weights, units."""
        return sum(self.weight.values())


def build_whole_clauses(instance: Instance) -> WholeClauses:
    """Write an instance in threshold form, in whole numbers.

    T of a row falls step by step as its experts come within reach of more servers; each step is a
    clause. A step below the latency of an expert on the device gains nothing.
    """
    exact: defaultdict[Key, Fraction] = defaultdict(Fraction)
    steps = [_steps(instance, user) for user in range(instance.num_users)]
    for user, experts, has_local, rate in _rows(instance):
        on_device = decimal(instance.local_latency_ms[user])
        for servers, far, near in steps[user]:
            floor = on_device if has_local else near
            gain = max(far, floor) - max(near, floor)
            if gain > 0 and rate > 0:
                exact[servers, experts] += rate * gain
    denominator = math.lcm(*(value.denominator for value in exact.values()))
    whole = {key: int(value * denominator) for key, value in exact.items()}
    divisor = math.gcd(*whole.values()) or 1
    return WholeClauses(
        weight={key: value // divisor for key, value in whole.items()},
        unit_ms=Fraction(divisor, denominator),
    )


def decimal(value: float) -> Fraction:
    """Return the shortest decimal that reads back as this number, as files write it, exactly.

    >>> decimal(0.1)
    Fraction(1, 10)
    """
    return Fraction(repr(float(value)))


def _steps(instance: Instance, user: int) -> list[tuple[tuple[int, ...], Fraction, Fraction]]:
    """List the nested server sets of a user, each with the waiting time without and with it."""
    cloud = float(instance.cloud_latency_ms[user])
    latency = instance.latency_ms[user].tolist()
    levels = sorted({value for value in latency if value < cloud})
    return [
        (
            tuple(n for n, value in enumerate(latency) if value <= near),
            decimal(far),
            decimal(near),
        )
        for near, far in pairwise([*levels, cloud])
    ]


def _rows(instance: Instance) -> Iterator[tuple[int, tuple[int, ...], bool, Fraction]]:
    """List user, flat experts that are not on the device, whether others are, and rate."""
    local = [set(instance.user_local_experts(u).tolist()) for u in range(instance.num_users)]
    for row, rate in enumerate(instance.demand_rate.tolist()):
        user = int(instance.demand_user[row])
        model = int(instance.user_model[user])
        layer = int(instance.model_layer_offset[model]) + int(instance.demand_layer[row])
        begin, end = instance.demand_offsets[row : row + 2]
        first = instance.layer_experts(layer).start
        wanted = {first + e for e in instance.demand_experts[begin:end].tolist()}
        needed = wanted - local[user]
        if needed:
            yield user, tuple(sorted(needed)), len(needed) < len(wanted), decimal(rate)
