"""Files of torch.save: plain data and tensors, read without torch and without running code.

The file is a zip archive, stored: ``NAME/data.pkl`` is a pickle in which tensors are references
to ``NAME/data/0``, ``NAME/data/1``, ..., the values as they lie in memory; ``NAME/byteorder`` and
``NAME/version`` say how. ``torch.load(path, weights_only=True)`` reads the same files.
"""

import io
import struct
import zipfile
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import show
from instances.importers.npz import zip_bytes
from instances.importers.torch_pickle import ORDERED_DICT, REBUILD_TENSOR, STORAGES, read_pickle

_PICKLE = "/data.pkl"
_VERSION = b"3"
_CLASSES = {np.dtype(code): name for name, code in STORAGES.items()}


def read_torch(data: bytes) -> Any:
    """Return what a file of torch.save holds; tensors are arrays, read-only.

    Raises
    ------
    InputError
        When it is not such a file, or holds anything but plain data and tensors.
    """
    members = _members(data)
    roots = [name.removesuffix(_PICKLE) for name in members if name.endswith(_PICKLE)]
    if len(roots) != 1:
        raise InputError("", f"{len(roots)} members data.pkl where a file of torch.save has one")
    root = roots[0]
    version = members.get(f"{root}/version", b"").strip()
    if version != _VERSION:
        raise InputError("version", f"{show(version.decode('latin-1'))} is not 3")
    order = members.get(f"{root}/byteorder", b"little")
    if order not in (b"little", b"big"):
        raise InputError("byteorder", f"{show(order.decode('latin-1'))} is not little or big")
    mark = "<" if order == b"little" else ">"

    def load(dtype: str, key: str, size: int) -> NDArray[Any]:
        values = members.get(f"{root}/data/{key}")
        if values is None:
            raise InputError(f"data/{show(key)}", "the values of a tensor are missing")
        array = np.dtype(mark + dtype)
        if len(values) != size * array.itemsize:
            raise InputError(
                f"data/{show(key)}",
                f"{len(values)} bytes where {size} values of type {array} are needed",
            )
        return np.frombuffer(values, dtype=array)

    return read_pickle(members[root + _PICKLE], load)


def torch_bytes(content: Any, name: str = "archive") -> bytes:
    """Return the content of a file of torch.save: dicts, lists, tuples, plain values, arrays.

    Raises
    ------
    TypeError
        When something else is in it.
    """
    tensors: list[NDArray[Any]] = []
    program = bytearray(b"\x80\x02")
    _write(content, program, tensors)
    program += b"."
    members = {f"{name}{_PICKLE}": bytes(program), f"{name}/byteorder": b"little"}
    for index, array in enumerate(tensors):
        members[f"{name}/data/{index}"] = array.astype(array.dtype.newbyteorder("<")).tobytes()
    members[f"{name}/version"] = _VERSION + b"\n"
    return zip_bytes(members, compression=zipfile.ZIP_STORED)


def _members(data: bytes) -> dict[str, bytes]:
    """Return the members of a zip archive, whose sizes are first held against the file's."""
    members: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if sum(info.file_size for info in infos) > len(data):
                raise InputError(
                    "", "its members are larger than the file, which torch.save stores"
                )
            for info in infos:
                if info.compress_type != zipfile.ZIP_STORED:
                    raise InputError(show(info.filename), "compressed, which torch.save never does")
                if info.filename in members:
                    raise InputError(show(info.filename), "the member occurs twice")
                members[info.filename] = archive.read(info)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise InputError("", f"not a readable file of torch.save: {error}") from None
    except (ValueError, OverflowError, struct.error, UnicodeDecodeError, OSError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("", f"not a readable file of torch.save: {error}") from None
    return members


def _write(value: Any, program: bytearray, tensors: list[NDArray[Any]]) -> None:
    """Append the instructions that build a value."""
    match value:
        case None:
            program += b"N"
        case bool():
            program += b"\x88" if value else b"\x89"
        case int() if -(2**31) <= value < 2**31:
            program += b"J" + struct.pack("<i", value)
        case int():
            digits = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
            program += b"\x8a" + bytes([len(digits)]) + digits
        case float():
            program += b"G" + struct.pack(">d", value)
        case str():
            program += b"X" + struct.pack("<I", len(value.encode())) + value.encode()
        case list():
            program += b"]("
            for item in value:
                _write(item, program, tensors)
            program += b"e"
        case tuple():
            program += b"("
            for item in value:
                _write(item, program, tensors)
            program += b"t"
        case dict():
            program += b"}("
            for key, item in value.items():
                _write(key, program, tensors)
                _write(item, program, tensors)
            program += b"u"
        case np.ndarray():
            _write_tensor(value, program, tensors)
        case _:
            raise TypeError(f"{type(value).__name__} cannot be written")


def _write_tensor(array: NDArray[Any], program: bytearray, tensors: list[NDArray[Any]]) -> None:
    def name(of: str) -> bytes:
        return b"c" + of.replace(" ", "\n").encode() + b"\n"

    contiguous = array.copy(order="C")
    strides = tuple(step // array.itemsize for step in contiguous.strides)
    program += name(REBUILD_TENSOR) + b"(("
    _write("storage", program, tensors)
    program += name(f"torch {_CLASSES[array.dtype.newbyteorder('=')]}")
    _write(str(len(tensors)), program, tensors)
    _write("cpu", program, tensors)
    _write(array.size, program, tensors)
    program += b"tQ"
    _write(0, program, tensors)
    _write(array.shape, program, tensors)
    _write(strides, program, tensors)
    _write(False, program, tensors)
    program += name(ORDERED_DICT) + b")RtR"
    tensors.append(contiguous)
