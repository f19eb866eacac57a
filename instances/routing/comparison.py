"""The statistics of a trace and of data drawn from a router, side by side."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.routing.drawing import draw_routes
from instances.routing.router import Router
from instances.routing.statistics import FIGURES, Statistics, measure
from instances.traces import Routes

MOST_SCORES = 2**23
"""Tokens times experts that are drawn at once: 64 MB."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Comparison:
    """What was measured on both.

    Parameters
    ----------
    trace, drawn
        Statistics of the whole trace, and of the drawn data.
    routes
        The drawn data.
    """

    trace: Statistics
    drawn: Statistics
    routes: Routes

    @property
    def deviations(self) -> dict[str, float]:
        """``drawn / trace - 1`` by figure; NaN where one of them is not known."""
        return {
            figure.name: _ratio(self.drawn.values[figure.name], self.trace.values[figure.name]) - 1
            for figure in FIGURES
        }


def compare(router: Router, trace: Routes, *, experts: int, seed: int = 0) -> Comparison:
    """Draw data like a trace, and measure both.

    Parameters
    ----------
    router
        Where the data is drawn from: requests as long as those of the trace, as many layers; of a
        trace so long that memory could not hold its scores, evenly spaced requests.
    trace
        What was recorded.
    experts
        Experts of a layer.
    seed
        Of the draws.

    Raises
    ------
    InputError
        When a choice of the trace is not an expert.
    """
    measured = measure(trace.experts, trace.offsets, experts=experts)
    limit = max(1, MOST_SCORES // experts)
    lengths = np.diff(trace.offsets)
    lengths = np.minimum(lengths[lengths > 0], limit)
    while lengths.sum() > limit:
        lengths = lengths[:: -(-int(lengths.sum()) // limit)]
    drawn = sample_routes(
        router,
        Draws("compare", seed),
        lengths=lengths,
        layers=trace.num_layers,
        experts=experts,
        top_k=trace.top_k,
    )
    return Comparison(
        trace=measured, drawn=measure(drawn.experts, drawn.offsets, experts=experts), routes=drawn
    )


def sample_routes(
    router: Router,
    draws: Draws,
    *,
    lengths: NDArray[np.int64],
    layers: int,
    experts: int,
    top_k: int,
) -> Routes:
    """Draw a trace, one request for each user; arguments as of :func:`draw_routes`.

    Raises
    ------
    InputError
        When a size is out of range.
    """
    choices = draw_routes(
        router, draws, lengths=lengths, layers=layers, experts=experts, top_k=top_k
    )
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Routes(experts=choices.astype(np.int16), offsets=offsets)


def _ratio(drawn: float, measured: float) -> float:
    if measured == 0:
        return 1.0 if drawn == 0 else drawn * math.inf  # NaN stays NaN
    return drawn / measured
