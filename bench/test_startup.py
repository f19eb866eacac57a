"""Start-up of the command line; the number in brackets is the ratio to the fastest."""

import subprocess
import sys

import pytest

PROGRAMS = {
    "moeplace-help": ["-m", "bench.cli", "--help"],
    "moeplace-list-heuristics": ["-m", "bench.cli", "list", "heuristics"],
    "import-numpy-and-pandas": ["-c", "import numpy, pandas"],
}


@pytest.mark.benchmark(group="start-up", max_time=1.0, min_rounds=3)
@pytest.mark.parametrize("name", PROGRAMS)
def test_start_up(benchmark, name: str) -> None:
    command = [sys.executable, *PROGRAMS[name]]
    benchmark(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)
