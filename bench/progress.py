"""How far a run is: a bar on a terminal, plain lines anywhere else. All of it goes to stderr."""

import sys
from typing import Protocol, TextIO

from bench.formats import seconds_text, value_text
from instances.result import Result


class Progress(Protocol):
    """Who tells people how far a run is."""

    def begin(self, total: int) -> None:
        """Note the number of attempts ahead."""

    def working_on(self, what: str) -> None:
        """Say what is going on now."""

    def skipped(self) -> None:
        """Count an attempt that had finished before."""

    def finished(self, what: str, result: Result) -> None:
        """Count an attempt that has finished now."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_progress() -> Progress:
    """Return a bar when stderr is a terminal, plain lines otherwise."""
    return Bar() if sys.stderr.isatty() else Lines(sys.stderr)


class Lines:
    """One line for each attempt that finishes.

    Parameters
    ----------
    stream
        Where the lines go.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._total = 0
        self._count = 0

    def begin(self, total: int) -> None:
        """Note the number of attempts ahead."""
        self._total = total

    def working_on(self, what: str) -> None:
        """Say nothing: the line comes when it is finished."""

    def skipped(self) -> None:
        """Count an attempt that had finished before."""
        self._count += 1

    def finished(self, what: str, result: Result) -> None:
        """Write the line."""
        self._count += 1
        place = f"[{self._count:>{len(str(self._total))}}/{self._total}]"
        print(f"{place} {what}: {describe(result)}", file=self._stream, flush=True)

    def close(self) -> None:
        """Do nothing."""


class Bar:
    """A progress bar with the attempt in flight; failures are written above it."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._progress = Progress(
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("warming up", total=None)
        self._progress.start()

    def begin(self, total: int) -> None:
        """Note the number of attempts ahead."""
        self._progress.update(self._task, total=total)

    def working_on(self, what: str) -> None:
        """Show what is going on now."""
        self._progress.update(self._task, description=what)

    def skipped(self) -> None:
        """Count an attempt that had finished before."""
        self._progress.advance(self._task)

    def finished(self, what: str, result: Result) -> None:
        """Move the bar on."""
        if result.status == "error":
            line = f"{what}: {describe(result)}"
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._progress.advance(self._task)

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()


def describe(result: Result) -> str:
    """Say in a few words how a run ended."""
    if result.placement is None:
        return f"{result.status.value} ({result.stop_reason.value}): {result.reason}"
    text = f"{result.status.value}, saving {value_text(result.saving_ms)} ms per token"
    return f"{text}, {seconds_text(result.seconds)}"
