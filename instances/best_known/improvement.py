"""The rule by which an entry changes: only ever for the better.

A placement counts by its exact value, in fractions; a bound counts when it is certified; a proof
counts when it agrees with what is known. What contradicts the archive changes nothing and is told.
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from instances.best_known.catalogue import Published
from instances.best_known.entry import Entry, Provenance, pack_placement, unpack_placement
from instances.checker import ExactValues, check
from instances.errors import InputError
from instances.placement import Placement
from instances.problem import Instance

PROOF_TOLERANCE = Fraction(1, 10**9)
"""Relative difference between two proofs that is excused: they are found in floating point."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """What one run of a method says of an instance.

    Parameters
    ----------
    placement
        Its placement, if any.
    bound_saving_ms
        Its certified upper bound, ms per token; infinite when there is none or it is not certified.
    proven
        An exact method has completed its proof that the placement is optimal.
    source
        Which run that was.
    """

    placement: Placement | None
    bound_saving_ms: float = math.inf
    proven: bool = False
    source: Provenance


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """An entry after a candidate.

    Parameters
    ----------
    entry
        The entry, improved or as it was; None while no placement is known.
    changes
        What became better: ``value``, ``bound``, ``proof``.
    contradiction
        Why the candidate cannot be true beside the archive, or the other way round; empty when
        there is none. Nothing has been changed then.
    """

    entry: Entry | None
    changes: tuple[str, ...] = ()
    contradiction: str = ""


def revise(
    published: Published, instance: Instance, entry: Entry | None, candidate: Candidate
) -> Revision:
    """Hold a candidate against an entry, and take over what is better.

    Raises
    ------
    InputError
        When the entry is about another instance of that name, or its placement is not one.
    """
    if entry is not None and entry.checksum != instance.checksum():
        raise InputError(
            entry.instance,
            f"the archive is about an instance with checksum {entry.checksum[:12]}..., but "
            f"{instance.checksum()[:12]}... is generated now",
        )
    known = None if entry is None else check(instance, unpack_placement(entry.placement, instance))
    values = None if candidate.placement is None else check(instance, candidate.placement)
    problem = _contradiction(entry, known, candidate, values)
    if problem:
        return Revision(entry=entry, contradiction=f"{candidate.source.method}: {problem}")
    changes = []
    if candidate.placement is not None and values is not None:
        if entry is None or known is None:
            entry = _first_entry(published, instance, candidate, candidate.placement, values)
            changes.append("value")
        elif values.saving_ms > known.saving_ms:
            entry = replace(
                entry,
                saving_ms=float(values.saving_ms),
                latency_ms=float(values.latency_ms),
                placement=pack_placement(candidate.placement),
                found=candidate.source,
            )
            changes.append("value")
    if entry is None:
        return Revision(entry=None)
    if candidate.bound_saving_ms < entry.bound_saving_ms:
        entry = replace(entry, bound_saving_ms=candidate.bound_saving_ms, bounded=candidate.source)
        changes.append("bound")
    if entry.proven is None and (candidate.proven or _meets_bound(entry)):
        entry = replace(entry, proven=candidate.source if candidate.proven else entry.bounded)
        changes.append("proof")
    return Revision(entry=entry, changes=tuple(changes))


def is_closed(entry: Entry) -> bool:
    """Whether nothing is left to improve: a proven value that meets a certified bound."""
    return entry.proven is not None and _meets_bound(entry)


def _meets_bound(entry: Entry) -> bool:
    """Whether value and certified bound agree as well as two proofs would."""
    if math.isinf(entry.bound_saving_ms):
        return False
    saving = Fraction(entry.saving_ms)
    return Fraction(entry.bound_saving_ms) - saving <= PROOF_TOLERANCE * saving


def _first_entry(
    published: Published,
    instance: Instance,
    candidate: Candidate,
    placement: Placement,
    values: ExactValues,
) -> Entry:
    return Entry(
        instance=published.name,
        family=published.family,
        size=published.size,
        seed=published.seed,
        checksum=instance.checksum(),
        saving_ms=float(values.saving_ms),
        latency_ms=float(values.latency_ms),
        found=candidate.source,
        placement=pack_placement(placement),
    )


def _contradiction(
    entry: Entry | None,
    known: ExactValues | None,
    candidate: Candidate,
    values: ExactValues | None,
) -> str:
    """Say what cannot be true, or nothing."""
    if values is not None and not values.feasible:
        return f"its placement stores more than server {values.overfull[0]} holds"
    if candidate.proven and values is None:
        return "a proof of optimality without a placement"
    savings = [each.saving_ms for each in (known, values) if each is not None]
    best = max(savings, default=Fraction(0))
    bounds = [candidate.bound_saving_ms, math.inf if entry is None else entry.bound_saving_ms]
    bound = min(bounds)
    if math.isnan(bound) or bound < best:  # a double against a fraction: exact
        return f"the bound {bound!r} ms is below {float(best)!r} ms, which a placement saves"
    proofs = []
    if candidate.proven and values is not None:
        proofs.append(values.saving_ms)
    if entry is not None and entry.proven is not None and known is not None:
        proofs.append(known.saving_ms)
    for proof in proofs:
        if best - proof > PROOF_TOLERANCE * best:
            return (
                f"{float(proof)!r} ms is said to be optimal, but a placement saves "
                f"{float(best)!r} ms"
            )
    return ""
