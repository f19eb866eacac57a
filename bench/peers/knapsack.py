"""What one server stores for K = 1 against the knapsack solver of OR-Tools."""

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from ortools.algorithms.python import knapsack_solver

from bench.peers.race import DisagreementError, Row, race, require_equal, titled
from heuristics.coverage import Coverage
from heuristics.knapsack_kernels import NODE_BUDGET, best_configuration
from instances.architectures import ARCHITECTURES
from instances.families.assembly import MIXED_PRECISION, Workload, assemble
from instances.routing import FINE_GRAINED

NAME = "knapsack"
SUMMARY = "the best experts for one server, K = 1: OR-Tools' knapsack solver"

SHAPES = {"toy": (1, 3), "full": (12, 50)}
"""Layers of 128 experts, and users."""

ROUNDS = {"toy": 1, "full": 5}
CALLS = 10

TOTAL_PROFIT = 1 << 50
"""Profits are scaled to whole numbers that add up to this, about: exact in integers and doubles."""

KINDS = ("one size", "three sizes", "all sizes differ")

SOLVERS = {
    "branch and bound": knapsack_solver.SolverType.KNAPSACK_MULTIDIMENSION_BRANCH_AND_BOUND_SOLVER,
    "divide and conquer": knapsack_solver.SolverType.KNAPSACK_DIVIDE_AND_CONQUER_SOLVER,
}
"""The exact ones of OR-Tools that are its own and take more than 64 experts; its table of dynamic
programming is left out, divide and conquer being the same with less memory."""

MOST_STEPS = 1 << 31
"""Experts times units of storage up to which divide and conquer is asked."""

LIMIT_S = 60.0
"""Seconds for each call of the peer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Knapsack:
    """Whole profits and sizes of experts (X,), and the storage of a server in the same units."""

    profit: NDArray[np.int64]
    size: NDArray[np.int64]
    capacity: int


def compare(size: str) -> Iterator[Row]:
    """Measure."""
    layers, users = SHAPES[size]
    for kind in KINDS:
        knapsack = subproblem(kind, layers=layers, users=users)
        for solver in SOLVERS:
            steps = knapsack.capacity * knapsack.size.size
            if solver == "divide and conquer" and steps > MOST_STEPS:
                continue
            yield compare_on(knapsack, kind, solver, ROUNDS[size])


def compare_on(knapsack: Knapsack, kind: str, solver: str, rounds: int) -> Row:
    """Compare on one knapsack with one solver."""
    profit = knapsack.profit.astype(np.float64)
    profits, sizes = knapsack.profit.tolist(), [knapsack.size.tolist()]
    peer = knapsack_solver.KnapsackSolver(SOLVERS[solver], "peer")
    peer.set_time_limit(LIMIT_S)

    def ours() -> tuple[NDArray[np.bool_], float]:
        chosen, lost, _ = best_configuration(
            profit, knapsack.size, knapsack.capacity, NODE_BUDGET, 0.0
        )
        return chosen, lost

    def solve() -> int:
        peer.init(profits, sizes, [knapsack.capacity])
        return int(peer.solve())

    result = race(ours, solve, rounds=rounds, calls=CALLS)
    chosen, lost = result.ours
    finished = bool(peer.is_solution_optimal())
    return Row(
        comparison=NAME,
        case=f"{profit.size:,} experts, {kind}",
        ours="best_configuration",
        peer=f"{titled('ortools', 'OR-Tools')}: {solver}",
        checked=check(knapsack, chosen, lost, result.peer, finished=finished),
        ours_s=result.ours_s,
        peer_s=result.peer_s,
        finished=finished,
        detail={"experts": profit.size, "capacity": knapsack.capacity},
    )


def check(
    knapsack: Knapsack, chosen: NDArray[np.bool_], lost: float, found: int, *, finished: bool
) -> str:
    """Check the value of what we have chosen; say what was checked.

    Raises
    ------
    DisagreementError
        When it does not fit, is not proven best, or differs from the peer's; where the peer was not
        finished, when it is worth less.
    """
    used, value = int(knapsack.size[chosen].sum()), int(knapsack.profit[chosen].sum())
    if used > knapsack.capacity:
        raise DisagreementError(f"chosen experts take {used} of {knapsack.capacity}")
    if lost > 0.0:
        raise DisagreementError(f"the value {value} may be short of the best by {lost}")
    if finished:
        return require_equal("value", [value], [found])
    if value < found:
        raise DisagreementError(f"value: moeplace says {value}, the peer has found {found}")
    return f"not solved in {LIMIT_S:g} s, nothing better"


def subproblem(kind: str, *, layers: int, users: int) -> Knapsack:
    """Make the knapsack of the first server of an instance with nothing stored elsewhere.

    Sizes are in units of their greatest common divisor. Where all differ they are drawn.
    """
    workload = Workload(
        architecture=ARCHITECTURES.get("switch-base-128"),
        layers=layers,
        precision=MIXED_PRECISION if kind == "three sizes" else "bf16",
        users=users,
        tokens=400,
        router=FINE_GRAINED["linear-router"],
    )
    instance = assemble(f"knapsack-{kind}", ("peers", "knapsack"), workloads=(workload,), servers=3)
    if kind == "all sizes differ":
        model = instance.models[0]
        drawn = 10_000_000 + np.random.default_rng(0).permutation(model.expert_bytes.size)
        model = dataclasses.replace(model, expert_bytes=drawn.reshape(model.expert_bytes.shape))
        capacity = np.full(instance.num_servers, int(drawn.sum()) // 5)
        instance = dataclasses.replace(instance, models=(model,), capacity_bytes=capacity)
    coverage = Coverage.of(instance)
    gain = coverage.wanted_ms(0, coverage.weight)
    unit = math.gcd(*instance.expert_bytes.tolist())
    return Knapsack(
        profit=np.rint(gain * (TOTAL_PROFIT / gain.sum())).astype(np.int64),
        size=instance.expert_bytes // unit,
        capacity=int(instance.capacity_bytes[0]) // unit,
    )
