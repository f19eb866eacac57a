"""The start of an exact method: the best placement of the quick heuristics."""

from dataclasses import dataclass

from bench.algorithms import quick_heuristics
from bench.environment import Environment
from bench.pool import Request, Workers
from bench.sandbox import Limits, PackedInstance
from bench.worker import Answer
from instances.placement import Placement
from instances.registry import Algorithm
from instances.result import judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A placement to start from, and what it took.

    Parameters
    ----------
    placement
        The best placement; None when no heuristic has found any.
    algorithm
        The heuristic that found it; empty without a placement.
    saving_ms
        Its saving, ms per token; negative without a placement.
    seconds
        Time of all heuristics that looked for it.
    """

    placement: Placement | None = None
    algorithm: str = ""
    saving_ms: float = -1.0
    seconds: float = 0.0


def find_start(workers: Workers, packed: PackedInstance, limits: Limits) -> Start:
    """Run the quick heuristics, each within the limits, and keep the best placement."""
    best = Start()
    missing = 0

    def search(algorithm: Algorithm) -> None:
        def done(answer: Answer, environment: Environment) -> None:
            nonlocal best, missing
            missing -= 1
            best = _better(best, algorithm.name, packed, answer)

        nonlocal missing
        missing += 1
        request = Request(algorithm=algorithm, packed=packed, seed=0, limits=limits)
        workers.submit(request, done)

    for algorithm in quick_heuristics():
        search(algorithm)
    while missing:
        workers.step()
    return best


def _better(best: Start, name: str, packed: PackedInstance, answer: Answer) -> Start:
    result = judge(packed.instance, answer.outcome, seconds=answer.seconds)
    seconds = best.seconds + answer.seconds
    if result.placement is not None and result.saving_ms > best.saving_ms:
        return Start(
            placement=result.placement,
            algorithm=name,
            saving_ms=result.saving_ms,
            seconds=seconds,
        )
    return Start(
        placement=best.placement,
        algorithm=best.algorithm,
        saving_ms=best.saving_ms,
        seconds=seconds,
    )
