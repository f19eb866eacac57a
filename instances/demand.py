"""Demand: the experts that tokens chose, merged into distinct rows with rates."""

import math
from collections.abc import Iterable
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
    by_layer = (choices[:, layer] for layer in range(choices.shape[1]))
    return merge_layers(by_layer, token_user, token_weight)


def merge_layers(
    choices: Iterable[NDArray[np.integer]],
    token_user: NDArray[np.int64],
    token_weight: NDArray[np.float64],
) -> Demand:
    """Merge as :func:`merge_choices` does, the choices coming layer by layer.

    Parameters
    ----------
    choices
        For each layer the experts that each token uses, -1 for none; int (T, K).
    token_user, token_weight
        As for :func:`merge_choices`.
    """
    # The choices of a long trace would not fit into memory several times over; distinct rows do.
    layers = [_merge_layer(layer, token_user) for layer in choices]
    rows = np.array(
        [np.bincount(user, minlength=token_weight.size) for user, _, _ in layers], dtype=np.int64
    ).T  # by user, then layer
    first = (np.cumsum(rows) - rows.ravel()).reshape(rows.shape)
    num_rows = int(rows.sum())
    row_user = np.empty(num_rows, dtype=np.int32)
    row_layer = np.empty(num_rows, dtype=np.int32)
    row_count = np.empty(num_rows, dtype=np.int64)
    offsets = np.zeros(num_rows + 1, dtype=np.int64)
    for layer, (user, sets, count) in enumerate(layers):
        at = _places(first[:, layer], rows[:, layer])
        row_user[at] = user
        row_layer[at] = layer
        row_count[at] = count
        offsets[at + 1] = (sets >= 0).sum(axis=1)
    np.cumsum(offsets, out=offsets)
    experts = np.empty(offsets[-1], dtype=np.int32)
    for layer, (_, sets, _) in enumerate(layers):
        begin = offsets[_places(first[:, layer], rows[:, layer])]
        for k in range(sets.shape[1]):
            used = sets[:, k] >= 0  # ascending: the k-th expert of the row
            experts[begin[used] + k] = sets[used, k]
    return Demand(
        user=row_user,
        layer=row_layer,
        offsets=offsets,
        experts=experts,
        rate=_rates(row_user, row_count, token_weight),
    )


def _places(first: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the rows of a layer go, user by user: as many of each from her first on."""
    return np.repeat(first - (np.cumsum(rows) - rows), rows) + np.arange(rows.sum())


def _rates(
    user: NDArray[np.int32], count: NDArray[np.int64], token_weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return tokens times weight, rounded: once for each user and number of tokens that occur."""
    most = np.zeros(token_weight.size, dtype=np.int64)
    np.maximum.at(most, user, count)
    begin = np.cumsum(most + 1) - (most + 1)  # no longer in all than tokens and users together
    entry = begin[user] + count
    occurs = np.zeros(int((most + 1).sum()), dtype=np.bool_)
    occurs[entry] = True
    entries = np.flatnonzero(occurs)
    owner = np.searchsorted(begin, entries, side="right") - 1
    rate: NDArray[np.float64] = np.zeros(occurs.size)
    rate[entries] = round_significant((entries - begin[owner]) * token_weight[owner], RATE_DIGITS)
    return np.take(rate, entry)


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
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return user, set and number of tokens of each distinct row of one layer.

    Sorted by user and set; sets are ascending, with -1 behind the last expert.
    """
    none = int(choices.max(initial=0)) + 1  # sorts behind every expert
    sets, user = choices.astype(np.int64), token_user
    sets[sets < 0] = none
    if (sets[:, 1:] < sets[:, :-1]).any():
        sets = np.sort(sets, axis=1)
    some = sets[:, 0] < none
    if not some.all():
        sets, user = sets[some], user[some]
    limits = [none + 1] * sets.shape[1]
    if user.size == 0:
        return user, sets.astype(np.int32), user
    if (int(user.max()) + 1) * math.prod(limits) <= _WORD:
        user, distinct, count = _distinct_words(user, sets, none + 1)
    else:
        order, first = _distinct([user, *sets.T], limits)
        start = np.flatnonzero(first)
        user, distinct = user[order[start]], sets[order[start]].astype(np.int32)
        count = np.diff(np.append(start, order.size))
    distinct[distinct == none] = -1
    return user, distinct, count


def _distinct_words(
    user: NDArray[np.int64], sets: NDArray[np.int64], limit: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Sort rows that fit into one 64-bit word each: the words are the rows, no order is needed."""
    words = user.astype(np.int64)
    for column in sets.T:
        words *= limit
        words += column
    words.sort()
    start = np.flatnonzero(np.append(True, words[1:] != words[:-1]))
    count = np.diff(np.append(start, words.size))
    rest = words[start]
    distinct = np.empty((start.size, sets.shape[1]), dtype=np.int32)
    for k in reversed(range(sets.shape[1])):
        rest, distinct[:, k] = np.divmod(rest, limit)
    return rest, distinct, count


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
