"""Replays recorded calls of kernels: ``python -m bench.instructions.replay CALLS [PART]``.

The child of :mod:`bench.instructions.callgrind`. Without valgrind it compiles the kernels into the
cache and ends; under valgrind each call is counted by itself, and nothing else is.
"""

import ctypes
import gc
import mmap
import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.instructions.calls import Arguments, copied
from bench.instructions.floor import kernel

NOTHING, FIRST = "nothing", "first"
"""Names of the count of a call that does nothing, which is what counting itself costs, and of
counts that do not count."""

_RUNNING_ON_VALGRIND = 0x1001
_CALLGRIND = ord("C") << 24 | ord("T") << 16
_ZERO, _DUMP_AT, _START = _CALLGRIND + 1, _CALLGRIND + 3, _CALLGRIND + 4

# A request to valgrind is a sequence of instructions that does nothing elsewhere: four rotations by
# 128 bits in all, and an exchange of a register with itself (valgrind.h). It takes the address of
# the request in rax, and what to answer without valgrind in rdx, where the answer comes back.
_REQUEST = bytes.fromhex(
    "4889f8"  # mov rax, rdi
    "31d2"  # xor edx, edx
    "48c1c703 48c1c70d 48c1c73d 48c1c733"  # rol rdi by 3, 13, 61, 51
    "4887db"  # xchg rbx, rbx
    "4889d0"  # mov rax, rdx
    "c3"  # ret
)


class Valgrind:
    """Requests to the valgrind that runs this process (x86-64)."""

    def __init__(self) -> None:
        self._page = mmap.mmap(
            -1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
        )
        self._page.write(_REQUEST)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def ask(self, request: int, argument: bytes = b"") -> int:
        """Send a request with a text; return the answer, 0 without valgrind."""
        text = ctypes.create_string_buffer(argument)
        words = (ctypes.c_uint64 * 6)(request, ctypes.addressof(text))
        return int(self._function(ctypes.addressof(words)))

    @property
    def runs(self) -> bool:
        """Whether there is a valgrind."""
        return self.ask(_RUNNING_ON_VALGRIND) > 0


def replay(calls: dict[str, Arguments]) -> None:
    """Call each kernel once to load it, and under valgrind once more to count."""
    functions: dict[str, Callable[..., Any]] = dict.fromkeys((FIRST, NOTHING), lambda: None)
    functions |= {name: kernel(name) for name in calls}
    calls = {NOTHING: (), **calls}
    for name, arguments in calls.items():
        functions[name](*copied(arguments))
    valgrind = Valgrind()
    if not valgrind.runs:
        return
    gc.disable()
    valgrind.ask(_START)
    for name in (*[FIRST] * 10, *calls):  # Python itself becomes faster over the first few
        function, fresh = functions[name], copied(calls.get(name, ()))
        valgrind.ask(_ZERO)
        function(*fresh)
        valgrind.ask(_DUMP_AT, name.encode())


def part_of(calls: dict[str, Arguments], part: str) -> dict[str, Arguments]:
    """Return every n-th call from the i-th on, for ``i/n``.

    >>> list(part_of({"a": (), "b": (), "c": ()}, "1/2"))
    ['b']
    """
    first, step = map(int, part.split("/"))
    return dict(list(calls.items())[first::step])


if __name__ == "__main__":
    read = pickle.loads(Path(sys.argv[1]).read_bytes())
    replay(part_of(read, sys.argv[2]) if len(sys.argv) > 2 else read)
