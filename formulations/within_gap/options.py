"""Options: the placements of one layer that lose little, the best for each use of storage."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.within_gap.allowances import Allowance
from formulations.within_gap.option_kernels import (
    DONE,
    FULL,
    rehash,
    search_options,
    undominated,
)
from formulations.within_gap.packing import Packing
from instances.deadline import Deadline
from instances.structure.branch_kernels import OPEN
from instances.structure.label_kernels import credit
from instances.structure.label_pricing import LabelPricer
from instances.structure.layer_problem import LayerProblem

MAX_NODES = 20_000_000
"""Most nodes of one search, about a minute."""

MAX_OPTIONS = 1 << 20
"""Most options of one layer."""

_NODES_BETWEEN_LOOKS = 100_000
"""Nodes between two looks at the clock, about 0.2 s."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Options:
    """Options of one layer, by ascending loss.

    Parameters
    ----------
    key
        Packed units on all servers; int64 (O,).
    used
        Units on all servers; int64 (O, M).
    loss
        What each is worth less than the layer's largest value less price, ms per token;
        float64 (O,), >= 0.
    label
        For each expert the servers of the layer that store it, a bit mask; int16 (O, E).
    """

    key: NDArray[np.int64]
    used: NDArray[np.int64]
    loss: NDArray[np.float64]
    label: NDArray[np.int16]

    def only(self, kept: NDArray[np.bool_] | NDArray[np.int64]) -> "Options":
        """Keep some options."""
        return Options(
            key=self.key[kept], used=self.used[kept], loss=self.loss[kept], label=self.label[kept]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PricedLayer:
    """One layer at fixed prices, everything a multiple of the unit of weights.

    Parameters
    ----------
    layer
        The layer; sizes and capacities in units of storage.
    pricer
        Knows its clauses by expert.
    position
        Where its servers stand among all; int64 (servers of the layer,).
    price, rent
        Per unit of storage, ms per token; float64 (servers of the layer,).
    split
        Credit of each entry, adding up to each clause's weight, ms per token; float64 (any,).
    packing
        How units are packed into keys.
    """

    layer: LayerProblem
    pricer: LabelPricer
    position: NDArray[np.int64]
    price: NDArray[np.float64]
    rent: NDArray[np.float64]
    split: NDArray[np.float64]
    packing: Packing

    def value_ms(self, part: NDArray[np.bool_]) -> float:
        """Return the value less price of a placement of the layer, exactly."""
        return self.layer.value_ms(part) - float(self.price @ self.layer.used_bytes(part))

    def bound_ms(self) -> float:
        """Return an upper bound on the value less price, exactly."""
        worth = _label_worth(self)
        return float(worth.max(axis=1).sum() + self.rent @ self.layer.capacity_bytes)

    def options(self, top_ms: float, allowed: Allowance, deadline: Deadline) -> Options | None:
        """Find all options whose loss against ``top_ms`` is allowed; None when it takes too long.

        Those that another one dominates are left out: it takes no more of any server, and is worth
        no less.
        """
        found = _search(self, top_ms, allowed, deadline)
        if found is None:
            return None
        key, value, label = found
        loss = top_ms - value
        order = np.lexsort((key, loss))
        used = self.packing.unpack(key[order])
        options = Options(key=key[order], used=used, loss=loss[order], label=label[order])
        gross = value[order] + used[:, self.position] @ self.price
        return options.only(undominated(used, gross))

    def part(self, label: NDArray[np.int16]) -> NDArray[np.bool_]:
        """Return the placement that labels stand for; bool (servers of the layer, E)."""
        masks = label.astype(np.int64)
        return (masks >> np.arange(self.layer.servers.size)[:, None]) & 1 > 0


def _label_cost(priced: PricedLayer) -> NDArray[np.float64]:
    """Return price and rent of every label for every expert; infinite where it does not fit."""
    layer = priced.layer
    members = np.arange(1 << layer.servers.size)[:, None] >> np.arange(layer.servers.size) & 1 > 0
    per_unit = members @ (priced.price + priced.rent)
    most = np.iinfo(np.int64).max
    tightest = np.where(members, layer.capacity_bytes, most).min(axis=1, initial=most)
    cost = layer.sizes[:, None] * per_unit
    cost[layer.sizes[:, None] > tightest] = np.inf
    return cost


def _label_worth(priced: PricedLayer) -> NDArray[np.float64]:
    """Return what each label is credited, less its cost; float64 (E, labels)."""
    h = _credited(priced)
    labels = np.arange(h.shape[1])
    meets = (labels[:, None] & labels) > 0
    return np.asarray(h @ meets - _label_cost(priced))


def _credited(priced: PricedLayer) -> NDArray[np.float64]:
    layer = priced.layer
    h = np.zeros((layer.experts.size, 1 << layer.servers.size))
    credit(priced.split, priced.pricer.sets, layer.offsets, layer.bits, h)
    return h


def _search(
    priced: PricedLayer, top_ms: float, allowed: Allowance, deadline: Deadline
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int16]] | None:
    layer, pricer = priced.layer, priced.pricer
    num_experts, num_servers, num_clauses = layer.experts.size, layer.servers.size, pricer.sets.size
    field_key = np.int64(1) << priced.packing.shift[priced.position]
    labels = np.arange(1 << num_servers)
    label_key = (labels[:, None] >> np.arange(num_servers) & 1) @ field_key
    load = np.bincount(layer.bits, weights=priced.split, minlength=num_experts)
    order = np.argsort(-load, kind="stable").astype(np.int64)
    depth_of = np.empty(num_experts, dtype=np.int64)
    depth_of[order] = np.arange(num_experts)
    depths = num_experts + 1
    base = np.zeros(depths)
    base[0] = priced.rent @ layer.capacity_bytes
    room = np.zeros((depths, num_servers), dtype=np.int64)
    room[0] = layer.capacity_bytes
    state = (
        order,
        depth_of,
        _credited(priced),
        np.zeros(layer.bits.size),
        np.empty((num_experts, labels.size)),
        np.zeros((depths, num_experts)),
        base,
        np.zeros(num_experts),
        np.zeros(depths),
        room,
        np.zeros((depths, num_servers), dtype=np.int64),
        np.zeros(depths, dtype=np.int64),
        np.zeros(num_experts, dtype=np.int64),
        np.full(num_clauses, OPEN, dtype=np.int64),
        np.empty(num_clauses, dtype=np.int64),
        np.zeros(depths, dtype=np.int64),
    )
    size = 256
    key = np.empty(size, dtype=np.int64)
    value = np.empty(size)
    label = np.empty((size, num_experts), dtype=np.int16)
    slots = np.full(4 * size, -1, dtype=np.int64)
    cursor = np.array([0, 1, 0, 0], dtype=np.int64)
    cost = _label_cost(priced)
    while True:
        status = search_options(
            pricer.sets,
            layer.offsets,
            layer.bits,
            *pricer.incidence,
            layer.sizes,
            cost,
            priced.split,
            priced.rent,
            label_key,
            top_ms,
            allowed.pairs,
            allowed.most,
            *state,
            slots,
            key,
            value,
            label,
            cursor,
            _NODES_BETWEEN_LOOKS,
        )
        count = int(cursor[2])
        if status == DONE:
            return key[:count], value[:count], label[:count]
        if status == FULL:
            size *= 2
            key, value, label = (np.concatenate([a, np.empty_like(a)]) for a in (key, value, label))
            slots = np.full(4 * size, -1, dtype=np.int64)
            rehash(slots, key, count)
        elif deadline.passed or cursor[3] > MAX_NODES or count > MAX_OPTIONS:
            return None
