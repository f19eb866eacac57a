"""Layers: recordings that number all layers of a model, and those with experts alone.

Some systems keep a row for every layer of the model. In a layer without experts it holds what the
buffer held when it was made: expert 0, or nothing. Which layers these are, the architecture tells.
"""

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import show


def moe_layers_only(
    experts: NDArray[np.integer], architecture: Architecture | None, field: str
) -> NDArray[np.integer]:
    """Drop the dense layers of routes [token, layer, K].

    Raises
    ------
    InputError
        When the number of layers is not that of the architecture, when a dense layer holds
        routes, or, without an architecture, when a layer looks like a dense one.
    """
    layers = experts.shape[1]
    if architecture is None:
        if experts.shape[2] > 1:
            for layer in range(layers):
                if not experts[:, layer].any():
                    raise InputError(
                        field,
                        f"layer {layer} is expert 0 throughout, as a layer without experts is "
                        "recorded; name the model, which tells these layers",
                    )
        return experts
    if _all_are_moe(layers, architecture, field):
        return experts
    for layer in architecture.dense_layers:
        values = np.unique(experts[:, layer])
        other = values[(values != 0) & (values != -1)]
        if other.size:
            raise InputError(
                field, f"layer {layer} of {architecture.name} is dense, but uses expert {other[0]}"
            )
    return np.delete(experts, architecture.dense_layers, axis=1)


def counted_layers_only(
    counts: NDArray[np.int64], architecture: Architecture | None, field: str
) -> NDArray[np.int64]:
    """Drop the dense layers of counts [layer, expert].

    Without an architecture these are the layers without any use.

    Raises
    ------
    InputError
        When the number of layers is not that of the architecture, or a dense layer was used.
    """
    if architecture is None:
        return counts[counts.any(axis=1)]
    if _all_are_moe(counts.shape[0], architecture, field):
        return counts
    for layer in architecture.dense_layers:
        if counts[layer].any():
            raise InputError(field, f"layer {layer} of {architecture.name} is dense, but was used")
    return np.delete(counts, architecture.dense_layers, axis=0)


def layer_order(numbers: NDArray[np.int64], architecture: Architecture | None) -> NDArray[np.int64]:
    """Return the numbers of the layers that a recording has, ascending, once they are checked.

    Parameters
    ----------
    numbers
        Distinct layer numbers of a recording that leaves dense layers out; int64.

    Raises
    ------
    InputError
        When there are not as many as the architecture has layers with experts.
    """
    numbers = np.sort(numbers)
    if architecture is not None and numbers.size != architecture.moe_layers:
        raise InputError(
            "layer",
            f"{numbers.size} layers, but {architecture.name} has {architecture.moe_layers} with "
            "experts",
        )
    return numbers


def _all_are_moe(layers: int, architecture: Architecture, field: str) -> bool:
    if layers == architecture.moe_layers:
        return True
    if layers == architecture.total_layers:
        return False
    raise InputError(
        field,
        f"{layers} layers, but {architecture.name} has {architecture.total_layers}, "
        f"{show(architecture.moe_layers)} of them with experts",
    )
