"""Hot loop of the swap search in one layer on one server: arrays in, arrays out.

| symbol | meaning |
|---|---|
| c, e | clause (a set of wanted experts with a weight), wanted expert of the layer |
| lacking | experts of a clause that are not inside |
| gain, loss | what adding an outside expert gains, what dropping an inside one loses |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.structure.closure_kernels import entries_of_experts


@njit(cache=True)
def flip(
    e: int,
    inside: NDArray[np.bool_],
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    begin: NDArray[np.int64],
    entries: NDArray[np.int64],
    clause_of: NDArray[np.int64],
    lacking: NDArray[np.int64],
    gain: NDArray[np.float64],
    loss: NDArray[np.float64],
) -> None:
    """Move an expert in or out and bring gains and losses up to date."""
    step = 1 if inside[e] else -1
    for h in range(begin[e], begin[e + 1]):
        c = clause_of[entries[h]]
        w = weight[c]
        before = lacking[c]
        lacking[c] += step
        for entry in range(offsets[c], offsets[c + 1]):
            other = bits[entry]
            if before == 0 and (inside[other] or other == e):
                loss[other] -= w
            if before == 1 and not inside[other]:
                gain[other] -= w
    inside[e] = not inside[e]
    for h in range(begin[e], begin[e + 1]):
        c = clause_of[entries[h]]
        w = weight[c]
        for entry in range(offsets[c], offsets[c + 1]):
            other = bits[entry]
            if lacking[c] == 0:
                loss[other] += w
            if lacking[c] == 1 and not inside[other]:
                gain[other] += w


@njit(cache=True)
def tabu_swaps(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int64],
    sizes: NDArray[np.int64],
    start: NDArray[np.bool_],
    capacity: int,
    patience: int,
) -> tuple[NDArray[np.bool_], float]:
    """Search by adding, dropping and swapping experts, always the best move that is not tabu.

    Stops after ``patience`` moves without a new best value. Returns the best set found within the
    capacity, and its value less that of ``start``. An expert that moved may not move back for some
    moves, unless that gives a new best value (Glover 1989).
    """
    num_experts = sizes.shape[0]
    begin, entries, clause_of = entries_of_experts(offsets, bits, num_experts)
    inside = np.zeros(num_experts, np.bool_)
    lacking = offsets[1:] - offsets[:-1]
    gain = np.zeros(num_experts)
    loss = np.zeros(num_experts)
    for c in range(weight.shape[0]):
        if lacking[c] == 1:
            gain[bits[offsets[c]]] += weight[c]
    room = capacity
    for e in range(num_experts):
        if start[e]:
            flip(e, inside, weight, offsets, bits, begin, entries, clause_of, lacking, gain, loss)
            room -= sizes[e]
    free_at = np.zeros(num_experts, np.int64)
    shared = np.zeros(num_experts)
    best = start.copy()
    value = 0.0
    best_value = 0.0
    last_best = 0
    move = 0
    noise = 1e-12 * weight.sum()
    dust = 1e3 * noise  # dropping for nothing comes last among moves of equal change
    tenure = 5 + num_experts // 20
    while move - last_best < patience:
        move += 1
        top = -np.inf
        top_in = -1
        top_out = -1
        for j in range(num_experts):
            if inside[j]:  # drop j, as a step towards something better
                allowed = free_at[j] <= move
                if allowed and -loss[j] - dust > top:
                    top, top_in, top_out = -loss[j] - dust, -1, j
                continue
            if sizes[j] > capacity:
                continue
            fresh = free_at[j] <= move
            if sizes[j] <= room and (fresh or value + gain[j] > best_value + noise):
                if gain[j] > top:
                    top, top_in, top_out = gain[j], j, -1
                continue
            for h in range(begin[j], begin[j + 1]):
                c = clause_of[entries[h]]
                if lacking[c] == 1:
                    for entry in range(offsets[c], offsets[c + 1]):
                        shared[bits[entry]] += weight[c]
            for i in range(num_experts):
                if not inside[i] or sizes[j] > room + sizes[i]:
                    continue
                change = gain[j] - loss[i] - shared[i]
                allowed = fresh and free_at[i] <= move
                if (allowed or value + change > best_value + noise) and change > top:
                    top, top_in, top_out = change, j, i
            for h in range(begin[j], begin[j + 1]):
                c = clause_of[entries[h]]
                for entry in range(offsets[c], offsets[c + 1]):
                    shared[bits[entry]] = 0.0
        if top_in < 0 and top_out < 0:
            continue
        value += top if top_in >= 0 else -loss[top_out]
        if top_out >= 0:
            flip(
                top_out,
                inside,
                weight,
                offsets,
                bits,
                begin,
                entries,
                clause_of,
                lacking,
                gain,
                loss,
            )
            room += sizes[top_out]
            free_at[top_out] = move + tenure
        if top_in >= 0:
            flip(
                top_in,
                inside,
                weight,
                offsets,
                bits,
                begin,
                entries,
                clause_of,
                lacking,
                gain,
                loss,
            )
            room -= sizes[top_in]
            free_at[top_in] = move + tenure
        if value > best_value + noise:
            best_value = value
            best[:] = inside
            last_best = move
    return best, best_value
