"""Sums of options over the storage of all servers, sparse: arrays in, arrays out.

| symbol | meaning |
|---|---|
| key | packed units used on all servers |
| P, after | projections; their tables of the layers that are left, one after the other |
| first[p], stride[p, m] | where a table begins; its step for a unit of server m, 0 if not its own |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from formulations.within_gap.option_kernels import slot_of


@njit(cache=True)
def loss_to_come(
    left: int,
    shift: NDArray[np.int64],
    mask: NDArray[np.int64],
    first: NDArray[np.int64],
    stride: NDArray[np.int64],
    after: NDArray[np.float64],
    most: float,
) -> float:
    """Return a lower bound on the loss of the layers that are left; stops looking above ``most``.

    ``left`` packs the units that are left on each server.
    """
    bound = 0.0
    for p in range(first.shape[0]):
        at = first[p]
        for m in range(shift.shape[0]):
            if stride[p, m] > 0:
                at += ((left >> shift[m]) & mask[m]) * stride[p, m]
        bound = max(bound, after[at])
        if bound > most:
            break
    return bound


@njit(cache=True)
def extend(
    key: NDArray[np.int64],
    loss: NDArray[np.float64],
    option_key: NDArray[np.int64],
    option_loss: NDArray[np.float64],
    limit: int,
    guard: int,
    shift: NDArray[np.int64],
    mask: NDArray[np.int64],
    first: NDArray[np.int64],
    stride: NDArray[np.int64],
    after: NDArray[np.float64],
    budget: float,
    slots: NDArray[np.int64],
    new_key: NDArray[np.int64],
    new_loss: NDArray[np.float64],
    new_parent: NDArray[np.int32],
    new_option: NDArray[np.int32],
    cursor: NDArray[np.int64],
    max_steps: int,
) -> None:
    """Add one layer to states; goes on at state ``cursor[0]``, ``cursor[1]`` new ones so far.

    Returns before a state for which there might be no room, and after about ``max_steps`` sums.
    """
    steps = 0
    count = cursor[1]
    i = cursor[0]
    while i < key.shape[0]:
        if steps > max_steps or count + option_key.shape[0] > new_key.shape[0]:
            break
        for o in range(option_key.shape[0]):
            total = loss[i] + option_loss[o]
            if total > budget:
                break
            steps += 1
            k = key[i] + option_key[o]
            if ((limit - k) & guard) != guard:
                continue
            at = slot_of(k, slots, new_key)
            j = slots[at]
            if j >= 0:
                if total < new_loss[j]:
                    new_loss[j] = total
                    new_parent[j] = i
                    new_option[j] = o
                continue
            rest = budget - total
            if loss_to_come(limit - k, shift, mask, first, stride, after, rest) > rest:
                continue
            slots[at] = count
            new_key[count] = k
            new_loss[count] = total
            new_parent[count] = i
            new_option[count] = o
            count += 1
        i += 1
    cursor[0], cursor[1] = i, count


@njit(cache=True)
def bounds_of(
    key: NDArray[np.int64],
    loss: NDArray[np.float64],
    limit: int,
    shift: NDArray[np.int64],
    mask: NDArray[np.int64],
    first: NDArray[np.int64],
    stride: NDArray[np.int64],
    after: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return a lower bound on the whole loss of each state."""
    bound = np.empty(key.shape[0])
    for i in range(key.shape[0]):
        bound[i] = loss[i] + loss_to_come(limit - key[i], shift, mask, first, stride, after, np.inf)
    return bound
