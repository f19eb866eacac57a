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
def choose(
    hidden: NDArray[np.float64],
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
    user: NDArray[np.int64],
    noise: NDArray[np.float64],
    index: NDArray[np.uint16],
    choices: NDArray[np.int32],
) -> None:
    """Fill in the experts of the highest scores, ascending; of equal scores the first expert's."""
    num_experts = weight.shape[1]
    top_k = choices.shape[1]
    score = np.empty(num_experts)
    best = np.empty(top_k)  # descending
    expert = np.empty(top_k, dtype=np.int32)
    for t in range(choices.shape[0]):
        u = user[t]
        for e in range(num_experts):
            score[e] = bias[u, e]
        for r in range(weight.shape[0]):
            factor = hidden[t, r]
            for e in range(num_experts):
                score[e] += factor * weight[r, e]
        best[:] = -np.inf
        for e in range(num_experts):
            value = score[e] + noise[index[t, e]]
            if value > best[top_k - 1]:
                k = top_k - 1
                while k > 0 and value > best[k - 1]:
                    best[k] = best[k - 1]
                    expert[k] = expert[k - 1]
                    k -= 1
                best[k] = value
                expert[k] = e
        for k in range(top_k):
            choice = expert[k]
            place = k
            while place > 0 and choices[t, place - 1] > choice:
                choices[t, place] = choices[t, place - 1]
                place -= 1
            choices[t, place] = choice
