"""The MILP methods of the registry: a formulation, a solver, and what they can take."""

from collections.abc import Callable

import numpy as np

from formulations.aggregated import build_aggregated
from formulations.answer import Backend
from formulations.compact import build_compact
from formulations.layer_columns import build_layer_columns
from formulations.lifted import build_lifted
from formulations.milp import Request, solve_milp
from formulations.program import Program
from instances.deadline import Deadline
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import OnProgress, Outcome
from instances.structure.clauses import Clauses, build_clauses

MAX_ENTRIES = 5_000_000
"""Most matrix entries that are handed to HiGHS or SCIP: a gigabyte or two, and hopeless anyway."""

MAX_ENTRIES_CBC = 300_000
"""The same for CBC: PuLP, in Python, needs 15 to 20 seconds to hand over a million entries."""

SOLVERS = ("highs", "scip", "cbc")
"""Names of the solvers."""


def backend(solver: str) -> Backend:
    """Return a solver by its name.

    Raises
    ------
    InputError
        When there is none of that name.
    """
    # Imported here: OR-Tools and PuLP take their time.
    if solver == "highs":
        from formulations.mathopt import solve_highs

        return solve_highs
    if solver == "scip":
        from formulations.mathopt import solve_scip

        return solve_scip
    if solver == "cbc":
        from formulations.pulp_cbc import solve_cbc

        return solve_cbc
    raise InputError("solver", f"{solver!r} is not one of {', '.join(SOLVERS)}")


def compact(instance: Instance, clauses: Clauses, deadline: Deadline) -> Program | None:
    """Write the compact formulation."""
    del deadline
    return build_compact(instance, clauses)


def aggregated(instance: Instance, clauses: Clauses, deadline: Deadline) -> Program | None:
    """Write the aggregated formulation."""
    del deadline
    return build_aggregated(instance, clauses)


def lifted(instance: Instance, clauses: Clauses, deadline: Deadline) -> Program | None:
    """Write the lifted formulation."""
    del deadline
    return build_lifted(instance, clauses)


def milp_compact(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    threads: int = 1,
    bound_ms: float | None = None,
) -> Outcome:
    """Solve the compact formulation with HiGHS, to gap 0.

    Time exponential in the worst case. Source: formulations/compact.py.

    Parameters
    ----------
    start
        A feasible placement to start from; the result is never worse.
    on_progress
        Told of incumbents and bounds while the solver runs; of bounds only with CBC.
    threads
        Most threads that the solver may use; HiGHS never uses more than one.
    bound_ms
        An upper bound on the saving that is known already, ms per token. It becomes a row of the
        program, so the search can stop as soon as it is attained; a wrong one makes the result
        wrong. None for none.

    Raises
    ------
    InputError
        When the start is not feasible, there are no threads, or the bound is below the start.
    """
    del rng
    request = Request(time_limit, start, on_progress, threads, bound_ms)
    return solve_milp(instance, compact, backend("highs"), request)


def milp_compact_scip(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    threads: int = 1,
    bound_ms: float | None = None,
) -> Outcome:
    """Solve the compact formulation with SCIP, to gap 0. Otherwise as :func:`milp_compact`."""
    del rng
    request = Request(time_limit, start, on_progress, threads, bound_ms)
    return solve_milp(instance, compact, backend("scip"), request)


def milp_compact_cbc(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    threads: int = 1,
    bound_ms: float | None = None,
) -> Outcome:
    """Solve the compact formulation with CBC, to gap 0. Otherwise as :func:`milp_compact`."""
    del rng
    request = Request(time_limit, start, on_progress, threads, bound_ms)
    return solve_milp(instance, compact, backend("cbc"), request)


def milp_aggregated(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    solver: str = "highs",
    threads: int = 1,
    bound_ms: float | None = None,
) -> Outcome:
    """Solve the aggregated formulation, to gap 0. Weak; kept for comparison.

    Source: formulations/aggregated.py. Otherwise as :func:`milp_compact`.

    Parameters
    ----------
    solver
        One of :data:`SOLVERS`.
    """
    del rng
    request = Request(time_limit, start, on_progress, threads, bound_ms)
    return solve_milp(instance, aggregated, backend(solver), request)


def milp_lifted(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    solver: str = "highs",
    threads: int = 1,
    bound_ms: float | None = None,
) -> Outcome:
    """Solve the compact formulation with capacity-lifted rows, to gap 0.

    Source: formulations/lifted.py. Otherwise as :func:`milp_aggregated`.
    """
    del rng
    request = Request(time_limit, start, on_progress, threads, bound_ms)
    return solve_milp(instance, lifted, backend(solver), request)


def milp_columns(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    start: Placement | None = None,
    on_progress: OnProgress | None = None,
    solver: str = "scip",
    threads: int = 1,
    bound_ms: float | None = None,
) -> Outcome:
    """Solve the formulation by layer columns, to gap 0; layers too large for it stay lifted.

    Source: formulations/layer_columns.py. Otherwise as :func:`milp_aggregated`.
    """
    del rng
    request = Request(time_limit, start, on_progress, threads, bound_ms)
    return solve_milp(instance, build_layer_columns, backend(solver), request)


def supports(instance: Instance) -> str | None:
    """Tell whether the program is small enough for HiGHS and SCIP."""
    return _too_large(instance, MAX_ENTRIES)


def supports_cbc(instance: Instance) -> str | None:
    """Tell whether the program is small enough for PuLP and CBC."""
    return _too_large(instance, MAX_ENTRIES_CBC)


def _too_large(instance: Instance, max_entries: int) -> str | None:
    if most_entries(instance) <= max_entries:
        return None
    clauses = build_clauses(instance)
    pairs = int(np.diff(clauses.itemset_offsets)[clauses.itemset].sum())
    entries = 2 * pairs
    if pairs <= max_entries:
        entries = build_compact(instance, clauses).rows.row.size
    if entries > max_entries:
        return f"the program has about {entries} matrix entries; at most {max_entries} are solved"
    return None


def most_entries(instance: Instance) -> int:
    """Return an upper bound on the compact matrix entries, found without building the clauses."""
    steps = (instance.latency_ms < instance.cloud_latency_ms[:, None]).sum(axis=1)
    pairs = int((np.diff(instance.demand_offsets) * steps[instance.demand_user]).sum())
    # Two entries for each expert of a clause, and it may need a y over all servers of its own.
    return instance.num_servers * instance.num_experts + pairs * (3 + instance.num_servers)


def _algorithm(
    name: str,
    solve: Callable[..., Outcome],
    summary: str,
    source: str,
    supported: Callable[[Instance], str | None] = supports,
) -> Algorithm:
    return Algorithm(
        name=name,
        solve=solve,
        exact=True,
        summary=summary,
        source=source,
        complexity="exponential in the worst case",
        supports=supported,
    )


_THRESHOLDS = "threshold form of the problem"

MILP_COMPACT = _algorithm(
    "milp-compact",
    milp_compact,
    "compact MILP solved by HiGHS (OR-Tools MathOpt), gap 0",
    f"{_THRESHOLDS}; HiGHS: Huangfu and Hall 2018",
)

MILP_COMPACT_SCIP = _algorithm(
    "milp-compact-scip",
    milp_compact_scip,
    "compact MILP solved by SCIP (OR-Tools MathOpt), gap 0",
    f"{_THRESHOLDS}; SCIP: Achterberg 2009",
)

MILP_COMPACT_CBC = _algorithm(
    "milp-compact-cbc",
    milp_compact_cbc,
    "compact MILP solved by CBC (PuLP), gap 0",
    f"{_THRESHOLDS}; CBC: Forrest and Lougee-Heimer 2005",
    supports_cbc,
)

MILP_AGGREGATED = _algorithm(
    "milp-aggregated",
    milp_aggregated,
    "compact MILP with one row for each clause: weak, for comparison",
    f"{_THRESHOLDS}; docs/theory.md, section 6",
)

MILP_LIFTED = _algorithm(
    "milp-lifted",
    milp_lifted,
    "compact MILP with capacity-lifted rows, gap 0",
    "docs/theory.md, section 6",
)

MILP_COLUMNS = _algorithm(
    "milp-columns",
    milp_columns,
    "MILP with a column for each useful placement of a small layer, lifted rows for the others",
    "Dantzig-Wolfe form by layers; docs/theory.md, section 6",
)
