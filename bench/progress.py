"""How far a run is: a bar on a terminal, plain lines anywhere else, JSON lines, or nothing.

The bar and the lines go to stderr, JSON lines to stdout.
"""

import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TextIO

from bench.formats import gap_text, seconds_text, value_text
from bench.kinds import kind_of
from instances.result import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """An attempt that has finished.

    Parameters
    ----------
    instance, algorithm, seed
        What was run; None for a method that is not randomised.
    result
        How it ended.
    best_gap
        Gap between the best saving and the lowest bound that all attempts on the instance have
        found until now, also those of earlier runs; infinite while one of the two is missing.
    """

    instance: str
    algorithm: str
    seed: int | None
    result: Result
    best_gap: float = math.inf

    @property
    def what(self) -> str:
        """Name it."""
        return f"{self.instance}, {self.algorithm}"


class Progress(Protocol):
    """Who tells people how far a run is."""

    def begin(self, total: int) -> None:
        """Note the number of attempts ahead."""

    def working_on(self, what: str) -> None:
        """Say what is going on now."""

    def skipped(self) -> None:
        """Count an attempt that had finished before."""

    def finished(self, attempt: Finished) -> None:
        """Count an attempt that has finished now."""

    def close(self) -> None:
        """Leave the terminal as it was."""


def make_progress(*, quiet: bool = False, json_lines: bool = False) -> Progress:
    """Return a bar when stderr is a terminal, plain lines otherwise, or what is asked for."""
    if quiet:
        return Silence()
    if json_lines:
        return JsonLines(sys.stdout)
    return Bar() if sys.stderr.isatty() else Lines(sys.stderr)


class Silence:
    """Says nothing."""

    def begin(self, total: int) -> None:
        """Do nothing."""

    def working_on(self, what: str) -> None:
        """Do nothing."""

    def skipped(self) -> None:
        """Do nothing."""

    def finished(self, attempt: Finished) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Lines(Silence):
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

    def skipped(self) -> None:
        """Count an attempt that had finished before."""
        self._count += 1

    def finished(self, attempt: Finished) -> None:
        """Write the line."""
        self._count += 1
        place = f"[{self._count:>{len(str(self._total))}}/{self._total}]"
        line = f"{place} {attempt.what}: {describe(attempt.result)}{_gap(attempt)}"
        print(line, file=self._stream, flush=True)


class JsonLines(Lines):
    """One JSON object a line for each attempt that finishes; unknown numbers are null."""

    def finished(self, attempt: Finished) -> None:
        """Write the line."""
        self._count += 1
        result = attempt.result
        numbers = {
            "saving_ms": result.saving_ms,
            "latency_ms": result.latency_ms,
            "bound_saving_ms": result.bound_saving_ms,
            "seconds": result.seconds,
            "best_gap": attempt.best_gap,
        }
        content = {
            "event": "attempt",
            "done": self._count,
            "total": self._total,
            "instance": attempt.instance,
            "algorithm": attempt.algorithm,
            "seed": attempt.seed,
            "kind": kind_of(result.status, result.stop_reason).value,
            "reason": result.reason,
            **{name: float(n) if math.isfinite(n) else None for name, n in numbers.items()},
        }
        print(json.dumps(content, ensure_ascii=False), file=self._stream, flush=True)


class Bar:
    """A bar with attempts, time gone and time left, the attempt in flight, and the last gap.

    Failures are written above it.

    Parameters
    ----------
    clock
        Seconds since any moment.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self._clock = clock
        self._began = clock()
        self._total = self._skipped = self._finished = 0
        self._progress = Progress(
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[gap]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task("warming up", total=None, left="", gap="")
        self._progress.start()

    def begin(self, total: int) -> None:
        """Note the number of attempts ahead."""
        self._total = total
        self._began = self._clock()
        self._progress.update(self._task, total=total)

    def working_on(self, what: str) -> None:
        """Show what is going on now."""
        self._progress.update(self._task, description=what)

    def skipped(self) -> None:
        """Count an attempt that had finished before."""
        self._skipped += 1
        self._progress.advance(self._task)

    def finished(self, attempt: Finished) -> None:
        """Move the bar on."""
        if attempt.result.status == "error":
            line = f"{attempt.what}: {describe(attempt.result)}"
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        self._finished += 1
        self._progress.update(
            self._task, advance=1, left=self._time_left(), gap=_gap(attempt).removeprefix(", ")
        )

    def close(self) -> None:
        """Leave the terminal as it was."""
        self._progress.stop()

    def _time_left(self) -> str:
        """Say how long the rest takes if it takes as long as what was run until now."""
        left = self._total - self._skipped - self._finished
        each = (self._clock() - self._began) / self._finished
        return f"about {seconds_text(left * each)} left" if left else ""


def _gap(attempt: Finished) -> str:
    if not math.isfinite(attempt.best_gap):
        return ""
    return f", best gap {gap_text(attempt.best_gap)}"


def describe(result: Result) -> str:
    """Say in a few words how a run ended."""
    if result.placement is None:
        return f"{result.status.value} ({result.stop_reason.value}): {result.reason}"
    text = f"{result.status.value}, saving {value_text(result.saving_ms)} ms per token"
    return f"{text}, {seconds_text(result.seconds)}"
