"""``moeplace check``: a placement evaluated, or a certificate verified, without rounding."""

import argparse
from fractions import Fraction

from bench.commands.output import complain, print_block, print_json
from instances.certificate import is_certificate, read_certificate
from instances.certificate_checker import proven_bound
from instances.checker import check
from instances.evaluation import evaluate
from instances.files import read_instance, read_placement
from instances.problem import Instance
from instances.rounding_up import round_up

AGREEMENT = Fraction(1, 10**12)
"""Relative difference that the floating-point evaluator is allowed."""


def execute(arguments: argparse.Namespace) -> int:
    """Check a placement or a certificate against its instance.

    A wrong file is an error of its reader.
    """
    instance = read_instance(arguments.file)
    if is_certificate(arguments.placement):
        return _check_certificate(arguments, instance)
    placement = read_placement(arguments.placement, instance)
    exact = check(instance, placement)
    evaluation = evaluate(instance, placement)
    agrees = _agree(evaluation.saving_ms, exact.saving_ms) and _agree(
        evaluation.latency_ms, exact.latency_ms
    )
    if arguments.json:
        print_json(
            {
                "instance": instance.name,
                "feasible": not exact.overfull,
                "saving_ms": float(exact.saving_ms),
                "latency_ms": float(exact.latency_ms),
                "saving_exact": _fraction(exact.saving_ms),
                "latency_exact": _fraction(exact.latency_ms),
                "used_bytes": dict(zip(instance.server_names, exact.used_bytes, strict=True)),
                "evaluator_agrees": agrees,
            }
        )
    else:
        servers = zip(
            instance.server_names, exact.used_bytes, instance.capacity_bytes.tolist(), strict=True
        )
        lines = {
            "latency": f"{float(exact.latency_ms)!r} ms per token = {_short(exact.latency_ms)}",
            "saving": f"{float(exact.saving_ms)!r} ms per token = {_short(exact.saving_ms)}",
        }
        for name, used, capacity in servers:
            share = f" ({used / capacity:.1%})" if capacity else ""
            lines[name] = f"{used} of {capacity} bytes{share}"
        lines["evaluator"] = "agrees to 1e-12" if agrees else "DISAGREES"
        print_block(f"{instance.name}: feasible", lines)
    if not agrees:
        return complain(
            f"{arguments.placement}: the evaluator says {evaluation.saving_ms!r} ms, the exact "
            f"value is {float(exact.saving_ms)!r} ms; this is a bug of moeplace",
            1,
        )
    return 0


def _check_certificate(arguments: argparse.Namespace, instance: Instance) -> int:
    """Compute what the multipliers prove, and hold the claim of the file against it."""
    certificate = read_certificate(arguments.placement, instance)
    proven = proven_bound(instance, certificate)
    claimed = certificate.bound_saving_ms
    holds = Fraction(claimed) >= proven
    if arguments.json:
        print_json(
            {
                "instance": instance.name,
                "method": certificate.method,
                "claimed_bound_saving_ms": claimed,
                "bound_saving_ms": round_up(proven),
                "bound_exact": _fraction(proven),
                "certified": holds,
            }
        )
    else:
        lines = {
            "proven": f"no placement saves more than {round_up(proven)!r} ms per token",
            "exactly": _short(proven),
            "claimed": f"{claimed!r} ms by {certificate.method}",
        }
        print_block(f"{instance.name}: certificate {'holds' if holds else 'FAILS'}", lines)
    if not holds:
        return complain(
            f"{arguments.placement}: the claim is {claimed!r} ms, but the multipliers prove no "
            f"less than {round_up(proven)!r} ms",
            1,
        )
    return 0


def _agree(value: float, exact: Fraction) -> bool:
    return abs(Fraction(value) - exact) <= AGREEMENT * abs(exact)


def _fraction(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def _short(value: Fraction) -> str:
    text = _fraction(value)
    return text if len(text) <= 60 else f"a fraction of {len(text) - 1} digits (--json shows it)"
