"""K = 1: tighten the certificate by moving its multipliers, and round what comes with them.

The bound of :meth:`heuristics.coverage.Coverage.bound_ms` is convex in the multipliers, and its
least value is that of the linear program over configurations. The volume algorithm (Barahona,
Anbil 2000) walks towards it by subgradients; the configurations with which the servers answer on
the way mix to a nearly optimal solution of that program, which rounds well.
"""

import math

import numpy as np
from numpy.typing import NDArray

from heuristics.continuous_kernels import step_towards
from heuristics.coverage import Coverage
from instances.deadline import Deadline

_SHARE_OF_GAP = 0.005
"""Knapsacks on the way are solved to this share of the gap; their bounds hold all the same."""

_NODE_BUDGET = 1 << 14
"""The same for knapsacks with very many combinations."""

_NEW_SHARE = 0.1
"""Share of the newest answer in the mix."""

_PATIENCE = 3
"""Steps without a better bound after which steps become shorter, by ``_SHORTER``."""

_SHORTER = 0.8

_STEPS_BETWEEN_ROUNDINGS = 20

_CLOSED = 1e-9
"""Relative gap that needs no further step."""


def tighten(
    coverage: Coverage,
    multiplier: NDArray[np.float64],
    stored: NDArray[np.bool_],
    *,
    steps: int,
    deadline: Deadline,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return better multipliers (C,) and a placement that is at least as good; bool (N, X).

    Parameters
    ----------
    multiplier
        Where to start; in 0 .. weight.
    stored
        A feasible placement: its saving is the target of the steps.
    steps
        How many to take; each costs one knapsack for every server.
    """
    num_servers = coverage.capacity_bytes.size
    saving = coverage.saving_ms(stored)
    best, best_bound = multiplier, math.inf
    mix = np.zeros(coverage.shape)
    answer = np.zeros(coverage.shape)
    length, waiting = 1.0, 0
    tolerance = _SHARE_OF_GAP
    for step in range(steps):
        bound = float((coverage.weight - multiplier).sum())
        for server in range(num_servers):
            if deadline.passed:
                return best, stored
            wanted = coverage.wanted_ms(server, multiplier)
            configuration = coverage.best_configuration(
                server, wanted, tolerance=tolerance, node_budget=_NODE_BUDGET
            )
            bound += configuration.bound_ms
            answer[server] = configuration.chosen
        mix += (answer - mix) * (_NEW_SHARE if step else 1.0)
        waiting += 1
        if bound < best_bound:
            best, best_bound, waiting = multiplier, bound, 0
        elif waiting == _PATIENCE:
            length, waiting = length * _SHORTER, 0
        if step % _STEPS_BETWEEN_ROUNDINGS == _STEPS_BETWEEN_ROUNDINGS - 1:
            rounded, _ = coverage.round_off(np.clip(1.0 - mix, 0.0, 1.0), deadline)
            rounded = coverage.improve(rounded, deadline)
            if coverage.saving_ms(rounded) > saving:
                stored, saving = rounded, coverage.saving_ms(rounded)
        if best_bound - saving <= _CLOSED * best_bound:
            break
        tolerance = _SHARE_OF_GAP * (best_bound - saving) / best_bound
        direction = 1.0 - coverage.expected_copies(mix)
        multiplier = step_towards(best, coverage.weight, direction, length * (best_bound - saving))
    return best, stored
