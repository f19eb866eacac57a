"""The report on a terminal: one compact table with the numbers of the page."""

from collections.abc import Iterator

import pandas as pd
from rich import box
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Table
from rich.text import Text

from bench.formats import (
    count_text,
    gap_text,
    latency_ratio_text,
    plural,
    saving_ratio_text,
    seconds_text,
)
from bench.report import ReportSummary

WIDE = 150
"""Columns of a terminal from which on the instances of the worst runs are shown too."""

HEADINGS = ("F/F*\nmean", "worst", "T/T*\nmean", "worst", "gap\nmean", "worst", "time", "runs")


def terminal_table(report: ReportSummary, *, by_family: bool = False) -> "TerminalReport":
    """Return what :meth:`rich.console.Console.print` shows of a report.

    Parameters
    ----------
    report
        What :func:`bench.report.write_report` returned.
    by_family
        A table for each family rather than one for all together.
    """
    return TerminalReport(report, by_family=by_family)


class TerminalReport:
    """Contradictions, the table of methods, and the counts; fits the width of the terminal."""

    def __init__(self, report: ReportSummary, *, by_family: bool) -> None:
        self._report = report
        self._by_family = by_family

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield the parts; names are shown as they are, never read as markup."""
        report = self._report
        contradictions = report.tables.contradictions
        if not contradictions.empty:
            yield Text(f"{plural(len(contradictions), 'contradiction')}:", style="bold red")
            for row in contradictions.to_dict("records"):
                yield Text(
                    f"  {row['kind']}, {row['instance_label']}: {row['detail']}", style="red"
                )
        wide = options.max_width >= WIDE
        if self._by_family:
            families = report.tables.families
            for family, rows in families.groupby("family", sort=False):
                yield Text(str(family), style="bold underline")
                yield _table(rows, widest=families["label"].str.len().max(), wide=wide)
                yield Text("")
        elif report.attempts:
            yield _table(report.tables.methods, widest=0, wide=wide)
            yield Text("")
        yield Text(_counts(report))


def _table(methods: pd.DataFrame, *, widest: int, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)
    table.add_column("method", overflow="fold", min_width=min(widest, 24) or None)
    for name in HEADINGS:
        table.add_column(name, justify="right", no_wrap=True)
        if wide and name == "worst":
            table.add_column("on", overflow="fold", style="dim")
    for row in methods.to_dict("records"):
        style = "" if row["exact"] else "bold"
        table.add_row(Text(row["label"], style=style), *_cells(row, wide=wide))
    return table


def _cells(row: dict[str, object], *, wide: bool) -> Iterator[Text]:
    texts = {
        "saving_ratio": saving_ratio_text,
        "latency_ratio": latency_ratio_text,
        "bound_gap": gap_text,
    }
    for column, text in texts.items():
        yield Text(text(float(str(row[f"{column}_mean"]))))
        yield Text(text(float(str(row[f"{column}_worst"]))))
        if wide:
            yield Text(str(row[f"{column}_worst_on"]))
    yield Text(seconds_text(float(str(row["seconds_median"]))))
    yield Text(f"{row['solved']}/{row['attempts']}")


def _counts(report: ReportSummary) -> str:
    lines = [
        f"{plural(report.attempts, 'run')} on {plural(report.instances, 'instance')}, "
        f"{count_text(report.proven)} with a proven optimum; "
        f"{count_text(report.failed)} failed, {count_text(report.unsupported)} unsupported; "
        f"{plural(report.contradictions, 'contradiction')}."
    ]
    if report.attempts:
        lines.append(
            "F/F*: share of the largest saving; T/T*: latency against the shortest; gap: to the "
            "proven bound where no optimum is known; time: median; runs: with a placement / all."
        )
    return "\n".join(lines)
