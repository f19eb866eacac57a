"""Routes as a table: one line for each token and layer, with its experts.

Columns ``request``, ``token`` (within its request), ``layer`` and ``expert_0`` to
``expert_{K-1}``, all from 0; -1 where there are fewer experts. The lines may be in any order, but
every token has a line for every layer.
"""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import hint, show
from instances.traces import MOST_EXPERTS, Routes

_KEYS = ("request", "token", "layer")
_MOST = 2**31


def column_names(top_k: int) -> list[str]:
    """Return the names of the columns."""
    return [*_KEYS, *(f"expert_{k}" for k in range(top_k))]


def check_columns(names: Sequence[str]) -> int:
    """Return the number of experts in a line, once the names are checked.

    Raises
    ------
    InputError
        Names the first column that is not where it should be.
    """
    top_k = max(len(names) - len(_KEYS), 1)
    known = column_names(top_k)
    for index, name in enumerate(known):
        if index >= len(names):
            raise InputError(name, "the column is missing")
        if names[index] != name:
            expected = "" if re.fullmatch(r"expert_\d+", name) else hint(names[index], _KEYS)
            raise InputError(
                "line 1", f"column {index} is {show(names[index])}, not {name}{expected}"
            )
    return top_k


def routes_of_table(keys: NDArray[np.int64], experts: NDArray[np.int64]) -> Routes:
    """Make routes of the lines of a table.

    Parameters
    ----------
    keys
        Request, token and layer of each line; int64 (n, 3).
    experts
        Experts of each line; int64 (n, K).

    Raises
    ------
    InputError
        Names the line that is wrong, or the one that is missing.
    """
    for column, name in enumerate(_KEYS):
        values = keys[:, column]
        for line in np.flatnonzero((values < 0) | (values >= _MOST))[:1]:
            raise InputError(f"{name}[{line}]", f"{values[line]} is not in 0..{_MOST - 1}")
    for line, k in np.argwhere((experts < -1) | (experts > MOST_EXPERTS))[:1]:
        raise InputError(f"expert_{k}[{line}]", f"{experts[line, k]} is neither an expert nor -1")
    request, token, layer = keys.T
    lines, layers = keys.shape[0], int(layer.max()) + 1
    requests = int(request.max()) + 1
    # Nothing is allocated for what cannot be there: every request and layer has a line.
    if layers > lines or requests > lines or lines % layers:
        raise InputError("layer", f"{lines} lines are not {layers} layers for every token")
    lengths = np.zeros(requests, dtype=np.int64)
    np.maximum.at(lengths, request, token + 1)
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    if offsets[-1] * layers != lines or not (lengths > 0).all():
        raise InputError(
            "token",
            f"{lines} lines where {requests} requests with {offsets[-1]} tokens of {layers} layers "
            f"need {offsets[-1] * layers}: lines are missing or occur twice",
        )
    place = (offsets[request] + token) * layers + layer
    if (place[1:] > place[:-1]).all():
        ordered = experts
    else:
        _check_once(place, keys)
        ordered = np.empty_like(experts)
        ordered[place] = experts
    return Routes(
        experts=ordered.astype(np.int16).reshape(-1, layers, experts.shape[1]), offsets=offsets
    )


def table_of_routes(routes: Routes) -> NDArray[np.int64]:
    """Return the lines of the table of routes; int64 (n, 3 + K)."""
    lengths = np.diff(routes.offsets)
    request = np.repeat(np.arange(routes.num_requests), lengths)
    token = np.arange(routes.num_tokens) - routes.offsets[request]
    return np.column_stack(
        [
            np.repeat(request, routes.num_layers),
            np.repeat(token, routes.num_layers),
            np.tile(np.arange(routes.num_layers), routes.num_tokens),
            routes.experts.reshape(-1, routes.top_k),
        ]
    ).astype(np.int64)


def _check_once(place: NDArray[np.int64], keys: NDArray[np.int64]) -> None:
    times = np.bincount(place)
    for twice in np.flatnonzero(times > 1)[:1]:
        request, token, layer = keys[np.flatnonzero(place == twice)[0]].tolist()
        raise InputError("token", f"request {request}, token {token}, layer {layer} occurs twice")
