"""Held-out files: what ``moeplace holdout`` measured, for a report."""

import dataclasses
import json
import math
import os
from collections.abc import Sequence
from typing import Any

from bench.studies import Cache, Measurement, Plan, Study
from instances.errors import InputError
from instances.fields import (
    join,
    require_fields,
    require_integer,
    require_list,
    require_name,
    require_number,
    show,
)
from instances.files import read_document, write_atomically
from instances.simulation.held_out import SPLITS

FORMAT, VERSION = "moeplace/held-out", 1

_PARTS = {"measurements": Measurement, "plans": Plan, "caches": Cache}
_MAY_BE_UNKNOWN = ("promised_ms", "measured_ms", "hindsight_ms", "load_factor", "bound_ms")


def to_dict(studies: Sequence[Study]) -> dict[str, Any]:
    """Return studies as they stand in a file; unknown numbers are null."""
    content = [_known(dataclasses.asdict(study)) for study in studies]
    return {"format": FORMAT, "version": VERSION, "studies": content}


def write_studies(path: str | os.PathLike[str], studies: Sequence[Study]) -> None:
    """Write a held-out file.

    Raises
    ------
    InputError
        When it cannot be written.
    """
    text = json.dumps(to_dict(studies), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(path, f"{text}\n".encode())


def read_studies(path: str | os.PathLike[str]) -> list[Study]:
    """Read a held-out file.

    Raises
    ------
    InputError
        Names the file, the field and the value that is wrong.
    """
    return read_document(path, _from_dict)


def _from_dict(content: object) -> list[Study]:
    fields = require_fields(content, "", ("format", "version", "studies"))
    for name, needed in (("format", FORMAT), ("version", VERSION)):
        if fields[name] != needed:
            raise InputError(name, f"{show(fields[name])} is not {show(needed)}")
    studies = require_list(fields["studies"], "studies")
    return [_read(Study, study, f"studies[{i}]") for i, study in enumerate(studies)]


def _read(kind: Any, value: object, path: str) -> Any:
    """Read an object whose fields are those of a dataclass."""
    kinds = {field.name: field.type for field in dataclasses.fields(kind)}
    fields = require_fields(value, path, tuple(kinds))
    return kind(
        **{name: _value(name, kinds[name], fields[name], join(path, name)) for name in kinds}
    )


def _value(name: str, kind: Any, value: object, path: str) -> Any:
    if name in _PARTS:
        parts = require_list(value, path)
        return tuple(_read(_PARTS[name], part, f"{path}[{i}]") for i, part in enumerate(parts))
    if kind is bool:
        if not isinstance(value, bool):
            raise InputError(path, f"{show(value)} is neither true nor false")
        return value
    if kind is int:
        return require_integer(value, path)
    if kind is float:
        return (
            math.nan if value is None and name in _MAY_BE_UNKNOWN else require_number(value, path)
        )
    if name == "split" and value not in SPLITS:
        raise InputError(path, f"{show(value)} is not one of {', '.join(SPLITS)}")
    return "" if value == "" and name == "reason" else require_name(value, path)


def _known(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _known(inner) for name, inner in value.items()}
    if isinstance(value, tuple | list):
        return [_known(inner) for inner in value]
    return None if isinstance(value, float) and math.isnan(value) else value
