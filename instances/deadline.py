"""Time limits that methods check themselves."""

import math
import time
from dataclasses import dataclass


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
        return cls(math.inf if time_limit is None else time.monotonic() + time_limit)

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return time.monotonic() >= self.at

    @property
    def remaining(self) -> float:
        """Seconds that are left, never negative; infinite without a limit."""
        return max(0.0, self.at - time.monotonic())
