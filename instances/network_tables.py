"""The tables of a network file, each checked by itself and against the others.

What a user has measured counts; what she has not is computed from her connection, the links and
the servers. Everything that is said must count: a field that nothing would be computed from is
refused, like one that is not known.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instances.architectures import PRECISIONS
from instances.errors import InputError
from instances.fields import (
    hint,
    join,
    require_fields,
    require_list,
    require_name,
    require_number,
    require_object,
    show,
)
from instances.model import MAX_BYTES
from instances.network import Link, Network

_SERVER = ("capacity_gb", "capacity_bytes", "compute_tflops")
_DEVICE = ("local_experts", "local_latency_ms")
_MEASURED = ("latency_ms", "cloud_latency_ms")
_CONNECTED = ("site", "uplink_mbps", "downlink_mbps")
_DELAYS = ("access_delay_ms", "radio_delay_ms")
_CLOUD = ("gateway", "wan_delay_ms", "compute_tflops")
_WAN_RATES = ("uplink_mbps", "downlink_mbps")
_LINK = ("between", "delay_ms", "rate_mbps")
_TRANSFER = ("up_precision", "down_precision")
_DEFAULT_DELAY_MS = 1.0
_DEFAULT_PRECISION = "bf16"
_LARGEST, _SLOWEST = 1e15, 1e-6
"""Limits of numbers and of rates, so that no latency overflows."""

Table = dict[str, Any]


def tables(data: Table, name: str) -> list[Any]:
    """Return a list of tables that has at least one.

    Raises
    ------
    InputError
        When it is no list, or empty.
    """
    found = require_list(data[name], name)
    if not found:
        raise InputError(name, "the list is empty; at least one is needed")
    return found


def read_names(groups: Mapping[str, list[Table]]) -> dict[str, int]:
    """Return the indices of all names, counted through all groups.

    Raises
    ------
    InputError
        When a name is not one, or there twice.
    """
    index_of: dict[str, int] = {}
    owner: dict[str, str] = {}
    for group, members in groups.items():
        for index, table in enumerate(members):
            path = f"{group}[{index}]"
            name = require_name(table["name"], f"{path}.name")
            if name in owner:
                raise InputError(f"{path}.name", f"{name!r} is already the name of {owner[name]}")
            index_of[name] = len(index_of)
            owner[name] = path
    return index_of


def read_server(value: object, path: str) -> Table:
    """Return a server that has a name and no unknown field.

    Raises
    ------
    InputError
        When it is something else.
    """
    return require_fields(value, path, ("name",), _SERVER)


def read_capacity(server: Table, path: str) -> int:
    """Return the storage of a server, bytes.

    Raises
    ------
    InputError
        When it is not given exactly once, or not in range.
    """
    given = [name for name in ("capacity_gb", "capacity_bytes") if name in server]
    if len(given) != 1:
        count = "both" if given else "neither"
        raise InputError(path, f"has {count} of capacity_gb and capacity_bytes; give one of them")
    value, field = server[given[0]], f"{path}.{given[0]}"
    if given[0] == "capacity_gb":
        number = read_number(value, field)
        if number > MAX_BYTES / 1e9:
            raise InputError(field, f"{show(value)} is more than {MAX_BYTES} bytes")
        return round(number * 1e9)
    if type(value) is not int or not 0 <= value <= MAX_BYTES:
        raise InputError(field, f"{show(value)} is not a whole number in 0..{MAX_BYTES}")
    return value


def read_user(value: object, path: str) -> Table:
    """Return a user who has measurements, a connection or both, and no unknown field.

    Raises
    ------
    InputError
        When something is missing or unknown.
    """
    user = require_object(value, path)
    if not {*_MEASURED, *_CONNECTED, *_DELAYS} & user.keys():
        raise InputError(
            path, "has neither latency_ms and cloud_latency_ms nor site, uplink_mbps, downlink_mbps"
        )
    if not is_connected(user):
        return require_fields(value, path, ("name", *_MEASURED), _DEVICE)
    require_fields(value, path, ("name", *_CONNECTED), (*_DELAYS, *_MEASURED, *_DEVICE))
    if all(name in user for name in _DELAYS):
        raise InputError(
            f"{path}.radio_delay_ms", "is another name of access_delay_ms; give one of them"
        )
    return user


def is_connected(user: Table) -> bool:
    """Whether a user says how she is connected."""
    return bool({*_CONNECTED, *_DELAYS} & user.keys())


def read_measurements(
    users: list[Table], server_names: tuple[str, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what was measured at the servers (U, N) and in the cloud (U,), ms; NaN for the rest.

    Raises
    ------
    InputError
        When a measurement is wrong, is missing, or leaves nothing to compute for a connection.
    """
    servers = np.full((len(users), len(server_names)), np.nan)
    cloud = np.full(len(users), np.nan)
    for u, user in enumerate(users):
        path = f"users[{u}]"
        if "latency_ms" in user:
            servers[u] = _latencies(user["latency_ms"], f"{path}.latency_ms", server_names)
        if "cloud_latency_ms" in user:
            cloud[u] = read_number(user["cloud_latency_ms"], f"{path}.cloud_latency_ms")
        missing = np.flatnonzero(np.isnan(servers[u]))
        if not is_connected(user) and missing.size:
            raise InputError(
                join(f"{path}.latency_ms", server_names[missing[0]]),
                "is missing; measure it too, or say how the user is connected (site, "
                "uplink_mbps, downlink_mbps)",
            )
        if is_connected(user) and not missing.size and not np.isnan(cloud[u]):
            first = next(name for name in (*_CONNECTED, *_DELAYS) if name in user)
            raise InputError(f"{path}.{first}", "is not used: all latencies are measured")
    return servers, cloud


def _latencies(value: object, path: str, server_names: tuple[str, ...]) -> list[float]:
    """Return the latency at each server, NaN where the file has none."""
    if isinstance(value, list):
        if len(value) != len(server_names):
            raise InputError(
                path, f"{len(value)} values where {len(server_names)} are needed, one a server"
            )
        return [read_number(number, f"{path}[{n}]") for n, number in enumerate(value)]
    if not isinstance(value, dict):
        raise InputError(path, f"{show(value)} is not a list, nor an object by name of the server")
    by_name = require_object(value, path)
    for name in by_name:
        if name not in server_names:
            raise InputError(
                join(path, name), f"is not the name of a server{hint(name, server_names)}"
            )
    if not by_name:
        raise InputError(path, "is empty; leave it out when nothing is measured")
    return [
        read_number(by_name[name], join(path, name)) if name in by_name else np.nan
        for name in server_names
    ]


def read_transfer(data: Table, *, connected: bool) -> tuple[str, str]:
    """Return the precisions of the hidden state and of the output.

    Raises
    ------
    InputError
        When one is unknown, or nothing is computed from them.
    """
    if "transfer" not in data:
        return _DEFAULT_PRECISION, _DEFAULT_PRECISION
    if not connected:
        raise InputError("transfer", "is not used: every user has measured latencies")
    transfer = require_fields(data["transfer"], "transfer", (), _TRANSFER)
    if not transfer:
        raise InputError("transfer", f"is empty; it may have {' and '.join(_TRANSFER)}")
    up, down = (transfer.get(name, _DEFAULT_PRECISION) for name in _TRANSFER)
    for name, precision in zip(_TRANSFER, (up, down), strict=True):
        if not isinstance(precision, str) or precision not in PRECISIONS:
            raise InputError(
                f"transfer.{name}", f"{show(precision)} is not one of {', '.join(PRECISIONS)}"
            )
    return up, down


def read_connections(
    data: Table,
    servers: list[Table],
    users: list[Table],
    sites: Mapping[str, int],
    connected: list[int],
    *,
    needed: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> Network | None:
    """Read the parts from which latencies are computed; None when all are measured.

    Parameters
    ----------
    data, servers, users
        The file, and its tables that were read before.
    sites
        Index of each server and switch.
    connected
        Indices of the users with a connection.
    needed
        What is to be computed for these: at the servers, in the cloud.

    Raises
    ------
    InputError
        When something is wrong, missing, not used, or out of reach.
    """
    if not connected:
        _refuse_unused(data, servers)
        return None
    rates = []
    for n, server in enumerate(servers):
        if "compute_tflops" not in server:
            raise InputError(
                f"servers[{n}].compute_tflops",
                f"is missing; users[{connected[0]}] has no measured latencies",
            )
        rates.append(_rate(server["compute_tflops"], f"servers[{n}].compute_tflops"))
    uplink, downlink = np.zeros((2, len(connected), len(sites)))
    delay = np.zeros(len(connected))
    for row, index in enumerate(connected):
        user, path = users[index], f"users[{index}]"
        site = _site(user["site"], f"{path}.site", sites)
        uplink[row, site] = _rate(user["uplink_mbps"], f"{path}.uplink_mbps")
        downlink[row, site] = _rate(user["downlink_mbps"], f"{path}.downlink_mbps")
        given = [name for name in _DELAYS if name in user]
        delay[row] = (
            read_number(user[given[0]], f"{path}.{given[0]}") if given else _DEFAULT_DELAY_MS
        )
    network = Network(
        uplink_mbps=uplink,
        downlink_mbps=downlink,
        radio_delay_ms=delay,
        links=_links(data, sites),
        server_tflops=np.array(rates),
        switches=len(sites) - len(servers),
        **_cloud(data, sites, [connected[row] for row in np.flatnonzero(needed[1])]),
    )
    _check_paths(network, users, servers, connected, needed)
    return network


def _refuse_unused(data: Table, servers: list[Table]) -> None:
    for name in ("cloud", "links", "switches"):
        if name in data:
            raise InputError(name, "is not used: every user has measured latencies")
    for n, server in enumerate(servers):
        if "compute_tflops" in server:
            raise InputError(
                f"servers[{n}].compute_tflops", "is not used: every user has measured latencies"
            )


def _check_paths(
    network: Network,
    users: list[Table],
    servers: list[Table],
    connected: list[int],
    needed: tuple[NDArray[np.bool_], NDArray[np.bool_]],
) -> None:
    """Refuse a network in which something that is to be computed has no path."""
    reached = network.reached()
    for row, user in enumerate(connected):
        who = f"users[{user}] ({users[user]['name']!r})"
        for site in np.flatnonzero(needed[0][row] & ~reached[row, : len(servers)]):
            where = f"servers[{site}] ({servers[site]['name']!r})"
            raise InputError("links", f"no path leads from {who} to {where}")
        if needed[1][row] and not reached[row, network.gateway]:
            raise InputError("links", f"no path leads from {who} to the gateway of the cloud")


def _links(data: Table, sites: Mapping[str, int]) -> tuple[Link, ...]:
    links = []
    for index, table in enumerate(tables(data, "links") if "links" in data else []):
        path = f"links[{index}]"
        link = require_fields(table, path, _LINK, ("back_rate_mbps",))
        ends = require_list(link["between"], f"{path}.between")
        found = [_site(end, f"{path}.between[{i}]", sites) for i, end in enumerate(ends)]
        if len(found) != 2 or found[0] == found[1]:
            raise InputError(
                f"{path}.between", f"{ends!r} is not a pair of different servers or switches"
            )
        back = link.get("back_rate_mbps")
        links.append(
            Link(
                sites=(found[0], found[1]),
                delay_ms=read_number(link["delay_ms"], f"{path}.delay_ms"),
                rate_mbps=_rate(link["rate_mbps"], f"{path}.rate_mbps"),
                back_rate_mbps=(
                    _rate(back, f"{path}.back_rate_mbps") if "back_rate_mbps" in link else None
                ),
            )
        )
    return tuple(links)


def _cloud(data: Table, sites: Mapping[str, int], users: list[int]) -> dict[str, Any]:
    """Read what a :class:`Network` says of the cloud, which these users need to know."""
    if not users:
        if "cloud" in data:
            raise InputError("cloud", "is not used: every user has a measured cloud_latency_ms")
        return {}
    if "cloud" not in data:
        raise InputError("cloud", f"is missing; users[{users[0]}] has no measured cloud_latency_ms")
    cloud = require_fields(data["cloud"], "cloud", _CLOUD, _WAN_RATES)
    return {
        "gateway": _site(cloud["gateway"], "cloud.gateway", sites),
        "wan_delay_ms": read_number(cloud["wan_delay_ms"], "cloud.wan_delay_ms"),
        "cloud_tflops": _rate(cloud["compute_tflops"], "cloud.compute_tflops"),
        **{
            f"wan_{name}": _rate(cloud[name], f"cloud.{name}")
            for name in _WAN_RATES
            if name in cloud
        },
    }


def read_number(value: object, path: str) -> float:
    """Return a number that is not negative, nor so large that a latency would overflow.

    Raises
    ------
    InputError
        When it is something else.
    """
    number = require_number(value, path)
    if not 0 <= number <= _LARGEST:
        raise InputError(path, f"{show(value)} is not in 0..{_LARGEST:g}")
    return number


def _rate(value: object, path: str) -> float:
    number = read_number(value, path)
    if number < _SLOWEST:
        raise InputError(path, f"{show(value)} is not at least {_SLOWEST:g}")
    return number


def _site(value: object, path: str, sites: Mapping[str, int]) -> int:
    name = require_name(value, path)
    if name not in sites:
        raise InputError(path, f"{name!r} is not the name of a server or switch{hint(name, sites)}")
    return sites[name]
