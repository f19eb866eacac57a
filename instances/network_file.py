"""Network files: servers, users and latencies, measured or computed, in TOML (or JSON alike).

    format = "moeplace/network"
    version = 1

    [[servers]]
    name = "edge-0"
    capacity_gb = 9.56            # 10^9 bytes; or: capacity_bytes = 9558466560

    [[users]]
    name = "alice"
    latency_ms = [4.7, 9.8]       # measured: hidden state to each server, expert, output back;
    cloud_latency_ms = 48.0       # or by name: latency_ms = { edge-0 = 4.7, edge-1 = 9.8 }
    local_experts = [[0, 3]]      # optional: [layer, expert] pairs on the device
    local_latency_ms = 0.5        # optional: time of one of these, 0 when left out

A user without measurements says how she is connected, and the rest of the file how the servers
are; the latencies of a call then follow from the model (:mod:`instances.network`):

    [cloud]                       # not when every cloud_latency_ms is measured
    gateway = "edge-0"            # server or switch at which the wide-area network begins
    wan_delay_ms = 15.0           # one way
    compute_tflops = 3.35
    uplink_mbps = 100.0           # optional: rates of the line to the cloud; no limit
    downlink_mbps = 500.0         # when left out

    [transfer]                    # optional: width of the hidden state on its way to an expert
    up_precision = "fp8"          # and of the output on its way back; bf16 when left out
    down_precision = "bf16"

    [[servers]]
    name = "edge-0"
    capacity_gb = 9.56
    compute_tflops = 0.3          # effective rate for one token

    [[switches]]                  # optional: where links meet and users connect, without a server
    name = "office"

    [[links]]
    between = ["edge-0", "edge-1"]
    delay_ms = 3.0                # one way
    rate_mbps = 1000.0            # from the first to the second
    back_rate_mbps = 250.0        # optional: from the second to the first; the same when left out

    [[users]]
    name = "bob"
    site = "edge-1"               # server or switch at which her connection ends
    uplink_mbps = 40.0
    downlink_mbps = 88.0
    access_delay_ms = 1.0         # optional, one way; 1 when left out (also: radio_delay_ms)
    latency_ms = { edge-0 = 7.2 } # optional: what she measured goes before what is computed
    cloud_latency_ms = 48.0       # optional, likewise

The rules are in :mod:`instances.network_tables`. There is no YAML: it reads ``no`` as false and
``1e3`` as text, and of a field that is there twice it drops one; TOML has comments too.
"""

import os
import tomllib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.errors import InputError
from instances.fields import decode_json, require_fields, require_list, require_object
from instances.files import read_bytes
from instances.model import Model
from instances.network import ExpertCall, Network
from instances.network_tables import (
    is_connected,
    read_capacity,
    read_connections,
    read_measurements,
    read_names,
    read_number,
    read_server,
    read_transfer,
    read_user,
    tables,
)
from instances.parsing import check_header, local_expert_indices

FORMAT = "moeplace/network"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkFile:
    """What a network file says.

    Parameters
    ----------
    server_names, capacity_bytes
        Servers and their storage; int64 (N,).
    switch_names
        Sites without a server.
    user_names
        Users.
    measured_ms, measured_cloud_ms
        Latencies that were measured, NaN for those that are to be computed, ms; float64 (U, N)
        and (U,).
    connected
        Indices of the users with a connection, in the order in which ``network`` has them; all
        others have measured everything.
    network
        How these are connected; None when there are none.
    precisions
        Of the hidden state on its way to an expert, and of the output on its way back.
    local_experts, local_latency_ms
        What the file says are [layer, expert] pairs on each device, to be held against the model
        (:meth:`local_experts_of`), and their latency, ms; float64 (U,).
    """

    server_names: tuple[str, ...]
    capacity_bytes: NDArray[np.int64]
    switch_names: tuple[str, ...]
    user_names: tuple[str, ...]
    measured_ms: NDArray[np.float64]
    measured_cloud_ms: NDArray[np.float64]
    connected: tuple[int, ...]
    network: Network | None
    precisions: tuple[str, str]
    local_experts: tuple[list[Any], ...]
    local_latency_ms: NDArray[np.float64]

    def local_experts_of(self, model: Model) -> list[NDArray[np.int64]]:
        """Experts on each device, ``layer * experts + expert``, ascending.

        Raises
        ------
        InputError
            Names the first that is not a pair, not an expert of the model, or repeated.
        """
        return [
            local_expert_indices(pairs, f"users[{u}].local_experts", model)
            for u, pairs in enumerate(self.local_experts)
        ]

    def call_of(self, architecture: Architecture) -> ExpertCall:
        """Return what a call of one expert of a model moves in this network, and computes."""
        return ExpertCall.of(architecture, *self.precisions)

    def latencies_ms(
        self, call: ExpertCall | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latencies of every user, ms: at the servers (U, N), in the cloud (U,).

        Parameters
        ----------
        call
            What a call moves and computes (:meth:`call_of`); None when no model is known.

        Raises
        ------
        InputError
            When something is to be computed and ``call`` is None.
        """
        servers, cloud = self.measured_ms.copy(), self.measured_cloud_ms.copy()
        if self.network is not None:
            if call is None:
                raise InputError(
                    f"users[{self.connected[0]}]",
                    "has no measured latency_ms; to compute it, the size of the hidden state is "
                    "needed, so name the model",
                )
            rows = np.array(self.connected)
            servers[rows] = _filled(servers[rows], self.network.latency_ms(call))
            if self.network.gateway is not None:
                cloud[rows] = _filled(cloud[rows], self.network.cloud_latency_ms(call))
        return servers, cloud


def _filled(measured: NDArray[np.float64], computed: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(measured), computed, measured)


def read_network(path: str | os.PathLike[str]) -> NetworkFile:
    """Read a network file.

    Raises
    ------
    InputError
        Names the file, the field, its index and the value that is wrong.
    """
    name = os.fspath(path)
    if name.lower().endswith((".yaml", ".yml")):
        raise InputError("", "YAML is not read: write the network as TOML or JSON", source=name)
    data = read_bytes(path)
    try:
        if name.lower().endswith(".json"):
            return network_from_dict(require_object(decode_json(data), ""))
        return parse_network(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError("", f"not UTF-8 text: {error}", source=name) from None
    except InputError as error:
        raise error.in_file(name) from None


def parse_network(text: str) -> NetworkFile:
    """Parse the text of a network file in TOML.

    Raises
    ------
    InputError
        Names the field, its index and the value that is wrong.
    """
    try:
        data = tomllib.loads(text)
    except RecursionError:
        raise InputError("", "not TOML that can be read: nested too deeply") from None
    except ValueError as error:  # not TOML, or an integer of thousands of digits
        raise InputError("", f"not TOML: {error}") from None
    return network_from_dict(data)


def network_from_dict(data: dict[str, Any]) -> NetworkFile:
    """Make a network of the content of a file; the header may be left out.

    Raises
    ------
    InputError
        Names the field, its index and the value that is wrong.
    """
    if "format" in data or "version" in data:
        check_header(data, FORMAT)
    optional = ("format", "version", "cloud", "links", "switches", "transfer")
    require_fields(data, "", ("servers", "users"), optional)
    servers = [
        read_server(table, f"servers[{n}]") for n, table in enumerate(tables(data, "servers"))
    ]
    switches = [
        require_fields(table, f"switches[{w}]", ("name",))
        for w, table in enumerate(tables(data, "switches") if "switches" in data else [])
    ]
    users = [read_user(table, f"users[{u}]") for u, table in enumerate(tables(data, "users"))]
    sites = read_names({"servers": servers, "switches": switches})
    user_names = tuple(read_names({"users": users}))
    server_names = tuple(sites)[: len(servers)]
    measured_ms, measured_cloud_ms = read_measurements(users, server_names)
    connected = [u for u, user in enumerate(users) if is_connected(user)]
    return NetworkFile(
        server_names=server_names,
        capacity_bytes=np.array(
            [read_capacity(server, f"servers[{n}]") for n, server in enumerate(servers)], np.int64
        ),
        switch_names=tuple(sites)[len(servers) :],
        user_names=user_names,
        measured_ms=measured_ms,
        measured_cloud_ms=measured_cloud_ms,
        connected=tuple(connected),
        network=read_connections(
            data,
            servers,
            users,
            sites,
            connected,
            needed=(np.isnan(measured_ms[connected]), np.isnan(measured_cloud_ms[connected])),
        ),
        precisions=read_transfer(data, connected=bool(connected)),
        local_experts=tuple(
            require_list(user.get("local_experts", []), f"users[{u}].local_experts")
            for u, user in enumerate(users)
        ),
        local_latency_ms=np.array(
            [
                read_number(user.get("local_latency_ms", 0.0), f"users[{u}].local_latency_ms")
                for u, user in enumerate(users)
            ]
        ),
    )
