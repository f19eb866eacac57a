"""The rules for families are tried on ours, and on one family for each way of breaking them."""

import dataclasses
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from instances.errors import InputError
from instances.families import FAMILIES, Family, generate
from instances.families.spec import Request
from instances.family_conformance import FAMILY_CHECKS, check_family
from instances.problem import Instance

calls = 0


def family(build: Callable[[Request], Instance], **changes: Any) -> Family:
    return Family(
        **{
            "name": "mine",
            "summary": "for tests",
            "source": "tests",
            "sizes": ("tiny", "small"),
            "build": build,
            **changes,
        }
    )


def good(request: Request) -> Instance:
    base = generate("switch", size="tiny", seed=request.seed)
    factor = 2.0 if request.options.get("far") == "yes" else 1.0
    return dataclasses.replace(base, name=request.name, latency_ms=factor * base.latency_ms)


def broken(build: Callable[[Request], Instance], **changes: Any) -> set[str]:
    return {finding.check for finding in check_family(family(build, **changes))}


(OTHER_PROCESS,) = [check for check in FAMILY_CHECKS if "process" in str(check)]


@pytest.mark.parametrize("name", [each.name for each in FAMILIES])
def test_every_family_of_ours_conforms(name: str) -> None:
    for check in FAMILY_CHECKS:
        if check is not OTHER_PROCESS:  # pinned checksums say the same, and cost no process each
            assert check(FAMILIES.get(name)) == []


def test_one_family_conforms_to_every_rule() -> None:
    assert check_family(FAMILIES.get("mixtral")) == []


def test_a_good_family_conforms_with_its_options() -> None:
    assert broken(good) == set()
    assert broken(good, options={"far": ("no", "yes")}) == set()


def test_what_cannot_be_generated_is_found() -> None:
    def refused(request: Request) -> Instance:
        raise InputError("capacity_bytes", "-1 is negative")

    def something_else(request: Request) -> Instance:
        return "an instance"  # type: ignore[return-value]

    findings = check_family(family(refused))
    assert {finding.check for finding in findings} == {"can be generated"}
    assert "capacity_bytes: -1 is negative" in str(findings[0])
    assert broken(something_else) == {"can be generated"}
    assert broken(good, sizes=()) == {"can be generated"}
    assert broken(good, sizes=("tiny", "tiny")) == {"can be generated"}
    assert broken(good, name="My Family") == {"can be generated"}


def test_another_name_is_found() -> None:
    def misnamed(request: Request) -> Instance:
        return dataclasses.replace(good(request), name="instance")

    assert broken(misnamed) == {"names what it makes"}

    def without_options(request: Request) -> Instance:
        return dataclasses.replace(good(request), name=f"mine-{request.size}-s{request.seed}")

    assert broken(without_options) == set()
    options = {"far": ("no", "yes")}
    assert broken(without_options, options=options) == {"names what it makes"}


def test_hidden_randomness_is_found() -> None:
    def global_random(request: Request) -> Instance:
        base = good(request)
        return dataclasses.replace(base, capacity_bytes=base.capacity_bytes + random.randrange(99))

    def global_numpy(request: Request) -> Instance:
        base = good(request)
        more = np.random.randint(0, 99)  # noqa: NPY002  (what must not be done)
        return dataclasses.replace(base, capacity_bytes=base.capacity_bytes + more)

    def counting(request: Request) -> Instance:
        global calls
        calls += 1
        base = good(request)
        return dataclasses.replace(base, capacity_bytes=base.capacity_bytes + calls)

    for build in (global_random, global_numpy, counting):
        assert broken(build) == {"repeats itself"}


def test_the_shared_generators_are_left_as_they_were() -> None:
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002  (the shared one is meant)
    expected = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002  (likewise)
    assert check_family(family(good)) == []
    after = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002  (likewise)
    assert after == expected


def test_a_seed_that_changes_nothing_is_found() -> None:
    def constant(request: Request) -> Instance:
        base = generate("switch", size="tiny", seed=0)
        return dataclasses.replace(base, name=request.name)

    assert broken(constant) == {"differs by seed"}


def test_unrounded_numbers_are_found() -> None:
    def unrounded(request: Request) -> Instance:
        base = good(request)
        return dataclasses.replace(base, demand_rate=base.demand_rate / 3.0)

    findings = check_family(family(unrounded))
    assert {finding.check for finding in findings} == {"rounds its numbers"}
    assert "demand_rate holds" in findings[0].problem


def test_nothing_to_decide_is_found() -> None:
    def no_storage(request: Request) -> Instance:
        base = good(request)
        return dataclasses.replace(base, capacity_bytes=0 * base.capacity_bytes + request.seed)

    def slow_servers(request: Request) -> Instance:
        base = good(request)
        return dataclasses.replace(base, latency_ms=base.latency_ms + 1e6)

    def no_demand(request: Request) -> Instance:
        base = good(request)
        return dataclasses.replace(base, demand_rate=0.0 * base.demand_rate)

    for build in (no_storage, slow_servers, no_demand):
        assert broken(build) == {"has something to decide"}


def test_another_order_in_another_process_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    # the other process finds another family of that name

    def renamed_mixtral(request: Request) -> Instance:
        return dataclasses.replace(
            generate("mixtral", size="tiny", seed=request.seed), name=request.name
        )

    different = dataclasses.replace(FAMILIES.get("mixtral"), name="switch", build=renamed_mixtral)
    monkeypatch.setitem(FAMILIES._specs, "switch", different)  # noqa: SLF001  (no way to forget)
    (finding,) = OTHER_PROCESS(different)
    assert "another instance" in finding.problem
