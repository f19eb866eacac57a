import base64
import json

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.importers.recordings import example_counts, example_routes
from instances.importers.sglang import read, write
from instances.importers.sglang_responses import responses_of
from instances.importers.torch_file import read_torch, torch_bytes
from instances.traces import Counts, Routes
from tests.instances.importers.recordings import same

DEEPSEEK = ARCHITECTURES.get("deepseek-v2-lite")  # 27 layers, the first dense, 64 experts, 6 each
MIXTRAL = ARCHITECTURES.get("mixtral-8x7b")

# Two layers of three experts, one of them twice: physical expert 3 is a copy of logical 1.
MAP = np.array([[0, 1, 2, 1], [2, 0, 1, 0]])


def one_pass(**changes):
    ids = np.full((2, 3, 8), -1, dtype=np.int32)
    ids[:, :, :2] = [[[0, 3], [1, 2], [2, -1]], [[0, 1], [3, 0], [2, 3]]]
    record = {
        "forward_pass_id": 7,
        "rank": 0,
        "gatherer_key": "primary",
        "input_ids": [5, 6, 7],
        "positions": [0, 1, 0],
        "extend_seq_lens": [2, 1],
        "forward_mode": 1,
        "topk_ids_of_layer": ids,
        "misc_objects": [],
        "global_physical_count": np.array([[1, 1, 2, 1], [2, 1, 1, 2]], dtype=np.int32),
    }
    record.update(changes)
    return {name: value for name, value in record.items() if value is not ...}


def detail(*records, **changes):
    content = {"records": list(records), "last_physical_to_logical_map": MAP, **changes}
    return torch_bytes(content)


def test_physical_experts_become_logical_ones():
    routes = read(detail(one_pass()), None)
    assert routes.offsets.tolist() == [0, 2, 3]
    assert routes.experts.tolist() == [[[0, 1], [2, 0]], [[1, 2], [0, 2]], [[2, -1], [1, 0]]]


def test_decoded_tokens_are_requests_of_their_own():
    decode = one_pass(forward_mode=2, extend_seq_lens=None, forward_pass_id=8)
    idle = one_pass(
        forward_mode=4,
        extend_seq_lens=None,
        input_ids=[],
        positions=[],
        topk_ids_of_layer=np.zeros((2, 0, 8), dtype=np.int32),
    )
    routes = read(detail(one_pass(), idle, decode), None)
    assert routes.offsets.tolist() == [0, 2, 3, 4, 5, 6]
    assert np.array_equal(routes.experts[:3], routes.experts[3:])


def test_passes_are_counted():
    tokens = ("input_ids", "positions", "extend_seq_lens", "forward_mode", "topk_ids_of_layer")
    record = one_pass(**dict.fromkeys((*tokens, "misc_objects"), ...))
    counts = read(detail(record, record), None)
    assert counts.counts.tolist() == [[2, 4, 4], [6, 2, 4]]
    assert np.array_equal(counts.counts, read_counts_of(one_pass()) * 2)


def read_counts_of(record):
    routes = read(detail(record), None)
    return np.stack(
        [np.bincount(e[e >= 0], minlength=3) for e in routes.experts.transpose(1, 0, 2)]
    )


def test_steps_are_summed_and_unused_layers_left_out():
    counts = np.zeros((5, 3, 4), dtype=np.int32)
    counts[0, 1:], counts[1, 1:] = 1, [[0, 1, 2, 3], [4, 5, 6, 7]]
    stat = {"rank": 0, "logical_count": counts, "average_utilization_rate_over_window": 0.5}
    assert read(torch_bytes(stat), None).counts.tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]


def test_older_versions_write_less():
    older = read(detail(one_pass(global_physical_count=...)), None)
    assert same(older, read(detail(one_pass()), None))
    counts = {"rank": 0, "logical_count": np.ones((1, 2, 3), dtype=np.int32)}
    assert read(torch_bytes(counts), None).counts.tolist() == [[1, 1, 1]] * 2


def test_dense_layers_are_dropped_by_the_architecture():
    routes = routes_of(DEEPSEEK, layers=27, dense=-1)
    read_back = read(write(routes), DEEPSEEK)
    assert np.array_equal(read_back.experts, routes.experts[:, 1:])
    counts = np.ones((27, 64), dtype=int)
    counts[0] = 0
    stat = {"rank": 0, "logical_count": counts[None], "average_utilization_rate_over_window": None}
    assert read(torch_bytes(stat), DEEPSEEK).counts.shape == (26, 64)
    counts[0, 5] = 1
    with pytest.raises(InputError, match="layer 0 of deepseek-v2-lite is dense, but was used"):
        read(torch_bytes(stat), DEEPSEEK)
    with pytest.raises(InputError, match="27 layers, but mixtral-8x7b has 32, 32 of them with"):
        read(torch_bytes(stat), MIXTRAL)


def routes_of(architecture, layers, dense):
    rng = np.random.default_rng(3)
    e, k = architecture.experts_per_layer, architecture.top_k
    experts = np.array([[rng.permutation(e)[:k] for _ in range(layers)] for _ in range(4)])
    experts[0, 1, 0] = e - 1  # the writer counts experts by the largest
    experts[0, 1, 1:] = np.arange(k - 1)
    if layers > architecture.moe_layers:
        experts[:, 0] = dense
    return Routes(experts=experts, offsets=np.array([0, 3, 4]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "a list of 0 is not an object"),
        ({"records": []}, "last_physical_to_logical_map: the field is missing"),
        ({"logical_count": 1}, "rank: the field is missing"),
        ({"logical_counts": 1}, "logical_counts: unknown field"),
    ],
)
def test_other_content_is_refused(content, message):
    with pytest.raises(InputError, match=message):
        read(torch_bytes(content), None)


STAT = {
    "rank": 0,
    "logical_count": np.ones((1, 2, 3), dtype=np.int32),
    "average_utilization_rate_over_window": None,
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version: unknown field"),
        ({"rank": "x"}, "rank: 'x' is not an integer"),
        ({"logical_count": [1]}, "logical_count: not a tensor"),
        ({"logical_count": np.ones((1, 2, 3))}, "logical_count: float64 array of 3 dim"),
        ({"logical_count": np.ones((2, 3), int)}, "logical_count: int64 array of 2 dim"),
        ({"logical_count": np.zeros((1, 2, 3), int)}, "counts: shape"),
        ({"logical_count": -np.ones((1, 2, 3), int)}, r"logical_count\[0\]\[0\]\[0\]: -1 is neg"),
    ],
)
def test_wrong_statistics_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        read(torch_bytes({**STAT, **change}), None)


IDS = one_pass()["topk_ids_of_layer"]


def other_id(value):
    ids = IDS.copy()
    ids[1, 2, 0] = value
    return ids


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rids": ["a"]}, r"records\[0\]\.rids: unknown field"),
        ({"forward_mode": ...}, r"records\[0\]\.forward_mode: the field is missing"),
        ({"forward_mode": 5}, r"records\[0\]\.forward_mode: 5 is neither extend \(1\)"),
        ({"gatherer_key": "child_a"}, r"gatherer_key: 'child_a' is not 'primary'"),
        ({"extend_seq_lens": [2, 2]}, "extend_seq_lens: does not add up to 3"),
        ({"extend_seq_lens": [4, -1]}, "extend_seq_lens: does not add up to 3"),
        ({"extend_seq_lens": None}, "extend_seq_lens: null is not a list"),
        ({"positions": [0]}, "positions: not 3 values"),
        ({"input_ids": [1]}, "positions: not 1 values"),
        ({"misc_objects": {}}, "misc_objects: an object of 0 is not a list"),
        ({"topk_ids_of_layer": IDS[:, :2]}, r"shape \(2, 2, 8\) is not that of 2 layers, 3 tok"),
        ({"topk_ids_of_layer": IDS[0]}, "topk_ids_of_layer: not a tensor of integers"),
        ({"topk_ids_of_layer": IDS * 1.0}, "topk_ids_of_layer: not a tensor of integers"),
        ({"topk_ids_of_layer": other_id(4)}, r"\[1\]\[2\]\[0\]: 4 is neither a physical expert"),
        ({"topk_ids_of_layer": other_id(-2)}, r"\[1\]\[2\]\[0\]: -2 is neither a physical"),
        ({"topk_ids_of_layer": other_id(1)}, r"experts\[2\]\[1\]: \[0, 0\] repeats an expert"),
        ({"topk_ids_of_layer": np.full_like(IDS, -1)}, "topk_ids_of_layer: no token has an exp"),
        ({"global_physical_count": MAP[:1]}, r"shape \(1, 4\) is not \(2, 4\), that of last_ph"),
        ({"global_physical_count": -MAP}, "global_physical_count: -2 is negative"),
    ],
)
def test_wrong_passes_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        read(detail(one_pass(**change)), None)


def test_wrong_maps_and_records_are_refused():
    with pytest.raises(InputError, match="records: no forward pass was recorded"):
        read(detail(), None)
    with pytest.raises(InputError, match=r"records\[1\]\.input_ids: the field is missing"):
        read(detail(one_pass(), one_pass(input_ids=...)), None)
    with pytest.raises(InputError, match=r"map\[0\]\[0\]: -1 is not in 0\.\.32767"):
        read(detail(one_pass(), last_physical_to_logical_map=MAP - 1), None)
    empty = one_pass(input_ids=[], positions=[], extend_seq_lens=[], topk_ids_of_layer=IDS[:, :0])
    with pytest.raises(InputError, match="records: no token was recorded"):
        read(detail(empty), None)


def test_the_example_has_copies_and_padding():
    content = read_torch(write(example_routes()))
    assert content["records"][0]["topk_ids_of_layer"].shape == (3, 12, 8)
    assert content["last_physical_to_logical_map"].shape == (3, 9)
    assert read_torch(write(example_counts()))["logical_count"].shape == (1, 3, 8)
    wide = Routes(experts=np.arange(9)[None, None], offsets=np.array([0, 1]))
    with pytest.raises(InputError, match="9 a token, the recorder has room for 8"):
        write(wide)


def test_responses_come_back():
    routes = routes_of(MIXTRAL, layers=32, dense=0)
    assert same(routes, read(responses_of(routes), MIXTRAL))
    dense = routes_of(DEEPSEEK, layers=27, dense=-1)
    expected = Routes(experts=dense.experts[:, 1:], offsets=dense.offsets)
    assert same(expected, read(responses_of(dense), DEEPSEEK))


@pytest.mark.parametrize(
    ("meta", "message"),
    [
        (None, "line 1.meta_info: null is not an object"),
        ({"routed_experts": 1}, "routed_experts: 1 is not text in base64"),
        ({"routed_experts": "é"}, "routed_experts: not int32 in base64"),
        ({"routed_experts": "AAA="}, "routed_experts: not int32 in base64"),
        ({"prompt_tokens": None}, "prompt_tokens: null is not an integer"),
        ({"prompt_tokens": 1}, "prompt_tokens: 1 and 0 more are no request"),
        ({"prompt_tokens": 6}, "256 numbers are not 5 tokens"),
        ({"routed_experts": ""}, "0 numbers are not 4 tokens"),
    ],
)
def test_wrong_responses_are_refused(meta, message):
    ids = np.zeros((4, 32, 2), dtype="<i4")
    ids[:, :, 1] = 1
    fields = {
        "prompt_tokens": 5,
        "completion_tokens": 0,
        "routed_experts": base64.b64encode(ids).decode(),
    }
    line = {"meta_info": meta if meta is None else {**fields, **meta}}
    with pytest.raises(InputError, match=message):
        read(json.dumps(line).encode(), MIXTRAL)
    assert read(json.dumps({"meta_info": fields}).encode(), MIXTRAL).num_tokens == 4


def test_responses_need_the_architecture():
    with pytest.raises(InputError, match="has no shape; name the model"):
        read(responses_of(example_routes()), None)
    assert isinstance(read(write(example_counts()), None), Counts)
