import gc
import json

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.importers.megatron import read


def record(**changes):
    made = {
        "step": 0,
        "stage": "pre_dispatch",
        "block": "decoder",
        "layer": 3,
        "rank": 0,
        "num_tokens": 2,
        "topk": 2,
        "top_indices": [[4, 1], [0, 2]],
        **changes,
    }
    return {name: value for name, value in made.items() if value is not ...}


def lines(*records):
    return "".join(json.dumps(r) + "\n" for r in records).encode()


def test_layers_are_put_in_order_and_steps_become_requests():
    data = lines(
        record(rank=1, layer=5, top_indices=[[7, 6], [5, 4]]),
        record(rank=1, layer=3),
        record(step=1, layer=3, num_tokens=1, top_indices=[[1, 0]]),
        record(step=1, layer=5, num_tokens=1, top_indices=[[2, 3]]),
        record(layer=3, hs_offset=0, hs_bytes=8, hs_shape=[2, 2], logit_offset=0),
        record(layer=5),
        record(block="mtp", mtp_idx=0, layer=0, top_indices=[[1, 2], [3, 4]]),
    )
    routes = read(data, None)
    assert routes.offsets.tolist() == [0, 2, 3, 5]
    assert routes.experts.tolist() == [
        [[4, 1], [4, 1]], [[0, 2], [0, 2]],  # rank 0, step 0
        [[1, 0], [2, 3]],  # rank 0, step 1
        [[4, 1], [7, 6]], [[0, 2], [5, 4]],  # rank 1, step 0
    ]  # fmt: skip


def test_the_architecture_tells_how_many_layers_there_are():
    model = ARCHITECTURES.get("deepseek-v2-lite")  # 26 layers with experts
    data = lines(*(record(layer=layer) for layer in range(1, 27)))
    assert read(data, model).num_layers == 26
    with pytest.raises(InputError, match="layer: 25 layers, but deepseek-v2-lite has 26 with exp"):
        read(data[data.index(b"\n") + 1 :], model)


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([], "no layer of the decoder was recorded"),
        ([record(block="mtp")], "no layer of the decoder was recorded"),
        ([record(top_k=2)], r"line 1\.top_k: unknown field; did you mean 'topk'"),
        ([record(topk=...)], r"line 1\.topk: the field is missing"),
        ([record(stage="post")], r"line 1\.stage: 'post' is not 'pre_dispatch'"),
        ([record(block="x")], r"line 1\.block: 'x' is not 'decoder' or 'mtp'"),
        ([record(layer="3")], r"line 1\.layer: '3' is not an integer"),
        ([record(rank=None)], r"line 1\.rank: null is not an integer"),
        ([record(), record()], r"line 2\.layer: 3 is there already for this rank and step"),
        ([record(num_tokens=3)], r"line 1\.top_indices: 2 tokens, but num_tokens is 3"),
        ([record(topk=3)], r"line 1\.top_indices\[0\]: 2 experts, but topk is 3"),
        ([record(top_indices=[[1, 2], [1]])], r"line 1\.top_indices\[1\]: 1 experts, but topk"),
        ([record(top_indices=[[1, 2], 1])], r"line 1\.top_indices\[1\]: 1 is not a list"),
        (
            [record(top_indices=[[1, 2], [1, 0.5]])],
            r"top_indices\[1\]\[1\]: 0\.5 is not an integer",
        ),
        ([record(top_indices=[[1, 2], [1, -2]])], r"top_indices\[1\]\[1\]: -2 is neither"),
        ([record(top_indices=[[1, 2], [2**15, 1]])], r"top_indices\[1\]\[0\]: 32768 is neither"),
        ([record(top_indices=[[1, 2], [3, 3]])], r"experts\[1\]\[0\]: \[3, 3\] repeats an exp"),
        ([record(num_tokens=0, top_indices=[])], r"line 1\.top_indices: no token or no expert"),
        ([record(), record(step=1, layer=4)], "layer: rank 0, step 1 has other layers than"),
        (
            [record(), record(layer=4, num_tokens=1, top_indices=[[1, 2]])],
            r"top_indices: rank 0, step 0: shapes \[\(1, 2\), \(2, 2\)\] differ",
        ),
        (
            [record(), record(step=1, topk=1, top_indices=[[1], [2]])],
            r"top_indices: rank 0, step 1: shapes \[\(2, 1\)\] differ",
        ),
    ],
)
def test_what_is_not_understood_is_refused(records, message):
    with pytest.raises(InputError, match=message):
        read(lines(*records), None)


def test_lines_name_themselves():
    whole = lines(record())
    with pytest.raises(InputError, match="line 3: not JSON"):
        read(whole + b"\n" + whole[:20], None)
    with pytest.raises(InputError, match="line 1: 5 is not an object"):
        read(b"5", None)
    with pytest.raises(InputError, match=r"line 1\.step: the field occurs twice"):
        read(whole.replace(b'"layer": 3', b'"step": 3'), None)


def test_the_collector_of_garbage_stays_as_it_was():
    read(lines(record()), None)
    assert gc.isenabled()
    gc.disable()
    try:
        read(lines(record()), None)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_experts_are_kept_as_small_numbers():
    assert read(lines(record()), None).experts.dtype == np.int16
