"""Every kernel by itself, with the arguments of the largest of many calls that were recorded.

``pytest bench/test_kernels.py --benchmark-only``. Kernels write into their arguments, so each round
gets a fresh copy, outside of the time that counts.
"""

import functools
import time

import pytest

from bench.instructions.calls import Arguments, copied, num_bytes
from bench.instructions.floor import kernel, public_kernels
from bench.instructions.scenes import record_calls

ENOUGH_S = 0.1
"""Rounds are repeated until about this much time has been spent, at most :data:`MAX_ROUNDS`."""
MAX_ROUNDS = 200


@functools.cache
def recorded() -> dict[str, Arguments]:
    """Return the arguments for every kernel; recorded once."""
    return record_calls()


@pytest.mark.parametrize("name", public_kernels())
def test_kernel(benchmark, name: str) -> None:
    function, arguments = kernel(name), recorded()[name]
    function(*copied(arguments))  # compile
    begin = time.perf_counter()
    function(*copied(arguments))
    seconds = time.perf_counter() - begin
    benchmark.group = name.rpartition(".")[0]
    benchmark.extra_info["bytes"] = num_bytes(arguments)
    benchmark.pedantic(
        function,
        setup=lambda: (copied(arguments), {}),
        rounds=max(1, min(MAX_ROUNDS, int(ENOUGH_S / seconds))),
        iterations=1,
    )
