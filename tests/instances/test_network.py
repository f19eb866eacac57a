import math
from dataclasses import replace

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.draws import Draws
from instances.errors import InputError
from instances.network import (
    ExpertCall,
    Link,
    Network,
    NetworkSpec,
    draw_network,
    hexagonal_sites,
    line_of_sight_probability,
    neighbours,
    path_loss_db,
    rate_mbps,
    snr_db,
)

SPEC = NetworkSpec()
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
    call = ExpertCall.of(ARCHITECTURES.get("mixtral-8x7b"), "fp8")
    assert call == ExpertCall(up_bytes=4096, down_bytes=4096, flops=352_321_536)


def test_path_loss_at_hand_computed_points():
    # 100 m on the ground, 8.5 m up: 100.36 m; carrier 3.5 GHz; breakpoint 4 * 9 * 0.5 * fc / c.
    distance = math.hypot(100, 8.5)
    direct = 32.4 + 21 * math.log10(distance) + 20 * math.log10(3.5)
    around = 35.3 * math.log10(distance) + 22.4 + 21.3 * math.log10(3.5)
    assert path_loss_db(100, line_of_sight=True, spec=SPEC) == pytest.approx(direct)
    assert path_loss_db(100, line_of_sight=False, spec=SPEC) == pytest.approx(around)
    assert path_loss_db(1, line_of_sight=True, spec=SPEC) == path_loss_db(
        10, line_of_sight=True, spec=SPEC
    )


def test_path_loss_is_nearly_continuous_at_the_breakpoint_and_grows():
    breakpoint_m = 4 * 9 * 0.5 * 3.5e9 / 299_792_458
    before, after = (
        path_loss_db(breakpoint_m + step, line_of_sight=True, spec=SPEC) for step in (-1e-6, 1e-6)
    )
    assert abs(before - after) < 0.01
    for sight in (True, False):
        losses = [path_loss_db(d, line_of_sight=sight, spec=SPEC) for d in range(10, 2000, 10)]
        assert losses == sorted(losses)


def test_line_of_sight_gets_rarer():
    chances = [line_of_sight_probability(d) for d in (0, 18, 19, 50, 100, 500)]
    assert chances[:2] == [1, 1]
    assert chances == sorted(chances, reverse=True)
    assert chances[3] == pytest.approx(18 / 50 + math.exp(-50 / 36) * (1 - 18 / 50))


def test_rates_are_attenuated_and_truncated():
    assert rate_mbps(10, uplink=True, spec=SPEC) == pytest.approx(20 * 0.4 * math.log2(11))
    assert rate_mbps(10, uplink=False, spec=SPEC) == pytest.approx(20 * 0.6 * math.log2(11))
    assert rate_mbps(60, uplink=True, spec=SPEC) == 40
    assert rate_mbps(60, uplink=False, spec=SPEC) == 88
    # 23 dBm - 100 dB - (-174 + 73.0103 + 5) dBm - 3 dB
    assert snr_db(100, uplink=True, spec=SPEC) == pytest.approx(15.9897, abs=1e-4)
    assert snr_db(100, uplink=False, spec=SPEC) == pytest.approx(23.9897, abs=1e-4)


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
