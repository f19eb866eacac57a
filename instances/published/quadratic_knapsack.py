"""Quadratic knapsack problems, in the format of Billionnet and Soutif.

    r_4_100_1                       a name
    4                               n, the number of items
    10 0 7 3                        profit of each item by itself
    5 0 2                           profit of items 1 and 2, 1 and 3, 1 and 4 together
    8 0                             2 and 3, 2 and 4
    6                               3 and 4

    0                               at most the capacity (1, exactly the capacity, is refused)
    12                              the capacity
    4 5 6 7                         weight of each item

Text after the weights is commentary. Source: https://cedric.cnam.fr/~soutif/QKP/format.html.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.arrays import frozen_array
from instances.errors import InputError
from instances.problem import Instance
from instances.published.lines import Lines
from instances.published.one_layer import one_layer

MOST_ITEMS = 5000
"""Above this the profits alone are 12 million numbers."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class QuadraticKnapsack:
    """Maximise the profits of items and of pairs of items that are packed together; n items.

    Parameters
    ----------
    name
        As the file says.
    linear
        Profit of each item, >= 0; int64 (n,).
    pairs
        Profit of the pairs (0, 1), (0, 2), ..., (n - 2, n - 1), >= 0; int64 (n (n - 1) / 2,).
    weights
        Weight of each item, >= 1; int64 (n,).
    capacity
        Most weight that can be packed, >= 0.
    """

    name: str
    linear: NDArray[np.int64]
    pairs: NDArray[np.int64]
    weights: NDArray[np.int64]
    capacity: int

    def __post_init__(self) -> None:
        for field in ("linear", "pairs", "weights"):
            object.__setattr__(
                self, field, frozen_array(getattr(self, field), np.int64, field, ndim=1)
            )
        count = self.weights.size
        if self.linear.size != count or self.pairs.size != count * (count - 1) // 2:
            raise InputError(
                "pairs",
                f"{self.linear.size} items, {self.pairs.size} pairs and {count} weights do not "
                "belong together",
            )

    def instance(self) -> Instance:
        """Return the placement problem whose saving is the profit.

        An expert for each item, a row of one expert for each profit of an item, a row of two for
        each profit of a pair; profits of 0 give no row.

        Raises
        ------
        InputError
            When a profit is negative, or the name is none that a file may carry.
        """
        for field in ("linear", "pairs"):
            profits = getattr(self, field)
            if profits.size and profits.min() < 0:
                index = int((profits < 0).argmax())
                raise InputError(f"{field}[{index}]", f"{profits[index]} is negative")
        count = self.weights.size
        first, second = np.triu_indices(count, k=1)
        return one_layer(
            self.name,
            sizes=self.weights,
            capacity=self.capacity,
            offsets=np.concatenate(
                [np.arange(count), count + 2 * np.arange(first.size + 1)]
            ).astype(np.int64),
            experts=np.concatenate([np.arange(count), np.stack([first, second], axis=1).ravel()]),
            profits=np.concatenate([self.linear, self.pairs]),
        )


def parse_quadratic_knapsack(text: str) -> QuadraticKnapsack:
    """Read a file's text.

    Raises
    ------
    InputError
        Names the line and the value that is wrong; a negative profit, too: a saving has none.
    """
    lines = Lines(text)
    title = lines.take("the name")
    count_line = lines.take("the number of items")
    if len(title.words) != 1:
        raise InputError(
            title.place, f"{len(title.words)} words where the name of the instance stands alone"
        )
    count = count_line.integer("the number of items", least=1)
    if count > MOST_ITEMS:
        raise InputError(count_line.place, f"{count} items; the limit is {MOST_ITEMS}")
    linear = lines.take("the profits of the items").integers(
        f"profits of {count} items (negative ones are not covered)", count
    )
    rows = [
        lines.take(f"the profits of item {item} with later ones").integers(
            f"profits of item {item} with each later one (negative ones are not covered)",
            count - item,
        )
        for item in range(1, count)
    ]
    kind_line = lines.take("the kind of constraint")
    kind = kind_line.integer("the kind of constraint")
    if kind != 0:
        raise InputError(
            kind_line.place,
            f"{kind} where 0 says that weights may not exceed the capacity; an equation is not "
            "covered",
        )
    capacity = lines.take("the capacity").integer("the capacity")
    weights = lines.take("the weights").integers("weights", count, least=1)
    return QuadraticKnapsack(
        name=title.words[0],
        linear=linear,
        pairs=np.concatenate([np.zeros(0, dtype=np.int64), *rows]),
        weights=weights,
        capacity=capacity,
    )


def format_quadratic_knapsack(problem: QuadraticKnapsack) -> str:
    """Write a file's text: what :func:`parse_quadratic_knapsack` reads."""
    count = problem.weights.size
    ends = np.cumsum(np.arange(count - 1, 0, -1))
    rows = np.split(problem.pairs, ends[:-1]) if count > 1 else []
    lines = [problem.name, str(count), *(_joined(row) for row in (problem.linear, *rows))]
    return "\n".join([*lines, "", "0", str(problem.capacity), _joined(problem.weights), ""])


def _joined(values: NDArray[np.int64]) -> str:
    return " ".join(map(str, values.tolist()))
