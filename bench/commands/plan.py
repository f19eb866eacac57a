"""``moeplace plan``: a placement for one's own boxes, certified and explained."""

import argparse
import math
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from bench.commands.output import complain, print_block, print_json, require_writable
from bench.formats import gap_text, plural, seconds_text
from bench.planning.document import to_document
from bench.planning.inputs import Request, read_inputs
from bench.planning.page import render_page
from bench.planning.plan import Plan, Wishes, make_plan
from bench.planning.search import check_method
from bench.planning.words import least_ms_text, most_ms_text, ms_text, share_text, size_text
from bench.spinner import spinning
from instances.errors import InputError
from instances.files import (
    INSTANCE_SUFFIXES,
    PLACEMENT_SUFFIXES,
    write_atomically,
    write_instance,
    write_placement,
)
from instances.physical_map import to_physical_map, write_physical_map
from instances.placement_csv import write_placement_csv


def execute(arguments: argparse.Namespace) -> int:
    """Read the inputs, make the plan, write what was asked for, and say how good it is."""
    _check(arguments)
    request = Request(
        model=arguments.model,
        precision=arguments.precision,
        network=arguments.network,
        recording=arguments.trace or arguments.counts,
        holds_counts=arguments.trace is None,
        form=arguments.form,
        users=arguments.users,
        name=arguments.name,
    )
    wishes = Wishes(
        method=arguments.method,
        gap=arguments.gap,
        time_limit=arguments.time_limit,
        memory_bytes=arguments.memory_limit,
        seed=arguments.seed,
        extra_bytes=arguments.more_storage,
        old_file=arguments.minimise_moves_from,
        budget_bytes=arguments.move_budget,
    )
    with spinning(f"reading {request.recording}"):
        inputs = read_inputs(request)
    with spinning(f"planning {inputs.instance.name}"):
        plan = make_plan(inputs, wishes, datetime.now(UTC))
    if plan is None:
        method = wishes.method or "any method"
        return complain(f"{inputs.instance.name}: no placement found by {method} in time", 1)
    written, notes = _write(arguments, plan)
    if arguments.json:
        print_json({**to_document(plan, written), "notes": notes})
    else:
        print_block(*_as_text(plan, written, notes))
    if not math.isfinite(plan.found.bound_ms):
        return complain(f"{inputs.instance.name}: no certificate within the time limit", 1)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    """Check what can be checked before any work is done."""
    require_writable(arguments.output, PLACEMENT_SUFFIXES)
    for path, suffixes in (
        (arguments.page, (".html", ".htm")),
        (arguments.physical_map, (".json",)),
        (arguments.csv, (".csv",)),
        (arguments.instance, INSTANCE_SUFFIXES),
    ):
        if path is not None:
            require_writable(path, suffixes)
    if arguments.method is not None:
        check_method(arguments.method)
    if not 0.0 <= arguments.gap <= 1.0:
        raise InputError("--gap", f"{arguments.gap} is not in 0..1")
    if arguments.move_budget is not None and arguments.minimise_moves_from is None:
        raise InputError("--move-budget", "needs --minimise-moves-from, what is stored now")


def _write(arguments: argparse.Namespace, plan: Plan) -> tuple[dict[str, str | None], list[str]]:
    """Write all files, the page last; returns them by kind, and what there is to say of them."""
    notes: list[str] = []
    instance, placement = plan.instance, plan.placement
    write_placement(arguments.output, instance, placement)
    if arguments.instance is not None:
        write_instance(arguments.instance, instance)
    if arguments.csv is not None:
        write_placement_csv(arguments.csv, instance, placement)
    if arguments.physical_map is not None:
        notes.append(_write_map(arguments.physical_map, plan))
    if arguments.page is not None:
        page = render_page(plan, shlex.join(["moeplace", *arguments.words]), notes)
        write_atomically(arguments.page, page.encode())
    written = {
        "placement": arguments.output,
        "page": arguments.page,
        "physical_map": arguments.physical_map,
        "csv": arguments.csv,
        "instance": arguments.instance,
    }
    return written, notes


def _write_map(path: str, plan: Plan) -> str:
    """Write the physical map; returns what there is to say of it."""
    instance = plan.instance
    physical = to_physical_map(instance, plan.placement)
    missing = int((physical.copies() == 0).sum())
    if missing == 0:
        physical = physical.filled()
    dense = plan.inputs.architecture.dense_layers
    write_physical_map(path, physical, dense_layers=dense)
    if missing:
        return (
            f"{path}: {plural(missing, 'expert')} on no server, and empty slots are -1; SGLang "
            "refuses such a map, since it needs each expert"
        )
    slots = physical.slots_per_server
    needed = slots * physical.num_layers * int(instance.expert_bytes.max())
    short = instance.capacity_bytes < needed
    fits = (
        f"more than {plural(int(short.sum()), 'box', 'boxes')} of them have"
        if short.any()
        else "they fit"
    )
    return (
        f"{path}: serving systems give each box as many slots in every layer, here {slots} or "
        f"{size_text(needed)}: {fits}. Free slots repeat experts."
    )


def _as_text(
    plan: Plan, written: Mapping[str, str | None], notes: list[str]
) -> tuple[str, dict[str, str]]:
    instance, evaluation, found = plan.instance, plan.evaluation, plan.found
    empty = evaluation.empty_latency_ms
    saved = f" (-{share_text(evaluation.saving_ms / empty)})" if empty > 0 else ""
    others = {each.name: ms_text(each.latency_ms) for each in plan.alternatives}
    lines = {
        "latency": f"{ms_text(evaluation.latency_ms)} ms per token for experts; "
        f"{others['cloud']} with everything from the cloud{saved}",
        "compared": ", ".join(
            f"{name} {latency}" for name, latency in others.items() if name not in ("cloud", "plan")
        ),
    }
    if math.isfinite(found.bound_ms):
        proof = "certified" if found.certified else "not certified"
        lines["gap"] = (
            f"at most {gap_text(plan.gap)}: no placement that fits is faster than "
            f"{least_ms_text(plan.least_latency_ms)} ms ({proof})"
        )
    used, capacity = int(evaluation.used_bytes.sum()), int(instance.capacity_bytes.sum())
    lines["storage"] = (
        f"{size_text(used)} of {size_text(capacity)} on {plural(instance.num_servers, 'server')}; "
        f"{plural(len(plan.replicas), 'expert')} stored more than once"
    )
    more = _more(plan)
    if more:
        lines["more"] = more
    if plan.moves is not None:
        moves = plan.moves
        gain = moves.move.saving_ms - moves.old.saving_ms
        lines["moves"] = (
            f"{size_text(moves.move.loaded_bytes)} to load for {ms_text(gain)} ms; everything "
            f"that helps: {size_text(moves.frontier[-1].loaded_bytes)} for "
            f"{ms_text(moves.frontier[-1].saving_ms - moves.old.saving_ms)} ms"
            if len(moves.frontier) > 1
            else "none: nothing was found that is better than what is stored now"
        )
        if math.isfinite(moves.bound_ms):
            least = max(0.0, empty - moves.bound_ms)
            lines["limit"] = (
                f"no placement that loads as little is faster than {least_ms_text(least)} ms "
                "(certified)"
            )
    if notes:
        lines["note"] = "; ".join(notes)
    lines["time"] = seconds_text(plan.seconds)
    lines["written"] = ", ".join(path for path in written.values() if path is not None)
    return f"{instance.name}: plan by {found.method}", lines


def _more(plan: Plan) -> str:
    """Say what more storage brings: where it is worth most, or what it brings at most."""
    extra = size_text(plan.wishes.extra_bytes)
    best = plan.best_growth
    if best is None:
        most = max(growth.most_ms for growth in plan.growths)
        return (
            f"{extra} more on one server: {most_ms_text(most)} ms at most"
            if most < math.inf
            else ""
        )
    growth = plan.growths[best]
    text = (
        f"{extra} more is worth most on {plan.instance.server_names[best]}: "
        f"{ms_text(growth.found_ms)} ms found"
    )
    return text + (
        f", {most_ms_text(growth.most_ms)} ms at most" if growth.most_ms < math.inf else ""
    )
