"""Time limits that methods check themselves."""

import itertools
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

_CLOCK: ContextVar[Callable[[], float]] = ContextVar("clock", default=time.monotonic)


@contextmanager
def counting_looks() -> Iterator[None]:
    """Let every look at the clock take one second, whatever time really passes.

    A method that is given ``n`` seconds is then stopped at its ``n``-th look, on every machine at
    the same point: this is how conformance tests interrupt a method half-way.
    """
    looks = itertools.count()
    token = _CLOCK.set(lambda: float(next(looks)))
    try:
        yield
    finally:
        _CLOCK.reset(token)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time after which a method returns what it has.

    Parameters
    ----------
    at
        Value of :func:`time.monotonic` at which time is up; infinite for no limit.
    """

    at: float

    @classmethod
    def after(cls, time_limit: float | None) -> "Deadline":
        """Start the clock: time is up ``time_limit`` seconds from now; None for no limit."""
        return cls(math.inf if time_limit is None else _CLOCK.get()() + time_limit)

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return _CLOCK.get()() >= self.at

    @property
    def remaining(self) -> float:
        """Seconds that are left, never negative; infinite without a limit."""
        return max(0.0, self.at - _CLOCK.get()())
