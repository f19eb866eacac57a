"""Runs a plan into a store: what is finished is skipped, and every attempt is kept when it ends."""

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime

from bench.environment import code_version, current_environment
from bench.facts import describe_instance
from bench.plan import Plan, Source, Task
from bench.pool import Pool
from bench.presets import AUTO
from bench.progress import Progress
from bench.records import AttemptKey, AttemptRecord
from bench.sandbox import Limits, PackedInstance, SandboxedSolve, solve_in_sandbox
from bench.start import Start, find_start
from bench.store import Store
from bench.worker import Answer
from instances.files import placement_to_dict
from instances.result import Status, StopReason, judge

REDO = {
    "failed": "attempts that ended without a placement, other than unsupported ones",
    "outdated": "attempts of another version of the code",
    "all": "every attempt",
}
"""Which finished attempts a run may repeat."""


@dataclass(slots=True)
class Tally:
    """What a run did.

    Parameters
    ----------
    status
        How often each status occurred, over new and skipped attempts.
    new, skipped
        Attempts that were run now, and that had finished before.
    outdated
        Skipped attempts of another version of the code.
    """

    status: Counter[str] = field(default_factory=Counter)
    new: int = 0
    skipped: int = 0
    outdated: int = 0


class Runner:
    """Runs plans into a store.

    Parameters
    ----------
    store
        Where attempts are kept; open for writing.
    jobs
        Processes at once.
    memory_bytes
        Memory limit of each solve; None for no limit.
    redo
        Which finished attempts to repeat, a key of :data:`REDO`; empty for none.
    progress
        Who tells people how far it is.
    """

    def __init__(
        self,
        store: Store,
        *,
        jobs: int,
        memory_bytes: int | None,
        redo: str,
        progress: Progress,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._memory_bytes = memory_bytes
        self._redo = redo
        self._progress = progress
        self._environment = store.add_environment(current_environment())
        self._finished = store.finished()
        self.tally = Tally()

    def run(self, plan: Plan) -> Tally:
        """Run what is not finished yet.

        Raises
        ------
        InputError
            When an instance cannot be had or the store cannot be written.
        """
        self._progress.begin(plan.num_tasks)
        with Pool(self._jobs) as pool:
            for source, tasks in plan.work.items():
                if not self._skip_without_loading(source, tasks):
                    # With one job nothing else runs while an instance is generated.
                    pool.wait_for_room()
                    self._run_instance(pool, source, tasks)
            pool.drain()
        return self.tally

    def _skip_without_loading(self, source: Source, tasks: list[Task]) -> bool:
        """Skip an instance that this very code has generated before, when all is done on it."""
        if source.seed is None:
            return False
        checksum = self._store.generated_checksum(
            source.family, source.size, source.seed, source.options, code_version()
        )
        if checksum is None or any(self._is_due(task.key(checksum)) for task in tasks):
            return False
        for task in tasks:
            self._skip(task.key(checksum))
        return True

    def _run_instance(self, pool: Pool, source: Source, tasks: list[Task]) -> None:
        self._progress.working_on(source.name)
        instance = source.load()
        record = describe_instance(
            instance,
            family=source.family,
            size=source.size,
            seed=source.seed,
            options=source.options,
            code_version=code_version(),
        )
        due = []
        for task in tasks:
            if self._is_due(task.key(record.checksum)):
                due.append(task)
            else:
                self._skip(task.key(record.checksum))
        if not due:
            return
        self._store.add_instance(record)
        packed = PackedInstance.of(instance)
        start: Start | None = None
        for task in due:
            limits = Limits(time_s=task.time_limit_s, memory_bytes=self._memory_bytes)
            if task.start == AUTO and start is None and _supports(task, packed):
                start = find_start(pool, packed, limits)
            self._submit(pool, task, packed, record.checksum, limits, start)

    def _submit(
        self,
        pool: Pool,
        task: Task,
        packed: PackedInstance,
        checksum: str,
        limits: Limits,
        start: Start | None,
    ) -> None:
        started_at = ""
        given = start if task.start == AUTO else None

        def begin() -> SandboxedSolve:
            nonlocal started_at
            started_at = datetime.now(UTC).isoformat(timespec="seconds")
            self._progress.working_on(f"{packed.instance.name}, {task.algorithm.name}")
            return SandboxedSolve(
                task.algorithm,
                packed,
                seed=task.seed or 0,
                limits=limits,
                start=None if given is None else given.placement,
            )

        def done(answer: Answer) -> None:
            result = judge(packed.instance, answer.outcome, seconds=answer.seconds)
            guarantee = task.algorithm.guarantee
            ratio = answer.guarantee_ratio
            attempt = AttemptRecord(
                key=task.key(checksum),
                exact=task.algorithm.exact,
                status=result.status.value,
                stop_reason=result.stop_reason.value,
                reason=result.reason,
                seconds=result.seconds,
                started_at=started_at,
                code_version=code_version(),
                environment=self._environment,
                memory_limit_bytes=self._memory_bytes,
                start_seconds=math.nan if given is None else given.seconds,
                saving_ms=result.saving_ms,
                latency_ms=result.latency_ms,
                bound_saving_ms=result.bound_saving_ms,
                claimed_saving_ms=result.claimed_saving_ms,
                guarantee="" if guarantee is None or ratio is None else guarantee.formula,
                guarantee_ratio=math.nan if ratio is None else ratio,
                placement=(
                    None
                    if result.placement is None
                    else placement_to_dict(packed.instance, result.placement)
                ),
            )
            self._store.record(attempt)
            self.tally.new += 1
            self.tally.status[result.status] += 1
            self._progress.finished(f"{packed.instance.name}, {task.algorithm.name}", result)

        pool.submit(begin, done)

    def _is_due(self, key: AttemptKey) -> bool:
        earlier = self._finished.get(key)
        if earlier is None or self._redo == "all":
            return True
        if self._redo == "outdated":
            return earlier.code_version != code_version()
        return self._redo == "failed" and (
            earlier.status == Status.ERROR
            or (
                earlier.status == Status.NO_SOLUTION
                and earlier.stop_reason != StopReason.UNSUPPORTED
            )
        )

    def _skip(self, key: AttemptKey) -> None:
        earlier = self._finished[key]
        self.tally.skipped += 1
        self.tally.outdated += earlier.code_version != code_version()
        self.tally.status[earlier.status] += 1
        self._progress.skipped()


def _supports(task: Task, packed: PackedInstance) -> bool:
    """Ask the method, so that no start is computed for one that will not run."""
    limits = Limits()
    answer = solve_in_sandbox(task.algorithm, packed, seed=0, limits=limits, only_ask=True)
    return answer.outcome.stop_reason is not StopReason.UNSUPPORTED
