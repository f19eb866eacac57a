"""``moeplace bound``: how much any placement of an instance can save at most."""

import argparse
import dataclasses
import math
import sys
from collections.abc import Mapping
from typing import Any

from bench.algorithms import find_algorithm, quick_heuristics
from bench.commands.output import complain, print_block, print_json, require_writable
from bench.commands.solve import read_settings
from bench.formats import bound_text, gap_text, seconds_text, value_text
from bench.presets import AUTO, NONE
from bench.sandbox import Limits, PackedInstance, solve_in_sandbox
from bench.spinner import spinning
from bench.worker import Answer
from instances.certificate import Certificate, read_certificate, write_certificate
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import PLACEMENT_SUFFIXES, read_instance, read_placement
from instances.multipliers import DualForm
from instances.placement import Placement
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Outcome, Result, Status, StopReason, judge


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """A judged bound with everything that is told about it."""

    instance: Instance
    algorithm: Algorithm
    parameters: dict[str, Any]
    seed: int
    outcome: Outcome
    result: Result

    @property
    def is_known(self) -> bool:
        """There is a bound."""
        return math.isfinite(self.result.bound_saving_ms)


def execute(arguments: argparse.Namespace) -> int:
    """Run a method for the sake of its bound, judge it, and write its certificate."""
    algorithm = find_algorithm(arguments.method)
    parameters = read_settings(arguments.settings, algorithm)
    if arguments.output is not None:
        require_writable(arguments.output, PLACEMENT_SUFFIXES)
    limits = Limits(time_s=arguments.time_limit, memory_bytes=arguments.memory_limit)
    instance = read_instance(arguments.file)
    shown = dict(parameters)
    if arguments.multipliers is not None:
        parameters["multipliers"] = _multipliers(arguments.multipliers, algorithm, instance)
        shown["multipliers"] = arguments.multipliers
    packed = PackedInstance.of(instance)
    with spinning(f"{instance.name}: {algorithm.name}"):
        start = _start(arguments.start, packed, limits)
        answer = solve_in_sandbox(
            algorithm,
            packed,
            seed=arguments.seed,
            limits=limits,
            start=start if algorithm.takes_start else None,
            parameters=parameters,
        )
    if answer.input_error is not None:
        raise answer.input_error.within(f"--set of {algorithm.name}")
    outcome = _better(instance, answer.outcome, start)
    bounded = Bounded(
        instance=instance,
        algorithm=algorithm,
        parameters=shown,
        seed=arguments.seed,
        outcome=outcome,
        result=judge(instance, outcome, seconds=answer.seconds),
    )
    written = _write(arguments.output, bounded)
    _tell(arguments, bounded, answer, written)
    where = f"{algorithm.name} on {arguments.file}"
    if not bounded.is_known:
        return complain(f"{where}: {_why_unknown(bounded.result)}", 1, label="")
    if arguments.output is not None and written is None:
        return complain(
            f"{where}: no certificate is written, as the method hands over no multipliers", 1
        )
    return 0


def _start(wanted: str, packed: PackedInstance, limits: Limits) -> Placement | None:
    """Read the placement that the bound is held against, or look for one."""
    if wanted == NONE:
        return None
    if wanted != AUTO:
        return read_placement(wanted, packed.instance)
    best: Result | None = None
    for algorithm in quick_heuristics():
        answer = solve_in_sandbox(algorithm, packed, seed=0, limits=limits)
        result = judge(packed.instance, answer.outcome, seconds=answer.seconds)
        if result.placement is not None and (best is None or result.saving_ms > best.saving_ms):
            best = result
    return None if best is None else best.placement


def _multipliers(path: str, algorithm: Algorithm, instance: Instance) -> Any:
    if "multipliers" not in algorithm.parameters:
        raise InputError("--multipliers", f"{algorithm.name} takes no multipliers to start from")
    return read_certificate(path, instance).multipliers(DualForm.of(instance))


def _better(instance: Instance, outcome: Outcome, start: Placement | None) -> Outcome:
    """Hold the bound against the start where the method has nothing better itself."""
    if start is None:
        return outcome
    if outcome.placement is not None:
        found, given = (evaluate(instance, p).saving_ms for p in (outcome.placement, start))
        if found >= given:
            return outcome
    return dataclasses.replace(outcome, placement=start, claimed_saving_ms=math.nan)


def _write(path: str | None, bounded: Bounded) -> str | None:
    """Write the certificate if there is one; returns where."""
    outcome = bounded.outcome
    if path is None or outcome.multipliers is None or not bounded.result.bound_certified:
        return None
    certificate = Certificate.of(
        DualForm.of(bounded.instance),
        outcome.multipliers,
        method=bounded.algorithm.name,
        bound_saving_ms=outcome.bound_saving_ms,
    )
    write_certificate(path, bounded.instance, certificate)
    return path


def _tell(
    arguments: argparse.Namespace, bounded: Bounded, answer: Answer, written: str | None
) -> None:
    if arguments.verbose and answer.log:
        print(answer.log.rstrip(), file=sys.stderr)
    if arguments.json:
        print_json(_as_json(bounded, written))
    elif bounded.is_known:
        print_block(*_as_text(bounded, written))


def _why_unknown(result: Result) -> str:
    if result.stop_reason is StopReason.COMPLETED:
        return "the method proves no bound"
    detail = f": {result.reason}" if result.reason else ""
    return f"no bound: {result.stop_reason.value}{detail}"


def _as_json(bounded: Bounded, written: str | None) -> dict[str, Any]:
    result = bounded.result
    return {
        "name": bounded.instance.name,
        "method": bounded.algorithm.name,
        "seed": bounded.seed,
        "parameters": {**bounded.algorithm.parameters, **bounded.parameters},
        "status": result.status.value,
        "stop_reason": result.stop_reason.value,
        "reason": result.reason,
        "bound_saving_ms": result.bound_saving_ms,
        "certified": result.bound_certified,
        "saving_ms": result.saving_ms,
        "gap": result.gap,
        "seconds": result.seconds,
        "certificate": written,
    }


def _as_text(bounded: Bounded, written: str | None) -> tuple[str, Mapping[str, str]]:
    result = bounded.result
    empty = evaluate(bounded.instance, Placement.empty(bounded.instance)).latency_ms
    share = f" ({result.bound_saving_ms / empty:.1%} of {value_text(empty)})" if empty > 0 else ""
    lines = {
        "saving": f"at most {bound_text(result.bound_saving_ms)} ms per token{share}",
        "certified": (
            "yes: it holds in exact arithmetic, whatever was rounded"
            if result.bound_certified
            else "no: right up to the tolerances of floating-point arithmetic"
        ),
        "time": seconds_text(result.seconds),
    }
    if result.status is Status.OPTIMAL:
        lines["gap"] = "none: a placement saves as much"
    elif result.placement is not None:
        lines["gap"] = (
            f"at most {gap_text(result.gap)} to a placement that saves "
            f"{value_text(result.saving_ms)} ms per token"
        )
    if result.reason:
        lines["note"] = result.reason
    if written is not None:
        lines["certificate"] = f"in {written}"
    stopped = (
        ""
        if result.stop_reason is StopReason.COMPLETED
        else f", stopped by {result.stop_reason.value.replace('_', ' ')}"
    )
    return f"{bounded.instance.name}: bound of {bounded.algorithm.name}{stopped}", lines
