import json
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.network import ExpertCall
from instances.network_file import parse_network, read_network

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MEASURED = (EXAMPLES / "network.toml").read_text("utf-8")
CONNECTED = (EXAMPLES / "network-links.toml").read_text("utf-8")
CALL = ExpertCall(up_bytes=1000, down_bytes=1000, flops=3 * 10**8)


def test_the_example_of_measured_latencies():
    network = read_network(EXAMPLES / "network.toml")
    assert network.server_names == ("office", "basement", "street-cabinet")
    assert network.user_names == ("ann", "bob", "eve", "joe")
    # A quarter of all experts of gpt-oss-20b each.
    model = ARCHITECTURES.get("gpt-oss-20b").model()
    assert (network.capacity_bytes // model.uniform_bytes).tolist() == [192] * 3
    servers, cloud = network.latencies_ms(None)
    assert servers[2].tolist() == [15.7, 12.9, 6.0]
    assert cloud.tolist() == [48.0, 52.0, 45.0, 61.0]
    assert network.local_latency_ms.tolist() == [0.0] * 4


def test_the_example_of_computed_latencies():
    servers, cloud = read_network(EXAMPLES / "network-links.toml").latencies_ms(CALL)
    # ann: radio 2 + 0.2 + 0.0909; link 5 + 0.016; computing 1 and 6, in the cloud 0.0896
    radio = 2 + 8 / 40 + 8 / 88
    assert servers[0] == pytest.approx([radio + 1, radio + 5.016 + 6], rel=1e-5)
    assert cloud[0] == pytest.approx(radio + 36 + 0.3 / 3.35, rel=1e-5)
    radio = 2 + 8 / 8.2 + 8 / 31
    assert servers[1] == pytest.approx([radio + 5.016 + 1, radio + 6], rel=1e-5)


def test_measured_and_connected_users_side_by_side():
    text = CONNECTED + '\n[[users]]\nname = "eve"\nlatency_ms = [1, 2.5]\ncloud_latency_ms = 9\n'
    servers, cloud = parse_network(text).latencies_ms(CALL)
    assert servers.shape == (3, 2)
    assert servers[2].tolist() == [1.0, 2.5]
    assert cloud[2] == 9.0
    with pytest.raises(InputError, match=r"users\[0\]: has no measured latency_ms.*name the model"):
        parse_network(text).latencies_ms(None)


def test_local_experts_are_held_against_the_model():
    model = ARCHITECTURES.get("mixtral-8x7b").model(layers=2)
    text = MEASURED.replace(
        "# local_experts = [[0, 3], [1, 7]]", "local_experts = [[1, 7], [0, 3]]"
    )
    text = text.replace("# local_latency_ms = 0.5", "local_latency_ms = 0.5")
    network = parse_network(text)
    assert [experts.tolist() for experts in network.local_experts_of(model)] == [
        [],
        [],
        [],
        [3, 15],
    ]
    assert network.local_latency_ms.tolist() == [0, 0, 0, 0.5]
    for pairs, message in (
        ("[[0, 8]]", r"users\[3\].local_experts\[0\]\[1\]: 8 is not in 0..7"),
        ("[[2, 0]]", r"users\[3\].local_experts\[0\]\[0\]: 2 is not in 0..1"),
        ("[[0, 1], [0, 1]]", r"users\[3\].local_experts\[1\]: \[0, 1\] is repeated"),
        ("[[0]]", r"users\[3\].local_experts\[0\]: 1 values where \[layer, expert\]"),
        ("[[0, 1.5]]", r"users\[3\].local_experts\[0\]\[1\]: 1.5 is not an integer"),
    ):
        changed = parse_network(text.replace("[[1, 7], [0, 3]]", pairs))
        with pytest.raises(InputError, match=message):
            changed.local_experts_of(model)


def test_bytes_and_gigabytes():
    text = MEASURED.replace("capacity_gb = 9.56 ", "capacity_bytes = 123456789012 ")
    assert parse_network(text).capacity_bytes.tolist() == [
        123456789012,
        9_560_000_000,
        9_560_000_000,
    ]
    assert parse_network(text).capacity_bytes.dtype == np.int64


# (which example, what to replace (first occurrence), by what, the message)
WRONG = [
    (MEASURED, 'format = "moeplace/network"', 'format = "x"', "format: 'x' is not 'moeplace/net"),
    (MEASURED, "version = 1", "version = 2", "version: 2 is not 1"),
    (MEASURED, "version = 1", "version = true", "version: true is not 1"),
    (MEASURED, "version = 1", "", "version: the field is missing"),
    (MEASURED, "version = 1", "version = 1\ncolour = 1", "colour: unknown field"),
    (MEASURED, "version = 1", "version = 1 =", "not TOML: "),
    (MEASURED, "version = 1", f"version = {'[' * 9000}", "not TOML"),
    (MEASURED, "version = 1", f"version = {'9' * 9000}", "not TOML"),
    (MEASURED, 'name = "basement"', 'name = "office"', "servers[1].name: 'office' is already the"),
    (MEASURED, 'name = "ann"', 'name = ""', "users[0].name: '' is not a name"),
    (MEASURED, 'name = "ann"', "name = 3", "users[0].name: 3 is not a name"),
    (MEASURED, 'name = "ann"\n', "", "users[0].name: the field is missing"),
    (
        MEASURED,
        "capacity_gb = 9.56 ",
        "capacity_gb = -1 ",
        "servers[0].capacity_gb: -1 is not in 0",
    ),
    (MEASURED, "capacity_gb = 9.56 ", "capacity_gb = 1e14 ", "servers[0].capacity_gb: 1000000000"),
    (MEASURED, "capacity_gb = 9.56 ", "capacity_gb = nan ", "servers[0].capacity_gb: nan is not"),
    (MEASURED, "capacity_gb = 9.56 ", 'capacity_gb = "9" ', "servers[0].capacity_gb: '9' is not a"),
    (
        MEASURED,
        "capacity_gb = 9.56 ",
        "capacity_bytes = 1.5 ",
        "servers[0].capacity_bytes: 1.5 is n",
    ),
    (
        MEASURED,
        "capacity_gb = 9.56 ",
        "capacity_bytes = -5 ",
        "servers[0].capacity_bytes: -5 is not",
    ),
    (MEASURED, "capacity_gb = 9.56 ", "", "servers[0]: has neither of capacity_gb and"),
    (MEASURED, "9.56 ", "9.56\ncapacity_bytes = 1 ", "servers[0]: has both of capacity_gb and"),
    (MEASURED, "9.56 ", "9.56\ncapacity = 1 ", "servers[0].capacity: unknown field"),
    (MEASURED, "9.56 ", "9.56\ncompute_tflops = 1 ", "servers[0].compute_tflops: is not used"),
    (MEASURED, "version = 1", "version = 1\n[cloud]", "cloud: is not used"),
    (MEASURED, "[4.8, 9.5, 16.2]", "[4.8, 9.5]", "users[0].latency_ms: 2 values where 3 are"),
    (MEASURED, "[4.8, 9.5, 16.2]", "[4.8, 9.5, -1]", "users[0].latency_ms[2]: -1 is not in 0"),
    (MEASURED, "[4.8, 9.5, 16.2]", "[4.8, inf, 1]", "users[0].latency_ms[1]: inf is not a finite"),
    (MEASURED, "[4.8, 9.5, 16.2]", "4.8", "users[0].latency_ms: 4.8 is not a list, nor"),
    (MEASURED, "latency_ms = [4.8, 9.5, 16.2]\n", "", "users[0].latency_ms: the field is missing"),
    (MEASURED, "cloud_latency_ms = 48.0\n", "", "users[0].cloud_latency_ms: the field is missing"),
    (
        MEASURED,
        "cloud_latency_ms = 48.0\n",
        "cloud_latency_ms = true",
        "users[0].cloud_latency_ms: t",
    ),
    (MEASURED, "= 48.0\n", "= 48.0\nsite = 'office'\n", "users[0].uplink_mbps: the field is mi"),
    (MEASURED, "= 48.0\n", "= 48.0\nplace = 'office'\n", "users[0].place: unknown field"),
    (
        MEASURED,
        "= 48.0\n",
        "= 48.0\nlocal_experts = 3\n",
        "users[0].local_experts: 3 is not a list",
    ),
    (
        MEASURED,
        "= 48.0\n",
        "= 48.0\nlocal_latency_ms = -3\n",
        "users[0].local_latency_ms: -3 is not",
    ),
    (CONNECTED, "[cloud]", "[clod]", "clod: unknown field; did you mean 'cloud'?"),
    (CONNECTED, 'gateway = "office"', 'gateway = "x"', "cloud.gateway: 'x' is not the name of a s"),
    (CONNECTED, "wan_delay_ms = 18.0", "wan_delay_ms = -1", "cloud.wan_delay_ms: -1 is not in 0"),
    (CONNECTED, "wan_delay_ms = 18.0", "", "cloud.wan_delay_ms: the field is missing"),
    (
        CONNECTED,
        "compute_tflops = 3.35",
        "compute_tflops = 0",
        "cloud.compute_tflops: 0 is not at l",
    ),
    (
        CONNECTED,
        "compute_tflops = 0.3\n",
        "",
        "servers[0].compute_tflops: is missing; users[0] has",
    ),
    (CONNECTED, "rate_mbps = 1000.0", "rate_mbps = 1e-300", "links[0].rate_mbps: 1e-300 is not at"),
    (CONNECTED, "delay_ms = 2.5 ", "delay_ms = 1e300 ", "links[0].delay_ms: 1e+300 is not in 0..1"),
    (CONNECTED, '["office", "basement"]', '["office"]', "links[0].between: ['office'] is not a p"),
    (CONNECTED, '["office", "basement"]', '["office", "x"]', "links[0].between[1]: 'x' is not the"),
    (CONNECTED, '"basement"]', '"office"]', "links[0].between: ['office', 'office'] is not a pair"),
    (
        CONNECTED,
        'site = "basement"',
        'site = "x"',
        "users[1].site: 'x' is not the name of a server",
    ),
    (CONNECTED, 'site = "basement"\n', "", "users[1].site: the field is missing"),
    (CONNECTED, "uplink_mbps = 8.2", "uplink_mbps = 0", "users[1].uplink_mbps: 0 is not at least"),
    (CONNECTED, "uplink_mbps = 8.2", "", "users[1].uplink_mbps: the field is missing"),
]


@pytest.mark.parametrize(("text", "old", "new", "message"), WRONG, ids=[w[3][:40] for w in WRONG])
def test_mistakes_are_refused_in_one_line(tmp_path, text, old, new, message):
    assert old in text
    path = tmp_path / "net.toml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(
        InputError, match=f"^{re.escape(str(path))}: .*{re.escape(message)}"
    ) as info:
        read_network(path)
    assert "\n" not in str(info.value)


def test_yaml_is_refused_by_its_name(tmp_path):
    for name in ("net.yaml", "net.YML"):
        (tmp_path / name).write_text(MEASURED)
        with pytest.raises(InputError, match=rf"{name}: YAML is not read: write the network as"):
            read_network(tmp_path / name)


def test_missing_parts_are_refused():
    cases = {
        r"^cloud: is missing; users\[0\]": re.sub(r"\[cloud\][^\[]*", "", CONNECTED),
        r"^links: no path leads from users\[0\] \('ann'\) to servers\[1\] \('basement'\)": re.sub(
            r"\[\[links\]\][^\[]*\[[^\[]*", "", CONNECTED
        ),
        r"^users: the list is empty": re.sub(r"(?s)\[\[users.*", "", MEASURED).replace(
            "version = 1", "version = 1\nusers = []"
        ),
        r"^servers: the field is missing": re.sub(r"(?s)\[\[servers.*?(?=# latency)", "", MEASURED),
        r"^servers\[0\]: 3 is not an object": re.sub(
            r"(?s)\[\[servers.*?(?=# latency)", "servers = [3]\n", MEASURED
        ),
        r"^users\[0\]: has neither latency_ms": MEASURED.replace(
            "latency_ms = [4.8, 9.5, 16.2]\ncloud_latency_ms = 48.0\n", ""
        ),
        r"^users\[0\]: 3 is not an object": re.sub(r"(?s)\[\[users.*", "", MEASURED).replace(
            "version = 1", "version = 1\nusers = [3]"
        ),
    }
    for message, text in cases.items():
        with pytest.raises(InputError, match=message):
            parse_network(text)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.toml: cannot be read: No such file"):
        read_network(tmp_path / "nothing.toml")
    path = tmp_path / "net.toml"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"net\.toml: not UTF-8 text"):
        read_network(path)


def test_json_says_the_same_and_the_header_may_be_left_out(tmp_path):
    content = tomllib.loads(MEASURED)
    (tmp_path / "net.json").write_text(json.dumps(content))
    del content["format"], content["version"]
    (tmp_path / "bare.json").write_text(json.dumps(content))
    (tmp_path / "net.toml").write_text(MEASURED)
    networks = [read_network(tmp_path / name) for name in ("net.json", "bare.json", "net.toml")]
    for network in networks:
        assert network.server_names == networks[2].server_names
        assert np.array_equal(network.measured_ms, networks[2].measured_ms)
        assert np.array_equal(network.measured_cloud_ms, networks[2].measured_cloud_ms)
    (tmp_path / "net.json").write_text('{"servers": [], "users": [1], "server": 2}')
    with pytest.raises(InputError, match=r"net\.json: server: unknown field"):
        read_network(tmp_path / "net.json")
    (tmp_path / "net.json").write_text('{"version": 1}')
    with pytest.raises(InputError, match=r"net\.json: format: the field is missing"):
        read_network(tmp_path / "net.json")
