"""Hot loops of migration: give back what was loaded, and load what gains most per byte.

| symbol | meaning |
|---|---|
| n, e, g | server, expert, layer |
| old | copies that are in place already: they cost nothing |
| worth | what each of these copies was worth in the old placement |
| loaded | bytes of copies that are not old, over all servers |
| cost, which | least loss per byte among the loaded copies of a server and layer, and its expert |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from heuristics.ejection_kernels import Rows, State, add_copy, drop_copy


@njit(cache=True)
def cheapest_loaded(
    rows: Rows,
    state: State,
    old: NDArray[np.bool_],
    first: int,
    end: int,
    n: int,
    g: int,
    cost: NDArray[np.float64],
    which: NDArray[np.int64],
) -> None:
    """Look for the loaded copy of a layer on a server that loses least per byte."""
    cost[n, g] = np.inf
    which[n, g] = -1
    for e in range(first, end):
        if state.stored[n, e] and not old[n, e]:
            density = max(state.loss[n, e], 0.0) / rows.sizes[e]
            if density < cost[n, g]:
                cost[n, g] = density
                which[n, g] = e


@njit(cache=True)
def best_return(
    rows: Rows, state: State, old: NDArray[np.bool_], worth: NDArray[np.float64], n: int
) -> int:
    """Return the old copy that a server should take back into its free room; -1 for none.

    The one that gains most per byte; where none gains, the one that was worth most per byte: with
    others it may gain again.
    """
    best, best_gain, best_worth = -1, rows.dust, -1.0
    for e in range(rows.sizes.shape[0]):
        if not old[n, e] or state.stored[n, e] or rows.sizes[e] > state.room[n]:
            continue
        gain = state.gain[n, e] / rows.sizes[e] if state.gain[n, e] > rows.dust else 0.0
        was = worth[n, e] / rows.sizes[e]
        if gain > best_gain or (best_gain <= rows.dust and gain == 0.0 and was > best_worth):
            best = e
            best_worth = was
            if gain > 0.0:
                best_gain = gain
    return best


@njit(cache=True)
def give_back(
    rows: Rows,
    state: State,
    old: NDArray[np.bool_],
    worth: NDArray[np.float64],
    layer_offset: NDArray[np.int64],
    layer_of: NDArray[np.int64],
    loaded: int,
    budget: int,
    most_steps: int,
) -> int:
    """Drop loaded copies, least loss per byte first, and take old ones back; returns loaded bytes.

    Ends when at most ``budget`` bytes are loaded, or after so many steps.
    """
    num_servers = state.stored.shape[0]
    num_layers = layer_offset.shape[0] - 1
    cost = np.empty((num_servers, num_layers))
    which = np.empty((num_servers, num_layers), np.int64)
    for n in range(num_servers):
        for g in range(num_layers):
            cheapest_loaded(
                rows, state, old, layer_offset[g], layer_offset[g + 1], n, g, cost, which
            )
    for _ in range(most_steps):
        if loaded <= budget:
            break
        at, layer, least = -1, -1, np.inf
        for n in range(num_servers):
            for g in range(num_layers):
                if cost[n, g] < least:
                    at, layer, least = n, g, cost[n, g]
        if at < 0:
            break
        e = which[at, layer]
        drop_copy(rows, state, at, e)
        loaded -= rows.sizes[e]
        for n in range(num_servers):
            cheapest_loaded(
                rows,
                state,
                old,
                layer_offset[layer],
                layer_offset[layer + 1],
                n,
                layer,
                cost,
                which,
            )
        while True:
            back = best_return(rows, state, old, worth, at)
            if back < 0:
                break
            add_copy(rows, state, at, back)
            g = layer_of[back]
            for n in range(num_servers):
                cheapest_loaded(
                    rows, state, old, layer_offset[g], layer_offset[g + 1], n, g, cost, which
                )
    return loaded


@njit(cache=True)
def cheapest_eviction(rows: Rows, state: State, n: int, needed: int) -> int:
    """Return the copy that loses least per byte among those that make room; -1 for none."""
    best, least = -1, np.inf
    for e in range(rows.sizes.shape[0]):
        if state.stored[n, e] and state.room[n] + rows.sizes[e] >= needed:
            density = max(state.loss[n, e], 0.0) / rows.sizes[e]
            if density < least:
                best, least = e, density
    return best


@njit(cache=True)
def load_more(
    rows: Rows,
    state: State,
    old: NDArray[np.bool_],
    loaded: int,
    budget: int,
    most_steps: int,
) -> int:
    """Load copies that gain most per loaded byte, each in exchange for at most one other.

    Old copies come back at no cost, and first. Ends when nothing within the budget gains, or after
    so many steps; returns loaded bytes.
    """
    num_servers, num_experts = state.stored.shape
    smallest = rows.sizes.min()
    for _ in range(most_steps):
        best, top_n, top_in, top_out = 0.0, -1, -1, -1
        for n in range(num_servers):
            out = cheapest_eviction(rows, state, n, smallest)
            for e in range(num_experts):
                if state.stored[n, e] or state.gain[n, e] <= rows.dust:
                    continue
                size = rows.sizes[e]
                leaves = -1
                if size > state.room[n]:
                    leaves = out
                    if leaves < 0 or size > state.room[n] + rows.sizes[leaves]:
                        leaves = cheapest_eviction(rows, state, n, size)
                    if leaves < 0:
                        continue
                change = state.gain[n, e]
                more = 0 if old[n, e] else size
                if leaves >= 0:
                    change -= state.loss[n, leaves]
                    if not old[n, leaves]:
                        more -= rows.sizes[leaves]
                if change <= rows.dust or loaded + more > budget:
                    continue
                value = change / more if more > 0 else np.inf
                if value > best:
                    best, top_n, top_in, top_out = value, n, e, leaves
        if top_n < 0:
            break
        if top_out >= 0:
            drop_copy(rows, state, top_n, top_out)
            if not old[top_n, top_out]:
                loaded -= rows.sizes[top_out]
        add_copy(rows, state, top_n, top_in)
        if not old[top_n, top_in]:
            loaded += rows.sizes[top_in]
    return loaded
