"""Hot loops of walks without queueing, and what all loops of the simulation share.

| symbol | meaning |
|---|---|
| u, x | user; expert of her model, ``layer * experts + e`` |
| place | 0 .. N - 1: a server; N: the cloud; N + 1: the device |
| copies, holders | CSR: servers that hold flat expert x |
| counter | number of an expert call: what its random numbers are made of |
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class World(NamedTuple):
    """An instance and a placement as arrays.

    Parameters
    ----------
    latency_ms, cloud_ms, local_ms
        Of each user at each server (U, N), in the cloud (U,), on the device (U,).
    local_offsets, local_experts
        CSR: experts of her model on the device of each user, ascending.
    user_experts, user_layers, user_first_expert, user_first_layer
        Of the model of each user: experts of a layer, layers, first flat expert, first layer.
    copies, holders
        CSR: servers that hold each flat expert.
    num_layers
        Layers over all models.
    """

    latency_ms: NDArray[np.float64]
    cloud_ms: NDArray[np.float64]
    local_ms: NDArray[np.float64]
    local_offsets: NDArray[np.int64]
    local_experts: NDArray[np.int64]
    user_experts: NDArray[np.int64]
    user_layers: NDArray[np.int64]
    user_first_expert: NDArray[np.int64]
    user_first_layer: NDArray[np.int64]
    copies: NDArray[np.int64]
    holders: NDArray[np.int64]
    num_layers: int


@njit(cache=True)
def uniform(seed: int, counter: int) -> float:
    """Return a number in (0, 1) for each seed and counter: SplitMix64, addressed by position.

    What a call draws does not depend on the order in which calls happen, so that runs with and
    without queueing, and with other placements, draw alike.
    """
    word = np.uint64(seed) + np.uint64(counter + 1) * np.uint64(0x9E3779B97F4A7C15)
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    word ^= word >> np.uint64(31)
    return (np.float64(word >> np.uint64(12)) + 0.5) * 2.0**-52


@njit(cache=True)
def stretch(sigma: float, seed: int, counter: int) -> float:
    """Return a lognormal factor of mean 1; ``sigma`` is that of its logarithm."""
    if sigma == 0.0:
        return 1.0
    first, second = uniform(seed, 2 * counter), uniform(seed, 2 * counter + 1)
    normal = math.sqrt(-2.0 * math.log(first)) * math.cos(2.0 * math.pi * second)
    return math.exp(sigma * normal - 0.5 * sigma * sigma)


@njit(cache=True)
def is_local(world: World, u: int, x: int) -> bool:
    """Tell whether a user's device has an expert of its model."""
    low, high = world.local_offsets[u], world.local_offsets[u + 1]
    while low < high:
        middle = (low + high) // 2
        if world.local_experts[middle] < x:
            low = middle + 1
        else:
            high = middle
    return bool(low < world.local_offsets[u + 1] and world.local_experts[low] == x)


@njit(cache=True)
def find_place(world: World, u: int, x: int) -> tuple[int, float]:
    """Return the fastest place that has an expert, and its latency; the cloud wins ties."""
    servers = world.latency_ms.shape[1]
    if is_local(world, u, x):
        return servers + 1, world.local_ms[u]
    place, best = servers, world.cloud_ms[u]
    flat = world.user_first_expert[u] + x
    for h in range(world.copies[flat], world.copies[flat + 1]):
        if world.latency_ms[u, world.holders[h]] < best:
            place = np.int64(world.holders[h])
            best = world.latency_ms[u, place]
    return place, best


@njit(cache=True)
def walk(
    world: World,
    user: NDArray[np.int64],
    experts: NDArray[np.integer],
    sigma: float,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Walk every token through its layers, each alone.

    Returns
    -------
    tuple
        Time of each token, ms; summed time of each layer; calls that each place answered.
    """
    tokens, layers, width = experts.shape
    times = np.zeros(tokens)
    layer_sums = np.zeros(world.num_layers)
    calls = np.zeros(world.latency_ms.shape[1] + 2, dtype=np.int64)
    for t in range(tokens):
        u = user[t]
        for layer in range(min(layers, world.user_layers[u])):
            wait = 0.0
            for k in range(width):
                if experts[t, layer, k] < 0:
                    continue
                x = layer * world.user_experts[u] + experts[t, layer, k]
                place, latency = find_place(world, u, x)
                calls[place] += 1
                counter = (t * layers + layer) * width + k
                wait = max(wait, latency * stretch(sigma, seed, counter))
            times[t] += wait
            layer_sums[world.user_first_layer[u] + layer] += wait
    return times, layer_sums, calls


@njit(cache=True)
def draw(
    rng: np.random.Generator,
    user_tokens: NDArray[np.int64],
    user_layers: NDArray[np.int64],
    group_offsets: NDArray[np.int64],
    cumulative: NDArray[np.float64],
    user_rate: NDArray[np.float64],
    rows: NDArray[np.int64],
    row_offsets: NDArray[np.int64],
    row_experts: NDArray[np.int32],
    experts: NDArray[np.integer],
) -> None:
    """Fill in the experts of tokens, the tokens of one user after those of another.

    ``cumulative`` holds the running sum of the rates within each group, one of a user and a layer
    (``group_offsets[u * layers + l]``). The n tokens of a user draw their rows of a layer from n
    equal parts of ``user_rate[u]``, one from each, in random order.
    """
    layers = experts.shape[1]
    start = np.int64(0)
    for u in range(user_tokens.shape[0]):
        count = user_tokens[u]
        part = np.arange(count)
        for layer in range(user_layers[u]):
            low, high = group_offsets[u * layers + layer], group_offsets[u * layers + layer + 1]
            if low == high:
                continue
            for i in range(count - 1, 0, -1):
                j = np.int64(rng.random() * (i + 1))
                part[i], part[j] = part[j], part[i]
            for i in range(count):
                point = (part[i] + rng.random()) / count * user_rate[u]
                at = low + np.searchsorted(cumulative[low:high], point, side="right")
                if at == high:
                    continue  # this layer has less demand than the busiest one of the user
                first = row_offsets[rows[at]]
                for h in range(first, row_offsets[rows[at] + 1]):
                    experts[start + i, layer, h - first] = row_experts[h]
        start += count
