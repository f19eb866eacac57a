"""The pictures of the report: gaps by method, and time against size."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from bench.drawing import (
    GRID,
    INK,
    MARKERS,
    MUTED,
    NARROW,
    PAPER,
    SERIES,
    Canvas,
    Drawing,
    Layout,
    legend_height,
    render,
    shorten,
    spread,
    text_width,
)
from bench.formats import NOISE, count_text, gap_text, seconds_text
from instances.result import StopReason

LEAST_GAP = 1e-4
"""Gaps below this share lie on the linear part of the axis, next to 0."""
LEAST_SECONDS = 1e-6
MOST_POINTS = 4000
"""Clouds of more points than this become a picture inside the drawing, or the page grows huge."""
TWIN = "-independent"
"""Ending of the families that differ from their namesake in routing alone: same colour, hollow."""


def draw_gaps(attempts: pd.DataFrame, name: str, gap: str) -> Drawing | None:
    """Draw the distribution of a gap: a lane for each method, a point for each attempt.

    Parameters
    ----------
    attempts
        Attempts with `label`, `family`, `instance_label` and the column `gap`.
    name
        Name of the drawing.
    gap
        Column to draw: ``optimum_gap`` (1 - F / F*) or ``bound_gap``. NaN is left out.

    Returns
    -------
    Drawing or None
        None when there is nothing to draw.
    """
    shown = attempts[attempts[gap].notna()]
    if shown.empty:
        return None
    perfect = _perfect(shown, gap)
    shown = shown[~shown["label"].isin(perfect)]
    statistics = shown.groupby("label")[gap].agg(["mean", "max", "count"])
    statistics = statistics.sort_values(["mean", "max"], kind="stable")
    to_bound = gap == "bound_gap"
    measured_to = "the proven bound" if to_bound else "the optimum"
    axis = f"gap to {measured_to}, % of " + ("the bound" if to_bound else "the largest saving")
    families = sorted(set(shown["family"]))
    looks = family_looks(families)

    def draw(layout: Layout, title: str) -> Canvas:
        return _draw_lanes(layout, title, shown, gap, statistics, looks, axis)

    title = _gap_title(shown, gap, statistics, measured_to)
    caption = (
        "One point for each run; the upright line is the mean of the lane. The axis is "
        f"logarithmic from {gap_text(LEAST_GAP)} on, with 0 at its left end. Methods from the "
        "smallest mean gap to the largest; n counts the runs."
    )
    if perfect:
        caption += f" Left out, because they have no gap anywhere: {', '.join(perfect)}."
    if any(family.endswith(TWIN) for family in families):
        caption += " Hollow points: the same family with independent routing."
    return render(name, title, caption, draw)


def draw_times(attempts: pd.DataFrame, name: str) -> Drawing | None:
    """Draw time against size, both logarithmic: a line of medians for each method.

    Parameters
    ----------
    attempts
        Attempts with `label`, `exact`, `solved`, `clauses`, `seconds` and `stop_reason`.
    name
        Name of the drawing.

    Returns
    -------
    Drawing or None
        None when nothing was solved.
    """
    shown = attempts[attempts["solved"] & attempts["seconds"].notna()]
    if shown.empty:
        return None

    def draw(layout: Layout, title: str) -> Canvas:
        return _draw_curves(layout, title, shown)

    medians = shown.groupby("label")["seconds"].median().sort_values(kind="stable")
    title = f"{medians.index[0]} is the fastest, with a median of {seconds_text(medians.iloc[0])}"
    if len(medians) > 1:
        title += f"; {medians.index[-1]} takes {seconds_text(medians.iloc[-1])}"
    caption = (
        "Small points are runs, lines join the medians of instances of similar size (three "
        "groups for each power of ten). Dashed lines: exact methods. Size is counted in clauses, "
        "the terms of the saving after merging equal ones."
    )
    if (shown["stop_reason"] == StopReason.TIME_LIMIT).any():
        caption += " Hollow points: stopped by the time limit."
    return render(name, title, caption, draw)


def _perfect(shown: pd.DataFrame, gap: str) -> list[str]:
    """Return the exact methods that prove whatever they answer, unless there is nothing else."""
    exact = shown[shown["exact"]].groupby("label")[gap].max()
    perfect = sorted(exact.index[exact <= NOISE])
    return [] if set(perfect) == set(shown["label"]) else perfect


def _gap_title(shown: pd.DataFrame, gap: str, statistics: pd.DataFrame, measured_to: str) -> str:
    """Say what the best and the worst heuristic do; of exact methods there is less to tell."""
    heuristics = set(shown.loc[~shown["exact"], "label"])
    told = statistics[[label in heuristics for label in statistics.index]]
    if told.empty:
        told = statistics
    worst = float(told["max"].iloc[0])
    if worst <= NOISE:
        reach = "the optimum" if gap == "optimum_gap" else "the bound"
        title = f"{told.index[0]} reaches {reach} on every run"
    else:
        title = f"{told.index[0]} stays within {gap_text(worst)} of {measured_to}"
    if len(told) > 1 and told["mean"].iloc[-1] > NOISE:
        title += f"; {told.index[-1]} misses {gap_text(told['mean'].iloc[-1])} on average"
    return title


def family_looks(families: Sequence[str]) -> dict[str, tuple[str, str, bool]]:
    """Return colour, marker and whether it is filled, for each family; twins share the first two.

    >>> looks = family_looks(["mixtral", "mixtral-independent", "switch"])
    >>> looks["mixtral"][:2] == looks["mixtral-independent"][:2] != looks["switch"][:2]
    True
    """
    bases = list(dict.fromkeys(family.removesuffix(TWIN) for family in families))
    looks = {}
    for family in families:
        number = bases.index(family.removesuffix(TWIN))
        turn = number // len(SERIES)  # beyond eight families the markers shift against the colours
        marker = MARKERS[(number + turn) % len(MARKERS)]
        looks[family] = (SERIES[number % len(SERIES)], marker, not family.endswith(TWIN))
    return looks


def _draw_lanes(
    layout: Layout,
    title: str,
    shown: pd.DataFrame,
    gap: str,
    statistics: pd.DataFrame,
    looks: dict[str, tuple[str, str, bool]],
    axis: str,
) -> Canvas:
    labels = list(statistics.index)
    exact = set(shown.loc[shown["exact"], "label"])
    names = [shorten(label, layout.label_letters) for label in labels]
    notes = [
        f"{'exact, ' if label in exact else ''}n = {count_text(count)}"
        for label, count in zip(labels, statistics["count"], strict=True)
    ]
    widest = max(text_width(text, layout.font) for text in names + notes)
    families = [shorten(family, layout.label_letters) for family in looks]
    lane = 3.6 * layout.font
    canvas = Canvas(
        layout,
        height=lane * len(labels),
        left=widest + 14,
        right=16,
        bottom=5.2 * layout.font + legend_height(layout, families),
        title=title,
    )
    axes = canvas.axes
    axes.set_xscale("symlog", linthresh=100 * LEAST_GAP, linscale=0.6)
    most = max(100 * LEAST_GAP, 100 * float(shown[gap].max()))
    last = max(1.0, 10.0 ** math.ceil(math.log10(most) - 1e-9))
    axes.set_xlim(-0.0016, last * 1.2)
    axes.set_ylim(len(labels) - 0.5, -0.5)
    ticks = [0.0] + [10.0**e for e in range(-2, round(math.log10(last)) + 1)]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_locator(NullLocator())
    beside = axes.get_yaxis_transform()
    for row, texts in enumerate(zip(names, notes, strict=True)):
        for text, shift, colour in zip(texts, (-0.2, 0.2), (INK, MUTED), strict=True):
            x = -8 / canvas.plot_width
            axes.text(x, row + shift, text, ha="right", va="center", color=colour, transform=beside)
    axes.grid(axis="x", linewidth=0.8)
    axes.spines["left"].set_visible(False)
    for lane_idx in range(1, len(labels)):
        axes.axhline(lane_idx - 0.5, color=GRID, linewidth=0.8)
    rasterized = len(shown) > MOST_POINTS
    offsets = np.linspace(-0.3, 0.3, len(looks)) if len(looks) > 1 else np.zeros(1)
    rows = shown["label"].map({label: row for row, label in enumerate(labels)})
    for offset, (family, (colour, marker, filled)) in zip(offsets, looks.items(), strict=True):
        chosen = shown["family"] == family
        axes.plot(
            # Gaps of rounding noise only would sit left of 0.
            np.maximum(0.0, 100 * shown.loc[chosen, gap]),
            rows[chosen] + offset,
            linestyle="none",
            marker=marker,
            markersize=4.2,
            markerfacecolor=colour if filled else PAPER,
            markeredgecolor=colour,
            markeredgewidth=0.9,
            clip_on=False,
            rasterized=rasterized,
        )
    for row, mean in enumerate(statistics["mean"]):
        axes.plot([100 * mean] * 2, [row - 0.4, row + 0.4], color=INK, linewidth=1.6)
    axes.set_xlabel(axis)
    handles = [
        _key(shorten(family, layout.label_letters), colour, marker, filled=filled)
        for family, (colour, marker, filled) in looks.items()
    ]
    canvas.add_legend(handles, below=4.6 * layout.font)
    return canvas


def _key(label: str, colour: str, marker: str, *, filled: bool = True) -> Line2D:
    return Line2D(
        [],
        [],
        linestyle="none",
        marker=marker,
        markersize=5,
        markerfacecolor=colour if filled else PAPER,
        markeredgecolor=colour,
        label=label,
    )


def _draw_curves(layout: Layout, title: str, shown: pd.DataFrame) -> Canvas:
    sizes = np.maximum(1.0, shown["clauses"].to_numpy(dtype=np.float64))
    seconds = np.maximum(LEAST_SECONDS, shown["seconds"].to_numpy(dtype=np.float64))
    labels = sorted(set(shown["label"]))
    names = {label: shorten(label, layout.label_letters) for label in labels}
    canvas, row = time_canvas(
        layout,
        title,
        sizes,
        seconds,
        list(names.values()),
        across="size of the instance, clauses",
        above="time",
    )
    axes = canvas.axes
    groups = np.round(3 * np.log10(sizes)).astype(np.int64)
    ends = []
    keys = []
    drawn = {True: 0, False: 0}
    for label in labels:
        mine = (shown["label"] == label).to_numpy()
        exact = bool(shown.loc[mine, "exact"].iloc[0])
        number, drawn[exact] = drawn[exact], drawn[exact] + 1
        colours = (INK, MUTED, *SERIES) if exact else SERIES
        limited = (shown["stop_reason"] == StopReason.TIME_LIMIT).to_numpy()
        colour = colours[number % len(colours)]
        marker = MARKERS[(number + number // len(colours)) % len(MARKERS)]
        for chosen, face in ((mine & ~limited, colour), (mine & limited, PAPER)):
            axes.plot(
                sizes[chosen],
                seconds[chosen],
                linestyle="none",
                marker=marker,
                markersize=3,
                markerfacecolor=face,
                markeredgecolor=colour,
                markeredgewidth=0.7,
                alpha=0.45,
                rasterized=len(shown) > MOST_POINTS,
            )
        bins = np.unique(groups[mine])
        x = [float(np.median(sizes[mine & (groups == group)])) for group in bins]
        y = [float(np.median(seconds[mine & (groups == group)])) for group in bins]
        style = (0, (4, 2)) if exact else "solid"
        line = Line2D(x, y, color=colour, linestyle=style, marker=marker, label=names[label])
        line.set(linewidth=1.6, markersize=5)
        axes.add_line(line)
        keys.append(line)
        ends.append((label, x[-1], y[-1], colour))
    name_lines(canvas, names, ends, keys, row)
    return canvas


def time_canvas(
    layout: Layout,
    title: str,
    sizes: NDArray[np.float64],
    seconds: NDArray[np.float64],
    names: list[str],
    *,
    across: str,
    above: str,
) -> tuple[Canvas, float]:
    """Prepare a canvas for times against sizes, both logarithmic; returns a name's height, too.

    With room for the names of the lines at their ends, or below in a narrow layout.
    """
    direct = _names_at_ends(layout)
    widest = max(text_width(name, layout.font) for name in names)
    left_end, right_end, x_ticks = _log_axis(sizes)
    bottom_end, top_end, y_ticks = _log_axis(seconds)
    left = max(text_width(seconds_tick(tick), layout.font) for tick in y_ticks) + 14
    row = 1.35 * layout.font
    canvas = Canvas(
        layout,
        height=max(320, row * len(names)) if direct else 240,
        left=left,
        right=widest + 26 if direct else 16,
        above=1.6 * layout.font,
        bottom=3.6 * layout.font
        + (0 if direct else 1.2 * layout.font + legend_height(layout, names)),
        title=title,
    )
    axes = canvas.axes
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left_end, right_end)
    axes.set_ylim(bottom_end, top_end)
    axes.xaxis.set_major_locator(FixedLocator(x_ticks))
    axes.yaxis.set_major_locator(FixedLocator(y_ticks))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count_text(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: seconds_tick(value)))
    axes.grid(linewidth=0.8)
    axes.set_xlabel(across)
    canvas.note_above(above)
    return canvas, row


def name_lines(
    canvas: Canvas,
    names: dict[str, str],
    ends: list[tuple[str, float, float, str]],
    keys: list[Line2D],
    row: float,
) -> None:
    """Name lines at their ends, or in a legend in a narrow layout."""
    if _names_at_ends(canvas.layout):
        _label_ends(canvas, names, ends, row)
    else:
        canvas.add_legend(keys, below=4 * canvas.layout.font)


def _names_at_ends(layout: Layout) -> bool:
    """Tell whether there is room for names at the ends of lines."""
    return layout is not NARROW


def _label_ends(
    canvas: Canvas,
    names: dict[str, str],
    ends: Sequence[tuple[str, float, float, str]],
    row: float,
) -> None:
    """Name the lines at the right edge, moved apart so that no two names overlap."""
    axes = canvas.axes
    low, high = np.log10(axes.get_ylim())
    ends = sorted(ends, key=lambda end: (end[2], end[0]))
    wanted = [(math.log10(y) - low) / (high - low) * canvas.plot_height for _, _, y, _ in ends]
    placed = spread(wanted, row, canvas.plot_height)
    for (label, x, y, colour), height in zip(ends, placed, strict=True):
        share = height / canvas.plot_height
        axes.annotate(
            names[label],
            xy=(x, y),
            xycoords="data",
            xytext=(1 + 16 / canvas.plot_width, share),
            textcoords="axes fraction",
            va="center",
            color=INK,
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.8,
                "alpha": 0.6,
                "shrinkA": 1,
                "shrinkB": 3,
                "relpos": (0, 0.5),
            },
        )


def seconds_tick(seconds: float) -> str:
    """Return the label of a decade of time.

    >>> [seconds_tick(s) for s in (1e-6, 0.01, 100.0)]
    ['1 µs', '10 ms', '100 s']
    """
    for scale, unit in ((1e6, "µs"), (1e3, "ms")):
        if seconds * scale < 999:
            return f"{seconds * scale:.0f} {unit}"
    return f"{count_text(round(seconds))} s"


def _log_axis(values: NDArray[np.float64]) -> tuple[float, float, list[float]]:
    """Return the ends of a logarithmic axis and its ticks: at least two powers of ten."""
    low, high = float(values.min()) / 1.4, float(values.max()) * 1.4
    first, last = math.ceil(math.log10(low)), math.floor(math.log10(high))
    if last <= first:
        first, last = (
            min(first, math.floor(math.log10(low))),
            max(last, math.ceil(math.log10(high))),
        )
        low, high = min(low, 10.0**first / 1.1), max(high, 10.0**last * 1.1)
    step = 1 + (last - first) // 8
    return low, high, [10.0**exponent for exponent in range(first, last + 1, step)]
