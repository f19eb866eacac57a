"""What can be measured on routing: skew, co-activation, reuse, users, layers.

The same figures that the literature and docs/instances.md give for real models; ``measure`` takes
them all of one trace. What cannot be measured on it (a lag longer than every request, the likeness
of users where there is one) is not a number.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.draws import Draws
from instances.errors import InputError
from instances.routing.statistics_kernels import (
    count_experts,
    count_pairs,
    count_transitions,
    sum_overlaps,
    sum_recall,
)

WINDOW = 1000
"""Tokens in which distinct sets are counted."""

COMMON_SETS = 100
"""Sets whose share of the tokens is told."""

LEAST_USER_TOKENS = 64
"""Figures of single users leave out those with fewer tokens: they would mostly be chance."""

LEAST_MEETINGS = 50.0
"""Lifts leave out pairs that are expected to meet less often, for the same reason."""

LAGS = (1, 2, 8, 64)

_SAMPLES = 5
_MOST_GUESSES = 20_000
_MOST_COMPARED_USERS = 200
_HELD_OUT_PARTS = 4

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One statistic of routing.

    Parameters
    ----------
    name
        Key in files and JSON.
    group, label
        What it says about routing, and the statistic in words.
    weight
        How much a fit cares about it; 0 for not at all.
    """

    name: str
    group: str
    label: str
    weight: float


FIGURES = (
    Figure(name="top_quarter", group="popularity", label="top quarter, all users", weight=1),
    Figure(name="top_quarter_user", group="popularity", label="top quarter, one user", weight=1),
    Figure(name="sigma", group="popularity", label="lognormal sigma, all users", weight=0.3),
    Figure(name="sigma_user", group="popularity", label="lognormal sigma, one user", weight=0.3),
    Figure(name="experts_touched", group="popularity", label="experts of one user", weight=0.3),
    Figure(name="lift_5", group="co-activation", label="lift of pairs, 5 %", weight=0.15),
    Figure(name="lift_50", group="co-activation", label="lift of pairs, 50 %", weight=1),
    Figure(name="lift_95", group="co-activation", label="lift of pairs, 95 %", weight=1),
    Figure(name="lift_99", group="co-activation", label="lift of pairs, 99 %", weight=1),
    Figure(
        name="sets_consecutive",
        group="distinct sets",
        label="in 1000 consecutive tokens",
        weight=1,
    ),
    Figure(name="sets_random", group="distinct sets", label="in 1000 random tokens", weight=1),
    Figure(
        name="common_sets",
        group="distinct sets",
        label="tokens on the 100 commonest",
        weight=0.3,
    ),
    Figure(name="overlap_1", group="reuse", label="experts shared with the next token", weight=1),
    Figure(name="overlap_2", group="reuse", label="with the token 2 later", weight=0.5),
    Figure(name="overlap_8", group="reuse", label="with the token 8 later", weight=0.5),
    Figure(name="overlap_64", group="reuse", label="with the token 64 later", weight=1),
    Figure(name="overlap_any", group="reuse", label="with any token of all users", weight=0.3),
    Figure(name="cosine", group="users", label="cosine of two users", weight=1),
    Figure(name="cosine_5", group="users", label="cosine, 5 % of the pairs", weight=0.3),
    Figure(name="cosine_95", group="users", label="cosine, 95 % of the pairs", weight=0.3),
    Figure(name="next_layer", group="layers", label="next layer's experts guessed", weight=1),
    Figure(
        name="next_layer_popularity",
        group="layers",
        label="the same by popularity alone",
        weight=0.3,
    ),
)
"""All statistics, in the order of tables."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """All statistics of one trace.

    Parameters
    ----------
    values
        Mean over the layers of each of :data:`FIGURES`, by name; quantiles of the lift are those
        of the pairs of all layers. NaN where it cannot be measured.
    ranges
        Smallest and largest value of a layer; the next layer's belong to the layer before.
    tokens, requests, layers, experts, top_k
        What was measured.
    """

    values: Mapping[str, float]
    ranges: Mapping[str, tuple[float, float]]
    tokens: int
    requests: int
    layers: int
    experts: int
    top_k: int


def measure(
    choices: NDArray[np.integer], offsets: NDArray[np.int64], *, experts: int
) -> Statistics:
    """Measure all statistics of a trace.

    Parameters
    ----------
    choices
        Experts of each token in each layer, in any order, -1 for none; (T, L, K).
    offsets
        First token of each request, and the number of tokens; int64 (R + 1,). A request is a user.
    experts
        Experts of a layer, E.

    Returns
    -------
    Statistics
        Time grows with T L (E + K^2).

    Raises
    ------
    InputError
        When a choice is not an expert.
    """
    for token, layer, k in np.argwhere(choices >= experts)[:1]:
        raise InputError(
            f"experts[{token}][{layer}][{k}]",
            f"{choices[token, layer, k]} is not in 0..{experts - 1}",
        )
    user = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
    samples = _Samples.of(user)
    num_layers = choices.shape[1]
    rows: list[dict[str, float]] = []
    lifts: list[Array] = []
    before: NDArray[np.int16] | None = None
    for index in range(num_layers):
        layer = np.ascontiguousarray(choices[:, index], dtype=np.int16)
        if before is not None:
            rows[-1] |= _guesses(before, layer, experts, samples)
        counts = np.zeros((offsets.size - 1, experts), dtype=np.int64)
        count_experts(layer, user, counts)
        tokens = np.bincount(user[(layer >= 0).any(axis=1)], minlength=offsets.size - 1)
        users = counts[tokens >= LEAST_USER_TOKENS]
        lifts.append(pair_lifts(layer, experts))
        rows.append(
            _popularity_figures(counts.sum(axis=0))
            | _user_figures(users / users.sum(axis=1)[:, None])
            | _quantiles("lift", lifts[-1], (5, 50, 95, 99))
            | _set_figures(layer, samples)
            | _overlaps(layer, user, counts.sum(axis=0))
        )
        before = layer
    values: dict[str, float] = {}
    ranges: dict[str, tuple[float, float]] = {}
    for figure in FIGURES:
        known = np.array([row.get(figure.name, math.nan) for row in rows])
        known = known[~np.isnan(known)]
        values[figure.name] = float(known.mean()) if known.size else math.nan
        ranges[figure.name] = (
            (float(known.min()), float(known.max())) if known.size else (math.nan, math.nan)
        )
    values |= _quantiles("lift", np.concatenate(lifts), (5, 50, 95, 99))
    return Statistics(
        values=values,
        ranges=ranges,
        tokens=choices.shape[0],
        requests=offsets.size - 1,
        layers=num_layers,
        experts=experts,
        top_k=choices.shape[2],
    )


def popularity(choices: NDArray[np.integer], experts: int) -> Array:
    """Share of all choices that each expert gets in one layer; float64 (E,)."""
    used = choices[choices >= 0]
    counts = np.bincount(used, minlength=experts)
    return np.asarray(counts / counts.sum())


def top_share(popular: Array, part: float = 0.25) -> float:
    """Share of the choices that the most popular part of the experts gets; uniform: ``part``."""
    count = round(part * popular.size)
    return float(np.sort(popular)[::-1][:count].sum())


def lognormal_sigma(popular: Array) -> float:
    """Return the standard deviation of log popularity, over experts used at all."""
    return float(np.std(np.log(popular[popular > 0])))


def pair_lifts(choices: NDArray[np.integer], experts: int, least: float = LEAST_MEETINGS) -> Array:
    """P(a, b) / (P(a) P(b)) of all pairs that are expected to meet at least ``least`` times.

    Without any structure it is (K - 1) / K * E / (E - 1), not 1: a token does not use an expert
    twice.
    """
    layer = np.ascontiguousarray(choices, dtype=np.int16)
    tokens = int((layer >= 0).any(axis=1).sum())
    single = np.bincount(layer[layer >= 0], minlength=experts).astype(np.float64)
    together = np.zeros((experts, experts), dtype=np.int64)
    count_pairs(layer, together)
    a, b = np.triu_indices(experts, 1)
    expected = single[a] * single[b] / max(tokens, 1)
    enough = expected >= least
    return np.asarray(together[a, b][enough] / expected[enough])


def distinct_sets(choices: NDArray[np.integer]) -> int:
    """Count the different sets of experts; tokens without any do not count."""
    return int(np.unique(_set_keys(choices)).size)


def cosine(first: Array, second: Array) -> float:
    """Cosine of two popularity vectors: 1 for users alike."""
    return float(first @ second / np.sqrt((first @ first) * (second @ second)))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Samples:
    """Tokens drawn once for all layers.

    ``random`` has rows of :data:`WINDOW` tokens; ``known`` and ``held_out`` are tokens from whose
    requests layers are learnt, and on which that is tried.
    """

    random: NDArray[np.int64]
    known: NDArray[np.int64]
    held_out: NDArray[np.int64]

    @classmethod
    def of(cls, user: NDArray[np.int64]) -> "_Samples":
        draws = Draws("routing-statistics")
        tokens = user.size
        rows = _SAMPLES if tokens >= WINDOW else 0
        random = [draws.permutation(tokens)[:WINDOW] for _ in range(rows)]
        requests = int(user[-1]) + 1
        # By whole requests, in no order: neighbours are often of one task. One request is cut.
        if requests > 1:
            part = draws.permutation(requests) % max(2, min(_HELD_OUT_PARTS, requests))
            out = part[user] == 0
        else:
            out = np.arange(tokens) >= tokens - tokens // _HELD_OUT_PARTS
        held_out = np.flatnonzero(out)
        step = -(-held_out.size // _MOST_GUESSES) if held_out.size else 1
        return cls(
            random=np.array(random, dtype=np.int64).reshape(rows, WINDOW),
            known=np.flatnonzero(~out),
            held_out=held_out[::step],
        )


def _popularity_figures(pooled: NDArray[np.int64]) -> dict[str, float]:
    if not pooled.any():
        return {}
    popular = pooled / pooled.sum()
    return {"top_quarter": top_share(popular), "sigma": lognormal_sigma(popular)}


def _user_figures(users: Array) -> dict[str, float]:
    """Figures of the popularities of single users, float64 (U', E)."""
    num_users = users.shape[0]
    if num_users == 0:
        return {}
    figures = {
        "top_quarter_user": float(np.mean([top_share(popular) for popular in users])),
        "sigma_user": float(np.mean([lognormal_sigma(popular) for popular in users])),
        "experts_touched": float((users > 0).sum(axis=1).mean()),
    }
    if num_users > 1:
        users = users[:: -(-num_users // _MOST_COMPARED_USERS)]
        unit = users / np.sqrt((users * users).sum(axis=1))[:, None]
        a, b = np.triu_indices(unit.shape[0], 1)
        cosines = (unit @ unit.T)[a, b]
        figures["cosine"] = float(cosines.mean())
        figures |= _quantiles("cosine", cosines, (5, 95))
    return figures


def _set_keys(choices: NDArray[np.integer]) -> NDArray[np.uint64]:
    """Return one word for each set of experts, the same in whatever order they stand; uint64.

    The sum of a random word for each expert: that two of a million sets share one has a
    probability below 10^-7. Tokens without an expert are left out.
    """
    some = (choices >= 0).any(axis=1)
    words = Draws("set-keys").words(int(choices.max(initial=0)) + 2)
    words[-1] = 0  # of -1
    return np.asarray(words[choices[some]].sum(axis=1, dtype=np.uint64))


def _set_figures(layer: NDArray[np.int16], samples: _Samples) -> dict[str, float]:
    keys = _set_keys(layer)
    if keys.size == 0:
        return {}
    counts = np.sort(np.unique(keys, return_counts=True)[1])[::-1]
    figures = {"common_sets": float(counts[:COMMON_SETS].sum() / keys.size)}
    if keys.size == layer.shape[0] and samples.random.size:
        windows = keys[: keys.size // WINDOW * WINDOW].reshape(-1, WINDOW)
        figures["sets_consecutive"] = _mean_distinct(windows)
        figures["sets_random"] = _mean_distinct(keys[samples.random])
    return figures


def _mean_distinct(rows: NDArray[np.uint64]) -> float:
    ordered = np.sort(rows, axis=1)
    return float((1 + (ordered[:, 1:] != ordered[:, :-1]).sum(axis=1)).mean())


def _overlaps(
    layer: NDArray[np.int16], user: NDArray[np.int64], counts: NDArray[np.int64]
) -> dict[str, float]:
    figures = {}
    for lag in LAGS:
        total, tokens = sum_overlaps(layer, user, lag)
        if tokens:
            figures[f"overlap_{lag}"] = total / tokens
    tokens = int((layer >= 0).any(axis=1).sum())
    if tokens:
        # Two tokens share an expert with the square of its probability.
        figures["overlap_any"] = float((counts / tokens) @ (counts / counts.sum()))
    return figures


def _guesses(
    first: NDArray[np.int16], second: NDArray[np.int16], experts: int, samples: _Samples
) -> dict[str, float]:
    """How well a layer's experts can be guessed from those of the layer before.

    The guess adds up P(b in the next layer | a in this one) over the experts a of the token,
    estimated on other requests; for comparison by popularity alone.
    """
    table = np.zeros((experts, experts))
    count_transitions(first, second, samples.known, table)
    popular = np.bincount(second[samples.known][second[samples.known] >= 0], minlength=experts)
    uses = np.bincount(first[samples.known][first[samples.known] >= 0], minlength=experts)
    table /= np.maximum(uses, 1)[:, None]
    by_popularity = np.tile(popular.astype(np.float64), (experts, 1))
    figures = {}
    for name, guess in (("next_layer", table), ("next_layer_popularity", by_popularity)):
        total, tokens = sum_recall(first, second, samples.held_out, guess)
        if tokens:
            figures[name] = total / tokens
    return figures


def _quantiles(name: str, values: Array, percents: tuple[int, ...]) -> dict[str, float]:
    if values.size == 0:
        return {}
    found = np.quantile(values, [percent / 100 for percent in percents])
    return {
        f"{name}_{percent}": float(value) for percent, value in zip(percents, found, strict=True)
    }
