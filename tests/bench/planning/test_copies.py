import numpy as np
import pytest

from bench.planning.copies import CLOUD, DEVICE, find_calls, find_replicas, losses_ms
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from tests.strategies import random_instance, random_placement


@pytest.mark.parametrize("seed", range(40))
def test_losses_are_what_the_evaluator_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_servers=4)
    placement = random_placement(rng, instance)
    losses = losses_ms(instance, build_clauses(instance), placement)
    before = evaluate(instance, placement)
    for server, expert in np.ndindex(losses.shape):
        stored = placement.stored.copy()
        stored[server, expert] = False
        lost = before.saving_ms - evaluate(instance, Placement(stored)).saving_ms
        tolerance = 1e-9 * before.empty_latency_ms + 1e-12
        assert losses[server, expert] == pytest.approx(lost, rel=1e-9, abs=tolerance)


@pytest.mark.parametrize("seed", range(30))
def test_calls_go_where_they_are_served_fastest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_servers=4, top_k=1)
    placement = random_placement(rng, instance)
    calls = find_calls(instance, placement)
    waits = 0.0
    for user, expert, rate, at in zip(
        calls.user, calls.expert, calls.rate, calls.served_by, strict=True
    ):
        if at == DEVICE:
            waits += rate * instance.local_latency_ms[user]
        elif at == CLOUD:
            waits += rate * instance.cloud_latency_ms[user]
        else:
            assert placement.stored[at, expert]
            waits += rate * instance.latency_ms[user, at]
    # one expert at a time: the sum over calls is the latency itself
    latency = evaluate(instance, placement).latency_ms
    assert waits == pytest.approx(latency, rel=1e-9, abs=1e-12)
    servers, cloud, device = calls.shares(instance.num_servers)
    if instance.num_rows and calls.rate.sum() > 0:
        assert servers.sum() + cloud + device == pytest.approx(1.0)


def test_replicas_by_hand(tiny: Instance) -> None:
    """Expert 2 of layer 0 on both servers: ann uses it from ``near``, and ``far`` has it in vain.

    Without the copy on ``near`` she waits 4 ms instead of 1 in row 1 (rate 0.25).
    """
    placement = Placement.of(tiny, [(0, 2), (1, 2), (1, 0)])
    calls = find_calls(tiny, placement)
    losses = losses_ms(tiny, build_clauses(tiny), placement)
    (replica,) = find_replicas(tiny, placement, calls, losses)
    assert replica.expert == 2
    near, far = replica.copies
    assert (near.server, far.server) == (0, 1)
    assert near.users.tolist() == [0]
    assert near.calls == 0.25
    assert near.loss_ms == pytest.approx(0.75)
    assert far.users.tolist() == []
    assert far.loss_ms == 0.0
    assert replica.worth_ms == 0.0
