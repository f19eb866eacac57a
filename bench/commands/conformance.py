"""``moeplace conformance``: whether a method keeps the rules that every method has to keep."""

import argparse

from bench.algorithms import find_algorithm
from bench.commands.output import complain, print_block, print_json
from bench.formats import plural
from bench.spinner import spinning
from instances.conformance import CHECKS, Subject


def execute(arguments: argparse.Namespace) -> int:
    """Try the method on every case; 1 when it breaks a rule."""
    algorithm = find_algorithm(arguments.method)
    subject = Subject(algorithm)
    with spinning(f"{algorithm.name}: {plural(len(subject.cases), 'instance')}"):
        findings = {check.name: check(subject) for check in CHECKS}
    broken = [finding for found in findings.values() for finding in found]
    if arguments.json:
        print_json(
            {
                "with": algorithm.name,
                "instances": len(subject.cases),
                "supported": sum(1 for _ in subject.supported),
                "rules": {name: not found for name, found in findings.items()},
                "findings": [
                    {"rule": each.check, "instance": each.instance, "problem": each.problem}
                    for each in broken
                ],
                "ok": not broken,
            }
        )
    else:
        print_block(
            f"{algorithm.name} on {plural(len(subject.cases), 'instance')}, "
            f"{sum(1 for _ in subject.supported)} of them supported",
            {name: "kept" if not found else "BROKEN" for name, found in findings.items()},
        )
    for finding in broken:
        complain(str(finding), 1, label="")
    return 1 if broken else 0
