r"""Tables of the report for papers: LaTeX with booktabs, from the same numbers as the page.

Each file is one ``tabular``, to be read with ``\input`` inside a ``table``; it needs the package
``booktabs`` and nothing else. What numbers mean stands in a comment at its top.
"""

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd

from bench.formats import (
    count_text,
    gap_text,
    latency_ratio_text,
    saving_ratio_text,
    seconds_text,
    value_text,
)
from bench.summary import Summary

_LETTERS = {
    "\\": r"\textbackslash{}",
    **{letter: rf"\{letter}" for letter in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "\N{EN DASH}": "--",
    "∞": r"$\infty$",
    "µ": r"\textmu{}",
    "\n": " ",
    "\r": " ",
}

Column = tuple[str, str, Callable[[Any], str]]
"""Heading in LaTeX, column of the table, and how its values read."""

_RATINGS: tuple[Column, ...] = (
    ("runs", "attempts", count_text),
    ("answered", "solved", count_text),
    ("mean $F/F^*$", "saving_ratio_mean", saving_ratio_text),
    ("worst $F/F^*$", "saving_ratio_worst", saving_ratio_text),
    ("mean $T/T^*$", "latency_ratio_mean", latency_ratio_text),
    ("mean gap", "bound_gap_mean", gap_text),
    ("worst gap", "bound_gap_worst", gap_text),
    ("median time", "seconds_median", seconds_text),
)
_RATINGS_NOTE = (
    "F/F*: saving against the proven optimum, rounded down; T/T*: latency, rounded up; gap: to the "
    "proven bound, where no optimum is known, rounded up; time: of the method alone, wall clock."
)

_OVER_TIME: tuple[Column, ...] = (
    ("runs", "primal_integral_count", count_text),
    ("mean primal integral", "primal_integral_mean", gap_text),
    ("largest", "primal_integral_worst", gap_text),
    ("mean primal-dual integral", "primal_dual_integral_mean", gap_text),
    ("largest", "primal_dual_integral_worst", gap_text),
)
_OVER_TIME_NOTE = (
    "Shares of the time allowed; the gap is 100 % before the first placement. Not for methods that "
    "tell nothing before their end: theirs is their running time."
)
_BEST_KNOWN: tuple[Column, ...] = (
    ("runs", "known_gap_count", count_text),
    ("reached", "known_reached", count_text),
    ("mean gap to best known", "known_gap_mean", gap_text),
    ("worst", "known_gap_worst", gap_text),
    ("mean gap to its bound", "known_bound_gap_mean", gap_text),
    ("worst", "known_bound_gap_worst", gap_text),
)
_BEST_KNOWN_NOTE = (
    "Runs on published instances: gaps to the best known saving and to the lowest certified bound "
    "of the archive, rounded up."
)


def latex_tables(summary: Summary) -> dict[str, str]:
    """Return the text of each file by name, without suffix; none for an empty store."""
    if summary.attempts.empty:
        return {}
    label: Column = ("method", "label", str)
    family: Column = ("family", "family", str)
    tables = {
        "methods": latex_table(summary.methods, (label, *_RATINGS), _RATINGS_NOTE),
        "families": latex_table(summary.families, (family, label, *_RATINGS), _RATINGS_NOTE),
        "instances": latex_table(
            summary.instances,
            (
                ("instance", "instance_label", str),
                *((name, name, count_text) for name in ("servers", "users", "layers", "experts")),
                ("$K$", "top_k", count_text),
                ("clauses", "clauses", count_text),
                (r"$T(\emptyset)$", "empty_latency_ms", value_text),
                ("$F^*$", "optimum_ms", value_text),
                (r"bound on $F$", "bound_ms", value_text),
                ("best $F$", "best_saving_ms", value_text),
                ("best known $F$", "known_ms", value_text),
                ("gap to it", "known_gap", gap_text),
            ),
            "Values in ms per token; K: most experts that a token uses together in a layer; best "
            "known: from the archive of published instances.",
        ),
    }
    if not summary.guarantees.empty:
        tables["guarantees"] = latex_table(
            summary.guarantees,
            (
                label,
                ("claimed ratio", "claimed_least", saving_ratio_text),
                ("smallest measured", "saving_ratio_worst", saving_ratio_text),
                ("smallest margin", "margin", saving_ratio_text),
                ("instances", "covered", count_text),
            ),
            "Claimed and smallest measured F/F* on instances with a claim and a proven optimum.",
        )
    for name, columns, note in (
        ("over-time", _OVER_TIME, _OVER_TIME_NOTE),
        ("best-known", _BEST_KNOWN, _BEST_KNOWN_NOTE),
    ):
        counted = summary.methods[summary.methods[columns[0][1]] > 0]
        if not counted.empty:
            tables[name] = latex_table(counted, (label, *columns), note)
    return tables


def latex_table(table: pd.DataFrame, columns: Sequence[Column], note: str) -> str:
    """Return one tabular; text to the left, numbers to the right."""
    alignment = "".join("l" if read is str else "r" for _, _, read in columns)
    lines = [f"% {note}", rf"\begin{{tabular}}{{{alignment}}}", r"\toprule"]
    lines += [" & ".join(heading for heading, _, _ in columns) + r" \\", r"\midrule"]
    for row in table.to_dict("records"):
        cells = (latex_text(read(row[name])) for _, name, read in columns)
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def latex_text(text: str) -> str:
    r"""Write a name so that LaTeX prints it and does nothing else.

    >>> latex_text("50 % of a_b \\input{x}")
    '50 \\% of a\\_b \\textbackslash{}input\\{x\\}'
    """
    return "".join(_LETTERS.get(letter, letter) for letter in text)
