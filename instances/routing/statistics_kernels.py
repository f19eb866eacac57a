"""Counting in routing: arrays in, arrays out.

| symbol | meaning | shape |
|---|---|---|
| choices, first, second | experts of each token in one layer, -1 for none | (T, K) |
| user | user of each token | (T,) |
| counts | tokens of each user that use each expert | (U, E) |
| together | tokens that use experts a < b together | (E, E) |
| table | how likely a token that uses a here uses b there | (E, E) |
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def count_experts(
    choices: NDArray[np.int16], user: NDArray[np.int64], counts: NDArray[np.int64]
) -> None:
    """Add to ``counts``."""
    for t in range(choices.shape[0]):
        for k in range(choices.shape[1]):
            e = np.int64(choices[t, k])
            if e >= 0:
                counts[user[t], e] += 1


@njit(cache=True)
def count_pairs(choices: NDArray[np.int16], together: NDArray[np.int64]) -> None:
    """Add to ``together``, for each pair once: the smaller expert first."""
    for t in range(choices.shape[0]):
        for k in range(choices.shape[1]):
            a = np.int64(choices[t, k])
            if a < 0:
                continue
            for q in range(k + 1, choices.shape[1]):
                b = np.int64(choices[t, q])
                if b >= 0:
                    together[min(a, b), max(a, b)] += 1


@njit(cache=True)
def sum_overlaps(
    choices: NDArray[np.int16], user: NDArray[np.int64], lag: int
) -> tuple[float, int]:
    """Sum the shares of experts that the token ``lag`` before has used too, and count tokens.

    Only tokens of one user are compared, and only those with an expert in the layer.
    """
    total = 0.0
    tokens = 0
    for t in range(lag, choices.shape[0]):
        if user[t] != user[t - lag]:
            continue
        size = 0
        before = 0
        shared = 0
        for k in range(choices.shape[1]):
            size += choices[t, k] >= 0
            before += choices[t - lag, k] >= 0
            for q in range(choices.shape[1]):
                shared += choices[t, k] >= 0 and choices[t, k] == choices[t - lag, q]
        if size > 0 and before > 0:
            total += shared / size
            tokens += 1
    return total, tokens


@njit(cache=True)
def count_transitions(
    first: NDArray[np.int16],
    second: NDArray[np.int16],
    tokens: NDArray[np.int64],
    table: NDArray[np.float64],
) -> None:
    """Add to ``table`` how many of the tokens use a in the first layer and b in the second."""
    for t in tokens:
        for k in range(first.shape[1]):
            a = np.int64(first[t, k])
            if a < 0:
                continue
            for q in range(second.shape[1]):
                b = np.int64(second[t, q])
                if b >= 0:
                    table[a, b] += 1.0


@njit(cache=True)
def sum_recall(
    first: NDArray[np.int16],
    second: NDArray[np.int16],
    tokens: NDArray[np.int64],
    table: NDArray[np.float64],
) -> tuple[float, int]:
    """Sum the shares of experts in the second layer that the first gives away; count tokens.

    As many experts are guessed as the token uses: those with the largest sum of table entries
    over the experts of the first layer; of equal ones the first.
    """
    num_experts = table.shape[1]
    scores = np.empty(num_experts)
    total = 0.0
    counted = 0
    for t in tokens:
        scores[:] = 0.0
        used = 0
        for k in range(first.shape[1]):
            a = np.int64(first[t, k])
            if a >= 0:
                used += 1
                for b in range(num_experts):
                    scores[b] += table[a, b]
        size = 0
        for q in range(second.shape[1]):
            size += second[t, q] >= 0
        if used == 0 or size == 0:
            continue
        hits = 0
        for _ in range(size):
            best = np.argmax(scores)
            scores[best] = -1.0
            for q in range(second.shape[1]):
                hits += second[t, q] == best
        total += hits / size
        counted += 1
    return total, counted
