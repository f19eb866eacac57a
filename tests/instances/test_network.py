from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.architectures import ARCHITECTURES
from instances.draws import Draws
from instances.errors import InputError
from instances.network import (
    ExpertCall,
    Link,
    Network,
    draw_network,
    hexagonal_sites,
    neighbours,
)
from instances.network_spec import BACKHAULS, URBAN_MACRO, URBAN_MICRO

SPEC = URBAN_MICRO
CALL = ExpertCall(up_bytes=1000, down_bytes=500, flops=10**9)


def by_hand():
    """Two users, three sites in a row and a slow direct link past the middle one.

    Round trips of CALL: link 0-1 2 * 1 + 12000 bit / 10 Mbit/s = 3.2 ms, link 1-2 the same, link
    0-2 2 * 10 + 1.2 = 21.2 ms. Radio of user 0 at site 0: 2 * 0.5 + 8 + 1 = 10 ms; of user 1 at
    site 2: 1 + 0.8 + 0.4 = 2.2 ms, at site 1: 1 + 4 + 0.4 = 5.4 ms.
    """
    return Network(
        uplink_mbps=np.array([[1.0, 0, 0], [0, 2.0, 10.0]]),
        downlink_mbps=np.array([[4.0, 0, 0], [0, 10.0, 10.0]]),
        radio_delay_ms=np.array([0.5, 0.5]),
        links=(
            Link(sites=(0, 1), delay_ms=1.0, rate_mbps=10.0),
            Link(sites=(2, 1), delay_ms=1.0, rate_mbps=10.0),
            Link(sites=(0, 2), delay_ms=10.0, rate_mbps=10.0),
        ),
        server_tflops=np.array([1.0, 0.5, 0.1]),
        gateway=1,
        wan_delay_ms=7.0,
        cloud_tflops=2.0,
    )


def test_latencies_by_hand():
    # Computing takes 1, 2 and 10 ms, in the cloud 0.5 ms.
    expected = [[10 + 1, 13.2 + 2, 16.4 + 10], [5.4 + 3.2 + 1, 5.4 + 2, 2.2 + 10]]
    assert np.allclose(by_hand().latency_ms(CALL), expected, rtol=1e-6)
    expected = [13.2 + 14 + 0.5, 5.4 + 14 + 0.5]
    assert np.allclose(by_hand().cloud_latency_ms(CALL), expected, rtol=1e-6)


def test_parallel_links_count_as_the_faster_one():
    slow = Link(sites=(1, 0), delay_ms=5.0, rate_mbps=10.0)
    network = by_hand()
    for links in ((slow, *network.links), (*network.links, slow)):
        changed = replace(network, links=links)
        assert np.array_equal(changed.latency_ms(CALL), network.latency_ms(CALL))


def test_a_user_without_a_path_is_found():
    network = by_hand()
    assert network.unreachable() == []
    assert replace(network, links=network.links[:1]).unreachable() == [(0, 2)]


def test_call_of_an_architecture():
    mixtral = ARCHITECTURES.get("mixtral-8x7b")
    call = ExpertCall.of(mixtral, "fp8")
    assert call == ExpertCall(up_bytes=4096, down_bytes=4096, flops=352_321_536)
    call = ExpertCall.of(mixtral, "fp8", "bf16")
    assert call == ExpertCall(up_bytes=4096, down_bytes=8192, flops=352_321_536)
    assert ExpertCall.of(mixtral) == ExpertCall.of(mixtral, "bf16", "bf16")


@pytest.mark.parametrize("count", [1, 2, 3, 7, 8, 19, 30, 200])
def test_the_grid_is_connected_and_evenly_spaced(count):
    sites = hexagonal_sites(count, 200.0)
    assert sites.shape == (count, 2)
    gaps = np.linalg.norm(sites[:, None] - sites[None], axis=2)[~np.eye(count, dtype=bool)]
    assert gaps.size == 0 or gaps.min() > 199.9
    reached = {0}
    for _ in range(count):
        reached |= {x for pair in neighbours(sites, 200.0) if reached & {*pair} for x in pair}
    assert reached == set(range(count))
    if count == 7:  # a centre and its ring: 6 spokes and 6 sides
        assert len(neighbours(sites, 200.0)) == 12


def test_a_drawn_network_is_complete_and_repeatable():
    network = draw_network(Draws("n", 0), users=40, servers=5)
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"))
    latency, cloud = network.latency_ms(call), network.cloud_latency_ms(call)
    assert latency.shape == (40, 5)
    assert network.unreachable() == []
    assert np.all(np.isfinite(latency))
    assert np.all(latency > 2 * SPEC.radio_delay_ms)
    assert np.all(cloud > 2 * (SPEC.radio_delay_ms + SPEC.wan_delay_ms[0]))
    assert np.all((network.uplink_mbps > 0).any(axis=1))
    assert network.uplink_mbps.max() <= 40
    assert len(set(np.argmin(latency, axis=1).tolist())) > 1
    again = draw_network(Draws("n", 0), users=40, servers=5)
    assert np.array_equal(again.latency_ms(call), latency)
    other = draw_network(Draws("n", 1), users=40, servers=5)
    assert not np.array_equal(other.latency_ms(call), latency)


def test_some_servers_are_slower_than_the_cloud_but_most_are_not():
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"))
    slower = []
    for seed in range(20):
        network = draw_network(Draws("slow", seed), users=20, servers=6)
        slower.append(np.mean(network.latency_ms(call) > network.cloud_latency_ms(call)[:, None]))
    assert 0 < np.mean(slower) < 0.2


def test_hundreds_of_servers():
    network = draw_network(Draws("many"), users=3, servers=200)
    assert network.latency_ms(CALL).shape == (3, 200)


@pytest.mark.parametrize(("users", "servers", "field"), [(0, 1, "users"), (1, 0, "servers")])
def test_an_empty_network_is_refused(users, servers, field):
    with pytest.raises(InputError, match=f"{field}: 0 is not at least 1"):
        draw_network(Draws("n"), users=users, servers=servers)


def test_links_may_be_faster_in_one_direction():
    # From site 0 to 1 at 10 Mbit/s, back at 5. Up 8000 bit, down 4000 bit: for user 0 at site 0
    # 0.8 + 0.8 ms, for user 1 at site 1 1.6 + 0.4 ms, and 2 ms of delay.
    link = Link(sites=(0, 1), delay_ms=1.0, rate_mbps=10.0, back_rate_mbps=5.0)
    network = replace(by_hand(), links=(link, by_hand().links[1]))
    path = network.path_ms(CALL)
    assert path[0, 1] == pytest.approx(3.6)
    assert path[1, 0] == pytest.approx(4.0)
    assert path[0, 2] == pytest.approx(3.6 + 3.2)
    same = replace(link, back_rate_mbps=10.0)
    network = replace(by_hand(), links=(same, *by_hand().links[1:]))
    assert np.allclose(network.path_ms(CALL), by_hand().path_ms(CALL))


def test_the_line_to_the_cloud_has_a_rate_for_each_direction():
    # Up 8000 bit at 2 Mbit/s, down 4000 bit at 8 Mbit/s: 4 + 0.5 ms.
    network = replace(by_hand(), wan_uplink_mbps=2.0, wan_downlink_mbps=8.0)
    more = network.cloud_latency_ms(CALL) - by_hand().cloud_latency_ms(CALL)
    assert np.allclose(more, 4.5)
    assert np.array_equal(network.latency_ms(CALL), by_hand().latency_ms(CALL))


def test_switches_carry_traffic_and_hold_no_server():
    # Site 2 has no server and becomes a switch; user 1 stands there.
    network = replace(by_hand(), server_tflops=np.array([1.0, 0.5]), switches=1)
    assert np.allclose(network.latency_ms(CALL), by_hand().latency_ms(CALL)[:, :2])
    assert np.allclose(network.cloud_latency_ms(CALL), by_hand().cloud_latency_ms(CALL))
    assert network.unreachable() == []
    cut = replace(network, links=network.links[:1], downlink_mbps=network.downlink_mbps * [1, 0, 1])
    assert cut.unreachable() == [(1, 0), (1, 1)]
    assert cut.reached().tolist() == [[True, True, False], [False, False, True]]


@given(
    backhaul=st.sampled_from(BACKHAULS),
    servers=st.integers(1, 12),
    seed=st.integers(0, 20),
    up=st.integers(0, 20_000),
    down=st.integers(0, 20_000),
)
def test_shortest_paths_obey_the_triangle_inequality(backhaul, servers, seed, up, down):
    spec = replace(SPEC, backhaul=backhaul, hop_rates_gbps=(0.1, 1.0, 10.0))
    network = draw_network(Draws("t", seed), users=1, servers=servers, spec=spec)
    call = ExpertCall(up_bytes=up, down_bytes=down, flops=0)
    path = network.path_ms(call)
    assert np.all(np.diag(path) == 0)
    assert np.allclose(path, path.T, rtol=1e-12)
    around = path[:, :, None] + path[None, :, :]  # from a over b to c
    assert np.all(path[:, None, :] <= around * (1 + 1e-12))
    for link in network.links:
        a, b = link.sites
        assert path[a, b] <= link.trip_ms(call, forward=True) * (1 + 1e-12)
        assert link.rate_mbps in (100.0, 1000.0, 10_000.0)


@given(
    sites=st.integers(1, 6),
    ends=st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=10),
    numbers=st.lists(st.integers(1, 50), min_size=30, max_size=30),
)
def test_shortest_paths_with_a_rate_each_way_against_floyd_and_warshall(sites, ends, numbers):
    links = tuple(
        Link(
            sites=(a % sites, b % sites),
            delay_ms=numbers[3 * i] / 10,
            rate_mbps=float(numbers[3 * i + 1]),
            back_rate_mbps=None if numbers[3 * i + 2] == 50 else float(numbers[3 * i + 2]),
        )
        for i, (a, b) in enumerate(ends)
        if a % sites != b % sites
    )
    network = replace(
        by_hand(), links=links, server_tflops=np.ones(1), switches=sites - 1, gateway=None
    )
    expected = np.full((sites, sites), np.inf)
    np.fill_diagonal(expected, 0.0)
    for link in links:
        for forward in (True, False):
            a, b = link.sites if forward else link.sites[::-1]
            expected[a, b] = min(expected[a, b], link.trip_ms(CALL, forward=forward))
    for over in range(sites):
        around = expected[:, over, None] + expected[None, over, :]
        expected = np.minimum(expected, around)
    assert np.allclose(network.path_ms(CALL), expected, rtol=1e-12)


BETTER = {
    "site power": lambda spec: {"site_power_dbm": spec.site_power_dbm + 3},
    "user power": lambda spec: {"user_power_dbm": 26.0},
    "power of each user": lambda spec: {"user_powers_dbm": (24.0, 26.0)},
    "antenna": lambda spec: {"site_antenna_gain_dbi": spec.site_antenna_gain_dbi + 5},
    "interference": lambda spec: {"interference_margin_db": 0.0},
    "noise": lambda spec: {"site_noise_figure_db": 2.0, "user_noise_figure_db": 4.0},
    "Shannon gap": lambda spec: {"uplink_efficiency": 0.5, "uplink_most_bit_s_hz": 2.5},
    "NR": lambda spec: {"uplink_most_bit_s_hz": 2.93, "downlink_most_bit_s_hz": 5.98},
    "radio delay": lambda spec: {"radio_delay_ms": 0.5},
    "hop rate": lambda spec: {"hop_rate_gbps": 10.0},
    "hop delay": lambda spec: {"hop_delay_ms": (1.0, 5.0)},
    "compute": lambda spec: {"server_tflops": (0.1, 0.4, 0.6, 1.2, 2.0)},
}


@pytest.mark.parametrize("change", BETTER.values(), ids=BETTER.keys())
@pytest.mark.parametrize("cells", [URBAN_MICRO, URBAN_MACRO], ids=["umi", "uma"])
def test_more_power_rate_or_speed_never_takes_longer(cells, change):
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"))
    shorter = False
    for seed in range(6):
        base, network = (
            draw_network(Draws("m", seed), users=15, servers=5, spec=spec)
            for spec in (cells, replace(cells, **change(cells)))
        )
        assert np.all(network.latency_ms(call) <= base.latency_ms(call))
        assert np.all(network.cloud_latency_ms(call) <= base.cloud_latency_ms(call))
        shorter |= bool(np.any(network.latency_ms(call) < base.latency_ms(call)))
    assert shorter


def test_more_bandwidth_takes_less_time_where_everybody_is_within_reach():
    # More band lets in more noise too: a site at the edge may drop out of reach, so the floor is
    # lowered for this comparison.
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"))
    for seed in range(6):
        times = [
            draw_network(
                Draws("b", seed),
                users=15,
                servers=5,
                spec=replace(
                    SPEC,
                    least_snr_db=-60.0,
                    bandwidth_mhz=20.0 * more,
                    site_power_dbm=33.0 + 10 * np.log10(more),
                ),
            ).latency_ms(call)
            for more in (1, 2, 5)
        ]
        assert np.all(times[1] <= times[0])
        assert np.all(times[2] <= times[1])
        assert np.any(times[2] < times[0])


def test_a_band_that_all_users_share_takes_longer_and_longer():
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"))
    shared = replace(SPEC, shared_band=True)
    alone, crowd = (
        draw_network(Draws("s"), users=40, servers=4, spec=spec).latency_ms(call)
        for spec in (SPEC, shared)
    )
    assert np.all(crowd >= alone)
    assert np.mean(crowd) > np.mean(alone) + 0.5
    # The one user of a single cell has all of it.
    one, other = (
        draw_network(Draws("s"), users=1, servers=1, spec=spec) for spec in (SPEC, shared)
    )
    assert np.array_equal(one.latency_ms(call), other.latency_ms(call))


def test_users_get_bands_and_powers_of_their_own():
    spec = replace(
        SPEC,
        user_bandwidths_mhz=(5.0, 20.0),
        uplink_most_bit_s_hz=100.0,
        user_powers_dbm=(20.0, 26.0),
    )
    base = draw_network(
        Draws("u"), users=200, servers=1, spec=replace(SPEC, uplink_most_bit_s_hz=100.0)
    )
    network = draw_network(Draws("u"), users=200, servers=1, spec=spec)
    # 20 MHz: the rate changes by the power alone; at most 88 Mbit/s down, or 22 in 5 MHz.
    narrow = network.downlink_mbps[:, 0] < base.downlink_mbps[:, 0]
    assert 60 < narrow.sum() < 140
    assert np.allclose(network.downlink_mbps[narrow] * 4, base.downlink_mbps[narrow], rtol=1e-5)
    assert np.array_equal(network.downlink_mbps[~narrow], base.downlink_mbps[~narrow])
    stronger = network.uplink_mbps[~narrow, 0] > base.uplink_mbps[~narrow, 0]
    assert 20 < stronger.sum() < 100


def test_macro_cells_reach_further_and_hold_the_standard():
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"))
    network = draw_network(Draws("n", 0), users=40, servers=5, spec=URBAN_MACRO)
    assert network.unreachable() == []
    assert np.all(np.isfinite(network.latency_ms(call)))
    assert network.uplink_mbps.max() <= 40
    micro = draw_network(Draws("n", 0), users=40, servers=5)
    assert np.array_equal(micro.server_tflops, network.server_tflops)
    assert micro.links == network.links
    assert not np.array_equal(micro.uplink_mbps, network.uplink_mbps)


def test_indoor_users_may_have_shadowing_of_their_own():
    outdoors, indoors = (replace(SPEC, indoor_percent=percent) for percent in (0, 100))
    for base, same in ((outdoors, True), (indoors, False)):
        one = draw_network(Draws("i"), users=30, servers=3, spec=base)
        other = draw_network(
            Draws("i"), users=30, servers=3, spec=replace(base, indoor_shadow_db=12.0)
        )
        assert np.array_equal(one.uplink_mbps, other.uplink_mbps) == same


def test_the_line_to_the_cloud_of_drawn_networks_has_a_rate():
    call = ExpertCall(up_bytes=12_500, down_bytes=12_500, flops=0)
    base, slow = (
        draw_network(Draws("w"), users=3, servers=3, spec=replace(SPEC, wan_rate_gbps=rate))
        for rate in (np.inf, 0.1)
    )
    assert np.allclose(slow.cloud_latency_ms(call) - base.cloud_latency_ms(call), 2.0)
    assert np.array_equal(slow.latency_ms(call), base.latency_ms(call))
