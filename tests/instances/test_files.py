import gzip
import json
import os
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances import files
from instances.archive import archive_bytes
from instances.documents import instance_text
from instances.errors import InputError
from instances.files import (
    instance_from_dict,
    instance_to_dict,
    placement_from_dict,
    placement_to_dict,
    read_instance,
    read_placement,
    write_atomically,
    write_instance,
    write_placement,
)
from instances.placement import Placement
from tests.strategies import instances, random_instance, random_placement

INSTANCE_SUFFIXES = [".json", ".json.gz", ".npz"]


@pytest.mark.parametrize("seed", range(10))
def test_all_formats_hold_the_same_instance(tmp_path, seed):
    rng = np.random.default_rng(seed)
    instance = random_instance(rng, max_models=3, max_rows=40, wild=True)
    current = instance
    for suffix in [*INSTANCE_SUFFIXES, ".json"]:  # each written from what the last one gave
        write_instance(tmp_path / f"x{suffix}", current)
        current = read_instance(tmp_path / f"x{suffix}")
        assert current.checksum() == instance.checksum()


@pytest.mark.parametrize("suffix", INSTANCE_SUFFIXES)
def test_equal_instances_give_equal_bytes(tmp_path, suffix, tiny):
    write_instance(tmp_path / f"first{suffix}", tiny)
    write_instance(str(tmp_path / f"second{suffix}"), replace(tiny))
    first = (tmp_path / f"first{suffix}").read_bytes()
    assert (tmp_path / f"second{suffix}").read_bytes() == first
    write_instance(tmp_path / f"third{suffix}", read_instance(str(tmp_path / f"first{suffix}")))
    assert (tmp_path / f"third{suffix}").read_bytes() == first


def test_the_suffix_names_the_format(tmp_path, tiny):
    for suffix in INSTANCE_SUFFIXES:
        write_instance(tmp_path / f"x{suffix}", tiny)
    text = instance_text(tiny).encode()
    assert (tmp_path / "x.json").read_bytes() == text
    assert gzip.decompress((tmp_path / "x.json.gz").read_bytes()) == text
    assert (tmp_path / "x.npz").read_bytes() == archive_bytes(tiny)


def test_gzip_header_holds_neither_time_nor_name(tmp_path, tiny):
    write_instance(tmp_path / "x.json.gz", tiny)
    header = (tmp_path / "x.json.gz").read_bytes()[:10]
    assert header == b"\x1f\x8b\x08\x00" + b"\0" * 4 + b"\x00\xff"


def test_upper_case_suffixes_count(tmp_path, tiny):
    write_instance(tmp_path / "X.JSON", tiny)
    assert read_instance(tmp_path / "X.JSON").checksum() == tiny.checksum()


@pytest.mark.parametrize("suffix", [".json", ".json.gz"])
def test_placements_are_written_and_read(tmp_path, suffix):
    for seed in range(20):
        rng = np.random.default_rng(seed)
        instance = random_instance(rng, max_models=3)
        placement = random_placement(rng, instance)
        path = tmp_path / f"p{suffix}"
        write_placement(path, instance, placement)
        read = read_placement(path, instance)
        np.testing.assert_array_equal(read.stored, placement.stored)


def test_overfull_placements_are_neither_written_nor_read(tmp_path, tiny):
    everything = Placement(np.ones((2, 6), dtype=np.bool_))
    path = tmp_path / "p.json"
    match = r"servers\['near'\]: stores 60 bytes where its capacity is 20$"
    with pytest.raises(InputError, match=match):
        write_placement(path, tiny, everything)
    assert not path.exists()
    path.write_text(json.dumps(placement_to_dict(tiny, everything)))
    with pytest.raises(InputError, match=rf"p\.json: {match}"):
        read_placement(path, tiny)


def test_placement_of_another_instance(tmp_path, tiny, tiny_placement):
    write_placement(tmp_path / "p.json", tiny, tiny_placement)
    with pytest.raises(InputError, match=r"p\.json: instance: 'tiny-by-hand' is not 'other', the"):
        read_placement(tmp_path / "p.json", replace(tiny, name="other"))


def test_content_as_dictionaries(tiny, tiny_placement):
    assert instance_from_dict(instance_to_dict(tiny)).checksum() == tiny.checksum()
    read = placement_from_dict(placement_to_dict(tiny, tiny_placement), tiny)
    np.testing.assert_array_equal(read.stored, tiny_placement.stored)


# -- what can go wrong --------------------------------------------------------------------------


def refusal(function, *arguments):
    """Return the one line with which a call is refused."""
    with pytest.raises(InputError) as caught:
        function(*arguments)
    assert str(caught.value).isprintable()
    return str(caught.value)


@pytest.mark.parametrize("name", ["x.txt", "json", "x.json.bz2", "x", "x.gz"])
def test_unknown_suffix(tmp_path, tiny, tiny_placement, name):
    path = tmp_path / name
    expected = f"{path}: unknown kind of file; the name must end in .json, .json.gz"
    assert refusal(read_instance, path) == f"{expected}, .npz"
    assert refusal(write_instance, path, tiny) == f"{expected}, .npz"
    assert refusal(read_placement, path, tiny) == expected
    assert refusal(write_placement, path, tiny, tiny_placement) == expected
    assert not path.exists()


def test_placements_are_not_archives(tmp_path, tiny):
    assert "unknown kind of file" in refusal(read_placement, tmp_path / "p.npz", tiny)


@pytest.mark.parametrize("suffix", INSTANCE_SUFFIXES)
def test_file_that_cannot_be_read(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    assert refusal(read_instance, path) == f"{path}: cannot be read: No such file or directory"
    path.mkdir()
    assert refusal(read_instance, path) == f"{path}: cannot be read: Is a directory"


def test_file_without_permission(tmp_path, tiny, monkeypatch):
    def read_bytes(path):  # as root, permissions stop nobody
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    path = tmp_path / "x.json"
    assert refusal(read_instance, path) == f"{path}: cannot be read: Permission denied"
    assert refusal(read_placement, path, tiny) == f"{path}: cannot be read: Permission denied"


@pytest.mark.parametrize("suffix", INSTANCE_SUFFIXES)
def test_empty_file(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(b"")
    assert refusal(read_instance, path).startswith(f"{path}: not ")


def test_mistakes_name_file_field_index_and_value(tmp_path, tiny):
    path = tmp_path / "x.json"
    path.write_text(instance_text(tiny).replace("0.125", "-0.125"))
    assert refusal(read_instance, path) == (
        f"{path}: demands.rate[4]: -0.125 is not a finite number >= 0"
    )


def test_gzip_that_is_none_or_cut_short(tmp_path, tiny):
    path = tmp_path / "x.json.gz"
    path.write_text(instance_text(tiny))
    assert refusal(read_instance, path).startswith(f"{path}: not a whole gzip file: Not a gzipped")
    write_instance(path, tiny)
    data = path.read_bytes()
    for length in range(1, len(data)):
        path.write_bytes(data[:length])
        assert refusal(read_instance, path).startswith(f"{path}: not a whole gzip file: ")


@given(data=st.data(), instance=instances(max_rows=3))
def test_damaged_gzip_is_refused_or_harmless(data, instance):
    content = bytearray(files._compressed(instance_text(instance).encode(), ".json.gz"))  # noqa: SLF001 - the bytes without a file
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    try:
        text = files._decompressed(bytes(content), ".json.gz")  # noqa: SLF001 - likewise
    except InputError:
        return
    assert text == instance_text(instance).encode()  # CRC: only the header may change unnoticed


def test_damaged_archive(tmp_path, tiny):
    path = tmp_path / "x.npz"
    path.write_bytes(archive_bytes(tiny)[:-30])
    assert refusal(read_instance, path).startswith(f"{path}: not a readable npz archive: ")


def test_an_archive_from_a_pipe_is_read_as_from_a_file(tmp_path, tiny):
    path = tmp_path / "pipe.npz"
    os.mkfifo(path)
    data = archive_bytes(tiny)
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(path.write_bytes, data)
        assert read_instance(path).checksum() == tiny.checksum()
        assert writing.result() == len(data)


# -- writing atomically -------------------------------------------------------------------------


def test_writes_and_replaces(tmp_path):
    path = tmp_path / "a.bin"
    write_atomically(path, b"one")
    assert path.read_bytes() == b"one"
    write_atomically(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_new_files_have_the_usual_permissions(tmp_path):
    (tmp_path / "usual").write_bytes(b"")
    write_atomically(tmp_path / "ours", b"")
    usual, ours = (stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("usual", "ours"))
    assert ours == usual


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failure_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch, step):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, fail)
    assert refusal(write_atomically, path, b"new") == (
        f"{path}: cannot be written: No space left on device"
    )
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_an_interrupt_leaves_the_old_content_and_no_litter(tmp_path, monkeypatch):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_killed_while_writing_leaves_the_old_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    program = (
        "import os, sys\n"
        "from instances.files import write_atomically\n"
        "os.replace = lambda *_: os.kill(os.getpid(), 9)\n"
        "write_atomically(sys.argv[1], b'new')\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False)
    assert ended.returncode == -9
    assert path.read_bytes() == b"old"


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "target.bin").write_bytes(b"old")
    link = tmp_path / "link.bin"
    link.symlink_to("target.bin")
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert (tmp_path / "target.bin").read_bytes() == b"new"


def test_absurdly_long_text_is_refused_before_memory_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_TEXT_BYTES", 10**6)
    path = tmp_path / "x.json.gz"
    path.write_bytes(gzip.compress(b" " * (10**6 + 1)))
    assert path.stat().st_size < 2000
    assert refusal(read_instance, path) == f"{path}: more than 1000000 bytes of text; use .npz"
    path.write_bytes(gzip.compress(b" " * 10**6))
    assert "not JSON" in refusal(read_instance, path)


def test_devices_and_folders_are_not_replaced(tmp_path):
    assert refusal(write_atomically, "/dev/null", b"x") == "/dev/null: not a regular file"
    assert refusal(write_atomically, tmp_path, b"x") == f"{tmp_path}: not a regular file"


def test_folder_that_is_not_there(tmp_path, tiny):
    path = tmp_path / "nowhere" / "x.json"
    expected = f"{path}: cannot be written: No such file or directory"
    assert refusal(write_instance, path, tiny) == expected
    (tmp_path / "nowhere").write_text("a file")
    expected = f"{path}: cannot be written: Not a directory"
    assert refusal(write_instance, path, tiny) == expected
