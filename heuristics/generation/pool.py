"""Pools: placements of each layer from which a whole placement is put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from heuristics.generation.pool_kernels import explore
from instances.structure.closure_kernels import entries_of_experts
from instances.structure.label_pricing import MAX_LABEL_SERVERS, TOLERANCE
from instances.structure.layer_problem import LayerProblem

MAX_POOL = 300
"""Placements of one layer that are kept, those that lose least first."""

_MAX_STATES = 2000
"""Placements of one layer that are met at most."""

_MAX_EXPANSIONS = 400
"""Placements of one layer whose neighbours are looked at, at most and, below, at least."""

_MIN_EXPANSIONS = 20

_DETOUR = 3.0
"""How much more than the slack may be lost on the way from one placement to another."""

_EXPLORE_STEPS = 2e7
"""Elementary steps for one layer, about 0.03 s."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """Placements of one layer, by ascending loss. P of them; the first has loss 0.

    Parameters
    ----------
    stored
        Bool (P, servers of the layer, experts of the layer).
    value_ms
        Their saving, ms per token; float64 (P,).
    used_bytes
        Bytes on each server of the instance; int64 (P, N).
    loss_ms
        What they are worth less than the best of the pool, at the prices; float64 (P,).
    """

    stored: NDArray[np.bool_]
    value_ms: NDArray[np.float64]
    used_bytes: NDArray[np.int64]
    loss_ms: NDArray[np.float64]

    def index_of(self, used_bytes: NDArray[np.int64]) -> int:
        """Return the most valuable placement that uses no more on any server; bytes int64 (N,)."""
        fitting = np.flatnonzero((self.used_bytes <= used_bytes).all(axis=1))
        return int(fitting[np.argmax(self.value_ms[fitting])])


def build_pool(
    problem: LayerProblem,
    seeds: Sequence[NDArray[np.bool_]],
    price: NDArray[np.float64],
    slack_ms: float,
) -> Pool:
    """Gather placements of a layer that lose little, around some that are known.

    Parameters
    ----------
    seeds
        Known placements, all of which are kept or replaced by better ones of the same bytes; bool
        (M, E) each. The empty placement is added.
    price
        Price of a byte on each server of the instance; float64 (N,).
    slack_ms
        Placements that lose more are left out; infinite when nothing is known, then only the seeds
        are kept.
    """
    local = price[problem.servers]
    empty = np.zeros((problem.servers.size, problem.experts.size), dtype=np.bool_)
    stored = np.array([empty, *seeds])
    value = np.array([problem.value_ms(seed) for seed in stored])
    used = stored @ problem.sizes
    highest = float((value - used @ local).max())
    num_seeds = stored.shape[0]
    if problem.servers.size <= MAX_LABEL_SERVERS and np.isfinite(slack_ms):
        bit = 1 << np.arange(problem.servers.size, dtype=np.int64)
        num_labels = 1 << problem.servers.size
        steps = problem.experts.size * num_labels * problem.servers.size
        steps += problem.bits.size * problem.largest_clause
        labels, used, value = explore(
            np.ascontiguousarray((stored * bit[:, None]).sum(axis=1)),
            value,
            problem.weight,
            problem.members @ bit,
            problem.offsets,
            problem.bits,
            *entries_of_experts(problem.offsets, problem.bits, problem.experts.size),
            problem.sizes,
            problem.capacity_bytes,
            local,
            highest - _DETOUR * slack_ms,
            TOLERANCE * problem.worth_ms,
            int(np.clip(_EXPLORE_STEPS / steps, _MIN_EXPANSIONS, _MAX_EXPANSIONS)),
            num_seeds + _MAX_STATES,
        )
        stored = (labels[:, None, :] >> np.arange(problem.servers.size)[:, None]) & 1 > 0
    reduced = value - used @ local
    loss = reduced.max() - reduced
    order = np.argsort(loss, kind="stable")
    order = order[(loss[order] <= slack_ms) | (order < num_seeds)]
    order = np.concatenate([order[:MAX_POOL], order[MAX_POOL:][order[MAX_POOL:] < num_seeds]])
    everywhere = np.zeros((order.size, price.size), dtype=np.int64)
    everywhere[:, problem.servers] = used[order]
    return Pool(
        stored=stored[order],
        value_ms=value[order],
        used_bytes=everywhere,
        loss_ms=loss[order],
    )
