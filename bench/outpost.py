"""A process beside a Dask worker that runs sandboxed solves for it.

A Dask worker is a program of threads, and often a daemon that may have no children of its own. So
it starts this process once, which has a fork server like any ``moeplace run``, and asks it for one
solve after the other. When the worker dies, by whatever means, the pipe between them closes, and
the solve in flight ends with everything that belongs to it.
"""

import os
import pickle
import select
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from bench.environment import Environment, code_version, current_environment
from bench.plugins import algorithm_plugin
from bench.sandbox import Limits, PackedInstance, solve_in_sandbox
from bench.worker import Answer, pack
from instances.errors import InputError
from instances.placement import Placement
from instances.registry import Algorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A solve for another machine.

    Parameters
    ----------
    algorithm, seed, limits, start, parameters
        As for :class:`~bench.sandbox.SandboxedSolve`.
    code_version, plugin
        The code that asks, and the plug-in that the method is from; others refuse.
    """

    algorithm: Algorithm
    seed: int
    limits: Limits
    start: Placement | None
    parameters: Mapping[str, Any]
    code_version: str
    plugin: str = ""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The answer to an order, and the machine it was found on; or why there is none."""

    answer: Answer | None
    environment: Environment
    refusal: InputError | None = None


class Outpost:
    """The process, seen from its Dask worker; one for each thread that asks."""

    _own = threading.local()

    def __init__(self) -> None:
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        words = [sys.executable, "-m", "bench.outpost", str(theirs_in), str(theirs_out)]
        self._process = subprocess.Popen(
            words, pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._orders = Connection(ours_out, readable=False)
        self._deliveries = Connection(ours_in, writable=False)

    @classmethod
    def of_this_thread(cls) -> "Outpost":
        """Return the process of the calling thread; a dead one is replaced."""
        outpost = getattr(cls._own, "outpost", None)
        if outpost is None or not outpost.alive:
            outpost = cls._own.outpost = cls()
        return outpost

    @property
    def alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def ask(self, order: bytes, content: bytes) -> bytes:
        """Send an order and the bytes of its instance, and return the bytes of the delivery.

        Raises
        ------
        EOFError, OSError
            When the process has died.
        """
        self._orders.send_bytes(order)
        self._orders.send_bytes(content)
        return self._deliveries.recv_bytes()


def serve(orders: Connection, deliveries: Connection) -> None:
    """Answer orders until nobody can send any more."""
    while True:
        try:
            order: Order = pickle.loads(orders.recv_bytes())
            content = orders.recv_bytes()
        except EOFError:
            return
        deliveries.send_bytes(pack(_deliver(order, content)))


def _deliver(order: Order, content: bytes) -> Delivery:
    environment = current_environment()
    here, wanted = code_version(), order.code_version
    if here == wanted and algorithm_plugin(order.algorithm) != order.plugin:
        here, wanted = algorithm_plugin(order.algorithm), order.plugin
    if here != wanted:
        problem = f"runs {here or 'moeplace alone'} where {wanted} is needed"
        return Delivery(None, environment, InputError("--scheduler", f"a Dask worker {problem}"))
    packed = PackedInstance(pickle.loads(content), content)
    try:
        answer = solve_in_sandbox(
            order.algorithm,
            packed,
            seed=order.seed,
            limits=order.limits,
            start=order.start,
            parameters=order.parameters,
        )
    except InputError as error:
        return Delivery(None, environment, error)
    return Delivery(answer, environment)


def _end_with_the_worker(orders: int) -> None:
    """Wait until nobody can send orders any more, and leave, whatever goes on."""
    hang_up = select.poll()
    hang_up.register(orders, 0)  # no event but that one, which cannot be masked
    hang_up.poll()
    os._exit(0)  # the kernel tells the fork server, which takes the solve in flight with it


def main() -> None:
    """Serve on the pipes whose numbers are the arguments."""
    numbers = [int(word) for word in sys.argv[1:3]]
    for number in numbers:
        os.set_inheritable(number, False)
    threading.Thread(target=_end_with_the_worker, args=(numbers[0],), daemon=True).start()
    serve(Connection(numbers[0], writable=False), Connection(numbers[1], readable=False))


if __name__ == "__main__":
    # Under its own name: a fork of the fork server would import ``__main__`` once more.
    from bench.outpost import main as serve_here

    serve_here()
