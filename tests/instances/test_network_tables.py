"""What a network file may say of measurements, connections, switches and transfers."""

import copy
import dataclasses
import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.architectures import ARCHITECTURES, PRECISIONS
from instances.errors import InputError
from instances.families.networks import NETWORK_OPTIONS
from instances.network import ExpertCall, Network
from instances.network_file import NetworkFile, network_from_dict, read_network
from tests.damage import damaged_documents

ROOT = Path(__file__).parents[2]
FIVE = ROOT / "docs" / "examples" / "five-boxes.toml"
CALL = ExpertCall(up_bytes=1000, down_bytes=500, flops=3 * 10**8)

TWO = {
    "cloud": {"gateway": "near", "wan_delay_ms": 15.0, "compute_tflops": 3.0},
    "servers": [
        {"name": "near", "capacity_gb": 1, "compute_tflops": 0.3},
        {"name": "far", "capacity_gb": 1, "compute_tflops": 0.1},
    ],
    "links": [{"between": ["near", "far"], "delay_ms": 2.0, "rate_mbps": 10.0}],
    "users": [{"name": "ann", "site": "near", "uplink_mbps": 8.0, "downlink_mbps": 4.0}],
}
"""Radio of ann 2 + 1 + 1 ms, the link 4 + 0.8 + 0.4 ms, computing 1, 3 and 0.1 ms."""


def two(**users_and_parts):
    """Return the file with other parts; fields of a dict are added to the part or the user."""
    data = copy.deepcopy(TWO)
    for name, value in users_and_parts.items():
        if name == "user":
            data["users"][0].update(value)
        elif value is None:
            del data[name]
        elif name in ("cloud", "link"):
            (data["cloud"] if name == "cloud" else data["links"][0]).update(value)
        else:
            data[name] = value
    return data


def latencies(data, call=CALL):
    servers, cloud = network_from_dict(data).latencies_ms(call)
    return servers.round(4).tolist(), cloud.round(4).tolist()


def test_computed_by_hand():
    assert latencies(TWO) == ([[5.0, 12.2]], [34.1])


@pytest.mark.parametrize(
    ("user", "servers", "cloud"),
    [
        ({"latency_ms": {"far": 7.5}}, [5.0, 7.5], 34.1),
        ({"latency_ms": {"near": 1}}, [1.0, 12.2], 34.1),
        ({"latency_ms": [1, 2]}, [1.0, 2.0], 34.1),
        ({"latency_ms": {"far": 2, "near": 1}}, [1.0, 2.0], 34.1),
    ],
)
def test_what_is_measured_goes_before_what_is_computed(user, servers, cloud):
    assert latencies(two(user=user)) == ([servers], [cloud])


@pytest.mark.parametrize("user", [{}, {"latency_ms": {"near": 0.0}}])
def test_where_the_cloud_is_measured_by_all_nothing_else_is_said_of_it(user):
    data = two(cloud=None, user={"cloud_latency_ms": 20, **user})
    assert latencies(data) == ([[0.0 if user else 5.0, 12.2]], [20.0])
    network = network_from_dict(data).network
    with pytest.raises(ValueError, match=r"^a network without a gateway has no latency of the cl"):
        network.cloud_latency_ms(CALL)
    data["cloud"] = TWO["cloud"]
    with pytest.raises(
        InputError, match=r"^cloud: is not used: every user has a measured cloud_lat"
    ):
        network_from_dict(data)


@given(
    measured=st.lists(st.none() | st.floats(0, 1e6), min_size=5, max_size=5),
    cloud=st.none() | st.floats(0, 1e6),
    user=st.integers(0, 6),
)
def test_only_what_is_measured_changes(measured, cloud, user):
    data = tomllib.loads(FIVE.read_text("utf-8"))
    names = [server["name"] for server in data["servers"]]
    for field in ("latency_ms", "cloud_latency_ms"):
        data["users"][user].pop(field, None)
    call = ExpertCall.of(ARCHITECTURES.get("gpt-oss-20b"))
    servers, clouds = network_from_dict(data).latencies_ms(call)
    given_ms = {n: ms for n, ms in zip(names, measured, strict=True) if ms is not None}
    if given_ms:
        data["users"][user]["latency_ms"] = given_ms
    if cloud is not None:
        data["users"][user]["cloud_latency_ms"] = cloud
        clouds[user] = cloud
    if None not in measured and cloud is not None:
        with pytest.raises(InputError, match=rf"users\[{user}\].site: is not used: all latencies"):
            network_from_dict(data)
        return
    for n, name in enumerate(names):
        servers[user, n] = given_ms.get(name, servers[user, n])
    changed = network_from_dict(data).latencies_ms(call)
    assert np.array_equal(changed[0], servers)
    assert np.array_equal(changed[1], clouds)


def test_measurements_by_name_say_the_same_as_a_list():
    by_list = read_network(ROOT / "docs" / "examples" / "network.toml")
    data = tomllib.loads((ROOT / "docs" / "examples" / "network.toml").read_text("utf-8"))
    for user in data["users"]:
        named = zip(by_list.server_names, user["latency_ms"], strict=True)
        user["latency_ms"] = dict(reversed(list(named)))
    assert np.array_equal(network_from_dict(data).measured_ms, by_list.measured_ms)


def test_a_measured_pair_needs_no_path():
    data = two(links=None, user={"latency_ms": {"far": 7.5}})
    assert latencies(data) == ([[5.0, 7.5]], [34.1])
    data = two(links=None, cloud={"gateway": "far"}, user={"latency_ms": {"far": 7.5}})
    with pytest.raises(
        InputError, match=r"^links: no path leads from users\[0\] \(.ann.\) to the ga"
    ):
        network_from_dict(data)
    data["users"][0]["cloud_latency_ms"] = 50
    del data["cloud"]
    assert latencies(data) == ([[5.0, 7.5]], [50.0])


def test_the_delay_of_the_access_has_two_names_and_a_default():
    for name in ("access_delay_ms", "radio_delay_ms"):
        assert latencies(two(user={name: 3.0})) == ([[9.0, 16.2]], [38.1])
        assert latencies(two(user={name: 0})) == ([[3.0, 10.2]], [32.1])


def test_links_and_the_line_to_the_cloud_have_a_rate_each_way():
    # ann stands at the first end: up at 10, down at 5 Mbit/s takes 0.4 ms more.
    assert latencies(two(link={"back_rate_mbps": 5.0})) == ([[5.0, 12.6]], [34.1])
    data = two(link={"back_rate_mbps": 5.0, "between": ["far", "near"]})
    assert latencies(data) == ([[5.0, 13.0]], [34.1])
    assert latencies(two(cloud={"uplink_mbps": 4.0})) == ([[5.0, 12.2]], [36.1])
    assert latencies(two(cloud={"downlink_mbps": 8.0})) == ([[5.0, 12.2]], [34.6])


def test_a_very_slow_connection_is_one_too():
    # 8000 bit up at 0.5 and 4000 bit down at 0.25 Mbit/s: 16 ms each instead of 1.
    data = two(user={"uplink_mbps": 0.5, "downlink_mbps": 0.25})
    assert latencies(data) == ([[35.0, 42.2]], [64.1])


def test_switches_join_links_and_users():
    data = two(
        switches=[{"name": "hub"}, {"name": "desk"}],
        links=[
            {"between": ["near", "hub"], "delay_ms": 0.5, "rate_mbps": 1000},
            {"between": ["hub", "far"], "delay_ms": 1.0, "rate_mbps": 1000},
            {"between": ["desk", "hub"], "delay_ms": 0.1, "rate_mbps": 1000},
        ],
        user={"site": "desk"},
        cloud={"gateway": "hub"},
    )
    # 1500 bytes at 1 Gbit/s: 0.012 ms a link; the radio 4 ms.
    near = 4 + 2 * 0.6 + 0.024 + 1
    far = 4 + 2 * 1.1 + 0.024 + 3
    cloud = 4 + 2 * 0.1 + 0.012 + 30 + 0.1
    assert latencies(data) == ([[round(near, 4), round(far, 4)]], [round(cloud, 4)])
    network = network_from_dict(data)
    assert network.server_names == ("near", "far")
    assert network.switch_names == ("hub", "desk")
    assert network.capacity_bytes.tolist() == [10**9, 10**9]


BETTER = (
    {"delay_ms", "access_delay_ms", "wan_delay_ms"},
    {
        *("rate_mbps", "back_rate_mbps", "uplink_mbps", "downlink_mbps", "compute_tflops"),
    },
)
"""Fields of which less is better, and of which more."""


@given(choice=st.integers(0, 10**6), factor=st.floats(1.01, 100), names=st.integers(0, 3))
def test_a_better_line_or_box_never_makes_anything_slower(choice, factor, names):
    data = tomllib.loads(FIVE.read_text("utf-8"))
    data["transfer"] = {"up_precision": ("bf16", "fp8", "int4", "mxfp4")[names]}
    architecture = ARCHITECTURES.get("gpt-oss-20b")

    def times():
        network = network_from_dict(data)
        servers, cloud = network.latencies_ms(network.call_of(architecture))
        return np.concatenate([servers.ravel(), cloud])

    before = times()
    parts = [data["cloud"], *data["servers"], *data["links"], *data["users"]]
    places = [(part, field) for part in parts for field in part if field in BETTER[0] | BETTER[1]]
    part, field = places[choice % len(places)]
    part[field] = part[field] / factor if field in BETTER[0] else part[field] * factor
    assert np.all(times() <= before)


def test_what_travels_has_a_width_each_way():
    mixtral = ARCHITECTURES.get("mixtral-8x7b")
    for transfer, call in (
        ({}, ExpertCall.of(mixtral)),
        ({"up_precision": "fp8"}, ExpertCall.of(mixtral, "fp8", "bf16")),
        ({"down_precision": "int4"}, ExpertCall.of(mixtral, "bf16", "int4")),
        ({"up_precision": "fp8", "down_precision": "fp8"}, ExpertCall.of(mixtral, "fp8")),
    ):
        data = two(transfer=transfer) if transfer else TWO
        network = network_from_dict(data)
        assert network.call_of(mixtral) == call
    assert isinstance(network, NetworkFile)


REFUSED = [
    (
        {"user": {"latency_ms": {"fra": 1}}},
        "users[0].latency_ms.fra: is not the name of a server; d",
    ),
    (
        {"user": {"latency_ms": {}}},
        "users[0].latency_ms: is empty; leave it out when nothing is me",
    ),
    ({"user": {"latency_ms": {"far": -1}}}, "users[0].latency_ms.far: -1 is not in 0..1e+15"),
    ({"user": {"latency_ms": {"far": "1"}}}, "users[0].latency_ms.far: '1' is not a number"),
    ({"user": {"latency_ms": [1]}}, "users[0].latency_ms: 1 values where 2 are needed"),
    (
        {"user": {"latency_ms": "5"}},
        "users[0].latency_ms: '5' is not a list, nor an object by name",
    ),
    ({"user": {"cloud_latency_ms": None}}, "users[0].cloud_latency_ms: null is not a number"),
    (
        {"user": {"latency_ms": [1, 2], "cloud_latency_ms": 3}},
        "users[0].site: is not used: all latencies are measured",
    ),
    (
        {"user": {"access_delay_ms": 1, "radio_delay_ms": 1}},
        "users[0].radio_delay_ms: is another name of access_delay_ms; give one",
    ),
    ({"user": {"access_delay_ms": -1}}, "users[0].access_delay_ms: -1 is not in 0..1e+15"),
    ({"user": {"radio_delay_ms": "x"}}, "users[0].radio_delay_ms: 'x' is not a number"),
    ({"user": {"downlink_mbps": 0}}, "users[0].downlink_mbps: 0 is not at least 1e-06"),
    (
        {"user": {"site": "neer"}},
        "users[0].site: 'neer' is not the name of a server or switch; did",
    ),
    ({"user": {"site": 3}}, "users[0].site: 3 is not a name"),
    ({"users": [{"name": "u"}]}, "users[0]: has neither latency_ms and cloud_latency_ms nor site"),
    ({"users": [{"name": "u", "access_delay_ms": 1}]}, "users[0].site: the field is missing"),
    (
        {"users": [*TWO["users"], {"name": "u", "latency_ms": {"far": 1}, "cloud_latency_ms": 3}]},
        "users[1].latency_ms.near: is missing; measure it too, or say how the user is connected",
    ),
    (
        {"users": [*TWO["users"], {"name": "ann", "latency_ms": [1, 2], "cloud_latency_ms": 3}]},
        "users[1].name: 'ann' is already the name of users[0]",
    ),
    ({"cloud": {"uplink_mbps": 0}}, "cloud.uplink_mbps: 0 is not at least 1e-06"),
    ({"cloud": {"downlink_mbps": "1"}}, "cloud.downlink_mbps: '1' is not a number"),
    ({"cloud": {"gateway": "x"}}, "cloud.gateway: 'x' is not the name of a server or switch"),
    ({"cloud": {"rate_mbps": 1}}, "cloud.rate_mbps: unknown field"),
    ({"link": {"back_rate_mbps": 0}}, "links[0].back_rate_mbps: 0 is not at least 1e-06"),
    ({"link": {"back_rate_mbps": None}}, "links[0].back_rate_mbps: null is not a number"),
    ({"link": {"between": "near"}}, "links[0].between: 'near' is not a list"),
    (
        {"link": {"between": ["near", "far", "near"]}},
        "links[0].between: ['near', 'far', 'near'] is",
    ),
    ({"switches": []}, "switches: the list is empty"),
    ({"switches": {}}, "switches: an object of 0 is not a list"),
    ({"switches": ["hub"]}, "switches[0]: 'hub' is not an object"),
    ({"switches": [{"name": "far"}]}, "switches[0].name: 'far' is already the name of servers[1]"),
    (
        {"switches": [{"name": "a"}, {"name": "a"}]},
        "switches[1].name: 'a' is already the name of s",
    ),
    ({"switches": [{"name": "a", "capacity_gb": 1}]}, "switches[0].capacity_gb: unknown field"),
    ({"switches": [{"name": ""}]}, "switches[0].name: '' is not a name"),
    ({"transfer": {}}, "transfer: is empty; it may have up_precision and down_precision"),
    ({"transfer": 8}, "transfer: 8 is not an object"),
    ({"transfer": {"up_bits": 8}}, "transfer.up_bits: unknown field"),
    ({"transfer": {"up_precision": "fp4"}}, "transfer.up_precision: 'fp4' is not one of bf16, fp8"),
    ({"transfer": {"down_precision": 8}}, "transfer.down_precision: 8 is not one of bf16, fp8"),
    ({"cloud": None}, "cloud: is missing; users[0] has no measured cloud_latency_ms"),
    ({"links": None}, "links: no path leads from users[0] ('ann') to servers[1] ('far')"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[m[:50] for _, m in REFUSED])
def test_mistakes_are_refused_in_one_line(tmp_path, change, message):
    path = tmp_path / "net.json"
    path.write_text(json.dumps(two(**change)))
    expected = f"^{re.escape(str(path))}: {re.escape(message)}"
    with pytest.raises(InputError, match=expected) as info:
        read_network(path)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("part", ["cloud", "links", "switches", "transfer"])
def test_parts_that_nothing_is_computed_from_are_refused(part):
    data = {
        "servers": [{"name": "s", "capacity_gb": 1}],
        "users": [{"name": "u", "latency_ms": [1], "cloud_latency_ms": 2}],
        part: [{"name": "hub"}] if part == "switches" else {"up_precision": "fp8"},
    }
    with pytest.raises(InputError, match=f"^{part}: is not used: every user has measured lat"):
        network_from_dict(data)


def test_a_name_with_other_letters_is_shown_in_quotes():
    servers = [{"name": "box 1", "capacity_gb": 1}, {"name": "box-2", "capacity_gb": 1}]
    users = [{"name": "u", "latency_ms": {"box 1": 3}, "cloud_latency_ms": 9}]
    with pytest.raises(InputError, match=r"^users\[0\].latency_ms\['box-2'\]: is missing"):
        network_from_dict({"servers": servers, "users": users})


def test_the_example_of_five_boxes():
    network = read_network(FIVE)
    architecture = ARCHITECTURES.get("gpt-oss-20b")
    assert network.server_names == ("jetson-a", "jetson-b", "l4-a", "l4-b", "rtx-4090")
    assert network.switch_names == ("plant-switch", "office-switch")
    assert len(network.user_names) == 8
    # In bf16 no box holds a quarter, and all together not all; in mxfp4 each more than half.
    for precision, least, most in (("bf16", 0.15, 0.25), ("mxfp4", 0.55, 0.9)):
        parts = network.capacity_bytes / (768 * architecture.expert_bytes(precision))
        assert np.all((least < parts) & (parts < most))
        assert (parts.sum() < 1) == (precision == "bf16")
    servers, cloud = network.latencies_ms(network.call_of(architecture))
    # robot-1 by hand: 5G 8 + 1.152 + 0.384, computing 49.77 MFLOP at 0.2 TFLOPS.
    assert servers[0, 0] == pytest.approx(9.536 + 0.2488, abs=1e-3)
    # The other way round the plant: two links of 0.3 ms, 11520 bytes at 1 Gbit/s each.
    assert servers[0, 1] == pytest.approx(9.536 + 2 * 0.69216 + 0.2488, abs=1e-3)
    # Cloud: one link, 30 ms, the line 0.4608 + 0.09216, computing 0.0149.
    assert cloud[0] == pytest.approx(9.536 + 0.69216 + 30.55296 + 0.0149, abs=1e-3)
    # The office sends to the plant at 50 and hears from it at 250 Mbit/s; the plant reversed.
    assert servers[5, 2] - servers[4, 2] == pytest.approx(5 + 0.9216 + 0.18432, abs=1e-3)
    # What was measured, as it was measured.
    assert servers[1, 1] == 9.4
    assert cloud[6] == 43.0
    assert servers[7].tolist() == [34.9, 35.1, 32.6, 32.7, 38.2]
    # Every box is worth having for everybody, and each is the fastest of somebody.
    assert np.all(servers < cloud[:, None])
    assert set(np.argmin(servers, axis=1).tolist()) == {0, 1, 2, 4}


def fingerprint(data):
    """Return all that is read of a file, exactly."""
    network = network_from_dict(data)
    parts = [network.server_names, network.switch_names, network.user_names]
    parts += [network.connected, network.precisions, network.local_experts]
    arrays = [network.capacity_bytes, network.measured_ms, network.measured_cloud_ms]
    arrays.append(network.local_latency_ms)
    if network.network is not None:
        for field in dataclasses.fields(Network):
            value = getattr(network.network, field.name)
            (arrays if isinstance(value, np.ndarray) else parts).append(value)
    return repr(parts), [array.tolist() for array in arrays]


def everything():
    """Return the five boxes without what may be left out because it is so anyway."""
    data = tomllib.loads(FIVE.read_text("utf-8"))
    del data["format"], data["version"]
    data["transfer"] = {"up_precision": "fp8", "down_precision": "int8"}
    data["users"][0] |= {"local_experts": [[0, 3], [1, 7]], "local_latency_ms": 0.25}
    return data


EVERYTHING = everything()


@settings(max_examples=300, deadline=None)
@given(data=damaged_documents(EVERYTHING))
def test_whatever_is_said_counts_or_is_refused(data):
    refusal, found = "", None
    try:
        found = fingerprint(data)
    except InputError as error:
        refusal = str(error)
    if found is None:
        assert refusal.isprintable()
        assert 0 < len(refusal) < 400
    else:
        assert repr(found) != repr(fingerprint(EVERYTHING)) or data == EVERYTHING


def test_the_pages_name_every_field_and_option():
    formats = (ROOT / "docs" / "formats.md").read_text("utf-8")
    section = re.search(r"(?s)^## Network: .*?(?=^## )", formats, re.MULTILINE)[0]
    for part, tables in EVERYTHING.items():
        assert f"`[{part}]`" in section or f"`[[{part}]]`" in section
        for table in tables if isinstance(tables, list) else [tables]:
            for field in table:
                assert f"`{field}`" in section, field
    for field in ("capacity_bytes", "radio_delay_ms"):
        assert f"`{field}`" in section
    for precision in PRECISIONS:
        assert f"`{precision}`" in section
    page = (ROOT / "docs" / "instances.md").read_text("utf-8")
    for name, values in NETWORK_OPTIONS.items():
        row = re.search(rf"(?m)^\| `{name}` \|(.*)$", page)[1]
        assert re.findall(r"`([a-z0-9-]+)`", row) == list(values)


def test_the_example_of_eight_gpus():
    network = read_network(ROOT / "docs" / "examples" / "eight-gpus.toml")
    architecture = ARCHITECTURES.get("gpt-oss-20b")
    assert (network.capacity_bytes // architecture.expert_bytes()).tolist() == [120] * 8
    servers, cloud = network.latencies_ms(network.call_of(architecture))
    compute = architecture.expert_flops / 3.35e9
    # Up 2880 bytes, down 5760: the memory, two links of NVLink, and InfiniBand between machines.
    own = 8 * 8640 / 26.8e9 + compute
    inside = own + 2 * (0.01 + 8 * 8640 / 3.6e9)
    between = inside + 0.02 + 8 * 8640 / 4e8
    for user, server in np.ndindex(8, 8):
        expected = own if user == server else inside if user // 4 == server // 4 else between
        assert servers[user, server] == pytest.approx(expected, rel=1e-5)
    assert cloud.tolist() == [1.0] * 8
