"""Router traces of Megatron-Core (``--moe-routing-trace-path``): JSON lines.

One line for each step and layer, as ``megatron/core/transformer/moe/router_trace.py`` writes it:
``step``, ``stage`` ("pre_dispatch"), ``block``, ``layer``, ``rank``, ``num_tokens``, ``topk`` and
``top_indices`` [token, K]. Sidecar files of hidden states and logits (``hs_*``, ``logit_*``) are
not needed. Lines of the block "mtp", heads that predict further tokens, are left out: they are
not layers of the model. The trace has no requests; every step of a rank is one.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import integer_lists, require_fields, require_integer, show
from instances.importers.form import Form, Recording
from instances.importers.json_lines import objects_of
from instances.importers.layers import layer_order
from instances.importers.recordings import require_routes
from instances.traces import MOST_EXPERTS, Routes

_FIELDS = ("step", "stage", "block", "layer", "rank", "num_tokens", "topk", "top_indices")
_OPTIONAL = (
    "mtp_idx",
    "hs_offset",
    "hs_bytes",
    "hs_shape",
    "logit_offset",
    "logit_bytes",
    "logit_shape",
)
_STAGE, _DECODER, _MTP = "pre_dispatch", "decoder", "mtp"

_Step = dict[int, NDArray[np.int16]]


def read(data: bytes, architecture: Architecture | None) -> Routes:
    """Read the content of a router trace."""
    steps: dict[tuple[int, int], _Step] = {}
    for line, record in objects_of(data):
        fields = require_fields(record, line, _FIELDS, _OPTIONAL)
        if fields["stage"] != _STAGE:
            raise InputError(f"{line}.stage", f"{show(fields['stage'])} is not {_STAGE!r}")
        if fields["block"] not in (_DECODER, _MTP):
            raise InputError(f"{line}.block", f"{show(fields['block'])} is not 'decoder' or 'mtp'")
        chosen = _indices(fields, line)
        if fields["block"] == _MTP:
            continue
        numbers = [require_integer(fields[name], f"{line}.{name}") for name in ("rank", "step")]
        layer = require_integer(fields["layer"], f"{line}.layer")
        step = steps.setdefault((numbers[0], numbers[1]), {})
        if layer in step:
            raise InputError(f"{line}.layer", f"{layer} is there already for this rank and step")
        step[layer] = chosen
    if not steps:
        raise InputError("", "no layer of the decoder was recorded")
    return _joined(steps, architecture)


def _joined(steps: dict[tuple[int, int], _Step], architecture: Architecture | None) -> Routes:
    first = next(iter(steps.values()))
    numbers = layer_order(np.array(list(first), dtype=np.int64), architecture).tolist()
    top_k = next(iter(first.values())).shape[1]
    requests = []
    for (rank, step), layers in sorted(steps.items()):
        where = f"rank {rank}, step {step}"
        if sorted(layers) != numbers:
            raise InputError("layer", f"{where} has other layers than the first step")
        shapes = {chosen.shape for chosen in layers.values()}
        if len(shapes) > 1 or next(iter(shapes))[1] != top_k:
            raise InputError("top_indices", f"{where}: shapes {sorted(shapes)} differ")
        requests.append(np.stack([layers[layer] for layer in numbers], axis=1))
    return Routes(
        experts=np.concatenate(requests),
        offsets=np.concatenate([[0], np.cumsum([len(request) for request in requests])]),
    )


def _indices(fields: dict[str, Any], line: str) -> NDArray[np.int16]:
    """Experts of the tokens of one line; int16 (tokens, K)."""
    path = f"{line}.top_indices"
    tokens = require_integer(fields["num_tokens"], f"{line}.num_tokens")
    top_k = require_integer(fields["topk"], f"{line}.topk")
    offsets, values = integer_lists(fields["top_indices"], path)
    if offsets.size - 1 != tokens:
        raise InputError(path, f"{offsets.size - 1} tokens, but num_tokens is {tokens}")
    for token in np.flatnonzero(np.diff(offsets) != top_k)[:1]:
        length = offsets[token + 1] - offsets[token]
        raise InputError(f"{path}[{token}]", f"{length} experts, but topk is {top_k}")
    if not values.size:
        raise InputError(path, "no token or no expert")
    for index in np.flatnonzero((values < -1) | (values > MOST_EXPERTS))[:1]:
        raise InputError(
            f"{path}[{index // top_k}][{index % top_k}]",
            f"{values[index]} is neither an expert nor -1",
        )
    return values.astype(np.int16).reshape(tokens, top_k)


def write(recording: Recording) -> bytes:
    """Return the content of a router trace in which every request is a step of rank 0."""
    routes = require_routes(recording)
    lines = []
    for step, (begin, end) in enumerate(zip(routes.offsets, routes.offsets[1:], strict=False)):
        for layer in range(routes.num_layers):
            record = {
                "step": step,
                "stage": _STAGE,
                "block": _DECODER,
                "layer": layer,
                "rank": 0,
                "num_tokens": int(end - begin),
                "topk": routes.top_k,
                "top_indices": routes.experts[begin:end, layer].tolist(),
            }
            lines.append(json.dumps(record) + "\n")
    return "".join(lines).encode()


FORM = Form(
    name="megatron",
    about="Megatron-Core router trace: JSON lines with top_indices",
    suffix=".jsonl",
    holds=(Routes,),
    read=read,
    write=write,
)
