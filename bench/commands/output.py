"""What commands print, and the checks of where they are told to write."""

import json
import math
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from instances.errors import InputError


def complain(text: str, code: int, *, label: str = "error: ") -> int:
    """Write one line to stderr and return the exit code."""
    print(f"moeplace: {label}{' '.join(text.split())}", file=sys.stderr)
    return code


def print_json(content: Mapping[str, Any]) -> None:
    """Print one JSON object; numbers that are not finite are null."""
    print(json.dumps(_plain(content), indent=2, ensure_ascii=False, allow_nan=False))


def print_block(title: str, lines: Mapping[str, str]) -> None:
    """Print a title and indented lines of a label and a text."""
    print(title)
    width = max(map(len, lines), default=0)
    for label, text in lines.items():
        print(f"  {label:<{width}}  {text}")


def print_columns(rows: list[tuple[str, ...]]) -> None:
    """Print rows of text in aligned columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)]
        print("  " + "  ".join(cells).rstrip())


def require_writable(path: str, suffixes: tuple[str, ...]) -> Path:
    """Check that a file can be written there, before any work is done for it.

    Parameters
    ----------
    path
        The file.
    suffixes
        Endings of names that tell a format.

    Raises
    ------
    InputError
        When it cannot.
    """
    target = Path(path)
    parent = target.parent
    problem = ""
    if not target.name.lower().endswith(suffixes):
        problem = f"the name must end in {', '.join(suffixes)}"
    elif not parent.is_dir():
        problem = f"the directory {parent} does not exist"
    elif target.is_dir():
        problem = "it is a directory"
    elif not os.access(parent, os.W_OK | os.X_OK):
        problem = f"the directory {parent} cannot be written to"
    if problem:
        raise InputError("", f"cannot be written: {problem}", source=path)
    return target


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
