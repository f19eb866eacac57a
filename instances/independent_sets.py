"""Sets of experts where only counts are known: independent choices, given that they differ.

Counts say how often each expert of a layer was used, not which experts were used together. The
sets made here follow the conditional Poisson distribution: a set S of K experts has probability
in proportion to the product of w[e] over S, with the weights fitted so that every expert is in a
set exactly as often as it was counted. Of all distributions with these frequencies it has the
largest entropy (Chen, Dempster and Liu, Biometrika 81, 1994), that is, it adds nothing to the
counts. What real routers do beyond it - experts that go together, words that come back, users
who differ - is not in the counts and not in these sets.

Only additions, products and quotients of numbers in a fixed order are used, so that the sets are
the same on every machine.
"""

from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from instances.demand import RATE_DIGITS, Demand, merge_choices
from instances.draws import Draws
from instances.errors import InputError
from instances.rounding import round_significant

_TOLERANCE = 1e-9
"""Largest difference between the frequency of an expert and its share of the counts."""

_MOST_ROUNDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IndependentSets:
    """The distribution of sets in every layer.

    Parameters
    ----------
    weight
        Of each expert, 0 for one that is never used; float64 (L, E).
    always
        Experts in every set; bool (L, E).
    top_k
        Experts in a set, K.
    """

    weight: NDArray[np.float64]
    always: NDArray[np.bool_]
    top_k: int

    @classmethod
    def of(cls, counts: NDArray[np.int64], top_k: int) -> "IndependentSets":
        """Fit the distribution to counts, int64 (L, E).

        Raises
        ------
        InputError
            When no sets of ``top_k`` experts have these counts.
        """
        share = _shares(counts, top_k)
        always = share == 1
        weight = np.zeros(share.shape)
        for layer, row in enumerate(share):
            some = (row > 0) & (row < 1)
            size = top_k - int(always[layer].sum())
            if size:
                weight[layer, some] = _fitted(row[some], size, layer)
        return cls(weight=weight, always=always, top_k=top_k)

    def draw(self, tokens: int, draws: Draws) -> NDArray[np.int16]:
        """Draw the sets of tokens; ascending; int16 (tokens, L, K)."""
        layers = len(self.weight)
        chosen = np.empty((tokens, layers, self.top_k), dtype=np.int16)
        for layer in range(layers):
            chosen[:, layer] = self._draw_layer(layer, tokens, draws)
        return chosen

    def _draw_layer(self, layer: int, tokens: int, draws: Draws) -> NDArray[np.int16]:
        """Go through the experts: each enters with its probability given how many are to come."""
        weight = self.weight[layer]
        size = self.top_k - int(self.always[layer].sum())
        behind = _sums_behind(weight, size)
        chosen = np.empty((tokens, self.top_k), dtype=np.int16)
        found = np.zeros(tokens, dtype=np.int64)
        missing = np.full(tokens, size, dtype=np.int64)
        for expert in range(weight.size):
            enters = np.full(tokens, bool(self.always[layer, expert]))
            if weight[expert] > 0:
                whole, rest = behind[expert], behind[expert + 1]
                chance = np.zeros(size + 1)
                usable = whole > 0
                chance[1:] = weight[expert] * rest[:-1]
                chance[usable] /= whole[usable]
                enters = draws.uniform(tokens) < chance[missing]
                missing -= enters
            rows = np.flatnonzero(enters)
            chosen[rows, found[rows]] = expert
            found[rows] += 1
        return chosen

    def expected(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """All sets and their probabilities in each layer; int64 (C, K), float64 (L, C).

        C is E over K: look before you call.
        """
        experts = self.weight.shape[1]
        sets = np.array(list(combinations(range(experts), self.top_k)), dtype=np.int64)
        probability = np.zeros((len(self.weight), len(sets)))
        for layer, (weight, always) in enumerate(zip(self.weight, self.always, strict=True)):
            factors = np.where(always, 1.0, weight)
            product = factors[sets[:, 0]].copy()
            for k in range(1, self.top_k):
                product *= factors[sets[:, k]]
            product[always[sets].sum(axis=1) < always.sum()] = 0.0
            # One after the other: a sum by pairs may differ between machines.
            probability[layer] = product / np.cumsum(product)[-1]
        return sets, probability


def num_sets(experts: int, top_k: int) -> int:
    """Return the number of different sets of one layer."""
    return comb(experts, top_k)


def drawn_demand(sets: IndependentSets, *, users: int, tokens: int, draws: Draws) -> Demand:
    """Demand of users who each drew ``tokens`` tokens, all with the same popularity."""
    return merge_choices(
        sets.draw(users * tokens, draws),
        np.repeat(np.arange(users, dtype=np.int64), tokens),
        np.full(users, 1 / (users * tokens)),
    )


def expected_demand(sets: IndependentSets, *, users: int) -> Demand:
    """Demand of users who each use every set as often as is expected."""
    members, probability = sets.expected()
    layer, which = np.nonzero(probability)
    rate = round_significant(probability[layer, which] / users, RATE_DIGITS)
    rows = users * layer.size
    return Demand(
        user=np.repeat(np.arange(users, dtype=np.int32), layer.size),
        layer=np.tile(layer.astype(np.int32), users),
        offsets=np.arange(rows + 1, dtype=np.int64) * sets.top_k,
        experts=np.tile(members[which].astype(np.int32).ravel(), users),
        rate=np.tile(rate, users),
    )


def _shares(counts: NDArray[np.int64], top_k: int) -> NDArray[np.float64]:
    """Share of the tokens of its layer that use each expert; float64 (L, E)."""
    share = np.empty(counts.shape)
    for layer, row in enumerate(counts):
        total = int(row.sum())
        expert = int(row.argmax())
        # c <= total / K, in whole numbers
        if int(row[expert]) * top_k > total:
            raise InputError(
                f"counts[{layer}][{expert}]",
                f"{row[expert]} is more than the tokens that used this layer, {total} choices / "
                f"{top_k} a token",
            )
        share[layer] = row * top_k / total
        share[layer][row * top_k == total] = 1.0
    return share


def _fitted(share: NDArray[np.float64], size: int, layer: int) -> NDArray[np.float64]:
    """Return weights with which sets of ``size`` contain each expert as often as it is to be.

    There is exactly one solution up to a factor when all shares are strictly between 0 and 1. The
    logarithm of the odds of an expert grows by 1 with that of its own weight and falls with those
    of others; the matrix of these slopes is similar to the correlation matrix of a fixed number of
    negatively correlated experts, whose eigenvalues lie in [0, 2]. So half steps converge.
    """
    odds = share / (1.0 - share)
    weight = odds.copy()
    for _ in range(_MOST_ROUNDS):
        found = _frequencies(weight, size)
        if not np.isfinite(found).all() or (found >= 1).any():
            break
        if (np.abs(found - share) <= _TOLERANCE).all():
            return weight
        weight *= np.sqrt(odds / (found / (1.0 - found)))
    raise InputError(
        f"counts[{layer}]", "so uneven that no distribution of sets could be fitted to them"
    )


def _frequencies(weight: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """How often each expert is in a set of ``size`` experts."""
    before = _sums_behind(weight[::-1], size)[::-1]
    behind = _sums_behind(weight, size)
    without = np.zeros(weight.size)
    for j in range(size):
        without += before[:-1, j] * behind[1:, size - 1 - j]
    return np.asarray(weight * without / behind[0, size])


def _sums_behind(weight: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Sum products of weights over sets of experts e and behind: [e, size of the set]."""
    sums = np.zeros((weight.size + 1, size + 1))
    sums[:, 0] = 1.0
    for expert in range(weight.size - 1, -1, -1):
        sums[expert, 1:] = sums[expert + 1, 1:] + weight[expert] * sums[expert + 1, :-1]
    return sums
