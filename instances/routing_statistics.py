"""What can be measured on routing: skew, co-activation, distinct sets, likeness of users.

The same figures that the literature and docs/instances.md give for real models. Input is the
choices of tokens in ONE layer, int (T, K), without padding.
"""

import numpy as np
from numpy.typing import NDArray


def popularity(choices: NDArray[np.integer], experts: int) -> NDArray[np.float64]:
    """Share of all choices that each expert gets; float64 (E,)."""
    counts = np.bincount(choices.ravel(), minlength=experts)
    return np.asarray(counts / counts.sum())


def top_share(popular: NDArray[np.float64], part: float = 0.25) -> float:
    """Share of the choices that the most popular part of the experts gets; uniform: ``part``."""
    count = round(part * popular.size)
    return float(np.sort(popular)[::-1][:count].sum())


def lognormal_sigma(popular: NDArray[np.float64]) -> float:
    """Return the standard deviation of log popularity, over experts used at all."""
    return float(np.std(np.log(popular[popular > 0])))


def pair_lifts(
    choices: NDArray[np.integer], experts: int, least: float = 50
) -> NDArray[np.float64]:
    """P(a, b) / (P(a) P(b)) of all pairs that are expected to meet at least ``least`` times."""
    used = np.zeros((choices.shape[0], experts))
    np.put_along_axis(used, choices.astype(np.int64), 1.0, axis=1)
    single = used.mean(axis=0)
    together = used.T @ used / choices.shape[0]
    expected = np.outer(single, single)
    a, b = np.triu_indices(experts, 1)
    enough = expected[a, b] * choices.shape[0] >= least
    return np.asarray(together[a, b][enough] / expected[a, b][enough])


def distinct_sets(choices: NDArray[np.integer]) -> int:
    """Count the different sets of experts."""
    return int(np.unique(np.sort(choices, axis=1), axis=0).shape[0])


def cosine(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Cosine of two popularity vectors: 1 for users alike."""
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))
