"""Two sides of a comparison: timed in turn, their results held against each other."""

import math
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import ArrayLike

Ours = TypeVar("Ours")
Theirs = TypeVar("Theirs")

TOLERANCE = 1e-9
"""Relative difference of two values that count as the same."""


class DisagreementError(Exception):
    """The two sides of a comparison have different results, so that their times mean nothing."""


class MissingPeerError(Exception):
    """What to compare with is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seconds:
    """The best of several repeats; wall clock, and processor time with that of child processes."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Parameters
    ----------
    comparison
        Its name, as ``--only`` takes it.
    case
        The instance.
    ours, peer
        What is timed on either side.
    checked
        What was found to be the same, or why nothing was measured.
    ours_s, peer_s
        Times; None where the peer is not installed.
    finished
        The peer came to its end; otherwise its time is how long it was given, and the ratio is a
        lower bound.
    detail
        Further figures: numbers, texts, and lists of them.
    """

    comparison: str
    case: str
    ours: str
    peer: str
    checked: str
    ours_s: Seconds | None = None
    peer_s: Seconds | None = None
    finished: bool = True
    detail: Mapping[str, object] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """How many times faster moeplace is, by the wall clock; NaN when not measured."""
        if self.ours_s is None or self.peer_s is None:
            return math.nan
        return self.peer_s.wall / self.ours_s.wall

    @property
    def cpu_ratio(self) -> float:
        """The same in processor time."""
        if self.ours_s is None or self.peer_s is None:
            return math.nan
        return self.peer_s.cpu / self.ours_s.cpu


@dataclass(frozen=True, slots=True, kw_only=True)
class Race(Generic[Ours, Theirs]):
    """Best times of both sides, and the result of the last call of each."""

    ours_s: Seconds
    peer_s: Seconds
    ours: Ours
    peer: Theirs


def race(
    ours: Callable[[], Ours], peer: Callable[[], Theirs], *, rounds: int, calls: int = 1
) -> Race[Ours, Theirs]:
    """Call both sides in turn, several rounds of it, after one call of ours that is not timed.

    Parameters
    ----------
    rounds
        How often the peer is called.
    calls
        Calls of ours in each round, each timed alone: more where ours takes microseconds.
    """
    ours()
    our_times, peer_times = [], []
    for _ in range(rounds):
        for _ in range(calls):
            our_result, seconds = timed(ours)
            our_times.append(seconds)
        peer_result, seconds = timed(peer)
        peer_times.append(seconds)
    return Race(ours_s=best(our_times), peer_s=best(peer_times), ours=our_result, peer=peer_result)


def timed(call: Callable[[], Ours]) -> tuple[Ours, Seconds]:
    """Return what a call returns, and its time."""
    wall, cpu = time.perf_counter(), cpu_seconds()
    result = call()
    return result, Seconds(wall=time.perf_counter() - wall, cpu=cpu_seconds() - cpu)


def best(times: list[Seconds]) -> Seconds:
    """Return the shortest times, which need not be of one and the same call."""
    return Seconds(wall=min(t.wall for t in times), cpu=min(t.cpu for t in times))


def cpu_seconds() -> float:
    """Processor time of this process, and of the children that have ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def require_same(what: str, ours: float, peer: float, *, tolerance: float = TOLERANCE) -> str:
    """Check that two values are the same; return what to write into the table.

    Raises
    ------
    DisagreementError
        When they differ by more than the tolerance, relatively.
    """
    if not math.isclose(ours, peer, rel_tol=tolerance, abs_tol=0.0):
        raise DisagreementError(f"{what}: moeplace says {ours!r}, the peer {peer!r}")
    return f"same {what}"


def require_equal(what: str, ours: ArrayLike, peer: ArrayLike) -> str:
    """Check that two arrays are equal, entry by entry; return what to write into the table.

    Raises
    ------
    DisagreementError
        When they have different shapes or some entry differs.
    """
    left, right = np.asarray(ours), np.asarray(peer)
    if left.shape != right.shape:
        raise DisagreementError(f"{what}: shapes {left.shape} and {right.shape}")
    for index in np.argwhere(left != right)[:1]:
        place = tuple(int(i) for i in index)
        raise DisagreementError(
            f"{what}{list(place)}: moeplace says {left[place]!r}, the peer {right[place]!r}"
        )
    return f"same {what}"


def titled(distribution: str, title: str = "") -> str:
    """Return a peer's name with its version.

    Raises
    ------
    MissingPeerError
        When it is not installed.
    """
    try:
        return f"{title or distribution} {metadata.version(distribution)}"
    except metadata.PackageNotFoundError:
        raise MissingPeerError(f"{distribution} is not installed") from None
