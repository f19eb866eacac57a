import math

from bench.published import PublishedSize, published_sizes
from instances.best_known.archive import read_archive
from instances.best_known.entry import Entry, Provenance

RUN = Provenance(method="improve", seconds=1.0, version="1", date="2026-01-01")


def entry(name: str, saving: float, bound: float, *, proven: bool = False) -> Entry:
    return Entry(
        instance=name,
        family="mixtral",
        size="tiny",
        seed=0,
        checksum="0" * 64,
        saving_ms=saving,
        latency_ms=1.0,
        found=RUN,
        bound_saving_ms=bound,
        bounded=RUN if math.isfinite(bound) else None,
        proven=RUN if proven else None,
        placement="",
    )


def test_the_worst_gap_counts_and_a_proof_closes_it() -> None:
    entries = [entry("a", 9.0, 10.0), entry("b", 4.0, 5.0, proven=True), entry("c", 8.0, 8.0)]
    assert published_sizes(entries) == {
        "mixtral": {"tiny": PublishedSize(instances=3, proven=1, worst_gap=0.1, worst_on="a")}
    }


def test_a_missing_bound_is_an_infinite_gap() -> None:
    known = published_sizes([entry("a", 9.0, 10.0), entry("b", 1.0, math.inf)])["mixtral"]["tiny"]
    assert (known.worst_gap, known.worst_on) == (math.inf, "b")


def test_every_family_at_real_size_has_a_certified_gap_most_of_them_within_a_hundredth() -> None:
    table = published_sizes(read_archive().values())
    gaps = [sizes["real"].worst_gap for sizes in table.values() if "real" in sizes]
    assert len(gaps) == 12
    assert max(gaps) < 1
    assert sum(gap <= 0.01 for gap in gaps) >= len(gaps) / 2
