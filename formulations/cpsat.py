"""CP-SAT of OR-Tools, on a model of its own in booleans."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from ortools.sat.python import cp_model

from formulations.whole_clauses import WholeClauses
from instances.deadline import Deadline
from instances.placement import Placement
from instances.problem import Instance
from instances.result import Outcome, StopReason

BOUND_ROUNDING = 2.0**-50
"""Relative error of a bound that CP-SAT tells as a floating-point number."""

Tell = Callable[[Placement | None, float], None]
"""Takes a new incumbent, if any, and an upper bound on the saving, ms per token."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BooleanModel:
    """The model and what its variables mean.

    Parameters
    ----------
    model
        For CP-SAT.
    x
        Whether a server stores a flat expert; pairs that cannot matter have no variable.
    z
        Whether a clause is satisfied, with its weight in units.
    unit_ms
        The unit, ms per token.
    shape
        (servers, experts).
    """

    model: cp_model.CpModel
    x: dict[tuple[int, int], cp_model.IntVar]
    z: list[tuple[int, cp_model.IntVar]]
    unit_ms: float
    shape: tuple[int, int]

    def placement(self, value: Callable[[cp_model.IntVar], int]) -> Placement:
        """Make the placement of an assignment."""
        stored = np.zeros(self.shape, dtype=np.bool_)
        for (server, expert), variable in self.x.items():
            stored[server, expert] = bool(value(variable))
        return Placement(stored)


class Incumbents(cp_model.CpSolverSolutionCallback):  # type: ignore[misc]  # has no types
    """Tells of every incumbent."""

    def __init__(self, built: BooleanModel, tell: Tell) -> None:
        super().__init__()
        self._built = built
        self._tell = tell

    def on_solution_callback(self) -> None:
        """Take the incumbent that has just been found."""
        self._tell(self._built.placement(self.value), math.inf)


def build_boolean(instance: Instance, clauses: WholeClauses) -> BooleanModel:
    """Write the model; see :mod:`formulations.cpsat_method`."""
    model = cp_model.CpModel()
    x: dict[tuple[int, int], cp_model.IntVar] = {}
    y: dict[tuple[tuple[int, ...], int], cp_model.IntVar] = {}
    z: list[tuple[int, cp_model.IntVar]] = []

    def stores(server: int, expert: int) -> cp_model.IntVar:
        if (server, expert) not in x:
            x[server, expert] = model.new_bool_var("")
        return x[server, expert]

    def reaches(servers: tuple[int, ...], expert: int) -> cp_model.IntVar:
        if (servers, expert) not in y:
            in_reach = model.new_bool_var("")
            y[servers, expert] = in_reach
            size = instance.expert_bytes[expert]
            fitting = [n for n in servers if size <= instance.capacity_bytes[n]]
            model.add_bool_or([stores(n, expert) for n in fitting]).only_enforce_if(in_reach)
        return y[servers, expert]

    for (servers, experts), weight in sorted(clauses.weight.items()):
        satisfied = model.new_bool_var("")
        for expert in experts:
            model.add_implication(satisfied, reaches(servers, expert))
        z.append((weight, satisfied))
    _add_capacities(model, instance, x)
    model.maximize(sum(weight * satisfied for weight, satisfied in z))
    return BooleanModel(
        model=model,
        x=x,
        z=z,
        unit_ms=float(clauses.unit_ms),
        shape=(instance.num_servers, instance.num_experts),
    )


def _add_capacities(
    model: cp_model.CpModel, instance: Instance, x: dict[tuple[int, int], cp_model.IntVar]
) -> None:
    for server, capacity in enumerate(instance.capacity_bytes.tolist()):
        held = [(e, variable) for (n, e), variable in sorted(x.items()) if n == server]
        sizes = [int(instance.expert_bytes[expert]) for expert, _ in held]
        if sum(sizes) > capacity:
            unit = math.gcd(*sizes)
            terms = [
                size // unit * variable for size, (_, variable) in zip(sizes, held, strict=True)
            ]
            model.add(sum(terms) <= capacity // unit)


def solve_boolean(
    built: BooleanModel,
    *,
    start: Placement | None,
    deadline: Deadline,
    threads: int,
    tell: Tell | None,
) -> Outcome:
    """Solve the model, and read the answer: FEASIBLE is not OPTIMAL."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = threads
    if math.isfinite(deadline.at):
        if deadline.passed:
            return _nothing(StopReason.TIME_LIMIT)
        solver.parameters.max_time_in_seconds = deadline.remaining
    if start is not None:
        for (server, expert), variable in built.x.items():
            built.model.add_hint(variable, bool(start.stored[server, expert]))
    callback = None
    if tell is not None:
        callback = Incumbents(built, tell)
        solver.best_bound_callback = lambda bound: tell(None, _bound_ms(built, bound))
    status = solver.solve(built.model, callback)
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE, cp_model.UNKNOWN):
        # Storing nothing is always feasible, so every other answer is wrong.
        return _nothing(StopReason.SOLVER_ERROR, f"CP-SAT said: {solver.status_name(status)}")
    if status == cp_model.UNKNOWN:
        return _nothing(StopReason.TIME_LIMIT)
    claimed = sum(weight for weight, satisfied in built.z if solver.boolean_value(satisfied))
    claimed_ms = claimed * built.unit_ms
    proven = status == cp_model.OPTIMAL
    return Outcome(
        stop_reason=StopReason.COMPLETED if proven else StopReason.TIME_LIMIT,
        placement=built.placement(solver.value),
        proven_optimal=proven,
        bound_saving_ms=claimed_ms if proven else _bound_ms(built, solver.best_objective_bound),
        claimed_saving_ms=claimed_ms,
    )


def _bound_ms(built: BooleanModel, bound: float) -> float:
    return bound * (1.0 + BOUND_ROUNDING) * built.unit_ms


def _nothing(stop_reason: StopReason, reason: str = "") -> Outcome:
    return Outcome(stop_reason=stop_reason, placement=None, proven_optimal=False, reason=reason)
