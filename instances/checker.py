"""The exact checker: the value of a placement in rational arithmetic, straight from the definition.

Independent evidence about the evaluator and every solver: it shares no code with them, and uses
nothing of an instance but the fields that the file gives.
"""

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate, pairwise

from instances.placement import Placement
from instances.problem import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class ExactValues:
    """What a placement is worth, without any rounding.

    Parameters
    ----------
    latency_ms
        T(X), mean latency per token over the demand, ms.
    saving_ms
        F(X) = T(empty) - T(X), ms per token.
    used_bytes
        Bytes stored on each server.
    overfull
        Indices of the servers that store more than their capacity; empty for a feasible placement.
    """

    latency_ms: Fraction
    saving_ms: Fraction
    used_bytes: tuple[int, ...]
    overfull: tuple[int, ...]

    @property
    def feasible(self) -> bool:
        """No server stores more than its capacity."""
        return not self.overfull


def check(instance: Instance, placement: Placement) -> ExactValues:
    """Evaluate a placement exactly.

    Every number of an instance is a fraction whose denominator is a power of two. Waiting times are
    only compared, never computed: rates are first added up for each pair of waiting times (without
    any placement, with this one), and multiplied by the times at the end.

    Raises
    ------
    InputError
        When the placement does not have the shape of the instance.
    """
    placement.check_shape(instance)
    rates = _rates_by_wait(instance, placement)
    empty_latency = sum((rate * Fraction(empty) for (empty, _), rate in rates.items()), Fraction())
    latency = sum((rate * Fraction(wait) for (_, wait), rate in rates.items()), Fraction())
    sizes = [size for model in instance.models for size in model.expert_bytes.ravel().tolist()]
    used = tuple(sum(sizes[x] for x in row.nonzero()[0].tolist()) for row in placement.stored)
    capacities = instance.capacity_bytes.tolist()
    return ExactValues(
        latency_ms=latency,
        saving_ms=empty_latency - latency,
        used_bytes=used,
        overfull=tuple(n for n, capacity in enumerate(capacities) if used[n] > capacity),
    )


def _rates_by_wait(
    instance: Instance, placement: Placement
) -> defaultdict[tuple[float, float], Fraction]:
    """Add up the rates of rows with equal waiting times (without any placement, with this one)."""
    models = instance.models
    user_model = instance.user_model.tolist()
    latency = instance.latency_ms.tolist()
    cloud = instance.cloud_latency_ms.tolist()
    on_device = instance.local_latency_ms.tolist()
    local = _local_by_user(instance)
    first_expert = list(accumulate((m.layers * m.experts for m in models), initial=0))
    holders: list[list[int]] = [
        column.nonzero()[0].tolist() for column in placement.stored.T
    ]  # servers that store each expert

    times: dict[tuple[int, int], float] = {}  # (user, expert within her model) -> waiting time

    def time(user: int, expert: int) -> float:
        key = user, expert
        if key not in times:
            if expert in local[user]:
                times[key] = on_device[user]
            else:
                servers = holders[first_expert[user_model[user]] + expert]
                times[key] = min([cloud[user], *(latency[user][n] for n in servers)])
        return times[key]

    rates: defaultdict[tuple[float, float], Fraction] = defaultdict(Fraction)
    offsets = instance.demand_offsets.tolist()
    row_experts = instance.demand_experts.tolist()
    rows = zip(
        instance.demand_user.tolist(),
        instance.demand_layer.tolist(),
        offsets[:-1],
        offsets[1:],
        instance.demand_rate.tolist(),
        strict=True,
    )
    for user, layer, begin, end, rate in rows:
        base = layer * models[user_model[user]].experts
        experts = [base + expert for expert in row_experts[begin:end]]
        wait = max(time(user, expert) for expert in experts)
        empty_wait = max(on_device[user] if e in local[user] else cloud[user] for e in experts)
        rates[empty_wait, wait] += Fraction(rate)
    return rates


def _local_by_user(instance: Instance) -> list[set[int]]:
    offsets = instance.local_offsets.tolist()
    experts = instance.local_experts.tolist()
    return [set(experts[a:b]) for a, b in pairwise(offsets)]
