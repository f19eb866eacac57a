import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.network_spec import URBAN_MACRO, URBAN_MICRO
from instances.radio import line_of_sight_probability, path_loss_db, rate_mbps, snr_db

SPEC = URBAN_MICRO
BOTH = pytest.mark.parametrize("spec", [URBAN_MICRO, URBAN_MACRO], ids=["umi", "uma"])

# Path loss at 5 GHz, dB, of users 1.5 m high: the figures that the tests of ns-3 hold its own
# implementation of TR 38.901 against (three-gpp-propagation-loss-model-test-suite.cc).
REFERENCE = [
    ("umi", True, {10: 69.8591, 100: 88.4122, 1000: 119.3114, 5000: 147.2696}),
    ("umi", False, {10: 76.7563, 100: 107.9432, 1000: 143.1886, 5000: 167.8617}),
    ("uma", True, {10: 72.9380, 100: 86.2362, 1000: 109.7252, 5000: 137.6794}),
    ("uma", False, {10: 82.5131, 100: 106.1356, 1000: 144.7641, 5000: 172.0753}),
]


@pytest.mark.parametrize(("cells", "sight", "losses"), REFERENCE)
def test_path_loss_is_that_of_another_implementation(cells, sight, losses):
    spec = URBAN_MACRO if cells == "uma" else URBAN_MICRO
    spec = replace(spec, carrier_ghz=5.0, least_distance_m=10.0)
    for distance, loss in losses.items():
        # Beyond the breakpoint the reference takes 3e8 m/s for the speed of light: 0.006 dB.
        assert path_loss_db(distance, line_of_sight=sight, spec=spec) == pytest.approx(
            loss, abs=0.006
        )


def test_path_loss_at_hand_computed_points():
    # 100 m on the ground, 8.5 m up: 100.36 m; carrier 3.5 GHz.
    distance = math.hypot(100, 8.5)
    direct = 32.4 + 21 * math.log10(distance) + 20 * math.log10(3.5)
    around = 35.3 * math.log10(distance) + 22.4 + 21.3 * math.log10(3.5)
    assert path_loss_db(100, line_of_sight=True, spec=SPEC) == pytest.approx(direct)
    assert path_loss_db(100, line_of_sight=False, spec=SPEC) == pytest.approx(around)
    # 100 m on the ground, 23.5 m up.
    distance = math.hypot(100, 23.5)
    direct = 28 + 22 * math.log10(distance) + 20 * math.log10(3.5)
    around = 13.54 + 39.08 * math.log10(distance) + 20 * math.log10(3.5)
    assert path_loss_db(100, line_of_sight=True, spec=URBAN_MACRO) == pytest.approx(direct)
    assert path_loss_db(100, line_of_sight=False, spec=URBAN_MACRO) == pytest.approx(around)


def test_higher_users_have_less_loss_around_corners():
    for spec, metre_db in ((URBAN_MICRO, 0.3), (URBAN_MACRO, 0.6)):
        low, high = (replace(spec, user_height_m=height) for height in (1.5, 9.5))
        rise = spec.site_height_m - 9.5
        closer = math.log10(math.hypot(300, spec.site_height_m - 1.5) / math.hypot(300, rise))
        slope = 35.3 if spec is URBAN_MICRO else 39.08
        difference = path_loss_db(300, line_of_sight=False, spec=low) - path_loss_db(
            300, line_of_sight=False, spec=high
        )
        assert difference == pytest.approx(8 * metre_db + slope * closer)


@BOTH
def test_nobody_is_closer_than_the_least_distance(spec):
    losses = [path_loss_db(d, line_of_sight=True, spec=spec) for d in (0, 1, spec.least_distance_m)]
    assert losses[0] == losses[1] == losses[2]


@BOTH
def test_path_loss_is_nearly_continuous_at_the_breakpoint_and_grows(spec):
    breakpoint_m = 4 * (spec.site_height_m - 1) * 0.5 * 3.5e9 / 299_792_458
    before, after = (
        path_loss_db(breakpoint_m + step, line_of_sight=True, spec=spec) for step in (-1e-6, 1e-6)
    )
    assert abs(before - after) < 0.01
    for sight in (True, False):
        losses = [path_loss_db(d, line_of_sight=sight, spec=spec) for d in range(10, 5000, 10)]
        assert losses == sorted(losses)


def test_line_of_sight_gets_rarer():
    for spec, decay_m in ((URBAN_MICRO, 36), (URBAN_MACRO, 63)):
        chances = [line_of_sight_probability(d, spec) for d in (0, 18, 19, 50, 100, 500)]
        assert chances[:2] == [1, 1]
        assert chances == sorted(chances, reverse=True)
        assert chances[3] == pytest.approx(18 / 50 + math.exp(-50 / decay_m) * (1 - 18 / 50))


def test_rates_are_attenuated_and_truncated():
    assert rate_mbps(10, uplink=True, spec=SPEC) == pytest.approx(20 * 0.4 * math.log2(11))
    assert rate_mbps(10, uplink=False, spec=SPEC) == pytest.approx(20 * 0.6 * math.log2(11))
    assert rate_mbps(60, uplink=True, spec=SPEC) == 40
    assert rate_mbps(60, uplink=False, spec=SPEC) == 88
    # TR 36.942 reaches its ends at 15 and 22 dB.
    assert rate_mbps(15, uplink=True, spec=SPEC) == pytest.approx(40, rel=0.01)
    assert rate_mbps(22, uplink=False, spec=SPEC) == pytest.approx(88, rel=0.01)


def test_signal_to_noise_by_hand():
    # 23 dBm - 100 dB - (-174 + 73.0103 + 5) dBm - 3 dB
    assert snr_db(100, uplink=True, spec=SPEC) == pytest.approx(15.9897, abs=1e-4)
    assert snr_db(100, uplink=False, spec=SPEC) == pytest.approx(23.9897, abs=1e-4)
    # The macro site: 49 dBm and 8 dBi both ways.
    assert snr_db(100, uplink=True, spec=URBAN_MACRO) == pytest.approx(23.9897, abs=1e-4)
    assert snr_db(100, uplink=False, spec=URBAN_MACRO) == pytest.approx(47.9897, abs=1e-4)


def test_part_of_the_band_has_less_noise_and_the_part_of_the_sites_power():
    for uplink, gain_db in ((True, 10 * math.log10(4)), (False, 0.0)):
        whole = snr_db(100, uplink=uplink, spec=SPEC)
        part = snr_db(100, uplink=uplink, spec=SPEC, band_mhz=5.0)
        assert part - whole == pytest.approx(gain_db)
    assert snr_db(100, uplink=True, spec=SPEC, user_power_dbm=26.0) == pytest.approx(
        snr_db(100, uplink=True, spec=SPEC) + 3
    )
    assert snr_db(100, uplink=False, spec=SPEC, user_power_dbm=26.0) == snr_db(
        100, uplink=False, spec=SPEC
    )


@given(
    loss=st.floats(60, 140),
    less=st.floats(0.5, 30),
    uplink=st.booleans(),
    band=st.floats(1, 100),
    wider=st.floats(1, 10),
)
def test_rate_grows_with_band_and_power_and_falls_with_loss(loss, less, uplink, band, wider):
    def rate(loss_db, spec, band_mhz):
        ratio = snr_db(loss_db, uplink=uplink, spec=spec, band_mhz=band_mhz)
        return rate_mbps(ratio, uplink=uplink, spec=spec, band_mhz=band_mhz)

    here = rate(loss, SPEC, band)
    assert here > 0
    assert rate(loss, SPEC, band * wider) >= here * (1 - 1e-12)
    assert rate(loss - less, SPEC, band) >= here
    strong = replace(SPEC, site_power_dbm=33.0 + less, user_power_dbm=23.0 + less)
    assert rate(loss, strong, band) == pytest.approx(rate(loss - less, SPEC, band))
