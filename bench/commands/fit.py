"""``moeplace fit``: a routing model fitted to a trace, with the statistics of both."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter

from rich.console import Console

from bench.commands.output import print_block, print_json, require_writable
from bench.routing_page import PAGE_SUFFIXES, caption, page, size_text, terminal_table
from bench.spinner import spinning
from instances.architecture_file import find_architecture
from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import require_name
from instances.files import PLACEMENT_SUFFIXES, write_atomically
from instances.importers import read_recording
from instances.importers.archive_routes import write as routes_bytes
from instances.parsing import check_model_size
from instances.routing.comparison import Comparison, compare
from instances.routing.files import NamedRouter, find_router, router_to_dict, write_router
from instances.routing.fit import fit_router
from instances.routing.statistics import FIGURES
from instances.traces import Routes


def execute(arguments: argparse.Namespace) -> int:
    """Read, fit or compare, write, and show."""
    _check_outputs(arguments)
    architecture = None if arguments.model is None else find_architecture(arguments.model)
    with spinning(f"reading {arguments.trace}"):
        routes = _read(arguments, architecture)
    experts = _num_experts(arguments, routes, architecture)
    began = perf_counter()
    with spinning("measuring and drawing"), _in_file(arguments.trace):
        named = _router(arguments, routes, experts, architecture)
        comparison = compare(named.router, routes, experts=experts, seed=arguments.seed)
    seconds = perf_counter() - began
    if arguments.output:
        write_router(arguments.output, named)
    if arguments.routes:
        write_atomically(arguments.routes, routes_bytes(comparison.routes))
    if arguments.report:
        html = arguments.report.lower().endswith(".html")
        text = page(comparison, named, Path(arguments.trace).name, html=html)
        write_atomically(arguments.report, text.encode())
    if arguments.json:
        print_json(_as_json(named, comparison, seconds))
    else:
        _print(arguments, named, comparison)
    return 0


def _check_outputs(arguments: argparse.Namespace) -> None:
    for path, suffixes in (
        (arguments.output, PLACEMENT_SUFFIXES),
        (arguments.report, PAGE_SUFFIXES),
        (arguments.routes, (".npz",)),
    ):
        if path is not None:
            require_writable(path, suffixes)
    if arguments.router is not None and arguments.output is not None:
        raise InputError("--router", "is compared, not fitted, so there is nothing for -o to write")
    if arguments.model is not None and arguments.experts is not None:
        raise InputError("--experts", "cannot be used together with --model")


def _read(arguments: argparse.Namespace, architecture: Architecture | None) -> Routes:
    recording = read_recording(arguments.trace, form=arguments.form, architecture=architecture)
    if not isinstance(recording, Routes):
        raise InputError(
            "",
            "holds counts of experts without the sets of tokens; a routing model needs the sets",
            source=arguments.trace,
        )
    return recording


def _num_experts(
    arguments: argparse.Namespace, routes: Routes, architecture: Architecture | None
) -> int:
    if architecture is not None:
        for what, found, needed in (
            ("layers", routes.num_layers, architecture.moe_layers),
            ("experts a token", routes.top_k, architecture.top_k),
        ):
            if found != needed:
                raise InputError(
                    "experts",
                    f"{found} {what}, but {architecture.name} has {needed}",
                    source=arguments.trace,
                )
        return architecture.experts_per_layer
    used = max(1, int(routes.experts.max()) + 1)
    if arguments.experts is None:
        return used
    check_model_size("--experts", routes.num_layers, arguments.experts, 0)
    if arguments.experts < routes.top_k:
        raise InputError(
            "--experts", f"{arguments.experts} is less than the {routes.top_k} of one token"
        )
    return int(arguments.experts)


def _router(
    arguments: argparse.Namespace, routes: Routes, experts: int, architecture: Architecture | None
) -> NamedRouter:
    if arguments.router is not None:
        return find_router(arguments.router)
    recorded = Path(arguments.trace).stem if architecture is None else architecture.name
    name = recorded if arguments.name is None else arguments.name
    return NamedRouter(
        name=require_name(name, "--name"),
        router=fit_router(routes.experts, routes.offsets, experts=experts, seed=arguments.seed),
        layers=routes.num_layers,
        experts=experts,
        top_k=routes.top_k,
    )


@contextmanager
def _in_file(path: str) -> Iterator[None]:
    """Name the file of the trace in what is said about its experts."""
    try:
        yield
    except InputError as error:
        raise (error.in_file(path) if error.field.startswith("experts") else error) from None


def _as_json(named: NamedRouter, comparison: Comparison, seconds: float) -> dict[str, object]:
    deviations = comparison.deviations
    return {
        "name": named.name,
        "router": asdict(named.router),
        "trace": _size(comparison, drawn=False),
        "drawn": _size(comparison, drawn=True),
        "statistics": {
            figure.name: {
                "group": figure.group,
                "label": figure.label,
                "trace": comparison.trace.values[figure.name],
                "trace_layers": comparison.trace.ranges[figure.name],
                "drawn": comparison.drawn.values[figure.name],
                "deviation": deviations[figure.name],
            }
            for figure in FIGURES
        },
        "seconds": seconds,
    }


def _size(comparison: Comparison, *, drawn: bool) -> dict[str, int]:
    statistics = comparison.drawn if drawn else comparison.trace
    return {
        name: getattr(statistics, name)
        for name in ("tokens", "requests", "layers", "experts", "top_k")
    }


def _print(arguments: argparse.Namespace, named: NamedRouter, comparison: Comparison) -> None:
    written = [path for path in (arguments.output, arguments.report, arguments.routes) if path]
    print_block(
        f"{named.name}, written to {', '.join(written)}" if written else named.name,
        {
            "trace": size_text(comparison.trace),
            "drawn": size_text(comparison.drawn),
            "router": ", ".join(
                f"{name} {value:g}" for name, value in router_to_dict(named)["router"].items()
            ),
        },
    )
    console = Console()
    console.print(terminal_table(comparison))
    console.print(caption(comparison.trace), style="dim", markup=False, highlight=False)
