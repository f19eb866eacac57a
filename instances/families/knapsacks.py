"""Families in the manner of published instances of related problems: one server, one layer.

What is packed is an expert with its weight as its size, and the saving is the profit
(docs/published.md). Layers of 100 to 500 experts of unequal size on one server that has room for a
part of them are the hard case of the server subproblem.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from instances.draws import Draws
from instances.families.spec import FAMILIES, Family, Request
from instances.problem import Instance
from instances.published.random_instances import (
    random_quadratic_knapsack,
    random_set_union_knapsack,
    random_subgraph,
)

ITEMS: Mapping[str, int] = {"tiny": 10, "small": 50, "medium": 100, "large": 200, "real": 300}
"""Items of the quadratic knapsacks of each size."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The two numbers of items and elements; densities are multiplied by a factor."""

    more: int
    fewer: int
    factor: int = 1


SHAPES: Mapping[str, Shape] = {
    "tiny": Shape(10, 8, 3),
    "small": Shape(30, 25, 2),
    "medium": Shape(100, 85),
    "large": Shape(300, 285),
    "real": Shape(500, 485),
}
"""Set-union knapsacks of each size; the last three are published shapes."""

RATIOS: Mapping[str, float] = {"10": 0.75, "15": 0.85}
"""Share of all elements that the knapsack takes, for each density in percent, as published."""

VERTICES: Mapping[str, int] = {"tiny": 8, "small": 30, "medium": 100, "large": 200, "real": 400}
"""Vertices of the graphs of each size; a quarter of them, rounded up, is chosen."""

_PERCENT = 100


def _draws(family: str, request: Request) -> Draws:
    return Draws(family, request.size, request.seed, request.options["density"])


def build_quadratic_knapsack(request: Request) -> Instance:
    """Make an instance of the family ``quadratic-knapsack``."""
    return random_quadratic_knapsack(
        _draws("quadratic-knapsack", request),
        request.name,
        items=ITEMS[request.size],
        density=int(request.options["density"]) / _PERCENT,
    ).instance()


def build_set_union_knapsack(request: Request) -> Instance:
    """Make an instance of the family ``set-union-knapsack``."""
    shape, density = SHAPES[request.size], request.options["density"]
    elements = request.options["elements"]
    return random_set_union_knapsack(
        _draws("set-union-knapsack", request),
        request.name,
        items=shape.fewer if elements == "more" else shape.more,
        elements=shape.fewer if elements == "fewer" else shape.more,
        density=shape.factor * int(density) / _PERCENT,
        ratio=RATIOS[density],
    ).instance()


def build_densest_subgraph(request: Request) -> Instance:
    """Make an instance of the family ``densest-subgraph``."""
    vertices = VERTICES[request.size]
    return random_subgraph(
        _draws("densest-subgraph", request),
        request.name,
        vertices=vertices,
        density=int(request.options["density"]) / _PERCENT,
        size=-(-vertices // 4),
    ).instance()


KNAPSACKS = (
    Family(
        name="quadratic-knapsack",
        summary="One server, K = 2: items of unequal weight and profits of pairs",
        source="Billionnet and Soutif 2004, after Gallo, Hammer, Simeone 1980",
        sizes=tuple(ITEMS),
        build=build_quadratic_knapsack,
        options={"density": ("50", "25", "75", "100")},
    ),
    Family(
        name="set-union-knapsack",
        summary="One server, large K: items that need many elements of unequal weight",
        source="He, Xie, Wong, Wang 2018",
        sizes=tuple(SHAPES),
        build=build_set_union_knapsack,
        options={"density": tuple(RATIOS), "elements": ("fewer", "equal", "more")},
    ),
    Family(
        name="densest-subgraph",
        summary="One server, K = 2: room for a quarter of the vertices of a random graph",
        source="Billionnet 2005",
        sizes=tuple(VERTICES),
        build=build_densest_subgraph,
        options={"density": ("25", "50", "75")},
    ),
)
"""The families of this module."""

for _family in KNAPSACKS:
    FAMILIES.register(_family)
