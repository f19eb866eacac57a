import base64
import io
import json

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.importers import read_recording
from instances.importers.recordings import example_routes
from instances.importers.vllm import read, write

DEEPSEEK = ARCHITECTURES.get("deepseek-v3")  # 61 layers, the first three dense, 8 of 256 experts
EXPERTS = np.array([[[0, 3], [2, 1]], [[1, 0], [3, 2]], [[-1, -1], [-1, -1]], [[5, 4], [0, 1]]])


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def text(array):
    return base64.b64encode(npy(array)).decode()


def lines(*responses):
    return "\n".join(map(json.dumps, responses)).encode()


def response(prompt, *choices):
    made = {
        "id": "x",
        "choices": [{"index": i, "routed_experts": c} for i, c in enumerate(choices)],
    }
    return made if prompt is ... else {**made, "prompt_routed_experts": prompt}


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, ">i4"])
def test_one_array_is_one_request(tmp_path, dtype):
    path = tmp_path / "request.npy"
    np.save(path, EXPERTS.astype(dtype))
    routes = read_recording(path)
    assert np.array_equal(routes.experts, EXPERTS)
    assert routes.offsets.tolist() == [0, 4]


def test_prompt_and_rest_are_one_request(tmp_path):
    path = tmp_path / "request.npz"
    # In any order, prompt first.
    path.write_bytes(npz(routed_experts=EXPERTS[3:], prompt_routed_experts=EXPERTS[:3]))
    assert np.array_equal(read_recording(path).experts, EXPERTS)
    for name in ("prompt_routed_experts", "routed_experts"):
        path.write_bytes(npz(**{name: EXPERTS}))
        assert read_recording(path).offsets.tolist() == [0, 4]


def test_responses_as_lists_and_as_text():
    data = lines(
        response(EXPERTS[:1].tolist(), EXPERTS[1:2].tolist(), EXPERTS[3:].tolist()),
        response(..., text(np.add(EXPERTS[:3].clip(0), [0, 4]).astype(np.uint8))),
        response(EXPERTS[:1].tolist()),
        response(None, None),
    )
    routes = read(data, None)
    assert routes.offsets.tolist() == [0, 2, 3, 6, 7]
    assert routes.experts[2].tolist() == EXPERTS[3].tolist()
    assert routes.experts[3].tolist() == [[0, 7], [2, 5]]


def test_the_example_has_the_fields_of_the_server():
    first = json.loads(write(example_routes()).splitlines()[0])
    assert {"id", "object", "choices", "usage", "prompt_routed_experts"} <= first.keys()
    assert np.array(first["prompt_routed_experts"]).shape == (2, 3, 2)
    assert np.array(first["choices"][0]["routed_experts"]).shape == (3, 3, 2)


def deep(dense, layers=61):
    rng = np.random.default_rng(1)
    experts = np.array([[rng.permutation(256)[:8] for _ in range(layers)] for _ in range(3)])
    experts[:, :3] = dense
    return experts


@pytest.mark.parametrize("dense", [0, -1])
def test_dense_layers_are_dropped_by_the_architecture(dense):
    experts = deep(dense)
    assert np.array_equal(read(npy(experts), DEEPSEEK).experts, experts[:, 3:])
    assert np.array_equal(read(npy(experts[:, 3:]), DEEPSEEK).experts, experts[:, 3:])


def test_layers_that_do_not_fit_are_refused():
    wrong = deep(0)
    wrong[1, 2, 4] = 9
    with pytest.raises(InputError, match="layer 2 of deepseek-v3 is dense, but uses expert 9"):
        read(npy(wrong), DEEPSEEK)
    with pytest.raises(InputError, match="60 layers, but deepseek-v3 has 61, 58 of them with exp"):
        read(npy(deep(0, layers=60)), DEEPSEEK)
    with pytest.raises(InputError, match=r"layer 0 is expert 0 throughout, .*; name the model"):
        read(npy(deep(0)), None)


def changed(index, value):
    array = EXPERTS.copy()
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (npy(EXPERTS)[:-1], r"routed_experts: not a readable array: shape"),
        (npy(EXPERTS * 1.0), r"routed_experts: float64 array of 3 dimensions where integers"),
        (npy(EXPERTS[0]), r"routed_experts: int64 array of 2 dimensions"),
        (npy(EXPERTS[:0]), r"routed_experts: shape \(0, 2, 2\) is empty"),
        (npy(changed((1, 1, 0), 40_000)), r"routed_experts\[1\]\[1\]\[0\]: 40000 is neither"),
        (npy(changed((1, 1, 0), -2)), r"routed_experts\[1\]\[1\]\[0\]: -2 is neither"),
        (npy(changed((1, 1, 0), 2)), r"experts\[1\]\[1\]: \[2, 2\] repeats an expert"),
        (npz(experts=EXPERTS), r"experts: unknown array"),
        (npz(routed_experts=EXPERTS, more=EXPERTS), r"more: unknown array"),
        (
            npz(prompt_routed_experts=EXPERTS, routed_experts=EXPERTS[:, :1]),
            r"shapes of prompt \(4, 2, 2\) and rest \(4, 1, 2\) differ",
        ),
        (b"PK\3\4", "not a readable npz archive"),
        (b"", "no response with routed_experts; was the server told"),
        (b"{}", r"line 1\.choices: null is not a list"),
        (b"[1]", r"line 1: a list of 1 is not an object"),
        (b'{"choices": 1}', r"line 1\.choices: 1 is not a list"),
        (b'{"choices": [1]}', r"line 1\.choices\[0\]: 1 is not an object"),
        (lines(response(None, None)), "no response with routed_experts"),
        (lines(response(None, 1)), r"choices\[0\]\.routed_experts: 1 is not a list"),
        (lines(response(None, "é")), r"choices\[0\]\.routed_experts: not base64"),
        (lines(response(None, "AAAA")), r"choices\[0\]\.routed_experts: not a readable array"),
        (lines(response(None, [])), r"no token, layer or expert"),
        (lines(response(None, [1])), r"routed_experts\[0\]: 1 is not a list of as many layers"),
        (lines(response(None, [[[0]], []])), r"routed_experts\[1\]: a list of 0 is not a list of"),
        (lines(response(None, [[[0], [0, 1]]])), r"routed_experts\[0\]\[1\]: 2 experts, the first"),
        (lines(response(None, [[[0.5]]])), r"0\.5 is not an integer"),
        (lines(response(None, [[[2**70]]])), r"does not fit into 64 bits"),
        (lines(response(None, [[[0]]]), response(None, [[[0], [1]]])), r"different \[layer, K\]"),
        (lines(response([[[0]]], [[[0, 1]]])), r"shapes of prompt \(1, 1, 1\) and rest"),
    ],
)  # fmt: skip
def test_what_is_not_understood_is_refused(data, message):
    with pytest.raises(InputError, match=message) as info:
        read(data, None)
    assert str(info.value).isprintable()
