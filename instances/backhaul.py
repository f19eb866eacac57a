"""Shapes of a wired backhaul: which sites have a link between them.

    neighbours        the cells that touch each other
    tree              aggregation: the gateway on top, each node with a few branches
    ring              metro ring, in random order
    grid              a rectangle as square as can be, each with the next to the right and below
    random-geometric  random points, linked up to the distance at which all are connected
    scale-free        each new site links to a few, in proportion to the links that they have
                      (Barabasi, Albert 1999); the gateway is the first

Edges are made of our own draws and whole numbers rather than by the generators of networkx, whose
use of a seed may change from one release to the next: the same bytes on every machine, for ever.
The tests hold the shapes against networkx.
"""

import math

from instances.draws import Draws
from instances.errors import InputError

_SIDE = 2**20
"""Side of the square of a random geometric graph; whole numbers, so that distances are exact."""

Pairs = list[tuple[int, int]]


def draw_pairs(
    kind: str, draws: Draws, *, sites: int, gateway: int, fan_out: int, attachments: int
) -> Pairs:
    """Draw the links of a backhaul other than ``neighbours``, which the cells decide.

    Parameters
    ----------
    kind
        One of :data:`instances.network_spec.BACKHAULS` after the first.
    draws
        Source of randomness.
    sites, gateway
        Number of sites, and the one from which the cloud is reached.
    fan_out, attachments
        Branches of a node of a tree; links of a new node of a scale-free graph.

    Returns
    -------
    list
        Pairs (a, b) with a < b, ascending; they connect all sites.

    Raises
    ------
    InputError
        When there is no such kind.
    """
    order = [gateway, *(n for n in draws.permutation(sites).tolist() if n != gateway)]
    if kind == "tree":
        places = [((place - 1) // fan_out, place) for place in range(1, sites)]
    elif kind == "ring":
        places = [
            (place, (place + 1) % sites) for place in range(sites if sites > 2 else sites - 1)
        ]
    elif kind == "grid":
        places = _grid(sites)
    elif kind == "random-geometric":
        places = _random_geometric(sites, draws)
    elif kind == "scale-free":
        places = _scale_free(sites, attachments, draws)
    else:
        raise InputError("backhaul", f"{kind!r} has no links to draw")
    links = ((order[a], order[b]) for a, b in places)
    return sorted((min(pair), max(pair)) for pair in links)


def _grid(sites: int) -> Pairs:
    width = math.isqrt(sites - 1) + 1
    right = [(n, n + 1) for n in range(sites - 1) if (n + 1) % width]
    return right + [(n, n + width) for n in range(sites - width)]


def _random_geometric(sites: int, draws: Draws) -> Pairs:
    """Link the points up to the least distance that connects them: the longest of Prim's tree."""
    points = [(int(x), int(y)) for x, y in draws.below(_SIDE, (sites, 2))]

    def gap(a: int, b: int) -> int:
        return (points[a][0] - points[b][0]) ** 2 + (points[a][1] - points[b][1]) ** 2

    nearest = {n: gap(0, n) for n in range(1, sites)}
    reach = 0
    while nearest:
        joined = min(nearest, key=lambda n: (nearest[n], n))
        reach = max(reach, nearest.pop(joined))
        for n in nearest:
            nearest[n] = min(nearest[n], gap(joined, n))
    return [(a, b) for a in range(sites) for b in range(a + 1, sites) if gap(a, b) <= reach]


def _scale_free(sites: int, attachments: int, draws: Draws) -> Pairs:
    first = min(attachments, sites - 1)
    pairs = [(0, n) for n in range(1, first + 1)]
    ends = [end for pair in pairs for end in pair]  # each node as often as it has links
    for new in range(first + 1, sites):
        chosen: set[int] = set()
        while len(chosen) < attachments:
            chosen.add(ends[draws.integer(len(ends))])
        for old in sorted(chosen):
            pairs.append((old, new))
            ends += [old, new]
    return pairs
