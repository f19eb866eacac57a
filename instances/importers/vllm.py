"""Routed experts of vLLM (``--enable-return-routed-experts``).

Three kinds of files: an npy array [token, layer, K], one request; an npz archive of
``prompt_routed_experts`` and ``routed_experts``, or one of them, one request; JSON lines of
responses, in which ``prompt_routed_experts`` and ``choices[].routed_experts`` are nested lists, or
base64 text of an npy file. Every choice is a request; the prompt goes with the first.

-1 stands for a token whose routing was not recorded (a cached prefix). The buffers have a row for
every layer and begin as zeros, so that a layer without experts looks like expert 0: name the
model, and these layers are dropped.
"""

import base64
import json
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.archive import read_arrays, read_npy
from instances.errors import InputError
from instances.fields import integer_lists, require_list, require_object, show
from instances.importers.form import Form, Recording
from instances.importers.json_lines import objects_of
from instances.importers.layers import moe_layers_only
from instances.importers.npz import as_integers, names_of_npz
from instances.importers.recordings import require_routes
from instances.traces import Routes, require_experts

PROMPT, GENERATED = "prompt_routed_experts", "routed_experts"

_NPY, _ZIP = b"\x93NUMPY", b"PK"
_AXES = ("token", "layer", "K")

_Part = NDArray[np.int16]


def read(data: bytes, architecture: Architecture | None) -> Routes:
    """Read the content of a file of routed experts."""
    if data.startswith(_NPY):
        requests = [_checked(read_npy(data, GENERATED), GENERATED)]
    elif data.startswith(_ZIP):
        requests = [_pair(data)]
    else:
        requests = _responses(data)
    shapes = {request.shape[1:] for request in requests}
    if len(shapes) > 1:
        raise InputError(GENERATED, f"requests of different [layer, K]: {sorted(shapes)}")
    experts = moe_layers_only(np.concatenate(requests), architecture, GENERATED)
    offsets = np.concatenate([[0], np.cumsum([len(request) for request in requests])])
    return Routes(experts=experts.astype(np.int16), offsets=offsets)


def _pair(data: bytes) -> _Part:
    names = [name for name in (PROMPT, GENERATED) if name in names_of_npz(data)]
    arrays = read_arrays(data, names or (PROMPT, GENERATED))
    return _joined([_checked(arrays[name], name) for name in names], GENERATED)


def _responses(data: bytes) -> list[_Part]:
    requests = []
    for line, response in objects_of(data):
        parts = []
        if response.get(PROMPT) is not None:
            parts.append(_decoded(response[PROMPT], f"{line}.{PROMPT}"))
        for index, item in enumerate(require_list(response.get("choices"), f"{line}.choices")):
            path = f"{line}.choices[{index}]"
            choice = require_object(item, path)
            if choice.get(GENERATED) is not None:
                parts.append(_decoded(choice[GENERATED], f"{path}.{GENERATED}"))
                requests.append(_joined(parts, path))
                parts = []
        if parts:  # nothing was generated
            requests.append(_joined(parts, line))
    # null stands for a request that was given up before it ran, or for a server that keeps none.
    if not requests:
        raise InputError("", f"no response with {GENERATED}; was the server told to return them?")
    return requests


def _joined(parts: list[_Part], path: str) -> _Part:
    if len({part.shape[1:] for part in parts}) > 1:
        raise InputError(
            path, f"shapes of prompt {parts[0].shape} and rest {parts[1].shape} differ"
        )
    return np.concatenate(parts)


def _decoded(value: object, path: str) -> _Part:
    """Return routes that a response holds as lists or as text."""
    if isinstance(value, str):
        try:
            data = base64.b64decode(value, validate=True)
        except ValueError as error:
            raise InputError(path, f"not base64: {error}") from None
        return _checked(read_npy(data, path), path)
    tokens = require_list(value, path)
    for token, layers in enumerate(tokens):
        if not isinstance(layers, list) or len(layers) != len(tokens[0]):
            raise InputError(
                f"{path}[{token}]", f"{show(layers)} is not a list of as many layers as the first"
            )
    num_layers = len(tokens[0]) if tokens else 0
    flat: list[Any] = list(chain.from_iterable(tokens))
    offsets, values = integer_lists(flat, path)
    lengths = np.diff(offsets)
    if not values.size:
        raise InputError(path, "no token, layer or expert")
    for row in np.flatnonzero(lengths != lengths[0])[:1]:
        raise InputError(
            f"{path}[{row // num_layers}][{row % num_layers}]",
            f"{lengths[row]} experts, the first has {lengths[0]}",
        )
    return _checked(values.reshape(len(tokens), num_layers, -1), path)


def _checked(array: NDArray[Any], path: str) -> _Part:
    array = as_integers(array, path, _AXES)
    require_experts(array, path)
    return array.astype(np.int16)


def write(recording: Recording) -> bytes:
    """Return responses in JSON lines: of each request, the first half of the tokens is prompt."""
    routes = require_routes(recording)
    lines = []
    for index, (begin, end) in enumerate(zip(routes.offsets, routes.offsets[1:], strict=False)):
        middle = begin + (end - begin) // 2
        prompt = routes.experts[begin:middle].tolist()
        response = {
            "id": f"cmpl-{index}",
            "object": "text_completion",
            "created": 0,
            "model": "example",
            "choices": [
                {
                    "index": 0,
                    "text": "",
                    "finish_reason": "length",
                    GENERATED: routes.experts[middle:end].tolist(),
                }
            ],
            "usage": {
                "prompt_tokens": int(middle - begin),
                "completion_tokens": int(end - middle),
                "total_tokens": int(end - begin),
            },
            PROMPT: prompt or None,
        }
        lines.append(json.dumps(response) + "\n")
    return "".join(lines).encode()


FORM = Form(
    name="vllm",
    about="vLLM routed experts: .npy, .npz of prompt_routed_experts and routed_experts, responses",
    suffix=".jsonl",
    holds=(Routes,),
    read=read,
    write=write,
)
