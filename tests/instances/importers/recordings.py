"""Strategies of recordings, and how they are compared."""

import numpy as np
from hypothesis import strategies as st

from instances.traces import Counts, Routes


def same(one, other):
    if isinstance(one, Counts):
        return isinstance(other, Counts) and np.array_equal(one.counts, other.counts)
    return (
        isinstance(other, Routes)
        and np.array_equal(one.experts, other.experts)
        and np.array_equal(one.offsets, other.offsets)
    )


@st.composite
def some_routes(draw, layers=None, experts=None, top_k=None):
    """Routes whose requests have tokens, whose layers are all used, and of which one uses K."""
    layers = draw(st.integers(1, 4)) if layers is None else layers
    experts = draw(st.integers(1, 9)) if experts is None else experts
    top_k = draw(st.integers(1, min(experts, 4))) if top_k is None else top_k
    lengths = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    shape = (sum(lengths), layers)
    chosen = np.array(
        [[rng.permutation(experts)[:top_k] for _ in range(layers)] for _ in range(shape[0])]
    )
    if draw(st.booleans()):
        gone = rng.random(chosen.shape) < 0.3
        gone[0] = False
        chosen[gone] = -1
    return Routes(experts=chosen, offsets=np.concatenate([[0], np.cumsum(lengths)]))


@st.composite
def some_counts(draw):
    layers, experts = draw(st.integers(1, 4)), draw(st.integers(1, 9))
    counts = draw(
        st.lists(
            st.lists(st.integers(0, 10**6), min_size=experts, max_size=experts),
            min_size=layers,
            max_size=layers,
        )
    )
    array = np.array(counts)
    array[:, draw(st.integers(0, experts - 1))] += 1
    return Counts(counts=array)
