"""Moves: what must be loaded to get from one placement to another, and a price for it.

Copies that stay cost nothing, and dropping a copy costs nothing either: only bytes that a server
has to load count. Charging for them makes no new kind of problem (docs/theory.md, section 13).
"""

import dataclasses
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.rounding_up import round_up

_AWAY_MS = 1.0
"""What a kept copy saves the user who stands for it: all but what a server 0 ms away needs."""


def moved_bytes(instance: Instance, old: Placement, new: Placement) -> NDArray[np.int64]:
    """Bytes that each server has to load; int64 (N,).

    Raises
    ------
    InputError
        When a placement does not have the shape of the instance.
    """
    old.check_shape(instance)
    new.check_shape(instance)
    return Placement(new.stored & ~old.stored).used_bytes(instance)


def with_price_of_moves(instance: Instance, old: Placement, price_ms: float) -> Instance:
    """Return an instance whose saving is F(X) + price * (bytes of X that ``old`` has in place).

    The servers, models and experts are the same, so its placements are those of the instance. For
    each server and model there is one more user, who saves by this server alone and wants each
    expert that it stores, one at a time, at the rate price * size.

    Parameters
    ----------
    instance, old
        The instance, and what its servers store now.
    price_ms
        Price of a byte that is loaded, or premium on one that stays, ms per token, > 0.

    Raises
    ------
    InputError
        When the placement does not have the shape of the instance, or the price is not a positive
        finite number.
    """
    old.check_shape(instance)
    if not 0.0 < price_ms < np.inf:
        raise InputError("price", f"{price_ms} is not a positive finite number")
    server, flat = np.nonzero(old.stored)
    model = np.searchsorted(instance.model_expert_offset, flat, side="right") - 1
    key, user = np.unique(server * len(instance.models) + model, return_inverse=True)
    if key.size == 0:
        return instance
    keeps_at, keeps_model = np.divmod(key, len(instance.models))
    latency = np.full((key.size, instance.num_servers), _AWAY_MS)
    latency[np.arange(key.size), keeps_at] = 0.0
    within = flat - instance.model_expert_offset[model]
    experts = np.array([m.experts for m in instance.models], dtype=np.int64)[model]
    taken = set(instance.user_names)
    names = []
    for n, m in zip(keeps_at.tolist(), keeps_model.tolist(), strict=True):
        name = f"what {instance.server_names[n]} stores of {instance.models[m].name}"
        while name in taken:
            name += "'"
        taken.add(name)
        names.append(name)
    return dataclasses.replace(
        instance,
        user_names=(*instance.user_names, *names),
        user_model=np.concatenate([instance.user_model, keeps_model]),
        latency_ms=np.vstack([instance.latency_ms, latency]),
        cloud_latency_ms=np.append(instance.cloud_latency_ms, np.full(key.size, _AWAY_MS)),
        local_latency_ms=np.append(instance.local_latency_ms, np.zeros(key.size)),
        local_offsets=np.append(
            instance.local_offsets, np.full(key.size, instance.local_offsets[-1])
        ),
        demand_user=np.append(instance.demand_user, instance.num_users + user.reshape(-1)),
        demand_layer=np.append(instance.demand_layer, within // experts),
        demand_offsets=np.append(
            instance.demand_offsets, instance.demand_offsets[-1] + 1 + np.arange(flat.size)
        ),
        demand_experts=np.append(instance.demand_experts, within % experts),
        demand_rate=np.append(instance.demand_rate, price_ms * instance.expert_bytes[flat]),
    )


def bound_within(
    instance: Instance,
    old: Placement,
    *,
    budget_bytes: int,
    price_ms: float,
    priced_bound_ms: float,
) -> float:
    """Bound the saving of every placement that loads at most so many bytes, ms per token.

    A placement that loads B bytes keeps, without loss of saving, all of what is stored now but B
    bytes and what unequal sizes leave unused; this much premium is taken off the bound with
    premiums. Certified when that bound is.

    Parameters
    ----------
    instance, old, price_ms
        As for :func:`with_price_of_moves`.
    budget_bytes
        Most bytes to be loaded.
    priced_bound_ms
        Upper bound on the saving of that instance.
    """
    kept = 0
    common = int(np.gcd.reduce(instance.expert_bytes))
    for server in old.stored:
        sizes = instance.expert_bytes[server]
        if sizes.size:  # an old copy that was dropped did not fit beside the others
            kept += int(sizes.sum()) - (int(sizes.max()) - common)
    sizes = instance.expert_bytes[old.stored.any(axis=0)]
    if not sizes.size:
        return priced_bound_ms
    # the premiums are rounded products: the least of them per byte holds for all
    rates = (price_ms * sizes).tolist()
    premium = min(Fraction(r) / s for r, s in zip(rates, sizes.tolist(), strict=True))
    return round_up(Fraction(priced_bound_ms) - premium * max(0, kept - budget_bytes))
