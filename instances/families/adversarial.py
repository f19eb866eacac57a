"""Adversarial families: instances on which a method comes as close to its bound as it can.

Each has one placement planted that is proved to be optimal (docs/theory.md, section "Near-tight
families"), a method that it hurts, and a ratio that this method is driven towards as the sizes
grow. The seed draws the rates inside the margins that the proofs leave, and shuffles servers,
users, layers and experts: no trap depends on how ties are broken.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from instances.draws import Draws
from instances.families.sketch import CLOUD_MS, EDGE_MS, Planted, Sketch
from instances.families.spec import FAMILIES, Family, Request
from instances.problem import Instance

UNIT_BYTES = 1_000_000
SAVED_MS = CLOUD_MS - EDGE_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class Trap:
    """An adversarial family and what it does.

    Parameters
    ----------
    family
        Registry name.
    summary
        One line for lists.
    hurts
        The methods that it was made for.
    drives_to
        What their F / OPT tends to as the sizes grow.
    why
        How the trap works.
    shapes
        Parameters of each size.
    plant
        Makes an instance with its optimum.
    """

    family: str
    summary: str
    hurts: tuple[str, ...]
    drives_to: str
    why: str
    shapes: Mapping[str, Mapping[str, float]]
    plant: Callable[..., Planted]

    def planted(self, size: str, seed: int) -> Planted:
        """Make an instance of the family together with a placement that is optimal for it.

        Raises
        ------
        InputError
            When the size or the seed is not valid.
        """
        instance = FAMILIES.get(self.family).generate(size, seed)
        return self._make(instance.name, size, seed)

    def build(self, request: Request) -> Instance:
        """Make an instance of the family."""
        return self._make(request.name, request.size, request.seed).instance

    def _make(self, name: str, size: str, seed: int) -> Planted:
        return self.plant(name, Draws(self.family, size, seed), **self.shapes[size])


def plant_hubs(
    name: str,
    draws: Draws,
    *,
    hubs: int,
    spokes: int,
    layers: int,
    wanted: int,
    margin: float,
    hub_is_faster: bool,
) -> Planted:
    """Plant ``coverage-tight`` and ``order-trap``: a hub that others could stand in for.

    A hub has as many slots as its spokes together. The users at a spoke reach spoke and hub, and
    want what the spoke just holds; one user reaches the hub alone, and wants as much again. The
    hub should leave the first to the spokes. It is a ``margin`` faster or slower than a spoke.

    Parameters
    ----------
    hubs, spokes, layers
        Hubs, spokes of each hub, layers.
    wanted
        Experts of each layer that the users at one spoke want.
    margin
        Relative difference between what hub and spoke save.
    hub_is_faster
        Whether the hub saves more (a trap for greedy) or less (for methods that fill it first).
    """
    near = spokes * wanted
    sketch = Sketch(np.full((layers, 2 * near), UNIT_BYTES), top_k=1)
    best_ms = EDGE_MS - margin * SAVED_MS
    hub_ms, spoke_ms = (best_ms, EDGE_MS) if hub_is_faster else (EDGE_MS, best_ms)
    for _ in range(hubs):
        hub = sketch.add_server(near * layers * UNIT_BYTES)
        remote = sketch.add_user({hub: EDGE_MS})
        for spoke_idx in range(spokes):
            spoke = sketch.add_server(wanted * layers * UNIT_BYTES)
            user = sketch.add_user({hub: hub_ms, spoke: spoke_ms})
            own = range(spoke_idx * wanted, (spoke_idx + 1) * wanted)
            for layer in range(layers):
                sketch.store(spoke, layer, own)
                rates = 1 + margin / 4 * draws.uniform(wanted)
                for expert, rate in zip(own, rates.tolist(), strict=True):
                    sketch.add_row(user, layer, [expert], rate)
        for layer in range(layers):
            others = range(near, 2 * near)
            sketch.store(hub, layer, others)
            rates = 1 - margin * (1 + draws.uniform(near)) / 4
            for expert, rate in zip(others, rates.tolist(), strict=True):
                sketch.add_row(remote, layer, [expert], rate)
    return sketch.finish(name, draws)


def plant_small_baits(
    name: str, draws: Draws, *, servers: int, layers: int, experts: int, baits: int, ratio: int
) -> Planted:
    """Plant ``density-trap``: small experts that are worth a little more per byte.

    Half of the experts are small, the others ``ratio`` times as large. A server holds one large
    expert and nothing beside it. Its user wants one large expert, a few others of that size less,
    and ``baits`` small experts that save 5 % more per byte.
    """
    half = experts // 2
    sizes = np.full((layers, experts), UNIT_BYTES)
    sizes[:, half:] *= ratio
    sketch = Sketch(sizes, top_k=1)
    for server_idx in range(servers):
        server = sketch.add_server(ratio * UNIT_BYTES)
        user = sketch.add_user({server: EDGE_MS})
        large = draws.permutation(layers * half)[: min(layers * half, 4)]
        small = draws.permutation(layers * half)[:baits]
        for rank, (layer, expert) in enumerate(_layer_and_expert(large, half)):
            rate = ratio * (1.0 if rank == 0 else 0.5 + 0.25 * float(draws.uniform(1)[0]))
            sketch.add_row(user, layer, [half + expert], rate)
            if rank == 0:
                sketch.store(server_idx, layer, [half + expert])
        for layer, expert in _layer_and_expert(small, half):
            sketch.add_row(user, layer, [expert], 1.05 + 0.01 * float(draws.uniform(1)[0]))
    return sketch.finish(name, draws)


def plant_lone_hubs(
    name: str,
    draws: Draws,
    *,
    servers: int,
    layers: int,
    top_k: int,
    groups: int,
    blocks: int,
) -> Planted:
    """Plant ``coactivation-trap``: the experts that are wanted most gain nothing by themselves.

    In each layer the user of a server wants ``groups`` disjoint groups of ``top_k`` experts, for
    which the server has just enough room, and as many lone hubs as these groups have experts. Every
    hub is wanted together with each of ``blocks`` blocks of ``top_k - 1`` other experts, a little
    at a time: more than any expert of a group, and worth nothing unless a block is stored too.
    """
    slots = groups * top_k
    experts = 2 * slots + blocks * (top_k - 1)
    sketch = Sketch(np.full((layers, experts), UNIT_BYTES), top_k=top_k)
    for _ in range(servers):
        server = sketch.add_server(slots * layers * UNIT_BYTES)
        user = sketch.add_user({server: EDGE_MS})
        for layer in range(layers):
            members, hubs, leaves = np.split(draws.permutation(experts), [slots, 2 * slots])
            sketch.store(server, layer, members.tolist())
            for group in members.reshape(groups, top_k).tolist():
                sketch.add_row(user, layer, group, 1.0 + 0.01 * float(draws.uniform(1)[0]))
            for hub in hubs.tolist():
                share = (1.02 + 0.01 * float(draws.uniform(1)[0])) / blocks
                for block in leaves.reshape(blocks, top_k - 1).tolist():
                    sketch.add_row(user, layer, [hub, *block], share)
    return sketch.finish(name, draws)


def plant_split_groups(
    name: str,
    draws: Draws,
    *,
    sites: int,
    servers: int,
    slots: int,
    layers: int,
    top_k: int,
    sets: int,
) -> Planted:
    """Plant ``cross-server-trap``: what is wanted together fits on no single server.

    A site has some ``servers`` of ``slots`` experts each, all equally fast for its user, and
    ``slots`` is less than ``top_k``. In each layer the user wants ``sets`` disjoint sets of
    ``top_k`` experts. The sets that all slots of the site can just hold are wanted three times as
    much as any other.
    """
    sketch = Sketch(np.full((layers, sets * top_k), UNIT_BYTES), top_k=top_k)
    held = servers * slots // top_k
    for _ in range(sites):
        site = [sketch.add_server(slots * UNIT_BYTES) for _ in range(servers)]
        user = sketch.add_user(dict.fromkeys(site, EDGE_MS))
        room = [server for server in site for _ in range(slots)]
        order = draws.permutation(layers * sets)
        for rank, (layer, index) in enumerate(_layer_and_expert(order, sets)):
            experts = range(index * top_k, (index + 1) * top_k)
            rate = 1.0 if rank < held else 0.3
            sketch.add_row(user, layer, experts, rate * (1 + 0.1 * float(draws.uniform(1)[0])))
            if rank < held:
                for expert in experts:
                    sketch.store(room.pop(), layer, [expert])
    return sketch.finish(name, draws)


def plant_whole_layers(name: str, draws: Draws, *, layers: int, experts: int) -> Planted:
    """Plant ``hull-trap``: nearly a whole layer of room, and nothing that the hull could put there.

    One server has room for all experts but one. In all layers but one the experts are worth
    something only all together. In the last one, one expert is worth a little more than its share
    by itself, the others only together: on the hull it comes first, and then they do not fit.
    """
    sketch = Sketch(np.full((layers, experts), UNIT_BYTES), top_k=experts)
    server = sketch.add_server((layers * experts - 1) * UNIT_BYTES)
    user = sketch.add_user({server: EDGE_MS})
    for layer in range(layers - 1):
        sketch.add_row(user, layer, range(experts), experts * (1.02 + 0.01 * draws.uniform(1)[0]))
        sketch.store(server, layer, range(experts))
    last = layers - 1
    sketch.add_row(user, last, [0], 1.01)
    sketch.add_row(user, last, range(1, experts), float(experts - 1))
    sketch.store(server, last, range(1, experts))
    return sketch.finish(name, draws)


def _layer_and_expert(flat: np.ndarray, experts: int) -> list[tuple[int, int]]:
    return [divmod(int(index), experts) for index in flat]


TRAPS: Mapping[str, Trap] = {
    trap.family: trap
    for trap in (
        Trap(
            family="coverage-tight",
            summary="K = 1: hubs that greedy fills with what their neighbours could hold",
            hurts=("greedy", "greedy-enumeration"),
            drives_to="1/2",
            why="a hub is a little faster than the servers beside it, so greedy stores there what "
            "they could hold as well; they are left with nothing to gain",
            shapes={
                "tiny": {"hubs": 1, "spokes": 2, "layers": 2, "wanted": 1, "margin": 0.1},
                "small": {"hubs": 2, "spokes": 2, "layers": 3, "wanted": 2, "margin": 0.01},
                "medium": {"hubs": 4, "spokes": 3, "layers": 6, "wanted": 4, "margin": 0.004},
                "large": {"hubs": 8, "spokes": 4, "layers": 12, "wanted": 8, "margin": 0.001},
            },
            plant=partial(plant_hubs, hub_is_faster=True),
        ),
        Trap(
            family="density-trap",
            summary="K = 1: small experts, worth 5 % more per byte, that keep a large one out",
            hurts=("greedy", "greedy-enumeration"),
            drives_to="0; 3 / R with enumerated starts, R the servers",
            why="gain per byte takes the small experts first, then the large one, which is worth "
            "nearly as much per byte as all the storage, does not fit any more; three "
            "enumerated starts save at most three servers from it",
            shapes={
                "tiny": {"servers": 2, "layers": 1, "experts": 6, "baits": 1, "ratio": 25},
                "small": {"servers": 3, "layers": 3, "experts": 8, "baits": 1, "ratio": 100},
                "medium": {"servers": 6, "layers": 6, "experts": 16, "baits": 1, "ratio": 400},
                "large": {"servers": 12, "layers": 12, "experts": 64, "baits": 2, "ratio": 2000},
            },
            plant=plant_small_baits,
        ),
        Trap(
            family="coactivation-trap",
            summary="K >= 3: the experts that are wanted most gain nothing without many others",
            hurts=("greedy", "popularity", "local-popularity", "successive-modular"),
            drives_to="0",
            why="no single expert gains anything, so greedy takes those that are wanted most: hubs "
            "that never meet the experts they are used with; storage is full before anything is "
            "gained",
            shapes={
                "tiny": {"servers": 1, "layers": 1, "top_k": 3, "groups": 1, "blocks": 4},
                "small": {"servers": 3, "layers": 3, "top_k": 3, "groups": 1, "blocks": 6},
                "medium": {"servers": 4, "layers": 6, "top_k": 4, "groups": 2, "blocks": 16},
                "large": {"servers": 8, "layers": 12, "top_k": 8, "groups": 1, "blocks": 16},
            },
            plant=plant_lone_hubs,
        ),
        Trap(
            family="cross-server-trap",
            summary="K >= 2: what is wanted together fits on no single server",
            hurts=("successive-dp", "successive-hull-pass"),
            drives_to="0",
            why="a server by itself gains nothing, whatever it stores, so one server after the "
            "other stores nothing",
            shapes={
                "tiny": {"sites": 1, "servers": 2, "slots": 1, "layers": 1, "top_k": 2, "sets": 2},
                "small": {"sites": 3, "servers": 2, "slots": 1, "layers": 3, "top_k": 2, "sets": 4},
                "medium": {
                    "sites": 4,
                    "servers": 4,
                    "slots": 2,
                    "layers": 6,
                    "top_k": 4,
                    "sets": 4,
                },
                "large": {
                    "sites": 8,
                    "servers": 4,
                    "slots": 6,
                    "layers": 12,
                    "top_k": 8,
                    "sets": 8,
                },
            },
            plant=plant_split_groups,
        ),
        Trap(
            family="order-trap",
            summary="K = 1: hubs that must be filled last, but look most valuable",
            hurts=("successive-dp", "successive-hull-pass", "successive-modular"),
            drives_to="1/2",
            why="most of the demand reaches a hub, so it is filled first, with what the servers "
            "beside it could serve a little faster; in the opposite order everything is stored "
            "where it belongs",
            shapes={
                "tiny": {"hubs": 1, "spokes": 2, "layers": 2, "wanted": 1, "margin": 0.1},
                "small": {"hubs": 2, "spokes": 2, "layers": 3, "wanted": 2, "margin": 0.01},
                "medium": {"hubs": 4, "spokes": 3, "layers": 6, "wanted": 4, "margin": 0.004},
                "large": {"hubs": 8, "spokes": 4, "layers": 12, "wanted": 8, "margin": 0.001},
            },
            plant=partial(plant_hubs, hub_is_faster=False),
        ),
        Trap(
            family="hull-trap",
            summary="one server, K = E: room for nearly one more layer that the hull cannot use",
            hurts=("successive-hull-pass",),
            drives_to="1 - B / Q",
            why="the first point of the last layer's hull is one expert, the next one is the whole "
            "layer, which does not fit by one expert; the set that would fit lies between",
            shapes={
                "tiny": {"layers": 2, "experts": 6},
                "small": {"layers": 3, "experts": 16},
                "medium": {"layers": 4, "experts": 64},
                "large": {"layers": 2, "experts": 256},
            },
            plant=plant_whole_layers,
        ),
    )
}
"""Every adversarial family by name."""


def near_tight_families(algorithm: str) -> tuple[str, ...]:
    """Return the adversarial families that were made for a method."""
    return tuple(trap.family for trap in TRAPS.values() if algorithm in trap.hurts)


for _trap in TRAPS.values():
    FAMILIES.register(
        Family(
            name=_trap.family,
            summary=_trap.summary,
            source='docs/theory.md, "Near-tight families"',
            sizes=tuple(_trap.shapes),
            build=_trap.build,
        )
    )
