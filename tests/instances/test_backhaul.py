import math
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.backhaul import draw_pairs
from instances.draws import Draws
from instances.errors import InputError
from instances.network import draw_network
from instances.network_spec import BACKHAULS, URBAN_MICRO

DRAWN = BACKHAULS[1:]
ANY = pytest.mark.parametrize("kind", DRAWN)


def pairs_of(kind, sites, *, seed=0, gateway=0, fan_out=3, attachments=2):
    return draw_pairs(
        kind,
        Draws("backhaul", seed),
        sites=sites,
        gateway=gateway,
        fan_out=fan_out,
        attachments=attachments,
    )


def graph_of(kind, sites, **arguments):
    graph = nx.Graph()
    graph.add_nodes_from(range(sites))
    graph.add_edges_from(pairs_of(kind, sites, **arguments))
    return graph


@given(
    kind=st.sampled_from(DRAWN),
    sites=st.integers(1, 40),
    seed=st.integers(0, 5),
    spice=st.integers(0, 10**6),
)
def test_every_backhaul_connects_all_sites_by_simple_links(kind, sites, seed, spice):
    arguments = {
        "seed": seed,
        "gateway": spice % sites,
        "fan_out": 1 + spice % 4,
        "attachments": 1 + spice % 3,
    }
    pairs = pairs_of(kind, sites, **arguments)
    assert pairs == sorted(set(pairs))
    assert all(0 <= a < b < sites for a, b in pairs)
    assert sites == 1 or nx.is_connected(graph_of(kind, sites, **arguments))
    assert pairs == pairs_of(kind, sites, **arguments)


@ANY
def test_other_draws_give_another_backhaul(kind):
    assert len({tuple(pairs_of(kind, 12, seed=seed)) for seed in range(5)}) > 1


@pytest.mark.parametrize("sites", [1, 2, 3, 4, 7, 13, 40])
def test_shapes_are_those_of_networkx(sites):
    tree = nx.full_rary_tree(3, sites)
    assert nx.is_isomorphic(graph_of("tree", sites, fan_out=3), tree)
    ring = nx.path_graph(sites) if sites < 3 else nx.cycle_graph(sites)
    assert nx.is_isomorphic(graph_of("ring", sites), ring)
    width = math.isqrt(sites - 1) + 1
    grid = nx.grid_2d_graph(-(-sites // width), width)
    grid.remove_nodes_from(sorted(grid)[sites:])
    assert nx.is_isomorphic(graph_of("grid", sites), grid)


def test_the_gateway_is_the_root_of_the_tree():
    for gateway in (0, 4, 12):
        graph = graph_of("tree", 13, gateway=gateway, fan_out=3)
        depths = nx.single_source_shortest_path_length(graph, gateway)
        assert sorted(depths.values()) == [0] + [1] * 3 + [2] * 9


def test_a_random_geometric_graph_is_at_the_threshold_of_connection():
    # Without the longest link it falls apart.
    pairs = pairs_of("random-geometric", 30, seed=3)
    draws = Draws("backhaul", 3)
    order = [0, *(n for n in draws.permutation(30).tolist() if n != 0)]
    points = draws.below(2**20, (30, 2))
    position = {site: points[place] for place, site in enumerate(order)}
    lengths = {(a, b): int(np.sum((position[a] - position[b]) ** 2)) for a, b in pairs}
    longest = max(lengths.values())
    graph = nx.Graph(list(pairs))
    assert nx.is_connected(graph)
    graph.remove_edges_from([pair for pair in pairs if lengths[pair] == longest])
    assert not nx.is_connected(graph)
    # All pairs up to that length are there: as networkx has it, up to the scale.
    radius = math.sqrt(longest) * (1 + 1e-12)
    places = {site: tuple(map(float, point)) for site, point in position.items()}
    expected = nx.random_geometric_graph(30, radius, pos=places)
    assert {tuple(sorted(edge)) for edge in expected.edges} == set(pairs)


@pytest.mark.parametrize("attachments", [1, 2, 3])
def test_a_scale_free_graph_grows_by_the_same_number_of_links(attachments):
    for sites in (2, 5, 60):
        expected = nx.barabasi_albert_graph(sites, min(attachments, sites - 1), seed=1)
        pairs = pairs_of("scale-free", sites, attachments=attachments)
        assert len(pairs) == expected.number_of_edges()


def test_a_scale_free_graph_has_hubs_and_the_gateway_is_often_one():
    largest, at_gateway, regular = [], [], []
    for seed in range(30):
        graph = graph_of("scale-free", 100, seed=seed, gateway=7)
        degrees = dict(graph.degree)
        largest.append(max(degrees.values()))
        at_gateway.append(degrees[7])
        geometric = graph_of("random-geometric", 100, seed=seed)
        regular.append(max(dict(geometric.degree).values()))
    # With preferential attachment the largest degree grows like the root of the sites: here
    # about 2 * sqrt(100); without preference it would grow like their logarithm.
    assert 15 < np.mean(largest) < 35
    assert np.mean(at_gateway) > 3 * 2 * 197 / 100 / 2
    expected = [
        max(dict(nx.barabasi_albert_graph(100, 2, seed=s).degree).values()) for s in range(30)
    ]
    assert np.mean(largest) == pytest.approx(np.mean(expected), rel=0.25)


def test_an_unknown_kind_is_refused():
    with pytest.raises(InputError, match=r"^backhaul: 'neighbours' has no links to draw$"):
        pairs_of("neighbours", 4)


@pytest.mark.parametrize("kind", BACKHAULS)
def test_networks_differ_in_their_backhaul_alone(kind):
    base = draw_network(Draws("n", 1), users=20, servers=9)
    spec = replace(URBAN_MICRO, backhaul=kind)
    network = draw_network(Draws("n", 1), users=20, servers=9, spec=spec)
    assert network.unreachable() == []
    for name in ("uplink_mbps", "downlink_mbps", "server_tflops", "radio_delay_ms"):
        assert np.array_equal(getattr(network, name), getattr(base, name))
    for name in ("gateway", "wan_delay_ms", "cloud_tflops"):
        assert getattr(network, name) == getattr(base, name)
    assert (network.links == base.links) == (kind == "neighbours")
    for link in network.links:
        assert 2 <= link.delay_ms <= 10
        assert link.delay_ms == float(f"{link.delay_ms:.5e}")


# Links of seed 0 with 6 sites and gateway 2.
PINNED = {
    "tree": [(0, 2), (1, 2), (2, 5), (3, 5), (4, 5)],
    "ring": [(0, 1), (0, 5), (1, 3), (2, 4), (2, 5), (3, 4)],
    "grid": [(0, 4), (0, 5), (1, 2), (1, 3), (2, 5), (3, 4), (3, 5)],
    "random-geometric": [(0, 1), (0, 4), (2, 4), (2, 5), (3, 4)],
    "scale-free": [(0, 1), (0, 2), (0, 4), (1, 2), (1, 3), (2, 4), (2, 5), (3, 5)],
}


@ANY
def test_the_same_links_on_every_machine_for_ever(kind):
    assert pairs_of(kind, 6, gateway=2) == PINNED[kind]
