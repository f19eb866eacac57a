"""Architecture files: a model that is not in the catalogue, in TOML or JSON.

    format = "moeplace/architecture"
    version = 1
    name = "my-moe"
    moe_layers = 24
    experts_per_layer = 32        # routed experts; shared ones stay on the device
    top_k = 4
    hidden_size = 2880
    expert_intermediate_size = 2880
    gated = true                  # optional: gate, up and down (true, the default), or up and down
    params_per_expert = 24891840  # optional: the default is what these matrices have
    dense_layers = [0]            # optional: layers without routed experts, among all layers
    source = "config.json of ..." # optional: where the figures come from

The figures stand in the ``config.json`` of a model on Hugging Face, under varying names
(``num_local_experts`` or ``n_routed_experts``, ``num_experts_per_tok``, ``moe_intermediate_size``).
"""

import json
import os
import tomllib
from typing import Any

from instances.architectures import ARCHITECTURES, Architecture
from instances.errors import InputError
from instances.fields import (
    decode_json,
    require_fields,
    require_integer,
    require_list,
    require_name,
    show,
)
from instances.files import StrPath, read_bytes, write_atomically
from instances.model import MAX_BYTES
from instances.parsing import check_header

FORMAT = "moeplace/architecture"
SUFFIXES = (".toml", ".json")

_SIZES = ("moe_layers", "experts_per_layer", "top_k", "hidden_size", "expert_intermediate_size")
_OPTIONAL = ("gated", "params_per_expert", "dense_layers", "source")
_MOST = 2**20
"""Far more than any model has of anything but parameters."""


def find_architecture(text: str) -> Architecture:
    """Return an architecture of the catalogue by its name, or what an architecture file holds.

    Raises
    ------
    InputError
        When the name is unknown, or the file is wrong.
    """
    return read_architecture(text) if text.lower().endswith(SUFFIXES) else ARCHITECTURES.get(text)


def read_architecture(path: str | os.PathLike[str]) -> Architecture:
    """Read an architecture file.

    Raises
    ------
    InputError
        Names the file, the field and the value that is wrong.
    """
    name = os.fspath(path)
    data = read_bytes(path)
    try:
        return architecture_from_dict(decode_json(data) if _is_json(name) else _decode_toml(data))
    except InputError as error:
        raise error.in_file(name) from None


def write_architecture(path: StrPath, architecture: Architecture) -> None:
    """Write an architecture file: ``.json``.

    Raises
    ------
    InputError
        When the name ends otherwise, or the file cannot be written.
    """
    if not _is_json(os.fspath(path)):
        raise InputError("", "the name must end in .json", source=os.fspath(path))
    fields = {"format": FORMAT, "version": 1, "name": architecture.name}
    fields |= {name: getattr(architecture, name) for name in (*_SIZES, *_OPTIONAL)}
    write_atomically(path, (json.dumps(fields, indent=1, ensure_ascii=False) + "\n").encode())


def architecture_from_dict(data: Any) -> Architecture:
    """Make an architecture of the content of a file.

    Raises
    ------
    InputError
        Names the field and the value that is wrong.
    """
    check_header(data, FORMAT)
    fields = require_fields(data, "", ("format", "version", "name", *_SIZES), _OPTIONAL)
    name = require_name(fields["name"], "name")
    sizes = {field: _count(fields[field], field, _MOST) for field in _SIZES}
    if sizes["top_k"] > sizes["experts_per_layer"]:
        raise InputError("top_k", f"{sizes['top_k']} is not in 1..{sizes['experts_per_layer']}")
    gated = fields.get("gated", True)
    if not isinstance(gated, bool):
        raise InputError("gated", f"{show(gated)} is neither true nor false")
    matrices = 3 if gated else 2
    params = matrices * sizes["hidden_size"] * sizes["expert_intermediate_size"]
    if "params_per_expert" in fields:
        params = _count(fields["params_per_expert"], "params_per_expert", MAX_BYTES)
    routed = params * sizes["experts_per_layer"] * sizes["moe_layers"]
    if 2 * routed > MAX_BYTES:
        raise InputError("", f"experts of {routed} parameters in all are more than can be counted")
    dense = _dense_layers(fields.get("dense_layers", []), sizes["moe_layers"])
    source = fields.get("source", "")
    if not isinstance(source, str):
        raise InputError("source", f"{show(source)} is not text")
    return Architecture(
        name=name,
        published_name=name,
        moe_layers=sizes["moe_layers"],
        total_layers=sizes["moe_layers"] + len(dense),
        dense_layers=dense,
        experts_per_layer=sizes["experts_per_layer"],
        top_k=sizes["top_k"],
        shared_experts=0,
        shared_intermediate_total=0,
        hidden_size=sizes["hidden_size"],
        expert_intermediate_size=sizes["expert_intermediate_size"],
        gated=gated,
        params_per_expert=params,
        non_expert_bytes_bf16_est=0,
        total_params_est=routed,
        active_params_est=params * sizes["top_k"] * sizes["moe_layers"],
        source=source,
        note="",
    )


def _dense_layers(value: Any, moe_layers: int) -> tuple[int, ...]:
    layers = [
        require_integer(layer, f"dense_layers[{i}]")
        for i, layer in enumerate(require_list(value, "dense_layers"))
    ]
    total = moe_layers + len(layers)
    for i, layer in enumerate(layers):
        if not 0 <= layer < total:
            raise InputError(f"dense_layers[{i}]", f"{layer} is not in 0..{total - 1}, all layers")
        if i and layer <= layers[i - 1]:
            raise InputError(f"dense_layers[{i}]", f"{layer} is repeated or out of ascending order")
    return tuple(layers)


def _count(value: Any, field: str, most: int) -> int:
    count = require_integer(value, field)
    if not 1 <= count <= most:
        raise InputError(field, f"{count} is not in 1..{most}")
    return count


def _decode_toml(data: bytes) -> dict[str, Any]:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except RecursionError:
        raise InputError("", "not TOML that can be read: nested too deeply") from None
    except ValueError as error:  # not UTF-8, not TOML, or an integer of thousands of digits
        raise InputError("", f"not TOML: {error}") from None


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")
