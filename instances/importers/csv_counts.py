"""Counts as CSV: ``layer,expert,count``, as several forks of llama.cpp print them."""

import numpy as np

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import show
from instances.importers.form import Form, Recording
from instances.importers.layers import counted_layers_only
from instances.importers.recordings import require_counts
from instances.importers.text import header_of, integer_table, table_text
from instances.traces import MOST_EXPERTS, Counts

COLUMNS = ("layer", "expert", "count")

_MOST_LAYERS = 100_000
_MOST_CELLS = 10_000_000  # as many experts as a model may have in all


def read(data: bytes, architecture: Architecture | None) -> Counts:
    """Read the content of a CSV file of counts; what has no line was counted 0 times."""
    names = header_of(data)
    if names != list(COLUMNS):
        raise InputError("line 1", f"{show(','.join(names))} is not {','.join(COLUMNS)}")
    table = integer_table(data, len(COLUMNS))
    layer, expert, count = table.T
    for values, name, most in (
        (layer, "layer", _MOST_LAYERS),
        (expert, "expert", MOST_EXPERTS),
        (count, "count", 10**18),
    ):
        for line in np.flatnonzero((values < 0) | (values > most))[:1]:
            raise InputError(f"line {line + 2}", f"{name} {values[line]} is not in 0..{most}")
    experts = int(expert.max()) + 1
    if architecture is not None:
        if experts > architecture.experts_per_layer:
            raise InputError(
                "expert",
                f"{experts - 1} is not in 0..{architecture.experts_per_layer - 1}, the experts of "
                f"{architecture.name}",
            )
        experts = architecture.experts_per_layer
    place = layer * experts + expert
    _, first, times = np.unique(place, return_index=True, return_counts=True)
    for twice in first[times > 1][:1]:
        raise InputError(f"line {twice + 2}", "the same layer and expert have a second line")
    numbers = np.unique(layer)
    if architecture is not None and numbers[-1] >= architecture.total_layers:
        raise InputError(
            "layer",
            f"{numbers[-1]} is not in 0..{architecture.total_layers - 1}, the layers of "
            f"{architecture.name}",
        )
    if numbers.size * experts > _MOST_CELLS:
        raise InputError("expert", f"{numbers.size} layers of {experts} experts are too many")
    if architecture is None:
        # Layers without a line are dense ones, left out where the numbers are those of all layers.
        counts = np.zeros((numbers.size, experts), dtype=np.int64)
        counts[np.searchsorted(numbers, layer), expert] = count
    else:
        counts = np.zeros((int(numbers[-1]) + 1, experts), dtype=np.int64)
        counts[layer, expert] = count
    return Counts(counts=counted_layers_only(counts, architecture, "layer"))


def write(recording: Recording) -> bytes:
    """Return the content of a CSV file of counts."""
    counts = require_counts(recording).counts
    layer, expert = np.indices(counts.shape)
    return table_text(COLUMNS, np.column_stack([layer.ravel(), expert.ravel(), counts.ravel()]))


FORM = Form(
    name="counts",
    about="CSV table: layer,expert,count",
    suffix=".csv",
    holds=(Counts,),
    read=read,
    write=write,
)
