"""A placement: which expert is stored on which server."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instances.errors import InputError
from instances.problem import Instance


@dataclass(frozen=True, slots=True, eq=False)
class Placement:
    """The set of experts that each server stores.

    Parameters
    ----------
    stored
        ``stored[n, x]``: server n holds flat expert x; bool, shape (N, X). Copied, read-only.

    Raises
    ------
    InputError
        When the array is not a two-dimensional array of truth values.
    """

    stored: NDArray[np.bool_]

    def __post_init__(self) -> None:
        source = np.asarray(self.stored)
        if source.ndim != 2 or source.dtype != np.bool_:
            raise InputError(
                "stored", f"{source.dtype} array of shape {source.shape} is not bool (N, X)"
            )
        array = np.array(source, order="C", copy=True)
        array.setflags(write=False)
        object.__setattr__(self, "stored", array)

    @classmethod
    def empty(cls, instance: Instance) -> "Placement":
        """Nothing is stored anywhere: every expert that is not local comes from the cloud."""
        return cls(np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_))

    @classmethod
    def of(cls, instance: Instance, pairs: Iterable[tuple[int, int]]) -> "Placement":
        """Make a placement from (server index, flat expert) pairs.

        Raises
        ------
        IndexError
            When there is no such server or expert.
        """
        stored = np.zeros((instance.num_servers, instance.num_experts), dtype=np.bool_)
        for server, expert in pairs:
            if server < 0 or expert < 0:  # NumPy would count from the end
                raise IndexError(f"negative index in the pair {(server, expert)}")
            stored[server, expert] = True
        return cls(stored)

    @property
    def num_copies(self) -> int:
        """Number of (server, expert) pairs that are stored."""
        return int(np.count_nonzero(self.stored))

    def used_bytes(self, instance: Instance) -> NDArray[np.int64]:
        """Bytes that each server stores; int64 (N,).

        Raises
        ------
        InputError
            When the placement does not have the shape of the instance.
        """
        self.check_shape(instance)
        used = np.zeros(instance.num_servers, dtype=np.int64)
        for server, row in enumerate(self.stored):
            used[server] = instance.expert_bytes[row].sum()
        return used

    def check_capacity(self, instance: Instance) -> None:
        """Check that no server stores more than its capacity.

        Raises
        ------
        InputError
            Names the first server that does, or says that the shape is wrong.
        """
        used = self.used_bytes(instance)
        for server in np.flatnonzero(used > instance.capacity_bytes)[:1]:
            raise InputError(
                f"servers[{instance.server_names[server]!r}]",
                f"stores {used[server]} bytes where its capacity is "
                f"{instance.capacity_bytes[server]}",
            )

    def check_shape(self, instance: Instance) -> None:
        """Check that the placement has a row for each server and a column for each expert.

        Raises
        ------
        InputError
            When it does not.
        """
        needed = (instance.num_servers, instance.num_experts)
        if self.stored.shape != needed:
            raise InputError(
                "placement", f"shape {self.stored.shape} is not (servers, experts) = {needed}"
            )
