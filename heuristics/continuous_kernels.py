"""Hot loops of the multilinear extension for K = 1: arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, n, x | clause, server, flat expert; ``expert[c]`` is the one expert of clause c |
| absent | 1 - y[n, x], the probability that server n does not store expert x; (N, X) |
| multiplier | a number in 0 .. weight for each clause; (C,) |
| server sets | servers of set s: ``set_servers[set_offsets[s] : set_offsets[s + 1]]`` |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def unmet_weight(
    weight: NDArray[np.float64],
    expert: NDArray[np.int64],
    server_set: NDArray[np.int64],
    set_offsets: NDArray[np.int64],
    set_servers: NDArray[np.int64],
    absent: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return weight times the probability that the clause is not satisfied; (C,)."""
    unmet = np.empty(weight.shape[0])
    for c in range(weight.shape[0]):
        product = weight[c]
        for h in range(set_offsets[server_set[c]], set_offsets[server_set[c] + 1]):
            product *= absent[set_servers[h], expert[c]]
        unmet[c] = product
    return unmet


@njit(cache=True)
def expected_copies(
    expert: NDArray[np.int64],
    server_set: NDArray[np.int64],
    set_offsets: NDArray[np.int64],
    set_servers: NDArray[np.int64],
    share: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum, for each clause, the shares (N, X) of its expert over the servers of its set; (C,)."""
    copies = np.zeros(expert.shape[0])
    for c in range(expert.shape[0]):
        for h in range(set_offsets[server_set[c]], set_offsets[server_set[c] + 1]):
            copies[c] += share[set_servers[h], expert[c]]
    return copies


@njit(cache=True)
def sum_by_expert(
    multiplier: NDArray[np.float64],
    expert: NDArray[np.int64],
    server_set: NDArray[np.int64],
    holds_server: NDArray[np.bool_],
    num_experts: int,
) -> NDArray[np.float64]:
    """Sum the multipliers of the clauses whose set holds a server, expert by expert; (X,).

    ``holds_server[s]``: server set s holds the server; bool (S,).
    """
    total = np.zeros(num_experts)
    for c in range(multiplier.shape[0]):
        if holds_server[server_set[c]]:
            total[expert[c]] += multiplier[c]
    return total


@njit(cache=True)
def scale_by_expert(
    multiplier: NDArray[np.float64],
    expert: NDArray[np.int64],
    server_set: NDArray[np.int64],
    holds_server: NDArray[np.bool_],
    factor: NDArray[np.float64],
) -> None:
    """Multiply the multipliers of the clauses whose set holds a server by ``factor[expert]``."""
    for c in range(multiplier.shape[0]):
        if holds_server[server_set[c]]:
            multiplier[c] *= factor[expert[c]]


@njit(cache=True)
def step_towards(
    multiplier: NDArray[np.float64],
    weight: NDArray[np.float64],
    direction: NDArray[np.float64],
    decrease: float,
) -> NDArray[np.float64]:
    """Step along a direction, within 0 .. weight, so far that a linear function falls as given.

    Directions that lead out of the interval at once do not count.
    """
    squares = 0.0
    for c in range(multiplier.shape[0]):
        if not leads_out(multiplier[c], weight[c], direction[c]):
            squares += direction[c] * direction[c]
    length = decrease / squares if squares > 0.0 else 0.0
    stepped = np.empty(multiplier.shape[0])
    for c in range(multiplier.shape[0]):
        stepped[c] = min(max(multiplier[c] + length * direction[c], 0.0), weight[c])
    return stepped


@njit(cache=True)
def leads_out(multiplier: float, weight: float, direction: float) -> bool:
    """Tell whether a multiplier at an end of its interval is pushed beyond it."""
    return bool((multiplier >= weight and direction > 0) or (multiplier <= 0 and direction < 0))
