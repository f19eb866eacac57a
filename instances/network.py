"""The network: who reaches which server, and how long one expert takes over there.

    t[u, n] = min over sites a of (radio(u, a) + path(a, n)) + flops / rate(n)
    t[u, cloud] = the same to the gateway + wide-area round trip + flops / cloud rate

Each term counts both directions: the hidden state up, the expert's output down. The same
:class:`Network` is drawn at random (:func:`draw_network`) or read from a file
(:mod:`instances.network_file`).
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.architectures import Architecture
from instances.draws import Draws
from instances.errors import InputError
from instances.rounding import round_significant

LATENCY_DIGITS = 6
"""Significant digits of a latency: nanoseconds in a millisecond."""

_BITS_PER_MS_AND_MBPS = 1e3
_FLOPS_PER_MS_AND_TFLOPS = 1e9


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """What random networks are drawn from. Pairs are (least, most) of a uniform draw.

    Sites stand on a hexagonal grid, one edge server each; users stand anywhere in the cells and
    go over whichever site within reach is fastest. Sources of the defaults:

    - cells and path loss: 3GPP TR 38.901, UMi street canyon (tables 7.2-1, 7.4.1-1, 7.4.2-1);
    - indoor users: the same, 80 % of the users and the low-loss model of section 7.4.3, which at
      3.5 GHz gives 12.7 dB for the wall;
    - powers, noise and noise figures: ITU-R M.2412, dense urban micro (33 dBm in 20 MHz);
    - Shannon gap: attenuated and truncated Shannon bound of 3GPP TR 36.942, annex A;
    - radio delay: ITU-R M.2410, section 4.7.1, low-latency user plane, 1 ms each way;
    - hops: 3GPP TR 36.932, table 6.1-1, non-ideal fibre backhaul of 2 to 10 ms each way;
    - wide area: round trips of 20 to 50 ms to a cloud region, the usual range;
    - rates: decoding one token reads every weight once, so at 16 bits a parameter it does one
      operation a byte and the memory's bandwidth is the effective rate: 0.05 (CPU, DDR4), 0.2
      (Jetson AGX Orin), 0.3 (L4), 0.6 (A10), 1.0 (RTX 4090), 3.35 (H100, the cloud), 0.06 (phone).

    Parameters
    ----------
    site_distance_m, site_height_m, user_height_m, least_distance_m
        Geometry, metres.
    carrier_ghz, bandwidth_mhz
        Carrier, and the band that one transfer gets.
    site_power_dbm, user_power_dbm
        Transmit powers.
    noise_density_dbm_hz, site_noise_figure_db, user_noise_figure_db, interference_margin_db
        Thermal noise, receivers, and what other cells add to it.
    line_of_sight_shadow_db, shadow_db
        Standard deviations of lognormal shadowing with and without line of sight.
    indoor_percent, wall_loss_db, wall_shadow_db, indoor_loss_db_m, indoor_depth_m
        Users indoors, their mean wall loss and its standard deviation, further loss for each
        metre inside, and how deep inside they are at most.
    uplink_efficiency, uplink_most_bit_s_hz, downlink_efficiency, downlink_most_bit_s_hz
        Rate = efficiency * log2(1 + SNR), at most ``most``, bit/s/Hz.
    least_snr_db
        Weaker sites are out of reach. The best site never counts as weaker than this: networks
        are planned for coverage.
    radio_delay_ms
        Scheduling and processing on the air interface, one way.
    hop_delay_ms, hop_rate_gbps
        Each backhaul link, one way.
    wan_delay_ms
        Gateway to cloud, one way.
    server_tflops, cloud_tflops, device_tflops
        Effective rates; each server gets one of the first.
    storage_permille
        Storage of a server, as part of the bytes of all experts of all models.
    """

    site_distance_m: float = 200.0
    site_height_m: float = 10.0
    user_height_m: float = 1.5
    least_distance_m: float = 10.0
    carrier_ghz: float = 3.5
    bandwidth_mhz: float = 20.0
    site_power_dbm: float = 33.0
    user_power_dbm: float = 23.0
    noise_density_dbm_hz: float = -174.0
    site_noise_figure_db: float = 5.0
    user_noise_figure_db: float = 7.0
    interference_margin_db: float = 3.0
    line_of_sight_shadow_db: float = 4.0
    shadow_db: float = 7.82
    indoor_percent: int = 80
    wall_loss_db: float = 12.7
    wall_shadow_db: float = 4.4
    indoor_loss_db_m: float = 0.5
    indoor_depth_m: float = 25.0
    uplink_efficiency: float = 0.4
    uplink_most_bit_s_hz: float = 2.0
    downlink_efficiency: float = 0.6
    downlink_most_bit_s_hz: float = 4.4
    least_snr_db: float = -10.0
    radio_delay_ms: float = 1.0
    hop_delay_ms: tuple[float, float] = (2.0, 10.0)
    hop_rate_gbps: float = 1.0
    wan_delay_ms: tuple[float, float] = (10.0, 25.0)
    server_tflops: tuple[float, ...] = (0.05, 0.2, 0.3, 0.6, 1.0)
    cloud_tflops: float = 3.35
    device_tflops: float = 0.06
    storage_permille: tuple[int, int] = (200, 260)


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
    def of(cls, architecture: Architecture, precision: str = "bf16") -> "ExpertCall":
        """Return the call of a model whose hidden states travel at the given precision."""
        size = architecture.hidden_state_bytes(precision)
        return cls(up_bytes=size, down_bytes=size, flops=architecture.expert_flops)


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """A backhaul link between two sites, with its one-way delay (ms) and its rate (Mbit/s)."""

    sites: tuple[int, int]
    delay_ms: float
    rate_mbps: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """A network of N sites with one server each, U users and a cloud behind the gateway.

    Parameters
    ----------
    uplink_mbps, downlink_mbps
        Rates between each user and each site, 0 where out of reach; float64 (U, N).
    radio_delay_ms
        Delay of each user's radio, one way; float64 (U,).
    links
        Backhaul.
    server_tflops
        Effective rate of each server, 10^12 operations a second; float64 (N,).
    gateway
        Site from which the cloud is reached.
    wan_delay_ms, cloud_tflops
        One-way delay from the gateway to the cloud, and the rate there.
    """

    uplink_mbps: NDArray[np.float64]
    downlink_mbps: NDArray[np.float64]
    radio_delay_ms: NDArray[np.float64]
    links: tuple[Link, ...]
    server_tflops: NDArray[np.float64]
    gateway: int
    wan_delay_ms: float
    cloud_tflops: float

    def latency_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Time of one call for each user at each server, ms, to 6 digits; float64 (U, N)."""
        times = self._reach_ms(call) + (call.flops / _FLOPS_PER_MS_AND_TFLOPS / self.server_tflops)
        return round_significant(times, LATENCY_DIGITS)

    def cloud_latency_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Time of one call for each user in the cloud, ms, to 6 digits; float64 (U,)."""
        times = (
            self._reach_ms(call)[:, self.gateway]
            + 2 * self.wan_delay_ms
            + call.flops / _FLOPS_PER_MS_AND_TFLOPS / self.cloud_tflops
        )
        return round_significant(times, LATENCY_DIGITS)

    def _reach_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Radio and backhaul, there and back, from each user to each site, ms; float64 (U, N)."""
        path = self._path_ms(call)
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

    def unreachable(self) -> list[tuple[int, int]]:
        """Pairs (user, site) with no path between them; an instance needs there to be none."""
        nothing = ExpertCall(up_bytes=0, down_bytes=0, flops=0)
        return [(int(u), int(n)) for u, n in np.argwhere(np.isinf(self._reach_ms(nothing)))]

    def _path_ms(self, call: ExpertCall) -> NDArray[np.float64]:
        """Shortest round trip between any two sites, ms, inf where none; float64 (N, N)."""
        import networkx as nx  # here, because it takes as long to import as the rest together

        bits = 8 * (call.up_bytes + call.down_bytes)
        graph = nx.Graph()
        graph.add_nodes_from(range(self.server_tflops.size))
        for link in self.links:
            trip = 2 * link.delay_ms + bits / _BITS_PER_MS_AND_MBPS / link.rate_mbps
            a, b = link.sites
            if not graph.has_edge(a, b) or trip < graph[a][b]["weight"]:
                graph.add_edge(a, b, weight=trip)
        times = np.full((self.server_tflops.size,) * 2, np.inf)
        for site, reached in nx.all_pairs_dijkstra_path_length(graph):
            for other, trip in reached.items():
                times[site, other] = trip
        return times


def draw_network(
    draws: Draws, *, users: int, servers: int, spec: NetworkSpec | None = None
) -> Network:
    """Draw a network at random.

    Parameters
    ----------
    draws
        Source of randomness.
    users, servers
        How many of each.
    spec
        What to draw from; None for the defaults.

    Raises
    ------
    InputError
        When there is no user or no server.
    """
    for name, count in (("users", users), ("servers", servers)):
        if count < 1:
            raise InputError(name, f"{count} is not at least 1")
    spec = spec or NetworkSpec()
    sites = hexagonal_sites(servers, spec.site_distance_m)
    loss = _draw_losses(draws, _draw_users(draws, users, sites, spec.site_distance_m), sites, spec)
    links = [
        Link(sites=pair, delay_ms=float(delay), rate_mbps=1e3 * spec.hop_rate_gbps)
        for pair in neighbours(sites, spec.site_distance_m)
        for delay in round_significant(draws.between(*spec.hop_delay_ms, 1), LATENCY_DIGITS)
    ]
    rates = np.array(spec.server_tflops)[draws.below(len(spec.server_tflops), servers)]
    return Network(
        uplink_mbps=_rates_mbps(loss, spec, uplink=True),
        downlink_mbps=_rates_mbps(loss, spec, uplink=False),
        radio_delay_ms=np.full(users, spec.radio_delay_ms),
        links=tuple(links),
        server_tflops=rates,
        gateway=draws.integer(servers),
        wan_delay_ms=float(round_significant(draws.between(*spec.wan_delay_ms, 1), 3)[0]),
        cloud_tflops=spec.cloud_tflops,
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


def path_loss_db(distance_m: float, *, line_of_sight: bool, spec: NetworkSpec) -> float:
    """Path loss of TR 38.901, UMi street canyon, from the distance on the ground, dB."""
    ground = max(distance_m, spec.least_distance_m)
    rise = spec.site_height_m - spec.user_height_m
    distance = math.hypot(ground, rise)
    carrier = 20 * math.log10(spec.carrier_ghz)
    # Effective heights are 1 m less than the real ones (note 1 of table 7.4.1-1).
    heights = (spec.site_height_m - 1) * (spec.user_height_m - 1)
    breakpoint_m = 4 * heights * spec.carrier_ghz * 1e9 / 299_792_458
    if ground <= breakpoint_m:
        direct = 32.4 + 21 * math.log10(distance) + carrier
    else:
        beyond = 9.5 * math.log10(breakpoint_m**2 + rise**2)
        direct = 32.4 + 40 * math.log10(distance) + carrier - beyond
    if line_of_sight:
        return direct
    around = 35.3 * math.log10(distance) + 22.4 + 21.3 * math.log10(spec.carrier_ghz)
    return max(direct, around - 0.3 * (spec.user_height_m - 1.5))


def line_of_sight_probability(distance_m: float) -> float:
    """Probability of line of sight of TR 38.901, UMi street canyon."""
    if distance_m <= 18:
        return 1.0
    return 18 / distance_m + math.exp(-distance_m / 36) * (1 - 18 / distance_m)


def snr_db(loss_db: float, *, uplink: bool, spec: NetworkSpec) -> float:
    """Signal over noise and interference at the receiver of a link with the given loss, dB."""
    power = spec.user_power_dbm if uplink else spec.site_power_dbm
    figure = spec.site_noise_figure_db if uplink else spec.user_noise_figure_db
    noise = spec.noise_density_dbm_hz + 10 * math.log10(spec.bandwidth_mhz * 1e6) + figure
    return power - loss_db - noise - spec.interference_margin_db


def rate_mbps(ratio_db: float, *, uplink: bool, spec: NetworkSpec) -> float:
    """Rate at a signal-to-noise ratio, Mbit/s: attenuated and truncated Shannon bound."""
    efficiency = spec.uplink_efficiency if uplink else spec.downlink_efficiency
    most = spec.uplink_most_bit_s_hz if uplink else spec.downlink_most_bit_s_hz
    return spec.bandwidth_mhz * min(efficiency * math.log2(1 + 10 ** (ratio_db / 10)), most)


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
            visible = bool(sight[u, n] < line_of_sight_probability(distance))
            sigma = spec.line_of_sight_shadow_db if visible else spec.shadow_db
            loss[u, n] = path_loss_db(distance, line_of_sight=visible, spec=spec) + inside[u]
            loss[u, n] += sigma * shadow[u, n]
    return loss


def _rates_mbps(
    loss_db: NDArray[np.float64], spec: NetworkSpec, *, uplink: bool
) -> NDArray[np.float64]:
    """Rates over all links, 0 where out of reach, Mbit/s; (users, sites)."""
    rates = np.zeros(loss_db.shape)
    for u, losses in enumerate(loss_db.tolist()):
        best = min(losses)
        for n, loss in enumerate(losses):
            ratio = snr_db(loss, uplink=uplink, spec=spec)
            if loss == best:
                ratio = max(ratio, spec.least_snr_db)
            if ratio >= spec.least_snr_db:
                rates[u, n] = rate_mbps(ratio, uplink=uplink, spec=spec)
    return round_significant(rates, LATENCY_DIGITS)
