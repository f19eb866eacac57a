"""Recordings that examples are made of, and what a writer may ask of a recording."""

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.importers.form import Recording
from instances.traces import Counts, Routes

EXAMPLE_REQUESTS = (5, 3, 4)
"""Tokens of each request of the example."""

_LAYERS, _EXPERTS, _TOP_K = 3, 8, 2


def example_routes() -> Routes:
    """Routes of three short requests through three layers of eight experts, two at a time."""
    draws = Draws("example of a recording")
    tokens = sum(EXAMPLE_REQUESTS)
    experts = [
        [draws.permutation(_EXPERTS)[:_TOP_K] for _ in range(_LAYERS)] for _ in range(tokens)
    ]
    return Routes(
        experts=np.array(experts), offsets=np.concatenate([[0], np.cumsum(EXAMPLE_REQUESTS)])
    )


def counted(routes: Routes, num_experts: int | None = None) -> Counts:
    """Forget the sets of routes; ``num_experts`` is one more than the largest when left out."""
    experts = int(routes.experts.max()) + 1 if num_experts is None else num_experts
    return Counts(counts=_counts_of(routes.experts, experts))


def example_counts() -> Counts:
    """Return the counts of the routes of the example."""
    return counted(example_routes(), _EXPERTS)


def require_routes(recording: Recording) -> Routes:
    """Return routes, which the caller promised."""
    if not isinstance(recording, Routes):
        raise TypeError("this form holds routes, not counts")
    return recording


def require_counts(recording: Recording) -> Counts:
    """Return counts, which the caller promised."""
    if not isinstance(recording, Counts):
        raise TypeError("this form holds counts, not routes")
    return recording


def _counts_of(experts: NDArray[np.int16], num_experts: int) -> NDArray[np.int64]:
    return np.stack(
        [
            np.bincount(layer[layer >= 0], minlength=num_experts).astype(np.int64)
            for layer in (experts[:, i].ravel() for i in range(experts.shape[1]))
        ]
    )
