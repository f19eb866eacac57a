"""Lines of a text of numbers, read one after the other; mistakes name the line and the value."""

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError

MOST_DIGITS = 15
"""Longest whole number: sums of a million of them still fit into int64, each into a double."""

_INTEGER = re.compile(rf"[+-]?[0-9]{{1,{MOST_DIGITS}}}", re.ASCII)
_DECIMAL = re.compile(r"[+-]?([0-9]{1,15}(\.[0-9]{0,15})?|\.[0-9]{1,15})", re.ASCII)
_LONGEST_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Line:
    """One line that is not blank.

    Parameters
    ----------
    number
        As an editor counts, from 1.
    words
        What stands in it, split at white space; at least one.
    """

    number: int
    words: tuple[str, ...]

    @property
    def place(self) -> str:
        """Name of the line in messages."""
        return f"line {self.number}"

    @property
    def is_text(self) -> bool:
        """Whether the line begins with a letter, as headings do."""
        return self.words[0][0].isalpha()

    def integers(self, what: str, count: int, *, least: int = 0) -> NDArray[np.int64]:
        """Return all words as whole numbers; int64 (count,).

        Raises
        ------
        InputError
            When there are more or fewer than ``count``, or one is none or below ``least``.
        """
        if len(self.words) != count:
            raise InputError(
                self.place, f"{_numbers(len(self.words))} where {what} needs {_numbers(count)}"
            )
        return self.values(what, least=least)

    def integer(self, what: str, *, least: int = 0) -> int:
        """Return the only word as a whole number.

        Raises
        ------
        InputError
            When there are more, or it is none or below ``least``.
        """
        return int(self.integers(what, 1, least=least)[0])

    def values(self, what: str, *, least: int) -> NDArray[np.int64]:
        """Return all words as whole numbers; int64 (words,).

        Raises
        ------
        InputError
            When one is no whole number, or below ``least``.
        """
        for word in self.words:
            if not _INTEGER.fullmatch(word):
                raise InputError(self.place, f"{what}: {_shown(word)} is not a whole number")
        values = np.array([int(word) for word in self.words], dtype=np.int64)
        if values.size and values.min() < least:
            word = self.words[int((values < least).argmax())]
            raise InputError(self.place, f"{what}: {word} is below {least}")
        return values

    def decimal(self, position: int, what: str) -> float:
        """Return one word as a decimal number.

        Raises
        ------
        InputError
            When it is none.
        """
        word = self.words[position]
        if not _DECIMAL.fullmatch(word):
            raise InputError(self.place, f"{what}: {_shown(word)} is not a decimal number")
        return float(word)


class Lines:
    """The lines of a text that are not blank, in order.

    Parameters
    ----------
    text
        The whole text.
    """

    def __init__(self, text: str) -> None:
        split = [line.split() for line in text.splitlines()]
        self._lines = [Line(n, tuple(words)) for n, words in enumerate(split, 1) if words]
        self._last = len(split)
        self._position = 0

    def peek(self) -> Line | None:
        """Return the next line without taking it; None at the end."""
        return self._lines[self._position] if self._position < len(self._lines) else None

    def take(self, what: str) -> Line:
        """Return the next line and go on.

        Raises
        ------
        InputError
            When the text ends before it.
        """
        line = self.peek()
        if line is None:
            raise InputError(f"line {max(self._last, 1)}", f"the file ends before {what}")
        self._position += 1
        return line

    def take_integers(self, what: str, count: int, *, least: int = 0) -> NDArray[np.int64]:
        """Return whole numbers that may go over several lines; int64 (count,).

        Raises
        ------
        InputError
            When the text ends before, a line holds more than are left, or a number is wrong.
        """
        parts = [np.zeros(0, dtype=np.int64)]
        missing = count
        while missing:
            line = self.take(f"all of {what}: {_numbers(missing)} missing")
            if line.is_text:
                raise InputError(
                    line.place, f"{_shown(line.words[0])} where {what} still lacks {missing}"
                )
            if len(line.words) > missing:
                raise InputError(
                    line.place,
                    f"{_numbers(len(line.words))} where {what} lacks {missing} of {count}",
                )
            parts.append(line.values(what, least=least))
            missing -= len(line.words)
        return np.concatenate(parts)

    def expect_end(self) -> None:
        """Check that nothing is left.

        Raises
        ------
        InputError
            When something is.
        """
        line = self.peek()
        if line is not None:
            raise InputError(line.place, f"{_shown(line.words[0])} after the end of the instance")


def _numbers(count: int) -> str:
    return "1 number" if count == 1 else f"{count} numbers"


def _shown(word: str) -> str:
    return repr(word if len(word) <= _LONGEST_SHOWN else f"{word[:_LONGEST_SHOWN]}...")
