"""The radio between a user and a site: line of sight, path loss, signal to noise, rate.

    rate = band * min(efficiency * log2(1 + SNR), most)
    SNR  = power + antenna - loss - (noise density + 10 lg band + noise figure) - interference

Path loss and line of sight are those of 3GPP TR 38.901, tables 7.4.1-1 and 7.4.2-1, for urban
micro cells in street canyons and for urban macro cells.
"""

import math
from dataclasses import dataclass

from instances.network_spec import NetworkSpec

_LIGHT_M_S = 299_792_458
_ENVIRONMENT_M = 1.0
"""Height of what surrounds the user (note 1 of table 7.4.1-1), for users up to 13 m high."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Formula:
    """Constants of TR 38.901: ``base + slope * lg d`` and so on, dB, metres, GHz."""

    sight_base: float
    sight_slope: float
    beyond_slope: float
    around_slope: float
    around_base: float
    around_carrier: float
    around_height: float
    sight_decay_m: float


_FORMULAS = {
    "umi": _Formula(
        sight_base=32.4,
        sight_slope=21,
        beyond_slope=9.5,
        around_slope=35.3,
        around_base=22.4,
        around_carrier=21.3,
        around_height=0.3,
        sight_decay_m=36,
    ),
    "uma": _Formula(
        sight_base=28.0,
        sight_slope=22,
        beyond_slope=9.0,
        around_slope=39.08,
        around_base=13.54,
        around_carrier=20,
        around_height=0.6,
        sight_decay_m=63,
    ),
}


def path_loss_db(distance_m: float, *, line_of_sight: bool, spec: NetworkSpec) -> float:
    """Path loss, from the distance on the ground, dB."""
    formula = _FORMULAS[spec.cells]
    ground = max(distance_m, spec.least_distance_m)
    rise = spec.site_height_m - spec.user_height_m
    distance = math.hypot(ground, rise)
    carrier = 20 * math.log10(spec.carrier_ghz)
    heights = (spec.site_height_m - _ENVIRONMENT_M) * (spec.user_height_m - _ENVIRONMENT_M)
    breakpoint_m = 4 * heights * spec.carrier_ghz * 1e9 / _LIGHT_M_S
    if ground <= breakpoint_m:
        direct = formula.sight_base + formula.sight_slope * math.log10(distance) + carrier
    else:
        beyond = formula.beyond_slope * math.log10(breakpoint_m**2 + rise**2)
        direct = formula.sight_base + 40 * math.log10(distance) + carrier - beyond
    if line_of_sight:
        return direct
    around = formula.around_slope * math.log10(distance) + formula.around_base
    around += formula.around_carrier * math.log10(spec.carrier_ghz)
    return max(direct, around - formula.around_height * (spec.user_height_m - 1.5))


def line_of_sight_probability(distance_m: float, spec: NetworkSpec) -> float:
    """Probability of line of sight, from the distance on the ground; users up to 13 m high."""
    if distance_m <= 18:
        return 1.0
    decay = math.exp(-distance_m / _FORMULAS[spec.cells].sight_decay_m)
    return 18 / distance_m + decay * (1 - 18 / distance_m)


def snr_db(
    loss_db: float,
    *,
    uplink: bool,
    spec: NetworkSpec,
    band_mhz: float | None = None,
    user_power_dbm: float | None = None,
) -> float:
    """Signal over noise and interference at the receiver of a link with the given loss, dB.

    Parameters
    ----------
    loss_db
        Path loss, shadowing, walls.
    uplink
        From the user to the site rather than back.
    spec
        Powers, noise, antenna.
    band_mhz, user_power_dbm
        What this user gets; None for what ``spec`` says of all. In a part of the band a site
        sends with that part of its power, a user with all of hers.
    """
    band = spec.bandwidth_mhz if band_mhz is None else band_mhz
    if uplink:
        power = spec.user_power_dbm if user_power_dbm is None else user_power_dbm
        figure = spec.site_noise_figure_db
    else:
        power = spec.site_power_dbm + 10 * math.log10(band / spec.bandwidth_mhz)
        figure = spec.user_noise_figure_db
    noise = spec.noise_density_dbm_hz + 10 * math.log10(band * 1e6) + figure
    gain = power + spec.site_antenna_gain_dbi
    return gain - loss_db - noise - spec.interference_margin_db


def rate_mbps(
    ratio_db: float, *, uplink: bool, spec: NetworkSpec, band_mhz: float | None = None
) -> float:
    """Rate at a signal-to-noise ratio, Mbit/s: attenuated and truncated Shannon bound."""
    band = spec.bandwidth_mhz if band_mhz is None else band_mhz
    efficiency = spec.uplink_efficiency if uplink else spec.downlink_efficiency
    most = spec.uplink_most_bit_s_hz if uplink else spec.downlink_most_bit_s_hz
    return band * min(efficiency * math.log2(1 + 10 ** (ratio_db / 10)), most)
