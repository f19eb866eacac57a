"""``moeplace holdout``: plans measured on traffic that they were not made for."""

import argparse
import math

import numpy as np
from numpy.typing import NDArray

from bench.algorithms import find_algorithms
from bench.commands.output import complain, print_columns, print_json, require_writable
from bench.formats import MISSING, plural
from bench.held_out import BOUND, SYNTHETIC, study, synthetic_traffic
from bench.held_out_file import to_dict, write_studies
from bench.held_out_table import floor_text, size_text
from bench.spinner import spinning
from bench.studies import Measurement, Study
from bench.traces import read_trace
from bench.warmup import warm
from instances.errors import InputError
from instances.files import read_instance
from instances.problem import Instance
from instances.simulation.held_out import SPLITS
from instances.traces import Routes

LIMIT_S, SYNTHETIC_LIMIT_S = 10.0, 0.2
"""Seconds for each method on each part: synthetic traffic is part of every ``make report``."""


def execute(arguments: argparse.Namespace) -> int:
    """Measure, write, print; 1 when no method gave a placement."""
    methods = find_algorithms(arguments.methods or ["heuristics"])
    splits = arguments.splits or list(SPLITS)
    if arguments.output is not None:
        require_writable(arguments.output, (".json",))
    if arguments.file is not None and arguments.routes is None:
        raise InputError("ROUTES", "is missing; or leave out FILE as well, for synthetic traffic")
    if arguments.users is not None and arguments.routes is None:
        raise InputError("--users", "needs ROUTES: synthetic traffic has its users")
    studies = []
    traffic: list[tuple[Instance, Routes, str, NDArray[np.int64] | None]]
    if arguments.file is None:
        traffic = [(*synthetic_traffic(*kind, arguments.seed), None) for kind in SYNTHETIC]
    else:
        network = read_instance(arguments.file)
        trace, users = read_trace(arguments.routes, network, arguments.users)
        traffic = [(network, trace, f"recorded in {arguments.routes}", users)]
    limit = arguments.time_limit or (SYNTHETIC_LIMIT_S if arguments.file is None else LIMIT_S)
    warm([*methods, BOUND])
    for instance, routes, words, grouping in traffic:
        with spinning(f"planning and measuring on {instance.name}"):
            studies.append(
                study(
                    instance,
                    routes,
                    grouping,
                    traffic=words,
                    synthetic=arguments.file is None,
                    splits=splits,
                    methods=methods,
                    seed=arguments.seed,
                    time_limit_s=limit,
                )
            )
    if arguments.output is not None:
        write_studies(arguments.output, studies)
    if arguments.json:
        print_json(to_dict(studies))
    else:
        for one in studies:
            _print(one)
        if arguments.output is not None:
            print(f"written to {arguments.output}")
    plans = [plan for one in studies for part in one.measurements for plan in part.plans]
    if all(math.isnan(plan.measured_ms) for plan in plans):
        return complain("no method gave a placement", 1)
    return 0


def _print(one: Study) -> None:
    print(
        f"{one.instance}: {plural(one.requests, 'request')} {one.traffic}, "
        f"{plural(one.tokens, 'token')}; {plural(one.users, 'user')}, "
        f"{plural(one.servers, 'server')}, {one.layers} x {one.experts} experts, K = {one.top_k}"
    )
    for part in one.measurements:
        print(f"\n{part.split}: {SPLITS[part.split]}")
        print_columns(_rows(part))
        line = f"  ms per token; cloud only {part.cloud_ms:.6g}, best {part.best_ms:.6g}"
        if not math.isnan(part.bound_ms):
            line += f"; no placement is below {floor_text(part.bound_ms)}"
        print(line)
        for plan in part.plans:
            if plan.reason:
                print(f"  {plan.method}: {plan.reason}")
    print()


def _rows(part: Measurement) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("method", "promised", "measured", "in hindsight", "of the best saving", "load adds")
    ]
    order = sorted(part.plans, key=lambda plan: (math.isnan(plan.measured_ms), plan.measured_ms))
    for plan in order:
        if math.isnan(plan.measured_ms):
            continue
        rows.append(
            (
                plan.method,
                f"{plan.promised_ms:.6g}",
                f"{plan.measured_ms:.6g}",
                MISSING if math.isnan(plan.hindsight_ms) else f"{plan.hindsight_ms:.6g}",
                f"{100 * part.share(plan.measured_ms):.1f} %",
                f"{100 * (plan.load_factor - 1):.1f} %",
            )
        )
    for cache in part.caches:
        share = part.share(cache.measured_ms)
        fetched = f"{size_text(cache.fetched_bytes)} fetched a token"
        rows.append(
            (
                f"{cache.policy} cache",
                "",
                f"{cache.measured_ms:.6g}",
                fetched,
                f"{100 * share:.1f} %",
                "",
            )
        )
    return rows
