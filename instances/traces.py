"""Routing traces: which experts the tokens of recorded requests chose, and instances made of them.

:mod:`instances.importers` reads what serving systems record. Our own routes file is an npz archive
with two arrays and no others:

- ``experts``: experts of each token in each MoE layer, integers [tokens, layers, K], in any order;
  -1 fills up rows of fewer experts, and a row of -1 alone is no row;
- ``offsets``: integers [requests + 1]; tokens ``offsets[r] : offsets[r + 1]`` are request r.
"""

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import ARCHITECTURES, Architecture
from instances.archive import read_arrays
from instances.demand import Demand, merge_choices
from instances.draws import Draws
from instances.errors import InputError
from instances.files import read_bytes
from instances.grouping import deal
from instances.independent_sets import IndependentSets, drawn_demand, expected_demand, num_sets
from instances.model import Model
from instances.network import ExpertCall
from instances.network_file import NetworkFile
from instances.problem import Instance

MOST_EXPERTS = np.iinfo(np.int16).max
"""Largest number of an expert in a trace."""

SETS = ("expected", "sampled")
"""Ways to make rows of counts: every set as often as is expected, or sets drawn token by token."""

FEW_SETS = 1000
"""Up to so many sets in a layer, all of them with their probabilities are the better choice."""

_MOST_TOKENS = 2**40  # sums of a layer times K stay far below 2^63

_MOST_DRAWN = 2**27  # experts in rows: what fits into the memory of a common machine

TOKENS = 1000
"""Tokens drawn for each user when nothing else is said."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Routes:
    """Recorded routing, checked whole.

    Parameters
    ----------
    experts
        Experts of each token in each layer, -1 for none; kept as int16 (T, L, K).
    offsets
        First token of each request, and the number of tokens; kept as int64 (R + 1,).

    Raises
    ------
    InputError
        Names the array, the index and the value that is wrong.
    """

    experts: NDArray[np.int16]
    offsets: NDArray[np.int64]

    def __post_init__(self) -> None:
        experts = _integers(self.experts, "experts", ("token", "layer", "K"))
        offsets = _integers(self.offsets, "offsets", ("request + 1",))
        if 0 in experts.shape:
            raise InputError("experts", f"shape {experts.shape} holds no token, layer or expert")
        require_experts(experts, "experts")
        _check_offsets(offsets, experts.shape[0])
        # Copies are read-only, so that what was checked stays as it was.
        kept = experts.astype(np.int16)
        _check_repetition(kept)
        for name, array in (("experts", kept), ("offsets", offsets.astype(np.int64))):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def num_tokens(self) -> int:
        """Number of tokens, T."""
        return int(self.experts.shape[0])

    @property
    def num_layers(self) -> int:
        """Number of MoE layers, L."""
        return int(self.experts.shape[1])

    @property
    def top_k(self) -> int:
        """Most experts of a token in one layer, K."""
        return int(self.experts.shape[2])

    @property
    def num_requests(self) -> int:
        """Number of requests, R."""
        return int(self.offsets.shape[0]) - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Counts:
    """How often each expert was used: recorded routing without the sets.

    Parameters
    ----------
    counts
        Tokens that used each expert of each layer; kept as int64 (L, E).

    Raises
    ------
    InputError
        Names the index and the value that is wrong; a layer without any use is wrong, too.
    """

    counts: NDArray[np.int64]

    def __post_init__(self) -> None:
        counts = _integers(self.counts, "counts", ("layer", "expert"))
        if 0 in counts.shape or counts.shape[1] > MOST_EXPERTS + 1:
            raise InputError("counts", f"shape {counts.shape} is not that of layers and experts")
        for layer, expert in np.argwhere((counts < 0) | (counts > _MOST_TOKENS))[:1]:
            raise InputError(
                f"counts[{layer}][{expert}]", f"{counts[layer, expert]} is not in 0..{_MOST_TOKENS}"
            )
        kept = counts.astype(np.int64)
        for layer in np.flatnonzero(kept.max(axis=1) == 0)[:1]:
            raise InputError(f"counts[{layer}]", "no expert of this layer was used")
        kept.setflags(write=False)
        object.__setattr__(self, "counts", kept)

    @property
    def num_layers(self) -> int:
        """Number of MoE layers, L."""
        return int(self.counts.shape[0])

    @property
    def num_experts(self) -> int:
        """Number of experts in each layer, E."""
        return int(self.counts.shape[1])


def read_routes(path: str | os.PathLike[str]) -> Routes:
    """Read a routes file.

    Raises
    ------
    InputError
        Names the file, the array, the index and the value that is wrong.
    """
    data = read_bytes(path)
    try:
        return Routes(**read_arrays(data, ("experts", "offsets")))
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


def check_fit(recording: Routes | Counts, model: Model) -> None:
    """Hold a recording against the model that it is said to be of.

    Raises
    ------
    InputError
        When it has other numbers of layers or experts, or an expert that the model has not.
    """
    if isinstance(recording, Counts):
        field, width = "counts", ("experts", recording.num_experts, model.experts)
    else:
        field, width = "experts", ("experts a token", recording.top_k, model.top_k)
    for what, found, needed in (("layers", recording.num_layers, model.layers), width):
        if found != needed:
            raise InputError(field, f"{found} {what}, but {model.name} has {needed}")
    if isinstance(recording, Routes):
        for token, layer, k in np.argwhere(recording.experts >= model.experts)[:1]:
            raise InputError(
                f"experts[{token}][{layer}][{k}]",
                f"{recording.experts[token, layer, k]} is not in 0..{model.experts - 1}, the "
                f"experts of {model.name}",
            )


def instance_from_routes(
    routes: Routes,
    network: NetworkFile,
    *,
    model: str | Architecture | Model,
    precision: str = "bf16",
    grouping: NDArray[np.int64] | None = None,
    name: str = "routes",
) -> Instance:
    """Make an instance of recorded routing.

    Every token of the trace counts alike: the rate of a row is the share of all tokens that used
    it, so T(X) is the mean latency of a token of the trace.

    Parameters
    ----------
    routes
        What was recorded.
    network
        Servers, users and latencies.
    model
        An architecture or its name, all of whose layers were recorded, or a model of one's own.
    precision
        Width of the stored parameters of a named architecture.
    grouping
        User of each request, indices into the users of the network; int64 (R,). None deals them
        out in turn (:mod:`instances.grouping` has other ways).
    name
        Name of the instance.

    Raises
    ------
    InputError
        When the parts do not fit each other.
    """
    model, call = _resolved(model, precision, network)
    check_fit(routes, model)
    num_users = len(network.user_names)
    users = deal(routes.num_requests, num_users) if grouping is None else grouping
    users = _integers(users, "grouping", ("request",)).astype(np.int64)
    if users.shape[0] != routes.num_requests:
        raise InputError(
            "grouping", f"{users.shape[0]} users where {routes.num_requests} requests need one each"
        )
    for request in np.flatnonzero((users < 0) | (users >= num_users))[:1]:
        raise InputError(f"grouping[{request}]", f"{users[request]} is not in 0..{num_users - 1}")
    demand = merge_choices(
        routes.experts,
        np.repeat(users, np.diff(routes.offsets)),
        np.full(num_users, 1 / routes.num_tokens),
    )
    return _assembled(name, model, call, network, demand)


def instance_from_counts(
    counts: Counts,
    network: NetworkFile,
    *,
    model: str | Architecture | Model,
    precision: str = "bf16",
    sets: str | None = None,
    tokens: int = TOKENS,
    seed: int = 0,
    name: str = "counts",
) -> Instance:
    """Make an instance of counts, with sets of independent experts.

    Counts carry no sets. The rows are sets in which each expert is as frequent as it was counted
    and which are otherwise independent (:mod:`instances.independent_sets`); all users have the
    same popularity and as many tokens. Real sets repeat far more and differ between users, so
    the instance is a different one from that of a trace of the same tokens; its name says so.

    Parameters
    ----------
    counts
        What was recorded.
    network, model, precision
        As for :func:`instance_from_routes`.
    sets
        ``expected``: every possible set with its probability. ``sampled``: ``tokens`` tokens of
        each user. None takes the first where a layer has at most :data:`FEW_SETS` sets.
    tokens, seed
        How many tokens are drawn for each user, and which; only for ``sampled``.
    name
        Name of the instance, to which ``-independent-expected`` or ``-independent-sampled`` is
        added.

    Raises
    ------
    InputError
        When the parts do not fit each other, or no sets have these counts.
    """
    model, call = _resolved(model, precision, network)
    check_fit(counts, model)
    possible = num_sets(model.experts, model.top_k)
    if sets is None:
        sets = "expected" if possible <= FEW_SETS else "sampled"
    if sets not in SETS:
        raise InputError("sets", f"{sets!r} is not one of {', '.join(SETS)}")
    num_users = len(network.user_names)
    if not 1 <= tokens <= _MOST_DRAWN // (num_users * model.layers * model.top_k):
        raise InputError("tokens", f"{tokens} is not positive, or too many to draw")
    if seed < 0:
        raise InputError("seed", f"{seed} is negative")
    distribution = IndependentSets.of(counts.counts, model.top_k)
    if sets == "expected":
        if possible > _MOST_DRAWN // (num_users * model.layers * model.top_k):
            raise InputError("sets", f"a layer has {possible} sets, too many to list; sample them")
        demand = expected_demand(distribution, users=num_users)
    else:
        draws = Draws("independent sets", seed)
        demand = drawn_demand(distribution, users=num_users, tokens=tokens, draws=draws)
    return _assembled(f"{name}-independent-{sets}", model, call, network, demand)


def _resolved(
    model: str | Architecture | Model, precision: str, network: NetworkFile
) -> tuple[Model, ExpertCall | None]:
    """Return the model and, of an architecture, what a call of an expert moves."""
    if isinstance(model, Model):
        return model, None
    architecture = ARCHITECTURES.get(model) if isinstance(model, str) else model
    return architecture.model(precision=precision), network.call_of(architecture)


def _assembled(
    name: str, model: Model, call: ExpertCall | None, network: NetworkFile, demand: Demand
) -> Instance:
    latency_ms, cloud_latency_ms = network.latencies_ms(call)
    local = network.local_experts_of(model)
    return Instance(
        name=name,
        models=(model,),
        server_names=network.server_names,
        capacity_bytes=network.capacity_bytes,
        user_names=network.user_names,
        user_model=np.zeros(len(network.user_names), dtype=np.int64),
        latency_ms=latency_ms,
        cloud_latency_ms=cloud_latency_ms,
        local_latency_ms=network.local_latency_ms,
        local_offsets=np.concatenate([[0], np.cumsum([experts.size for experts in local])]),
        local_experts=np.concatenate(local),
        demand_user=demand.user,
        demand_layer=demand.layer,
        demand_offsets=demand.offsets,
        demand_experts=demand.experts,
        demand_rate=demand.rate,
    )


def require_experts(experts: NDArray[Any], field: str) -> None:
    """Check that routes [token, layer, K] hold experts, and -1 for none, as int16 can.

    Raises
    ------
    InputError
        Names the first token, layer and choice that is out of range.
    """
    for token, layer, k in np.argwhere((experts < -1) | (experts > MOST_EXPERTS))[:1]:
        raise InputError(
            f"{field}[{token}][{layer}][{k}]",
            f"{experts[token, layer, k]} is neither an expert (0..{MOST_EXPERTS}) nor -1",
        )


def _integers(array: NDArray[Any], name: str, axes: tuple[str, ...]) -> NDArray[Any]:
    array = np.asarray(array)
    if array.dtype.kind not in "iu" or array.ndim != len(axes):
        raise InputError(
            name,
            f"{array.dtype} array of {array.ndim} dimensions where integers "
            f"[{', '.join(axes)}] are needed",
        )
    return array


def _check_offsets(offsets: NDArray[Any], num_tokens: int) -> None:
    if offsets.shape[0] < 2:
        raise InputError("offsets", f"{offsets.shape[0]} values where at least 2 are needed")
    if offsets[0] != 0:
        raise InputError("offsets[0]", f"{offsets[0]} is not 0: tokens before it have no request")
    # Compared, not subtracted: differences of unsigned numbers would wrap round.
    for request in np.flatnonzero(offsets[1:] < offsets[:-1])[:1] + 1:
        raise InputError(
            f"offsets[{request}]", f"{offsets[request]} is less than {offsets[request - 1]} before"
        )
    if offsets[-1] != num_tokens:
        raise InputError(
            f"offsets[{offsets.shape[0] - 1}]", f"{offsets[-1]} is not {num_tokens}, the tokens"
        )


def _check_repetition(experts: NDArray[np.int16]) -> None:
    ascending = np.sort(experts, axis=2)
    repeated = (ascending[:, :, 1:] == ascending[:, :, :-1]) & (ascending[:, :, 1:] >= 0)
    for token, layer in np.argwhere(repeated.any(axis=2))[:1]:
        raise InputError(
            f"experts[{token}][{layer}]", f"{experts[token, layer].tolist()} repeats an expert"
        )
