"""Hot loops that combine layers over the storage of the servers: arrays in, arrays out.

| symbol | meaning |
|---|---|
| slack | by how much options stay below the best of their layer at the prices |
| room | storage left on each server, in units |
| lower[p, l, a, b] | least slack less price of storage of layers l on, for two servers |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from instances.structure.labelling_kernels import slot_of

FAR = 1 << 60
"""More slack than any solution has."""


@njit(cache=True)
def fill_lower(
    lower: NDArray[np.int64],
    used: NDArray[np.int64],
    loss: NDArray[np.int64],
) -> None:
    """Put one layer before the others: ``lower[0]`` from ``lower[1]``.

    ``lower[l, a, b]`` is the least sum of losses with at most a and b cells; option x takes
    ``used[x, 0]`` and ``used[x, 1]`` cells.
    """
    _, rows, columns = lower.shape
    lower[0] = FAR
    for x in range(loss.shape[0]):
        for a in range(used[x, 0], rows):
            target = lower[0, a]
            source = lower[1, a - used[x, 0]]
            for b in range(used[x, 1], columns):
                target[b] = min(target[b], source[b - used[x, 1]] + loss[x])
    for a in range(rows):
        for b in range(columns):
            if lower[0, a, b] > FAR // 2:  # nothing fits: keep it from drifting
                lower[0, a, b] = FAR


@njit(cache=True)
def expand(
    begin: int,
    end: int,
    room: NDArray[np.int64],
    slack: NDArray[np.int64],
    used: NDArray[np.int64],
    loss: NDArray[np.int64],
    prices: NDArray[np.int64],
    pairs: NDArray[np.int64],
    cell: NDArray[np.int64],
    lower: NDArray[np.int64],
    most: int,
    counts: NDArray[np.int64],
    taken: NDArray[np.bool_],
    new_room: NDArray[np.int64],
    new_slack: NDArray[np.int64],
    new_least: NDArray[np.int64],
    new_from: NDArray[np.int32],
    new_option: NDArray[np.int32],
) -> int:
    """Add one layer to the states ``begin`` to ``end``; options come by ascending ``loss``.

    States and options that cannot end with a slack of at most ``most`` are left out;
    ``lower[p, a, b]`` holds for the layers that follow, with a and b in cells of ``cell`` units.
    Returns the first state that was not dealt with: the table has to grow before it.
    """
    num_servers = room.shape[1]
    rest = np.empty(num_servers, np.int64)
    for i in range(begin, end):
        if 2 * (counts[0] + loss.shape[0]) > taken.shape[0]:
            return i
        for x in range(loss.shape[0]):
            total = slack[i] + loss[x]
            if total > most:
                break
            fits = True
            for n in range(num_servers):
                rest[n] = room[i, n] - used[x, n]
                fits = fits and rest[n] >= 0
            if not fits:
                continue
            least = total
            for p in range(pairs.shape[0]):
                a = pairs[p, 0]
                b = pairs[p, 1]
                ahead = total + prices[a] * rest[a]
                if a == b:
                    ahead += lower[p, rest[a] // cell[a], 0]
                else:
                    ahead += prices[b] * rest[b]
                    ahead += lower[p, rest[a] // cell[a], rest[b] // cell[b]]
                least = max(least, ahead)
                if least > most:
                    break
            if least > most:
                continue
            slot = slot_of(rest, taken, new_room)
            if not taken[slot]:
                taken[slot] = True
                counts[0] += 1
                new_room[slot] = rest
                new_slack[slot] = total + 1
            if total < new_slack[slot]:
                new_slack[slot] = total
                new_least[slot] = least
                new_from[slot] = i
                new_option[slot] = x
    return end


@njit(cache=True)
def move(
    taken: NDArray[np.bool_],
    room: NDArray[np.int64],
    slack: NDArray[np.int64],
    least: NDArray[np.int64],
    from_: NDArray[np.int32],
    option: NDArray[np.int32],
    new_taken: NDArray[np.bool_],
    new_room: NDArray[np.int64],
    new_slack: NDArray[np.int64],
    new_least: NDArray[np.int64],
    new_from: NDArray[np.int32],
    new_option: NDArray[np.int32],
) -> None:
    """Move the content of a hash table of states into an empty, larger one."""
    for old in range(taken.shape[0]):
        if taken[old]:
            slot = slot_of(room[old], new_taken, new_room)
            new_taken[slot] = True
            new_room[slot] = room[old]
            new_slack[slot] = slack[old]
            new_least[slot] = least[old]
            new_from[slot] = from_[old]
            new_option[slot] = option[old]
