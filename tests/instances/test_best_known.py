import dataclasses
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances.best_known import (
    CATALOGUE,
    Entry,
    Provenance,
    find_entry,
    read_archive,
    write_archive,
)
from instances.best_known.archive import COLUMNS, archive_text, parse_archive
from instances.best_known.catalogue import CLASSES, TRAPS, Published, find_published
from instances.best_known.entry import pack_placement, unpack_placement
from instances.best_known.improvement import Candidate, is_closed, revise
from instances.best_known.recheck import recheck
from instances.checker import check
from instances.errors import InputError
from instances.families import FAMILIES
from instances.placement import Placement
from instances.problem import Instance

PUBLISHED = CATALOGUE["mixtral-tiny-s0"]
OPENED = Provenance(method="somebody", seconds=0.25, version="1", date="2026-01-31")
LATER = Provenance(method="somebody-else", seconds=0.5, version="2", date="2026-02-28")


@pytest.fixture(scope="module")
def instance() -> Instance:
    return PUBLISHED.load()


def fill(instance: Instance, count: int) -> Placement:
    """Store one expert more than counted, of which the second server has room for three."""
    room = (count + 1, min(count + 1, 3))
    return Placement.of(instance, [(n, x) for n in range(2) for x in range(room[n])])


def some_entry(instance: Instance, count: int = 1) -> Entry:
    revision = revise(
        PUBLISHED, instance, None, Candidate(placement=fill(instance, count), source=OPENED)
    )
    assert revision.entry is not None
    assert revision.changes == ("value",)
    return revision.entry


# -- the list ---------------------------------------------------------------------------------


def test_the_list_names_what_can_be_generated() -> None:
    for published in CATALOGUE.values():
        family = FAMILIES.get(published.family)
        assert published.size in family.sizes
    assert {published.family for published in CATALOGUE.values()} == {"tiny", *CLASSES, *TRAPS}
    for name in ("tiny-tiny-s4", "switch-real-s0", "hull-trap-large-s0"):
        assert CATALOGUE[name].name == name
    assert CATALOGUE["order-trap-small-s0"].load().name == "order-trap-small-s0"


def test_small_instances_come_first() -> None:
    sizes = [published.size for published in CATALOGUE.values()]
    assert list(dict.fromkeys(sizes)) == ["tiny", "small", "medium", "large", "real"]


def test_instances_are_found_by_name_family_and_size() -> None:
    assert find_published([]) == list(CATALOGUE.values())
    assert find_published(["mixtral-tiny-s1"]) == [Published("mixtral", "tiny", 1)]
    assert {each.size for each in find_published(["mixtral"])} == {
        *("tiny", "small", "medium", "large", "real")
    }
    reals = find_published(["real", "mixtral-real-s0"])
    assert {each.size for each in reals} == {"real"}
    assert len(set(reals)) == len(reals)
    with pytest.raises(InputError, match="'mixtrall' is neither an instance of the archive"):
        find_published(["mixtrall"])


# -- placements as text -----------------------------------------------------------------------


@given(data=st.data())
def test_placements_are_packed_without_loss(data: st.DataObject, instance: Instance) -> None:
    shape = (instance.num_servers, instance.num_experts)
    bits = data.draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
    placement = Placement(np.array(bits, dtype=np.bool_).reshape(shape))
    again = unpack_placement(pack_placement(placement), instance)
    assert np.array_equal(again.stored, placement.stored)


def test_packed_placements_start_with_the_highest_bit(tiny: Instance) -> None:
    # two servers x six experts: bits 100000 000011, filled up with four zeros
    placement = Placement.of(tiny, [(0, 0), (1, 4), (1, 5)])
    assert pack_placement(placement) == "gDA="
    assert np.array_equal(unpack_placement("gDA=", tiny).stored, placement.stored)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("gDA", "not base64"),
        ("g?A=", "not base64"),
        ("gA==", "1 bytes where 12 bits"),
        ("gDAA", "3 bytes where 12 bits"),
        ("gDE=", "bits beyond the 12"),
    ],
)
def test_what_is_no_placement_is_refused(tiny: Instance, text: str, problem: str) -> None:
    with pytest.raises(InputError, match=f"placement: {problem}"):
        unpack_placement(text, tiny)


# -- an entry only becomes better -------------------------------------------------------------


def test_a_first_placement_makes_an_entry_of_exact_values(instance: Instance) -> None:
    placement = fill(instance, 2)
    exact = check(instance, placement)
    entry = some_entry(instance, 2)
    assert entry.instance == instance.name == "mixtral-tiny-s0"
    assert entry.checksum == instance.checksum()
    assert entry.saving_ms == float(exact.saving_ms) > 0
    assert entry.latency_ms == float(exact.latency_ms)
    assert (entry.found, entry.bounded, entry.proven) == (OPENED, None, None)
    assert math.isinf(entry.bound_saving_ms)
    assert recheck(entry) == []


def test_a_bound_without_any_placement_makes_no_entry(instance: Instance) -> None:
    candidate = Candidate(placement=None, bound_saving_ms=99.0, source=OPENED)
    revision = revise(PUBLISHED, instance, None, candidate)
    assert (revision.entry, revision.changes, revision.contradiction) == (None, (), "")


def test_only_a_larger_saving_replaces_the_placement(instance: Instance) -> None:
    entry = some_entry(instance, 2)
    for count in (1, 2):
        candidate = Candidate(placement=fill(instance, count), source=LATER)
        assert revise(PUBLISHED, instance, entry, candidate).entry == entry
    better = revise(
        PUBLISHED, instance, entry, Candidate(placement=fill(instance, 3), source=LATER)
    )
    assert better.changes == ("value",)
    assert better.entry is not None
    assert better.entry.saving_ms > entry.saving_ms
    assert better.entry.latency_ms < entry.latency_ms
    assert better.entry.found == LATER
    assert recheck(better.entry) == []


def test_a_saving_counts_even_where_doubles_cannot_tell(tiny: Instance) -> None:
    # rates differ by less than an ulp of the sum: only fractions see which placement is better
    rates = tiny.demand_rate.copy()
    rates[1] = 2.0**-60
    instance = dataclasses.replace(tiny, demand_rate=rates)
    published = Published("tiny", "tiny", 0)
    less, more = (
        Placement.of(instance, pairs) for pairs in ([(1, 4), (1, 5)], [(1, 4), (1, 5), (1, 2)])
    )
    values = [check(instance, each).saving_ms for each in (less, more)]
    assert values[0] < values[1]
    assert float(values[0]) == float(values[1])
    first = revise(published, instance, None, Candidate(placement=less, source=OPENED))
    then = revise(published, instance, first.entry, Candidate(placement=more, source=LATER))
    assert then.changes == ("value",)
    back = revise(published, instance, then.entry, Candidate(placement=less, source=OPENED))
    assert back.changes == ()


def test_only_a_lower_bound_replaces_the_bound(instance: Instance) -> None:
    entry = some_entry(instance)
    high, low = 2 * entry.saving_ms, 1.5 * entry.saving_ms
    one = revise(
        PUBLISHED, instance, entry, Candidate(placement=None, bound_saving_ms=high, source=OPENED)
    )
    assert one.changes == ("bound",)
    assert one.entry is not None
    assert one.entry.gap == 0.5
    two = revise(
        PUBLISHED,
        instance,
        one.entry,
        Candidate(placement=None, bound_saving_ms=low, source=LATER),
    )
    assert two.entry is not None
    assert (two.entry.bound_saving_ms, two.entry.bounded) == (low, LATER)
    for bound in (low, high, math.inf):
        candidate = Candidate(placement=None, bound_saving_ms=bound, source=OPENED)
        assert revise(PUBLISHED, instance, two.entry, candidate).entry == two.entry
    assert two.entry.proven is None


def test_a_proof_is_kept_with_who_made_it_first(instance: Instance) -> None:
    entry = some_entry(instance, 2)
    candidate = Candidate(placement=fill(instance, 2), proven=True, source=LATER)
    proven = revise(PUBLISHED, instance, entry, candidate)
    assert proven.changes == ("proof",)
    assert proven.entry is not None
    assert (proven.entry.proven, proven.entry.found) == (LATER, OPENED)
    assert not is_closed(proven.entry)
    again = revise(PUBLISHED, instance, proven.entry, dataclasses.replace(candidate, source=OPENED))
    assert (again.entry, again.changes) == (proven.entry, ())


def test_a_bound_that_meets_the_value_is_a_proof(instance: Instance) -> None:
    entry = some_entry(instance)
    bound = entry.saving_ms * (1 + 5e-10)
    revision = revise(
        PUBLISHED, instance, entry, Candidate(placement=None, bound_saving_ms=bound, source=LATER)
    )
    assert revision.changes == ("bound", "proof")
    assert revision.entry is not None
    assert revision.entry.proven == LATER
    assert is_closed(revision.entry)


def test_a_bound_between_the_value_and_its_double_is_valid(instance: Instance) -> None:
    entry = some_entry(instance)
    exact = check(instance, fill(instance, 1)).saving_ms
    below = math.nextafter(entry.saving_ms, 0.0)
    bound = entry.saving_ms if Fraction(entry.saving_ms) >= exact else below
    revision = revise(
        PUBLISHED, instance, entry, Candidate(placement=None, bound_saving_ms=bound, source=LATER)
    )
    assert (revision.contradiction == "") == (Fraction(bound) >= exact)


def test_contradictions_change_nothing_and_are_told(instance: Instance) -> None:
    entry = some_entry(instance, 2)
    proven = dataclasses.replace(entry, proven=OPENED)
    bounded = dataclasses.replace(entry, bound_saving_ms=entry.saving_ms * 1.0001, bounded=OPENED)
    overfull = Placement(np.ones((instance.num_servers, instance.num_experts), dtype=np.bool_))
    more, less = fill(instance, 3), fill(instance, 1)
    for before, candidate, problem in (
        (entry, Candidate(placement=None, bound_saving_ms=1e-6, source=LATER), "the bound 1e-06"),
        (entry, Candidate(placement=None, bound_saving_ms=math.nan, source=LATER), "the bound nan"),
        (None, Candidate(placement=less, bound_saving_ms=1e-6, source=LATER), "the bound 1e-06"),
        (bounded, Candidate(placement=more, source=LATER), "is below"),
        (entry, Candidate(placement=overfull, source=LATER), "stores more than server 0"),
        (entry, Candidate(placement=less, proven=True, source=LATER), "is said to be optimal"),
        (proven, Candidate(placement=more, source=LATER), "is said to be optimal"),
        (entry, Candidate(placement=None, proven=True, source=LATER), "without a placement"),
    ):
        revision = revise(PUBLISHED, instance, before, candidate)
        assert problem in revision.contradiction
        assert revision.contradiction.startswith("somebody-else: ")
        assert revision.entry == before
        assert revision.changes == ()


def test_an_entry_about_another_instance_of_that_name_is_refused(instance: Instance) -> None:
    entry = dataclasses.replace(some_entry(instance), checksum="0" * 64)
    with pytest.raises(InputError, match=r"mixtral-tiny-s0: the archive is about .*000000000000"):
        revise(PUBLISHED, instance, entry, Candidate(placement=None, source=LATER))


# -- checking again ---------------------------------------------------------------------------


def test_every_kind_of_wrong_entry_is_found(instance: Instance) -> None:
    entry = some_entry(instance, 2)
    saving = entry.saving_ms
    other = pack_placement(fill(instance, 3))
    overfull = pack_placement(Placement(np.ones_like(fill(instance, 1).stored)))
    up = math.nextafter(saving, math.inf)
    for change, problem in (
        ({"saving_ms": up}, "saving"),
        ({"latency_ms": math.nextafter(entry.latency_ms, 0.0)}, "latency"),
        ({"placement": other}, "saving"),
        ({"placement": overfull}, "stores"),
        ({"placement": "AAAA"}, "bits"),
        ({"checksum": "1" * 64}, "checksum 111111111111"),
        ({"instance": "mixtral-tiny-s9"}, "not in the published list"),
        ({"instance": "mixtral-tiny-s1"}, "is not generated from mixtral tiny with seed 0"),
        ({"seed": 1}, "is not generated from mixtral tiny with seed 1"),
        ({"size": "enormous"}, "'enormous' is not one of"),
    ):
        problems = recheck(dataclasses.replace(entry, **change))
        assert any(problem in each for each in problems), (change, problems)
    low = dataclasses.replace(
        entry, saving_ms=0.5 * saving, bound_saving_ms=0.75 * saving, bounded=OPENED
    )
    assert any("is below the saving" in each for each in recheck(low))


# -- files ------------------------------------------------------------------------------------


def test_files_are_read_as_they_were_written(instance: Instance, tmp_path: Path) -> None:
    entry = some_entry(instance)
    full = dataclasses.replace(
        entry,
        bound_saving_ms=entry.saving_ms * 1.25,
        bounded=LATER,
        proven=dataclasses.replace(OPENED, method='odd, "quoted" name'),
    )
    path = tmp_path / "best.csv"
    for one in (entry, full):
        write_archive({one.instance: one}, path)
        assert dict(read_archive(path)) == {one.instance: one}
    assert path.read_bytes().startswith(",".join(COLUMNS).encode() + b"\n")


def test_a_missing_file_is_an_empty_archive(tmp_path: Path) -> None:
    assert read_archive(tmp_path / "none.csv") == {}


def test_an_entry_is_found_for_its_own_instance_only(instance: Instance) -> None:
    entry = some_entry(instance)
    archive = {entry.instance: entry}
    assert find_entry(archive, instance.name, instance.checksum()) is entry
    assert find_entry(archive, instance.name, "0" * 64) is None
    assert find_entry(archive, "mixtral-tiny-s1", instance.checksum()) is None


def test_rows_stand_in_the_order_of_the_list(instance: Instance) -> None:
    entry = some_entry(instance)
    entries = [
        dataclasses.replace(entry, instance=name)
        for name in ("zebra", "switch-small-s0", "tiny-tiny-s0", "aardvark")
    ]
    rows = archive_text(entries).splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == [
        *("tiny-tiny-s0", "switch-small-s0", "aardvark", "zebra")
    ]


@pytest.mark.parametrize(
    ("column", "cell", "problem"),
    [
        ("checksum", "abc", r"rows\[0\]\.checksum: 'abc' is not a SHA-256"),
        ("seed", "-1", r"rows\[0\]\.seed: '-1' is not a whole number"),
        ("saving_ms", "nan", r"rows\[0\]\.saving_ms: 'nan' is not a finite number"),
        ("saving_ms", "", r"rows\[0\]\.saving_ms: '' is not a finite number"),
        ("latency_ms", "-2", r"rows\[0\]\.latency_ms: '-2' is not a finite number"),
        ("method", "", r"rows\[0\]\.method: is missing"),
        ("date", "yesterday", r"rows\[0\]\.date: 'yesterday' is not a day"),
        ("bound_saving_ms", "", r"rows\[0\]\.bound_saving_ms: a bound and its method belong"),
        ("bound_saving_ms", "1e-9", r"rows\[0\]\.bound_saving_ms: 1e-09 is below"),
        ("proof_date", "", r"rows\[0\]\.proof_date: is missing beside"),
    ],
)
def test_mistakes_in_a_file_are_named(
    instance: Instance, tmp_path: Path, column: str, cell: str, problem: str
) -> None:
    entry = some_entry(instance)
    entry = dataclasses.replace(
        entry, bound_saving_ms=2 * entry.saving_ms, bounded=LATER, proven=OPENED
    )
    header, row = archive_text([entry]).splitlines()
    cells = row.split(",")
    cells[COLUMNS.index(column)] = cell
    path = tmp_path / "best.csv"
    path.write_text(f"{header}\n{','.join(cells)}\n")
    with pytest.raises(InputError, match=rf"best\.csv: {problem}"):
        read_archive(path)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "first line must name the columns"),
        ("a,b\n", "first line must name the columns"),
        (",".join(COLUMNS) + "\nx\n", r"rows\[0\]: 1 cells where there are 21"),
        (",".join(COLUMNS) + '\n"x', "not CSV"),
    ],
)
def test_other_files_are_refused(text: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        parse_archive(text)


def test_repeated_rows_and_other_encodings_are_refused(instance: Instance, tmp_path: Path) -> None:
    header, row = archive_text([some_entry(instance)]).splitlines()
    with pytest.raises(InputError, match=r"rows\[1\]\.instance: 'mixtral-tiny-s0' has a row"):
        parse_archive("\n".join((header, row, row)))
    path = tmp_path / "best.csv"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"best\.csv: not UTF-8"):
        read_archive(path)
