"""Successive decomposition: servers one after the other, each solved given the earlier ones."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heuristics.ejection import EjectionSearch, affordable_cycles, may_afford_cycle
from heuristics.packing import SHORT, Effort, PackingSearch
from instances.deadline import Deadline
from instances.errors import InputError
from instances.parallel import require_threads
from instances.placement import Placement
from instances.problem import MAX_BYTES, Instance
from instances.registry import Algorithm, Guarantee
from instances.result import Outcome, StopReason
from instances.structure.clauses import build_clauses
from instances.structure.curves import Curve
from instances.structure.server_problem import (
    CurvesOf,
    LayerRows,
    ServerProblem,
    best_response,
    servers_by_worth,
)
from instances.structure.tables import (
    MAX_TABLE_EXPERTS,
    LayerPart,
    exact_curves,
    hull_curves,
    modular_curves,
)

MAX_SUMS = 2.0**25
"""Most points in one exact sum of curves: about a gigabyte with the indices behind them."""

HULL_BINS = 4096
"""Bins of bytes to which long lists of unequal sizes are thinned; the hull itself is kept."""

_CHAIN_STEPS = 2e7
"""Elementary steps of the ejection chains after a pass: about a tenth of a second."""

_PACKING = Effort(50_000_000, 10_000)
"""The same for the search over whole clauses, where clauses are long and few."""


def successive_dp(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    order: Sequence[str] | None = None,
) -> Placement:
    """F >= OPT on one server, F >= 1/2 OPT for K = 1; nothing is claimed for K >= 2 otherwise.

    Every server's subproblem is solved exactly: a layer table v(C) over all subsets C of a layer's
    experts by the subset-sum (zeta) transform, its best value for every number of bytes, and a
    max-plus sum of these curves over layers and models, unequal sizes included.

    Time O(N (R + L E 2^E) + N L E Q) with Q in experts; E at most 20, or any E where K = 1 (a table
    of single experts is a sort).

    Source: SlimCaching (Chen, Chen, Huang; arXiv:2507.06567) for the decomposition; K = 1: local
    greedy for submodular welfare, Fisher, Nemhauser, Wolsey 1978. Proof: docs/theory.md, G1.

    Parameters
    ----------
    order
        Names of all servers in the order in which they are filled; by default those first
        that would gain most if they alone stored everything.
    """
    deadline = Deadline.after(time_limit)
    rows = LayerRows.of(instance)
    return Placement(_one_server_after_the_other(rows, exact_curves, deadline, order))


def successive_hull_pass(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    order: Sequence[str] | None = None,
    threads: int = 1,
) -> Placement:
    """Each server gains >= (1 - B / Q_n) of its best gain, B the bytes of the largest layer.

    So F >= (1 - B / Q) OPT on one server, and F >= 1/2 OPT for K = 1 and experts of one size (a
    little less for unequal sizes: see the guarantee). Polynomial for every number
    of experts and every K: for each layer a sweep of minimum cuts finds the breakpoints of the
    concave hull of gain against bytes, peeling puts further sets between them, and a max-plus sum
    over layers and models picks the best combination.

    Time O(N (R + L cuts + L E Q)) with Q in experts, and at most 2 E cuts in a layer.

    Source: docs/theory.md, G3; peeling: Charikar 2000.

    Parameters
    ----------
    order
        Names of all servers in the order in which they are filled; by default those first
        that would gain most if they alone stored everything.
    threads
        Threads that work on layers side by side; the answer is the same for any number of them, as
        long as time does not run out.
    """
    del rng
    deadline = Deadline.after(time_limit)
    return Placement(_hull_pass(LayerRows.of(instance), deadline, order, threads))


def successive_hull(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    order: Sequence[str] | None = None,
    threads: int = 1,
    cycles: int = 16,
) -> Placement:
    """F >= that of successive-hull-pass, and all its guarantees: it starts with that pass.

    What no server sees by itself is filled up at the end, by a few ejection chains over all
    servers: whole clauses are completed wherever their experts are missing, and copies that lose
    little make room. Where clauses are long and few, a tabu search exchanges whole clauses.

    Time: that of the pass, and a tenth of a second or two; there are fewer cycles, or none, where
    they would take longer.

    Source: docs/theory.md, G3; ejection chains: Glover 1996; exchange of clauses: Wei and Hao 2019.

    Parameters
    ----------
    order
        Names of all servers in the order in which they are filled; by default those first
        that would gain most if they alone stored everything.
    threads
        Threads that work on layers side by side; the answer is the same for any number of them, as
        long as time does not run out.
    cycles
        Most cycles of ejection chains.

    Raises
    ------
    InputError
        When ``order`` does not list every server once, ``threads`` is not a whole number >= 1, or
        ``cycles`` is not a whole number >= 0.
    """
    if isinstance(cycles, bool) or not isinstance(cycles, int) or cycles < 0:
        raise InputError("cycles", f"{cycles!r} is not a whole number >= 0")
    deadline = Deadline.after(time_limit)
    rows = LayerRows.of(instance)
    stored = _hull_pass(rows, deadline, order, threads)
    if instance.top_k <= SHORT and not _may_search(rows):
        return Placement(stored)
    clauses = build_clauses(instance)
    cycles = min(cycles, affordable_cycles(instance, clauses, _CHAIN_STEPS))
    if cycles:
        stored = EjectionSearch(instance, clauses, deadline).searched(stored, rng, cycles)
    packing = PackingSearch(instance, clauses, deadline)
    return Placement(packing.searched(stored, rng, _PACKING))


def _may_search(rows: LayerRows) -> bool:
    """Tell whether there may be so few clauses that ejection chains pay; cheaper than to list them.

    Every set of experts that the users of one server want makes at least one clause.
    """
    instance = rows.instance
    nothing = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    problem = ServerProblem(rows, nothing, servers_by_worth(instance)[0])
    num_sets = largest = 0
    for layer in range(instance.num_layers):
        part = problem.layer(layer)
        num_sets += part.weight.size
        largest = max(largest, int(np.diff(part.offsets).max(initial=0)))
        if not may_afford_cycle(instance, num_sets, largest, _CHAIN_STEPS):
            return False
    return True


def _hull_pass(
    rows: LayerRows,
    deadline: Deadline,
    order: Sequence[str] | None,
    threads: int,
) -> NDArray[np.bool_]:
    return _one_server_after_the_other(
        rows,
        hull_curves,
        deadline,
        order,
        num_bins=HULL_BINS,
        threads=require_threads(threads),
    )


def successive_modular(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None = None,
    order: Sequence[str] | None = None,
) -> Outcome:
    """Each server gains >= (1 - k) of its best gain, k the supermodular curvature of that gain.

    So F >= (1 - k) OPT on one server, and F >= 1/2 OPT for K = 1, where k = 0. The gain v of a
    server is replaced by the sum of v(i | all others), the weight of the clauses that still lack i;
    k = 1 - min over i of v(i | nothing) / v(i | all others). For K >= 2 some expert often gains
    nothing alone, then k = 1 and nothing is claimed: the outcome's reason states the largest k met.

    Time O(N (R K + X log X)) for experts of one size in each model.

    Source: Bai and Bilmes 2018 (supermodular curvature). Proof: docs/theory.md, section 3.

    Parameters
    ----------
    order
        Names of all servers in the order in which they are filled; by default those first
        that would gain most if they alone stored everything.
    """
    curvatures: list[float] = []

    def curves_of(part: LayerPart, capacity: int) -> list[Curve]:
        curvatures.append(part.curvature)
        return modular_curves(part, capacity)

    deadline = Deadline.after(time_limit)
    rows = LayerRows.of(instance)
    stored = _one_server_after_the_other(rows, curves_of, deadline, order)
    return Outcome(
        stop_reason=StopReason.TIME_LIMIT if deadline.passed else StopReason.COMPLETED,
        placement=Placement(stored),
        proven_optimal=False,
        reason=f"supermodular curvature k = {max(curvatures, default=0.0):.3f}",
    )


def _one_server_after_the_other(
    rows: LayerRows,
    curves_of: CurvesOf,
    deadline: Deadline,
    order: Sequence[str] | None,
    *,
    num_bins: int | None = None,
    threads: int = 1,
) -> NDArray[np.bool_]:
    instance = rows.instance
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for server in server_order(instance, order):
        if deadline.passed:
            break
        stored[server] = best_response(
            rows,
            stored,
            server,
            curves_of,
            deadline,
            num_bins=num_bins,
            threads=threads,
        )
    return stored


def server_order(instance: Instance, order: Sequence[str] | None) -> list[int]:
    """Return server indices in the given order, or those first that would gain most alone.

    Raises
    ------
    InputError
        When the order does not list every server once.
    """
    if order is None:
        return servers_by_worth(instance)
    if sorted(order) != sorted(instance.server_names):
        raise InputError(
            "order", f"{list(order)} does not list every server once: {instance.server_names}"
        )
    return [instance.server_names.index(name) for name in order]


def _supports(instance: Instance) -> str | None:
    used = np.unique(instance.user_model[instance.demand_user])
    for m in used:
        model = instance.models[m]
        if model.top_k > 1 and model.experts > MAX_TABLE_EXPERTS:
            return (
                f"model {model.name!r} has layers of {model.experts} experts and top_k "
                f"{model.top_k}: an exact table has 2^{model.experts} entries; the limit is "
                f"{MAX_TABLE_EXPERTS} experts a layer unless top_k is 1"
            )
    points = _most_sums(instance, used)
    if points > MAX_SUMS:
        return (
            f"expert sizes differ so much that storage can be used in up to {points:.1e} ways, "
            f"each a point of an exact sum; the limit is {MAX_SUMS:.1e}"
        )
    return None


def _most_sums(instance: Instance, used: NDArray[np.int64]) -> float:
    """Bound the number of different sums of bytes that fit into one server."""
    if used.size == 0:
        return 1.0
    sizes, counts = np.unique(
        np.concatenate([instance.models[m].expert_bytes.ravel() for m in used]),
        return_counts=True,
    )
    capacity = int(instance.capacity_bytes.max())
    by_count = math.prod((np.minimum(counts, capacity // sizes) + 1.0).tolist())
    return min(float(by_count), capacity // int(np.gcd.reduce(sizes)) + 1.0)


def _hull_ratio(instance: Instance) -> float | None:
    if instance.num_servers > 1 and instance.top_k > 1:
        return None
    sizes = instance.expert_bytes
    if instance.top_k > 1:  # a segment of the hull has at most the bytes of a layer
        segment = int(np.add.reduceat(sizes, instance.layer_expert_offset[:-1]).max())
    else:  # additive gains: a segment is one expert, and one size leaves nothing to thin
        segment = int(sizes.max()) if sizes.min() < sizes.max() else 0
    capacity = int(min(q for q in (*instance.capacity_bytes, MAX_BYTES) if q > 0))
    share = max(0.0, 1.0 - segment / capacity)
    return share if instance.num_servers == 1 else share / (1.0 + share)


def _modular_ratio(instance: Instance) -> float | None:
    if instance.top_k > 1 and instance.num_servers == 1:
        nothing = np.zeros((1, instance.num_experts), dtype=np.bool_)
        problem = ServerProblem(LayerRows.of(instance), nothing, 0)
        return 1.0 - max(problem.layer(layer).curvature for layer in range(instance.num_layers))
    return _ratio(instance)


def _ratio(instance: Instance) -> float | None:
    if instance.num_servers == 1:
        return 1.0
    return 0.5 if instance.top_k == 1 else None


SUCCESSIVE_DP = Algorithm(
    name="successive-dp",
    solve=successive_dp,
    exact=False,
    summary="servers one after the other, each solved exactly by layer tables and max-plus sums",
    source="SlimCaching, arXiv:2507.06567; K = 1: Fisher, Nemhauser, Wolsey 1978",
    complexity="O(N (R + L E 2^E) + N L E Q), Q in experts",
    supports=_supports,
    guarantee=Guarantee(
        formula="F >= OPT (one server); F >= 1/2 OPT (K = 1)",
        scope="one server with any K; K = 1 with any servers and sizes",
        source="docs/theory.md, G1",
        ratio=_ratio,
    ),
)
HULL_GUARANTEE = Guarantee(
    formula="F >= a OPT on one server, F >= a / (1 + a) OPT for K = 1, a = 1 - B / Q: B the bytes "
    "of the largest layer (K = 1: expert; 0 if all have one size), Q the least storage",
    scope="one server with any K; K = 1 with any servers and sizes",
    source="docs/theory.md, G1 and G3",
    ratio=_hull_ratio,
)
SUCCESSIVE_HULL_PASS = Algorithm(
    name="successive-hull-pass",
    solve=successive_hull_pass,
    exact=False,
    summary="servers one after the other, layers by minimum cuts: polynomial for every E and K",
    source="docs/theory.md, G3; peeling: Charikar 2000",
    complexity="O(N (R + L cuts + L E Q)), Q in experts, at most 2 E cuts a layer",
    guarantee=HULL_GUARANTEE,
)
SUCCESSIVE_HULL = Algorithm(
    name="successive-hull",
    solve=successive_hull,
    exact=False,
    summary="successive-hull-pass, then a few ejection chains over all servers at once",
    source="docs/theory.md, G3; ejection chains: Glover 1996",
    complexity="O(N (R + L cuts + L E Q)), Q in experts, at most 2 E cuts a layer",
    guarantee=HULL_GUARANTEE,
    randomised=True,
)
SUCCESSIVE_MODULAR = Algorithm(
    name="successive-modular",
    solve=successive_modular,
    exact=False,
    summary="servers one after the other, each by sorting: experts that its open clauses want most",
    source="Bai and Bilmes 2018",
    complexity="O(N (R K + X log X))",
    guarantee=Guarantee(
        formula="F >= (1 - k) OPT on one server, k the supermodular curvature (often 1 for "
        "K >= 2); F >= 1/2 OPT for K = 1",
        scope="one server with any K; K = 1 with any servers and sizes",
        source="docs/theory.md, G1 and G4",
        ratio=_modular_ratio,
    ),
)
