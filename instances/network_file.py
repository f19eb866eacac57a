"""Network files: servers, users and latencies, measured or computed, in TOML (or JSON alike).

    format = "moeplace/network"
    version = 1

    [[servers]]
    name = "edge-0"
    capacity_gb = 9.56            # 10^9 bytes; or: capacity_bytes = 9558466560

    [[users]]
    name = "alice"
    latency_ms = [4.7, 9.8]       # measured: hidden state to each server, expert, output back
    cloud_latency_ms = 48.0
    local_experts = [[0, 3]]      # optional: [layer, expert] pairs on the device
    local_latency_ms = 0.5        # optional: time of one of these, 0 when left out

A user without measurements says how she is connected, and the rest of the file how the servers
are; the latencies of a call then follow from the model (:mod:`instances.network`):

    [cloud]
    gateway = "edge-0"            # server at whose site the wide-area network begins
    wan_delay_ms = 15.0           # one way
    compute_tflops = 3.35

    [[servers]]
    name = "edge-0"
    capacity_gb = 9.56
    compute_tflops = 0.3          # effective rate for one token

    [[links]]
    between = ["edge-0", "edge-1"]
    delay_ms = 3.0                # one way
    rate_mbps = 1000.0

    [[users]]
    name = "bob"
    site = "edge-1"
    uplink_mbps = 40.0
    downlink_mbps = 88.0
    radio_delay_ms = 1.0          # optional, one way; 1 when left out
"""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.fields import (
    decode_json,
    require_fields,
    require_list,
    require_name,
    require_number,
    require_object,
    show,
)
from instances.files import read_bytes
from instances.model import MAX_BYTES, Model
from instances.network import ExpertCall, Link, Network
from instances.parsing import check_header, local_expert_indices

FORMAT = "moeplace/network"

_SERVER = ("capacity_gb", "capacity_bytes", "compute_tflops")
_DEVICE = ("local_experts", "local_latency_ms")
_MEASURED = ("latency_ms", "cloud_latency_ms")
_CONNECTED = ("site", "uplink_mbps", "downlink_mbps")
_CLOUD = ("gateway", "wan_delay_ms", "compute_tflops")
_LINK = ("between", "delay_ms", "rate_mbps")
_DEFAULT_RADIO_DELAY_MS = 1.0
_LARGEST, _SLOWEST = 1e15, 1e-6
"""Limits of numbers and of rates, so that no latency overflows."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class NetworkFile:
    """What a network file says.

    Parameters
    ----------
    server_names, capacity_bytes
        Servers and their storage; int64 (N,).
    user_names
        Users.
    measured
        ``(latency_ms, cloud_latency_ms)`` of each user who has them, by index of the user.
    connected
        Indices of the other users, in the order in which ``network`` has them.
    network
        How these are connected; None when there are none.
    local_experts, local_latency_ms
        What the file says are [layer, expert] pairs on each device, to be held against the model
        (:meth:`local_experts_of`), and their latency, ms; float64 (U,).
    """

    server_names: tuple[str, ...]
    capacity_bytes: NDArray[np.int64]
    user_names: tuple[str, ...]
    measured: Mapping[int, tuple[tuple[float, ...], float]]
    connected: tuple[int, ...]
    network: Network | None
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

    def latencies_ms(
        self, call: ExpertCall | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Latencies of every user, ms: at the servers (U, N), in the cloud (U,).

        Raises
        ------
        InputError
            When a user has no measurements and ``call`` is None.
        """
        servers = np.zeros((len(self.user_names), len(self.server_names)))
        cloud = np.zeros(len(self.user_names))
        for user, (latency_ms, cloud_latency_ms) in self.measured.items():
            servers[user], cloud[user] = latency_ms, cloud_latency_ms
        if self.network is not None:
            if call is None:
                raise InputError(
                    f"users[{self.connected[0]}]",
                    "has no measured latency_ms; to compute it, the size of the hidden state is "
                    "needed, so name the model",
                )
            rows = np.array(self.connected)
            servers[rows] = self.network.latency_ms(call)
            cloud[rows] = self.network.cloud_latency_ms(call)
        return servers, cloud


def read_network(path: str | os.PathLike[str]) -> NetworkFile:
    """Read a network file.

    Raises
    ------
    InputError
        Names the file, the field, its index and the value that is wrong.
    """
    data = read_bytes(path)
    try:
        if os.fspath(path).lower().endswith(".json"):
            return network_from_dict(require_object(decode_json(data), ""))
        return parse_network(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError("", f"not UTF-8 text: {error}", source=os.fspath(path)) from None
    except InputError as error:
        raise error.in_file(os.fspath(path)) from None


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
    require_fields(data, "", ("servers", "users"), ("format", "version", "cloud", "links"))
    servers = [
        require_fields(server, f"servers[{n}]", ("name",), _SERVER)
        for n, server in enumerate(_tables(data, "servers"))
    ]
    server_names, site_of = _names(servers, "servers")
    users = [_user(user, f"users[{u}]") for u, user in enumerate(_tables(data, "users"))]
    user_names, _ = _names(users, "users")
    connected = [u for u, user in enumerate(users) if "site" in user]
    measured = {
        u: (
            _latencies(user["latency_ms"], f"users[{u}].latency_ms", len(servers)),
            _number(user["cloud_latency_ms"], f"users[{u}].cloud_latency_ms"),
        )
        for u, user in enumerate(users)
        if "site" not in user
    }
    return NetworkFile(
        server_names=server_names,
        capacity_bytes=np.array(
            [_capacity(server, f"servers[{n}]") for n, server in enumerate(servers)], np.int64
        ),
        user_names=user_names,
        measured=measured,
        connected=tuple(connected),
        network=_network(data, servers, users, site_of, connected),
        local_experts=tuple(
            require_list(user.get("local_experts", []), f"users[{u}].local_experts")
            for u, user in enumerate(users)
        ),
        local_latency_ms=np.array(
            [
                _number(user.get("local_latency_ms", 0.0), f"users[{u}].local_latency_ms")
                for u, user in enumerate(users)
            ]
        ),
    )


def _network(
    data: dict[str, Any],
    servers: list[dict[str, Any]],
    users: list[dict[str, Any]],
    site_of: dict[str, int],
    connected: list[int],
) -> Network | None:
    """Read the parts that users without measurements need."""
    if not connected:
        for name in ("cloud", "links"):
            if name in data:
                raise InputError(name, "is not used: every user has measured latencies")
        for n, server in enumerate(servers):
            if "compute_tflops" in server:
                raise InputError(
                    f"servers[{n}].compute_tflops",
                    "is not used: every user has measured latencies",
                )
        return None
    if "cloud" not in data:
        raise InputError("cloud", f"is missing; users[{connected[0]}] has no measured latencies")
    cloud = require_fields(data["cloud"], "cloud", _CLOUD)
    rates = []
    for n, server in enumerate(servers):
        if "compute_tflops" not in server:
            raise InputError(
                f"servers[{n}].compute_tflops",
                f"is missing; users[{connected[0]}] has no measured latencies",
            )
        rates.append(_rate(server["compute_tflops"], f"servers[{n}].compute_tflops"))
    uplink, downlink = np.zeros((2, len(connected), len(servers)))
    delay = np.zeros(len(connected))
    for row, index in enumerate(connected):
        user, path = users[index], f"users[{index}]"
        site = _site(user["site"], f"{path}.site", site_of)
        uplink[row, site] = _rate(user["uplink_mbps"], f"{path}.uplink_mbps")
        downlink[row, site] = _rate(user["downlink_mbps"], f"{path}.downlink_mbps")
        delay[row] = _number(
            user.get("radio_delay_ms", _DEFAULT_RADIO_DELAY_MS), f"{path}.radio_delay_ms"
        )
    network = Network(
        uplink_mbps=uplink,
        downlink_mbps=downlink,
        radio_delay_ms=delay,
        links=_links(data, site_of),
        server_tflops=np.array(rates),
        gateway=_site(cloud["gateway"], "cloud.gateway", site_of),
        wan_delay_ms=_number(cloud["wan_delay_ms"], "cloud.wan_delay_ms"),
        cloud_tflops=_rate(cloud["compute_tflops"], "cloud.compute_tflops"),
    )
    for row, site in network.unreachable()[:1]:
        raise InputError(
            "links",
            f"no path leads from users[{connected[row]}] ({users[connected[row]]['name']!r}) to "
            f"servers[{site}] ({servers[site]['name']!r})",
        )
    return network


def _links(data: dict[str, Any], site_of: dict[str, int]) -> tuple[Link, ...]:
    links = []
    for index, table in enumerate(_tables(data, "links") if "links" in data else []):
        path = f"links[{index}]"
        link = require_fields(table, path, _LINK)
        ends = require_list(link["between"], f"{path}.between")
        sites = [_site(end, f"{path}.between[{i}]", site_of) for i, end in enumerate(ends)]
        if len(sites) != 2 or sites[0] == sites[1]:
            raise InputError(f"{path}.between", f"{ends!r} is not a pair of different servers")
        links.append(
            Link(
                sites=(sites[0], sites[1]),
                delay_ms=_number(link["delay_ms"], f"{path}.delay_ms"),
                rate_mbps=_rate(link["rate_mbps"], f"{path}.rate_mbps"),
            )
        )
    return tuple(links)


def _tables(data: dict[str, Any], name: str) -> list[Any]:
    tables = require_list(data[name], name)
    if not tables:
        raise InputError(name, "the list is empty; at least one is needed")
    return tables


def _user(value: object, path: str) -> dict[str, Any]:
    """Return a user who has either measurements or a connection."""
    fields = require_object(value, path)
    if not {*_MEASURED, *_CONNECTED} & fields.keys():
        raise InputError(
            path, "has neither latency_ms and cloud_latency_ms nor site, uplink_mbps, downlink_mbps"
        )
    if {*_MEASURED} & fields.keys():
        return require_fields(value, path, ("name", *_MEASURED), _DEVICE)
    return require_fields(value, path, ("name", *_CONNECTED), ("radio_delay_ms", *_DEVICE))


def _names(tables: list[dict[str, Any]], path: str) -> tuple[tuple[str, ...], dict[str, int]]:
    index_of: dict[str, int] = {}
    for index, table in enumerate(tables):
        field = f"{path}[{index}].name"
        name = require_name(table["name"], field)
        if name in index_of:
            raise InputError(field, f"{name!r} is already the name of {path}[{index_of[name]}]")
        index_of[name] = index
    return tuple(index_of), index_of


def _capacity(server: dict[str, Any], path: str) -> int:
    given = [name for name in ("capacity_gb", "capacity_bytes") if name in server]
    if len(given) != 1:
        count = "both" if given else "neither"
        raise InputError(path, f"has {count} of capacity_gb and capacity_bytes; give one of them")
    value, field = server[given[0]], f"{path}.{given[0]}"
    if given[0] == "capacity_gb":
        number = _number(value, field)
        if number > MAX_BYTES / 1e9:
            raise InputError(field, f"{show(value)} is more than {MAX_BYTES} bytes")
        return round(number * 1e9)
    if type(value) is not int or not 0 <= value <= MAX_BYTES:
        raise InputError(field, f"{show(value)} is not a whole number in 0..{MAX_BYTES}")
    return value


def _number(value: object, path: str) -> float:
    number = require_number(value, path)
    if not 0 <= number <= _LARGEST:
        raise InputError(path, f"{show(value)} is not in 0..{_LARGEST:g}")
    return number


def _rate(value: object, path: str) -> float:
    number = _number(value, path)
    if number < _SLOWEST:
        raise InputError(path, f"{show(value)} is not at least {_SLOWEST:g}")
    return number


def _latencies(value: object, path: str, servers: int) -> tuple[float, ...]:
    latencies = require_list(value, path)
    if len(latencies) != servers:
        raise InputError(path, f"{len(latencies)} values where {servers} are needed, one a server")
    return tuple(_number(number, f"{path}[{n}]") for n, number in enumerate(latencies))


def _site(value: object, path: str, site_of: dict[str, int]) -> int:
    name = require_name(value, path)
    if name not in site_of:
        raise InputError(path, f"{name!r} is not the name of a server")
    return site_of[name]
