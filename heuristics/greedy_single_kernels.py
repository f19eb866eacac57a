"""Hot loops of greedy when every row has one expert: rows by expert, gains, steps.

Storing an expert on a server changes the gains of that expert alone, on all servers: they are added
up anew, in one pass over its rows.

| symbol | meaning | unit |
|---|---|---|
| x, n, u | flat expert, server, user | |
| entry e | a row of expert x, whose user is ``entry_user[e]`` | |
| wait | what an entry's user waits for its expert now | ms |
| pair | n * X + x: storing expert x on server n | |
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from heuristics.greedy_kernels import sift_down

LANES = 4
"""Servers are padded to a multiple of this, so that a block of them is one vector operation."""


class Rows(NamedTuple):
    """The rows that servers can serve, grouped by expert; ``wait`` changes in place.

    Parameters
    ----------
    offsets
        Entries of expert x: ``offsets[x] : offsets[x + 1]``; int64 (X + 1,).
    user, rate, wait
        User, rate, and ms that the user waits for the expert now; int32, float64, float64 (any,).
    """

    offsets: NDArray[np.int64]
    user: NDArray[np.int32]
    rate: NDArray[np.float64]
    wait: NDArray[np.float64]


class Servers(NamedTuple):
    """Servers and sizes of experts; ``room`` changes in place.

    Parameters
    ----------
    latency_ms
        Users by servers, servers padded by some that are infinitely slow; float64 (U, N + ...).
    room
        Bytes that are left; int64 (N,).
    expert_bytes
        Sizes; int64 (X,).
    """

    latency_ms: NDArray[np.float64]
    room: NDArray[np.int64]
    expert_bytes: NDArray[np.int64]


class Heap(NamedTuple):
    """Experts by the gain per byte of their best pair, as a binary heap; no key is too low.

    Parameters
    ----------
    key, pair
        Gain per byte, and the pair that has it; float64 and int64 (experts,).
    gain
        What storing an expert on a server saves now, ms per token; float64 (X, N + ...).
    """

    key: NDArray[np.float64]
    pair: NDArray[np.int64]
    gain: NDArray[np.float64]


@njit(cache=True)
def is_local(expert: int, local: NDArray[np.int64]) -> bool:
    """Tell whether a sorted list has an expert."""
    rank = np.searchsorted(local, expert)
    return bool(rank < local.shape[0] and local[rank] == expert)


@njit(cache=True)
def rows_by_expert(
    row_user: NDArray[np.int32],
    row_layer: NDArray[np.int32],
    row_expert: NDArray[np.int32],
    row_rate: NDArray[np.float64],
    user_first_expert: NDArray[np.int64],
    user_experts: NDArray[np.int64],
    local_offsets: NDArray[np.int64],
    local_experts: NDArray[np.int64],
    cloud_ms: NDArray[np.float64],
    num_experts: int,
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64], NDArray[np.float64]]:
    """Group rows by expert, in their order; returns offsets, users, rates, and waits of the cloud.

    Rows of rate 0 and of experts on the user's device gain nothing and are left out.
    """
    num_rows = row_rate.shape[0]
    expert = np.empty(num_rows, np.int32)
    offsets = np.zeros(num_experts + 1, np.int64)
    for d in range(num_rows):
        u = np.int64(row_user[d])
        within = np.int64(row_layer[d]) * user_experts[u] + row_expert[d]
        begin, end = local_offsets[u], local_offsets[u + 1]
        if row_rate[d] <= 0.0 or (begin < end and is_local(within, local_experts[begin:end])):
            expert[d] = -1
            continue
        x = user_first_expert[u] + within
        expert[d] = x
        offsets[x + 1] += 1
    for x in range(num_experts):
        offsets[x + 1] += offsets[x]
    cursor = offsets.copy()
    user = np.empty(offsets[num_experts], np.int32)
    rate = np.empty(offsets[num_experts])
    wait = np.empty(offsets[num_experts])
    for d in range(num_rows):
        x = np.int64(expert[d])
        if x < 0:
            continue
        position = cursor[x]
        cursor[x] = position + 1
        user[position] = row_user[d]
        rate[position] = row_rate[d]
        wait[position] = cloud_ms[row_user[d]]
    return offsets, user, rate, wait


@njit(cache=True)
def add_up(x: int, rows: Rows, latency_ms: NDArray[np.float64], gain: NDArray[np.float64]) -> None:
    """Write what storing expert x saves now on each server; every sum in the order of entries."""
    for n in range(0, latency_ms.shape[1], LANES):
        gain_0, gain_1, gain_2, gain_3 = 0.0, 0.0, 0.0, 0.0
        for e in range(rows.offsets[x], rows.offsets[x + 1]):
            u, rate, wait = rows.user[e], rows.rate[e], rows.wait[e]
            saved_0 = wait - latency_ms[u, n]
            saved_1 = wait - latency_ms[u, n + 1]
            saved_2 = wait - latency_ms[u, n + 2]
            saved_3 = wait - latency_ms[u, n + 3]
            gain_0 += rate * (saved_0 if saved_0 > 0.0 else 0.0)
            gain_1 += rate * (saved_1 if saved_1 > 0.0 else 0.0)
            gain_2 += rate * (saved_2 if saved_2 > 0.0 else 0.0)
            gain_3 += rate * (saved_3 if saved_3 > 0.0 else 0.0)
        gain[x, n], gain[x, n + 1], gain[x, n + 2], gain[x, n + 3] = gain_0, gain_1, gain_2, gain_3


@njit(cache=True)
def best_pair(x: int, servers: Servers, gain: NDArray[np.float64]) -> tuple[float, int]:
    """Return the largest gain per byte of expert x where it fits, 0 for none, and its pair."""
    best, best_server = 0.0, np.int64(0)
    for n in range(servers.room.shape[0]):
        if gain[x, n] > best and servers.expert_bytes[x] <= servers.room[n]:
            best, best_server = gain[x, n], np.int64(n)
    return best / servers.expert_bytes[x], best_server * servers.expert_bytes.shape[0] + x


@njit(cache=True)
def full_heap(rows: Rows, servers: Servers) -> Heap:
    """Add up all gains, and make a heap of the experts that gain anything where they fit."""
    num_experts = servers.expert_bytes.shape[0]
    gain = np.empty((num_experts, servers.latency_ms.shape[1]))
    key = np.empty(num_experts)
    pair = np.empty(num_experts, np.int64)
    size = 0
    for x in range(num_experts):
        add_up(x, rows, servers.latency_ms, gain)
        key[size], pair[size] = best_pair(x, servers, gain)
        if key[size] > 0.0:
            size += 1
    for position in range(size // 2 - 1, -1, -1):
        sift_down(key, pair, position, size)
    return Heap(key[:size], pair[:size], gain)


@njit(cache=True)
def single_steps(
    picks: NDArray[np.int64], num_picks: int, size: int, heap: Heap, rows: Rows, servers: Servers
) -> tuple[int, int]:
    """Store pairs, each with the largest gain per byte, until ``picks`` is full or none is left.

    Pairs go to ``picks`` in their order; everything else is brought up to date. Gains are always
    those of now; a key is too high only when its server has no room any more, which is found out
    when it comes to the top. Returns the number of picks and the size of the heap.
    """
    num_experts = servers.expert_bytes.shape[0]
    while size > 0 and num_picks < picks.shape[0]:
        pair = heap.pair[0]
        n, x = pair // num_experts, pair % num_experts
        if servers.expert_bytes[x] <= servers.room[n]:
            picks[num_picks] = pair
            num_picks += 1
            servers.room[n] -= servers.expert_bytes[x]
            for e in range(rows.offsets[x], rows.offsets[x + 1]):
                latency_ms = servers.latency_ms[rows.user[e], n]
                if latency_ms < rows.wait[e]:
                    rows.wait[e] = latency_ms
            add_up(x, rows, servers.latency_ms, heap.gain)
        heap.key[0], heap.pair[0] = best_pair(x, servers, heap.gain)
        if heap.key[0] <= 0.0:
            size -= 1
            heap.key[0], heap.pair[0] = heap.key[size], heap.pair[size]
        sift_down(heap.key, heap.pair, 0, size)
    return num_picks, size
