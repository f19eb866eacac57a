"""Routed experts in the responses of SGLang (``return_routed_experts``), as JSON lines.

``meta_info.routed_experts`` is base64 text of int32 [token, layer, K] without its shape: all
tokens but the last that was sampled, and a row for every layer of the model. The numbers of
tokens are in ``meta_info`` too, the other two have to come from the architecture.
"""

import base64
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import require_integer, require_object, show
from instances.importers.json_lines import objects_of
from instances.importers.layers import moe_layers_only
from instances.traces import Routes, require_experts

_META, _ROUTES = "meta_info", "routed_experts"
_PROMPT, _COMPLETION = "prompt_tokens", "completion_tokens"
_TYPE = np.dtype("<i4")


def read_responses(data: bytes, architecture: Architecture | None) -> Routes:
    """Read responses, one in each line.

    Raises
    ------
    InputError
        When they are not such responses, or the architecture is unknown.
    """
    requests = []
    for line, response in objects_of(data):
        path = f"{line}.{_META}"
        meta = require_object(response.get(_META), path)
        if architecture is None:
            raise InputError(
                f"{path}.{_ROUTES}", "has no shape; name the model, which tells layers and K"
            )
        requests.append(_routes_of(meta, path, architecture))
    if not requests:
        raise InputError("", "no response")
    shapes = {request.shape[1] for request in requests}
    if len(shapes) > 1:
        raise InputError(_ROUTES, f"requests of different numbers of layers: {sorted(shapes)}")
    offsets = np.concatenate([[0], np.cumsum([len(request) for request in requests])])
    experts = moe_layers_only(np.concatenate(requests), architecture, _ROUTES)
    return Routes(experts=experts.astype(np.int16), offsets=offsets)


def _routes_of(
    meta: dict[str, Any], path: str, architecture: Architecture
) -> NDArray[np.integer[Any]]:
    field = f"{path}.{_ROUTES}"
    text = meta.get(_ROUTES)
    if not isinstance(text, str):
        raise InputError(field, f"{show(text)} is not text in base64")
    try:
        values = np.frombuffer(base64.b64decode(text, validate=True), dtype=_TYPE)
    except ValueError as error:
        raise InputError(field, f"not int32 in base64: {error}") from None
    prompt, completion = (
        require_integer(meta.get(name), f"{path}.{name}") for name in (_PROMPT, _COMPLETION)
    )
    tokens = prompt + completion - 1
    if prompt < 0 or completion < 0 or tokens < 1:
        raise InputError(f"{path}.{_PROMPT}", f"{prompt} and {completion} more are no request")
    row = tokens * architecture.top_k
    if not values.size or values.size % row:
        raise InputError(
            field,
            f"{values.size} numbers are not {tokens} tokens (all but the last) of "
            f"{architecture.top_k} experts in some layers",
        )
    experts = values.reshape(tokens, values.size // row, architecture.top_k)
    require_experts(experts, field)
    return experts.astype(np.int16)


def responses_of(routes: Routes) -> bytes:
    """Return responses of one token of output each, in JSON lines."""
    lines = []
    for begin, end in zip(routes.offsets, routes.offsets[1:], strict=False):
        values = routes.experts[begin:end].astype(_TYPE).tobytes()
        meta = {
            "id": f"{begin:x}",
            "finish_reason": {"type": "length", "length": 1},
            _PROMPT: int(end - begin),
            _COMPLETION: 1,
            "cached_tokens": 0,
            _ROUTES: base64.b64encode(values).decode("ascii"),
        }
        lines.append(json.dumps({"text": "", _META: meta}) + "\n")
    return "".join(lines).encode()
