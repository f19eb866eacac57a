"""Demand: the experts that tokens chose, merged into distinct rows with rates."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.rounding import round_significant

RATE_DIGITS = 9
"""Significant digits of a rate: far below what any measurement of routing supports."""

_WORD = 2**62


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Demand:
    """Distinct rows, sorted by user, layer and experts.

    Parameters
    ----------
    user, layer
        Of each row; int32 (R,).
    offsets, experts
        Row d uses ``experts[offsets[d]:offsets[d + 1]]``, ascending; int64 (R + 1,), int32 (any,).
    rate
        Share of all tokens that use this row; float64 (R,). With the weights of all tokens
        adding up to 1, the rates of one layer do so too.
    """

    user: NDArray[np.int32]
    layer: NDArray[np.int32]
    offsets: NDArray[np.int64]
    experts: NDArray[np.int32]
    rate: NDArray[np.float64]

    def __len__(self) -> int:
        return int(self.rate.shape[0])


def merge_choices(
    choices: NDArray[np.integer], token_user: NDArray[np.int64], token_weight: NDArray[np.float64]
) -> Demand:
    """Merge the choices of all tokens into distinct rows.

    Parameters
    ----------
    choices
        Experts that each token uses in each layer, in any order, -1 for none; a token with none
        at all in a layer gives no row; int (T, L, K).
    token_user
        User of each token; int64 (T,).
    token_weight
        Weight of one token of each user; float64 (U,).

    Returns
    -------
    Demand
        Rate of a row = tokens that use it times the weight of its user's tokens, to 9 digits.
    """
    # Layer by layer: the choices of a long trace would not fit into memory several times over.
    layers = [_merge_layer(choices[:, layer], token_user) for layer in range(choices.shape[1])]
    user = np.concatenate([part[0] for part in layers])
    sets = np.concatenate([part[1] for part in layers])
    counts = np.concatenate([part[2] for part in layers])
    layer = np.repeat(np.arange(len(layers)), [part[0].size for part in layers])
    order = np.lexsort((layer, user))  # stable: experts stay in order
    user, sets = user[order], sets[order]
    used = sets >= 0
    return Demand(
        user=user.astype(np.int32),
        layer=layer[order].astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(used.sum(axis=1))]).astype(np.int64),
        experts=sets[used].astype(np.int32),
        rate=round_significant(counts[order] * token_weight[user], RATE_DIGITS),
    )


def join_demands(demands: list[Demand], first_user: list[int]) -> Demand:
    """Put demands behind each other; users of demand i are shifted by ``first_user[i]``."""
    starts = np.cumsum([0] + [demand.experts.size for demand in demands])
    offsets = [d.offsets[1:] + s for d, s in zip(demands, starts[:-1], strict=True)]
    return Demand(
        user=np.concatenate(
            [d.user + np.int32(u) for d, u in zip(demands, first_user, strict=True)]
        ),
        layer=np.concatenate([demand.layer for demand in demands]),
        offsets=np.concatenate([np.zeros(1, np.int64), *offsets]),
        experts=np.concatenate([demand.experts for demand in demands]),
        rate=np.concatenate([demand.rate for demand in demands]),
    )


def _merge_layer(
    choices: NDArray[np.integer], token_user: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return user, set and number of tokens of each distinct row of one layer.

    Sets are ascending, with -1 behind the last expert.
    """
    width = choices.shape[1]
    none = int(choices.max(initial=0)) + 1  # sorts behind every expert
    sets = np.where(choices < 0, none, choices).astype(np.int64)
    sets.sort(axis=1)
    some = sets[:, 0] < none
    sets, user = sets[some], token_user[some]
    if user.size == 0:
        return user, sets, user
    order, first = _distinct([user, *sets.T], [none + 1] * width)
    start = np.flatnonzero(first)
    rows = order[start]
    distinct = sets[rows]
    distinct[distinct == none] = -1
    return user[rows], distinct, np.diff(np.append(start, order.size))


def _distinct(
    columns: list[NDArray[np.int64]], limits: list[int]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sort rows of small numbers; return the order, and which sorted rows differ from the last.

    ``limits[i]`` is the limit of ``columns[i + 1]``. Several columns share one 64-bit word, since
    sorting by two words is several times faster than sorting by ten columns.
    """
    words = [columns[0]]
    room = _WORD // (int(columns[0].max()) + 1)
    for column, limit in zip(columns[1:], limits, strict=True):
        if limit <= room:
            words[-1] = words[-1] * limit + column
            room //= limit
        else:
            words.append(column)
            room = _WORD // limit
    order = np.lexsort(words[::-1])
    first = np.ones(order.size, dtype=np.bool_)
    first[1:] = False
    for word in words:
        in_order = word[order]
        first[1:] |= in_order[1:] != in_order[:-1]
    return order.astype(np.int64), first
