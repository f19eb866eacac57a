"""Allowances: how much an option may lose, by what the other layers must lose beside it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Allowance:
    """Most loss of a layer's placement, by the experts that it stores on some pairs of servers.

    Parameters
    ----------
    pairs
        Servers of the layer, twice the same for a single one; int64 (P, 2).
    most
        ``most[p, left, j, k]``: most loss with j and k experts on the pair and ``left`` experts
        still to be placed, ms per token; float64 (P, E + 1, E + 1, E + 1).
    """

    pairs: NDArray[np.int64]
    most: NDArray[np.float64]


def constant(loss_ms: float, num_experts: int) -> Allowance:
    """Allow the same loss whatever is stored."""
    width = num_experts + 1
    return Allowance(
        pairs=np.zeros((1, 2), dtype=np.int64), most=np.full((1, width, width, width), loss_ms)
    )


def allowance(
    position: NDArray[np.int64],
    sizes: NDArray[np.int64],
    servers: Sequence[tuple[int, ...]],
    rests: Sequence[NDArray[np.float64]],
    known_ms: float,
    budget_ms: float,
) -> Allowance:
    """Return what a layer of experts of one size may lose within a budget.

    Let a placement lose at most ``budget_ms``, and this layer more than ``budget_ms - known_ms``.
    Then all others together lose less than ``known_ms``, so that they are among all options within
    that; beside what the layer uses they lose at least the rest, and it at most what remains.

    Parameters
    ----------
    position
        Where the servers of the layer stand among all; int64 (servers of the layer,).
    sizes
        Units of each expert, all the same; int64 (E,).
    servers
        One or two servers for each entry of ``rests``.
    rests
        The least loss of all other layers within ``known_ms``, by the units
        that the layer uses of them; float64, one dimension for each server.
    """
    width = sizes.size + 1
    pairs, tables = [(0, 0)], [constant(budget_ms, sizes.size).most[0]]
    for few, rest in zip(servers, rests, strict=True):
        own = [int(at) for at in np.flatnonzero(np.isin(position, few))]
        if len(own) < len(few):
            continue
        units = np.arange(width) * int(sizes[0])
        fitting = [units[units < size] for size in rest.shape]
        most = np.full((width,) * rest.ndim, -np.inf)
        inside = tuple(slice(0, fits.size) for fits in fitting)
        most[inside] = np.maximum(budget_ms - rest[np.ix_(*fitting)], budget_ms - known_ms)
        if rest.ndim == 1:
            most = np.where(np.eye(width, dtype=np.bool_), most[:, None], -np.inf)
        pairs.append((own[0], own[-1]))
        tables.append(_reachable(most))
    return Allowance(pairs=np.array(pairs, dtype=np.int64), most=np.stack(tables))


def _reachable(most: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the largest entry within reach: each expert to come adds at most 1 to each count."""
    width = most.shape[0]
    reach = np.full((width, width, width), -np.inf)
    reach[0] = most
    for left in range(1, width):
        padded = np.full((width + 1, width + 1), -np.inf)
        padded[:width, :width] = reach[left - 1]
        reach[left] = np.maximum(
            np.maximum(padded[:-1, :-1], padded[1:, :-1]),
            np.maximum(padded[:-1, 1:], padded[1:, 1:]),
        )
    return reach
