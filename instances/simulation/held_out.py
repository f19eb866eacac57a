"""Held-out traffic: a trace split into a part to plan with and a part to be measured on."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.problem import Instance
from instances.simulation.tokens import Tokens, check_grouping, rank_within, replay_tokens
from instances.simulation.traffic import with_traffic
from instances.traces import Routes

SPLITS: Mapping[str, str] = MappingProxyType(
    {
        "requests": "every second request of each user is held out: the same users, other requests",
        "time": "the later half of each user's tokens is held out: the traffic drifts",
        "users": "every second user is held out: strangers at other places of the network",
    }
)
"""How a trace is split, and what that asks of a placement."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """One network under two parts of a trace.

    Parameters
    ----------
    planned, measured
        The instance with the demand of the part that is known beforehand, and of the held-out one.
    warm_up, replay
        Tokens of the two parts, in the order in which users decode them at the same time.
    """

    planned: Instance
    measured: Instance
    warm_up: Tokens
    replay: Tokens


def hold_out(
    instance: Instance, routes: Routes, grouping: NDArray[np.int64] | None, split: str
) -> HeldOut:
    """Split a trace.

    Parameters
    ----------
    instance
        The network and the models; its demand is not used.
    routes
        The trace.
    grouping
        User of each request, int64 (R,); None deals them out in turn.
    split
        One of :data:`SPLITS`.

    Raises
    ------
    InputError
        When the trace does not fit the instance, or a part would be empty.
    """
    if split not in SPLITS:
        raise InputError("split", f"{split!r} is not one of {', '.join(SPLITS)}")
    grouping = check_grouping(instance, routes, grouping)
    request = np.repeat(np.arange(routes.num_requests), np.diff(routes.offsets))
    user = grouping[request]
    if split == "time":
        count = np.bincount(user, minlength=instance.num_users)
        later = 2 * rank_within(user, instance.num_users) >= count[user]
    else:
        some = np.flatnonzero(np.diff(routes.offsets) > 0)
        if split == "requests":
            odd = rank_within(grouping[some], instance.num_users) % 2 == 1
        else:
            odd = np.unique(grouping[some], return_inverse=True)[1] % 2 == 1
        late_requests = np.zeros(routes.num_requests, dtype=np.bool_)
        late_requests[some] = odd
        later = late_requests[request]
    if not later.any() or later.all():
        short = {"requests": "users have one request each", "users": "there is one user"}
        why = short.get(split, "there is one token")
        raise InputError("split", f"{split!r} leaves one part empty: {why}")
    parts = []
    for name, mask in (("planned", ~later), ("held-out", later)):
        part, part_grouping = _take(routes, grouping, request, mask)
        parts.append(
            (
                with_traffic(instance, part, part_grouping, name=f"{instance.name}-{split}-{name}"),
                replay_tokens(instance, part, part_grouping),
            )
        )
    (planned, warm_up), (measured, replay) = parts
    return HeldOut(planned=planned, measured=measured, warm_up=warm_up, replay=replay)


def join_tokens(first: Tokens, second: Tokens) -> Tokens:
    """Return tokens of one network behind those of another time; requests stay apart."""
    shift = int(first.request.max(initial=-1)) + 1
    return Tokens(
        user=np.concatenate([first.user, second.user]),
        experts=np.concatenate([first.experts, second.experts]),
        request=np.concatenate([first.request, second.request + shift]),
        rate=second.rate,
    )


def _take(
    routes: Routes,
    grouping: NDArray[np.int64],
    request: NDArray[np.int64],
    mask: NDArray[np.bool_],
) -> tuple[Routes, NDArray[np.int64]]:
    """Return the tokens of a mask, without the requests that lose all theirs."""
    lengths = np.bincount(request[mask], minlength=routes.num_requests)
    kept = np.flatnonzero(lengths)
    part = Routes(
        experts=routes.experts[mask], offsets=np.concatenate([[0], np.cumsum(lengths[kept])])
    )
    return part, grouping[kept]
