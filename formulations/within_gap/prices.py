"""Prices of storage: the dual of the master over all placements of all layers."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.within_gap.storage import Storage
from instances.deadline import Deadline
from instances.structure.column_master import Column, Master
from instances.structure.label_pricing import LabelPricer

CONVERGED = 1e-9
"""Relative distance of bound and master value at which prices are good enough."""

MAX_ROUNDS = 300
"""Most rounds of pricing; a few dozens are usual."""

FIRST_PRICES = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Uniform prices of the first columns, in worth of everything per unit of all storage."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prices:
    """Prices of storage, and what the layers look like at them.

    Parameters
    ----------
    price
        Worth of a unit on each server, ms per token; float64 (M,), >= 0.
    best
        The best placement found of each layer at these prices; bool (servers, experts) each.
    split, rent
        Multipliers of each layer's bound, as :class:`LabelPricer` leaves them.
    rounded
        A feasible placement of each layer that comes out of the master.
    """

    price: NDArray[np.float64]
    best: tuple[NDArray[np.bool_], ...]
    split: tuple[NDArray[np.float64], ...]
    rent: tuple[NDArray[np.float64], ...]
    rounded: tuple[NDArray[np.bool_], ...]


def find_prices(
    storage: Storage, pricers: tuple[LabelPricer, ...], deadline: Deadline
) -> Prices | None:
    """Generate columns until the bound meets the master; None when time is up before any bound."""
    master = Master(storage.capacity, len(storage.layers), storage.worth_ms)
    total = float(storage.capacity.sum())
    found: Prices | None = None
    lowest = math.inf
    queue = [np.full(storage.servers.size, f * storage.worth_ms / total) for f in FIRST_PRICES]
    for _ in range(MAX_ROUNDS):
        is_first = bool(queue)
        if queue:
            price = queue.pop()
        else:
            mix = master.solve()
            price = mix.price
        fresh, bounds, best = 0, [], []
        for number, (layer, pricer) in enumerate(zip(storage.layers, pricers, strict=True)):
            if deadline.passed:
                break
            priced = pricer.price(price[storage.position(layer)], deadline)
            bounds.append(priced.bound_ms)
            best.append(priced.stored)
            fresh += master.add(
                Column(
                    problem=number,
                    stored=priced.stored,
                    value_ms=layer.value_ms(priced.stored),
                    used_bytes=storage.used(layer, priced.stored),
                )
            )
        if deadline.passed:
            break
        bound = math.fsum(bounds) + float(price @ storage.capacity)
        if bound < lowest:
            lowest = bound
            found = Prices(
                price=price,
                best=tuple(best),
                split=tuple(pricer.split.copy() for pricer in pricers),
                rent=tuple(pricer.rent.copy() for pricer in pricers),
                rounded=(),
            )
        if is_first:
            continue
        if fresh == 0 or lowest - mix.value_ms <= CONVERGED * mix.value_ms:
            break
    if found is None:
        return None
    return Prices(
        price=found.price,
        best=found.best,
        split=found.split,
        rent=found.rent,
        rounded=_rounded(storage, master),
    )


def _rounded(storage: Storage, master: Master) -> tuple[NDArray[np.bool_], ...]:
    """Keep whole columns of the master, and put in the best column that still fits elsewhere."""
    weight = master.solve().weight
    free = storage.capacity.copy()
    taken: dict[int, NDArray[np.bool_]] = {}
    order = sorted(range(weight.size), key=lambda j: (-weight[j], -master.columns[j].value_ms))
    for column in (master.columns[j] for j in order):
        if column.problem not in taken and bool(np.all(column.used_bytes <= free)):
            taken[column.problem] = column.stored
            free -= column.used_bytes
    return tuple(
        taken.get(number, np.zeros((layer.servers.size, layer.experts.size), dtype=np.bool_))
        for number, layer in enumerate(storage.layers)
    )
