"""Joint placements: one layer on several servers at once, and layers combined over storage.

Every joint placement of a layer's experts of one size is scored; the best is kept for each vector
of counts, one count for each server. Layers are added by a max-plus convolution over the storage
used on each server (docs/theory.md, section 5).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.structure.joint_kernels import add_layer, score_joint_placements
from instances.structure.kernels import subset_values

_LOOKUPS_BETWEEN_LOOKS = 1 << 26
"""Joint placements scored between two looks at the clock."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JointLayer:
    """The clauses of one layer, over its experts and M servers.

    Parameters
    ----------
    experts
        Flat experts; int64 (E,).
    weight
        Weight of each clause, ms per token; float64 (C,).
    servers
        Its server set as a bit mask, server m being bit m; int64 (C,).
    offsets, bits
        Its experts as indices into ``experts``; int64 (C + 1,), int32 (any,).
    """

    experts: NDArray[np.int64]
    weight: NDArray[np.float64]
    servers: NDArray[np.int64]
    offsets: NDArray[np.int64]
    bits: NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class LayerOptions:
    """What one layer can be worth: non-dominated options.

    Parameters
    ----------
    layer
        The layer.
    counts
        Experts on each server; int64 (options, M).
    value
        Weight of the satisfied clauses, ms per token; float64 (options,).
    joint
        Joint placement: bit masks of experts, the last server lowest; int64 (options,).
    """

    layer: JointLayer
    counts: NDArray[np.int64]
    value: NDArray[np.float64]
    joint: NDArray[np.int64]

    def experts_of(self, option: int) -> list[NDArray[np.int64]]:
        """Return the flat experts of one option, server by server."""
        width = self.layer.experts.size
        masks = int(self.joint[option])
        chosen = []
        for _ in range(self.counts.shape[1]):
            members = (masks >> np.arange(width)) & 1
            chosen.append(self.layer.experts[members.astype(np.bool_)])
            masks >>= width
        return chosen[::-1]


def layer_options(
    layer: JointLayer, most: NDArray[np.int64], deadline: Deadline
) -> LayerOptions | None:
    """Enumerate one layer with at most ``most[m]`` experts on server m; None when time is up."""
    width, num_servers = layer.experts.size, most.size
    if layer.weight.size == 0:
        most = np.zeros_like(most)  # nobody wants this layer: storing nothing is best
    sets, tables = _tables(layer)
    shape = (width + 1,) * num_servers
    best = np.full(int(np.prod(shape)), -np.inf)
    arg = np.zeros(best.size, dtype=np.int64)
    popcount = np.bitwise_count(np.arange(1 << width)).astype(np.int64)
    outer_total = 1 << (width * (num_servers - 1))
    stride = max(1, _LOOKUPS_BETWEEN_LOOKS >> width)
    for outer in range(0, outer_total, stride):
        if deadline.passed:
            return None
        score_joint_placements(
            outer,
            min(outer + stride, outer_total),
            num_servers,
            width,
            most,
            sets,
            tables,
            popcount,
            best,
            arg,
        )
    keep = _undominated(best.reshape(shape))
    counts = np.stack(np.unravel_index(keep, shape), axis=1).astype(np.int64)
    return LayerOptions(layer, counts, best[keep], arg[keep])


class Combination:
    """Layers added one by one over the storage used on each server.

    Parameters
    ----------
    shape
        Cells along each server: its storage in units, plus one; int64 (M,).
    """

    def __init__(self, shape: NDArray[np.int64]) -> None:
        self.shape = shape
        self._value = np.full(int(np.prod(shape)), -np.inf)
        self._value[0] = 0.0
        self._steps: list[tuple[LayerOptions, NDArray[np.int64], NDArray[np.int32]]] = []

    def add(self, options: LayerOptions, units: int) -> None:
        """Add a layer whose experts take ``units`` units of storage each."""
        if options.value.size > 1:
            used = options.counts * units
            self._value, choice = add_layer(self._value, self.shape, used, options.value)
            self._steps.append((options, used, choice))

    def best(self) -> tuple[float, list[list[NDArray[np.int64]]]]:
        """Return the largest value, and the flat experts on each server, layer by layer."""
        cell = int(self._value.argmax())
        value = float(self._value[cell])
        chosen = []
        for options, used, choice in reversed(self._steps):
            taken = int(choice[cell])
            cell -= int(np.ravel_multi_index(tuple(used[taken]), tuple(self.shape)))
            chosen.append(options.experts_of(taken))
        return value, chosen


def stored_by(
    chosen: Sequence[Sequence[NDArray[np.int64]]], num_servers: int, num_experts: int
) -> NDArray[np.bool_]:
    """Return the experts on each server as an array; bool (M, X)."""
    stored = np.zeros((num_servers, num_experts), dtype=np.bool_)
    for layer in chosen:
        for server, experts in enumerate(layer):
            stored[server, experts] = True
    return stored


def _tables(layer: JointLayer) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the server sets of a layer as bit masks and v_S for each, the last server's last."""
    width = layer.experts.size
    sets = np.unique(layer.servers)  # ascending: those with the last server come last
    tables = np.zeros((sets.size, 1 << width))
    lengths = np.diff(layer.offsets)
    for row, mask in enumerate(sets):
        members = np.flatnonzero(layer.servers == mask)
        offsets = np.concatenate([[0], np.cumsum(lengths[members])]).astype(np.int64)
        within = np.arange(offsets[-1]) - np.repeat(offsets[:-1], lengths[members])
        bits = layer.bits[np.repeat(layer.offsets[members], lengths[members]) + within]
        tables[row] = subset_values(layer.weight[members], offsets, bits, width)
    return sets, tables


def _undominated(best: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the flat indices of count vectors that gain more than every smaller vector."""
    smaller = np.full(best.shape, -np.inf)
    for axis in range(best.ndim):
        below = np.roll(np.maximum(best, smaller), 1, axis=axis)
        below[(slice(None),) * axis + (0,)] = -np.inf
        np.maximum(smaller, np.maximum.accumulate(below, axis=axis), out=smaller)
    return np.flatnonzero(best > smaller).astype(np.int64)
