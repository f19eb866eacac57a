"""The pictures of a study: processor time against what grows, both logarithmic."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from bench.drawing import (
    INK,
    MARKERS,
    MUTED,
    SERIES,
    Canvas,
    Drawing,
    Layout,
    render,
    shorten,
)
from bench.formats import plural
from bench.growth.document import Growth
from bench.growth.shapes import AXES
from bench.growth.table import STEEP, AxisTable, Row, arrange
from bench.plots import name_lines, time_canvas

DRAWINGS = tuple(f"growth-{axis}" for axis in AXES)
"""Names of the drawings that a study may give."""

_STYLES: dict[str, Any] = {
    "step": (0, (1, 1.5)),
    "heuristic": "solid",
    "bound": (0, (6, 1.5, 1.5, 1.5)),
    "exact": (0, (4, 2)),
}


def draw_growth(growth: Growth) -> list[Drawing]:
    """Draw one figure for each axis that was measured."""
    return [_draw_axis(table) for table in arrange(growth)]


def _draw_axis(table: AxisTable) -> Drawing:
    rows = [row for row in table.rows if row.points]

    def draw(layout: Layout, title: str) -> Canvas:
        return _draw(layout, title, table, rows)

    shapes = {row.shape for row in rows}
    caption = (
        "Processor time of one call, the shortest of a few where it is short. Dotted: steps; "
        "solid: heuristics; dashed: exact methods; dash-dotted: bounds."
    )
    if table.axis != "rows":
        caption += " The number of rows stays the same along a line."
    if len(shapes) > 1:
        caption += (
            " Methods that do not take the instances of the others grow on their own, which the "
            "table names: compare slopes, not heights."
        )
    return render(f"growth-{table.axis}", _title(table, rows), caption, draw)


def _title(table: AxisTable, rows: list[Row]) -> str:
    """Say how many tasks grow in proportion, and who grows fastest."""
    fitted = [(row.time.exponent, row.task.name) for row in rows if row.time is not None]
    if not fitted:
        return f"Time against {table.words}"
    calm = sum(exponent <= STEEP for exponent, _ in fitted)
    title = (
        f"With {table.words}, {calm} of {plural(len(fitted), 'task')} grow in proportion at most"
    )
    exponent, name = max(fitted)
    return f"{title}; {name} has the largest exponent, {exponent:.2f}"


def _draw(layout: Layout, title: str, table: AxisTable, rows: list[Row]) -> Canvas:
    names = {row.task.name: shorten(row.task.name, layout.label_letters) for row in rows}
    canvas, height = time_canvas(
        layout,
        title,
        np.array([float(p.size) for r in rows for p in r.points]),
        np.array([p.cpu_s for r in rows for p in r.points]),
        list(names.values()),
        across=table.words,
        above="processor time",
    )
    axes = canvas.axes
    keys, ends = [], []
    for number, row in enumerate(sorted(rows, key=lambda row: row.task.name)):
        colours = (INK, MUTED, *SERIES) if row.task.kind in ("step", "exact") else SERIES
        colour = colours[number % len(colours)]
        line = Line2D(
            [point.size for point in row.points],
            [point.cpu_s for point in row.points],
            color=colour,
            linestyle=_STYLES[row.task.kind],
            marker=MARKERS[(number + number // len(colours)) % len(MARKERS)],
            label=names[row.task.name],
        )
        line.set(linewidth=1.6, markersize=5)
        axes.add_line(line)
        keys.append(line)
        last = row.points[-1]
        ends.append((row.task.name, float(last.size), last.cpu_s, colour))
    name_lines(canvas, names, ends, keys, height)
    return canvas
