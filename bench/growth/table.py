"""A study as rows of tables: for the report and for the terminal."""

import math
from collections import Counter
from dataclasses import dataclass

from rich import box
from rich.table import Table

from bench.formats import MISSING, count_text, seconds_text
from bench.growth.document import Growth, Measured, Point
from bench.growth.fit import Fit, fit_exponent
from bench.growth.shapes import AXES, SHAPES
from bench.held_out_table import size_text

STEEP = 1.2
"""An exponent in rows above this is marked and explained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One task along one axis.

    Parameters
    ----------
    task
        What was measured.
    shape
        On which shape it grew, in words.
    points
        Measurements, by size; none when it took no instance at all.
    time, memory
        Exponents; None with fewer than two sizes in the upper two decades.
    end
        Why it stopped growing, empty when it did not; and why it did not grow on earlier shapes.
    """

    task: Measured
    shape: str
    points: tuple[Point, ...]
    time: Fit | None
    memory: Fit | None
    end: str

    @property
    def steep(self) -> bool:
        """Whether time or memory grow faster than in proportion, by more than a little.

        Memory that is less than the instance itself takes at the largest size is no matter.
        """
        if self.time is not None and self.time.exponent > STEEP:
            return True
        matters = bool(self.points) and self.points[-1].peak_bytes > self.points[-1].instance_bytes
        return matters and self.memory is not None and self.memory.exponent > STEEP


@dataclass(frozen=True, slots=True, kw_only=True)
class AxisTable:
    """All tasks along one axis, from the smallest exponent to the largest."""

    axis: str
    words: str
    rows: tuple[Row, ...]

    @property
    def steep(self) -> tuple[Row, ...]:
        """Tasks to explain: those that grow faster than the rows."""
        return tuple(row for row in self.rows if row.steep) if self.axis == "rows" else ()


def arrange(growth: Growth) -> list[AxisTable]:
    """Arrange a study for reading: one table for each axis that was measured."""
    tables = []
    for axis, words in AXES.items():
        rows = [row for task in growth.tasks if (row := _row(growth, axis, task)) is not None]
        if any(row.points for row in rows):
            rows.sort(key=_order)
            tables.append(AxisTable(axis=axis, words=words, rows=tuple(rows)))
    return tables


def _order(row: Row) -> tuple[bool, bool, float, str]:
    exponent = math.inf if row.time is None else row.time.exponent
    return (not row.points, row.time is None, exponent, row.task.name)


def _row(growth: Growth, axis: str, task: Measured) -> Row | None:
    mine = [p for p in growth.points if (p.axis, p.task) == (axis, task.name)]
    ends = [e for e in growth.ends if (e.axis, e.task) == (axis, task.name)]
    if not mine and not ends:
        return None
    count = Counter(point.shape for point in mine)
    shape = next((s for s in SHAPES if count[s] > 1), next((s for s in SHAPES if count[s]), ""))
    points = sorted((p for p in mine if p.shape == shape), key=lambda point: point.size)
    sizes = [float(point.size) for point in points]
    reasons = [e.reason if e.shape == shape else f"{SHAPES[e.shape]}: {e.reason}" for e in ends]
    return Row(
        task=task,
        shape=SHAPES.get(shape, ""),
        points=tuple(points),
        time=fit_exponent(sizes, [point.cpu_s for point in points]),
        memory=fit_exponent(sizes, [float(point.peak_bytes) for point in points]),
        end="; ".join(reversed(reasons)),
    )


def exponent_text(fit: Fit | None) -> str:
    """Return an exponent with its standard error.

    >>> exponent_text(Fit(exponent=1.0312, error=0.0204, spread=1.1, points=4))
    '1.03 ± 0.02'
    """
    if fit is None:
        return MISSING
    if math.isnan(fit.error):
        return f"{fit.exponent:.2f}"
    return f"{fit.exponent:.2f} ± {fit.error:.2f}"


def per_row_text(point: Point) -> str:
    """Return the memory beyond the instance for each row.

    >>> from bench.growth.document import Point
    >>> sizes = dict(rows=1000, layers=1, experts=8, top_k=2, users=1, servers=1, size=1000)
    >>> names = dict(axis="rows", shape="wide", task="clauses", instance_bytes=1)
    >>> costs = dict(cpu_s=1.0, clock_s=1.0, peak_bytes=64_000, repetitions=1)
    >>> per_row_text(Point(**sizes, **names, **costs))
    '64 B'
    """
    return size_text(float(f"{point.peak_bytes / point.rows:.3g}"))


def terminal_tables(growth: Growth) -> list[Table]:
    """Return one table for each axis."""
    tables = []
    for axis in arrange(growth):
        table = Table(title=f"growth with {axis.words}", box=box.SIMPLE_HEAD, show_edge=False)
        table.add_column("task", no_wrap=True)
        for name in ("sizes", "time ~", "memory ~", "CPU at largest", "memory", "a row"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("stopped by", overflow="fold", max_width=40)
        for row in axis.rows:
            table.add_row(f"{row.task.name}{' !' if row in axis.steep else ''}", *_cells(row))
        tables.append(table)
    return tables


def _cells(row: Row) -> tuple[str, ...]:
    if not row.points:
        return (MISSING,) * 6 + (row.end,)
    first, last = row.points[0], row.points[-1]
    return (
        f"{count_text(first.size)}..{count_text(last.size)}",
        exponent_text(row.time),
        exponent_text(row.memory),
        seconds_text(last.cpu_s),
        size_text(last.peak_bytes),
        per_row_text(last),
        row.end,
    )
