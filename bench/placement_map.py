"""The map of one placement: servers by layers, or by single experts where these are few."""

import math
from dataclasses import dataclass

import numpy as np
from matplotlib.collections import PatchCollection
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter, FixedLocator
from numpy.typing import NDArray

from bench.drawing import (
    GRID,
    INK,
    SERIES,
    Canvas,
    Drawing,
    Layout,
    render,
    shorten,
    text_width,
)
from bench.formats import count_text, plural

MOST_EXPERTS = 144
"""Up to so many experts, each has a column of its own; beyond, a column is a layer."""
MOST_CELLS = 6000
"""Maps with more cells than this become a picture inside the drawing, or the page grows huge."""
COLOUR = SERIES[0]
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)
"""Shares that the key of the map shows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacementMap:
    """What the map of a placement shows.

    Parameters
    ----------
    instance, method
        Where the placement is from.
    optimal
        It is proven optimal.
    servers
        Names of the servers.
    used_shares
        Share of each server's storage that is in use; NaN for a server without storage; (N,).
    models
        (name, layers, experts in a layer) of each model.
    stored
        Whether a server holds an expert; bool, (N, X); experts by model, layer and number.
    """

    instance: str
    method: str
    optimal: bool
    servers: tuple[str, ...]
    used_shares: NDArray[np.float64]
    models: tuple[tuple[str, int, int], ...]
    stored: NDArray[np.bool_]

    def layer_sizes(self) -> list[int]:
        """Experts in each layer, over all models."""
        return [experts for _, layers, experts in self.models for _ in range(layers)]

    def layer_shares(self) -> NDArray[np.float64]:
        """Share of each layer's experts that each server holds; (N, layers over all models)."""
        sizes = self.layer_sizes()
        first = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        counts = np.add.reduceat(self.stored.astype(np.int64), first, axis=1)
        return np.asarray(counts / np.array(sizes, dtype=np.float64))


def draw_map(shown: PlacementMap, name: str) -> Drawing:
    """Draw a placement."""
    by_expert = shown.stored.shape[1] <= MOST_EXPERTS
    held = int(shown.stored.any(axis=0).sum())
    total = shown.stored.shape[1]
    title = (
        f"{plural(len(shown.servers), 'server')} hold{'s' if len(shown.servers) == 1 else ''} "
        f"{count_text(held)} of {plural(total, 'expert')}, in "
        f"{plural(int(shown.stored.sum()), 'copy', 'copies')}"
    )
    caption = (
        f"{'A proven optimal placement' if shown.optimal else 'The best placement found'} of "
        f"{shown.instance}, by {shown.method}. "
    )
    caption += (
        "Each cell is one expert of one layer, filled where the server stores it."
        if by_expert
        else "Each cell is one layer: the stronger, the larger the share of its experts stored."
    )
    caption += " Beside each server: how much of its storage is in use."
    return render(name, title, caption, lambda layout, text: _draw(layout, text, shown, by_expert))


def _draw(layout: Layout, title: str, shown: PlacementMap, by_expert: bool) -> Canvas:
    names = [
        shorten(server, layout.label_letters)
        + ("" if math.isnan(share) else f"  {math.floor(100 * share + 1e-9)} %")
        for server, share in zip(shown.servers, shown.used_shares, strict=True)
    ]
    values = shown.stored.astype(np.float64) if by_expert else shown.layer_shares()
    spans = np.array(shown.layer_sizes() if by_expert else [1] * len(shown.layer_sizes()))
    font = layout.font
    row = min(26.0, max(3.0, 640.0 / len(names)))
    several = len(shown.models) > 1
    below = 3.6 * font + (1.6 * font if several else 0)
    canvas = Canvas(
        layout,
        height=row * len(names),
        left=max(text_width(name, font) for name in names) + 12,
        right=12,
        bottom=below + (0 if by_expert else 2.6 * font),
        title=title,
    )
    axes = canvas.axes
    axes.set_xlim(0, values.shape[1])
    axes.set_ylim(len(names), 0)
    _add_cells(canvas, values, spans, row)
    _name_servers(canvas, names, row)
    _name_layers(canvas, shown, spans, by_expert)
    if not by_expert:
        _add_key(canvas, below)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0)
    return canvas


def _add_cells(
    canvas: Canvas, values: NDArray[np.float64], spans: NDArray[np.int64], row: float
) -> None:
    """Draw the cells; the gap between two layers is wider than that between two experts."""
    column = canvas.plot_width / values.shape[1]
    gap = min(1.0, 0.12 * column) / column
    between = min(3.0, 0.5 * column) / column if spans.max() > 1 else gap
    starts = set(np.concatenate([[0], np.cumsum(spans)]).tolist())
    cells, colours = [], []
    for n, server in enumerate(values):
        for x, share in enumerate(server):
            left = x + (between if x in starts else gap) / 2
            right = x + 1 - (between if x + 1 in starts else gap) / 2
            height = 1 - min(2.0, 0.12 * row) / row
            cells.append(Rectangle((left, n + (1 - height) / 2), right - left, height))
            colours.append(cell_colour(share))
    collection = PatchCollection(cells, facecolors=colours, linewidths=0)
    collection.set_rasterized(len(cells) > MOST_CELLS)
    canvas.axes.add_collection(collection)


def cell_colour(share: float) -> tuple[float, float, float, float]:
    """Return the colour of a cell: from a faint grey for nothing to the full colour for all."""
    return to_rgba(GRID, 0.6) if share == 0 else to_rgba(COLOUR, 0.15 + 0.85 * share)


def _name_servers(canvas: Canvas, names: list[str], row: float) -> None:
    step = max(1, math.ceil(1.25 * canvas.layout.font / row))
    rows = range(0, len(names), step)
    canvas.axes.yaxis.set_major_locator(FixedLocator([n + 0.5 for n in rows]))
    canvas.axes.yaxis.set_major_formatter(FixedFormatter([names[n] for n in rows]))


def _name_layers(
    canvas: Canvas, shown: PlacementMap, spans: NDArray[np.int64], by_expert: bool
) -> None:
    font = canvas.layout.font
    column = canvas.plot_width / int(spans.sum())
    starts = np.concatenate([[0], np.cumsum(spans)])
    positions, labels = [], []
    first = 0
    for model, layers, _ in shown.models:
        width = column * float(starts[first + layers] - starts[first])
        needed = text_width(str(layers - 1), font) + 6
        step = max(1, math.ceil(needed * layers / width))
        for layer in range(0, layers, step):
            positions.append((starts[first + layer] + starts[first + layer + 1]) / 2)
            labels.append(str(layer))
        if len(shown.models) > 1:
            letters = max(1, int(width / (0.62 * font)))
            canvas.axes.text(
                float(starts[first] + starts[first + layers]) / 2,
                1,
                shorten(model, letters),
                transform=canvas.axes.get_xaxis_transform(),
                ha="center",
                va="top",
            ).set_y(-1.9 * font / canvas.plot_height)
        first += layers
    canvas.axes.xaxis.set_major_locator(FixedLocator(positions))
    canvas.axes.xaxis.set_major_formatter(FixedFormatter(labels))
    counts = sorted({experts for _, _, experts in shown.models})
    axis = "layer"
    if by_expert:
        some = " or ".join(str(count) for count in counts)
        axis += f" (a column for each of its {some} experts)"
    canvas.axes.set_xlabel(axis, labelpad=4 + (1.6 * font if len(shown.models) > 1 else 0))


def _add_key(canvas: Canvas, below: float) -> None:
    """Draw squares of growing share with their percentages under the plot."""
    font = canvas.layout.font
    width, height = canvas.plot_width, canvas.plot_height
    top = -(below + 0.2 * font) / height
    x = 0.0
    for share in SHARES:
        square = Rectangle(
            (x / width, top - font / height),
            font / width,
            font / height,
            transform=canvas.axes.transAxes,
            facecolor=cell_colour(share),
            linewidth=0,
            clip_on=False,
        )
        canvas.axes.add_patch(square)
        text = f"{100 * share:.0f} %" if share else "0"
        canvas.axes.text(
            (x + 1.4 * font) / width,
            top - 0.5 * font / height,
            text,
            transform=canvas.axes.transAxes,
            va="center",
            color=INK,
        )
        x += 1.4 * font + text_width(text, font) + font
