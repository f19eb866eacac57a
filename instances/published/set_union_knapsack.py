"""Set-union knapsack problems, in the format of He, Xie, Wong and Wang.

    sukp_3_4_0.50_0.75

    m=3 n=4 knapsack size=9

    The profit of 3 items:
    10 20 30

    The weight of 4 elements:
    2 3 4 5

    Relation matrix
    1 1 0 0
    0 1 1 0
    0 0 0 1

An item earns its profit when all its elements are packed, and an element that several items need
is packed once. Lines before the sizes are titles; a variant without words, that begins with m, n
and the size on lines of their own, is read too.
"""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.arrays import frozen_array
from instances.errors import InputError
from instances.problem import Instance
from instances.published.lines import Line, Lines
from instances.published.one_layer import one_layer

MOST_CELLS = 25_000_000
"""Most cells of a relation matrix."""

_SIZES = re.compile(r"m=([0-9]{1,15}) ?n=([0-9]{1,15}) .*size ?=([0-9]{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SetUnionKnapsack:
    """Maximise the profits of items whose elements, each counted once, fit; m items, n elements.

    Parameters
    ----------
    name
        As the file's title says.
    profits
        Profit of each item, >= 0; int64 (m,).
    weights
        Weight of each element, >= 1; int64 (n,).
    needs
        ``needs[j, i]``: item j needs element i; each item needs one at least; bool (m, n).
    capacity
        Most weight that can be packed, >= 0.
    """

    name: str
    profits: NDArray[np.int64]
    weights: NDArray[np.int64]
    needs: NDArray[np.bool_]
    capacity: int

    def __post_init__(self) -> None:
        for field in ("profits", "weights"):
            object.__setattr__(
                self, field, frozen_array(getattr(self, field), np.int64, field, ndim=1)
            )
        needs = np.array(self.needs, dtype=np.bool_)
        needs.setflags(write=False)
        object.__setattr__(self, "needs", needs)
        if needs.shape != (self.profits.size, self.weights.size):
            raise InputError(
                "needs", f"shape {needs.shape} is not {(self.profits.size, self.weights.size)}"
            )

    def instance(self) -> Instance:
        """Return the placement problem whose saving is the profit.

        An expert for each element, a row for each item; profits of 0 give no row.

        Raises
        ------
        InputError
            When an item needs no element, or a profit is negative.
        """
        lengths = self.needs.sum(axis=1)
        for bad, why in (
            (lengths == 0, "needs no element, so it earns its profit for nothing"),
            (self.profits < 0, "has a negative profit"),
        ):
            for item in np.flatnonzero(bad)[:1]:
                raise InputError(f"items[{item}]", why)
        return one_layer(
            self.name,
            sizes=self.weights,
            capacity=self.capacity,
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            experts=np.nonzero(self.needs)[1],
            profits=self.profits,
        )


def parse_set_union_knapsack(text: str) -> SetUnionKnapsack:
    """Read a file's text.

    Raises
    ------
    InputError
        Names the line and the value that is wrong.
    """
    lines = Lines(text)
    name, items, elements, capacity = _head(lines)
    _skip_heading(lines)
    profits = lines.take_integers("the profits of the items", items)
    _skip_heading(lines)
    weights = lines.take_integers("the weights of the elements", elements, least=1)
    _skip_heading(lines)
    needs = np.zeros((items, elements), dtype=np.bool_)
    for item in range(items):
        line = lines.take(f"the elements of item {item + 1}")
        what = f"row {item + 1} of the relation matrix"
        row = line.integers(what, elements)
        if row.max(initial=0) > 1:
            raise InputError(line.place, f"{what}: {row.max()} is neither 0 nor 1")
        if not row.any():
            raise InputError(
                line.place, f"{what} holds no 1: an item without elements is not covered"
            )
        needs[item] = row > 0
    lines.expect_end()
    return SetUnionKnapsack(
        name=name, profits=profits, weights=weights, needs=needs, capacity=capacity
    )


def format_set_union_knapsack(problem: SetUnionKnapsack) -> str:
    """Write a file's text: what :func:`parse_set_union_knapsack` reads."""
    items, elements = problem.needs.shape
    rows = [_joined(row) for row in problem.needs.astype(np.int64)]
    parts = (
        problem.name,
        f"m={items} n={elements} knapsack size={problem.capacity}",
        f"The profit of {items} items:\n{_joined(problem.profits)}",
        f"The weight of {elements} elements:\n{_joined(problem.weights)}",
        "\n".join(["Relation matrix", *rows]),
    )
    return "\n\n".join(parts) + "\n"


def _head(lines: Lines) -> tuple[str, int, int, int]:
    """Read titles and sizes: name, items, elements, capacity."""
    title: Line | None = None
    while True:
        line = lines.take("the sizes, as in: m=100 n=85 knapsack size=12015")
        found = _SIZES.search(" ".join(line.words))
        if found:
            sizes = [int(digits) for digits in found.groups()]
            break
        if title is None and len(line.words) == 1 and not line.is_text:
            sizes = [
                line.integer("m, the number of items"),
                lines.take("n, the number of elements").integer("n, the number of elements"),
                lines.take("the knapsack size").integer("the knapsack size"),
            ]
            break
        if not line.is_text:
            raise InputError(
                line.place, f"{line.words[0]!r} where m, n and the knapsack size are needed"
            )
        title = title or line
    items, elements, capacity = sizes
    if items < 1 or elements < 1 or items * elements > MOST_CELLS:
        raise InputError(
            line.place,
            f"{items} items of {elements} elements: each must be >= 1, and {MOST_CELLS} cells "
            "are the most",
        )
    return title.words[-1] if title else "", items, elements, capacity


def _skip_heading(lines: Lines) -> None:
    line = lines.peek()
    if line is not None and line.is_text:
        lines.take("a heading")


def _joined(values: NDArray[np.int64]) -> str:
    return " ".join(map(str, values.tolist()))
