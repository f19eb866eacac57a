"""GGUF, the container of llama.cpp: key-value pairs and tensors, as much as an imatrix needs.

Layout: ``GGUF``, version, number of tensors, number of pairs; the pairs; of each tensor name,
dimensions (fastest first), type and offset; then, aligned, the values. All little-endian.
(``docs/gguf.md`` of ggml-org/ggml.)
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import show

MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_ALIGNMENT_KEY, _ALIGNMENT = "general.alignment", 32
_STRING, _ARRAY, _UINT32 = 8, 9, 4
_SCALARS = {
    0: "<B",
    1: "<b",
    2: "<H",
    3: "<h",
    4: "<I",
    5: "<i",
    6: "<f",
    7: "<?",
    10: "<Q",
    11: "<q",
    12: "<d",
}
_FLOAT32 = 0
_MOST_DIMENSIONS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Gguf:
    """What a file holds.

    Parameters
    ----------
    pairs
        Values by key; arrays are lists.
    tensors
        float32 tensors by name, slowest dimension first; None for tensors of other types.
    """

    pairs: Mapping[str, Any]
    tensors: Mapping[str, NDArray[np.float32] | None]


class _Reader:
    """A position in the file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def text(self) -> str:
        try:
            return self.take(self.number("<Q")).decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError("", f"text that is not UTF-8: {error.reason}") from None

    def take(self, count: int) -> bytes:
        if count > len(self.data) - self.at:
            raise InputError("", "cut short")
        self.at += count
        return self.data[self.at - count : self.at]

    def value(self, kind: int) -> Any:
        if kind == _STRING:
            return self.text()
        if kind in _SCALARS:
            return self.number(_SCALARS[kind])
        if kind != _ARRAY:
            raise InputError("", f"a value of type {kind}, which GGUF does not have")
        kind, count = self.number("<I"), self.number("<Q")
        if kind == _STRING:
            # One after the other: a count that is too large ends at the end of the file.
            texts = []
            for _ in range(count):
                texts.append(self.text())
            return texts
        if kind not in _SCALARS:
            raise InputError("", f"an array of values of type {kind}")
        form = _SCALARS[kind]
        values = self.take(count * struct.calcsize(form))
        return [value for (value,) in struct.iter_unpack(form, values)]


def read_gguf(data: bytes) -> Gguf:
    """Read a GGUF file. No memory is taken on the word of the file.

    Raises
    ------
    InputError
        When it is not one.
    """
    if not data.startswith(MAGIC):
        raise InputError("", f"begins with {show(data[:4])}, not as a GGUF file")
    reader = _Reader(data)
    reader.take(len(MAGIC))
    version = reader.number("<I")
    if version not in _VERSIONS:
        raise InputError("version", f"{version} is not 2 or 3")
    num_tensors, num_pairs = reader.number("<Q"), reader.number("<Q")
    pairs: dict[str, Any] = {}
    for _ in range(num_pairs):
        key = reader.text()
        if key in pairs:
            raise InputError(show(key), "the key occurs twice")
        pairs[key] = reader.value(reader.number("<I"))
    infos = [_tensor_info(reader) for _ in _counted(num_tensors)]
    alignment = pairs.get(_ALIGNMENT_KEY, _ALIGNMENT)
    if type(alignment) is not int or not 1 <= alignment <= 2**16:
        raise InputError(_ALIGNMENT_KEY, f"{show(alignment)} is not an alignment")
    start = -(-reader.at // alignment) * alignment
    tensors: dict[str, NDArray[np.float32] | None] = {}
    for name, shape, kind, offset in infos:
        if name in tensors:
            raise InputError(show(name), "the tensor occurs twice")
        tensors[name] = None
        if kind == _FLOAT32:
            begin, count = start + offset, 1
            for length in shape:
                count *= length
            if begin + 4 * count > len(data):
                raise InputError(
                    show(name), f"a tensor of shape {shape}, but the file is cut short"
                )
            tensors[name] = np.frombuffer(data, "<f4", count, begin).reshape(shape)
    return Gguf(pairs=pairs, tensors=tensors)


def _counted(count: int) -> range:
    """Range that may be longer than a list can be; the end of the file ends it."""
    return range(count)


def _tensor_info(reader: _Reader) -> tuple[str, tuple[int, ...], int, int]:
    name = reader.text()
    dimensions = reader.number("<I")
    if dimensions > _MOST_DIMENSIONS:
        raise InputError(show(name), f"{dimensions} dimensions, GGUF has at most 4")
    shape = tuple(reader.number("<Q") for _ in range(dimensions))[::-1]
    return name, shape, reader.number("<I"), reader.number("<Q")


def gguf_bytes(pairs: Mapping[str, Any], tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    """Return the content of a GGUF file; pairs are text, lists of text and unsigned integers."""
    head = bytearray(MAGIC + struct.pack("<IQQ", _VERSIONS[-1], len(tensors), len(pairs)))
    for key, value in pairs.items():
        head += _packed(key)
        match value:
            case str():
                head += struct.pack("<I", _STRING) + _packed(value)
            case list():
                head += struct.pack("<IIQ", _ARRAY, _STRING, len(value))
                head += b"".join(map(_packed, value))
            case _:
                head += struct.pack("<II", _UINT32, value)
    body = bytearray()
    for name, tensor in tensors.items():
        shape = tensor.shape[::-1]
        head += (
            _packed(name) + struct.pack("<I", len(shape)) + struct.pack(f"<{len(shape)}Q", *shape)
        )
        head += struct.pack("<IQ", _FLOAT32, len(body))
        body += tensor.astype("<f4").tobytes()
        body += bytes(-len(body) % _ALIGNMENT)
    return bytes(head + bytes(-len(head) % _ALIGNMENT) + body)


def _packed(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data
