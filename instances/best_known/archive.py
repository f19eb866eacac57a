"""The file of best known values: CSV, one row for each instance, in the order of the list.

Columns: ``instance, family, size, seed, checksum, saving_ms, latency_ms``; ``method, seconds,
version, date`` of the value; ``bound_saving_ms`` and ``bound_method, bound_seconds, bound_version,
bound_date``; ``proof_method, proof_seconds, proof_version, proof_date``; ``placement``. What is
unknown is empty. Equal archives give equal bytes.
"""

import csv
import io
import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType

from instances.best_known.catalogue import CATALOGUE
from instances.best_known.entry import Entry, Provenance
from instances.errors import InputError
from instances.files import read_bytes, write_atomically

SHIPPED = Path(__file__).parent / "best_known.csv"
"""The archive that comes with the package."""

Archive = Mapping[str, Entry]
"""Entries by the name of their instance."""

_PROVENANCE = ("method", "seconds", "version", "date")
_VALUE = ("instance", "family", "size", "seed", "checksum", "saving_ms", "latency_ms")
COLUMNS = (
    *_VALUE,
    *_PROVENANCE,
    "bound_saving_ms",
    *(f"bound_{name}" for name in _PROVENANCE),
    *(f"proof_{name}" for name in _PROVENANCE),
    "placement",
)
"""Columns of the file, in order."""

_CHECKSUM = re.compile(r"[0-9a-f]{64}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_WHOLE = re.compile(r"\d{1,18}")


def read_archive(path: str | os.PathLike[str] = SHIPPED) -> Archive:
    """Read an archive; one that does not exist yet is empty.

    Raises
    ------
    InputError
        When the file cannot be read, or names the row and the column that is wrong.
    """
    if not Path(path).exists():
        return MappingProxyType({})
    try:
        return parse_archive(read_bytes(path).decode("utf-8"))
    except UnicodeDecodeError as error:
        raise InputError("", f"not UTF-8: {error.reason}", source=os.fspath(path)) from None
    except InputError as error:
        raise (error if error.source else error.in_file(os.fspath(path))) from None


def find_entry(archive: Archive, name: str, checksum: str) -> Entry | None:
    """Return what is known of an instance; None for another instance of that name, too.

    For those who compare with best known values: :attr:`Entry.saving_ms` is the value to hold a
    placement against, and unlike "the best in this table" it does not change with who is in it.
    """
    entry = archive.get(name)
    return entry if entry is not None and entry.checksum == checksum else None


def write_archive(archive: Archive, path: str | os.PathLike[str] = SHIPPED) -> None:
    """Write an archive: the file has its old content or all of the new one, whatever happens.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    write_atomically(path, archive_text(archive.values()).encode())


def archive_text(entries: Iterable[Entry]) -> str:
    """Return the content of the file."""
    order = {name: rank for rank, name in enumerate(CATALOGUE)}
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in sorted(
        entries, key=lambda each: (order.get(each.instance, math.inf), each.instance)
    ):
        bound = "" if math.isinf(entry.bound_saving_ms) else repr(entry.bound_saving_ms)
        writer.writerow(
            [
                *(entry.instance, entry.family, entry.size, entry.seed, entry.checksum),
                *(repr(entry.saving_ms), repr(entry.latency_ms)),
                *_provenance_cells(entry.found),
                bound,
                *_provenance_cells(entry.bounded),
                *_provenance_cells(entry.proven),
                entry.placement,
            ]
        )
    return file.getvalue()


def parse_archive(text: str) -> Archive:
    """Return the entries of a file's content.

    Raises
    ------
    InputError
        Names the row (the first after the header is 0) and the column that is wrong.
    """
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except csv.Error as error:
        raise InputError("", f"not CSV: {error}") from None
    if not rows or tuple(rows[0]) != COLUMNS:
        raise InputError("", f"the first line must name the columns {','.join(COLUMNS)}")
    entries: dict[str, Entry] = {}
    for number, cells in enumerate(rows[1:]):
        try:
            entry = _entry(cells)
            if entry.instance in entries:
                raise InputError("instance", f"{entry.instance!r} has a row already")
        except InputError as error:
            raise error.within(f"rows[{number}]") from None
        entries[entry.instance] = entry
    return MappingProxyType(entries)


def _provenance_cells(provenance: Provenance | None) -> list[str]:
    if provenance is None:
        return [""] * len(_PROVENANCE)
    seconds = repr(provenance.seconds)
    return [provenance.method, seconds, provenance.version, provenance.date]


def _entry(cells: list[str]) -> Entry:
    if len(cells) != len(COLUMNS):
        raise InputError("", f"{len(cells)} cells where there are {len(COLUMNS)} columns")
    row = dict(zip(COLUMNS, cells, strict=True))
    if not _CHECKSUM.fullmatch(row["checksum"]):
        raise InputError("checksum", f"{row['checksum']!r} is not a SHA-256 in hexadecimal")
    if not _WHOLE.fullmatch(row["seed"]):
        raise InputError("seed", f"{row['seed']!r} is not a whole number from 0")
    found = _provenance(row, "")
    if found is None:
        raise InputError("method", "the method that found the placement is missing")
    bound = row["bound_saving_ms"]
    return Entry(
        instance=row["instance"],
        family=row["family"],
        size=row["size"],
        seed=int(row["seed"]),
        checksum=row["checksum"],
        saving_ms=_number(row, "saving_ms"),
        latency_ms=_number(row, "latency_ms"),
        found=found,
        bound_saving_ms=_number(row, "bound_saving_ms") if bound else math.inf,
        bounded=_provenance(row, "bound_"),
        proven=_provenance(row, "proof_"),
        placement=row["placement"],
    )


def _provenance(row: Mapping[str, str], prefix: str) -> Provenance | None:
    cells = {name: row[prefix + name] for name in _PROVENANCE}
    if not any(cells.values()):
        return None
    for name, cell in cells.items():
        if not cell:
            raise InputError(prefix + name, "is missing beside the cells that go with it")
    if not _DATE.fullmatch(cells["date"]):
        raise InputError(f"{prefix}date", f"{cells['date']!r} is not a day such as 2026-01-31")
    return Provenance(
        method=cells["method"],
        seconds=_number(row, f"{prefix}seconds"),
        version=cells["version"],
        date=cells["date"],
    )


def _number(row: Mapping[str, str], name: str) -> float:
    try:
        value = float(row[name])
    except ValueError:
        value = math.nan
    if not 0.0 <= value < math.inf:
        raise InputError(name, f"{row[name]!r} is not a finite number >= 0")
    return value
