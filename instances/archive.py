"""Instances as npz archives: the arrays as they are, for large instances.

An archive holds ``header``, JSON text as bytes (uint8),

    {"format": "moeplace/instance", "version": 1, "name": "...",
     "models": [{"name": "mixtral-8x7b", "layers": 32, "experts": 8, "top_k": 2}],
     "servers": ["edge-0"], "users": ["u0"]}

and one array for each of these fields of :class:`~instances.problem.Instance`, with its name and
shape: ``expert_bytes`` (over all models), ``capacity_bytes``, ``user_model``, ``latency_ms``,
``cloud_latency_ms``, ``local_latency_ms``, ``local_offsets``, ``local_experts``, ``demand_user``,
``demand_layer``, ``demand_offsets``, ``demand_experts``, ``demand_rate``. Integers are int64 or
int32, numbers float64, all little-endian; other widths are read too, but never objects.
``numpy.load`` opens it.
"""

import io
import json
import lzma
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Collection
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from instances.arrays import frozen_array
from instances.errors import InputError
from instances.fields import (
    decode_json,
    hint,
    join,
    require_fields,
    require_integer,
    require_list,
    require_name,
    show,
)
from instances.memory import require_memory
from instances.parsing import INSTANCE_FORMAT, VERSION, check_header, check_model_size
from instances.problem import ARRAYS, Instance, Model

_NAMES = ("header", "expert_bytes", *ARRAYS)
_SUFFIX = ".npy"
_BEGINNINGS = (b"PK\x03\x04", b"PK\x05\x06")  # of a member, and of an archive without any
_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that zip knows: equal instances give equal bytes
_UNIX = 3
_MODE = 0o644 << 16
_NPY_HEADER = re.compile(  # spaces taken out
    r"\{'descr':'([^']{1,9})','fortran_order':(True|False),'shape':\(((?:\d{1,19},?){0,4})\),?\}"
)
_UNREADABLE = (
    *(zipfile.BadZipFile, struct.error, ValueError, OSError),  # damaged: offsets lead nowhere
    *(EOFError, zlib.error, lzma.LZMAError),  # cut short, or not what was compressed
    *(NotImplementedError, RuntimeError),  # a method that zipfile does not know, or a password
)
"""What zipfile raises on a file that is not whole."""
_LONGEST_HEADER = 2**16
_LENGTHS_IN_LOCAL_HEADER = 26  # of the name and of the extra field; both follow
_NPY_TYPE = re.compile(r"[<>|=]?([iu][1248]|f[248])")


def archive_bytes(instance: Instance) -> bytes:
    """Return the content of an npz file, the same for equal instances."""
    file = io.BytesIO()
    write_archive(file, instance)
    return file.getvalue()


def write_archive(file: IO[bytes], instance: Instance) -> None:
    """Write what :func:`archive_bytes` returns, the arrays straight from where they are."""
    header = {
        "format": INSTANCE_FORMAT,
        "version": VERSION,
        "name": instance.name,
        "models": [
            {"name": m.name, "layers": m.layers, "experts": m.experts, "top_k": m.top_k}
            for m in instance.models
        ],
        "servers": instance.server_names,
        "users": instance.user_names,
    }
    text = json.dumps(header, ensure_ascii=False).encode()
    arrays = {
        "header": np.frombuffer(text, dtype=np.uint8),
        "expert_bytes": instance.expert_bytes,
        **{name: getattr(instance, name) for name in ARRAYS},
    }
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
            header_bytes = _npy_header(little_endian)
            member = zipfile.ZipInfo(name + _SUFFIX, date_time=_DATE)
            member.create_system = _UNIX
            member.external_attr = _MODE
            member.file_size = len(header_bytes) + little_endian.nbytes
            with archive.open(member, "w") as content:
                content.write(header_bytes)
                content.write(np.ravel(little_endian).data)


def npy_bytes(array: NDArray[Any]) -> bytes:
    """Return the content of an npy file, the same for equal arrays."""
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    return _npy_header(little_endian) + little_endian.tobytes(order="A")


def _npy_header(array: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    npy.write_array_header_1_0(file, npy.header_data_from_array_1_0(array))
    return file.getvalue()


def instance_from_archive(data: bytes | IO[bytes]) -> Instance:
    """Make an instance from the content of an npz file, or from the file itself.

    No memory is taken on the word of a header: sizes are held against the bytes that are there.
    From a file, every array is read to where it stays: one copy, and no more.

    Raises
    ------
    InputError
        Names the array or field that is wrong, its index and its value.
    """
    arrays = read_arrays(data, _NAMES)
    header = arrays.pop("header")
    if header.dtype != np.uint8 or header.ndim != 1:
        raise InputError("header", f"{header.dtype} array of {header.ndim} dimensions is not text")
    try:
        content = decode_json(header.tobytes())
    except InputError as error:
        raise error.within("header") from None
    check_header(content, INSTANCE_FORMAT)
    fields = require_fields(
        content, "", ("format", "version", "name", "models", "servers", "users")
    )
    return Instance(
        name=require_name(fields["name"], "name"),
        models=_models(fields["models"], arrays.pop("expert_bytes")),
        server_names=_name_list(fields["servers"], "servers"),
        user_names=_name_list(fields["users"], "users"),
        **arrays,
    )


def read_arrays(data: bytes | IO[bytes], names: Collection[str]) -> dict[str, NDArray[Any]]:
    """Return the arrays of an npz file that has all of the given names and no other.

    Nothing stays mapped to the file: what is read was there as a whole when its checksum was
    taken, and a file that is changed or cut later changes nothing. Memory and time are those of a
    map all the same, since every number is looked at once in any case.

    Raises
    ------
    InputError
        When it is not such a file, or an array is not of plain numbers.
    """
    arrays: dict[str, NDArray[Any]] = {}
    source = io.BytesIO(data) if isinstance(data, bytes) else data
    try:
        if source.read(4) not in _BEGINNINGS:  # zipfile finds an archive behind anything
            raise InputError("", "not a readable npz archive: it does not begin as one")
        with zipfile.ZipFile(source) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(_SUFFIX)
                if name not in names or name == member.filename:
                    raise InputError(join("", name), f"unknown array{hint(name, names)}")
                if name in arrays:
                    raise InputError(name, "the array occurs twice")
                with archive.open(member) as file:
                    if member.compress_type == zipfile.ZIP_STORED:
                        arrays[name] = _array(_Stored(source, member), member.file_size, name)
                    else:
                        arrays[name] = _array(file, member.file_size, name)
    except InputError:
        raise
    except _UNREADABLE as error:
        raise InputError("", f"not a readable npz archive: {error}") from None
    for name in names:
        if name not in arrays:
            raise InputError(name, "the array is missing")
    return arrays


class _Stored:
    """A member that is stored as it is, read from the archive's file without a copy in between.

    ``zipfile`` puts the content of a member behind what it has read ahead of it, and so holds it
    twice. It has checked the header of the member before this reads.

    Parameters
    ----------
    source, member
        The archive's file, and which member of it.
    """

    def __init__(self, source: IO[bytes], member: zipfile.ZipInfo) -> None:
        source.seek(member.header_offset + _LENGTHS_IN_LOCAL_HEADER)
        name, extra = struct.unpack("<HH", source.read(4))
        begin = source.seek(name + extra, os.SEEK_CUR)
        if begin + member.compress_size > source.seek(0, os.SEEK_END):
            raise zipfile.BadZipFile(f"{member.filename!r} goes on beyond the end of the file")
        source.seek(begin)
        self._source, self._member = source, member
        self._rest, self._crc = member.compress_size, 0

    def read(self, size: int = -1) -> bytes:
        """Read so many bytes, or all that are left; at the end they must have their checksum."""
        content = self._source.read(self._rest if size < 0 else min(size, self._rest))
        self._rest -= len(content)
        self._crc = zlib.crc32(content, self._crc)
        if self._rest == 0 and self._crc != self._member.CRC:
            raise zipfile.BadZipFile(f"Bad CRC-32 for file {self._member.filename!r}")
        return content


def read_npy(data: bytes, name: str) -> NDArray[Any]:
    """Return the array of an npy file; ``name`` is for messages.

    Raises
    ------
    InputError
        When it is not such a file, or the array is not of plain numbers.
    """
    return _array(io.BytesIO(data), len(data), name)


def _array(file: "IO[bytes] | _Stored", num_bytes: int, name: str) -> NDArray[Any]:
    """Decode an npy file of so many bytes.

    Not by ``numpy.lib.format``: that takes memory on the word of the header, and hands the header
    to Python's parser, which damaged text can bring down.
    """
    try:
        header, begin = _header(file)
        match = _NPY_HEADER.fullmatch("".join(header.split()))
        if match is None:
            raise ValueError(f"header {show(header.strip())}")
        descr, fortran_order, dimensions = match.groups()
        if not _NPY_TYPE.fullmatch(descr):
            raise ValueError(f"values of type {descr!r}")
        dtype = np.dtype(descr)
        shape = tuple(int(dimension) for dimension in re.findall(r"\d+", dimensions))
        needed, there = math.prod(shape) * dtype.itemsize, num_bytes - begin
        if needed == there:
            require_memory(needed, name)
            content = file.read()
            there = len(content)
        if needed != there:
            raise ValueError(f"shape {shape} needs {needed} bytes, {there} are there")
        array = np.frombuffer(content, dtype=dtype)
        return array.reshape(shape, order="F" if fortran_order == "True" else "C")
    except InputError:
        raise
    except ValueError as error:
        raise InputError(name, f"not a readable array: {error}") from None


def _header(file: "IO[bytes] | _Stored") -> tuple[str, int]:
    """Return the header of an npy file, and where the content begins."""
    start = file.read(8)
    width = {1: 2, 2: 4}.get(start[6]) if len(start) > 7 else None
    if not start.startswith(npy.MAGIC_PREFIX) or width is None:
        raise ValueError(f"begins with {show(start)}, not as version 1 or 2 of the npy format")
    length = int.from_bytes(file.read(width), "little")
    if length > _LONGEST_HEADER:
        raise ValueError(f"its header has {length} bytes")
    return file.read(length).decode("latin-1"), 8 + width + length


def _models(value: object, expert_bytes: NDArray[Any]) -> tuple[Model, ...]:
    sizes = frozen_array(expert_bytes, np.int64, "expert_bytes", 1)
    models = []
    end = 0
    for m, item in enumerate(require_list(value, "models")):
        path = f"models[{m}]"
        fields = require_fields(item, path, ("name", "layers", "experts", "top_k"))
        name = require_name(fields["name"], f"{path}.name")
        layers = require_integer(fields["layers"], f"{path}.layers")
        experts = require_integer(fields["experts"], f"{path}.experts")
        top_k = require_integer(fields["top_k"], f"{path}.top_k")
        begin, end = end, check_model_size(path, layers, experts, end)
        if end > sizes.shape[0]:
            raise InputError(
                "expert_bytes", f"{sizes.shape[0]} values where {path} needs {begin} to {end - 1}"
            )
        try:
            models.append(
                Model(
                    name=name,
                    expert_bytes=sizes[begin:end].reshape(layers, experts),
                    top_k=top_k,
                )
            )
        except InputError as error:
            raise error.within(path) from None
    if end != sizes.shape[0]:
        raise InputError("expert_bytes", f"{sizes.shape[0]} values where {end} are needed")
    return tuple(models)


def _name_list(value: object, path: str) -> tuple[str, ...]:
    names = require_list(value, path)
    return tuple(require_name(name, f"{path}[{i}]") for i, name in enumerate(names))
