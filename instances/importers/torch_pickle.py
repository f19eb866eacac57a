"""The part of pickle that torch.save writes for plain data and tensors, read without running it.

A pickle is a program for a stack machine, and Python's machine runs whatever it names. This one
knows the instructions of protocol 2 that build numbers, text, lists, tuples, dicts, ordered dicts
and tensors; a name outside :data:`_NAMES` or another instruction ends it. Nothing is called, and
no memory is taken on the word of the file.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import show

STORAGES: dict[str, str] = {
    "ByteStorage": "u1",
    "BoolStorage": "b1",
    "CharStorage": "i1",
    "ShortStorage": "i2",
    "IntStorage": "i4",
    "LongStorage": "i8",
    "HalfStorage": "f2",
    "FloatStorage": "f4",
    "DoubleStorage": "f8",
}
"""Types of values, by the class that torch names."""

ORDERED_DICT = "collections OrderedDict"
REBUILD_TENSOR = "torch._utils _rebuild_tensor_v2"
_NAMES = {ORDERED_DICT, REBUILD_TENSOR, *(f"torch {name}" for name in STORAGES)}

_DEEPEST_MARK = 1000


@dataclass(frozen=True, slots=True)
class _Name:
    """A name that the pickle mentions."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    """A run of values in a member of the archive."""

    dtype: str
    key: str
    size: int


Load = Callable[[str, str, int], NDArray[Any]]
"""Returns the values of a storage, given its type, its key and their number."""


class _Machine:
    """The stack machine."""

    def __init__(self, data: bytes, load: Load) -> None:
        self._data = data
        self._load = load
        self._at = 0
        self._stack: list[Any] = []
        self._marks: list[list[Any]] = []
        self._memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Return what the program builds."""
        while True:
            code = self._take(1)[0]
            if code == 0x2E:  # STOP
                if len(self._stack) != 1 or self._marks:
                    raise _malformed("it ends with values left over")
                return _contained(self._stack[0])
            step = _STEPS.get(code)
            if step is None:
                raise _malformed(f"instruction {bytes([code])!r}, which torch.save does not write")
            step(self)

    def _take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise _malformed("it is cut short")
        self._at += count
        return taken

    def _number(self, form: str) -> int:
        value: int = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return value

    def _line(self) -> str:
        end = self._data.find(b"\n", self._at)
        if end < 0:
            raise _malformed("it is cut short")
        line = self._data[self._at : end]
        self._at = end + 1
        return _text(line)

    def _pop(self) -> Any:
        if not self._stack:
            raise _malformed("a value is missing")
        return self._stack.pop()

    def _pop_mark(self) -> list[Any]:
        if not self._marks:
            raise _malformed("a mark is missing")
        values, self._stack = self._stack, self._marks.pop()
        return values

    def _pop_many(self, count: int) -> list[Any]:
        if len(self._stack) < count:
            raise _malformed("a value is missing")
        values = self._stack[len(self._stack) - count :]
        del self._stack[len(self._stack) - count :]
        return values

    def _top(self, kind: type) -> Any:
        if not self._stack or not isinstance(self._stack[-1], kind):
            raise _malformed(f"no {kind.__name__} to add to")
        return self._stack[-1]

    def protocol(self) -> None:
        version = self._number("<B")
        if version != 2:
            raise _malformed(f"protocol {version}, where torch.save writes 2")

    def mark(self) -> None:
        if len(self._marks) >= _DEEPEST_MARK:
            raise _malformed("nested too deeply")
        self._marks.append(self._stack)
        self._stack = []

    def push(self, value: Any) -> None:
        self._stack.append(value)

    def memorise(self, form: str) -> None:
        index = self._number(form)
        if not self._stack:
            raise _malformed("a value is missing")
        self._memo[index] = self._stack[-1]

    def recall(self, form: str) -> None:
        index = self._number(form)
        if index not in self._memo:
            raise _malformed(f"no value was kept under {index}")
        self._stack.append(self._memo[index])

    def integer(self, form: str) -> None:
        self._stack.append(self._number(form))

    def long_integer(self) -> None:
        self._stack.append(int.from_bytes(self._take(self._number("<B")), "little", signed=True))

    def real(self) -> None:
        self._stack.append(struct.unpack(">d", self._take(8))[0])

    def text(self) -> None:
        self._stack.append(_text(self._take(self._number("<I"))))

    def tuple_of(self, count: int) -> None:
        self._stack.append(tuple(self._pop_many(count)))

    def tuple_to_mark(self) -> None:
        values = self._pop_mark()
        self._stack.append(tuple(values))

    def append(self) -> None:
        value = _contained(self._pop())
        self._top(list).append(value)

    def appends(self) -> None:
        values = self._pop_mark()
        self._top(list).extend(map(_contained, values))

    def set_item(self) -> None:
        key, value = self._pop_many(2)
        self._set(self._top(dict), [key, value])

    def set_items(self) -> None:
        values = self._pop_mark()
        self._set(self._top(dict), values)

    def _set(self, target: dict[Any, Any], values: list[Any]) -> None:
        if len(values) % 2:
            raise _malformed("a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) not in (str, int, float, bool):
                raise _malformed(f"a key of type {type(key).__name__}")
            if key in target:
                raise InputError("", f"the field {show(key)} occurs twice")
            target[key] = _contained(value)

    def name(self) -> None:
        name = f"{self._line()} {self._line()}"
        if name not in _NAMES:
            raise InputError("", f"names {show(name)}; only plain data and tensors are read")
        self._stack.append(_Name(name))

    def storage(self) -> None:
        what = self._pop()
        match what:
            case ("storage", _Name(name), str(key), str(), int(size)) if (
                name.startswith("torch ") and type(size) is int and size >= 0
            ):
                dtype = STORAGES[name.removeprefix("torch ")]
                self._stack.append(_Storage(dtype, key, size))
            case _:
                raise _malformed("a storage that is not described as torch.save does")

    def call(self) -> None:
        function, arguments = self._pop_many(2)
        match function, arguments:
            case _Name(name), () if name == ORDERED_DICT:
                self._stack.append({})
            case _Name(name), (_Storage() as storage, offset, size, stride, bool(), dict()) if (
                name == REBUILD_TENSOR
            ):
                values = self._load(storage.dtype, storage.key, storage.size)
                self._stack.append(_tensor(values, offset, size, stride))
            case _:
                raise _malformed("a call that torch.save does not write for tensors")


_STEPS: dict[int, Callable[[_Machine], None]] = {
    0x80: _Machine.protocol,
    0x28: _Machine.mark,  # (
    0x4E: lambda machine: machine.push(None),  # N
    0x88: lambda machine: machine.push(True),
    0x89: lambda machine: machine.push(False),
    0x4B: lambda machine: machine.integer("<B"),  # K
    0x4D: lambda machine: machine.integer("<H"),  # M
    0x4A: lambda machine: machine.integer("<i"),  # J
    0x8A: _Machine.long_integer,
    0x47: _Machine.real,  # G
    0x58: _Machine.text,  # X
    0x5D: lambda machine: machine.push([]),  # ]
    0x7D: lambda machine: machine.push({}),  # }
    0x29: lambda machine: machine.push(()),  # )
    0x85: lambda machine: machine.tuple_of(1),
    0x86: lambda machine: machine.tuple_of(2),
    0x87: lambda machine: machine.tuple_of(3),
    0x74: _Machine.tuple_to_mark,  # t
    0x61: _Machine.append,  # a
    0x65: _Machine.appends,  # e
    0x73: _Machine.set_item,  # s
    0x75: _Machine.set_items,  # u
    0x71: lambda machine: machine.memorise("<B"),  # q
    0x72: lambda machine: machine.memorise("<I"),  # r
    0x68: lambda machine: machine.recall("<B"),  # h
    0x6A: lambda machine: machine.recall("<I"),  # j
    0x63: _Machine.name,  # c
    0x51: _Machine.storage,  # Q
    0x52: _Machine.call,  # R
}


def read_pickle(data: bytes, load: Load) -> Any:
    """Return what a pickle of torch.save holds; tensors are arrays, read-only.

    Raises
    ------
    InputError
        When it holds anything but plain data and tensors.
    """
    return _Machine(data, load).run()


def _contained(value: Any) -> Any:
    """Return a value that a container may hold: no parts of tensors, and no nested tuples."""
    if isinstance(value, _Name | _Storage):
        raise _malformed("a part of a tensor without a tensor")
    if isinstance(value, tuple) and not all(
        item is None or type(item) in (int, float, bool, str) for item in value
    ):
        raise _malformed("a tuple of more than plain values")
    return value


def _tensor(values: NDArray[Any], offset: Any, size: Any, stride: Any) -> NDArray[Any]:
    """Return the view of a storage that a tensor is."""
    numbers = (offset, *size, *stride) if type(size) is type(stride) is tuple else (None,)
    if not all(type(number) is int and number >= 0 for number in numbers) or len(size) != len(
        stride
    ):
        raise _malformed("a tensor with sizes that are none")
    if len(size) > 8:
        raise _malformed(f"a tensor of {len(size)} dimensions")
    count = 1
    for length in size:
        count *= length
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    # More elements than values would be a small file that becomes a large array.
    if count and (last >= values.size or count > values.size):
        raise _malformed(f"a tensor of shape {size} in a storage of {values.size} values")
    if not count:
        return np.zeros(size, dtype=values.dtype)
    return np.lib.stride_tricks.as_strided(
        values[offset:], size, tuple(step * values.itemsize for step in stride), writeable=False
    )


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _malformed(f"text that is not UTF-8: {error.reason}") from None


def _malformed(problem: str) -> InputError:
    return InputError("data.pkl", f"not a pickle that can be read: {problem}")
