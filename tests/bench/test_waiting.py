import dataclasses
import re

import numpy as np
import pytest

from bench.facts import describe_instance
from bench.waiting import MOST_CLAUSES, find_waiting
from heuristics import HEURISTICS
from instances.evaluation import evaluate
from instances.families import generate
from instances.files import placement_to_dict


@pytest.fixture(scope="module")
def solved():
    instance = generate("mixtral", size="tiny", seed=0)
    answer = HEURISTICS.get("greedy").solve(instance, rng=np.random.default_rng(0), time_limit=None)
    placement = getattr(answer, "placement", answer)
    record = describe_instance(
        instance, family="mixtral", size="tiny", seed=0, options={}, code_version="1"
    )
    return instance, placement, record, placement_to_dict(instance, placement)


def test_the_parts_are_those_of_the_evaluator_and_add_up(solved):
    instance, placement, record, document = solved
    evaluation = evaluate(instance, placement)
    waiting = find_waiting(record, document)
    assert waiting.reason == ""
    assert sum(user.latency_ms for user in waiting.users) == pytest.approx(evaluation.latency_ms)
    assert sum(layer.saving_ms for layer in waiting.layers) == pytest.approx(evaluation.saving_ms)
    assert evaluation.saving_ms > 0
    by_name = dict(zip(instance.user_names, evaluation.user_latency_ms, strict=True))
    assert {user.user: user.latency_ms for user in waiting.users} == by_name
    waits = [user.latency_ms for user in waiting.users]
    assert waits == sorted(waits, reverse=True)
    assert [layer.layer for layer in waiting.layers] == list(range(instance.num_layers))


def test_only_the_users_with_the_longest_waits_are_listed(solved, monkeypatch):
    _, _, record, document = solved
    everyone = find_waiting(record, document)
    monkeypatch.setattr("bench.waiting.MOST_USERS", 2)
    some = find_waiting(record, document)
    assert some.users == everyone.users[:2]
    assert some.users_left_out == len(everyone.users) - 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"family": ""}, "does not keep the demand of an imported instance"),
        ({"seed": None}, "does not keep the demand of an imported instance"),
        ({"clauses": MOST_CLAUSES + 1}, "more than 50,000 clauses"),
        ({"size": "no-such-size"}, "cannot be made again: .*no-such-size"),
        ({"checksum": "other"}, "generates another instance of this name"),
    ],
)
def test_where_nothing_is_known_the_reason_is_told(solved, change, reason):
    _, _, record, document = solved
    waiting = find_waiting(dataclasses.replace(record, **change), document)
    assert waiting.users == waiting.layers == ()
    assert re.search(reason, waiting.reason)
