"""Tables of integers as CSV: strict, and fast for files of millions of lines.

The first line names the columns; every other line has one integer for each. No quotes, no spaces,
no comments, no empty cells.
"""

import io
import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import show

_NUMBER = re.compile(rb"-?[0-9]{1,18}")
_ALLOWED = b"0123456789-,\n"
_COMMA, _NEWLINE = ord(","), ord("\n")


def header_of(data: bytes) -> list[str]:
    """Return the names of the columns, without reading on.

    Raises
    ------
    InputError
        When the first line is not text.
    """
    line = data[: data.find(b"\n") if b"\n" in data else len(data)]
    try:
        return line.decode("utf-8-sig").rstrip("\r").split(",")
    except UnicodeDecodeError as error:
        raise InputError("line 1", f"not text in UTF-8: {error.reason}") from None


def integer_table(data: bytes, columns: int) -> NDArray[np.int64]:
    """Return the lines below the first; int64 (lines, columns).

    Raises
    ------
    InputError
        Names the first line that does not have that many integers.
    """
    start = data.find(b"\n") + 1
    body = data[start:].replace(b"\r\n", b"\n") if start else b""
    body = body.rstrip(b"\n")
    if not body:
        raise InputError("", "no line below the heading")
    body += b"\n"
    if body.translate(None, _ALLOWED) or not _is_regular(body, columns):
        raise _first_mistake(body, columns)
    try:
        frame = pd.read_csv(
            io.BytesIO(body), header=None, dtype=np.int64, index_col=False, engine="c"
        )
    except (ValueError, OverflowError):  # what is not an integer, or has too many digits
        raise _first_mistake(body, columns) from None
    return np.ascontiguousarray(frame.to_numpy(dtype=np.int64))


def table_text(names: Sequence[str], table: NDArray[np.integer]) -> bytes:
    """Return the content of such a file."""
    lines = [",".join(names), *(",".join(map(str, row)) for row in table.tolist())]
    return ("\n".join(lines) + "\n").encode()


def _is_regular(body: bytes, columns: int) -> bool:
    """Whether every line has as many commas as it should."""
    text = np.frombuffer(body, dtype=np.uint8)
    marks = text[(text == _COMMA) | (text == _NEWLINE)]
    if marks.size % columns:
        return False
    lines = marks.reshape(-1, columns)
    return bool((lines[:, :-1] == _COMMA).all() and (lines[:, -1] == _NEWLINE).all())


def _first_mistake(body: bytes, columns: int) -> InputError:
    for number, line in enumerate(body.split(b"\n")[:-1], start=2):
        cells = line.split(b",")
        if len(cells) != columns:
            return InputError(f"line {number}", f"{len(cells)} cells where {columns} are needed")
        for cell in cells:
            if not _NUMBER.fullmatch(cell):
                shown = show(cell.decode("utf-8", "replace"))
                return InputError(f"line {number}", f"{shown} is not an integer of up to 18 digits")
    raise AssertionError(body[:100])
