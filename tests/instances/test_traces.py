import io
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.model import Model
from instances.network_file import parse_network, read_network
from instances.placement import Placement
from instances.structure.clauses import build_clauses
from instances.traces import (
    Counts,
    Routes,
    instance_from_counts,
    instance_from_routes,
    read_routes,
)

ROOT = Path(__file__).parents[2]
TRACE = ROOT.parent / "shared" / "traces" / "gpt-oss-20b" / "routes.npz"
"""A recorded trace, kept beside the project and not in it."""

NETWORK = parse_network(
    """
    format = "moeplace/network"
    version = 1
    [[servers]]
    name = "near"
    capacity_bytes = 20
    [[servers]]
    name = "far"
    capacity_bytes = 30
    [[users]]
    name = "ann"
    latency_ms = [1, 4]
    cloud_latency_ms = 10
    [[users]]
    name = "bob"
    latency_ms = [6, 9]
    cloud_latency_ms = 8
    local_experts = [[0, 2]]
    local_latency_ms = 0.5
    """
)
MODEL = Model.uniform("toy", layers=2, experts=3, top_k=2, expert_bytes=10)
EXPERTS = np.array(
    [
        # request 0
        [[0, 1], [2, 1]],
        [[1, 0], [1, 2]],
        [[2, -1], [0, 1]],
        # request 1
        [[1, 2], [-1, -1]],
        [[-1, 2], [0, 2]],
    ]
)
OFFSETS = np.array([0, 3, 5])
ROUTES = Routes(experts=EXPERTS, offsets=OFFSETS)


def rows(instance):
    return {
        (int(u), int(layer), tuple(instance.demand_experts[a:b].tolist())): float(rate)
        for u, layer, a, b, rate in zip(
            instance.demand_user,
            instance.demand_layer,
            instance.demand_offsets[:-1],
            instance.demand_offsets[1:],
            instance.demand_rate,
            strict=True,
        )
    }


def test_rows_are_the_shares_of_all_tokens():
    instance = instance_from_routes(ROUTES, NETWORK, model=MODEL, name="by-hand")
    assert instance.name == "by-hand"
    assert instance.models == (MODEL,)
    assert rows(instance) == {
        (0, 0, (0, 1)): 0.4,
        (0, 0, (2,)): 0.2,
        (0, 1, (0, 1)): 0.2,
        (0, 1, (1, 2)): 0.4,
        (1, 0, (1, 2)): 0.2,
        (1, 0, (2,)): 0.2,
        (1, 1, (0, 2)): 0.2,
    }
    assert instance.latency_ms.tolist() == [[1, 4], [6, 9]]
    assert instance.cloud_latency_ms.tolist() == [10, 8]
    assert instance.local_latency_ms.tolist() == [0, 0.5]
    assert instance.user_local_experts(1).tolist() == [2]
    # Token by token: ann's three wait 20 ms each, bob's two 8 + 0 and 0.5 + 8.
    assert evaluate(instance, Placement.empty(instance)).latency_ms == pytest.approx(76.5 / 5)


def test_the_latency_is_the_mean_over_the_tokens_of_the_trace():
    instance = instance_from_routes(ROUTES, NETWORK, model=MODEL)
    rng = np.random.default_rng(0)
    for _ in range(20):
        placement = Placement(rng.random((2, 6)) < 0.4)
        total = 0.0
        for token, user in enumerate([0, 0, 0, 1, 1]):
            for layer in range(2):
                waits = [0.0]
                for expert in EXPERTS[token, layer][EXPERTS[token, layer] >= 0].tolist():
                    if (user, layer, expert) == (1, 0, 2):
                        waits.append(0.5)
                        continue
                    held = placement.stored[:, 3 * layer + expert]
                    times = instance.latency_ms[user][held].tolist()
                    waits.append(min([instance.cloud_latency_ms[user], *times]))
                total += max(waits)
        assert evaluate(instance, placement).latency_ms == pytest.approx(total / 5, rel=1e-8)


def test_grouping_moves_requests_to_users():
    swapped = instance_from_routes(ROUTES, NETWORK, model=MODEL, grouping=np.array([1, 0]))
    assert rows(swapped)[1, 0, (0, 1)] == 0.4
    assert rows(swapped)[0, 1, (0, 2)] == 0.2
    together = instance_from_routes(ROUTES, NETWORK, model=MODEL, grouping=np.array([1, 1]))
    assert set(together.demand_user.tolist()) == {1}
    assert together.num_users == 2  # ann has no demand


def test_named_architectures_come_with_precision_and_calls():
    experts = np.zeros((2, 24, 4), np.uint8) + np.arange(4, dtype=np.uint8)
    routes = Routes(experts=experts, offsets=np.array([0, 2], np.uint64))
    instance = instance_from_routes(routes, NETWORK, model="gpt-oss-20b", precision="mxfp4")
    assert instance.models[0].name == "gpt-oss-20b"
    assert instance.models[0].uniform_bytes == 13_223_790
    connected = read_network(ROOT / "docs" / "examples" / "network-links.toml")
    computed = instance_from_routes(routes, connected, model="gpt-oss-20b")
    # 2880 numbers of 16 bits over 40 and 88 Mbit/s, 2 ms of radio, 49.8 million operations.
    expected = 2 + 46080 / 40_000 + 46080 / 88_000 + 49_783_680 / 0.3e9
    assert computed.latency_ms[0, 0] == pytest.approx(expected, rel=1e-5)
    with pytest.raises(InputError, match="name the model"):
        instance_from_routes(routes, connected, model=ARCHITECTURES.get("gpt-oss-20b").model())


def save(path, **arrays):
    np.savez_compressed(path, **arrays)
    return path


def test_files_come_back(tmp_path):
    routes = read_routes(save(tmp_path / "r.npz", experts=EXPERTS.astype(np.int8), offsets=OFFSETS))
    assert np.array_equal(routes.experts, EXPERTS)
    assert np.array_equal(routes.offsets, OFFSETS)
    assert (routes.num_tokens, routes.num_layers, routes.top_k, routes.num_requests) == (5, 2, 2, 2)
    with pytest.raises(ValueError, match="read-only"):
        routes.experts[0, 0, 0] = 1


def with_value(index, value):
    changed = EXPERTS.copy()
    changed[index] = value
    return changed


WRONG = [
    ({"experts": EXPERTS.astype(float)}, r"experts: float64 array of 3 dim.* \[token, layer, K\]"),
    ({"experts": EXPERTS[0]}, r"experts: int64 array of 2 dimensions where"),
    ({"experts": EXPERTS.astype(bool)}, r"experts: .*type '\|b1'"),
    ({"experts": EXPERTS.astype(object)}, r"experts: not a readable array: .*'\|O'"),
    ({"experts": EXPERTS[:0]}, r"experts: shape \(0, 2, 2\) holds no token"),
    ({"experts": EXPERTS[:, :, :0]}, r"experts: shape \(5, 2, 0\) holds no token"),
    ({"experts": with_value((3, 0, 1), -2)}, r"experts\[3\]\[0\]\[1\]: -2 is neither an expert"),
    ({"experts": with_value((3, 0, 1), 40_000)}, r"experts\[3\]\[0\]\[1\]: 40000 is neither an"),
    (
        {"experts": np.full((5, 2, 1), 2**63, np.uint64)},
        r"experts\[0\]\[0\]\[0\]: 9223372036854775808 is neither an expert",
    ),
    ({"experts": with_value((2, 1, 1), 0)}, r"experts\[2\]\[1\]: \[0, 0\] repeats an expert"),
    ({"offsets": OFFSETS.astype(float)}, r"offsets: float64 array of 1 dimensions where integers"),
    ({"offsets": OFFSETS[None]}, r"offsets: int64 array of 2 dimensions where integers"),
    ({"offsets": OFFSETS[:1]}, r"offsets: 1 values where at least 2 are needed"),
    ({"offsets": np.array([1, 3, 5])}, r"offsets\[0\]: 1 is not 0"),
    ({"offsets": np.array([0, 3, 2, 5])}, r"offsets\[2\]: 2 is less than 3 before"),
    ({"offsets": np.array([0, 3, 2, 5], np.uint8)}, r"offsets\[2\]: 2 is less than 3 before"),
    ({"offsets": np.array([0, 3, 4])}, r"offsets\[2\]: 4 is not 5, the tokens"),
    ({"offsets": np.array([0, 3, 6])}, r"offsets\[2\]: 6 is not 5, the tokens"),
    ({"weights": OFFSETS}, r"weights: unknown array"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG)
def test_wrong_files_are_refused(tmp_path, change, message):
    path = save(tmp_path / "r.npz", **{"experts": EXPERTS, "offsets": OFFSETS, **change})
    with pytest.raises(InputError, match=rf"r\.npz: {message}") as info:
        read_routes(path)
    assert "\n" not in str(info.value)


def test_files_that_are_no_archive_are_refused(tmp_path):
    path = save(tmp_path / "r.npz", experts=EXPERTS)
    with pytest.raises(InputError, match=r"r\.npz: offsets: the array is missing"):
        read_routes(path)
    whole = save(tmp_path / "r.npz", experts=EXPERTS, offsets=OFFSETS).read_bytes()
    single = io.BytesIO()
    np.save(single, EXPERTS)
    for content in (b"", b"hello", whole[: len(whole) // 2], single.getvalue()):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"r\.npz: not a readable npz archive"):
            read_routes(path)
    with pytest.raises(InputError, match=r"none\.npz: cannot be read: No such file"):
        read_routes(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"layers": 3}, "experts: 2 layers, but toy has 3"),
        ({"top_k": 1}, "experts: 2 experts a token, but toy has 1"),
        ({"experts": 2}, r"experts\[0\]\[1\]\[0\]: 2 is not in 0\.\.1, the experts of toy"),
    ],
)
def test_a_model_that_does_not_fit_is_refused(shape, message):
    sizes = {"layers": 2, "experts": 3, "top_k": 2, "expert_bytes": 10, **shape}
    with pytest.raises(InputError, match=message):
        instance_from_routes(ROUTES, NETWORK, model=Model.uniform("toy", **sizes))


@pytest.mark.parametrize(
    ("grouping", "message"),
    [
        ([0], "grouping: 1 users where 2 requests need one each"),
        ([0, 2], r"grouping\[1\]: 2 is not in 0\.\.1"),
        ([-1, 0], r"grouping\[0\]: -1 is not in 0\.\.1"),
        ([0.0, 1.0], "grouping: float64 array of 1 dimensions"),
    ],
)
def test_a_wrong_grouping_is_refused(grouping, message):
    with pytest.raises(InputError, match=message):
        instance_from_routes(ROUTES, NETWORK, model=MODEL, grouping=np.array(grouping))


def test_local_experts_outside_the_model_are_refused():
    small = Model.uniform("small", layers=2, experts=2, top_k=2, expert_bytes=1)
    routes = Routes(experts=np.zeros((1, 2, 2), int) + np.arange(2), offsets=np.array([0, 1]))
    with pytest.raises(
        InputError, match=r"users\[1\]\.local_experts\[0\]\[1\]: 2 is not in 0\.\.1"
    ):
        instance_from_routes(routes, NETWORK, model=small)


@pytest.mark.skipif(not TRACE.is_file(), reason="the recorded trace is not beside the project")
def test_a_recorded_trace_of_gpt_oss():
    routes = read_routes(TRACE)
    network = read_network(ROOT / "docs" / "examples" / "network.toml")
    instance = instance_from_routes(routes, network, model="gpt-oss-20b", name="recorded")
    assert (instance.num_users, instance.num_servers, instance.num_layers) == (4, 3, 24)
    by_layer = np.bincount(instance.demand_layer, instance.demand_rate)
    assert np.allclose(by_layer, 1, atol=1e-6)
    assert set(np.diff(instance.demand_offsets).tolist()) == {4}
    decisions = routes.num_tokens * routes.num_layers
    assert instance.num_rows < decisions / 4
    # Each row gives up to three clauses, one for each server that beats the cloud.
    assert len(build_clauses(instance)) < 3 * decisions / 5
    # One row in full: the tokens of user 2 (requests 2, 6, 10, ...) in layer 5.
    counts = Counter()
    for request in range(2, routes.num_requests, 4):
        for token in range(routes.offsets[request], routes.offsets[request + 1]):
            counts[tuple(sorted(routes.experts[token, 5].tolist()))] += 1
    chosen, count = counts.most_common(1)[0]
    assert rows(instance)[2, 5, chosen] == pytest.approx(count / routes.num_tokens, rel=1e-8)
    assert sum(1 for u, layer, _ in rows(instance) if (u, layer) == (2, 5)) == len(counts)


NO_DEVICES = parse_network(
    """
    format = "moeplace/network"
    version = 1
    [[servers]]
    name = "near"
    capacity_bytes = 20
    [[users]]
    name = "ann"
    latency_ms = [1]
    cloud_latency_ms = 10
    """
)
COUNTS = Counts(counts=np.array([[4, 3, 3], [2, 4, 4]], dtype=np.uint16))


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        (
            np.ones((2, 3)),
            r"counts: float64 array of 2 dimensions where integers \[layer, expert\]",
        ),
        (np.ones(3, int), r"counts: int64 array of 1 dimensions"),
        (np.ones((2, 0), int), r"counts: shape \(2, 0\) is not that of layers and experts"),
        (np.array([[1, -1]]), r"counts\[0\]\[1\]: -1 is not in 0\.\."),
        (np.array([[1, 2**60]]), r"counts\[0\]\[1\]: 1152921504606846976 is not in"),
        (np.array([[1, 1], [0, 0]]), r"counts\[1\]: no expert of this layer was used"),
    ],
)
def test_wrong_counts_are_refused(counts, message):
    with pytest.raises(InputError, match=message):
        Counts(counts=counts)


def test_counts_are_kept_read_only():
    assert (COUNTS.counts.dtype, COUNTS.num_layers, COUNTS.num_experts) == (np.int64, 2, 3)
    with pytest.raises(ValueError, match="read-only"):
        COUNTS.counts[0, 0] = 1


def test_expected_sets_of_counts():
    instance = instance_from_counts(COUNTS, NETWORK, model=MODEL, name="by-hand")
    assert instance.name == "by-hand-independent-expected"
    found = rows(instance)
    # Of three experts, a pair leaves one out: 10 choices are 5 tokens, 4/5 of which use expert 0.
    # Each of the two users has half of the tokens.
    assert found[0, 0, (1, 2)] == pytest.approx(0.1)
    assert found[1, 0, (0, 1)] == pytest.approx(0.2)
    assert found[0, 1, (1, 2)] == pytest.approx(0.3)
    assert len(found) == 12
    # From the cloud: ann waits 10 ms in both layers, bob 8 ms, since a pair is never local alone.
    empty = Placement.empty(instance)
    assert evaluate(instance, empty).latency_ms == pytest.approx((20 + 16) / 2)


def test_sampled_sets_of_counts():
    def make(**arguments):
        return instance_from_counts(COUNTS, NETWORK, model=MODEL, sets="sampled", **arguments)

    instance = make(tokens=400)
    assert instance.name == "counts-independent-sampled"
    used = np.zeros((2, 3))
    for (_, layer, experts), rate in rows(instance).items():
        used[layer, list(experts)] += rate
    assert np.allclose(used, COUNTS.counts / 5, atol=0.06)
    assert make(tokens=400).checksum() == instance.checksum()
    assert make(tokens=400, seed=1).checksum() != instance.checksum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"sets": "all"}, "sets: 'all' is not one of expected, sampled"),
        ({"tokens": 0}, "tokens: 0 is not positive"),
        ({"tokens": 10**12}, "tokens: 1000000000000 is not positive, or too many"),
        ({"seed": -1}, "seed: -1 is negative"),
        ({"model": "mixtral-8x7b"}, "counts: 2 layers, but mixtral-8x7b has 32"),
    ],
)
def test_wrong_arguments_for_counts_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        instance_from_counts(COUNTS, NETWORK, **{"model": MODEL, **arguments})


def test_too_many_sets_are_not_listed():
    counts = Counts(counts=np.full((1, 64), 100))
    model = Model.uniform("wide", layers=1, experts=64, top_k=8, expert_bytes=1)
    with pytest.raises(InputError, match="sets: a layer has 4426165368 sets, too many to list"):
        instance_from_counts(counts, NO_DEVICES, model=model, sets="expected")
    instance = instance_from_counts(counts, NO_DEVICES, model=model, tokens=10)
    assert instance.name == "counts-independent-sampled"
