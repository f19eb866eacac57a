"""Hot loop of drawing choices: arrays in, arrays out.

| symbol | meaning | shape |
|---|---|---|
| hidden | what the weights are multiplied with, for each token | (T, d) |
| weight | rows of W of this layer, by dimension | (d, E) |
| bias | of each user and expert | (U, E) |
| noise | what each entry of the quantile table adds to a score | (65536,) |
| index | entry drawn for each token and expert | (T, E) |

Scores are multiples of 2^-32 below 2^21: every sum is exact, in whatever order it is taken.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray


@njit(cache=True)
def _keep_best(
    score: NDArray[np.float64],
    top: NDArray[np.float64],
    near: NDArray[np.float64],
    expert: NDArray[np.int32],
    choices: NDArray[np.int32],
    t: int,
) -> None:
    """Fill in the experts of the highest scores, ascending; of equal scores the first expert's.

    Hardly a branch depends on a score, since half of those would be guessed wrong: the K-th largest
    of the maxima of 2 K blocks is a score that K experts reach; of the few that reach it, those
    stay that fewer than K others beat.
    """
    num_experts, top_k, num_blocks = score.shape[0], choices.shape[1], top.shape[0]
    whole = num_experts - num_experts % num_blocks
    for j in range(num_blocks):
        top[j] = score[j]
    for first in range(num_blocks, whole, num_blocks):
        for j in range(num_blocks):
            value = score[first + j]
            top[j] = value if value > top[j] else top[j]
    for e in range(whole, num_experts):
        top[e - whole] = max(top[e - whole], score[e])
    low = -np.inf
    for j in range(num_blocks):
        at_least = 0
        for i in range(num_blocks):
            at_least += top[i] >= top[j]
        if at_least >= top_k:
            low = max(low, top[j])
    num_near = np.int64(0)
    for e in range(num_experts):
        near[np.uint64(num_near)] = score[e]
        expert[np.uint64(num_near)] = e
        num_near += score[e] >= low
    place = np.int64(0)
    for a in range(num_near):
        beaten_by = 0
        for b in range(a):
            beaten_by += near[b] >= near[a]
        for b in range(a + 1, num_near):
            beaten_by += near[b] > near[a]
        if beaten_by < top_k:
            choices[t, place] = expert[a]
            place += 1


@njit(cache=True)
def choose(
    hidden: NDArray[np.float64],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    user: NDArray[np.int64],
    noise: NDArray[np.float64],
    index: NDArray[np.uint16],
    choices: NDArray[np.int32],
) -> None:
    """Fill in the experts that each token chooses, ascending."""
    num_experts = weight.shape[1]
    fours = weight.shape[0] - weight.shape[0] % 4
    score = np.empty(num_experts)
    top = np.empty(min(2 * choices.shape[1], num_experts))
    near = np.empty(num_experts)
    expert = np.empty(num_experts, dtype=np.int32)
    for t in range(choices.shape[0]):
        u = user[t]
        for e in range(num_experts):
            score[e] = bias[u, e]
        for r in range(0, fours, 4):  # scores are loaded and stored once for four dimensions
            a, b, c, d = hidden[t, r], hidden[t, r + 1], hidden[t, r + 2], hidden[t, r + 3]
            for e in range(num_experts):
                score[e] += (a * weight[r, e] + b * weight[r + 1, e]) + (
                    c * weight[r + 2, e] + d * weight[r + 3, e]
                )
        for r in range(fours, weight.shape[0]):
            for e in range(num_experts):
                score[e] += hidden[t, r] * weight[r, e]
        for e in range(num_experts):
            score[e] += noise[np.uint64(index[t, e])]  # without a sign: none counts from the end
        _keep_best(score, top, near, expert, choices, t)
