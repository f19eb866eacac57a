"""Strict decoding of JSON, and typed access to it: every mistake raises with the path of the field.

Nothing is converted on the way: a number in quotes, ``true`` for 1 and ``3.0`` for 3 are mistakes.
Whole columns are checked at once, so that files of a million rows are read in seconds.
"""

import difflib
import json
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError

_INT64 = np.iinfo(np.int64)
_LONGEST_SHOWN = 60
_LITERALS = {None: "null", True: "true", False: "false"}


class RepeatedKeyObject(dict[str, Any]):
    """A JSON object in which a key occurs twice: JSON lets that pass, we do not.

    Parameters
    ----------
    pairs
        Keys and values, as the decoder read them.
    repeated
        The first key that is there twice.
    """

    def __init__(self, pairs: Iterable[tuple[str, Any]], repeated: str) -> None:
        super().__init__(pairs)
        self.repeated = repeated


def decode_json(data: bytes) -> Any:
    """Decode JSON text in UTF-8.

    Repeated keys and the tokens NaN and Infinity, which Python lets pass, are refused by the
    functions below, which know the path.

    Raises
    ------
    InputError
        When it is not JSON.
    """
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=_object)
    except RecursionError:
        raise InputError("", "not JSON that can be read: nested too deeply") from None
    except ValueError as error:  # not UTF-8, not JSON, or an integer of thousands of digits
        raise InputError("", f"not JSON: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) == len(pairs):
        return fields
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            return RepeatedKeyObject(pairs, name)
        seen.add(name)
    raise AssertionError(pairs)


def show(value: object) -> str:
    """Return a value for a message: as JSON writes it, and never long."""
    if isinstance(value, list | dict):
        noun = "a list" if isinstance(value, list) else "an object"
        return f"{noun} of {len(value)}"
    if value is None or isinstance(value, bool):
        return _LITERALS[value]
    if isinstance(value, int) and abs(value) > 10**_LONGEST_SHOWN:
        return f"an integer of {value.bit_length()} bits"
    text = repr(value)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}..."


def hint(name: object, known: Iterable[str]) -> str:
    """Return "; did you mean ...?" when a known name is close, else nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def join(path: str, name: object) -> str:
    """Return the path of a field of the object at ``path``."""
    if isinstance(name, str) and name.isidentifier():
        return f"{path}.{name}" if path else name
    return f"{path}[{show(name)}]"


def require_fields(
    value: object, path: str, required: Collection[str], optional: Collection[str] = ()
) -> dict[str, Any]:
    """Return an object that has all required fields and no unknown one.

    Raises
    ------
    InputError
        When it is not an object, or a field is unknown, missing or repeated.
    """
    fields = require_object(value, path)
    known = [*required, *optional]
    for name in fields:
        if name not in known:
            raise InputError(join(path, name), f"unknown field{hint(name, known)}")
    for name in required:
        if name not in fields:
            raise InputError(join(path, name), "the field is missing")
    return fields


def require_object(value: object, path: str) -> dict[str, Any]:
    """Return an object.

    Raises
    ------
    InputError
        When it is something else, or has a key twice.
    """
    if not isinstance(value, dict):
        raise InputError(path, f"{show(value)} is not an object")
    if isinstance(value, RepeatedKeyObject):
        raise InputError(join(path, value.repeated), "the field occurs twice")
    return value


def require_list(value: object, path: str) -> list[Any]:
    """Return a list.

    Raises
    ------
    InputError
        When it is something else.
    """
    if not isinstance(value, list):
        raise InputError(path, f"{show(value)} is not a list")
    return value


def require_name(value: object, path: str) -> str:
    """Return a name: printable text in one line, not empty.

    Raises
    ------
    InputError
        When it is something else.
    """
    if not isinstance(value, str) or not value or not value.isprintable():
        raise InputError(path, f"{show(value)} is not a name (printable text, not empty)")
    return value


def require_integer(value: object, path: str) -> int:
    """Return an integer of at most 64 bits.

    Raises
    ------
    InputError
        When it is something else.
    """
    if type(value) is not int:
        raise InputError(path, f"{show(value)} is not an integer")
    if not _INT64.min <= value <= _INT64.max:
        raise InputError(path, f"{show(value)} does not fit into 64 bits")
    return value


def require_number(value: object, path: str) -> float:
    """Return a finite number.

    Raises
    ------
    InputError
        When it is something else.
    """
    if type(value) is not int and type(value) is not float:
        raise InputError(path, f"{show(value)} is not a number")
    try:
        number = float(value)
    except OverflowError:
        raise InputError(path, f"{show(value)} is too large") from None
    if not np.isfinite(number):
        raise InputError(path, f"{show(value)} is not a finite number")
    return number


def integers(values: object, path: str) -> NDArray[np.int64]:
    """Return a list of integers as an array; int64 (any,).

    Raises
    ------
    InputError
        Names the first element that is not an integer of at most 64 bits.
    """
    column = require_list(values, path)
    try:
        if set(map(type, column)) <= {int}:
            return np.array(column, dtype=np.int64)
    except OverflowError:
        pass  # the loop below finds where
    for i, value in enumerate(column):
        require_integer(value, f"{path}[{i}]")
    raise AssertionError(path)


def numbers(values: object, path: str) -> NDArray[np.float64]:
    """Return a list of finite numbers as an array; float64 (any,).

    Raises
    ------
    InputError
        Names the first element that is not a finite number.
    """
    column = require_list(values, path)
    try:
        if set(map(type, column)) <= {int, float}:
            array = np.array(column, dtype=np.float64)
            if np.isfinite(array).all():
                return array
    except OverflowError:
        pass  # the loop below finds where
    for i, value in enumerate(column):
        require_number(value, f"{path}[{i}]")
    raise AssertionError(path)


def integer_lists(values: object, path: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return a list of lists of integers as offsets and values; int64 (lists + 1,), (any,).

    Raises
    ------
    InputError
        Names the first element that is not a list, or in it not an integer of at most 64 bits.
    """
    lists = require_list(values, path)
    if not set(map(type, lists)) <= {list}:
        for i, value in enumerate(lists):
            require_list(value, f"{path}[{i}]")
    lengths = np.fromiter(map(len, lists), dtype=np.int64, count=len(lists))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    flat = list(chain.from_iterable(lists))
    try:
        if set(map(type, flat)) <= {int}:
            return offsets, np.array(flat, dtype=np.int64)
    except OverflowError:
        pass  # the loop below finds where
    for i, value in enumerate(lists):
        integers(value, f"{path}[{i}]")
    raise AssertionError(path)
