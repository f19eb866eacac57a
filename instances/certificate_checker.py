"""The exact checker of certificates: the closed formula in rational arithmetic.

Independent evidence about bounds: it takes the clauses from the rows of the instance by their
definition, and shares no code with whatever found the multipliers. The formula and its proof stand
in docs/theory.md, section 7.
"""

import math
from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction
from itertools import pairwise

from instances.certificate import Certificate
from instances.problem import Instance

Clause = tuple[int, tuple[int, ...]]
"""Server set (bit n: server n) and flat experts, ascending."""

Pair = tuple[int, int]
"""Server set, or a server, and flat expert."""


def proven_bound(instance: Instance, certificate: Certificate) -> Fraction:
    """Return the bound that the multipliers of a certificate prove, ms per token, exactly.

    What the certificate says its bound is, is not looked at.

    Raises
    ------
    ValueError
        When a multiplier is negative.
    """
    sizes = [size for model in instance.models for size in model.expert_bytes.ravel().tolist()]
    capacities = instance.capacity_bytes.tolist()
    masks = [sum(1 << n for n in row.nonzero()[0].tolist()) for row in certificate.server_sets]

    def fitting(mask: int, expert: int) -> int:
        """Leave out the servers into which the expert does not fit."""
        return sum(1 << n for n in _bits(mask) if sizes[expert] <= capacities[n])

    # (w - sum of alpha)+
    unpaid = _clause_weights(instance)
    for mask, experts in list(unpaid):
        if not all(fitting(mask, expert) for expert in experts):
            del unpaid[mask, experts]  # no placement satisfies it
    demand: defaultdict[Pair, Fraction] = defaultdict(Fraction)
    offsets = certificate.alpha_offsets.tolist()
    alpha = [Fraction(value) for value in certificate.alpha_ms.tolist()]
    all_experts = certificate.alpha_experts.tolist()
    for server_set, (begin, end) in zip(
        certificate.alpha_set.tolist(), pairwise(offsets), strict=True
    ):
        mask, experts = masks[server_set], all_experts[begin:end]
        for expert, value in zip(experts, alpha[begin:end], strict=True):
            if value < 0:
                raise ValueError(f"alpha {value} of expert {expert} is negative")
            demand[mask, expert] += value
        clause = mask, tuple(experts)
        if clause in unpaid:
            unpaid[clause] -= sum(alpha[begin:end])
    total = sum((value for value in unpaid.values() if value > 0), Fraction())

    # (sum of alpha - pi)+
    load: defaultdict[Pair, Fraction] = defaultdict(Fraction)
    for server_set, expert, pi in zip(
        certificate.pi_set.tolist(),
        certificate.pi_expert.tolist(),
        map(Fraction, certificate.pi_ms.tolist()),
        strict=True,
    ):
        if pi < 0:
            raise ValueError(f"pi {pi} of expert {expert} is negative")
        demand[masks[server_set], expert] -= pi
        for n in _bits(fitting(masks[server_set], expert)):
            load[n, expert] += pi
    total += sum(
        (value for (mask, i), value in demand.items() if value > 0 and fitting(mask, i)),
        Fraction(),
    )

    # (sum of pi - lambda s)+ and lambda Q
    units = [0] * instance.num_servers
    prices = [Fraction(price) for price in certificate.price_ms.tolist()]
    for (n, expert), value in load.items():
        units[n] = math.gcd(units[n], sizes[expert])
        total += max(Fraction(), value - prices[n] * sizes[expert])
    for unit, price, capacity in zip(units, prices, capacities, strict=True):
        if price < 0:
            raise ValueError(f"lambda {price} is negative")
        # bytes that such experts take are a multiple of the unit
        total += price * (capacity - capacity % unit if unit else 0)
    return total


def _clause_weights(instance: Instance) -> dict[Clause, Fraction]:
    """Return the exact weights of the clauses, row by row from the definition."""
    users = range(instance.num_users)
    local = [set(instance.user_local_experts(user).tolist()) for user in users]
    steps = [list(_steps(instance, user)) for user in users]
    rates: defaultdict[tuple[int, bool, tuple[int, ...]], Fraction] = defaultdict(Fraction)
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
            rates[key] += Fraction(rate)
    weights: defaultdict[Clause, Fraction] = defaultdict(Fraction)
    for (user, has_local, needed_experts), rate in rates.items():
        floor = Fraction(float(instance.local_latency_ms[user])) if has_local else Fraction()
        for mask, here, beyond in steps[user]:
            weights[mask, needed_experts] += rate * (max(beyond, floor) - max(here, floor))
    return weights


def _steps(instance: Instance, user: int) -> Iterator[tuple[int, Fraction, Fraction]]:
    """Yield the server sets of a user, each with its latency and the next larger one."""
    cloud = float(instance.cloud_latency_ms[user])
    latency = instance.latency_ms[user].tolist()
    levels = sorted({time for time in latency if time < cloud})
    for level, beyond in pairwise([*levels, cloud]):
        mask = sum(1 << n for n, time in enumerate(latency) if time <= level)
        yield mask, Fraction(level), Fraction(beyond)


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low
