"""Runs a plan into a store: what is finished is skipped, and every attempt is kept when it ends."""

import math
from collections import Counter
from dataclasses import dataclass, field

from bench.environment import Environment, code_version, current_environment
from bench.facts import describe_instance
from bench.incumbent import trajectory
from bench.jobs import Plan, Source, Task
from bench.kinds import SETTLED, Kind, kind_of
from bench.plugins import algorithm_plugin, family_plugin
from bench.pool import Request, Workers
from bench.presets import AUTO
from bench.progress import Finished, Progress
from bench.records import AttemptRecord, Ending
from bench.sandbox import Limits, PackedInstance, solve_in_sandbox
from bench.start import Start, find_start
from bench.store import Store
from bench.worker import Answer
from instances.files import placement_to_dict
from instances.result import Result, Status, StopReason, judge, relative_gap


@dataclass(slots=True)
class Tally:
    """What a run did.

    Parameters
    ----------
    kinds
        How often each kind of result occurred, over new and skipped attempts.
    new, skipped
        Attempts that were run now, and that had finished before.
    outdated
        Skipped attempts of another version of the code, or of the plug-in.
    """

    kinds: Counter[Kind] = field(default_factory=Counter)
    new: int = 0
    skipped: int = 0
    outdated: int = 0


@dataclass(slots=True)
class _Best:
    """The best saving (NaN: none) and the lowest bound on an instance until now, ms per token."""

    saving_ms: float
    bound_saving_ms: float

    def take(self, result: Result) -> None:
        """Note what a result adds; a claim that was refuted adds nothing."""
        if result.status is not Status.ERROR:
            self.saving_ms = max(result.saving_ms, self.saving_ms, key=_unless_unknown)
            self.bound_saving_ms = min(result.bound_saving_ms, self.bound_saving_ms)


def _unless_unknown(saving_ms: float) -> float:
    return -math.inf if math.isnan(saving_ms) else saving_ms


class Runner:
    """Runs plans into a store.

    Parameters
    ----------
    store
        Where attempts are kept; open for writing.
    workers
        Who runs the solves.
    memory_bytes
        Memory limit of each solve; None for no limit.
    redo
        Which finished attempts to repeat: ``failed`` (crashed, lied, out of memory, without a
        placement), ``outdated`` (of another version of the code or of the plug-in), ``all``,
        or none when empty.
    progress
        Who tells people how far it is.
    """

    def __init__(
        self,
        store: Store,
        *,
        workers: Workers,
        memory_bytes: int | None,
        redo: str,
        progress: Progress,
    ) -> None:
        self._store = store
        self._workers = workers
        self._memory_bytes = memory_bytes
        self._redo = redo
        self._progress = progress
        self._environments: dict[str, int] = {}
        self._environment_number(current_environment())
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
        for source, tasks in plan.work.items():
            if not self._skip_without_loading(source, tasks):
                # With one job nothing else runs while an instance is generated.
                self._workers.wait_for_room()
                self._run_instance(source, tasks)
        self._workers.drain()
        return self.tally

    def _environment_number(self, environment: Environment) -> int:
        known = repr(environment)
        if known not in self._environments:
            self._environments[known] = self._store.add_environment(environment)
        return self._environments[known]

    def _skip_without_loading(self, source: Source, tasks: list[Task]) -> bool:
        """Skip an instance that this very code has generated before, when all is done on it."""
        if source.seed is None:
            return False
        checksum = self._store.generated_checksum(
            source.family,
            source.size,
            source.seed,
            source.options,
            code_version(),
            family_plugin(source.family),
        )
        if checksum is None or any(self._is_due(task, checksum) for task in tasks):
            return False
        for task in tasks:
            self._skip(task, checksum)
        return True

    def _run_instance(self, source: Source, tasks: list[Task]) -> None:
        self._progress.working_on(source.name)
        instance = source.load()
        record = describe_instance(
            instance,
            family=source.family,
            size=source.size,
            seed=source.seed,
            options=source.options,
            code_version=code_version(),
            plugin=family_plugin(source.family),
        )
        due = []
        for task in tasks:
            if self._is_due(task, record.checksum):
                due.append(task)
            else:
                self._skip(task, record.checksum)
        if not due:
            return
        self._store.add_instance(record)
        best = _Best(*self._store.best_known(record.checksum))
        packed = PackedInstance.of(instance)
        start: Start | None = None
        for task in due:
            limits = Limits(time_s=task.time_limit_s, memory_bytes=self._memory_bytes)
            if task.start == AUTO and start is None and _supports(task, packed):
                start = find_start(self._workers, packed, limits)
            self._submit(task, packed, record.checksum, limits, start, best)

    def _submit(
        self,
        task: Task,
        packed: PackedInstance,
        checksum: str,
        limits: Limits,
        start: Start | None,
        best: "_Best",
    ) -> None:
        given = start if task.start == AUTO else None
        what = f"{packed.instance.name}, {task.algorithm.name}"
        request = Request(
            algorithm=task.algorithm,
            packed=packed,
            seed=task.seed or 0,
            limits=limits,
            start=None if given is None else given.placement,
        )

        def begun() -> None:
            self._progress.working_on(what)

        def done(answer: Answer, environment: Environment) -> None:
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
                started_at=answer.started_at,
                code_version=code_version(),
                environment=self._environment_number(environment),
                memory_limit_bytes=self._memory_bytes,
                start_seconds=math.nan if given is None else given.seconds,
                saving_ms=result.saving_ms,
                latency_ms=result.latency_ms,
                bound_saving_ms=result.bound_saving_ms,
                bound_certified=result.bound_certified,
                threads=answer.threads,
                plugin=algorithm_plugin(task.algorithm),
                cores=",".join(map(str, answer.cores)),
                claimed_saving_ms=result.claimed_saving_ms,
                guarantee="" if guarantee is None or ratio is None else guarantee.formula,
                guarantee_ratio=math.nan if ratio is None else ratio,
                placement=(
                    None
                    if result.placement is None
                    else placement_to_dict(packed.instance, result.placement)
                ),
                trajectory=trajectory(answer.steps, result),
            )
            self._store.record(attempt)
            self.tally.new += 1
            self.tally.kinds[kind_of(result.status, result.stop_reason)] += 1
            best.take(result)
            self._progress.finished(
                Finished(
                    instance=packed.instance.name,
                    algorithm=task.algorithm.name,
                    seed=task.seed,
                    result=result,
                    best_gap=relative_gap(best.saving_ms, best.bound_saving_ms),
                )
            )

        self._workers.submit(request, done, begun)

    def _is_due(self, task: Task, checksum: str) -> bool:
        earlier = self._finished.get(task.key(checksum))
        if earlier is None or self._redo == "all":
            return True
        if self._redo == "outdated":
            return _is_outdated(earlier, task)
        kind = kind_of(earlier.status, earlier.stop_reason)
        return self._redo == "failed" and kind not in SETTLED

    def _skip(self, task: Task, checksum: str) -> None:
        earlier = self._finished[task.key(checksum)]
        self.tally.skipped += 1
        self.tally.outdated += _is_outdated(earlier, task)
        self.tally.kinds[kind_of(earlier.status, earlier.stop_reason)] += 1
        self._progress.skipped()


def _is_outdated(earlier: Ending, task: Task) -> bool:
    """Tell whether an attempt is of other code than would run now, ours or the plug-in's."""
    now = (code_version(), algorithm_plugin(task.algorithm))
    return (earlier.code_version, earlier.plugin) != now


def _supports(task: Task, packed: PackedInstance) -> bool:
    """Ask the method, so that no start is computed for one that will not run."""
    limits = Limits()
    answer = solve_in_sandbox(task.algorithm, packed, seed=0, limits=limits, only_ask=True)
    return answer.outcome.stop_reason is not StopReason.UNSUPPORTED
