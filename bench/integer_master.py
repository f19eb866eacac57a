r"""The integer master of layer generation by HiGHS: at most one column of each layer.

maximise    sum over j of value[j] y[j]
subject to  sum over j of used[j,n] y[j] <= capacity[n]     for each server n
            sum over j of layer l of y[j] <= 1              for each layer l
            y in {0, 1}
"""

import datetime
import math

import numpy as np
from numpy.typing import NDArray
from ortools.math_opt import model_pb2
from ortools.math_opt.python import mathopt

TIME_LIMIT_S = 60.0
"""Time for one program when the method has no limit of its own."""

LARGEST = 1024.0
"""Values add up to at most about this, and so do right-hand sides: solvers have absolute
tolerances."""


def choose_columns(
    value_ms: NDArray[np.float64],
    used_bytes: NDArray[np.int64],
    layer: NDArray[np.int64],
    capacity_bytes: NDArray[np.int64],
    *,
    time_limit: float | None,
) -> NDArray[np.int64] | None:
    """Choose columns worth most, at most one of each layer, within the storage of every server.

    Proven best (gap 0) unless time runs out first. What a solver's tolerance lets through is put
    right in whole bytes, the least valuable columns being dropped.

    Parameters
    ----------
    value_ms, layer
        Saving (ms per token) and layer of each column; (columns,).
    used_bytes
        Its bytes on each server; (columns, N).
    capacity_bytes
        Storage of each server; (N,).
    time_limit
        Seconds; None for :data:`TIME_LIMIT_S`.

    Returns
    -------
    NDArray[np.int64] | None
        Indices of the chosen columns, ascending; None when time runs out before any are found.

    Raises
    ------
    RuntimeError
        When the solver ends with neither an answer nor a limit.
    """
    columns = np.flatnonzero((used_bytes <= capacity_bytes).all(axis=1) & (value_ms > 0.0))
    if columns.size == 0:
        return columns
    seconds = TIME_LIMIT_S if time_limit is None else time_limit
    if seconds <= 0.0:
        return None
    model = _model(value_ms[columns], used_bytes[columns], layer[columns], capacity_bytes)
    parameters = mathopt.SolveParameters(
        relative_gap_tolerance=0.0,
        absolute_gap_tolerance=0.0,
        time_limit=datetime.timedelta(seconds=seconds),
    )
    parameters.highs.int_options["threads"] = 1  # MathOpt refuses its own ``threads`` for HiGHS
    result = mathopt.solve(model, mathopt.SolverType.HIGHS, params=parameters)
    if not result.has_primal_feasible_solution():
        if result.termination.limit is mathopt.Limit.TIME:
            return None
        raise RuntimeError(f"HiGHS ended with {result.termination.reason.name}")
    taken = np.array(result.variable_values(list(model.variables()))) > 0.5
    return _fitting(columns[taken], value_ms, used_bytes, capacity_bytes)


def _model(
    value_ms: NDArray[np.float64],
    used_bytes: NDArray[np.int64],
    layer: NDArray[np.int64],
    capacity_bytes: NDArray[np.int64],
) -> mathopt.Model:
    """Write the program, whole arrays at a time: column j becomes variable j."""
    proto = model_pb2.ModelProto()
    proto.variables.ids.extend(range(value_ms.size))
    proto.variables.lower_bounds.extend(np.zeros(value_ms.size))
    proto.variables.upper_bounds.extend(np.ones(value_ms.size))
    proto.variables.integers.extend([True] * value_ms.size)
    proto.objective.maximize = True
    proto.objective.linear_coefficients.ids.extend(range(value_ms.size))
    best = np.zeros(int(layer.max()) + 1)
    np.maximum.at(best, layer, value_ms)
    scale = math.ldexp(1.0, -math.frexp(float(best.sum()) / LARGEST)[1])
    proto.objective.linear_coefficients.values.extend(value_ms * scale)
    row, column, coefficient = [], [], []
    upper: list[float] = []
    for number in np.unique(layer):
        members = np.flatnonzero(layer == number)
        row.append(np.full(members.size, len(upper)))
        column.append(members)
        coefficient.append(np.ones(members.size))
        upper.append(1.0)
    for server in np.flatnonzero(used_bytes.any(axis=0)):
        members = np.flatnonzero(used_bytes[:, server])
        unit = int(np.gcd.reduce(used_bytes[members, server]))
        slots = int(capacity_bytes[server]) // unit
        down = math.ldexp(1.0, -max(0, math.frexp(slots / LARGEST)[1]))
        row.append(np.full(members.size, len(upper)))
        column.append(members)
        coefficient.append(used_bytes[members, server] // unit * down)
        upper.append(slots * down)
    proto.linear_constraints.ids.extend(range(len(upper)))
    proto.linear_constraints.lower_bounds.extend(np.full(len(upper), -np.inf))
    proto.linear_constraints.upper_bounds.extend(upper)
    proto.linear_constraint_matrix.row_ids.extend(np.concatenate(row))
    proto.linear_constraint_matrix.column_ids.extend(np.concatenate(column))
    proto.linear_constraint_matrix.coefficients.extend(np.concatenate(coefficient))
    return mathopt.Model.from_model_proto(proto)


def _fitting(
    columns: NDArray[np.int64],
    value_ms: NDArray[np.float64],
    used_bytes: NDArray[np.int64],
    capacity_bytes: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Keep the most valuable columns that fit together, in whole bytes."""
    free = capacity_bytes.copy()
    kept = []
    for j in columns[np.argsort(-value_ms[columns], kind="stable")]:
        if np.all(used_bytes[j] <= free):
            free -= used_bytes[j]
            kept.append(j)
    return np.sort(np.array(kept, dtype=np.int64))
