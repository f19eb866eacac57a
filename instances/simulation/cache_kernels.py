"""The loop of caches that change with what is asked of them.

| symbol | meaning |
|---|---|
| n, x | server; flat expert |
| key | rank of a stored expert: the smallest goes first; (uses << 40) + clock, uses 0 for LRU |
| heap, size | stored experts of each server as a binary heap by key, and how many they are |
| place | place[n, x] in the heap, -1 for an expert that is not stored |
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.simulation.kernels import World, is_local

CLOCK_BITS = 40
"""A million tokens of sixty layers and eight experts tick 2^29 times."""


class Caches(NamedTuple):
    """What servers store, how it ranks, and how much room is left."""

    key: NDArray[np.int64]
    uses: NDArray[np.int64]
    heap: NDArray[np.int64]
    place: NDArray[np.int64]
    size: NDArray[np.int64]
    free_bytes: NDArray[np.int64]
    expert_bytes: NDArray[np.int64]


@njit(cache=True)
def rise(caches: Caches, n: int, at: int) -> None:
    """Move an expert of a small key towards the top."""
    x = caches.heap[n, at]
    while at > 0:
        above = (at - 1) // 2
        other = caches.heap[n, above]
        if caches.key[n, other] <= caches.key[n, x]:
            break
        caches.heap[n, at], caches.place[n, other] = other, at
        at = above
    caches.heap[n, at], caches.place[n, x] = x, at


@njit(cache=True)
def sink(caches: Caches, n: int, at: int) -> None:
    """Move an expert of a large key away from the top."""
    x = caches.heap[n, at]
    while True:
        below = 2 * at + 1
        if below >= caches.size[n]:
            break
        if below + 1 < caches.size[n] and (
            caches.key[n, caches.heap[n, below + 1]] < caches.key[n, caches.heap[n, below]]
        ):
            below += 1
        other = caches.heap[n, below]
        if caches.key[n, x] <= caches.key[n, other]:
            break
        caches.heap[n, at], caches.place[n, other] = other, at
        at = below
    caches.heap[n, at], caches.place[n, x] = x, at


@njit(cache=True)
def insert(caches: Caches, n: int, x: int) -> None:
    """Store an expert for which there is room."""
    at = caches.size[n]
    caches.size[n] += 1
    caches.heap[n, at] = x
    caches.free_bytes[n] -= caches.expert_bytes[x]
    rise(caches, n, at)


@njit(cache=True)
def evict(caches: Caches, n: int) -> int:
    """Remove the expert of the smallest key and return it."""
    x = caches.heap[n, 0]
    caches.size[n] -= 1
    caches.place[n, x] = -1
    caches.free_bytes[n] += caches.expert_bytes[x]
    if caches.size[n] > 0:
        caches.heap[n, 0] = caches.heap[n, caches.size[n]]
        sink(caches, n, 0)
    return int(x)


@njit(cache=True)
def admit(caches: Caches, n: int, x: int, evicted: NDArray[np.int64]) -> bool:
    """Store an expert in place of lower-ranking ones, where these give room enough."""
    if caches.expert_bytes[x] > caches.free_bytes[n] + used_bytes(caches, n, x):
        return False
    count = 0
    while caches.free_bytes[n] < caches.expert_bytes[x]:
        if caches.key[n, caches.heap[n, 0]] >= caches.key[n, x]:
            for i in range(count):  # not worth it: everything stays as it was
                insert(caches, n, evicted[i])
            return False
        evicted[count] = evict(caches, n)
        count += 1
    insert(caches, n, x)
    return True


@njit(cache=True)
def used_bytes(caches: Caches, n: int, x: int) -> int:
    """Return the bytes that the stored experts take, as far as one expert may need them."""
    total = np.int64(0)
    for i in range(caches.size[n]):
        if total >= caches.expert_bytes[x]:
            break
        total += caches.expert_bytes[caches.heap[n, i]]
    return int(total)


@njit(cache=True)
def replay(
    world: World,
    caches: Caches,
    home: NDArray[np.int64],
    user: NDArray[np.int64],
    experts: NDArray[np.integer],
    count_uses: bool,
    uncounted: int,
) -> tuple[NDArray[np.float64], NDArray[np.int64], int, int]:
    """Replay tokens, one after the other, and let caches follow.

    Returns
    -------
    tuple
        Time of each token, ms; calls of counted tokens by place; their fetches and the bytes of
        these.
    """
    tokens, layers, width = experts.shape
    servers = world.latency_ms.shape[1]
    times = np.zeros(tokens)
    calls = np.zeros(servers + 2, dtype=np.int64)
    fetches = np.int64(0)
    fetched_bytes = np.int64(0)
    served = np.empty(width, dtype=np.int64)
    evicted = np.empty(world.copies.shape[0], dtype=np.int64)
    clock = np.int64(0)
    for t in range(tokens):
        u = user[t]
        for layer in range(min(layers, world.user_layers[u])):
            wait = 0.0
            for k in range(width):
                if experts[t, layer, k] < 0:
                    continue
                x = layer * world.user_experts[u] + experts[t, layer, k]
                flat = world.user_first_expert[u] + x
                if is_local(world, u, x):
                    served[k], latency = servers + 1, world.local_ms[u]
                else:
                    served[k], latency = servers, world.cloud_ms[u]
                    for n in range(servers):
                        if caches.place[n, flat] >= 0 and world.latency_ms[u, n] < latency:
                            served[k], latency = n, world.latency_ms[u, n]
                wait = max(wait, latency)
                if t >= uncounted:
                    calls[served[k]] += 1
            times[t] += wait
            for k in range(width):  # in the background, for the calls that come after
                if experts[t, layer, k] < 0 or served[k] > servers:
                    continue
                flat = world.user_first_expert[u] + layer * world.user_experts[u]
                flat += experts[t, layer, k]
                clock += 1
                n = home[u]
                if served[k] != n and served[k] < servers and caches.place[served[k], flat] >= 0:
                    touch(caches, served[k], flat, count_uses, clock)
                if n < 0:
                    continue
                touch(caches, n, flat, count_uses, clock)
                new = caches.place[n, flat] < 0 and admit(caches, n, flat, evicted)
                if new and t >= uncounted:
                    fetches += 1
                    fetched_bytes += caches.expert_bytes[flat]
    return times, calls, int(fetches), int(fetched_bytes)


@njit(cache=True)
def touch(caches: Caches, n: int, x: int, count_uses: bool, clock: int) -> None:
    """Note that an expert was wanted at a server, whether it is stored there or not."""
    caches.uses[n, x] += 1
    caches.key[n, x] = clock
    if count_uses:
        caches.key[n, x] += caches.uses[n, x] << np.int64(CLOCK_BITS)
    if caches.place[n, x] >= 0:
        sink(caches, n, caches.place[n, x])
