"""The same work on each of many things, by several threads.

Layers are independent in many steps. Their kernels let go of the interpreter's lock (``nogil``),
so threads of one process work side by side, on the same arrays. Results come in the order of the
things, whatever the number of threads: no answer depends on it, unless time runs out.
"""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from instances.errors import InputError

T = TypeVar("T")
R = TypeVar("R")


def require_threads(threads: object) -> int:
    """Return a number of threads that a user has asked for.

    Raises
    ------
    InputError
        When it is not a whole number of at least 1.
    """
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise InputError("threads", f"{threads!r} is not a whole number >= 1")
    return threads


def mapped(function: Callable[[T], R], items: Iterable[T], threads: int) -> list[R]:
    """Return what the function makes of each item, in their order.

    An exception of one item is raised when its turn has come; items that have not begun then never
    do.
    """
    if threads == 1:
        return [function(item) for item in items]
    with ThreadPoolExecutor(threads) as pool:
        try:
            return list(pool.map(function, items))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
