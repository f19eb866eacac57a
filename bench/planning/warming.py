"""Kernels that a plan runs in this process, compiled before the clock starts.

Methods in sandboxes are warmed by :mod:`bench.warmup`; moves and the growth of storage run here.
"""

import numpy as np

from bench.planning.copies import losses_ms
from bench.planning.storage import find_growth
from bench.warmup import warmup_instances
from heuristics.migration import Migration
from heuristics.successive import successive_hull
from instances.deadline import Deadline
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.structure.clauses import build_clauses


def warm_planning(with_moves: bool) -> None:
    """Run on tiny instances what else would be compiled, or loaded, while time is measured."""
    forever = Deadline.after(None)
    for instance in warmup_instances():
        rng = np.random.default_rng(0)
        new = successive_hull(instance, rng=rng, cycles=1)
        clauses = build_clauses(instance)
        evaluate(instance, new)
        losses_ms(instance, clauses, new)
        bounds = np.full(instance.num_servers, np.inf)
        find_growth(instance, clauses, new, bounds, int(instance.expert_bytes.max()), forever)
        if with_moves:
            stored = np.roll(new.stored, 1, axis=1)
            while np.any(Placement(stored).used_bytes(instance) > instance.capacity_bytes):
                stored = stored & np.roll(stored, 1, axis=1)
            old = Placement(stored)
            move = Migration(instance, old=old, new=new, rng=rng, deadline=forever)
            move.explore(3)
            move.within(int(instance.expert_bytes.max()))
