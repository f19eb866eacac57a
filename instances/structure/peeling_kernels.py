"""Hot loop of peeling: sets between the breakpoints of the hull, arrays in, arrays out."""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def clauses_of_experts(
    offsets: NDArray[np.int64], bits: NDArray[np.int32], num_experts: int
) -> tuple[NDArray[np.int64], NDArray[np.uint32]]:
    """List the clauses of each expert, ascending; CSR, offsets first."""
    begin = np.zeros(num_experts + 1, np.int64)
    for h in range(bits.shape[0]):
        begin[bits[h] + 1] += 1
    for e in range(num_experts):
        begin[e + 1] += begin[e]
    cursor = begin[:-1].copy()
    clauses = np.empty(bits.shape[0], np.uint32)
    for c in range(offsets.shape[0] - 1):
        for h in range(offsets[c], offsets[c + 1]):
            clauses[cursor[bits[h]]] = c
            cursor[bits[h]] += 1
    return begin, clauses


@njit(cache=True, nogil=True)
def peel(
    weight: NDArray[np.float64],
    offsets: NDArray[np.int64],
    bits: NDArray[np.int32],
    sizes: NDArray[np.int64],
    order: NDArray[np.int64],
    ends: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Sort each segment by peeling, and return the value of every prefix of ``order``.

    Within a segment the expert whose loss per byte is least goes to the back, again and again.
    """
    num_experts = sizes.shape[0]
    num_clauses = weight.shape[0]
    begin, clauses = clauses_of_experts(offsets, bits, num_experts)
    place = np.empty(num_experts, np.int64)
    segment = np.empty(num_experts, np.int64)
    start = 0
    for position in range(num_experts):
        segment[order[position]] = start
        if ends[position]:
            start = position + 1
    clause_segment = np.zeros(num_clauses, np.int64)
    alive = np.ones(num_clauses, np.bool_)
    loss = np.zeros(num_experts)
    for c in range(num_clauses):
        for entry in range(offsets[c], offsets[c + 1]):
            clause_segment[c] = max(clause_segment[c], segment[bits[entry]])
        for entry in range(offsets[c], offsets[c + 1]):
            if segment[bits[entry]] == clause_segment[c]:
                loss[bits[entry]] += weight[c]
    start = 0
    for end in range(num_experts):
        if not ends[end]:
            continue
        for back in range(end, start, -1):
            worst = back
            for position in range(back - 1, start - 1, -1):
                e, w = order[position], order[worst]
                if loss[e] * sizes[w] < loss[w] * sizes[e]:
                    worst = position
            gone = order[worst]
            order[worst] = order[back]
            order[back] = gone
            for h in range(begin[gone], begin[gone + 1]):
                c = clauses[h]
                if alive[c] and clause_segment[c] == start:
                    alive[c] = False
                    for entry in range(offsets[c], offsets[c + 1]):
                        if segment[bits[entry]] == start:
                            loss[bits[entry]] -= weight[c]
        start = end + 1
    for position in range(num_experts):
        place[order[position]] = position
    value = np.zeros(num_experts + 1)
    for c in range(num_clauses):
        last = 0
        for entry in range(offsets[c], offsets[c + 1]):
            last = max(last, place[bits[entry]])
        value[last + 1] += weight[c]
    for position in range(num_experts):
        value[position + 1] += value[position]
    return value
