"""Values on the command line: seconds, seeds, lists of words."""

import argparse
import re
from typing import Any


class Words(argparse.Action):
    """Collect words that are separated by spaces or commas."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Store a list of text."""
        words = [word for value in values for word in value.split(",") if word]
        if not words:
            raise argparse.ArgumentError(self, "nothing is given")
        setattr(namespace, self.dest, [*(getattr(namespace, self.dest) or []), *words])


class Seeds(argparse.Action):
    """Collect seeds: ``0 1 2``, ``0,1,2`` or ``0-2``."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        """Store a list of whole numbers without repetition."""
        seeds: dict[int, None] = {}
        for word in (word for value in values for word in value.split(",") if word):
            match = re.fullmatch(r"(\d{1,18})(?:-(\d{1,18}))?", word)
            first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
            if last < first or last - first >= 100_000:
                raise argparse.ArgumentError(
                    self, f"{word!r} is neither a seed (0, 1, ...) nor a range such as 0-4"
                )
            seeds.update(dict.fromkeys(range(first, last + 1)))
        if not seeds:
            raise argparse.ArgumentError(self, "nothing is given")
        setattr(namespace, self.dest, list(seeds))


def seconds(text: str) -> float:
    """Read a positive number of seconds."""
    return _positive(text, "seconds")


def gigabytes(text: str) -> int:
    """Read a positive number of gigabytes (10^9 bytes) as bytes."""
    return max(1, round(_positive(text, "gigabytes") * 1e9))


def share(text: str) -> float:
    """Read a share from 0."""
    return 0.0 if re.fullmatch(r"0+(\.0*)?", text) else _positive(text, "parts of one")


def whole(text: str) -> int:
    """Read a whole number from 0."""
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def jobs(text: str) -> int:
    """Read a number of processes."""
    if not re.fullmatch(r"[1-9]\d{0,3}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of processes (1, 2, ...)")
    return int(text)


def _positive(text: str, unit: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1e12:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number of {unit}")
    return value
