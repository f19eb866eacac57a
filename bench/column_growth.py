"""How far column-enumeration goes: Mixtral-like layers on growing numbers of servers.

    python -m bench.column_growth [SECONDS]

prints for each number of servers and seed whether the optimum was proven within the limit (600 s
unless given), the certified gap, and processor time. The start is the best of a heuristic, whose
time is not counted.
"""

import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

from formulations.column_enumeration import column_enumeration
from heuristics import HEURISTICS
from instances.architectures import ARCHITECTURES
from instances.families.assembly import Workload, assemble
from instances.placement import Placement
from instances.problem import Instance
from instances.result import judge
from instances.routing import MIXTRAL_LIKE

LAYERS = 32
USERS = 40
TOKENS = 400
SERVERS = (3, 4, 5, 6)
SEEDS = (0, 1)
LIMIT_S = 600.0


def make_instance(servers: int, seed: int) -> Instance:
    """Make a model of 32 layers of 8 experts, of which each server holds about a fifth."""
    workload = Workload(
        architecture=ARCHITECTURES.get("mixtral-8x7b"),
        layers=LAYERS,
        precision="bf16",
        users=USERS,
        tokens=TOKENS,
        router=MIXTRAL_LIKE["linear-router"],
    )
    name = f"mixtral-{LAYERS}x{servers}-s{seed}"
    return assemble(name, ("column-growth", servers, seed), workloads=(workload,), servers=servers)


def main() -> None:
    """Measure and print."""
    limit_s = float(sys.argv[1]) if len(sys.argv) > 1 else LIMIT_S
    column_enumeration(make_instance(2, 0), rng=np.random.default_rng(0))  # compile
    table = Table("servers", "seed", "saving", "proven", "certified gap", "CPU s", "s")
    for servers in SERVERS:
        for seed in SEEDS:
            instance = make_instance(servers, seed)
            start = HEURISTICS.get("layer-generation").solve(
                instance, rng=np.random.default_rng(seed), time_limit=limit_s
            )
            placement = start if isinstance(start, Placement) else start.placement
            cpu, wall = time.process_time(), time.perf_counter()
            outcome = column_enumeration(
                instance, rng=np.random.default_rng(seed), time_limit=limit_s, start=placement
            )
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            result = judge(instance, outcome, seconds=wall)
            table.add_row(
                str(servers),
                str(seed),
                f"{result.saving_ms:.6f}",
                "yes" if outcome.proven_optimal else "no",
                f"{100 * result.gap:.4f} %",
                f"{cpu:.1f}",
                f"{wall:.1f}",
            )
    Console().print(table)


if __name__ == "__main__":
    main()
