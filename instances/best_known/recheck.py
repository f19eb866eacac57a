"""Every entry again, in exact arithmetic and without any code of a solver."""

import math
from collections.abc import Iterator
from fractions import Fraction

from instances.best_known.catalogue import CATALOGUE
from instances.best_known.entry import Entry, unpack_placement
from instances.checker import check
from instances.errors import InputError
from instances.families import generate


def recheck(entry: Entry) -> list[str]:
    """Return everything that is wrong with an entry; an empty list when all is right.

    The instance is generated and has the checksum; the placement fits; its value, as a fraction,
    rounds to the stored one; the certified bound, as a fraction, is not below it. That the bound
    itself is valid, and that a proof is one, rests on the method that is named beside it.
    """
    return list(_problems(entry))


def _problems(entry: Entry) -> Iterator[str]:
    published = CATALOGUE.get(entry.instance)
    if published is None:
        yield "is not in the published list"
    elif (published.family, published.size, published.seed) != (
        entry.family,
        entry.size,
        entry.seed,
    ):
        yield f"is not generated from {entry.family} {entry.size} with seed {entry.seed}"
    try:
        instance = generate(entry.family, size=entry.size, seed=entry.seed)
        if instance.checksum() != entry.checksum:
            yield f"checksum {entry.checksum[:12]}... is not {instance.checksum()[:12]}..."
            return
        placement = unpack_placement(entry.placement, instance)
    except InputError as error:
        yield str(error)
        return
    values = check(instance, placement)
    for server in values.overfull:
        yield (
            f"server {instance.server_names[server]!r} stores {values.used_bytes[server]} bytes "
            f"where its capacity is {instance.capacity_bytes[server]}"
        )
    for name, stored, exact in (
        ("saving", entry.saving_ms, values.saving_ms),
        ("latency", entry.latency_ms, values.latency_ms),
    ):
        if stored != float(exact):  # the nearest double of a fraction
            yield f"{name} {stored!r} ms is not {float(exact)!r} ms"
    bound = entry.bound_saving_ms
    if math.isfinite(bound) and Fraction(bound) < values.saving_ms:
        yield f"bound {bound!r} ms is below the saving, {float(values.saving_ms)!r} ms"
