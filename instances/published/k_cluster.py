"""k-cluster problems, in the format of the Cedric library (Lambert).

    5 3 4                           vertices, k, edges
    1 2 0.5                         an edge; 0.5 is its entry in a symmetric matrix
    1 3 0.5
    2 3 0.5
    4 5 0.5

The objective is x' W x, so every edge counts twice its entry: 0.5 makes it 1.
Source: https://cedric.cnam.fr/~lamberta/Library/k-cluster.html.
"""

import numpy as np

from instances.errors import InputError
from instances.published.lines import Lines
from instances.published.subgraph import DensestSubgraph

ENTRIES = 2
"""Entries of an edge in a symmetric matrix."""


def parse_k_cluster(text: str, name: str) -> DensestSubgraph:
    """Read a file's text; ``name`` is the name of the graph, which the file does not say.

    Raises
    ------
    InputError
        Names the line and the value that is wrong.
    """
    lines = Lines(text)
    head = lines.take("the numbers of vertices, k and edges")
    vertices, size, num_edges = head.integers("the line of vertices, k and edges", 3).tolist()
    if not 0 <= size <= vertices or vertices < 1:
        raise InputError(head.place, f"k = {size} is not in 0..{vertices}, the vertices")
    edges = np.zeros((num_edges, 2), dtype=np.int64)
    worth = np.zeros(num_edges)
    seen: dict[tuple[int, int], int] = {}
    for edge in range(num_edges):
        line = lines.take(f"edge {edge + 1} of {num_edges}")
        if len(line.words) != 3:
            raise InputError(
                line.place, f"{len(line.words)} words where an edge has two vertices and an entry"
            )
        ends = [int(word) if word.isdecimal() else 0 for word in line.words[:2]]
        if not 1 <= ends[0] < ends[1] <= vertices:
            raise InputError(
                line.place,
                f"{line.words[0]} {line.words[1]} is not a pair i < j of the vertices "
                f"1..{vertices}",
            )
        pair = (ends[0] - 1, ends[1] - 1)
        if pair in seen:
            raise InputError(line.place, f"edge {ends[0]} {ends[1]} is on line {seen[pair]}, too")
        seen[pair] = line.number
        entry = line.decimal(2, "the entry of the edge")
        if entry <= 0:
            raise InputError(line.place, f"the entry {line.words[2]} is not positive")
        edges[edge], worth[edge] = pair, ENTRIES * entry
    lines.expect_end()
    return DensestSubgraph(name=name, num_vertices=vertices, edges=edges, worth=worth, size=size)


def format_k_cluster(problem: DensestSubgraph) -> str:
    """Write a file's text: what :func:`parse_k_cluster` reads."""
    lines = [f"{problem.num_vertices} {problem.size} {problem.worth.size}"]
    for (first, second), worth in zip(problem.edges.tolist(), problem.worth.tolist(), strict=True):
        lines.append(f"{first + 1} {second + 1} {worth / ENTRIES!r}")
    return "\n".join([*lines, ""])
