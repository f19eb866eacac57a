"""``moeplace conformance``: whether a method or a family keeps the rules that all have to keep."""

import argparse
from typing import Any

from bench.algorithms import GROUPS, find_algorithm
from bench.commands.output import complain, print_block, print_json
from bench.formats import plural
from bench.spinner import spinning
from instances.bound_conformance import BOUND_CHECKS
from instances.conformance import CHECKS, Finding, Subject
from instances.errors import InputError
from instances.families import FAMILIES, Family
from instances.family_conformance import FAMILY_CHECKS
from instances.registry import Algorithm


def execute(arguments: argparse.Namespace) -> int:
    """Try the method, or the family, on every case; 1 when it breaks a rule."""
    name = arguments.name
    if any(name in registry for registry in GROUPS.values()):
        title, facts, findings = _try_method(find_algorithm(name))
    elif name in FAMILIES:
        title, facts, findings = _try_family(FAMILIES.get(name))
    else:
        try:
            find_algorithm(name)
        except InputError as error:
            raise InputError("conformance", f"{error}; nor is it a family of instances") from None
    broken = [finding for found in findings.values() for finding in found]
    if arguments.json:
        print_json(
            {
                **facts,
                "rules": {rule: not found for rule, found in findings.items()},
                "findings": [
                    {"rule": each.check, "instance": each.instance, "problem": each.problem}
                    for each in broken
                ],
                "ok": not broken,
            }
        )
    else:
        print_block(
            title, {rule: "kept" if not found else "BROKEN" for rule, found in findings.items()}
        )
    for finding in broken:
        complain(str(finding), 1, label="")
    return 1 if broken else 0


Tried = tuple[str, dict[str, Any], dict[str, list[Finding]]]
"""A title, facts for programs, and what each rule has found."""


def _try_method(algorithm: Algorithm) -> Tried:
    subject = Subject(algorithm)
    checks = BOUND_CHECKS if algorithm.name in GROUPS["bounds"] else CHECKS
    with spinning(f"{algorithm.name}: {plural(len(subject.cases), 'instance')}"):
        findings = {check.name: check(subject) for check in checks}
    supported = sum(1 for _ in subject.supported)
    title = (
        f"{algorithm.name} on {plural(len(subject.cases), 'instance')}, "
        f"{supported} of them supported"
    )
    facts = {"with": algorithm.name, "instances": len(subject.cases), "supported": supported}
    return title, facts, findings


def _try_family(family: Family) -> Tried:
    findings: dict[str, list[Finding]] = {}
    with spinning(family.name):
        for check in FAMILY_CHECKS:
            findings[check.name] = check(family)
            if findings[check.name] and check is FAMILY_CHECKS[0]:
                break  # nothing else can be tried
    return f"family {family.name}", {"family": family.name}, findings
