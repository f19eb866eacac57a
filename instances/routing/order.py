"""The order of a user's tokens: words like each other follow each other.

An order of tokens pi has probability proportional to

    exp(stickiness * sum over t of word[pi_t] . word[pi_t+1])

that is, the words form a chain whose likeness fades geometrically with the distance, as the
measured overlap of experts does; far apart the order has no rule. Because only the order changes,
everything that does not depend on it (popularity, co-activation, rates of an instance) stays.

Drawn by a Markov chain of exchanges of two tokens with Barker's rule: accept with probability
1 / (1 + exp(-gain)), that is, when the gain plus a logistic number is not negative; the difference
of two Gumbel numbers is logistic. Products of words are exact in float64, so that the order is the
same on every machine.
"""

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.routing.kernels import arrange

SWEEPS = 30
"""Proposed exchanges for each token. At the stickiness of gpt-oss-20b, 0.2, three times as many
change the overlap of consecutive tokens by less than 1 %."""


def draw_order(
    stickiness: float, words: NDArray[np.float64], lengths: NDArray[np.int64], draws: Draws
) -> NDArray[np.int64]:
    """Draw the order of the tokens of every user.

    Parameters
    ----------
    stickiness
        See above; 0 leaves the tokens in the order in which they were drawn.
    words
        Vector of the word of each token, those of one user together; fixed-point numbers,
        float64 (T, rank).
    lengths
        Tokens of each user; int64 (U,).
    draws
        Source of randomness.

    Returns
    -------
    NDArray[np.int64]
        Token at each position; users keep their places. int64 (T,).
    """
    order = np.arange(words.shape[0], dtype=np.int64)
    if stickiness == 0:
        return order
    start = 0
    for length in lengths.tolist():
        shape = (SWEEPS, length)
        partner = draws.below(length, shape)
        push = draws.gumbel(shape) - draws.gumbel(shape)
        own = np.arange(length, dtype=np.int64)
        arrange(words[start : start + length], partner, push, stickiness, own)
        order[start : start + length] = start + own
        start += length
    return order
