"""What the report tells about an instance beside its row: trajectories, a placement, who waits."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.incumbent import Step
from bench.placement_map import PlacementMap
from bench.records import InstanceRecord
from bench.store import Store
from bench.summary import Summary
from bench.waiting import Waiting, find_waiting
from instances.result import Status

MOST_STEPS, LEAST_STEPS, ALL_STEPS = 200, 10, 60_000
"""Longer trajectories are thinned to so many steps, the first and the last among them: each to at
most ``MOST_STEPS``, to fewer where all together would be more than ``ALL_STEPS``, but never below
``LEAST_STEPS``. The page stays small enough to open at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePage:
    """One instance in detail.

    Parameters
    ----------
    checksum
        The instance.
    trajectories
        Attempt number to the steps of its trajectory; attempts without one are left out.
    thinned
        Some trajectory was thinned.
    shown
        The best stored placement; None when the store holds none.
    waiting
        Who waits for what with that placement; None without one.
    """

    checksum: str
    trajectories: Mapping[int, tuple[Step, ...]]
    thinned: bool
    shown: PlacementMap | None
    waiting: Waiting | None


def describe_pages(store: Store, summary: Summary) -> list[InstancePage]:
    """Return the pages of all instances, in the order of ``summary.instances``."""
    attempts = summary.attempts
    if attempts.empty:
        return []
    steps = _read_steps(store, set(attempts["attempt_id"]))
    most = max(LEAST_STEPS, min(MOST_STEPS, ALL_STEPS // max(1, len(steps))))
    placements = _best_placements(store, attempts)
    own: dict[str, dict[int, tuple[Step, ...]]] = {}
    for number, checksum in zip(attempts["attempt_id"], attempts["checksum"], strict=True):
        if number in steps:
            own.setdefault(checksum, {})[number] = steps[number]
    pages = []
    for checksum in summary.instances["checksum"]:
        known = own.get(checksum, {})
        shown, waiting = None, None
        if checksum in placements:
            row, placement = placements[checksum]
            record = store.instance_record(checksum)
            shown, waiting = map_of(record, row, placement), find_waiting(record, placement)
        pages.append(
            InstancePage(
                checksum=checksum,
                trajectories={number: thin(each, most) for number, each in known.items()},
                thinned=any(len(each) > most for each in known.values()),
                shown=shown,
                waiting=waiting,
            )
        )
    return pages


def _best_placements(
    store: Store, attempts: pd.DataFrame
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Return the best attempt of each instance whose placement is stored, and the placement."""
    best: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {}
    columns = ["attempt_id", "checksum", "instance_label", "label", "proven"]
    for row in rank_placements(attempts)[columns].to_dict("records"):
        if row["checksum"] not in best:
            placement = store.placement(row["attempt_id"])
            if placement is not None:
                best[row["checksum"]] = (row, placement)
    return best


def rank_placements(attempts: pd.DataFrame) -> pd.DataFrame:
    """Return the solved attempts: proven optima first, then large instances, then large savings."""
    solved = attempts[attempts["solved"]]
    proven = (solved["status"] == Status.OPTIMAL) & solved["optimum_ms"].notna()
    return solved.assign(proven=proven).sort_values(
        ["proven", "experts", "clauses", "instance_label", "saving_ms", "label"],
        ascending=[False, False, False, True, False, True],
        kind="stable",
    )


def thin(steps: Sequence[Step], most: int) -> tuple[Step, ...]:
    """Return at most so many steps, evenly chosen, the first and the last among them.

    >>> [step for step in thin(list(range(10)), 4)]
    [0, 3, 6, 9]
    """
    if len(steps) <= most:
        return tuple(steps)
    chosen = np.linspace(0, len(steps) - 1, most).round().astype(np.int64)
    return tuple(steps[position] for position in chosen.tolist())


def map_of(
    record: InstanceRecord, row: Mapping[str, Any], placement: Mapping[str, Any]
) -> PlacementMap:
    """Return the map of a stored placement.

    Parameters
    ----------
    record
        The instance.
    row
        The attempt, ranked: its ``instance_label``, ``label`` and ``proven``.
    placement
        Object of a placement file.
    """
    first: dict[str, int] = {}
    sizes: list[Any] = []
    total = 0
    for model in record.model_shapes:
        layers, experts = model["layers"], model["experts"]
        first[model["name"]] = total
        total += layers * experts
        sizes.append(np.broadcast_to(model["expert_bytes"], (layers, experts)).ravel())
    expert_bytes = np.concatenate(sizes).astype(np.float64)
    num_experts = {model["name"]: model["experts"] for model in record.model_shapes}
    servers = [server["name"] for server in record.server_shapes]
    stored = np.zeros((len(servers), total), dtype=np.bool_)
    for n, server in enumerate(servers):
        for entry in placement["servers"].get(server, []):
            start = first[entry["model"]] + entry["layer"] * num_experts[entry["model"]]
            stored[n, start + np.array(entry["experts"], dtype=np.int64)] = True
    capacity = np.array([server["capacity_bytes"] for server in record.server_shapes], dtype=float)
    used = stored @ expert_bytes
    return PlacementMap(
        instance=row["instance_label"],
        method=row["label"],
        optimal=bool(row["proven"]),
        servers=tuple(servers),
        used_shares=np.divide(used, capacity, out=np.full_like(used, np.nan), where=capacity > 0),
        models=tuple((m["name"], m["layers"], m["experts"]) for m in record.model_shapes),
        stored=stored,
    )


def _read_steps(store: Store, wanted: set[int]) -> dict[int, tuple[Step, ...]]:
    table = store.trajectories()
    table = table[table["attempt_id"].isin(wanted)]
    steps: dict[int, list[Step]] = {}
    columns = ["attempt_id", "seconds", "saving_ms", "bound_saving_ms", "bound_certified"]
    for number, seconds, saving, bound, certified in table[columns].itertuples(index=False):
        steps.setdefault(int(number), []).append(
            Step(
                seconds=float(seconds),
                saving_ms=float(saving),
                bound_saving_ms=math.inf if math.isnan(bound) else float(bound),
                bound_certified=bool(certified),
            )
        )
    return {number: tuple(each) for number, each in steps.items()}
