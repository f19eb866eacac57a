"""The densest subgraph of k vertices, which k-cluster and DIMACS files describe."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from instances.arrays import frozen_array
from instances.errors import InputError
from instances.problem import Instance
from instances.published.one_layer import one_layer


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DensestSubgraph:
    """Choose at most k vertices with the largest weight of edges between them.

    Exactly k are never better than at most k, since weights are not negative.

    Parameters
    ----------
    name
        Name of the graph.
    num_vertices
        Vertices are numbered from 0.
    edges
        Pairs of different vertices, the smaller first, no pair twice; int64 (E, 2).
    worth
        What each edge is worth, >= 0; float64 (E,).
    size
        k, in 0..num_vertices.
    """

    name: str
    num_vertices: int
    edges: NDArray[np.int64]
    worth: NDArray[np.float64]
    size: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "edges", frozen_array(self.edges, np.int64, "edges", ndim=2))
        object.__setattr__(self, "worth", frozen_array(self.worth, np.float64, "worth", ndim=1))
        if self.edges.shape != (self.worth.size, 2):
            raise InputError("edges", f"shape {self.edges.shape} for {self.worth.size} edges")
        if not 0 <= self.size <= self.num_vertices:
            raise InputError("--k", f"{self.size} is not in 0..{self.num_vertices}, the vertices")

    def of_size(self, size: int) -> "DensestSubgraph":
        """Return the same graph with another k.

        Raises
        ------
        InputError
            When k is not in 0..num_vertices.
        """
        return replace(self, size=size)

    def instance(self) -> Instance:
        """Return the placement problem whose saving is the weight inside the subgraph.

        An expert of 1 byte for each vertex, room for k of them, a row of two for each edge.

        Raises
        ------
        InputError
            When the name is none that a file may carry.
        """
        return one_layer(
            self.name,
            sizes=np.ones(self.num_vertices, dtype=np.int64),
            capacity=self.size,
            offsets=2 * np.arange(self.worth.size + 1),
            experts=self.edges.ravel(),
            profits=self.worth,
        )
