"""Assembly: one placement of each layer, such that all fit into the servers together."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heuristics.generation.pool import Pool
from heuristics.generation.pool_kernels import extend
from instances.deadline import Deadline

GROUP_SIZES = (6, 12, 18)
"""Layers that are chosen anew together; the larger when the smaller no longer gain."""

_PATIENCE = 20
"""Groups in a row that may fail before larger ones are tried."""

_WIDTH = 3_000
"""Partial selections that are kept from layer to layer."""

_WIDTH_OF_ALL = 30_000
"""The same when the group is all layers, which is done once."""

_NOISE = 1e-9
"""Share of the loss below which a gain is rounding."""


def assemble(
    pools: Sequence[Pool],
    capacity_bytes: NDArray[np.int64],
    price: NDArray[np.float64],
    choice: NDArray[np.int64],
    deadline: Deadline,
) -> NDArray[np.int64]:
    """Improve a choice of one placement for each layer; int64 (L,), indices into the pools.

    Large-neighbourhood search: the layers of a group are chosen anew within the storage that they
    and what is free leave, by dynamic programming over used bytes that keeps the partial selections
    that lose least. Since value = price * capacity + best reduced values - loss - price * free
    storage, the search is for the least loss, unused storage included. Every other group starts
    with the layers that lose most; the rest are drawn from a fixed sequence, so that the answer
    does not depend on a seed.
    """
    rng = np.random.default_rng(0)
    choice = choice.copy()
    free = capacity_bytes - sum(
        (pool.used_bytes[i] for pool, i in zip(pools, choice, strict=True)),
        np.zeros_like(capacity_bytes),
    )
    for size in GROUP_SIZES:
        failures = attempts = 0
        while failures < _PATIENCE and not deadline.passed:
            group = rng.permutation(len(pools))
            if attempts % 2 == 0:
                lost = np.array([pools[i].loss_ms[choice[i]] for i in group])
                worst = np.argsort(-lost, kind="stable")[: size // 2]
                worst = worst[lost[worst] > _NOISE * lost.sum()]
                group = np.concatenate([group[worst], np.delete(group, worst)])
            group = group[:size]
            attempts += 1
            room = free + sum(pools[i].used_bytes[choice[i]] for i in group)
            loss = sum(pools[i].loss_ms[choice[i]] for i in group) + float(price @ free)
            is_all = group.size == len(pools)
            found = _best_of_group(
                [pools[i] for i in group],
                room,
                price,
                loss,
                _WIDTH_OF_ALL if is_all else _WIDTH,
                deadline,
            )
            if found is None:
                failures += 1
            else:
                failures = 0
                choice[group] = found
                free = room - sum(pools[i].used_bytes[choice[i]] for i in group)
            if is_all:  # larger groups are the same
                return choice
    return choice


def _best_of_group(
    pools: Sequence[Pool],
    room: NDArray[np.int64],
    price: NDArray[np.float64],
    loss: float,
    width: int,
    deadline: Deadline,
) -> list[int] | None:
    """Choose a placement of each layer with a smaller loss; None when none is found."""
    order = sorted(range(len(pools)), key=lambda i: pools[i].loss_ms.size)
    most = [pools[i].used_bytes.max(axis=0) for i in order]
    used = np.zeros((1, room.size), dtype=np.int64)
    sums = np.zeros(1)
    back: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
    for position, i in enumerate(order):
        if deadline.passed:
            return None
        later = sum(most[position + 1 :], np.zeros_like(room))
        state, option, used, sums = extend(
            used,
            sums,
            pools[i].used_bytes,
            pools[i].loss_ms,
            room,
            later,
            price,
            loss * (1.0 - _NOISE),
            width,
        )
        if sums.size == 0:
            return None
        back.append((state, option))
    at = int(np.argmin(sums + (room - used) @ price))
    chosen = [0] * len(pools)
    for i, (state, option) in zip(reversed(order), reversed(back), strict=True):
        chosen[i] = int(option[at])
        at = int(state[at])
    return chosen
