import json
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from instances.evaluation import evaluate
from instances.files import write_instance, write_placement


@pytest.fixture
def files(tiny, tiny_placement, tmp_path):
    write_instance(tmp_path / "tiny.json", tiny)
    write_placement(tmp_path / "placement.json", tiny, tiny_placement)
    return tmp_path / "tiny.json", tmp_path / "placement.json"


@pytest.fixture
def trace(tmp_path):
    path = tmp_path / "routes.npz"
    experts = np.array([[[0, 1], [2, 1]], [[2, 1], [0, 1]], [[1, 2], [0, 2]], [[0, 2], [1, 2]]])
    np.savez(path, experts=experts, offsets=np.array([0, 1, 2, 4]))
    return path


def test_the_mean_agrees_with_t(call, files, tiny, tiny_placement):
    code, out, _ = call("simulate", *files, "--tokens", 1625, "--json")
    content = json.loads(out)
    latency = evaluate(tiny, tiny_placement).latency_ms
    assert code == 0
    assert content["tokens"] == 1625
    assert content["latency_ms"] == latency == 14.5625
    assert content["mean_ms"] == pytest.approx(latency, rel=1e-9)  # every row has whole tokens
    assert content["alone_ms"] == content["mean_ms"]
    assert 0 < content["half_width_ms"] < 1
    assert content["percentiles_ms"].keys() == {"p50", "p95", "p99"}
    assert content["users_ms"].keys() == {"ann", "bob"}
    assert content["user_tokens"] == {"ann": 1000, "bob": 625}
    assert content["worst_user"] in ("ann", "bob")
    assert sum(content["layers_ms"]["toy"]) == pytest.approx(content["mean_ms"])
    assert content["call_shares"].keys() == {"near", "far", "(cloud)", "(device)"}
    assert sum(content["call_shares"].values()) == pytest.approx(1)
    assert "load" not in content


def test_the_text_has_the_same_numbers(call, files):
    code, out, _ = call("simulate", *files, "--tokens", 1625)
    assert code == 0
    assert "tiny-by-hand: 1,625 tokens drawn from the demand" in out
    assert "mean         14.5625 ms ± " in out
    assert "static T     14.5625 ms, exactly" in out
    assert "alone" not in out


def test_one_seed_gives_one_answer(call, files):
    first, same, other = (
        call("simulate", *files, "--tokens", 99, "--jitter", 0.5, "--seed", seed, "--json")[1]
        for seed in (1, 1, 2)
    )
    assert first == same != other
    assert json.loads(first)["mean_ms"] != json.loads(first)["alone_ms"]


def test_a_trace_is_replayed(call, files, trace):
    code, out, _ = call("simulate", *files, "--routes", trace, "--json")
    content = json.loads(out)
    assert code == 0
    # ann: max(1, 4) + max(4, 1) = 8, then max(4, 10) + max(4, 1) = 14 (requests 0 and 2 are hers:
    # [1, 2] is max(4, 10), [0, 2] is max(4, 4)); see tests/conftest.py
    assert content["user_tokens"] == {"ann": 3, "bob": 1}
    assert content["users_ms"]["ann"] == pytest.approx((8 + 14 + 14) / 3)
    code, out, _ = call("simulate", *files, "--routes", trace, "--users", 1, "--tokens", 3)
    assert "3 tokens of" in out


def test_queues_have_their_columns(call, files):
    options = ("--service", "50%", "--arrivals", 5, "--tokens", 4000)
    code, out, _ = call("simulate", *files, *options)
    assert code == 0
    assert "queueing and jitter cost these tokens" in out
    assert [line.split()[0] for line in out.splitlines()[-3:]] == ["server", "near", "far"]
    content = json.loads(call("simulate", *files, *options, "--json")[1])
    assert content["tokens"] == 3600
    assert content["load"].keys() == content["queue_ms"].keys() == {"near", "far"}
    assert content["mean_ms"] > content["alone_ms"]
    slow = json.loads(
        call("simulate", *files, *options, "--service-law", "exponential", "--json")[1]
    )
    assert slow["queue_ms"]["near"] > content["queue_ms"]["near"]
    closed = json.loads(call("simulate", *files, "--service", 0.5, 1, "--json")[1])
    assert closed["mean_ms"] >= closed["alone_ms"]


def test_overload_is_said(call, files):
    out = call("simulate", *files, "--service", "100%", "--arrivals", 5000)[1]
    assert "overloaded: near, far; times grow with the number of tokens" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--arrivals", "3"], "--arrivals: needs --service"),
        (["--service-law", "fixed"], "--service-law: needs --service"),
        (["--service", "fast"], "--service: 'fast' is neither a number of ms nor a percentage"),
        (["--service", "120%"], "--service: 1.2 is not a share in 0..1"),
        (["--service", "10%", "1"], "--service: '10%' is neither a number of ms"),
        (["--service", "2"], "service[0]: 2.0 ms is more than the whole latency of user 'ann'"),
        (["--service", "1", "--arrivals", "0"], "'0' is not a positive number of tokens a second"),
        (["--service", "1", "--arrivals", "x"], "'x' is not a positive number of tokens a second"),
        (["--tokens", "0"], "tokens: 0 is not at least 1"),
        (["--users", "2"], "--users: needs --routes"),
        (["--routes", "TRACE", "--tokens", "5"], "--tokens: 5 is not in 1..4"),
        (["--routes", "TRACE", "--users", "3"], "grouping: 3 is not in 1..2"),
        (["--routes", "COUNTS"], "holds counts; only the routes of tokens can be replayed"),
        (["--routes", "WIDE"], "experts: 3 layers, but toy has 2"),
        (["--routes", "nowhere.npz"], "nowhere.npz"),
    ],
)
def test_mistakes_are_one_line(call, files, trace, tmp_path: Path, options, message):
    (tmp_path / "counts.csv").write_text("layer,expert,count\n0,0,5\n0,1,3\n1,0,2\n1,2,6\n")
    np.savez(tmp_path / "wide.npz", experts=np.zeros((1, 3, 1), int), offsets=np.array([0, 1]))
    known = {"TRACE": trace, "COUNTS": tmp_path / "counts.csv", "WIDE": tmp_path / "wide.npz"}
    code, out, err = call("simulate", *files, *(known.get(word, word) for word in options))
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_help_shows_an_example(capsys):
    with pytest.raises(SystemExit):
        main(["simulate", "--help"])
    assert "moeplace simulate mixtral.json placement.json" in capsys.readouterr().out
