"""``moeplace solve``: one method on one instance."""

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from bench.algorithms import find_algorithm
from bench.commands.output import complain, print_block, print_json, require_writable
from bench.formats import bound_text, gap_text, plural, seconds_text, value_text
from bench.incumbent import Step, trajectory
from bench.kinds import kind_of
from bench.pool import Pool, Request
from bench.presets import AUTO, NONE
from bench.sandbox import Limits, PackedInstance, solve_in_sandbox
from bench.spinner import spinning
from bench.start import Start, find_start
from bench.worker import Answer
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import PLACEMENT_SUFFIXES, read_instance, read_placement, write_placement
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Result, Status, StopReason, judge


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Solved:
    """A judged solve with everything that is told about it."""

    instance: Instance
    algorithm: Algorithm
    parameters: dict[str, Any]
    seed: int
    start: Start | None
    answer: Answer
    result: Result


def execute(arguments: argparse.Namespace) -> int:
    """Solve, judge, write the placement, and say how good it is."""
    algorithm = find_algorithm(arguments.method)
    parameters = read_settings(arguments.settings, algorithm)
    if arguments.output is not None:
        require_writable(arguments.output, PLACEMENT_SUFFIXES)
    limits = Limits(time_s=arguments.time_limit, memory_bytes=arguments.memory_limit)
    instance = read_instance(arguments.file)
    solved = _solve(arguments, algorithm, instance, parameters, limits)
    result = solved.result
    written = None
    if arguments.output is not None and result.placement is not None:
        write_placement(arguments.output, instance, result.placement)
        written = arguments.output
    if arguments.verbose and solved.answer.log:
        print(solved.answer.log.rstrip(), file=sys.stderr)
    if arguments.json:
        print_json(_as_json(solved, written))
    elif result.placement is not None:
        print_block(*_as_text(solved, written))
    if result.placement is None:
        return complain(
            f"{algorithm.name} on {arguments.file}: {result.stop_reason.value}: {result.reason}",
            1,
            label="",
        )
    return 0


def _solve(
    arguments: argparse.Namespace,
    algorithm: Algorithm,
    instance: Instance,
    parameters: dict[str, Any],
    limits: Limits,
) -> Solved:
    given: Placement | None = None
    start: Start | None = None
    wanted = arguments.start or (AUTO if algorithm.exact and algorithm.takes_start else NONE)
    if wanted != NONE and not algorithm.takes_start:
        raise InputError("--start", f"{algorithm.name} takes no placement to start from")
    if wanted not in (AUTO, NONE):
        given = read_placement(wanted, instance)
        start = Start(
            placement=given, algorithm=wanted, saving_ms=evaluate(instance, given).saving_ms
        )
    packed = PackedInstance.of(instance)
    with Pool(1) as pool, spinning(f"{instance.name}: {algorithm.name}"):
        if wanted == AUTO:
            asked = solve_in_sandbox(algorithm, packed, seed=0, limits=limits, only_ask=True)
            if asked.outcome.stop_reason is not StopReason.UNSUPPORTED:
                start = find_start(pool, packed, limits)
                given = start.placement
        answers: list[Answer] = []
        pool.submit(
            Request(
                algorithm=algorithm,
                packed=packed,
                seed=arguments.seed,
                limits=limits,
                start=given,
                parameters=parameters,
            ),
            lambda answer, environment: answers.append(answer),
        )
        pool.drain()
    (answer,) = answers
    if answer.input_error is not None:
        raise answer.input_error.within(f"--set of {algorithm.name}")
    return Solved(
        instance=instance,
        algorithm=algorithm,
        parameters=parameters,
        seed=arguments.seed,
        start=start,
        answer=answer,
        result=judge(instance, answer.outcome, seconds=answer.seconds),
    )


def read_settings(settings: Sequence[str], algorithm: Algorithm) -> dict[str, Any]:
    """Read parameters from ``key=value``; a value has the type of the parameter's default.

    Raises
    ------
    InputError
        When the method has no such parameter, or the value has another type.
    """
    parameters: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise InputError("--set", f"{setting!r} is not of the form KEY=VALUE")
        algorithm.check_parameters({name: text})
        default = algorithm.parameters[name]
        parameters[name] = _value(name, text, default)
    return parameters


def _value(name: str, text: str, default: Any) -> Any:
    if isinstance(default, str):
        return text
    try:
        value = json.loads(text, parse_constant=lambda word: word)
    except ValueError:
        value = text
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if default is not None and type(value) is not type(default):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}
        wanted = kind.get(type(default), f"of type {type(default).__name__}")
        raise InputError(f"--set {name}", f"{text!r} is not {wanted}")
    return value


def _as_json(solved: Solved, written: str | None) -> dict[str, Any]:
    result, guarantee = solved.result, solved.algorithm.guarantee
    empty = evaluate(solved.instance, Placement.empty(solved.instance)).latency_ms
    return {
        "name": solved.instance.name,
        "instance": solved.instance.name,
        "with": solved.algorithm.name,
        "seed": solved.seed,
        "parameters": {**solved.algorithm.parameters, **solved.parameters},
        "status": result.status.value,
        "stop_reason": result.stop_reason.value,
        "kind": kind_of(result.status, result.stop_reason).value,
        "reason": result.reason,
        "saving_ms": result.saving_ms,
        "latency_ms": result.latency_ms,
        "empty_latency_ms": empty,
        "bound_saving_ms": result.bound_saving_ms,
        "bound_certified": result.bound_certified,
        "certified": result.bound_certified,
        "gap": result.gap,
        "seconds": result.seconds,
        "claimed_saving_ms": result.claimed_saving_ms,
        "start": None if solved.start is None else _start_facts(solved.start),
        "guarantee": (
            None
            if guarantee is None
            else {"formula": guarantee.formula, "ratio": solved.answer.guarantee_ratio}
        ),
        "trajectory": [dataclasses.asdict(step) for step in _steps(solved)],
        "placement": written,
    }


def _steps(solved: Solved) -> tuple[Step, ...]:
    return trajectory(solved.answer.steps, solved.result)


def _start_facts(start: Start) -> dict[str, Any]:
    found = start.placement is not None
    return {
        "with": start.algorithm or None,
        "saving_ms": start.saving_ms if found else math.nan,
        "seconds": start.seconds,
    }


def _as_text(solved: Solved, written: str | None) -> tuple[str, Mapping[str, str]]:
    result = solved.result
    empty = evaluate(solved.instance, Placement.empty(solved.instance)).latency_ms
    share = f" ({result.saving_ms / empty:.1%} of it)" if empty > 0 else ""
    lines = {
        "latency": f"{value_text(result.latency_ms)} ms per token; "
        f"{value_text(empty)} with everything from the cloud",
        "saving": f"{value_text(result.saving_ms)} ms per token{share}",
        "gap": _gap(result),
        "guarantee": _guarantee(solved),
        "time": seconds_text(result.seconds),
    }
    if solved.start is not None:
        if solved.start.seconds:
            lines["time"] += f", and {seconds_text(solved.start.seconds)} before for a start"
        if solved.start.placement is not None:
            saving = value_text(solved.start.saving_ms)
            lines["start"] = f"{solved.start.algorithm}, saving {saving} ms per token"
    if solved.answer.steps:
        lines["on the way"] = _on_the_way(_steps(solved))
    if result.reason:
        lines["note"] = result.reason
    lines["placement"] = "not written (-o FILE writes it)" if written is None else f"in {written}"
    stopped = (
        ""
        if result.stop_reason is StopReason.COMPLETED
        else (f", stopped by {result.stop_reason.value.replace('_', ' ')}")
    )
    title = f"{solved.instance.name} with {solved.algorithm.name}: {result.status.value}{stopped}"
    return title, lines


def _gap(result: Result) -> str:
    if result.status is Status.OPTIMAL:
        return "none: no placement saves more"
    if math.isfinite(result.gap):
        bound = bound_text(result.bound_saving_ms)
        certified = " (certified)" if result.bound_certified else ""
        text = f"at most {gap_text(result.gap)}: no placement saves more than {bound} ms per token"
        return text + certified
    return "not known: this method proves no bound"


def _on_the_way(steps: Sequence[Step]) -> str:
    """Say when placements and bounds became better."""
    parts = []
    savings = [step for step in steps if not math.isnan(step.saving_ms)]
    for what, values in (
        ("placement", [(step.seconds, step.saving_ms) for step in savings]),
        ("bound", [(step.seconds, step.bound_saving_ms) for step in steps]),
    ):
        known = [(at, value) for at, value in values if math.isfinite(value)]
        better = [at for at, value in dict((v, (at, v)) for at, v in reversed(known)).values()]
        if better:
            last = seconds_text(max(better))
            parts.append(f"{plural(len(better), what)}, the best after {last}")
    return "; ".join(parts)


def _guarantee(solved: Solved) -> str:
    guarantee = solved.algorithm.guarantee
    if guarantee is None:
        return "optimal when it completes" if solved.algorithm.exact else "none"
    if solved.answer.guarantee_ratio is None:
        return f"none here; proved for: {guarantee.scope}"
    return f"{guarantee.formula}; here F >= {solved.answer.guarantee_ratio:.4g} OPT"
