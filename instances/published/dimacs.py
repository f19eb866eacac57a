"""Graphs of the DIMACS challenges, for the densest subgraph of k vertices.

    c a comment
    p edge 4 3                      vertices and edges; also: p col 4 3
    e 1 2
    e 1 3
    e 2 3

Source: ftp://dimacs.rutgers.edu/pub/challenge/graph/doc/ccformat.tex. Some files list every edge
in both directions; then both lines count as one edge.
"""

import numpy as np

from instances.errors import InputError
from instances.published.lines import Line, Lines
from instances.published.subgraph import DensestSubgraph

_PROBLEMS = ("edge", "col")


def parse_dimacs(text: str, name: str, size: int) -> DensestSubgraph:
    """Read a file's text; the file does not say the name of the graph, nor k, the ``size``.

    Raises
    ------
    InputError
        Names the line and the value that is wrong.
    """
    lines = Lines(text)
    vertices: int | None = None
    stated = 0
    found: dict[tuple[int, int], int] = {}
    head: Line | None = None
    while (line := lines.peek()) is not None:
        lines.take("a line")
        kind = line.words[0]
        if kind == "c":
            continue
        if kind == "p" and head is None:
            head = line
            if len(line.words) != 4 or line.words[1] not in _PROBLEMS:
                raise InputError(line.place, "a problem line reads: p edge VERTICES EDGES")
            vertices, stated = Line(line.number, line.words[2:]).integers("p edge", 2).tolist()
        elif kind == "e" and vertices is not None:
            pair = _edge(line, vertices)
            if pair in found:
                raise InputError(
                    line.place,
                    f"edge {line.words[1]} {line.words[2]} is on line {found[pair]}, too",
                )
            found[pair] = line.number
        elif kind in ("p", "e"):
            raise InputError(
                line.place,
                "a second problem line" if kind == "p" else "an edge before the problem line",
            )
        else:
            raise InputError(line.place, f"{kind!r} is none of the lines c, p and e")
    if vertices is None or head is None:
        raise InputError("line 1", "there is no problem line: p edge VERTICES EDGES")
    if len(found) != stated:
        raise InputError(head.place, f"{stated} edges are announced; there are {len(found)}")
    if vertices < 1:
        raise InputError(head.place, "a graph has at least 1 vertex")
    edges = sorted({(min(pair), max(pair)) for pair in found})
    return DensestSubgraph(
        name=name,
        num_vertices=vertices,
        edges=np.array(edges, dtype=np.int64).reshape(-1, 2),
        worth=np.ones(len(edges)),
        size=size,
    )


def format_dimacs(problem: DensestSubgraph) -> str:
    """Write a file's text: what :func:`parse_dimacs` reads. Worths and k are not in the format."""
    lines = [f"p edge {problem.num_vertices} {problem.worth.size}"]
    lines += [f"e {first + 1} {second + 1}" for first, second in problem.edges.tolist()]
    return "\n".join([*lines, ""])


def _edge(line: Line, vertices: int) -> tuple[int, int]:
    ends = (
        Line(line.number, line.words[1:]).integers("an edge", 2, least=1)
        if (len(line.words) > 1)
        else np.zeros(0, dtype=np.int64)
    )
    if ends.size != 2 or ends.max() > vertices or ends[0] == ends[1]:
        raise InputError(
            line.place,
            f"{' '.join(line.words[1:3])!r} is not two different vertices of 1..{vertices}",
        )
    return int(ends[0]) - 1, int(ends[1]) - 1
