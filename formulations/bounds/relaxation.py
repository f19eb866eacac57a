r"""The LP relaxation of the compact formulation, clause by clause, with its dual in view.

    maximise    sum over c of w[c] z[c]
    subject to  z[c]   <= y[S,i]                                for each clause (w, S, A), i in A
                y[S,i] <= sum over n in S of x[n,i]             for each set S, expert i
                sum over i of s[i] x[n,i] <= Q[n]               for each server n
                0 <= x, y, z <= 1

The dual values of the three kinds of rows are the multipliers alpha, pi and lambda of
:mod:`instances.multipliers`. A clause of one expert has no z but puts its weight on y, and a y with
one server in reach is that x: their multipliers follow without a row.

| symbol | field | unit |
|---|---|---|
| s, Q | sizes and usable storage | bytes, divided by the largest size |
| w | weights of :class:`~instances.multipliers.DualForm` | ms per token, over ``unit_ms`` |
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from formulations.program import Rows, objective_unit
from instances.multipliers import DualForm, Multipliers
from instances.placement import Placement


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relaxation:
    """Maximise ``objective @ v`` subject to ``rows`` and 0 <= v <= 1.

    Parameters
    ----------
    form
        The clauses whose relaxation it is.
    objective
        Coefficient of each column; float64 (columns,).
    unit_ms
        Saving of one unit of the objective, ms per token; a power of two.
    rows
        Those of z, then of y, then of storage.
    x_server, x_expert
        Server and flat expert of each x, the first columns; int64 (P,).
    alpha_entry
        The entry of ``form`` that each row of z belongs to; int64 (rows of z,).
    pi_pair
        The pair of ``form`` that each row of y belongs to; int64 (rows of y,).
    price_server, price_bytes
        The server that each row of storage belongs to, and the bytes of one unit of it;
        int64 (rows of storage,).
    """

    form: DualForm
    objective: NDArray[np.float64]
    unit_ms: float
    rows: Rows
    x_server: NDArray[np.int64]
    x_expert: NDArray[np.int64]
    alpha_entry: NDArray[np.int64]
    pi_pair: NDArray[np.int64]
    price_server: NDArray[np.int64]
    price_bytes: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.objective.size)

    @classmethod
    def of(cls, form: DualForm) -> "Relaxation":
        """Write the relaxation."""
        servers_of = np.diff(form.pair_offsets)
        shape = (form.capacity_bytes.size, form.expert_bytes.size)
        x_key, x_of = np.unique(
            form.pair_servers * shape[1] + np.repeat(form.pair_expert, servers_of),
            return_inverse=True,
        )
        is_y = servers_of > 1
        # a pair without a server has no column, and its clauses no weight
        column = np.full(servers_of.size, -1, dtype=np.int64)
        column[is_y] = x_key.size + np.arange(np.count_nonzero(is_y))
        is_x = servers_of == 1
        column[is_x] = x_of[form.pair_offsets[:-1][is_x]]
        num_xy = x_key.size + int(np.count_nonzero(is_y))

        lengths = np.bincount(form.entry_clause, minlength=form.weight_ms.size)
        joint = (lengths > 1) & (form.weight_ms > 0.0)
        z = np.cumsum(joint) - 1 + num_xy
        alpha_entry = np.flatnonzero(joint[form.entry_clause])
        alone = ((lengths == 1) & (form.weight_ms > 0.0))[form.entry_clause]
        unit_ms = objective_unit(math.fsum(form.weight_ms))
        objective = np.zeros(num_xy + int(np.count_nonzero(joint)))
        np.add.at(
            objective,
            column[form.entry_pair[alone]],
            form.weight_ms[form.entry_clause[alone]] / unit_ms,
        )
        objective[num_xy:] = form.weight_ms[joint] / unit_ms

        pi_pair = np.flatnonzero(is_y)
        x_server, x_expert = np.divmod(x_key, shape[1])
        storage, price_server, price_bytes = _storage_rows(form, x_server, x_expert)
        return cls(
            form=form,
            objective=objective,
            unit_ms=unit_ms,
            rows=Rows.stack(
                _at_most(
                    z[form.entry_clause[alpha_entry]],
                    column[form.entry_pair[alpha_entry]],
                    np.arange(alpha_entry.size),
                ),
                _at_most(
                    column[pi_pair],
                    x_of[np.repeat(is_y, servers_of)],
                    np.repeat(np.arange(pi_pair.size), servers_of[is_y]),
                ),
                storage,
            ),
            x_server=x_server,
            x_expert=x_expert,
            alpha_entry=alpha_entry,
            pi_pair=pi_pair,
            price_server=price_server,
            price_bytes=price_bytes,
        )

    def multipliers(self, duals: NDArray[np.float64]) -> Multipliers:
        """Read multipliers from dual values, one for each row; values below 0 become 0."""
        form = self.form
        duals_ms = np.maximum(np.nan_to_num(duals), 0.0) * self.unit_ms
        alpha = form.weight_ms[form.entry_clause]  # right for clauses of one expert
        alpha[self.alpha_entry] = duals_ms[: self.alpha_entry.size]
        pi = np.zeros(form.pair_expert.size)
        np.add.at(pi, form.entry_pair, alpha)
        first = self.alpha_entry.size
        pi[self.pi_pair] = duals_ms[first : first + self.pi_pair.size]
        price = np.zeros(form.capacity_bytes.size)
        price[self.price_server] = duals_ms[first + self.pi_pair.size :] / self.price_bytes
        return Multipliers(alpha_ms=alpha, pi_ms=pi, price_ms=price)

    def rounded(self, values: NDArray[np.float64]) -> Placement:
        """Store what the relaxation stores most of, per server, as long as it fits.

        Parameters
        ----------
        values
            Value of each x; float64 (P,).
        """
        form = self.form
        stored = np.zeros((form.capacity_bytes.size, form.expert_bytes.size), dtype=np.bool_)
        free = form.capacity_bytes.copy()
        for j in np.argsort(-values, kind="stable").tolist():
            server, expert = int(self.x_server[j]), int(self.x_expert[j])
            if values[j] > 0.0 and form.expert_bytes[expert] <= free[server]:
                stored[server, expert] = True
                free[server] -= form.expert_bytes[expert]
        return Placement(stored)


def _storage_rows(
    form: DualForm, server: NDArray[np.int64], expert: NDArray[np.int64]
) -> tuple[Rows, NDArray[np.int64], NDArray[np.int64]]:
    """Write the rows of storage; returns them, their servers, and the bytes of their units."""
    blocks: list[Rows] = []
    servers: list[int] = []
    units: list[int] = []
    for n, usable in enumerate(form.usable_bytes.tolist()):
        columns = np.flatnonzero(server == n)
        sizes = form.expert_bytes[expert[columns]]
        if int(sizes.sum()) <= usable:
            continue
        unit = int(sizes.max())
        blocks.append(
            Rows(
                row=np.zeros(columns.size, dtype=np.int64),
                column=columns,
                coefficient=sizes / unit,
                upper=np.array([usable / unit]),
            )
        )
        servers.append(n)
        units.append(unit)
    return (
        Rows.stack(*blocks),
        np.array(servers, dtype=np.int64),
        np.array(units, dtype=np.int64),
    )


def _at_most(
    left: NDArray[np.int64], right: NDArray[np.int64], right_row: NDArray[np.int64]
) -> Rows:
    """Write ``left <= sum of right``, one left column in each row, rows of ``right`` ascending."""
    row = np.concatenate([np.arange(left.size), right_row])
    order = np.argsort(row, kind="stable")
    return Rows(
        row=row[order],
        column=np.concatenate([left, right])[order],
        coefficient=np.concatenate([np.ones(left.size), -np.ones(right.size)])[order],
        upper=np.zeros(left.size),
    )
