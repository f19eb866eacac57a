"""What random networks are drawn from: cells, radio, backhaul, wide area, servers."""

import math
from dataclasses import dataclass

from instances.errors import InputError

CELLS = ("umi", "uma")
"""Urban cells of 3GPP TR 38.901: micro (street canyon, below the roofs) and macro (above them)."""

BACKHAULS = ("neighbours", "tree", "ring", "grid", "random-geometric", "scale-free")
"""Shapes of the backhaul; :mod:`instances.backhaul` says what each of them is."""

_POSITIVE = (
    *("site_distance_m", "site_height_m", "user_height_m", "least_distance_m", "carrier_ghz"),
    *("bandwidth_mhz", "uplink_efficiency", "uplink_most_bit_s_hz", "downlink_efficiency"),
    *("downlink_most_bit_s_hz", "hop_rate_gbps", "cloud_tflops", "device_tflops"),
)
_NOT_NEGATIVE = (
    *("site_noise_figure_db", "user_noise_figure_db", "interference_margin_db", "wall_loss_db"),
    *("line_of_sight_shadow_db", "shadow_db", "wall_shadow_db", "indoor_loss_db_m"),
    *("indoor_depth_m", "radio_delay_ms"),
)
_FINITE = ("site_power_dbm", "user_power_dbm", "noise_density_dbm_hz", "least_snr_db")
_RATES = ("hop_rates_gbps", "user_bandwidths_mhz", "server_tflops")
_LOWEST_USER_M, _HIGHEST_USER_M = 1.5, 13.0
"""Between them TR 38.901's environment is 1 m high; above it would have to be drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """What random networks are drawn from. Pairs are (least, most) of a uniform draw.

    Sites stand on a hexagonal grid, one edge server each; users stand anywhere in the cells and
    go over whichever site within reach is fastest. The defaults are urban micro cells;
    :data:`URBAN_MACRO` has the macro ones. From standards:

    - cells, path loss, line of sight: 3GPP TR 38.901, tables 7.2-1 (200 m between micro sites of
      10 m, 500 m between macro sites of 25 m, 10 and 35 m to the nearest user, 80 % of the users
      indoors, at 1.5 m), 7.4.1-1 and 7.4.2-1;
    - shadowing: the same, table 7.5-6: 4 dB with line of sight, 7.82 (micro) and 6 dB (macro)
      without, 7 dB indoors;
    - walls: the same, section 7.4.3.1, low-loss model: 5 - 10 lg(0.3 10^(-(2 + 0.2 f)/10) +
      0.7 10^(-(5 + 4 f)/10)) is 12.7 dB at f = 3.5 GHz, deviation 4.4 dB, 0.5 dB for each metre
      inside, as deep as the lesser of two uniform draws up to 25 m;
    - powers and noise: ITU-R M.2412, section 8.4: 33 dBm in 20 MHz for a micro site, 49 dBm for a
      macro site 500 m from the next, users 23 dBm, -174 dBm/Hz, noise figures of 5 and 7 dB,
      8 dBi for an antenna element of a site;
    - Shannon gap: 3GPP TR 36.942, annex A: 0.6 down and 0.4 up of the Shannon bound, from -10 dB,
      at most 4.4 and 2.0 bit/s/Hz (LTE, one antenna). For NR the shape and factors are the same
      and the ends are 30 and 22 dB (TR 38.803): 5.98 and 2.93 bit/s/Hz;
    - radio delay: ITU-R M.2410, section 4.7.1: 1 ms one way is its requirement for low-latency
      traffic (URLLC); for broadband (eMBB) it asks for 4 ms;
    - hops: 3GPP TR 36.932, table 6.1-1, non-ideal backhaul, one way: fibre access 3 has 2 to 5 ms
      and fibre access 2 has 5 to 10 ms, with up to 10 and 1 Gbit/s.

    Assumptions of ours:

    - the carrier of 3.5 GHz (band n78) and the 3 dB for the interference of other cells;
    - the micro site's antenna gain of 0 dB, and indoors the shadowing of outdoors (the standard
      has 8 dBi and 7 dB). These two date from the first release, and the instances that published
      best known values belong to depend on them: ``site_antenna_gain_dbi=8.0`` and
      ``indoor_shadow_db=7.0`` follow the standard;
    - every wall is a low-loss one (M.2412: 20 % are not); all users are at 1.5 m (TR 38.901 puts
      those indoors on all floors); whether there is line of sight to an indoor user is drawn from
      the whole distance, not from its part outdoors;
    - 1 Gbit/s for every hop, three branches a node, two links a new site;
    - the wide area: round trips of 20 to 50 ms to a cloud region, and no limit to the rate.
      Probes of RIPE Atlas in European countries with a region of their own measure less than
      20 ms in 80 % of the tests, the others more (Internet Society Pulse, cloud-edge study);
    - compute: decoding one token reads every weight once, so at 16 bits a parameter it does one
      operation a byte and the memory's bandwidth by data sheet, in TB/s, is the effective rate:
      0.05 (CPU, two channels of DDR4-3200), 0.2 (Jetson AGX Orin), 0.3 (L4), 0.6 (A10),
      1.0 (RTX 4090), 3.35 (H100 SXM, the cloud), 0.06 (phone, LPDDR5).
      The families keep these rates for narrower weights too, which would be read faster;
    - storage for 20 to 26 % of all experts: enough to matter, too little for everything.

    Parameters
    ----------
    cells
        One of :data:`CELLS`.
    site_distance_m, site_height_m, user_height_m, least_distance_m
        Geometry, metres. Users are between 1.5 and 13 m high.
    carrier_ghz, bandwidth_mhz
        Carrier, and the band that a site has for one transfer.
    site_power_dbm, user_power_dbm
        Transmit powers: a site's over all its band, a user's over the band that she gets.
    site_antenna_gain_dbi
        Gain of a site's antenna, in both directions.
    noise_density_dbm_hz, site_noise_figure_db, user_noise_figure_db, interference_margin_db
        Thermal noise, receivers, and what other cells add to it.
    line_of_sight_shadow_db, shadow_db, indoor_shadow_db
        Standard deviations of lognormal shadowing with and without line of sight, and for users
        indoors; None for the outdoor ones indoors too.
    indoor_percent, wall_loss_db, wall_shadow_db, indoor_loss_db_m, indoor_depth_m
        Users indoors, their mean wall loss and its standard deviation, further loss for each
        metre inside, and how deep inside they are at most.
    user_bandwidths_mhz, user_powers_dbm
        What to draw each user's band and power from, instead of the ones above: 5, 10 or 20 MHz;
        20, 23 or 26 dBm (power classes of TS 38.101-1).
    shared_band
        Whether all users of a site transfer at the same time, each in her part of its band,
        rather than one at a time.
    uplink_efficiency, uplink_most_bit_s_hz, downlink_efficiency, downlink_most_bit_s_hz
        Rate = efficiency * log2(1 + SNR), at most ``most``, bit/s/Hz.
    least_snr_db
        Weaker sites are out of reach. The best site never counts as weaker than this: networks
        are planned for coverage.
    radio_delay_ms
        Scheduling and processing on the air interface, one way.
    backhaul
        Shape of the backhaul, one of :data:`BACKHAULS`.
    tree_fan_out, attachments
        Branches of a node of a tree; links of a new node of a scale-free graph.
    hop_delay_ms, hop_rate_gbps, hop_rates_gbps
        Each backhaul link: its delay, one way; its rate, or rates to draw it from.
    wan_delay_ms, wan_rate_gbps
        Gateway to cloud: delay one way, and rate.
    server_tflops, cloud_tflops, device_tflops
        Effective rates; each server gets one of the first.
    storage_permille
        Storage of a server, as part of the bytes of all experts of all models.

    Raises
    ------
    InputError
        When a value makes no sense, by its name.
    """

    cells: str = "umi"
    site_distance_m: float = 200.0
    site_height_m: float = 10.0
    user_height_m: float = 1.5
    least_distance_m: float = 10.0
    carrier_ghz: float = 3.5
    bandwidth_mhz: float = 20.0
    site_power_dbm: float = 33.0
    user_power_dbm: float = 23.0
    site_antenna_gain_dbi: float = 0.0
    noise_density_dbm_hz: float = -174.0
    site_noise_figure_db: float = 5.0
    user_noise_figure_db: float = 7.0
    interference_margin_db: float = 3.0
    line_of_sight_shadow_db: float = 4.0
    shadow_db: float = 7.82
    indoor_shadow_db: float | None = None
    indoor_percent: int = 80
    wall_loss_db: float = 12.7
    wall_shadow_db: float = 4.4
    indoor_loss_db_m: float = 0.5
    indoor_depth_m: float = 25.0
    user_bandwidths_mhz: tuple[float, ...] = ()
    user_powers_dbm: tuple[float, ...] = ()
    shared_band: bool = False
    uplink_efficiency: float = 0.4
    uplink_most_bit_s_hz: float = 2.0
    downlink_efficiency: float = 0.6
    downlink_most_bit_s_hz: float = 4.4
    least_snr_db: float = -10.0
    radio_delay_ms: float = 1.0
    backhaul: str = "neighbours"
    tree_fan_out: int = 3
    attachments: int = 2
    hop_delay_ms: tuple[float, float] = (2.0, 10.0)
    hop_rate_gbps: float = 1.0
    hop_rates_gbps: tuple[float, ...] = ()
    wan_delay_ms: tuple[float, float] = (10.0, 25.0)
    wan_rate_gbps: float = math.inf
    server_tflops: tuple[float, ...] = (0.05, 0.2, 0.3, 0.6, 1.0)
    cloud_tflops: float = 3.35
    device_tflops: float = 0.06
    storage_permille: tuple[int, int] = (200, 260)

    def __post_init__(self) -> None:
        for name, known in (("cells", CELLS), ("backhaul", BACKHAULS)):
            if getattr(self, name) not in known:
                raise InputError(name, f"{getattr(self, name)!r} is not one of {', '.join(known)}")
        for name in _POSITIVE:
            _require(name, getattr(self, name), 0.0 < getattr(self, name) < math.inf, "positive")
        for name in _NOT_NEGATIVE:
            _require(name, getattr(self, name), 0.0 <= getattr(self, name) < math.inf, ">= 0")
        for name in (*_FINITE, "site_antenna_gain_dbi"):
            _require(name, getattr(self, name), math.isfinite(getattr(self, name)), "finite")
        for name in _RATES:
            for index, rate in enumerate(getattr(self, name)):
                _require(f"{name}[{index}]", rate, 0.0 < rate < math.inf, "positive")
        for index, power in enumerate(self.user_powers_dbm):
            _require(f"user_powers_dbm[{index}]", power, math.isfinite(power), "finite")
        for name in ("hop_delay_ms", "wan_delay_ms", "storage_permille"):
            least, most = getattr(self, name)
            if not 0 <= least <= most < math.inf:
                raise InputError(name, f"({least}, {most}) is not 0 <= least <= most")
        _require("wan_rate_gbps", self.wan_rate_gbps, self.wan_rate_gbps > 0, "positive")
        if self.indoor_shadow_db is not None:
            _require(
                "indoor_shadow_db",
                self.indoor_shadow_db,
                0.0 <= self.indoor_shadow_db < math.inf,
                ">= 0",
            )
        if not self.server_tflops:
            raise InputError("server_tflops", "is empty; at least one rate is needed")
        if not 0 <= self.indoor_percent <= 100:
            raise InputError("indoor_percent", f"{self.indoor_percent} is not in 0..100")
        for name in ("tree_fan_out", "attachments"):
            if getattr(self, name) < 1:
                raise InputError(name, f"{getattr(self, name)} is not at least 1")
        if not _LOWEST_USER_M <= self.user_height_m <= min(_HIGHEST_USER_M, self.site_height_m):
            raise InputError(
                "user_height_m",
                f"{self.user_height_m} is not in {_LOWEST_USER_M}..{_HIGHEST_USER_M} "
                "and at most site_height_m",
            )


def _require(name: str, value: float, holds: bool, what: str) -> None:
    if not holds:  # also when the value is not a number
        raise InputError(name, f"{value!r} is not {what}")


URBAN_MICRO = NetworkSpec()
"""Street canyon, as the families have it."""

URBAN_MACRO = NetworkSpec(
    cells="uma",
    site_distance_m=500.0,
    site_height_m=25.0,
    least_distance_m=35.0,
    site_power_dbm=49.0,
    site_antenna_gain_dbi=8.0,
    shadow_db=6.0,
    indoor_shadow_db=7.0,
)
"""Sites above the roofs, 500 m apart, all of it as the standards have it."""
