"""Random instances in the manner of the published ones, the same on every machine."""

from dataclasses import dataclass

import numpy as np

from instances.draws import Draws
from instances.published.quadratic_knapsack import QuadraticKnapsack
from instances.published.set_union_knapsack import SetUnionKnapsack
from instances.published.subgraph import DensestSubgraph

LARGEST_PROFIT, LARGEST_WEIGHT, LEAST_CAPACITY = 100, 50, 50
"""Quadratic knapsacks: profits 1..100, weights 1..50, capacity 50..sum of weights."""


@dataclass(frozen=True, slots=True)
class Range:
    """Whole numbers ``least..most``, drawn uniformly."""

    least: int
    most: int


ITEM_PROFIT, ELEMENT_WEIGHT = Range(20, 520), Range(20, 330)
"""Set-union knapsacks: what the published file of 100 items and 85 elements spans, about."""


def random_quadratic_knapsack(
    draws: Draws, name: str, *, items: int, density: float
) -> QuadraticKnapsack:
    """Draw an instance as Billionnet and Soutif do (after Gallo, Hammer, Simeone 1980).

    Each profit, of an item or of a pair, is not 0 with probability ``density`` and then uniform.
    """
    num_pairs = items * (items - 1) // 2
    profits = (draws.uniform(items + num_pairs) < density) * (
        1 + draws.below(LARGEST_PROFIT, items + num_pairs)
    )
    weights = 1 + draws.below(LARGEST_WEIGHT, items)
    total = int(weights.sum())
    least = min(LEAST_CAPACITY, total)
    return QuadraticKnapsack(
        name=name,
        linear=profits[:items],
        pairs=profits[items:],
        weights=weights,
        capacity=least + draws.integer(total - least + 1),
    )


def random_set_union_knapsack(
    draws: Draws, name: str, *, items: int, elements: int, density: float, ratio: float
) -> SetUnionKnapsack:
    """Draw an instance as He, Xie, Wong and Wang do (Future Generation Computer Systems 78, 2018).

    Each item needs each element with probability ``density``, and one at least; the knapsack takes
    a share ``ratio`` of all elements by weight.
    """
    needs = draws.uniform((items, elements)) < density
    needs[np.arange(items), draws.below(elements, items)] |= ~needs.any(axis=1)
    profits, weights = (
        spread.least + draws.below(spread.most - spread.least + 1, count)
        for spread, count in ((ITEM_PROFIT, items), (ELEMENT_WEIGHT, elements))
    )
    return SetUnionKnapsack(
        name=name,
        profits=profits,
        weights=weights,
        needs=needs,
        capacity=int(weights.sum() * ratio),
    )


def random_subgraph(
    draws: Draws, name: str, *, vertices: int, density: float, size: int
) -> DensestSubgraph:
    """Draw a graph with each edge there with probability ``density`` (after Billionnet 2005)."""
    first, second = np.triu_indices(vertices, k=1)
    there = draws.uniform(first.size) < density
    return DensestSubgraph(
        name=name,
        num_vertices=vertices,
        edges=np.stack([first[there], second[there]], axis=1),
        worth=np.ones(int(there.sum())),
        size=size,
    )
