"""The exact checker of certificates: the closed formula in rational arithmetic.

Independent evidence about bounds: it takes the clauses from the rows of the instance by their
definition, and shares no code with whatever found the multipliers. The formula and its proof stand
in docs/theory.md, section 7.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from instances.certificate import Certificate
from instances.problem import Instance

Clause = tuple[int, tuple[int, ...]]
"""Server set (bit n: server n) and flat experts, ascending."""

Pair = tuple[int, int]
"""Server set, or a server, and flat expert."""


def proven_bound(instance: Instance, certificate: Certificate) -> Fraction:
    """Return the bound that the multipliers of a certificate prove, ms per token, exactly.

    What the certificate says its bound is, is not looked at. Doubles are whole multiples of powers
    of two: everything is counted in units of the smallest one that occurs, in whole numbers.

    Raises
    ------
    ValueError
        When a multiplier is negative.
    """
    sizes = [size for model in instance.models for size in model.expert_bytes.ravel().tolist()]
    capacities = instance.capacity_bytes.tolist()
    masks = [sum(1 << n for n in row.nonzero()[0].tolist()) for row in certificate.server_sets]
    times = [instance.latency_ms, instance.cloud_latency_ms, instance.local_latency_ms]
    rate_unit = _exponent(instance.demand_rate)
    time_unit = max(_exponent(values) for values in times)
    multipliers = [certificate.alpha_ms, certificate.pi_ms, certificate.price_ms]
    for name, values in zip(("alpha", "pi", "lambda"), multipliers, strict=True):
        for value in values[values < 0.0].tolist()[:1]:
            raise ValueError(f"{name} {value} is negative")
    unit = max(rate_unit + time_unit, *(_exponent(values) for values in multipliers))

    @cache
    def fitting(mask: int, expert: int) -> tuple[int, ...]:
        """List the servers of a set into which the expert fits."""
        return tuple(n for n in _bits(mask) if sizes[expert] <= capacities[n])

    # (w - sum of alpha)+
    unpaid = {
        (mask, experts): weight << unit - rate_unit - time_unit
        for (mask, experts), weight in _clause_weights(instance, rate_unit, time_unit).items()
        if all(fitting(mask, expert) for expert in experts)  # else no placement satisfies it
    }
    demand: defaultdict[Pair, int] = defaultdict(int)
    alpha = [_count(value, unit) for value in certificate.alpha_ms.tolist()]
    all_experts = certificate.alpha_experts.tolist()
    for server_set, (begin, end) in zip(
        certificate.alpha_set.tolist(), pairwise(certificate.alpha_offsets.tolist()), strict=True
    ):
        mask, experts = masks[server_set], all_experts[begin:end]
        for expert, value in zip(experts, alpha[begin:end], strict=True):
            demand[mask, expert] += value
        clause = mask, tuple(experts)
        if clause in unpaid:
            unpaid[clause] -= sum(alpha[begin:end])
    total = sum(value for value in unpaid.values() if value > 0)

    # (sum of alpha - pi)+
    load: defaultdict[Pair, int] = defaultdict(int)
    for server_set, expert, value in zip(
        certificate.pi_set.tolist(),
        certificate.pi_expert.tolist(),
        certificate.pi_ms.tolist(),
        strict=True,
    ):
        pi = _count(value, unit)
        demand[masks[server_set], expert] -= pi
        for n in fitting(masks[server_set], expert):
            load[n, expert] += pi
    total += sum(value for pair, value in demand.items() if value > 0 and fitting(*pair))

    # (sum of pi - lambda s)+ and lambda Q
    grain = [0] * instance.num_servers
    prices = [_count(price, unit) for price in certificate.price_ms.tolist()]
    for (n, expert), value in load.items():
        grain[n] = math.gcd(grain[n], sizes[expert])
        total += max(0, value - prices[n] * sizes[expert])
    for size, price, capacity in zip(grain, prices, capacities, strict=True):
        # such experts take a multiple of their greatest common divisor
        total += price * (capacity - capacity % size if size else 0)
    return Fraction(total, 1 << unit)


def _exponent(values: NDArray[np.float64]) -> int:
    """Return the least e >= 0 such that all values are multiples of 2^-e."""
    denominators = {value.as_integer_ratio()[1] for value in set(values.ravel().tolist())}
    return max(denominators, default=1).bit_length() - 1


def _count(value: float, exponent: int) -> int:
    """Return how many times 2^-exponent a value is; it is a multiple."""
    numerator, denominator = value.as_integer_ratio()
    return numerator << exponent - denominator.bit_length() + 1


def _clause_weights(instance: Instance, rate_unit: int, time_unit: int) -> dict[Clause, int]:
    """Return the exact weights of the clauses, row by row from the definition.

    They are in units of 2^-(rate_unit + time_unit) ms per token.
    """
    users = range(instance.num_users)
    local = [set(instance.user_local_experts(user).tolist()) for user in users]
    steps = [list(_steps(instance, user, time_unit)) for user in users]
    rates: defaultdict[tuple[int, bool, tuple[int, ...]], int] = defaultdict(int)
    offsets = instance.demand_offsets.tolist()
    row_experts = instance.demand_experts.tolist()
    first_layer = instance.model_layer_offset.tolist()
    first_expert = instance.layer_expert_offset.tolist()
    model = instance.user_model.tolist()
    for user, layer, (begin, end), rate in zip(
        instance.demand_user.tolist(),
        instance.demand_layer.tolist(),
        pairwise(offsets),
        instance.demand_rate.tolist(),
        strict=True,
    ):
        base = first_expert[first_layer[model[user]] + layer]
        experts = {base + expert for expert in row_experts[begin:end]}
        needed = experts - local[user]
        if needed:
            key = user, len(needed) < len(experts), tuple(sorted(needed))
            rates[key] += _count(rate, rate_unit)
    weights: defaultdict[Clause, int] = defaultdict(int)
    for (user, has_local, needed_experts), rate_sum in rates.items():
        floor = _count(float(instance.local_latency_ms[user]), time_unit) if has_local else 0
        for mask, here, beyond in steps[user]:
            weights[mask, needed_experts] += rate_sum * (max(beyond, floor) - max(here, floor))
    return weights


def _steps(instance: Instance, user: int, unit: int) -> Iterator[tuple[int, int, int]]:
    """Yield the server sets of a user, each with its latency and the next larger one."""
    cloud = float(instance.cloud_latency_ms[user])
    latency = instance.latency_ms[user].tolist()
    levels = sorted({time for time in latency if time < cloud})
    for level, beyond in pairwise([*levels, cloud]):
        mask = sum(1 << n for n, time in enumerate(latency) if time <= level)
        yield mask, _count(level, unit), _count(beyond, unit)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
