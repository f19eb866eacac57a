"""The statistics of a trace and of drawn data side by side: on a terminal, and as a page."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import jinja2
from rich import box
from rich.table import Table
from rich.text import Text

from bench.formats import MISSING, plural
from instances.routing.comparison import Comparison
from instances.routing.files import NamedRouter, router_to_dict
from instances.routing.statistics import FIGURES, Statistics

PAGE_SUFFIXES = (".html", ".md")

CAPTION = (
    "Means over the layers, with the smallest and the largest layer of the trace; lifts are "
    "quantiles over the pairs of all layers. A user is a request. Lift: P(a, b) / (P(a) P(b)); "
    "without any structure it is {baseline}. Next layer: share of the experts that a table of "
    "pairs, learnt on other requests, guesses from the layer before."
)


@dataclass(frozen=True, slots=True)
class Row:
    """One statistic in words; ``far`` says whether they are more than 20 % apart."""

    group: str
    label: str
    trace: str
    layers: str
    drawn: str
    deviation: str
    far: bool


def rows(comparison: Comparison) -> Iterator[Row]:
    """Yield the rows of the table."""
    deviations = comparison.deviations
    for figure in FIGURES:
        deviation = deviations[figure.name]
        low, high = comparison.trace.ranges[figure.name]
        yield Row(
            group=figure.group,
            label=figure.label,
            trace=_number(comparison.trace.values[figure.name]),
            layers=MISSING if math.isnan(low) else f"{_number(low)} to {_number(high)}",
            drawn=_number(comparison.drawn.values[figure.name]),
            deviation=f"{100 * deviation:+.0f} %" if math.isfinite(deviation) else MISSING,
            far=not abs(deviation) <= 0.2,
        )


def groups(comparison: Comparison) -> list[tuple[str, list[Row]]]:
    """Return the rows by what they say about routing."""
    by_group = groupby(rows(comparison), key=lambda row: row.group)
    return [(group, list(members)) for group, members in by_group]


def size_text(statistics: Statistics) -> str:
    """Return what was measured, in words."""
    return (
        f"{plural(statistics.tokens, 'token')} of {plural(statistics.requests, 'request')}, "
        f"{plural(statistics.layers, 'layer')} of {statistics.experts} experts, "
        f"{statistics.top_k} at once"
    )


def caption(statistics: Statistics) -> str:
    """Return what the figures mean."""
    experts, top_k = statistics.experts, statistics.top_k
    baseline = (top_k - 1) / top_k * experts / (experts - 1) if experts > 1 else 1.0
    return CAPTION.format(baseline=_number(baseline))


def terminal_table(comparison: Comparison) -> Table:
    """Return the table for a terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("statistic", overflow="fold")
    for name in ("trace", "its layers", "drawn", "deviation"):
        table.add_column(name, justify="right", no_wrap=True)
    for group, members in groups(comparison):
        table.add_row(Text(group, style="bold"))
        for row in members:
            table.add_row(
                f"  {row.label}",
                row.trace,
                Text(row.layers, style="dim"),
                row.drawn,
                Text(row.deviation, style="bold" if row.far else ""),
            )
    return table


def page(comparison: Comparison, named: NamedRouter, trace: str, *, html: bool) -> str:
    """Return the table, the parameters and what they mean as HTML or Markdown."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench"),
        autoescape=html,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["cell"] = _cell
    template = environment.get_template("routing.html.j2" if html else "routing.md.j2")
    return template.render(
        name=named.name,
        trace=trace,
        trace_size=size_text(comparison.trace),
        drawn_size=size_text(comparison.drawn),
        groups=groups(comparison),
        caption=caption(comparison.trace),
        parameters=router_to_dict(named)["router"],
    )


def _number(value: float) -> str:
    if math.isnan(value):
        return MISSING
    digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2 if value >= 0.9995 else 3
    return f"{value:.{digits}f}"


def _cell(text: str) -> str:
    """Return text that stays in its cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")
