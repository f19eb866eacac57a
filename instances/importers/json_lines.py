"""JSON lines: one JSON object in each line, read one at a time."""

import gc
from collections.abc import Iterator
from typing import Any

from instances.errors import InputError
from instances.fields import decode_json, require_object


def objects_of(data: bytes) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of each line, for messages, and its object; empty lines are left out.

    Raises
    ------
    InputError
        Names the line that is not a JSON object.
    """
    begin, number = 0, 0
    while begin < len(data):
        end = data.find(b"\n", begin)
        end = len(data) if end < 0 else end
        number += 1
        line = data[begin:end].strip()
        begin = end + 1
        if not line:
            continue
        name = f"line {number}"
        try:
            record = require_object(_decoded(line), "")
        except InputError as error:
            raise error.within(name) from None
        yield name, record


def _decoded(line: bytes) -> Any:
    """Decode a line without looking for garbage meanwhile.

    The lists of a long line are all alive, and looking through them again and again would take
    three times as long as making them.
    """
    collects = gc.isenabled()
    gc.disable()
    try:
        return decode_json(line)
    finally:
        if collects:
            gc.enable()
