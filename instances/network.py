"""The network: who reaches which server, and how long one expert takes over there.

    t[u, n] = min over sites a of (radio(u, a) + path(a, n)) + flops / rate(n)
    t[u, cloud] = the same to the gateway + wide-area round trip + flops / cloud rate

Each term counts both directions, each with its own size and rate: the hidden state up, the
expert's output down. The same :class:`Network` is drawn at random (:func:`draw_network`) or read
from a file (:mod:`instances.network_file`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.backhaul import draw_pairs
from instances.draws import Draws
from instances.errors import InputError
from instances.network_spec import URBAN_MICRO, NetworkSpec
from instances.radio import line_of_sight_probability, path_loss_db, rate_mbps, snr_db
from instances.rounding import round_significant

LATENCY_DIGITS = 6
"""Significant digits of a latency: nanoseconds in a millisecond."""

_BITS_PER_MS_AND_MBPS = 1e3
_FLOPS_PER_MS_AND_TFLOPS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertCall:
    """What one call of one expert moves and computes.

    Parameters
    ----------
    up_bytes, down_bytes
        Hidden state to the expert, and its output back.
    flops
        Floating-point operations.
    """

    up_bytes: int
    down_bytes: int
    flops: int

    @classmethod
    def of(
        cls, architecture: Architecture, precision: str = "bf16", down_precision: str | None = None
    ) -> "ExpertCall":
        """Return the call of a model whose hidden states travel at the given precision.

        The output comes back at ``down_precision``, when that is another one: DeepSeek-V3 sends
        8 bits there and 16 back (arXiv:2412.19437, section 3.3).
        """
        return cls(
            up_bytes=architecture.hidden_state_bytes(precision),
            down_bytes=architecture.hidden_state_bytes(down_precision or precision),
            flops=architecture.expert_flops,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A backhaul link between two sites.

    Parameters
    ----------
    sites
        Its ends.
    delay_ms
        One-way delay, the same in both directions.
    rate_mbps, back_rate_mbps
        Rate from the first to the second, and back; None where that is the same.
    """

    sites: tuple[int, int]
    delay_ms: float
    rate_mbps: float
    back_rate_mbps: float | None = None

    def trip_ms(self, call: ExpertCall, *, forward: bool) -> float:
        """Time there and back of a call by somebody at the first site, or at the second, ms."""
        if self.back_rate_mbps is None:
            bits = 8 * (call.up_bytes + call.down_bytes)
            return 2 * self.delay_ms + bits / _BITS_PER_MS_AND_MBPS / self.rate_mbps
        rates = (self.rate_mbps, self.back_rate_mbps)
        up, down = rates if forward else rates[::-1]
        return (
            2 * self.delay_ms
            + 8 * call.up_bytes / _BITS_PER_MS_AND_MBPS / up
            + 8 * call.down_bytes / _BITS_PER_MS_AND_MBPS / down
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A network of N sites with one server each, W without, U users and a cloud.

    Parameters
    ----------
    uplink_mbps, downlink_mbps
        Rates between each user and each site, 0 where out of reach; float64 (U, N + W).
    radio_delay_ms
        Delay of each user's radio, one way; float64 (U,).
    links
        Backhaul.
    server_tflops
        Effective rate of each server, 10^12 operations a second; float64 (N,).
    gateway
        Site from which the cloud is reached; None when its latencies are known otherwise.
    wan_delay_ms, cloud_tflops
        One-way delay from the gateway to the cloud, and the rate there.
    wan_uplink_mbps, wan_downlink_mbps
        Rates of the line from the gateway to the cloud; infinite when they do not matter.
    switches
        W, sites without a server: N, ..., N + W - 1.
    """

    uplink_mbps: NDArray[np.float64]
    downlink_mbps: NDArray[np.float64]
    radio_delay_ms: NDArray[np.float64]
    links: tuple[Link, ...]
    server_tflops: NDArray[np.float64]
    gateway: int | None = None
    wan_delay_ms: float = 0.0
    cloud_tflops: float = math.inf
    wan_uplink_mbps: float = math.inf
    wan_downlink_mbps: float = math.inf
    switches: int = 0

    def latency_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Time of one call for each user at each server, ms, to 6 digits; float64 (U, N)."""
        reach = self._reach_ms(call)[:, : self.server_tflops.size]
        times = reach + (call.flops / _FLOPS_PER_MS_AND_TFLOPS / self.server_tflops)
        return round_significant(times, LATENCY_DIGITS)

    def cloud_latency_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Time of one call for each user in the cloud, ms, to 6 digits; float64 (U,).

        Raises
        ------
        ValueError
            When there is no gateway.
        """
        if self.gateway is None:
            raise ValueError("a network without a gateway has no latency of the cloud")
        times = (
            self._reach_ms(call)[:, self.gateway]
            + 2 * self.wan_delay_ms
            + 8 * call.up_bytes / _BITS_PER_MS_AND_MBPS / self.wan_uplink_mbps
            + 8 * call.down_bytes / _BITS_PER_MS_AND_MBPS / self.wan_downlink_mbps
            + call.flops / _FLOPS_PER_MS_AND_TFLOPS / self.cloud_tflops
        )
        return round_significant(times, LATENCY_DIGITS)

    def _reach_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Radio and backhaul, there and back, from each user to each site, ms; (U, N + W)."""
        path = self.path_ms(call)
        reach = np.full(self.uplink_mbps.shape, np.inf)
        for site in range(path.shape[0]):
            users = np.flatnonzero(
                (self.uplink_mbps[:, site] > 0) & (self.downlink_mbps[:, site] > 0)
            )
            up = 8 * call.up_bytes / _BITS_PER_MS_AND_MBPS / self.uplink_mbps[users, site]
            down = 8 * call.down_bytes / _BITS_PER_MS_AND_MBPS / self.downlink_mbps[users, site]
            radio = 2 * self.radio_delay_ms[users] + up + down
            reach[users] = np.minimum(reach[users], radio[:, None] + path[site])
        return reach

    def reached(self) -> NDArray[np.bool_]:
        """Whether there is a path between each user and each site; bool (U, N + W)."""
        nothing = ExpertCall(up_bytes=0, down_bytes=0, flops=0)
        return np.isfinite(self._reach_ms(nothing))

    def unreachable(self) -> list[tuple[int, int]]:
        """Pairs (user, server) with no path between them; an instance needs there to be none."""
        missing = ~self.reached()[:, : self.server_tflops.size]
        return [(int(u), int(n)) for u, n in np.argwhere(missing)]

    def path_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Shortest round trip from any site to any other, ms, inf where none; (N + W, N + W)."""
        import networkx as nx  # here, because it takes as long to import as the rest together

        sites = self.server_tflops.size + self.switches
        graph = nx.DiGraph()
        graph.add_nodes_from(range(sites))
        for link in self.links:
            for forward in (True, False):
                a, b = link.sites if forward else link.sites[::-1]
                trip = link.trip_ms(call, forward=forward)
                if not graph.has_edge(a, b) or trip < graph[a][b]["weight"]:
                    graph.add_edge(a, b, weight=trip)
        times = np.full((sites, sites), np.inf)
        for site, reached in nx.all_pairs_dijkstra_path_length(graph):
            for other, trip in reached.items():
                times[site, other] = trip
        return times


def draw_network(
    draws: Draws, *, users: int, servers: int, spec: NetworkSpec = URBAN_MICRO
) -> Network:
    """Draw a network at random.

    What one field of ``spec`` decides is drawn after or beside the rest: networks of the same
    draws that differ in their backhaul alone have the same users, servers and wide area.

    Parameters
    ----------
    draws
        Source of randomness.
    users, servers
        How many of each.
    spec
        What to draw from.

    Raises
    ------
    InputError
        When there is no user or no server.
    """
    for name, count in (("users", users), ("servers", servers)):
        if count < 1:
            raise InputError(name, f"{count} is not at least 1")
    sites = hexagonal_sites(servers, spec.site_distance_m)
    loss = _draw_losses(draws, _draw_users(draws, users, sites, spec.site_distance_m), sites, spec)
    pairs = neighbours(sites, spec.site_distance_m)
    delays = _draw_delays(draws, len(pairs), spec)
    server_tflops = np.array(spec.server_tflops)[draws.below(len(spec.server_tflops), servers)]
    gateway = draws.integer(servers)
    wan_delay_ms = float(round_significant(draws.between(*spec.wan_delay_ms, 1), 3)[0])
    if spec.backhaul != "neighbours":
        pairs = draw_pairs(
            spec.backhaul,
            draws,
            sites=servers,
            gateway=gateway,
            fan_out=spec.tree_fan_out,
            attachments=spec.attachments,
        )
        delays = _draw_delays(draws, len(pairs), spec)
    hop_gbps = _choices(draws, spec.hop_rates_gbps, len(pairs), spec.hop_rate_gbps)
    band_mhz = _bands_mhz(
        loss, _choices(draws, spec.user_bandwidths_mhz, users, spec.bandwidth_mhz), spec
    )
    power_dbm = _choices(draws, spec.user_powers_dbm, users, spec.user_power_dbm)
    return Network(
        uplink_mbps=_rates_mbps(loss, band_mhz, power_dbm, spec, uplink=True),
        downlink_mbps=_rates_mbps(loss, band_mhz, power_dbm, spec, uplink=False),
        radio_delay_ms=np.full(users, spec.radio_delay_ms),
        links=tuple(
            Link(sites=pair, delay_ms=delay, rate_mbps=1e3 * rate)
            for pair, delay, rate in zip(pairs, delays, hop_gbps, strict=True)
        ),
        server_tflops=server_tflops,
        gateway=gateway,
        wan_delay_ms=wan_delay_ms,
        cloud_tflops=spec.cloud_tflops,
        wan_uplink_mbps=1e3 * spec.wan_rate_gbps,
        wan_downlink_mbps=1e3 * spec.wan_rate_gbps,
    )


def hexagonal_sites(count: int, distance_m: float) -> NDArray[np.float64]:
    """Positions of the sites nearest to the centre of a hexagonal grid, metres; (count, 2)."""
    reach = math.isqrt(count) + 2
    cells = [(a, b) for a in range(-reach, reach + 1) for b in range(-reach, reach + 1)]
    # Squared distance of cell (a, b) in units of the grid is a^2 + ab + b^2: whole numbers, so
    # that the order of equally distant sites is settled by (a, b) and not by rounding.
    cells.sort(key=lambda cell: (cell[0] ** 2 + cell[0] * cell[1] + cell[1] ** 2, cell))
    return np.array([(a + b / 2, b * math.sqrt(3) / 2) for a, b in cells[:count]]) * distance_m


def neighbours(sites: NDArray[np.float64], distance_m: float) -> list[tuple[int, int]]:
    """Pairs of adjacent sites of the grid, ascending; they connect all sites."""
    pairs = []
    for a in range(len(sites)):
        gaps = np.sqrt(np.sum((sites[a + 1 :] - sites[a]) ** 2, axis=1))
        pairs += [(a, a + 1 + int(b)) for b in np.flatnonzero(gaps < 1.1 * distance_m)]
    return pairs


def _draw_delays(draws: Draws, links: int, spec: NetworkSpec) -> list[float]:
    delays = round_significant(draws.between(*spec.hop_delay_ms, links), LATENCY_DIGITS)
    return [float(delay) for delay in delays]


def _choices(draws: Draws, choices: tuple[float, ...], count: int, default: float) -> list[float]:
    """Draw one of the choices for each; the default for all, without a draw, when there is none."""
    if not choices:
        return [default] * count
    return [choices[index] for index in draws.below(len(choices), count).tolist()]


def _draw_users(
    draws: Draws, users: int, sites: NDArray[np.float64], distance_m: float
) -> NDArray[np.float64]:
    """Uniform positions in the cells, metres; (users, 2).

    A hexagonal cell is three rhombi that meet in its centre, spanned by corners 120 degrees apart.
    """
    corner = distance_m / math.sqrt(3)
    cell, rhombus = draws.below(len(sites), users), draws.below(3, users)
    along = draws.uniform((users, 2))
    sides = corner * np.array([[0.0, 1.0], [-math.sqrt(3) / 2, -0.5], [math.sqrt(3) / 2, -0.5]])
    first, second = sides[rhombus], sides[(rhombus + 1) % 3]
    return np.asarray(sites[cell] + along[:, :1] * first + along[:, 1:] * second)


def _draw_losses(
    draws: Draws, positions: NDArray[np.float64], sites: NDArray[np.float64], spec: NetworkSpec
) -> NDArray[np.float64]:
    """Path loss with shadowing between every user and every site, dB; (users, sites)."""
    shape = (len(positions), len(sites))
    sight, shadow = draws.uniform(shape), draws.normal(shape)
    indoors = draws.below(100, len(positions)) < spec.indoor_percent
    # How deep inside: the lesser of two uniform draws (TR 38.901, section 7.4.3.1).
    depth_m = np.min(draws.uniform((len(positions), 2)), axis=1) * spec.indoor_depth_m
    wall = spec.wall_loss_db + spec.wall_shadow_db * draws.normal(len(positions))
    inside = np.where(indoors, np.maximum(wall, 0.0) + spec.indoor_loss_db_m * depth_m, 0.0)
    loss = np.empty(shape)
    for u, position in enumerate(positions):
        for n, site in enumerate(sites):
            distance = math.hypot(*(position - site).tolist())
            visible = bool(sight[u, n] < line_of_sight_probability(distance, spec))
            sigma = spec.line_of_sight_shadow_db if visible else spec.shadow_db
            if indoors[u] and spec.indoor_shadow_db is not None:
                sigma = spec.indoor_shadow_db
            loss[u, n] = path_loss_db(distance, line_of_sight=visible, spec=spec) + inside[u]
            loss[u, n] += sigma * shadow[u, n]
    return loss


def _bands_mhz(
    loss_db: NDArray[np.float64], user_band_mhz: list[float], spec: NetworkSpec
) -> NDArray[np.float64]:
    """Band of each user at each site, MHz: her own, or her part of the site's; (users, sites)."""
    bands = np.repeat(np.array(user_band_mhz)[:, None], loss_db.shape[1], axis=1)
    if not spec.shared_band:
        return bands
    served = np.argmin(loss_db, axis=1)
    load = np.bincount(served, minlength=loss_db.shape[1])
    # Somebody whom another site serves would come on top of those who are here.
    here = np.arange(loss_db.shape[1]) == served[:, None]
    return np.asarray(np.minimum(bands, spec.bandwidth_mhz / (load + ~here)))


def _rates_mbps(
    loss_db: NDArray[np.float64],
    band_mhz: NDArray[np.float64],
    power_dbm: list[float],
    spec: NetworkSpec,
    *,
    uplink: bool,
) -> NDArray[np.float64]:
    """Rates over all links, 0 where out of reach, Mbit/s; (users, sites)."""
    rates = np.zeros(loss_db.shape)
    for u, losses in enumerate(loss_db.tolist()):
        best = min(losses)
        for n, loss in enumerate(losses):
            band = float(band_mhz[u, n])
            ratio = snr_db(
                loss, uplink=uplink, spec=spec, band_mhz=band, user_power_dbm=power_dbm[u]
            )
            if loss == best:
                ratio = max(ratio, spec.least_snr_db)
            if ratio >= spec.least_snr_db:
                rates[u, n] = rate_mbps(ratio, uplink=uplink, spec=spec, band_mhz=band)
    return round_significant(rates, LATENCY_DIGITS)
