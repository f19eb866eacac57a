"""Successive decomposition: servers one after the other, each solved given the earlier ones."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instances.deadline import Deadline
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm, Guarantee
from instances.structure.clauses import Clauses, build_clauses
from instances.structure.curves import Curve, add_all
from instances.structure.tables import MAX_TABLE_EXPERTS, layer_curves, residual_of


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
        Names of all servers in the order in which they are filled; by default those first whose
        clauses are worth most.
    """
    deadline = Deadline.after(time_limit)
    clauses = build_clauses(instance)
    stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
    for server in _server_order(instance, clauses, order):
        if deadline.passed:
            break
        stored[server] = best_response(instance, clauses, stored, server, deadline)
    return Placement(stored)


def best_response(
    instance: Instance,
    clauses: Clauses,
    stored: NDArray[np.bool_],
    server: int,
    deadline: Deadline,
) -> NDArray[np.bool_]:
    """Return the experts that gain most on one server while the others stay as they are; bool (X,).

    Exact; when time is up, layers that were not reached are left out.
    """
    capacity = int(instance.capacity_bytes[server])
    part = residual_of(clauses, stored, server)
    curves: list[Curve] = []
    for layer in range(instance.num_layers):
        if deadline.passed:
            break
        curves += layer_curves(part, layer, instance.expert_bytes, capacity)
    total = add_all(curves, capacity, deadline)
    chosen = np.zeros(instance.num_experts, dtype=np.bool_)
    for experts in total.choices(len(total) - 1):
        chosen[experts] = True
    return chosen


def _server_order(instance: Instance, clauses: Clauses, order: Sequence[str] | None) -> list[int]:
    if order is None:
        worth = np.bincount(
            clauses.server_set, weights=clauses.weight, minlength=clauses.server_sets.shape[0]
        )
        return [int(n) for n in np.argsort(-(worth @ clauses.server_sets), kind="stable")]
    if sorted(order) != sorted(instance.server_names):
        raise InputError(
            "order", f"{list(order)} does not list every server once: {instance.server_names}"
        )
    return [instance.server_names.index(name) for name in order]


def _supports(instance: Instance) -> str | None:
    for m in np.unique(instance.user_model[instance.demand_user]):
        model = instance.models[m]
        if model.top_k > 1 and model.experts > MAX_TABLE_EXPERTS:
            return (
                f"model {model.name!r} has layers of {model.experts} experts and top_k "
                f"{model.top_k}: an exact table has 2^{model.experts} entries; the limit is "
                f"{MAX_TABLE_EXPERTS} experts a layer unless top_k is 1"
            )
    return None


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
