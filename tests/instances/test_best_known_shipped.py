"""The archive that is shipped, entry by entry, in exact arithmetic."""

import pytest

from instances.best_known import CATALOGUE, SHIPPED, read_archive
from instances.best_known.archive import archive_text
from instances.best_known.recheck import recheck


def test_the_shipped_archive_is_canonical_and_complete() -> None:
    archive = read_archive()
    assert SHIPPED.read_text(encoding="utf-8") == archive_text(archive.values())
    assert list(archive) == list(CATALOGUE)
    assert SHIPPED.stat().st_size < 2_000_000


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each.name, marks=[pytest.mark.long] * (each.size in ("large", "real")))
        for each in CATALOGUE.values()
    ],
)
def test_every_entry_of_the_shipped_archive_is_right(name: str) -> None:
    assert recheck(read_archive()[name]) == []
