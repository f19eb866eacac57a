"""Hot loops of joint placements of whole layers: arrays in, arrays out.

| symbol | meaning |
|---|---|
| E, N | experts of the layer, servers |
| X_n | bit mask of the layer's experts on server n |
| v_S[C] | weight of the layer's clauses with server set S whose experts lie in C |
| counts | (|X_1|, ..., |X_N|), numbered in mixed radix E + 1, the last server fastest |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def score_joint_placements(
    outer_begin: int,
    outer_end: int,
    num_servers: int,
    num_experts: int,
    most: NDArray[np.int64],
    sets: NDArray[np.int64],
    tables: NDArray[np.float64],
    popcount: NDArray[np.int64],
    best: NDArray[np.float64],
    arg: NDArray[np.int64],
) -> None:
    """Score joint placements of one layer; keep the best for every vector of counts.

    An outer index holds (X_1, ..., X_{N-1}); for each of them all X_N are tried. Placements with
    more than ``most[n]`` experts on server n are left out. ``sets[s]`` is a bit mask of servers,
    ``tables[s]`` its v_S; sets that hold server N come last.
    """
    last = num_servers - 1
    full = 1 << num_experts
    split = 0
    while split < sets.shape[0] and not (sets[split] >> last) & 1:
        split += 1
    base = np.empty(sets.shape[0], np.int64)
    masks = np.empty(num_servers, np.int64)
    for outer in range(outer_begin, outer_end):
        rest = outer
        fits = True
        for n in range(last - 1, -1, -1):
            masks[n] = rest & (full - 1)
            rest >>= num_experts
            fits = fits and popcount[masks[n]] <= most[n]
        if not fits:
            continue
        row = 0
        for n in range(last):
            row = row * (num_experts + 1) + popcount[masks[n]]
        row *= num_experts + 1
        fixed = 0.0
        for s in range(sets.shape[0]):
            base[s] = 0
            for n in range(last):
                if (sets[s] >> n) & 1:
                    base[s] |= masks[n]
            if s < split:
                fixed += tables[s, base[s]]
        for x in range(full):
            size = popcount[x]
            if size > most[last]:
                continue
            value = fixed
            for s in range(split, sets.shape[0]):
                value += tables[s, base[s] | x]
            if value > best[row + size]:
                best[row + size] = value
                arg[row + size] = outer * full + x


@njit(cache=True)
def add_layer(
    value: NDArray[np.float64],
    shape: NDArray[np.int64],
    option_units: NDArray[np.int64],
    option_value: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Add one layer to the capacity table: N-dimensional max-plus convolution.

    ``value`` is the table of the layers so far over storage used on each server, flattened from
    ``shape``; option k uses ``option_units[k, n]`` units of server n. Returns the new table and the
    option that each of its cells takes, -1 where none leads there.
    """
    num_servers = shape.shape[0]
    inner = shape[num_servers - 1]
    new = np.full(value.shape[0], -np.inf)
    choice = np.full(value.shape[0], -1, np.int32)
    index = np.empty(num_servers, np.int64)
    for k in range(option_value.shape[0]):
        shift = 0
        fits = True
        for n in range(num_servers):
            shift = shift * shape[n] + option_units[k, n]
            fits = fits and option_units[k, n] < shape[n]
        if not fits:
            continue
        gain = option_value[k]
        inner_end = inner - option_units[k, num_servers - 1]
        index[:] = 0
        while True:
            start = 0
            for n in range(num_servers):
                start = start * shape[n] + index[n]
            for j in range(start, start + inner_end):
                candidate = value[j] + gain
                if candidate > new[j + shift]:
                    new[j + shift] = candidate
                    choice[j + shift] = k
            n = num_servers - 2
            while n >= 0:
                index[n] += 1
                if index[n] + option_units[k, n] < shape[n]:
                    break
                index[n] = 0
                n -= 1
            if n < 0:
                break
    return new, choice
