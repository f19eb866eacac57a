"""Instance and placement files: paths, suffixes, and what can go wrong with them.

Instances are ``.json``, ``.json.gz`` or ``.npz`` (:mod:`instances.archive`), placements ``.json``
or ``.json.gz``; docs/formats.md describes the fields. Equal instances give equal bytes, except that
the compressed bytes of ``.json.gz`` may differ between versions of zlib.
"""

import gzip
import io
import os
import secrets
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, TypeVar

from instances.archive import instance_from_archive, write_archive
from instances.documents import (
    instance_text,
    instance_to_dict,
    placement_text,
    placement_to_dict,
)
from instances.errors import InputError
from instances.fields import decode_json
from instances.parsing import instance_from_dict, placement_from_dict
from instances.placement import Placement
from instances.problem import Instance

__all__ = [
    "INSTANCE_SUFFIXES",
    "PLACEMENT_SUFFIXES",
    "instance_from_dict",
    "instance_to_dict",
    "placement_from_dict",
    "placement_to_dict",
    "read_bytes",
    "read_document",
    "read_instance",
    "read_json",
    "read_placement",
    "write_atomically",
    "write_instance",
    "write_json",
    "write_placement",
]

T = TypeVar("T")

StrPath = str | os.PathLike[str]

INSTANCE_SUFFIXES = (".json", ".json.gz", ".npz")
PLACEMENT_SUFFIXES = (".json", ".json.gz")
_COMPRESSION = 6
_MOST_COMPRESSION = 1032  # of deflate: a code of one bit for 258 bytes, two of them for a byte

MOST_TEXT_BYTES = 2**30
"""Longest text in a ``.json.gz``; decoded it takes ten times as much memory."""


def read_instance(path: StrPath) -> Instance:
    """Read an instance file.

    Raises
    ------
    InputError
        When it cannot be read, or names the field, the index and the value that is wrong.
    """
    suffix = _suffix(path, INSTANCE_SUFFIXES)
    if suffix == ".npz":
        return _read_archive(path)
    data = read_bytes(path)
    try:
        return instance_from_dict(decode_json(_decompressed(data, suffix)))
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def _read_archive(path: StrPath) -> Instance:
    try:
        file = open(path, "rb")  # noqa: SIM115  closed below: errors in between are not the file's
    except OSError as error:
        raise _unreadable(path, error) from error
    with file:
        try:
            return instance_from_archive(file if file.seekable() else file.read())
        except InputError as error:
            raise error.in_file(os.fspath(path)) from None


def write_instance(path: StrPath, instance: Instance) -> None:
    """Write an instance file in the format that the suffix names.

    Raises
    ------
    InputError
        When the suffix is unknown or the file cannot be written.
    """
    suffix = _suffix(path, INSTANCE_SUFFIXES)
    if suffix == ".npz":
        _write_atomically(path, lambda file: write_archive(file, instance))
    else:
        write_atomically(path, _compressed(instance_text(instance).encode(), suffix))


def read_placement(path: StrPath, instance: Instance) -> Placement:
    """Read a placement file.

    Raises
    ------
    InputError
        When it cannot be read, or names the field, the index and the value that is wrong; a server
        that stores more than its capacity is wrong too.
    """
    suffix = _suffix(path, PLACEMENT_SUFFIXES)
    data = read_bytes(path)
    try:
        return placement_from_dict(decode_json(_decompressed(data, suffix)), instance)
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def write_placement(path: StrPath, instance: Instance, placement: Placement) -> None:
    """Write a placement file.

    Raises
    ------
    InputError
        When a server stores more than its capacity, so that the file could not be read again; when
        the suffix is unknown or the file cannot be written.
    """
    suffix = _suffix(path, PLACEMENT_SUFFIXES)
    placement.check_capacity(instance)
    write_atomically(path, _compressed(placement_text(instance, placement).encode(), suffix))


def read_json(path: StrPath) -> Any:
    """Read a ``.json`` or ``.json.gz`` file and decode it.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    suffix = _suffix(path, PLACEMENT_SUFFIXES)
    data = read_bytes(path)
    try:
        return decode_json(_decompressed(data, suffix))
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def read_document(path: StrPath, decode: Callable[[Any], T]) -> T:
    """Read a JSON file and return what ``decode`` makes of its content.

    Raises
    ------
    InputError
        Names the file, the field and the value that is wrong.
    """
    try:
        return decode(decode_json(read_bytes(path)))
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def write_json(path: StrPath, text: str) -> None:
    """Write a ``.json`` or ``.json.gz`` file.

    Raises
    ------
    InputError
        When the suffix is unknown or the file cannot be written.
    """
    suffix = _suffix(path, PLACEMENT_SUFFIXES)
    write_atomically(path, _compressed(text.encode(), suffix))


def write_atomically(path: StrPath, data: bytes) -> None:
    """Write a file so that it has either its old content or all of the new one, whatever happens.

    The data goes to a temporary file in the same folder, which then takes the place of the old
    file. A symbolic link stays a link.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    _write_atomically(path, lambda file: file.write(data))


def _write_atomically(path: StrPath, write: Callable[[IO[bytes]], object]) -> None:
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".moeplace-{secrets.token_hex(8)}.tmp")
    try:
        if target.exists() and not target.is_file():
            raise InputError("", "not a regular file", source=os.fspath(path))
        try:
            with open(temporary, "xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("", f"cannot be written: {reason}", source=os.fspath(path)) from error


def _suffix(path: StrPath, known: tuple[str, ...]) -> str:
    name = os.path.basename(os.fspath(path)).lower()
    for suffix in known:
        if name.endswith(suffix):
            return suffix
    raise InputError(
        "", f"unknown kind of file; the name must end in {', '.join(known)}", source=os.fspath(path)
    )


def read_bytes(path: StrPath) -> bytes:
    """Return the content of a file.

    Raises
    ------
    InputError
        When it cannot be read.
    """
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: StrPath, error: OSError) -> InputError:
    reason = error.strerror or str(error)
    return InputError("", f"cannot be read: {reason}", source=os.fspath(path))


def _compressed(data: bytes, suffix: str) -> bytes:
    if suffix != ".json.gz":
        return data
    file = io.BytesIO()
    # no name and no time, and the header does not depend on the version of Python as it does
    # for gzip.compress
    with gzip.GzipFile(
        filename="", mode="wb", compresslevel=_COMPRESSION, fileobj=file, mtime=0
    ) as stream:
        stream.write(data)
    return file.getvalue()


def _check_length(data: bytes) -> None:
    """Refuse compressed text that is absurdly long, before memory is taken for it."""
    if len(data) * _MOST_COMPRESSION <= MOST_TEXT_BYTES:
        return
    length = 0
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
        while chunk := stream.read1(2**20):
            length += len(chunk)
            if length > MOST_TEXT_BYTES:
                raise InputError("", f"more than {MOST_TEXT_BYTES} bytes of text; use .npz")


def _decompressed(data: bytes, suffix: str) -> bytes:
    if suffix != ".json.gz":
        return data
    try:
        _check_length(data)
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError("", f"not a whole gzip file: {error}") from None
