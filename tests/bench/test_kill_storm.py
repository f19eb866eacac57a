from pathlib import Path

import pytest

from bench import kill_storm
from bench.kill_storm import Damage, storm
from bench.store import Store
from tests.bench.old_stores import write_version_1


def test_a_short_storm(tmp_path: Path) -> None:
    kills, attempts = storm(2, tmp_path)
    assert kills >= 1
    assert attempts == 2 * 6 * 4


@pytest.mark.long
def test_a_hundred_kills(tmp_path: Path) -> None:
    kills, attempts = storm(100, tmp_path)
    assert kills >= 90
    assert attempts == 100 * 6 * 4


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    write_version_1(path)
    kill_storm._check(path, told=3)  # noqa: SLF001  (its eyes are what is tested)
    with pytest.raises(Damage, match="4 attempts were told of, 3 are there"):
        kill_storm._check(path, told=4)  # noqa: SLF001
    with Store.open_for_writing(path) as store, store.writing() as connection:
        connection.execute("DELETE FROM trajectories")
    with pytest.raises(Damage, match="attempt 1: its trajectory is missing"):
        kill_storm._check(path, told=0)  # noqa: SLF001
    with Store.open_for_writing(path) as store, store.writing() as connection:
        connection.execute("DELETE FROM placements")
    with pytest.raises(Damage, match="attempt 1: half of it is missing"):
        kill_storm._check(path, told=0)  # noqa: SLF001
