"""Tokens: who decodes them and which experts they need, drawn from the demand or replayed."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.problem import Instance
from instances.simulation.kernels import draw
from instances.traces import Routes


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tokens:
    """Tokens in the order of their arrival.

    Parameters
    ----------
    user
        Index of the user who decodes each token; int64 (T,).
    experts
        Experts of each token in each layer of her model, -1 for none; int (T, L, K).
    request
        Request that each token belongs to; drawn tokens have one each; int64 (T,).
    rate
        What a mean over these tokens is multiplied with to be in the unit of T(X): 1 for a trace,
        else the demand's tokens per token, which is 1 in all but made-up instances.
    """

    user: NDArray[np.int64]
    experts: NDArray[np.integer]
    request: NDArray[np.int64]
    rate: float

    def __len__(self) -> int:
        return int(self.user.shape[0])


def draw_tokens(instance: Instance, count: int, rng: np.random.Generator) -> Tokens:
    """Draw tokens from the demand of an instance: a user, then a row in each layer.

    A user is drawn in proportion to her rate, which is the largest sum of her rates in a layer; a
    layer in which her rows have less passes without experts in the rest of the cases. Layers are
    independent, since an instance knows nothing of how they depend on each other.

    The sample is stratified: the users of ``count`` tokens come from ``count`` equal parts of the
    total rate, one from each; so do the rows of the n tokens of a user in each layer, from n
    parts, in an order of its own for every layer. Each token alone is an honest draw; the mean
    over all of them varies less than that of independent tokens, never more (docs/theory.md,
    section 14).

    Raises
    ------
    InputError
        When there is no demand, or ``count`` is not positive.
    """
    if count < 1:
        raise InputError("tokens", f"{count} is not at least 1")
    layers = max(model.layers for model in instance.models)
    order = np.lexsort((instance.demand_layer, instance.demand_user)).astype(np.int64)
    group = instance.demand_user[order].astype(np.int64) * layers + instance.demand_layer[order]
    offsets = np.searchsorted(group, np.arange(instance.num_users * layers + 1)).astype(np.int64)
    # Group by group, so that a sum does not carry the rounding of all groups before it.
    rates = np.zeros(instance.num_users * layers)
    cumulative = np.empty(order.size)
    for low, high in pairwise(offsets):
        if low < high:
            cumulative[low:high] = np.cumsum(instance.demand_rate[order[low:high]])
            rates[group[low]] = cumulative[high - 1]
    user_rate = rates.reshape(instance.num_users, layers).max(axis=1)
    total = float(user_rate.sum())
    if total == 0.0:
        raise InputError("demands.rate", "there is no demand to draw tokens from")
    points = (np.arange(count) + rng.random(count)) / count * total
    bounds = np.cumsum(user_rate)
    users = np.searchsorted(bounds, points, side="right")
    # The sum over users in another order of adding may end below the last point.
    users = np.minimum(users, int(np.flatnonzero(user_rate)[-1])).astype(np.int64)
    shape = np.array([(m.layers, m.experts) for m in instance.models], dtype=np.int64)
    experts = np.full((count, layers, _widest_row(instance)), -1, dtype=_index_type(instance))
    draw(
        rng,
        np.bincount(users, minlength=instance.num_users).astype(np.int64),
        shape[instance.user_model, 0],
        offsets,
        cumulative,
        user_rate,
        order,
        instance.demand_offsets,
        instance.demand_experts,
        experts,
    )
    arrival = rng.permutation(count)
    return Tokens(
        user=users[arrival],
        experts=experts[arrival],
        request=np.arange(count, dtype=np.int64),
        rate=total,
    )


def replay_tokens(
    instance: Instance, routes: Routes, grouping: NDArray[np.int64] | None = None
) -> Tokens:
    """Return the tokens of a trace, as users would decode them at the same time.

    Each user goes through her requests in their order; the users take turns, token by token.

    Parameters
    ----------
    instance
        Its users and their models.
    routes
        The trace.
    grouping
        User of each request, int64 (R,); None deals them out in turn.

    Raises
    ------
    InputError
        When the trace does not fit the instance.
    """
    grouping = check_grouping(instance, routes, grouping)
    request = np.repeat(np.arange(routes.num_requests), np.diff(routes.offsets)).astype(np.int64)
    user = grouping[request]
    order = np.lexsort((user, rank_within(user, instance.num_users)))
    return Tokens(user=user[order], experts=routes.experts[order], request=request[order], rate=1.0)


def check_grouping(
    instance: Instance, routes: Routes, grouping: NDArray[np.int64] | None
) -> NDArray[np.int64]:
    """Return the user of each request, where the trace fits the models of these users.

    Raises
    ------
    InputError
        When it does not.
    """
    num_users = instance.num_users
    if grouping is None:
        grouping = np.arange(routes.num_requests, dtype=np.int64) % num_users
    if grouping.shape != (routes.num_requests,):
        raise InputError(
            "grouping",
            f"{grouping.size} users where {routes.num_requests} requests need one each",
        )
    for request in np.flatnonzero((grouping < 0) | (grouping >= num_users))[:1]:
        raise InputError(
            f"grouping[{request}]", f"{grouping[request]} is not in 0..{num_users - 1}"
        )
    for model_idx in np.unique(instance.user_model[grouping]):
        model = instance.models[model_idx]
        most = int(routes.experts.max(initial=-1))
        for what, found, fits in (
            (f"{routes.num_layers} layers", model.layers, routes.num_layers == model.layers),
            (f"{routes.top_k} experts a token", model.top_k, routes.top_k <= model.top_k),
            (f"expert {most}", model.experts, most < model.experts),
        ):
            if not fits:
                raise InputError("experts", f"{what}, but {model.name} has {found}")
    return grouping.astype(np.int64)


def rank_within(user: NDArray[np.int64], num_users: int) -> NDArray[np.int64]:
    """Return how many entries of the same user come before each entry; int64, as long."""
    by_user = np.argsort(user, kind="stable")
    starts = np.searchsorted(user[by_user], np.arange(num_users))
    rank = np.empty(user.size, dtype=np.int64)
    rank[by_user] = np.arange(user.size) - starts[user[by_user]]
    return rank


def _widest_row(instance: Instance) -> int:
    return int(np.diff(instance.demand_offsets).max(initial=1))


def _index_type(instance: Instance) -> type[np.signedinteger]:
    """Half the memory where it suffices: a million tokens of a large model fill gigabytes."""
    most = max(model.experts for model in instance.models)
    return np.int16 if most <= np.iinfo(np.int16).max else np.int32
