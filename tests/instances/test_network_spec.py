import math
from dataclasses import replace

import pytest

from instances.errors import InputError
from instances.network_spec import URBAN_MACRO, URBAN_MICRO, NetworkSpec


def test_the_micro_cells_are_the_defaults():
    assert NetworkSpec() == URBAN_MICRO
    assert URBAN_MICRO.cells == "umi"
    assert URBAN_MACRO.cells == "uma"


def test_the_wall_is_the_low_loss_model_at_the_carrier():
    # TR 38.901, table 7.4.3-2: 30 % standard multi-pane glass, 70 % concrete.
    glass, concrete = 2 + 0.2 * URBAN_MICRO.carrier_ghz, 5 + 4 * URBAN_MICRO.carrier_ghz
    loss = 5 - 10 * math.log10(0.3 * 10 ** (-glass / 10) + 0.7 * 10 ** (-concrete / 10))
    assert pytest.approx(loss, abs=0.05) == URBAN_MICRO.wall_loss_db


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cells": "rma"}, "^cells: 'rma' is not one of umi, uma$"),
        ({"backhaul": "star"}, "^backhaul: 'star' is not one of neighbours, tree, ring"),
        ({"site_distance_m": 0.0}, "^site_distance_m: 0.0 is not positive$"),
        ({"bandwidth_mhz": math.inf}, "^bandwidth_mhz: inf is not positive$"),
        ({"carrier_ghz": math.nan}, "^carrier_ghz: nan is not positive$"),
        ({"shadow_db": -1.0}, "^shadow_db: -1.0 is not >= 0$"),
        ({"indoor_shadow_db": -1.0}, "^indoor_shadow_db: -1.0 is not >= 0$"),
        ({"site_power_dbm": math.nan}, "^site_power_dbm: nan is not finite$"),
        ({"user_bandwidths_mhz": (5.0, 0.0)}, r"^user_bandwidths_mhz\[1\]: 0.0 is not positive$"),
        ({"user_powers_dbm": (math.inf,)}, r"^user_powers_dbm\[0\]: inf is not finite$"),
        ({"hop_rates_gbps": (-1.0,)}, r"^hop_rates_gbps\[0\]: -1.0 is not positive$"),
        ({"server_tflops": ()}, "^server_tflops: is empty; at least one rate is needed$"),
        ({"server_tflops": (1.0, 0.0)}, r"^server_tflops\[1\]: 0.0 is not positive$"),
        ({"hop_delay_ms": (3.0, 2.0)}, r"^hop_delay_ms: \(3.0, 2.0\) is not 0 <= least <= most$"),
        ({"wan_delay_ms": (-1.0, 2.0)}, r"^wan_delay_ms: \(-1.0, 2.0\) is not"),
        ({"storage_permille": (0, math.inf)}, r"^storage_permille: \(0, inf\) is not"),
        ({"wan_rate_gbps": 0.0}, "^wan_rate_gbps: 0.0 is not positive$"),
        ({"indoor_percent": 101}, "^indoor_percent: 101 is not in 0..100$"),
        ({"tree_fan_out": 0}, "^tree_fan_out: 0 is not at least 1$"),
        ({"attachments": 0}, "^attachments: 0 is not at least 1$"),
        ({"user_height_m": 20.0}, "^user_height_m: 20.0 is not in 1.5..13.0"),
        ({"user_height_m": 1.0}, "^user_height_m: 1.0 is not in 1.5..13.0"),
        ({"user_height_m": 11.0}, "^user_height_m: 11.0 is not .* at most site_height_m$"),
    ],
)
def test_nonsense_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        replace(URBAN_MICRO, **change)
