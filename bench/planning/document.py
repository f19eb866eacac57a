"""A plan for programs: one JSON object."""

from typing import Any

import numpy as np

from bench.planning.copies import Replica
from bench.planning.moves import Moves
from bench.planning.plan import Plan

FORMAT = "moeplace/plan"


def to_document(plan: Plan, written: dict[str, str | None]) -> dict[str, Any]:
    """Return everything that is told about a plan, without the placement itself.

    ``written`` names the files: ``placement``, ``page``, ``physical_map``, ``csv``, ``instance``.
    """
    instance, evaluation, found = plan.instance, plan.evaluation, plan.found
    empty = evaluation.empty_latency_ms
    return {
        "format": FORMAT,
        "version": 1,
        "name": instance.name,
        "model": plan.inputs.architecture.name,
        "precision": plan.inputs.request.precision,
        "network": plan.inputs.request.network,
        "recording": plan.inputs.request.recording,
        "checksum": instance.checksum(),
        "latency_ms": evaluation.latency_ms,
        "saving_ms": evaluation.saving_ms,
        "empty_latency_ms": empty,
        "bound_saving_ms": found.bound_ms,
        "least_latency_ms": plan.least_latency_ms,
        "certified": found.certified,
        "gap": plan.gap,
        "method": found.method,
        "stages": [
            {
                "method": stage.method,
                "seconds": stage.seconds,
                "saving_ms": stage.saving_ms,
                "bound_saving_ms": stage.bound_ms,
                "note": stage.note,
            }
            for stage in found.stages
        ],
        "alternatives": {each.name: each.latency_ms for each in plan.alternatives},
        "servers": _servers(plan),
        "served_by_cloud": plan.calls.shares(instance.num_servers)[1],
        "served_by_device": plan.calls.shares(instance.num_servers)[2],
        "users": [
            {
                "name": name,
                "token_share": float(plan.shares[u]),
                "latency_ms": {
                    each.name: float(each.user_latency_ms[u]) for each in plan.alternatives
                },
            }
            for u, name in enumerate(instance.user_names)
        ],
        "replicated": [_replica(plan, replica) for replica in plan.replicas],
        "moves": None if plan.moves is None else _moves(plan.moves, empty),
        "assumptions": list(plan.inputs.assumptions),
        "files": written,
        "seconds": plan.seconds,
    }


def _servers(plan: Plan) -> list[dict[str, Any]]:
    instance = plan.instance
    shares = plan.calls.shares(instance.num_servers)[0]
    return [
        {
            "name": name,
            "capacity_bytes": int(instance.capacity_bytes[n]),
            "used_bytes": int(plan.evaluation.used_bytes[n]),
            "experts": int(plan.placement.stored[n].sum()),
            "served": float(shares[n]),
            "more_storage": {
                "extra_bytes": plan.wishes.extra_bytes,
                "found_ms": plan.growths[n].found_ms,
                "at_most_ms": plan.growths[n].most_ms,
                "bound_moves_ms": float(plan.found.bounds_with_more_ms[n] - plan.found.bound_ms),
            },
        }
        for n, name in enumerate(instance.server_names)
    ]


def _replica(plan: Plan, replica: Replica) -> dict[str, Any]:
    instance = plan.instance
    model, layer, expert = instance.locate(replica.expert)
    return {
        "model": instance.models[model].name,
        "layer": layer,
        "expert": expert,
        "copies": [
            {
                "server": instance.server_names[copy.server],
                "users": [instance.user_names[u] for u in copy.users.tolist()],
                "calls": copy.calls,
                "loss_ms": copy.loss_ms,
            }
            for copy in replica.copies
        ],
    }


def _moves(moves: Moves, empty_latency_ms: float) -> dict[str, Any]:
    return {
        "from": moves.old_file,
        "budget_bytes": moves.budget_bytes,
        "loaded_bytes": moves.move.loaded_bytes,
        "bound_saving_ms": moves.bound_ms,
        "certified": bool(np.isfinite(moves.bound_ms)),
        "trade_off": [
            {
                "loaded_bytes": move.loaded_bytes,
                "saving_ms": move.saving_ms,
                "latency_ms": empty_latency_ms - move.saving_ms,
            }
            for move in moves.frontier
        ],
    }
