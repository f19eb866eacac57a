"""Caches: servers that follow the traffic instead of a plan (LRU, LFU), replayed on tokens.

Every user has a home, the fastest server that beats the cloud for her. An expert that she needs
is answered by the fastest place that has it at that moment; where that is not her home, the home
fetches it in the background and stores it in place of what it ranks below. The fetch costs no
time of hers, is over before the next layer begins, and takes nothing from anybody's rate: all of
that is in favour of the caches. A server that is nobody's home stays as it started.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.simulation.cache_kernels import Caches, insert, replay
from instances.simulation.intervals import Interval, batched
from instances.simulation.simulator import make_world
from instances.simulation.tokens import Tokens

POLICIES = ("lru", "lfu")
"""What gives way: what was wanted longest ago, or what was wanted most seldom. Both count what is
wanted of a server, stored or not; LFU stores nothing in place of what is wanted as often."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CacheReplay:
    """What tokens met.

    Parameters
    ----------
    tokens
        Tokens that count.
    mean
        Mean time per token, ms, with its 99 % confidence interval.
    calls
        Expert calls that each server, the cloud and the devices answered; int64 (N + 2,).
    fetches, fetched_bytes
        Experts that servers fetched, and their bytes.
    placement
        What the servers hold at the end.
    """

    tokens: int
    mean: Interval
    calls: NDArray[np.int64]
    fetches: int
    fetched_bytes: int
    placement: Placement


def replay_caches(
    instance: Instance,
    tokens: Tokens,
    policy: str,
    *,
    start: Placement | None = None,
    uncounted: int = 0,
) -> CacheReplay:
    """Replay tokens, one after the other, on servers that cache experts.

    Parameters
    ----------
    instance
        The network and the capacities.
    tokens
        In the order in which they come.
    policy
        ``lru`` or ``lfu``.
    start
        What the servers hold before the first token; None for nothing.
    uncounted
        Tokens at the front that only warm the caches.

    Raises
    ------
    InputError
        When the policy is unknown, or the start does not fit.
    """
    if policy not in POLICIES:
        raise InputError("policy", f"{policy!r} is not one of {', '.join(POLICIES)}")
    if not 0 <= uncounted < len(tokens):
        raise InputError("uncounted", f"{uncounted} is not in 0..{len(tokens) - 1}")
    if start is None:
        start = Placement.empty(instance)
    start.check_capacity(instance)
    shape = (instance.num_servers, instance.num_experts)
    caches = Caches(
        key=np.zeros(shape, dtype=np.int64),
        uses=np.zeros(shape, dtype=np.int64),
        heap=np.zeros(shape, dtype=np.int64),
        place=np.full(shape, -1, dtype=np.int64),
        size=np.zeros(instance.num_servers, dtype=np.int64),
        free_bytes=instance.capacity_bytes.copy(),
        expert_bytes=instance.expert_bytes,
    )
    for server, expert in np.argwhere(start.stored):
        insert(caches, int(server), int(expert))
    times, calls, fetches, fetched_bytes = replay(
        make_world(instance, Placement.empty(instance)),
        caches,
        _homes(instance),
        tokens.user,
        tokens.experts,
        policy == "lfu",
        uncounted,
    )
    times = times[uncounted:]
    return CacheReplay(
        tokens=int(times.size),
        mean=batched(times).scaled(tokens.rate),
        calls=calls,
        fetches=int(fetches),
        fetched_bytes=int(fetched_bytes),
        placement=Placement(caches.place >= 0),
    )


def _homes(instance: Instance) -> NDArray[np.int64]:
    """Return the fastest server of each user; -1 where none beats the cloud."""
    nearest = np.argmin(instance.latency_ms, axis=1)
    best = instance.latency_ms[np.arange(instance.num_users), nearest]
    return np.where(best < instance.cloud_latency_ms, nearest, -1).astype(np.int64)
