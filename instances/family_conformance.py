"""Conformance of families: what every family of instances has to do right, whoever wrote it.

from instances.family_conformance import check_family

def test_my_family_conforms() -> None:
    assert check_family(MY_FAMILY) == []
"""

import itertools
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from instances.archive import archive_bytes, instance_from_archive
from instances.conformance import Finding
from instances.documents import instance_to_dict
from instances.errors import InputError
from instances.families.spec import FAMILIES, Family
from instances.parsing import instance_from_dict
from instances.problem import Instance

NUM_SIZES = 2
"""The smallest sizes are tried; larger ones are the same code."""

SEEDS = (0, 1)

DIGITS = 12
"""Significant digits that a generated number may have: the last bits of a double depend on the
machine's mathematical functions, and instances must not."""

_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_FLOATS = ("latency_ms", "cloud_latency_ms", "local_latency_ms", "demand_rate")


@dataclass(frozen=True, slots=True)
class FamilyCheck:
    """One rule.

    Parameters
    ----------
    name
        Short name.
    rule
        Yields (instance, problem) wherever it is broken.
    """

    name: str
    rule: Callable[[Family], Iterator[tuple[str, str]]]

    def __call__(self, family: Family) -> list[Finding]:
        """Return what the family does wrong."""
        return [Finding(self.name, *found) for found in self.rule(family)]

    def __str__(self) -> str:
        return self.name


def check_family(family: Family) -> list[Finding]:
    """Return every rule that a family breaks; an empty list when it conforms.

    The smallest sizes are tried, with two seeds and with every value of every option.
    """
    findings = FAMILY_CHECKS[0](family)
    if findings:  # nothing else can be tried
        return findings
    return [finding for check in FAMILY_CHECKS[1:] for finding in check(family)]


def _requests(family: Family) -> Iterator[tuple[str, int, dict[str, str]]]:
    """Yield (size, seed, options): each option on its own, and all of them at their defaults."""
    for size, seed in itertools.product(family.sizes[:NUM_SIZES], SEEDS):
        yield size, seed, {}
    for name, values in family.options.items():
        for value in values[1:]:
            yield family.sizes[0], SEEDS[0], {name: value}


def _instances(family: Family) -> Iterator[tuple[str, Instance]]:
    """Yield the name that each instance should have, and the instance."""
    for size, seed, options in _requests(family):
        suffix = "".join(f"-{value}" for value in options.values())
        yield f"{family.name}-{size}-s{seed}{suffix}", family.generate(size, seed, **options)


# -- the rules --------------------------------------------------------------------------------


def _can_be_generated(family: Family) -> Iterator[tuple[str, str]]:
    if not family.sizes:
        yield "", "has no sizes"
    for name in (family.name, *family.sizes):
        if not _NAME.fullmatch(name):
            yield "", f"the name {name!r} is not of lower-case letters, digits and single hyphens"
    if len(set(family.sizes)) != len(family.sizes):
        yield "", f"a size is named twice: {', '.join(family.sizes)}"
    for size, seed, options in _requests(family):
        place = " ".join([size, f"seed {seed}", *options.values()])
        try:
            instance = family.generate(size, seed, **options)
        except InputError as error:
            yield place, f"is refused: {error}"
            continue
        if not isinstance(instance, Instance):
            yield place, f"gives {type(instance).__name__}, not an instance"


def _names_what_it_makes(family: Family) -> Iterator[tuple[str, str]]:
    for name, instance in _instances(family):
        if instance.name != name:
            yield name, f"is named {instance.name!r}"


def _repeats_itself(family: Family) -> Iterator[tuple[str, str]]:
    for number, (size, seed, options) in enumerate(_requests(family)):
        first, second = (
            _generate_after(number + offset, family, size, seed, options) for offset in (0, 1)
        )
        if first.checksum() != second.checksum():
            yield first.name, "is another instance when it is generated again"


def _generate_after(
    state: int, family: Family, size: str, seed: int, options: dict[str, str]
) -> Instance:
    """Generate after the generators that everybody shares were put into some state.

    A family draws from its seed alone, so that they must not matter; they are left as they were.
    """
    before = random.getstate(), np.random.get_state()  # noqa: NPY002  (the shared one is meant)
    random.seed(state)
    np.random.seed(state)  # noqa: NPY002  (likewise)
    try:
        return family.generate(size, seed, **options)
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])  # noqa: NPY002  (likewise)


def _is_the_same_in_another_process(family: Family) -> Iterator[tuple[str, str]]:
    """Generate in a process in which sets and hashed text have another order."""
    if family.name not in FAMILIES or FAMILIES.get(family.name) is not family:
        return  # another process would not find it
    size, seed = family.sizes[0], SEEDS[0]
    hash_seed = "2" if os.environ.get("PYTHONHASHSEED") == "1" else "1"
    answer = subprocess.run(
        [sys.executable, "-c", _CHECKSUM, family.name, size, str(seed)],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.stdout.strip() != family.generate(size, seed).checksum():
        last = (answer.stderr.strip().splitlines() or ["another instance"])[-1]
        yield f"{family.name}-{size}-s{seed}", f"in another process: {last}"


_CHECKSUM = """
import sys
from instances.families import generate
name, size, seed = sys.argv[1:]
print(generate(name, size=size, seed=int(seed)).checksum())
"""


def _differs_by_seed(family: Family) -> Iterator[tuple[str, str]]:
    for size in family.sizes[:NUM_SIZES]:
        contents = {_content(family.generate(size, seed)) for seed in SEEDS}
        if len(contents) < len(SEEDS):
            yield size, f"seeds {SEEDS[0]} and {SEEDS[1]} give the same instance"


def _content(instance: Instance) -> tuple[bytes, ...]:
    arrays = ("demand_user", "demand_layer", "demand_experts", "capacity_bytes", *_FLOATS)
    return tuple(getattr(instance, name).tobytes() for name in arrays)


def _rounds_its_numbers(family: Family) -> Iterator[tuple[str, str]]:
    for name, instance in _instances(family):
        for field in _FLOATS:
            values = getattr(instance, field).ravel().tolist()
            odd = [value for value in values if float(f"{value:.{DIGITS}g}") != value]
            if odd:
                yield name, f"{field} holds {odd[0]!r}: more than {DIGITS} significant digits"


def _survives_files(family: Family) -> Iterator[tuple[str, str]]:
    for name, instance in _instances(family):
        copies = {
            "JSON": instance_from_dict(instance_to_dict(instance)),
            "npz": instance_from_archive(archive_bytes(instance)),
        }
        for kind, copy in copies.items():
            if copy.checksum() != instance.checksum():
                yield name, f"is another instance after a round trip through {kind}"


def _has_something_to_decide(family: Family) -> Iterator[tuple[str, str]]:
    for size in family.sizes[:NUM_SIZES]:
        useful = 0
        for seed in SEEDS:
            instance = family.generate(size, seed)
            fits = int(instance.expert_bytes.min()) <= int(instance.capacity_bytes.max())
            faster = (instance.latency_ms < instance.cloud_latency_ms[:, None]).any()
            wanted = math.fsum(instance.demand_rate) > 0
            useful += bool(fits and faster and wanted)
        if not useful:
            yield size, "no expert fits, no server beats the cloud, or nothing is wanted"


FAMILY_CHECKS: tuple[FamilyCheck, ...] = (
    FamilyCheck("can be generated", _can_be_generated),
    FamilyCheck("names what it makes", _names_what_it_makes),
    FamilyCheck("repeats itself", _repeats_itself),
    FamilyCheck("is the same in another process", _is_the_same_in_another_process),
    FamilyCheck("differs by seed", _differs_by_seed),
    FamilyCheck("rounds its numbers", _rounds_its_numbers),
    FamilyCheck("survives files", _survives_files),
    FamilyCheck("has something to decide", _has_something_to_decide),
)
"""All rules; the others are only tried when the first is kept."""
