"""Candidates for the archive of best known values: from a store, and from methods that are run."""

import fcntl
import math
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.environment import code_version
from bench.sandbox import Limits, PackedInstance, solve_in_sandbox
from bench.store import Store
from instances.best_known.archive import read_archive, write_archive
from instances.best_known.catalogue import Published
from instances.best_known.entry import Entry, Provenance, unpack_placement
from instances.best_known.improvement import Candidate, is_closed, revise
from instances.errors import InputError
from instances.files import placement_from_dict
from instances.problem import Instance
from instances.registry import Algorithm
from instances.result import Status, StopReason, judge

if TYPE_CHECKING:
    import pandas as pd

STARTED = "+start"
"""Suffix of a method that started from a placement which was known before."""


@dataclass(slots=True)
class Account:
    """What an update did.

    Parameters
    ----------
    changes
        What became better, by instance: ``value``, ``bound``, ``proof``, each with the method.
    alarms
        Candidates that contradict the archive, and methods that failed, one sentence each.
    """

    changes: dict[str, list[str]] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)


class Archivist:
    """Offers candidates to an archive, and writes it whenever an entry becomes better.

    The file is read anew for each offer and locked meanwhile, so that two updates at once do not
    undo each other.

    Parameters
    ----------
    path
        The archive.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.account = Account()

    def entry(self, published: Published) -> Entry | None:
        """Return what is known of an instance."""
        return read_archive(self.path).get(published.name)

    def offer(self, published: Published, instance: Instance, candidate: Candidate) -> None:
        """Take over what is better in a candidate.

        Raises
        ------
        InputError
            When the archive cannot be read or written, or is about another instance of that name.
        """
        with _locked(self.path):
            archive = read_archive(self.path)
            revision = revise(published, instance, archive.get(published.name), candidate)
            if revision.changes and revision.entry is not None:
                write_archive({**archive, published.name: revision.entry}, self.path)
        if revision.contradiction:
            self.account.alarms.append(f"{published.name}: {revision.contradiction}")
        if revision.changes:
            told = [f"{change} by {candidate.source.method}" for change in revision.changes]
            self.account.changes.setdefault(published.name, []).extend(told)

    def take_from(self, store: Store, published: Published, instance: Instance) -> None:
        """Offer what a store knows of an instance.

        Raises
        ------
        InputError
            When the store cannot be read, or as in :meth:`offer`.
        """
        for candidate in candidates_of_store(store, instance):
            self.offer(published, instance, candidate)

    def run(
        self,
        published: Published,
        instance: Instance,
        algorithms: Iterable[Algorithm],
        limits: Limits,
    ) -> None:
        """Run methods one after the other, and offer what they find.

        Those that take a start get the best known placement. Nothing is run any more once the
        value is proven and meets a certified bound.

        Raises
        ------
        InputError
            When a method cannot be sent to another process, or as in :meth:`offer`.
        """
        packed = PackedInstance.of(instance)
        for algorithm in algorithms:
            entry = self.entry(published)
            if entry is not None and is_closed(entry):
                return
            start = None
            if entry is not None and algorithm.takes_start:
                start = unpack_placement(entry.placement, instance)
            date = _today()
            answer = solve_in_sandbox(algorithm, packed, seed=0, limits=limits, start=start)
            result = judge(instance, answer.outcome, seconds=answer.seconds)
            if result.status is Status.ERROR:
                text = f"{result.stop_reason.value}: {result.reason}"
                self.account.alarms.append(f"{published.name}: {algorithm.name}: {text}")
            elif result.stop_reason is not StopReason.UNSUPPORTED:
                candidate = Candidate(
                    placement=result.placement,
                    bound_saving_ms=result.bound_saving_ms if result.bound_certified else math.inf,
                    proven=result.status is Status.OPTIMAL,
                    source=Provenance(
                        method=algorithm.name + (STARTED if start is not None else ""),
                        seconds=_rounded(result.seconds),
                        version=code_version(),
                        date=date,
                    ),
                )
                self.offer(published, instance, candidate)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Wait until no other update writes in the folder of a file, and keep others waiting.

    The folder is locked rather than the file, which is replaced by every write.
    """
    folder = os.open(path.resolve().parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)  # which unlocks it


def candidates_of_store(store: Store, instance: Instance) -> Iterator[Candidate]:
    """Return the attempts on an instance with the largest saving, lowest bound, first proof.

    Raises
    ------
    InputError
        When the store cannot be read, or holds a placement that is none.
    """
    frame = store.results()
    frame = frame[frame["checksum"] == instance.checksum()]
    solved = frame[frame["status"].isin([Status.OPTIMAL.value, Status.FEASIBLE.value])]
    proofs = solved[solved["status"] == Status.OPTIMAL.value]
    bounds = frame[frame["bound_certified"] & (frame["status"] != Status.ERROR.value)]
    chosen = [
        *_first(solved, "saving_ms", ascending=False),
        *_first(bounds, "bound_saving_ms", ascending=True),
        *_first(proofs, "seconds", ascending=True),
    ]
    for row in {int(row["attempt_id"]): row for row in chosen}.values():
        content = store.placement(int(row["attempt_id"]))
        try:
            placement = None if content is None else placement_from_dict(content, instance)
        except InputError as error:
            raise error.within(f"attempts[{row['attempt_id']}]").in_file(str(store.path)) from None
        yield Candidate(
            placement=placement,
            bound_saving_ms=row["bound_saving_ms"] if row["bound_certified"] else math.inf,
            proven=row["status"] == Status.OPTIMAL.value and placement is not None,
            source=Provenance(
                method=row["algorithm"] + (STARTED if row["start"] not in ("", "none") else ""),
                seconds=_rounded(row["seconds"]),
                version=row["code_version"],
                date=row["started_at"][:10],
            ),
        )


def _first(frame: "pd.DataFrame", column: str, *, ascending: bool) -> list[dict[str, Any]]:
    """Return the first row in the order of a column, which must not be missing; ties by number."""
    known = frame[frame[column].notna()]
    order = known.sort_values([column, "attempt_id"], ascending=[ascending, True])
    rows: list[dict[str, Any]] = order.head(1).to_dict("records")
    return rows


def _rounded(seconds: float) -> float:
    return float(f"{seconds:.3g}")


def _today() -> str:
    return datetime.now(UTC).date().isoformat()
