"""Calls of kernels, recorded while methods run: the arguments of the largest call of each.

What a kernel takes changes with the code that calls it; arguments that were recorded are always of
the right kind.
"""

import copy
import importlib
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bench.instructions.floor import Use, find_uses, kernel

Arguments = tuple[Any, ...]


class Recorder:
    """Stands for a kernel, and keeps a copy of the arguments of its largest call.

    Parameters
    ----------
    function
        The kernel.
    keep
        Told of arguments and their bytes before a call that is larger than all before.
    """

    def __init__(self, function: Any, keep: Callable[[Arguments, int], None]) -> None:
        self._function = function
        self._keep = keep
        self._most = -1

    def __call__(self, *arguments: Any) -> Any:
        """Call the kernel."""
        size = num_bytes(arguments)
        if size > self._most:
            self._most = size
            self._keep(copied(arguments), size)
        return self._function(*arguments)


class Recording:
    """The largest call of each kernel so far, by module and name."""

    def __init__(self) -> None:
        self.calls: dict[str, Arguments] = {}
        self._sizes: dict[str, int] = {}

    def keeper(self, name: str) -> Callable[[Arguments, int], None]:
        """Return what keeps the calls of a kernel: those larger than what is known."""

        def keep(arguments: Arguments, size: int) -> None:
            if size > self._sizes.get(name, -1):
                self._sizes[name] = size
                self.calls[name] = arguments

        return keep


@contextmanager
def recording() -> Iterator[Recording]:
    """Record the calls of all kernels that modules without kernels make."""
    record = Recording()
    undo: list[tuple[Any, str, Any]] = []
    try:
        for use in find_uses():
            owner, name = _owner(use, undo)
            undo.append((owner, name, getattr(owner, name)))
            setattr(owner, name, Recorder(kernel(use.kernel), record.keeper(use.kernel)))
        yield record
    finally:
        for owner, name, value in reversed(undo):
            setattr(owner, name, value)


def _owner(use: Use, undo: list[tuple[Any, str, Any]]) -> tuple[Any, str]:
    """Return where the name of a kernel can be replaced without that other kernels see it."""
    module: Any = importlib.import_module(use.module)
    if "." not in use.name:
        return module, use.name
    whole, function = use.name.split(".")
    inner = getattr(module, whole)
    if isinstance(inner, types.ModuleType):
        undo.append((module, whole, inner))
        inner = types.SimpleNamespace(**vars(inner))
        setattr(module, whole, inner)
    return inner, function


def num_bytes(value: Any) -> int:
    """Return the bytes of all arrays in arguments."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, tuple | list):
        return sum(map(num_bytes, value))
    return 0


def copied(value: Any) -> Any:
    """Copy arguments: kernels write into them. Numba must see the same types as before."""
    if isinstance(value, np.ndarray):
        array = value.copy(order="K")
        array.flags.writeable = value.flags.writeable
        return array
    if isinstance(value, tuple):
        inner = map(copied, value)
        return type(value)(*inner) if hasattr(value, "_fields") else tuple(inner)
    return copy.deepcopy(value)
