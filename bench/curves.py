"""Step curves of the report: performance profiles, quantile plots, and gaps over time."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator
from numpy.typing import NDArray

from bench.anytime import mean_gaps
from bench.drawing import (
    INK,
    MUTED,
    SERIES,
    Canvas,
    Drawing,
    Layout,
    legend_height,
    render,
    shorten,
)
from bench.formats import gap_text
from bench.plots import LEAST_GAP, seconds_tick
from bench.statistics import cost_table, performance_profile, quantile_curves
from instances.result import Status

FLOOR_S = 1e-3
"""Times below it count as it: what is faster is noise of the clock."""
DASHES = ("solid", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
"""Lines of one colour differ in these, so that no two are told apart by colour alone."""

Curve = tuple[str, NDArray[np.float64], NDArray[np.float64]]
"""Name, x and y; y holds from its x on."""


def draw_profile(attempts: pd.DataFrame, name: str) -> Drawing | None:
    """Draw the share of instances that each method answers within a factor of the fastest.

    Parameters
    ----------
    attempts
        Attempts with ``checksum``, ``status``, ``label``, ``seconds``.
    name
        Name of the drawing.

    Returns
    -------
    Drawing or None
        None with fewer than two methods or without an answer.
    """
    costs = cost_table(attempts, "seconds")
    if costs.shape[1] < 2 or costs.isna().all(axis=None):
        return None
    profile = performance_profile(costs.to_numpy(dtype=np.float64), floor=FLOOR_S)
    curves = [
        (label, profile.factors, 100 * profile.shares[:, column])
        for column, label in enumerate(costs.columns)
    ]
    at_once = profile.at(1.0)
    leader = costs.columns[int(np.argmax(at_once))]
    title = f"{leader} is the fastest, or no slower, on {100 * at_once.max():.0f} % of instances"
    caption = (
        "Performance profile of time: the share of instances that a method answers, however well, "
        f"within a factor of the fastest. Times below {seconds_tick(FLOOR_S)} count as that. Which "
        "curve lies between two others depends on who else is drawn."
    )
    return _steps(name, title, caption, curves, "factor of the fastest time", "% of instances", "g")


def draw_quantiles(attempts: pd.DataFrame, name: str) -> Drawing | None:
    """Draw how many instances each exact method solves to proven optimality within a time.

    Parameters and return as for :func:`draw_profile`; None where nothing is proven.
    """
    proofs = attempts.assign(status=attempts["status"].where(attempts["status"] == Status.OPTIMAL))
    proofs = proofs[proofs["exact"]]
    if proofs["status"].isna().all():
        return None
    costs = cost_table(proofs, "seconds")
    curves = [
        (label, np.sort(times), np.arange(1.0, len(times) + 1.0))
        for label, times in zip(
            costs.columns, quantile_curves(costs.to_numpy(dtype=np.float64)), strict=True
        )
        if len(times)
    ]
    leader = max(curves, key=lambda curve: (len(curve[1]), -curve[1].sum()))
    title = f"{leader[0]} proves the most optima: {len(leader[1])} of {len(costs)} instances"
    caption = (
        "Quantile plot: on how many instances a method has proven the optimum, when each may take "
        "this long. Methods need not have proven it on the same ones, nor have been run on all."
    )
    return _steps(name, title, caption, curves, "time for each instance", "instances", "time")


def draw_gaps_over_time(
    attempts: pd.DataFrame,
    instances: pd.DataFrame,
    trajectories: pd.DataFrame | None,
    name: str,
) -> Drawing | None:
    """Draw the mean primal gap of each method over time.

    Parameters
    ----------
    attempts, instances, trajectories
        As for :func:`bench.anytime.mean_gaps`, with ``primal_integral`` in the attempts.
    name
        Name of the drawing.

    Returns
    -------
    Drawing or None
        None where no run can be measured.
    """
    times, gaps = mean_gaps(attempts, instances, trajectories)
    if not gaps:
        return None
    curves = [(label, times, 100 * each) for label, each in gaps.items()]
    means = attempts.groupby("label")["primal_integral"].mean().dropna()
    leader = min(means.index, key=lambda label: (round(means[label], 9), label))
    title = (
        f"{leader} has the smallest primal integral: {gap_text(means[leader])} of the time allowed"
    )
    caption = (
        "Mean over runs of the gap to the optimum or, where none is proven, to the best known "
        f"saving; 100 % before the first placement. The axis is linear below {gap_text(LEAST_GAP)}."
        " The area below a curve, on a linear axis of time, is the primal integral."
    )
    return _steps(name, title, caption, curves, "time since the method began", "mean gap, %", "gap")


def _steps(
    name: str, title: str, caption: str, curves: Sequence[Curve], x: str, y: str, unit: str
) -> Drawing:
    tick: Callable[[float], str] = "{:g}".format if unit == "g" else seconds_tick

    def draw(layout: Layout, heading: str) -> Canvas:
        names = [shorten(label, layout.label_letters) for label, _, _ in curves]
        canvas = Canvas(
            layout,
            height=280,
            left=4 * layout.font,
            right=18,
            above=1.6 * layout.font,
            bottom=5 * layout.font + legend_height(layout, names),
            title=heading,
        )
        axes = canvas.axes
        axes.set_xscale("log")
        least = min(float(xs[0]) for _, xs, _ in curves)
        most = max(float(xs[-1]) for _, xs, _ in curves)
        end = max(most, 1.01 * least) * 1.3
        axes.set_xlim(least, 10.0 ** math.ceil(math.log10(end)) if end < 10 * least else end)
        if unit == "gap":
            axes.set_yscale("symlog", linthresh=100 * LEAST_GAP, linscale=0.6)
            axes.set_ylim(0, 120)
            axes.yaxis.set_major_locator(FixedLocator([0.0, 0.01, 0.1, 1.0, 10.0, 100.0]))
            axes.yaxis.set_minor_locator(NullLocator())
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        else:
            axes.set_ylim(0, 1.04 * max(float(ys[-1]) for _, _, ys in curves) or 1.0)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: tick(value)))
        axes.grid(linewidth=0.8)
        axes.set_xlabel(x)
        canvas.note_above(y)
        keys = []
        for number, (label, (_, xs, ys)) in enumerate(zip(names, curves, strict=True)):
            colours = (*SERIES, INK, MUTED)
            line = Line2D(
                [*xs, axes.get_xlim()[1]],
                [*ys, ys[-1]],
                drawstyle="steps-post",
                color=colours[number % len(colours)],
                linestyle=DASHES[(number // len(colours) + number) % len(DASHES)],
                linewidth=1.6,
                label=label,
            )
            axes.add_line(line)
            keys.append(line)
        canvas.add_legend(keys, below=4.4 * layout.font)
        return canvas

    return render(name, title, caption, draw)
