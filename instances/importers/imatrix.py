"""Importance matrices of llama.cpp (``llama-imatrix``), in GGUF: counts for free.

For the experts' weights ``blk.N.ffn_{gate,up,down,gate_up}_exps.weight`` the tensor
``<weight>.counts`` says how many tokens each expert was given
(``tools/imatrix/imatrix.cpp``, IMatrixCollector::save_imatrix). The weights of a layer see the
same tokens, so their counts agree. The older ``.dat`` files divide the counts away.
"""

import re

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import show
from instances.importers.form import Form, Recording
from instances.importers.gguf import MAGIC, gguf_bytes, read_gguf
from instances.importers.layers import layer_order
from instances.importers.recordings import require_counts
from instances.traces import Counts

_COUNTS = re.compile(r"blk\.(0|[1-9]\d{0,4})\.ffn_(gate|up|down|gate_up)_exps\.weight\.counts")
_TYPE_KEY, _TYPE = "general.type", "imatrix"


def read(data: bytes, architecture: Architecture | None) -> Counts:
    """Read the content of an importance matrix."""
    if not data.startswith(MAGIC):
        raise InputError(
            "", "not GGUF; the .dat files of older versions of llama-imatrix hold no counts"
        )
    file = read_gguf(data)
    if file.pairs.get(_TYPE_KEY) != _TYPE:
        raise InputError(_TYPE_KEY, f"{show(file.pairs.get(_TYPE_KEY))} is not {_TYPE!r}")
    layers: dict[int, tuple[str, NDArray[np.int64]]] = {}
    for name, tensor in file.tensors.items():
        match = _COUNTS.fullmatch(name)
        if match is None:
            continue
        counts = _whole(tensor, name)
        layer = int(match[1])
        if layer not in layers:
            layers[layer] = name, counts
        elif not np.array_equal(layers[layer][1], counts):
            raise InputError(name, f"differs from {layers[layer][0]} of the same experts")
    if not layers:
        raise InputError("", "no counts of experts (blk.N.ffn_gate_exps.weight.counts)")
    numbers = layer_order(np.array(list(layers), dtype=np.int64), architecture).tolist()
    first_name, first = layers[numbers[0]]
    experts = first.size if architecture is None else architecture.experts_per_layer
    for number in numbers:
        name, counts = layers[number]
        if counts.size != experts:
            whose = first_name if architecture is None else architecture.name
            raise InputError(name, f"{counts.size} experts, but {whose} has {experts}")
    return Counts(counts=np.stack([layers[number][1] for number in numbers]))


def _whole(tensor: NDArray[np.float32] | None, name: str) -> NDArray[np.int64]:
    """Return the counts of one weight, which are stored as float32; int64 (E,)."""
    if tensor is None or tensor.ndim != 2 or tensor.shape[1] != 1 or not tensor.size:
        raise InputError(name, "not a float32 tensor [expert, 1]")
    values = tensor[:, 0].astype(np.float64)
    wrong = ~((values >= 0) & (values < 2.0**40) & (np.floor(values) == values))
    for expert in np.flatnonzero(wrong)[:1]:
        raise InputError(f"{name}[{expert}]", f"{values[expert]} is not a number of tokens")
    return values.astype(np.int64)


def write(recording: Recording) -> bytes:
    """Return an importance matrix with these counts, and sums of squares of 1."""
    counts = require_counts(recording).counts
    tensors: dict[str, NDArray[np.float32]] = {}
    for layer, of_layer in enumerate(counts):
        column = of_layer.astype(np.float32)[:, None]
        for weight in ("down", "gate", "up"):
            name = f"blk.{layer}.ffn_{weight}_exps.weight"
            tensors[f"{name}.in_sum2"] = np.repeat(column, 4, axis=1)
            tensors[f"{name}.counts"] = column
    chunk = 512
    pairs = {
        _TYPE_KEY: _TYPE,
        "imatrix.datasets": ["example.txt"],
        "imatrix.chunk_count": int(counts.sum(axis=1).max()) // chunk,
        "imatrix.chunk_size": chunk,
    }
    return gguf_bytes(pairs, tensors)


FORM = Form(
    name="imatrix",
    about="llama.cpp importance matrix in GGUF: counts of the experts' weights",
    suffix=".gguf",
    holds=(Counts,),
    read=read,
    write=write,
)
