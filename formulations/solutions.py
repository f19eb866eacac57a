"""Placements as ``.sol`` files of solvers, and back.

SCIP writes and reads a line ``name value`` for each column that is not 0. HiGHS writes and reads
all columns and rows under headings. Reading takes both, and any file of such lines.
"""

import math

import numpy as np
from numpy.typing import NDArray

from formulations.names import make_names, storage_names
from formulations.program import Program
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance

WHOLE_TOLERANCE = 1e-5
"""How far a value may be from 0 or 1: solvers write what their tolerances allow."""


def scip_text(instance: Instance, program: Program, placement: Placement) -> str:
    """Write a placement as SCIP writes a solution."""
    names = make_names(instance, program)
    values = program.values(placement)
    lines = [
        "solution status: unknown",
        f"objective value: {_saving(program, values)!r}",
        *(f"{names.columns[j]} {int(values[j])}" for j in np.flatnonzero(values).tolist()),
    ]
    return "\n".join([*lines, ""])


def highs_text(instance: Instance, program: Program, placement: Placement) -> str:
    """Write a placement as HiGHS writes a solution."""
    names = make_names(instance, program)
    values = program.values(placement)
    rows = program.rows
    activity = np.zeros(rows.num_rows)
    np.add.at(activity, rows.row, rows.coefficient * values[rows.column])
    lines = ["Model status", "Unknown", "", "# Primal solution values", "Feasible"]
    lines += [f"Objective {_saving(program, values)!r}", f"# Columns {values.size}"]
    lines += [f"{n} {int(v)}" for n, v in zip(names.columns, values.tolist(), strict=True)]
    lines += [f"# Rows {rows.num_rows}"]
    lines += [f"{n} {v!r}" for n, v in zip(names.rows, activity.tolist(), strict=True)]
    lines += ["", "# Dual solution values", "None", ""]
    return "\n".join(lines)


def read_solution(text: str, instance: Instance) -> Placement:
    """Read the placement that a solution file says; columns that it does not name are 0.

    Only the names of x matter: they are the same in every formulation.

    Raises
    ------
    InputError
        When a name belongs to no server and expert of the instance, a value is not 0 or 1, a name
        appears twice, or nothing is named at all.
    """
    cell = {
        name: (server, expert)
        for server, row in enumerate(storage_names(instance))
        for expert, name in enumerate(row)
    }
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    seen: set[str] = set()
    is_solution = False
    for number, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        is_solution |= line.startswith(("solution status", "objective value", "# Columns"))
        if len(words) < 2 or not words[0].startswith("x."):
            continue
        name = words[0]
        if name not in cell:
            raise InputError(f"line {number}", f"{name!r} is no server and expert of the instance")
        if name in seen:
            raise InputError(f"line {number}", f"{name!r} has a value already")
        seen.add(name)
        stored[cell[name]] = _is_one(words[1], f"line {number}")
    if not seen and not is_solution:
        raise InputError("", "neither a solution of SCIP nor one of HiGHS")
    return Placement(stored)


def _is_one(text: str, line: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if abs(value) <= WHOLE_TOLERANCE:
        return False
    if abs(value - 1.0) <= WHOLE_TOLERANCE:
        return True
    raise InputError(line, f"{text!r} is neither 0 nor 1")


def _saving(program: Program, values: NDArray[np.float64]) -> float:
    return float(program.objective @ values) * program.unit_ms
