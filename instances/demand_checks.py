"""What the rows of an instance's demand have to be.

A part of the rows at a time, so that ten million of them are checked without arrays beside them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.model import Model

ROWS_AT_A_TIME = 2**15
"""What is needed for as many rows stays in the cache."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rows:
    """Rows to be checked.

    Parameters
    ----------
    user, layer
        Of each row; int32 (R,).
    offsets, experts
        Row d uses ``experts[offsets[d]:offsets[d + 1]]``; the offsets are sound; int64 (R + 1,),
        int32 (any,).
    """

    user: NDArray[np.int32]
    layer: NDArray[np.int32]
    offsets: NDArray[np.int64]
    experts: NDArray[np.int32]

    def __len__(self) -> int:
        return int(self.user.shape[0])

    def parts(self) -> Iterator[tuple[int, slice, NDArray[np.int64]]]:
        """Yield the parts of the rows: the first row, all of them as a slice, their offsets."""
        for first in range(0, len(self), ROWS_AT_A_TIME):
            end = min(first + ROWS_AT_A_TIME, len(self))
            yield first, slice(first, end), self.offsets[first : end + 1]


def check_rows(demand: Rows, models: Sequence[Model], user_model: NDArray[np.int64]) -> None:
    """Check users, layers and experts of all rows of an instance's demand.

    Raises
    ------
    InputError
        Names the field, the index and the value of the first row that is wrong.
    """
    _check_users(demand, user_model.shape[0])
    _check_layers(demand, models, user_model)
    most = np.array([model.top_k for model in models], dtype=np.int64)[user_model]
    for first, rows, offsets in demand.parts():
        lengths, limit = np.diff(offsets), most[demand.user[rows]]
        for i in np.flatnonzero((lengths < 1) | (lengths > limit))[:1]:
            raise InputError(
                f"demands.experts[{first + i}]",
                f"{lengths[i]} experts where the model allows 1..{limit[i]} (its top_k)",
            )
    _check_experts(demand, np.array([model.experts for model in models])[user_model])
    _check_repetitions(demand)


def _check_users(demand: Rows, num_users: int) -> None:
    user = demand.user
    if user.min(initial=0) >= 0 and user.max(initial=0) < num_users:
        return
    d = int(np.argmax((user < 0) | (user >= num_users)))
    raise InputError(f"demands.user[{d}]", f"{user[d]} is not in 0..{num_users - 1}")


def _check_layers(demand: Rows, models: Sequence[Model], user_model: NDArray[np.int64]) -> None:
    layers = np.array([model.layers for model in models], dtype=np.int64)[user_model]
    for first, rows, _ in demand.parts():
        layer, limit = demand.layer[rows], layers[demand.user[rows]]
        for i in np.flatnonzero((layer < 0) | (layer >= limit))[:1]:
            model = models[user_model[demand.user[first + i]]]
            raise InputError(
                f"demands.layer[{first + i}]",
                f"{layer[i]} is not in 0..{limit[i] - 1}, the layers of model {model.name!r}",
            )


def _check_experts(demand: Rows, user_experts: NDArray[np.int64]) -> None:
    experts = demand.experts
    if experts.min(initial=0) >= 0 and experts.max(initial=0) < user_experts.min():
        return
    for first, rows, offsets in demand.parts():
        part = experts[offsets[0] : offsets[-1]]
        limit = np.repeat(user_experts[demand.user[rows]], np.diff(offsets))
        for i in np.flatnonzero((part < 0) | (part >= limit))[:1]:
            row = int(np.searchsorted(offsets, offsets[0] + i, side="right")) - 1
            raise InputError(
                f"demands.experts[{first + row}][{offsets[0] + i - offsets[row]}]",
                f"{part[i]} is not in 0..{limit[i] - 1}",
            )


def _check_repetitions(demand: Rows) -> None:
    for first, _, offsets in demand.parts():
        part = demand.experts[offsets[0] : offsets[-1]]
        rises = part[1:] > part[:-1]
        rises[offsets[1:-1] - offsets[0] - 1] = True  # from one row to the next
        if rises.all():  # no expert can be there twice
            continue
        owner = np.repeat(np.arange(offsets.size - 1), np.diff(offsets))
        order = np.lexsort((part, owner))
        in_order, same_row = part[order], owner[1:] == owner[:-1]
        for i in np.flatnonzero(same_row & (in_order[1:] == in_order[:-1]))[:1]:
            row = owner[i]
            experts = demand.experts[offsets[row] : offsets[row + 1]].tolist()
            raise InputError(f"demands.experts[{first + row}]", f"{experts} repeats an expert")
