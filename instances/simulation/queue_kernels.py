"""The event loop of queueing at servers.

A token in flight waits for the calls of one layer. Two kinds of events, in order of time: it
begins a layer, and one of its calls reaches a server. A server works on calls one at a time in
the order in which they reach it, so that the end of a call is known as soon as it is reached:
there is no event for it.

| symbol | meaning |
|---|---|
| flight | a token on its way: in a closed system one for each user, else one for each token |
| event | entry of the pool; the heap orders entries by (time, number) |
| back | time from the end of service until the output is with the user, ms |
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.simulation.kernels import World, find_place, stretch, uniform

EXPONENTIAL = 1
"""Law of service times; 0 is fixed."""

CHUNK = 1024
"""Entries by which the pool of events starts and grows at least."""


class Service(NamedTuple):
    """What calls take at servers.

    Parameters
    ----------
    mean_ms
        Mean service time of a call of each user at each server; float64 (U, N).
    law
        0: always the mean; 1: exponential.
    sigma
        Of the lognormal factor of everything but service and queueing.
    service_seed, travel_seed
        Seeds of the two.
    """

    mean_ms: NDArray[np.float64]
    law: int
    sigma: float
    service_seed: int
    travel_seed: int


class Traffic(NamedTuple):
    """Who asks when.

    Parameters
    ----------
    user, experts
        Tokens, see :class:`instances.simulation.tokens.Tokens`.
    arrival_ms
        Arrival of each token, ascending; empty for a closed system.
    turn_offsets, turns
        CSR: tokens of each user in their order; a closed system goes round and round in them.
    total, uncounted
        Tokens to start, and how many of the first stay out of all results.
    """

    user: NDArray[np.int64]
    experts: NDArray[np.integer]
    arrival_ms: NDArray[np.float64]
    turn_offsets: NDArray[np.int64]
    turns: NDArray[np.int64]
    total: int
    uncounted: int


class Observed(NamedTuple):
    """What happened to tokens, in the order of their starts, and at places.

    Parameters
    ----------
    token, time_ms
        Index of each token in its traffic and its time; the first ``uncounted`` included.
    layer_ms
        Summed time of each layer over counted tokens.
    calls
        Calls of counted tokens that each place answered; int64 (N + 2,).
    wait_ms, busy_ms
        Summed queueing and service of these calls at each server.
    window_ms
        From the start of the first counted token to the start of the last one.
    """

    token: NDArray[np.int64]
    time_ms: NDArray[np.float64]
    layer_ms: NDArray[np.float64]
    calls: NDArray[np.int64]
    wait_ms: NDArray[np.float64]
    busy_ms: NDArray[np.float64]
    window_ms: float


class Heap(NamedTuple):
    """A binary heap of pool entries by (time, number): arrays of one length."""

    time: NDArray[np.float64]
    number: NDArray[np.int64]
    entry: NDArray[np.int64]


class Pool(NamedTuple):
    """Entries of events; server -1 is the begin of a layer. ``free`` lists unused ones."""

    flight: NDArray[np.int64]
    server: NDArray[np.int64]
    service: NDArray[np.float64]
    back: NDArray[np.float64]
    free: NDArray[np.int64]


@njit(cache=True)
def push(heap: Heap, size: int, time: float, number: int, entry: int) -> None:
    """Add an event to a heap of ``size`` events."""
    at = size
    while at > 0:
        above = (at - 1) // 2
        if (heap.time[above], heap.number[above]) <= (time, number):
            break
        heap.time[at], heap.number[at] = heap.time[above], heap.number[above]
        heap.entry[at] = heap.entry[above]
        at = above
    heap.time[at], heap.number[at], heap.entry[at] = time, number, entry


@njit(cache=True)
def pop(heap: Heap, size: int) -> tuple[float, int]:
    """Remove the first of ``size`` events; return its time and its entry."""
    time, entry = heap.time[0], heap.entry[0]
    last = size - 1
    last_time, last_number, last_entry = heap.time[last], heap.number[last], heap.entry[last]
    at = np.int64(0)
    while True:
        below = 2 * at + 1
        if below >= last:
            break
        if below + 1 < last and (heap.time[below + 1], heap.number[below + 1]) < (
            heap.time[below],
            heap.number[below],
        ):
            below += 1
        if (last_time, last_number) <= (heap.time[below], heap.number[below]):
            break
        heap.time[at], heap.number[at] = heap.time[below], heap.number[below]
        heap.entry[at] = heap.entry[below]
        at = below
    heap.time[at], heap.number[at], heap.entry[at] = last_time, last_number, last_entry
    return time, entry


@njit(cache=True)
def grown(array: NDArray[np.generic], length: int) -> NDArray[np.generic]:
    """Return a longer copy."""
    longer = np.empty(length, array.dtype)
    longer[: array.shape[0]] = array
    return longer


@njit(cache=True)
def run(world: World, service: Service, traffic: Traffic) -> Observed:
    """Let tokens queue at servers until all have been started and are through."""
    servers = world.latency_ms.shape[1]
    _, layers, width = traffic.experts.shape
    closed = traffic.arrival_ms.shape[0] == 0
    flights = world.cloud_ms.shape[0] if closed else traffic.total
    token = np.zeros(flights, dtype=np.int64)
    start_number = np.zeros(flights, dtype=np.int64)
    started_ms = np.zeros(flights)
    layer_began = np.zeros(flights)
    layer_end = np.zeros(flights)
    layer = np.zeros(flights, dtype=np.int64)
    pending = np.zeros(flights, dtype=np.int64)
    turn = np.zeros(flights, dtype=np.int64)

    token_of = np.zeros(traffic.total, dtype=np.int64)
    time_ms = np.zeros(traffic.total)
    layer_ms = np.zeros(world.num_layers)
    calls = np.zeros(servers + 2, dtype=np.int64)
    wait_ms = np.zeros(servers)
    busy_ms = np.zeros(servers)
    free_ms = np.zeros(servers)
    window = np.zeros(2)

    length = CHUNK + flights * closed
    heap = Heap(np.empty(length), np.empty(length, np.int64), np.empty(length, np.int64))
    pool = Pool(
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(length),
        np.empty(length),
        np.arange(length),
    )
    size = 0  # of the heap; the pool's entries free[size:] are unused
    number = np.int64(0)
    started = np.int64(0)
    arrived = np.int64(0)
    if closed:
        for u in range(flights):
            if traffic.turn_offsets[u] < traffic.turn_offsets[u + 1]:
                entry = pool.free[size]
                pool.flight[entry], pool.server[entry] = u, -1
                layer[u] = -1
                push(heap, size, 0.0, number, entry)
                size += 1
                number += 1
    while size > 0 or (not closed and arrived < traffic.total):
        if size + width + 2 > heap.time.shape[0]:
            old = heap.time.shape[0]
            length = 2 * old + width
            heap = Heap(
                grown(heap.time, length), grown(heap.number, length), grown(heap.entry, length)
            )
            free = np.empty(length, np.int64)
            free[:old] = pool.free
            for i in range(old, length):
                free[i] = i
            pool = Pool(
                grown(pool.flight, length),
                grown(pool.server, length),
                grown(pool.service, length),
                grown(pool.back, length),
                free,
            )
        if (
            not closed
            and arrived < traffic.total
            and (size == 0 or traffic.arrival_ms[arrived] <= heap.time[0])
        ):
            now = traffic.arrival_ms[arrived]
            flight = arrived
            layer[flight] = -1
            arrived += 1
            server = np.int64(-1)
        else:
            now, entry = pop(heap, size)
            size -= 1
            pool.free[size] = entry
            flight = pool.flight[entry]
            server = pool.server[entry]
            if server >= 0:
                begun = max(now, free_ms[server])
                free_ms[server] = begun + pool.service[entry]
                if start_number[flight] >= traffic.uncounted:
                    wait_ms[server] += begun - now
                    busy_ms[server] += pool.service[entry]
                layer_end[flight] = max(layer_end[flight], free_ms[server] + pool.back[entry])
                pending[flight] -= 1
                if pending[flight] > 0:
                    continue
                entry = pool.free[size]
                pool.flight[entry], pool.server[entry] = flight, -1
                push(heap, size, layer_end[flight], number, entry)
                size += 1
                number += 1
                continue
        # The layer before, if any, has ended; the next one with experts begins, or the token ends.
        if layer[flight] >= 0:
            u = traffic.user[token[flight]]
            if start_number[flight] >= traffic.uncounted:
                layer_ms[world.user_first_layer[u] + layer[flight]] += now - layer_began[flight]
        while True:
            if layer[flight] < 0:
                if closed:
                    if started == traffic.total:
                        break
                    low, high = traffic.turn_offsets[flight], traffic.turn_offsets[flight + 1]
                    token[flight] = traffic.turns[low + turn[flight] % (high - low)]
                    turn[flight] += 1
                else:
                    token[flight] = flight
                start_number[flight] = started
                started_ms[flight] = now
                if started == traffic.uncounted:
                    window[0] = now
                window[1] = now
                token_of[started] = token[flight]
                started += 1
            t = token[flight]
            u = traffic.user[t]
            layer[flight] += 1
            if layer[flight] >= min(layers, world.user_layers[u]):
                time_ms[start_number[flight]] = now - started_ms[flight]
                if not closed:
                    break
                if now == started_ms[flight]:
                    # A token that takes no time: the users take turns, or one would start all.
                    entry = pool.free[size]
                    pool.flight[entry], pool.server[entry] = flight, -1
                    layer[flight] = -1
                    push(heap, size, now, number, entry)
                    size += 1
                    number += 1
                    break
                layer[flight] = -1
                continue
            counted = start_number[flight] >= traffic.uncounted
            layer_began[flight] = now
            layer_end[flight] = now
            pending[flight] = 0
            for k in range(width):
                if traffic.experts[t, layer[flight], k] < 0:
                    continue
                x = layer[flight] * world.user_experts[u] + traffic.experts[t, layer[flight], k]
                place, latency = find_place(world, u, x)
                counter = (start_number[flight] * layers + layer[flight]) * width + k
                factor = stretch(service.sigma, service.travel_seed, counter)
                if counted:
                    calls[place] += 1
                if place >= servers:
                    layer_end[flight] = max(layer_end[flight], now + latency * factor)
                    continue
                mean = service.mean_ms[u, place]
                travel = (latency - mean) * factor
                if service.law == EXPONENTIAL:
                    mean *= -math.log(uniform(service.service_seed, counter))
                entry = pool.free[size]
                pool.flight[entry], pool.server[entry] = flight, place
                pool.service[entry], pool.back[entry] = mean, travel / 2
                push(heap, size, now + travel / 2, number, entry)
                size += 1
                number += 1
                pending[flight] += 1
            if pending[flight] > 0:
                break
            if layer_end[flight] > now:
                entry = pool.free[size]
                pool.flight[entry], pool.server[entry] = flight, -1
                push(heap, size, layer_end[flight], number, entry)
                size += 1
                number += 1
                break
    return Observed(token_of, time_ms, layer_ms, calls, wait_ms, busy_ms, window[1] - window[0])
