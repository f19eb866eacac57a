"""What a method tells on its way, written where no death of its process can take it away.

A pipe that nobody reads in time would stop the method, and what a process has buffered dies with
it. So a :class:`Recorder` writes to files in the scratch folder of the solve, at once and with a
small share of the method's time, and :func:`read_told` reads them when the method has ended: what
was told is judged when no clock runs any more.

``history`` holds records one after the other, thinned as time goes on; ``latest`` holds the newest
one that the history has left out, and is replaced as a whole.
"""

import os
import struct
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from instances.placement import Placement
from instances.result import Outcome

PAUSE_S = 0.005
"""Time between two records; what a method tells meanwhile waits, and the newest of it is kept."""

PAUSE_FACTOR = 50.0
"""The same in units of the time that the last record took: telling takes 2 % of the time."""

SPACING = 0.02
"""Time between two records of the history, as a share of the time that has passed."""

HISTORY_BYTES = 64_000_000
"""The history grows to this size; then only the latest record is kept up to date."""

_HEADER = struct.Struct("<dddBqqII")
"""Seconds, claimed saving, bound, flags, servers, experts, bytes of the placement, checksum."""

_CERTIFIED, _PLACED = 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a method has told at one moment; nothing in it is trusted.

    Parameters
    ----------
    seconds
        Time since the method began.
    placement
        The best placement so far; None when there is none yet.
    claimed_saving_ms
        The method's own value of it; NaN when it has none.
    bound_saving_ms, bound_certified
        The best bound so far, infinite when unknown, and whether it holds in exact arithmetic.
    """

    seconds: float
    placement: Placement | None
    claimed_saving_ms: float
    bound_saving_ms: float
    bound_certified: bool


class Recorder:
    """Writes down what a method tells; handed to it as ``on_progress``.

    Parameters
    ----------
    folder
        Where the files go.
    clock
        Seconds since any moment.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.perf_counter) -> None:
        self._latest = folder / "latest"
        self._history = folder / "history"
        self._clock = clock
        self._began = clock()
        self._lock = threading.Lock()
        self._waiting: tuple[float, Outcome] | None = None
        self._timer: threading.Timer | None = None
        self._free_from = 0.0
        self._history_at = -1.0
        self._history_bytes = 0
        self._packed: tuple[Placement | None, bytes] = (None, b"")

    def begin(self) -> None:
        """Start the clock of the time stamps."""
        self._began = self._clock()

    def __call__(self, outcome: Outcome) -> None:
        """Write what is told, now or a moment later.

        Raises
        ------
        TypeError
            When it is not an outcome.
        """
        if not isinstance(outcome, Outcome):
            raise TypeError(f"on_progress got {type(outcome).__name__}, not an Outcome")
        with self._lock:
            seconds = self._clock() - self._began
            self._waiting = (seconds, outcome)
            if seconds >= self._free_from:
                self._write()
            elif self._timer is None:
                self._timer = threading.Timer(self._free_from - seconds, self._wake)
                self._timer.daemon = True
                try:
                    self._timer.start()
                except RuntimeError:  # no memory for a thread under the cap
                    self._timer = None
                    self._write()

    def finish(self) -> None:
        """Write what waits."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._write()

    def _wake(self) -> None:
        with self._lock:
            self._timer = None
            self._write()

    def _write(self) -> None:
        if self._waiting is None:
            return
        seconds, outcome = self._waiting
        self._waiting = None
        begin = self._clock()
        content = self._encode(seconds, outcome)
        spaced = seconds - self._history_at >= SPACING * seconds
        if spaced and self._history_bytes + len(content) <= HISTORY_BYTES:
            with self._history.open("ab", buffering=0) as file:
                file.write(content)
            self._history_at = seconds
            self._history_bytes += len(content)
        else:
            part = self._latest.with_suffix(".part")
            part.write_bytes(content)
            os.replace(part, self._latest)
        now = self._clock()
        self._free_from = now - self._began + max(PAUSE_S, PAUSE_FACTOR * (now - begin))

    def _encode(self, seconds: float, outcome: Outcome) -> bytes:
        placement = outcome.placement
        if placement is not self._packed[0]:
            bits = b"" if placement is None else np.packbits(placement.stored).tobytes()
            self._packed = (placement, zlib.compress(bits, 1))
        body = b"" if placement is None else self._packed[1]
        shape = (0, 0) if placement is None else placement.stored.shape
        flags = _CERTIFIED * bool(outcome.bound_certified) + _PLACED * (placement is not None)
        numbers = (seconds, outcome.claimed_saving_ms, outcome.bound_saving_ms, flags, *shape)
        checksum = zlib.crc32(body, zlib.crc32(_HEADER.pack(*numbers, len(body), 0)))
        return _HEADER.pack(*numbers, len(body), checksum) + body


def read_told(folder: Path) -> tuple[Told, ...]:
    """Return what was told, in the order of time; a record that was cut off by a kill is left out.

    Parameters
    ----------
    folder
        Where a :class:`Recorder` has written.
    """
    told = [
        record
        for name in ("history", "latest")
        if (folder / name).is_file()
        for record in _decode((folder / name).read_bytes())
    ]
    return tuple(sorted(told, key=lambda record: record.seconds))


def _decode(content: bytes) -> list[Told]:
    told: list[Told] = []
    position = 0
    earlier: tuple[bytes, Placement | None] = (b"", None)
    while position + _HEADER.size <= len(content):
        *numbers, length, checksum = _HEADER.unpack_from(content, position)
        position += _HEADER.size
        body = content[position : position + length]
        position += length
        if checksum != zlib.crc32(body, zlib.crc32(_HEADER.pack(*numbers, length, 0))):
            break
        seconds, claimed, bound, flags, servers, experts = numbers
        placement = None
        if flags & _PLACED:
            placement = earlier[1] if body == earlier[0] else _unpack(body, servers, experts)
            earlier = (body, placement)
        told.append(
            Told(
                seconds=seconds,
                placement=placement,
                claimed_saving_ms=claimed,
                bound_saving_ms=bound,
                bound_certified=bool(flags & _CERTIFIED),
            )
        )
    return told


def _unpack(body: bytes, servers: int, experts: int) -> Placement:
    bits = np.frombuffer(zlib.decompress(body), dtype=np.uint8)
    stored = np.unpackbits(bits, count=servers * experts).astype(np.bool_)
    return Placement(stored.reshape(servers, experts))
