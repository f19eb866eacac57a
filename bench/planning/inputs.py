"""What a plan is made for: model, network and recorded routing, read and put together."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.formats import plural
from bench.planning.words import size_text
from instances.architecture_file import find_architecture
from instances.architectures import Architecture, precision_bits
from instances.errors import InputError
from instances.grouping import deal, group_requests
from instances.importers import read_recording
from instances.network_file import NetworkFile, read_network
from instances.problem import Instance
from instances.traces import Counts, Routes, instance_from_counts, instance_from_routes


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What was asked for on the command line.

    Parameters
    ----------
    model
        Name of an architecture, or an architecture file.
    precision
        Width of the stored weights.
    network
        Network file.
    recording
        File of recorded routing: a trace or counts.
    holds_counts
        It was given as counts.
    form
        Form of the recording; None tells it by the file.
    users
        Grouping of requests by user; None deals them out in turn.
    name
        Name of the instance; None for that of model and network.
    """

    model: str
    precision: str
    network: str
    recording: str
    holds_counts: bool
    form: str | None = None
    users: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Inputs:
    """The instance, and what was assumed on the way to it.

    Parameters
    ----------
    instance
        The instance.
    architecture
        The model.
    request
        What was asked for.
    tokens, requests
        Of the recording; 0 for counts.
    assumptions
        Sentences.
    """

    instance: Instance
    architecture: Architecture
    request: Request
    tokens: int
    requests: int
    assumptions: tuple[str, ...]


def read_inputs(request: Request) -> Inputs:
    """Read all files and make the instance.

    Raises
    ------
    InputError
        Names the file, the field and the value that is wrong.
    """
    precision_bits(request.precision)  # before large files are read for nothing
    architecture = find_architecture(request.model)
    network = read_network(request.network)
    recording = read_recording(request.recording, form=request.form, architecture=architecture)
    name = request.name or f"{architecture.name}-{_stem(request.network)}"
    tokens = requests = 0
    if isinstance(recording, Counts):
        _check_counts(request)
        make = partial(instance_from_counts, recording)
    elif request.holds_counts:
        problem = "it holds the experts of each token: give it as --trace"
        raise InputError("--counts", problem, source=request.recording)
    else:
        make = partial(
            instance_from_routes, recording, grouping=_grouping(request, recording, network)
        )
        tokens, requests = recording.num_tokens, recording.num_requests
    try:
        instance = make(network, model=architecture, precision=request.precision, name=name)
    except InputError as error:
        # Which of the two files it is, the field tells.
        if error.field.startswith(("users", "servers", "links", "cloud", "transfer")):
            raise error.in_file(request.network) from None
        if error.field.startswith(("experts", "counts")):
            raise error.in_file(request.recording) from None
        raise
    return Inputs(
        instance=instance,
        architecture=architecture,
        request=request,
        tokens=tokens,
        requests=requests,
        assumptions=(*_of_traffic(request, recording, instance), *_of_model(request, architecture)),
    )


def _stem(path: str) -> str:
    """Return the name of a file without its suffix, as far as it can be printed."""
    return "".join(letter for letter in Path(path).stem if letter.isprintable()) or "network"


def _check_counts(request: Request) -> None:
    if not request.holds_counts:
        problem = "it holds counts, which carry no sets of experts: give it as --counts"
        raise InputError("--trace", problem, source=request.recording)
    if request.users is not None:
        raise InputError("--users", "counts do not tell requests apart")


def _grouping(request: Request, routes: Routes, network: NetworkFile) -> NDArray[np.int64]:
    if request.users is None:
        return deal(routes.num_requests, len(network.user_names))
    return group_requests(request.users, request.recording, routes.num_requests, network.user_names)


def _of_traffic(request: Request, recording: Routes | Counts, instance: Instance) -> Iterator[str]:
    if isinstance(recording, Counts):
        yield (
            "The counts carry no sets: the experts of a token are taken to be independent of each "
            "other, and all users alike. Real sets repeat far more and differ between users, so a "
            "trace of routed experts gives a better plan and different figures."
        )
        return
    dealt = (
        "dealt out to the users in turn"
        if request.users is None
        else f"assigned to the users as --users {request.users} says"
    )
    yield (
        f"Future traffic is like the trace: {plural(recording.num_tokens, 'token')} of "
        f"{plural(recording.num_requests, 'request')}, {dealt}. Every token counts alike."
    )
    idle = instance.num_users - np.unique(instance.demand_user).size
    if idle:
        yield f"{plural(idle, 'user')} of the network file sent nothing and had no influence."


def _of_model(request: Request, architecture: Architecture) -> Iterator[str]:
    size = architecture.expert_bytes(request.precision)
    yield (
        f"{architecture.published_name}: {architecture.moe_layers} layers of "
        f"{architecture.experts_per_layer} experts, {architecture.top_k} for each token and layer; "
        f"{size_text(size)} each in {request.precision}. Whatever else the model has stays on the "
        "user's device."
    )
    yield (
        "The experts of a token and layer are fetched at the same time, each from the fastest "
        "place that holds it, and the layer waits for the slowest. Latency here is the time that "
        "a token waits for experts, over all layers, without the rest of the model."
    )
    yield (
        "Latencies are those of the network file, measured or computed from its figures, and they "
        "do not depend on the load: there is no queueing, and nothing is swapped at run time. The "
        "cloud holds every expert."
    )
