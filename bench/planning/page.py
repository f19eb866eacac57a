"""The page of a plan: one HTML file that an engineer can forward."""

import math
from importlib import metadata, resources
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from bench import formats
from bench.placement_map import PlacementMap, draw_map
from bench.planning import words
from bench.planning.plan import Plan
from bench.planning.trade_off import draw_trade_off

MOST_REPLICAS, MOST_USERS, MOST_SERVERS = 15, 60, 200
"""Rows of tables on the page; the JSON has all of them."""

_NAMES = {
    "cloud": "All from the cloud",
    "popularity": "By popularity",
    "now": "As it is now",
    "plan": "This plan",
    "everywhere": "Everything everywhere",
}


def render_page(plan: Plan, command: str, notes: list[str]) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    plan
        The plan.
    command
        Command line that makes it again.
    notes
        Sentences about what was written.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bench"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "size": words.size_text,
        "ms": words.ms_text,
        "most_ms": words.most_ms_text,
        "least_ms": words.least_ms_text,
        "share": words.share_text,
        "gap": formats.gap_text,
        "seconds": formats.seconds_text,
        "count": formats.count_text,
        "moment": formats.moment_text,
    }
    environment.globals["plural"] = formats.plural
    instance = plan.instance
    return environment.get_template("plan.html.j2").render(
        style=resources.files("bench").joinpath("templates", "plan.css").read_text("utf-8"),
        version=metadata.version("moeplace"),
        plan=plan,
        instance=instance,
        request=plan.inputs.request,
        architecture=plan.inputs.architecture,
        made=plan.made.isoformat(),
        command=command,
        notes=notes,
        checksum=instance.checksum(),
        names=_NAMES,
        slowest=max(each.latency_ms for each in plan.alternatives) or 1.0,
        has_bound=math.isfinite(plan.found.bound_ms),
        map=_map(plan),
        trade_off=None if plan.moves is None else draw_trade_off(plan.moves),
        servers=_servers(plan),
        cloud_share=plan.calls.shares(instance.num_servers)[1],
        device_share=plan.calls.shares(instance.num_servers)[2],
        users=_users(plan),
        num_served=int((plan.shares > 0).sum()),
        copies=_copies(plan),
        replicas=_replicas(plan),
        idle_copies=_idle_copies(plan),
    )


def _map(plan: Plan) -> Any:
    instance = plan.instance
    capacity = instance.capacity_bytes.astype(np.float64)
    shares = np.full(instance.num_servers, math.nan)
    np.divide(plan.evaluation.used_bytes, capacity, out=shares, where=capacity > 0)
    shown = PlacementMap(
        instance=instance.name,
        method=plan.found.method + ("" if plan.moves is None else ", with few moves"),
        optimal=plan.gap == 0.0,
        servers=instance.server_names,
        used_shares=shares,
        models=tuple((m.name, m.layers, m.experts) for m in instance.models),
        stored=plan.placement.stored,
    )
    drawing = draw_map(shown, "placement")
    return {
        "title": drawing.title,
        "caption": drawing.caption,
        "wide": Markup(drawing.wide),
        "narrow": Markup(drawing.narrow),
    }


def _servers(plan: Plan) -> list[dict[str, Any]]:
    instance = plan.instance
    shares = plan.calls.shares(instance.num_servers)[0]
    shown = list(range(instance.num_servers))
    if instance.num_servers > MOST_SERVERS:  # those that serve most
        shown = sorted(np.argsort(-shares, kind="stable")[:MOST_SERVERS].tolist())
    loaded = None
    if plan.moves is not None:
        old = plan.moves.old.placement.stored
        loaded = [
            int(instance.expert_bytes[plan.placement.stored[n] & ~old[n]].sum()) for n in shown
        ]
    return [
        {
            "name": instance.server_names[n],
            "capacity": int(instance.capacity_bytes[n]),
            "used": int(plan.evaluation.used_bytes[n]),
            "experts": int(plan.placement.stored[n].sum()),
            "served": float(shares[n]),
            "growth": plan.growths[n],
            "loaded": None if loaded is None else loaded[row],
        }
        for row, n in enumerate(shown)
    ]


def _users(plan: Plan) -> list[dict[str, Any]]:
    """Return the users, those first who wait longest with the plan."""
    by_name = {each.name: each.user_latency_ms for each in plan.alternatives}
    latency = by_name["plan"]
    order = np.argsort(np.where(np.isnan(latency), math.inf, -latency), kind="stable")
    return [
        {
            "name": plan.instance.user_names[u],
            "share": float(plan.shares[u]),
            "latency": {name: float(values[u]) for name, values in by_name.items()},
            "saved": 1.0 - latency[u] / by_name["cloud"][u] if by_name["cloud"][u] > 0 else 0.0,
        }
        for u in order[:MOST_USERS].tolist()
    ]


def _copies(plan: Plan) -> list[tuple[int, int]]:
    """Return how many experts have how many copies."""
    numbers, counts = np.unique(plan.placement.stored.sum(axis=0), return_counts=True)
    return list(zip(numbers.tolist(), counts.tolist(), strict=True))


def _idle_copies(plan: Plan) -> int:
    """Count copies of replicated experts without which nobody would wait longer."""
    return sum(copy.loss_ms == 0.0 for replica in plan.replicas for copy in replica.copies)


def _replicas(plan: Plan) -> list[dict[str, Any]]:
    instance = plan.instance
    rows = []
    for replica in plan.replicas[:MOST_REPLICAS]:
        model, layer, expert = instance.locate(replica.expert)
        rows.append(
            {
                "model": instance.models[model].name if len(instance.models) > 1 else "",
                "layer": layer,
                "expert": expert,
                "copies": [
                    {
                        "server": instance.server_names[copy.server],
                        "users": words.listed(
                            [instance.user_names[u] for u in copy.users.tolist()], 4
                        ),
                        "calls": copy.calls,
                        "loss": copy.loss_ms,
                    }
                    for copy in replica.copies
                ],
            }
        )
    return rows
