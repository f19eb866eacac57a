"""Solves on a Dask cluster: the same sandbox on many machines, behind the interface of the pool.

Dask runs a task again when the worker that had it dies, and a late duplicate is possible then. The
store is written here, by one process, once for each request: every job ends exactly once.
"""

import hashlib
import pickle
import queue
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from bench.environment import code_version, current_environment
from bench.outpost import Delivery, Order, Outpost
from bench.plugins import algorithm_plugin
from bench.pool import Done, Request
from bench.sandbox import PackedInstance
from bench.worker import failure, pack
from instances.errors import InputError
from instances.result import StopReason

CONNECT_S = 20.0
"""How long the scheduler may take to answer."""

AHEAD = 2
"""Solves handed to the cluster for each of its threads: one that runs, one that waits there."""

LOOK_S = 2.0
"""How often the number of threads is asked for; workers come and go."""


def hold(content: bytes) -> bytes:
    """Keep an instance on the cluster; a task, so that it is made again when its holder dies."""
    return content


def solve_there(order: bytes, content: bytes) -> bytes:
    """Run a solve beside the Dask worker that this is called in."""
    return Outpost.of_this_thread().ask(order, content)


class Cluster:
    """Runs solves on a Dask cluster.

    Parameters
    ----------
    address
        Of the scheduler: ``tcp://HOST:8786``.

    Raises
    ------
    InputError
        When Dask is not installed or the scheduler does not answer.
    """

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            problem = "needs Dask, which is not installed: moeplace[cluster] brings it"
            raise InputError("--scheduler", problem) from error
        try:
            self._client = distributed.Client(
                address, timeout=CONNECT_S, set_as_default=False, name="moeplace"
            )
        except (OSError, ValueError, TimeoutError) as error:
            problem = f"no Dask scheduler answers at {address!r}"
            raise InputError("--scheduler", problem) from error
        self._address = address
        self._killed_worker: type[BaseException] = distributed.KilledWorker
        self._finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._flying: dict[str, tuple[Any, Done]] = {}
        self._held: tuple[PackedInstance | None, Any] = (None, None)
        self._threads = 0
        self._looked_at = -LOOK_S
        self._count = 0

    def submit(
        self, request: Request, done: Done, begun: Callable[[], None] = lambda: None
    ) -> None:
        """Hand a solve to the cluster as soon as it has room; ``done`` gets its answer."""
        self.wait_for_room()
        begun()
        request.algorithm.check_parameters(request.parameters)
        order = Order(
            algorithm=request.algorithm,
            seed=request.seed,
            limits=request.limits,
            start=request.start,
            parameters=dict(request.parameters),
            code_version=code_version(),
            plugin=algorithm_plugin(request.algorithm),
        )
        self._count += 1
        future = self._client.submit(
            solve_there,
            pack(order),
            self._hold(request.packed),
            key=f"moeplace-solve-{self._client.id}-{self._count}",
            pure=False,
        )
        self._flying[future.key] = (future, done)
        future.add_done_callback(self._finished.put)

    def wait_for_room(self) -> None:
        """Wait until there are fewer solves on the cluster than it can make use of."""
        while len(self._flying) >= max(1, AHEAD * self._num_threads()):
            self.step()

    def drain(self) -> None:
        """Wait for all solves."""
        while self._flying:
            self.step()

    def step(self) -> None:
        """Wait until something happens, and hand over an answer that has come.

        Raises
        ------
        InputError
            When the scheduler is gone, or a worker refuses.
        """
        try:
            future = self._finished.get(timeout=LOOK_S)
        except queue.Empty:
            return
        if future.key not in self._flying:
            return
        _, done = self._flying.pop(future.key)
        if future.status == "cancelled":
            problem = f"the scheduler at {self._address} is gone; the same command continues"
            raise InputError("--scheduler", problem)
        error = future.exception() if future.status == "error" else None
        if error is None:
            delivery: Delivery = pickle.loads(future.result())
            if delivery.refusal is not None:
                raise delivery.refusal
            if delivery.answer is None:
                raise ValueError("a delivery with neither answer nor refusal")
            done(delivery.answer, delivery.environment)
        elif isinstance(error, (self._killed_worker, EOFError, OSError)):
            reason = f"each Dask worker that tried has died: {' '.join(str(error).split())[:300]}"
            done(failure(StopReason.CRASHED, reason), current_environment())
        else:
            problem = f"a Dask worker raised {type(error).__name__}: {error}"
            hint = "the same moeplace has to be installed on every worker"
            raise InputError("--scheduler", f"{problem}; {hint}") from error

    def _hold(self, packed: PackedInstance) -> Any:
        if self._held[0] is not packed:
            digest = hashlib.sha256(packed.content).hexdigest()
            future = self._client.submit(
                hold, packed.content, key=f"moeplace-instance-{digest}", pure=True
            )
            self._held = (packed, future)
        return self._held[1]

    def _num_threads(self) -> int:
        now = time.monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._threads = sum(self._client.nthreads().values())
        return self._threads

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for future, _ in self._flying.values():
            future.cancel()
        self._flying.clear()
        self._client.close()
