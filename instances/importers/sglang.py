"""Files of SGLang's expert-distribution recorder (``--expert-distribution-recorder-mode``).

torch.save of a dict; fields as in ``python/sglang/srt/eplb/expert_distribution.py``, older
versions of which leave out the utilization rate, and the counts of ``per_token``:

- ``stat``, ``stat_approx``: ``rank``, ``logical_count`` [step, layer, expert] and
  ``average_utilization_rate_over_window``. Counts; unused steps are zeros.
- ``per_pass``: ``records``, one for each forward pass, with ``global_physical_count``
  [layer, physical expert], and ``last_physical_to_logical_map`` [layer, physical expert]. Counts.
- ``per_token``: the same, and in each record ``topk_ids_of_layer`` [layer, token, 8], physical
  experts filled up with -1. Routes. The sequences of a prefill (``extend_seq_lens``) become one
  request each; the recorder does not say whose token a decoded one is, so each is a request.

Responses with ``meta_info.routed_experts`` are read too
(:mod:`instances.importers.sglang_responses`).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import integers, require_fields, require_integer, require_list, show
from instances.importers.form import Form, Recording
from instances.importers.layers import counted_layers_only, moe_layers_only
from instances.importers.npz import as_integers
from instances.importers.sglang_responses import read_responses
from instances.importers.torch_file import read_torch, torch_bytes
from instances.traces import MOST_EXPERTS, Counts, Routes

_STAT = ("rank", "logical_count")
_UTILIZATION = "average_utilization_rate_over_window"
_DETAIL = ("records", "last_physical_to_logical_map")
_PASS = ("forward_pass_id", "rank", "gatherer_key")
_COUNT = "global_physical_count"
_TOKENS = (
    "input_ids",
    "positions",
    "extend_seq_lens",
    "forward_mode",
    "topk_ids_of_layer",
    "misc_objects",
)
_MAP = "last_physical_to_logical_map"
_IDS = "topk_ids_of_layer"
_PRIMARY = "primary"
_EXTEND, _DECODE, _MIXED, _IDLE = 1, 2, 3, 4
_WIDTH = 8
"""Experts of a token that the recorder has room for, whatever the model."""


def read(data: bytes, architecture: Architecture | None) -> Recording:
    """Read the content of a file of the recorder, or responses in JSON lines."""
    if not data.startswith(b"PK"):
        return read_responses(data, architecture)
    content = read_torch(data)
    if isinstance(content, dict) and "logical_count" in content:
        return _read_stat(content, architecture)
    fields = require_fields(content, "", _DETAIL)
    records = require_list(fields["records"], "records")
    if not records:
        raise InputError("records", "no forward pass was recorded")
    to_logical = _map(fields[_MAP])
    first = records[0]
    if isinstance(first, dict) and _IDS in first:
        return _read_tokens(records, to_logical, architecture)
    return _read_passes(records, to_logical, architecture)


def _read_stat(content: dict[str, Any], architecture: Architecture | None) -> Counts:
    fields = require_fields(content, "", _STAT, (_UTILIZATION,))
    require_integer(fields["rank"], "rank")
    counts = _tensor(fields["logical_count"], "logical_count", ("step", "layer", "expert"))
    total = _summed(counts, "logical_count")
    return Counts(counts=counted_layers_only(total, architecture, "logical_count"))


def _read_passes(
    records: list[Any], to_logical: NDArray[np.int64], architecture: Architecture | None
) -> Counts:
    physical = np.zeros(to_logical.shape, dtype=np.int64)
    for index, record in enumerate(records):
        path = f"records[{index}]"
        fields = require_fields(record, path, (*_PASS, _COUNT))
        _check_pass(fields, path)
        physical += _count_of_pass(fields, path, to_logical.shape)
    logical = np.zeros((to_logical.shape[0], int(to_logical.max()) + 1), dtype=np.int64)
    layer = np.arange(to_logical.shape[0])[:, None]
    np.add.at(logical, (layer, to_logical), physical)
    return Counts(counts=counted_layers_only(logical, architecture, _COUNT))


def _read_tokens(
    records: list[Any], to_logical: NDArray[np.int64], architecture: Architecture | None
) -> Routes:
    parts, lengths = [], []
    for index, record in enumerate(records):
        path = f"records[{index}]"
        fields = require_fields(record, path, (*_PASS, *_TOKENS), (_COUNT,))
        _check_pass(fields, path)
        if _COUNT in fields:
            _count_of_pass(fields, path, to_logical.shape)
        ids = _ids_of_pass(fields, path, to_logical.shape)
        lengths.append(_lengths_of_pass(fields, path, ids.shape[1]))
        if ids.size:
            parts.append(ids)
    if not parts:
        raise InputError("records", "no token was recorded")
    chosen = np.concatenate(parts, axis=1)
    # A dummy column behind the map turns -1 into -1.
    padded = np.pad(to_logical.astype(np.int16), ((0, 0), (0, 1)), constant_values=-1)
    layer = np.arange(to_logical.shape[0])[:, None, None]
    experts = padded[layer, chosen].transpose(1, 0, 2)
    used = np.flatnonzero((experts >= 0).any(axis=(0, 1)))
    if not used.size:
        raise InputError(_IDS, "no token has an expert")
    experts = experts[:, :, : int(used[-1]) + 1]
    if architecture is None:
        experts = experts[:, (experts >= 0).any(axis=(0, 2))]
    kept = moe_layers_only(experts, architecture, _IDS)
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(lengths))])
    return Routes(experts=kept.astype(np.int16), offsets=offsets)


def _map(value: object) -> NDArray[np.int64]:
    to_logical = _tensor(value, _MAP, ("layer", "physical expert")).astype(np.int64)
    for layer, expert in np.argwhere((to_logical < 0) | (to_logical > MOST_EXPERTS))[:1]:
        raise InputError(
            f"{_MAP}[{layer}][{expert}]",
            f"{to_logical[layer, expert]} is not in 0..{MOST_EXPERTS}",
        )
    return to_logical


def _check_pass(fields: dict[str, Any], path: str) -> None:
    for name in ("forward_pass_id", "rank"):
        require_integer(fields[name], f"{path}.{name}")
    if fields["gatherer_key"] != _PRIMARY:
        raise InputError(f"{path}.gatherer_key", f"{show(fields['gatherer_key'])} is not 'primary'")


def _count_of_pass(
    fields: dict[str, Any], path: str, shape: tuple[int, ...]
) -> NDArray[np.integer]:
    field = f"{path}.{_COUNT}"
    count = _tensor(fields[_COUNT], field, ("layer", "physical expert"))
    if count.shape != shape:
        raise InputError(field, f"shape {count.shape} is not {shape}, that of {_MAP}")
    if (count < 0).any():
        raise InputError(field, f"{count.min()} is negative")
    return count


def _ids_of_pass(fields: dict[str, Any], path: str, shape: tuple[int, ...]) -> NDArray[np.integer]:
    """Physical experts of a forward pass, -1 for none; (L, tokens, 8)."""
    field = f"{path}.{_IDS}"
    tokens = integers(fields["input_ids"], f"{path}.input_ids").size
    if integers(fields["positions"], f"{path}.positions").size != tokens:
        raise InputError(f"{path}.positions", f"not {tokens} values, as input_ids has")
    require_list(fields["misc_objects"], f"{path}.misc_objects")
    ids = fields[_IDS]
    if not isinstance(ids, np.ndarray) or ids.dtype.kind not in "iu" or ids.ndim != 3:
        raise InputError(field, "not a tensor of integers [layer, token, 8]")
    if ids.shape[:2] != (shape[0], tokens):
        raise InputError(
            field, f"shape {ids.shape} is not that of {shape[0]} layers, {tokens} tokens"
        )
    for layer, token, k in np.argwhere((ids < -1) | (ids >= shape[1]))[:1]:
        raise InputError(
            f"{field}[{layer}][{token}][{k}]",
            f"{ids[layer, token, k]} is neither a physical expert (0..{shape[1] - 1}) nor -1",
        )
    return ids


def _lengths_of_pass(fields: dict[str, Any], path: str, tokens: int) -> NDArray[np.int64]:
    """Tokens of each request of a forward pass."""
    mode = require_integer(fields["forward_mode"], f"{path}.forward_mode")
    lengths = fields["extend_seq_lens"]
    if mode in (_EXTEND, _MIXED):
        extended = integers(lengths, f"{path}.extend_seq_lens")
        if (extended < 0).any() or int(extended.sum()) != tokens:
            raise InputError(
                f"{path}.extend_seq_lens", f"does not add up to {tokens}, the tokens of input_ids"
            )
        return extended
    if mode in (_DECODE, _IDLE):
        return np.ones(tokens, dtype=np.int64)
    raise InputError(
        f"{path}.forward_mode",
        f"{mode} is neither extend (1), decode (2), mixed (3) nor idle (4); which tokens "
        "speculative decoding drops again cannot be told",
    )


def _summed(counts: NDArray[np.integer], field: str) -> NDArray[np.int64]:
    for step, layer, expert in np.argwhere(counts < 0)[:1]:
        raise InputError(
            f"{field}[{step}][{layer}][{expert}]", f"{counts[step, layer, expert]} is negative"
        )
    return np.asarray(counts.sum(axis=0, dtype=np.int64))


def _tensor(value: object, field: str, axes: tuple[str, ...]) -> NDArray[np.integer]:
    if not isinstance(value, np.ndarray):
        raise InputError(field, "not a tensor")
    return as_integers(value, field, axes)


def write(recording: Recording) -> bytes:
    """Return a file of the recorder: ``per_token`` of routes, ``stat`` of counts.

    Physical experts are the logical ones, turned by one from layer to layer, and a second copy of
    the first.

    Raises
    ------
    InputError
        When a token has more experts than the recorder has room for.
    """
    name = "expert_distribution_recorder"
    if isinstance(recording, Counts):
        stat = {
            "rank": 0,
            "logical_count": recording.counts.astype(np.int32)[None],
            _UTILIZATION: None,
        }
        return torch_bytes(stat, name)
    if recording.top_k > _WIDTH:
        raise InputError("experts", f"{recording.top_k} a token, the recorder has room for 8")
    logical = recording.experts.astype(np.int32)
    num_experts, layers = int(logical.max()) + 1, recording.num_layers
    turned = (np.arange(num_experts) + np.arange(layers)[:, None]) % num_experts
    to_logical = np.concatenate([turned, turned[:, :1]], axis=1).astype(np.int64)
    ids = (logical - np.arange(layers)[:, None]) % num_experts
    ids[logical < 0] = -1
    by_layer = np.pad(
        ids.transpose(1, 0, 2),
        ((0, 0), (0, 0), (0, _WIDTH - recording.top_k)),
        constant_values=-1,
    ).astype(np.int32)
    lengths = np.diff(recording.offsets)
    positions = np.arange(recording.num_tokens) - np.repeat(recording.offsets[:-1], lengths)
    count = np.zeros(to_logical.shape, dtype=np.int32)
    layer, token, k = np.nonzero(by_layer >= 0)
    np.add.at(count, (layer, by_layer[layer, token, k]), 1)
    record = {
        "forward_pass_id": 1,
        "rank": 0,
        "gatherer_key": _PRIMARY,
        "input_ids": [1000 + int(position) for position in positions],
        "positions": positions.tolist(),
        "extend_seq_lens": lengths.tolist(),
        "forward_mode": _EXTEND,
        _IDS: by_layer,
        "misc_objects": [],
        _COUNT: count,
    }
    return torch_bytes({"records": [record], _MAP: to_logical}, name)


FORM = Form(
    name="sglang",
    about="SGLang expert-distribution recorder (.pt of stat, per_pass, per_token), responses",
    suffix=".pt",
    holds=(Routes, Counts),
    read=read,
    write=write,
)
