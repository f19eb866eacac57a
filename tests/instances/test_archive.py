import io
import json
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instances import memory
from instances.archive import (
    archive_bytes,
    instance_from_archive,
    npy_bytes,
    read_arrays,
    write_archive,
)
from instances.arrays import frozen_array
from instances.errors import InputError
from instances.problem import ARRAYS
from tests.strategies import instances


def contents(instance):
    """Return the arrays of an instance's archive by name, the header decoded."""
    with np.load(io.BytesIO(archive_bytes(instance)), allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return {**arrays, "header": json.loads(arrays["header"].tobytes())}


def packed(arrays, save=np.savez):
    """Return an npz file made of arrays; the header may still be an object."""
    if isinstance(arrays.get("header"), dict):
        text = json.dumps(arrays["header"]).encode()
        arrays = {**arrays, "header": np.frombuffer(text, dtype=np.uint8)}
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


def npy(descr, shape, data=b""):
    """Return an npy file that claims a type and a shape."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data


def with_member(instance, name, data):
    """Return an instance's archive in which one member has other bytes."""
    file = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(archive_bytes(instance))) as old,
        zipfile.ZipFile(file, "w") as new,
    ):
        for member in old.namelist():
            new.writestr(member, data if member == f"{name}.npy" else old.read(member))
    return file.getvalue()


@given(instance=instances(max_models=3))
def test_what_is_written_is_read(instance):
    data = archive_bytes(instance)
    read = instance_from_archive(data)
    assert read.checksum() == instance.checksum()
    assert archive_bytes(read) == data


def test_numpy_opens_it(tiny):
    arrays = contents(tiny)
    assert set(arrays) == {"header", "expert_bytes", *ARRAYS}
    assert arrays["header"] == {
        "format": "moeplace/instance",
        "version": 1,
        "name": "tiny-by-hand",
        "models": [{"name": "toy", "layers": 2, "experts": 3, "top_k": 2}],
        "servers": ["near", "far"],
        "users": ["ann", "bob"],
    }
    assert arrays["latency_ms"].tolist() == [[1.0, 4.0], [6.0, 9.0]]
    assert arrays["demand_offsets"].tolist() == [0, 2, 3, 5, 7, 8, 9]
    assert arrays["expert_bytes"].tolist() == [10] * 6


def test_nothing_in_the_archive_depends_on_time_or_machine(tiny):
    with zipfile.ZipFile(io.BytesIO(archive_bytes(tiny))) as archive:
        for member in archive.infolist():
            assert member.date_time == (1980, 1, 1, 0, 0, 0)
            assert member.compress_type == zipfile.ZIP_STORED
            assert member.create_system == 3
            assert not member.extra
            assert b"'>" not in archive.read(member)[:128]  # big-endian


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives_of_others_are_read(tiny, save):
    arrays = contents(tiny)
    arrays["latency_ms"] = arrays["latency_ms"].astype(">f4")
    arrays["demand_user"] = arrays["demand_user"].astype(np.uint8)
    arrays["demand_experts"] = arrays["demand_experts"].astype(">i8")
    arrays["demand_rate"] = np.asfortranarray(arrays["demand_rate"])
    assert instance_from_archive(packed(arrays, save)).checksum() == tiny.checksum()


@pytest.mark.parametrize("name", ["header", "expert_bytes", *ARRAYS])
def test_missing_array(tiny, name):
    arrays = contents(tiny)
    del arrays[name]
    with pytest.raises(InputError, match=rf"^{name}: the array is missing$"):
        instance_from_archive(packed(arrays))


def test_unknown_array(tiny):
    arrays = {**contents(tiny), "demand_rates": np.zeros(3)}
    with pytest.raises(
        InputError, match=r"^demand_rates: unknown array; did you mean 'demand_rate'\?$"
    ):
        instance_from_archive(packed(arrays))


def test_member_that_is_no_array(tiny):
    file = io.BytesIO(archive_bytes(tiny))
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("README", "hello")
    with pytest.raises(InputError, match=r"^README: unknown array"):
        instance_from_archive(file.getvalue())


def test_repeated_array(tiny):
    file = io.BytesIO(archive_bytes(tiny))
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("demand_rate.npy", npy("<f8", "(0,)"))
    with pytest.raises(InputError, match=r"^demand_rate: the array occurs twice$"):
        instance_from_archive(file.getvalue())


@pytest.mark.parametrize(
    ("name", "data", "match"),
    [
        ("demand_rate", b"", "^demand_rate: not a readable array: "),
        ("demand_rate", b"hello", "^demand_rate: not a readable array: "),
        ("demand_rate", npy("<f8", "(1000000000000000,)"), r"shape \(10+,\) needs 80+ bytes, 0"),
        ("demand_rate", npy("<f8", "(99999999999, 99999999999)"), "needs .* bytes, 0 are there"),
        ("demand_rate", npy("<f8", "(6,)", b"\0" * 47), "needs 48 bytes, 47 are there"),
        ("demand_rate", npy("<f8", "(6,)", b"\0" * 49), "needs 48 bytes, 49 are there"),
        ("demand_rate", npy("<f8", "(-1, -6)", b"\0" * 48), "^demand_rate: not a readable array"),
        ("demand_rate", npy("|O", "(1,)", b"\0" * 8), r"values of type '\|O'"),
        ("demand_rate", npy("<U3", "(1,)", b"\0" * 12), "values of type '<U3'"),
        ("demand_rate", npy("<c16", "(1,)", b"\0" * 16), "values of type '<c16'"),
        ("demand_rate", npy("<f16", "(1,)", b"\0" * 16), "values of type '<f16'"),
        ("demand_rate", npy("f1", "(1,)", b"\0"), "values of type 'f1'"),
        ("demand_rate", npy("<f8", "(" * 500), "^demand_rate: not a readable array: "),
        ("demand_rate", npy("<f8", "-" * 9000 + "1"), "^demand_rate: not a readable array: "),
        ("demand_rate", npy("<f8", "'six'"), "^demand_rate: not a readable array: "),
        ("demand_rate", b"\x93NUMPY\x03\x00" + b"\0" * 99, "not as version 1 or 2 of the npy"),
        ("header", npy("<f8", "(1,)", b"\0" * 8), "^header: float64 array of 1 dimensions is not"),
        ("header", npy("|u1", "(1, 1)", b"{"), "^header: uint8 array of 2 dimensions is not text"),
        ("header", npy("|u1", "(1,)", b"{"), "^header: not JSON: "),
        ("header", npy("|u1", "(2,)", b"[]"), "^a list of 0 is not an object"),
    ],
)
def test_damaged_array(tiny, name, data, match):
    with pytest.raises(InputError, match=match):
        instance_from_archive(with_member(tiny, name, data))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("capacity_bytes", [20], r"^servers\.capacity_bytes: 1 values where 2 are needed"),
        ("capacity_bytes", [20.0, 30.0], r"^servers\.capacity_bytes: values of type float64 whe"),
        ("capacity_bytes", [20, -1], r"^servers\[1\]\.capacity_bytes: -1 is negative"),
        ("user_model", [0, 1], r"^users\[1\]\.model: 1 is not in 0\.\.0"),
        ("latency_ms", [[1.0], [2.0]], r"^users\.latency_ms: shape \(2, 1\) is not"),
        ("latency_ms", [1.0], r"^users\.latency_ms: 1 dimensions where 2 are needed"),
        ("cloud_latency_ms", [np.nan, 1], r"^users\[0\]\.cloud_latency_ms: nan is not a finite"),
        ("local_offsets", [0, 0, 9], r"^users\.local_experts: offsets do not split 1 values"),
        ("local_experts", [6], r"^users\[1\]\.local_experts\[0\]: 6 is not an expert of model"),
        ("expert_bytes", [10] * 5, r"^expert_bytes: 5 values where models\[0\] needs 0 to 5$"),
        ("expert_bytes", [10] * 7, r"^expert_bytes: 7 values where 6 are needed$"),
        ("expert_bytes", [1, 2, 3, 4, 0, 6], r"^models\[0\]\.expert_bytes\[1\]\[1\]: 0 is not a"),
        ("expert_bytes", [1.5] * 6, r"^expert_bytes: values of type float64 where int64 is"),
        ("demand_offsets", [0, 2], r"^demands\.experts: offsets do not split 9 values into 6"),
        ("demand_user", [2**40] * 6, r"^demands\.user: 1099511627776 is out of range$"),
    ],
)
def test_wrong_values(tiny, name, value, match):
    arrays = {**contents(tiny), name: np.array(value)}
    with pytest.raises(InputError, match=match):
        instance_from_archive(packed(arrays))


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("format", "moeplace/placement", r"^format: 'moeplace/placement' is not 'moeplace/inst"),
        ("version", 2, r"^version: 2 is not 1"),
        ("name", "", r"^name: '' is not a name"),
        ("servers", ["near"], r"^servers\.capacity_bytes: 2 values where 1 are needed"),
        ("servers", ["near", 7], r"^servers\[1\]: 7 is not a name"),
        ("servers", "near", r"^servers: 'near' is not a list$"),
        ("users", ["ann", "ann"], r"^users\[1\]\.name: 'ann' is already the name of users\[0\]$"),
        ("extra", 1, r"^extra: unknown field$"),
        ("models", [], r"^expert_bytes: 6 values where 0 are needed$"),
        ("models", [1], r"^models\[0\]: 1 is not an object$"),
        ("models", [{}], r"^models\[0\]\.name: the field is missing$"),
    ],
)
def test_wrong_header(tiny, field, value, match):
    arrays = contents(tiny)
    arrays["header"][field] = value
    with pytest.raises(InputError, match=match):
        instance_from_archive(packed(arrays))


@pytest.mark.parametrize(
    ("field", "value", "match"),
    [
        ("layers", 10**12, r"^models\[0\]: 1000000000000 layers of 3 experts: more than"),
        ("layers", 0, r"^models\[0\]\.layers: 0 is not a positive number$"),
        ("experts", 4, r"^expert_bytes: 6 values where models\[0\] needs 0 to 7$"),
        ("experts", 3.0, r"^models\[0\]\.experts: 3\.0 is not an integer$"),
        ("top_k", 9, r"^models\[0\]\.top_k: 9 is not in 1\.\.3$"),
        ("name", None, r"^models\[0\]\.name: null is not a name"),
        ("expert_bytes", 10, r"^models\[0\]\.expert_bytes: unknown field"),
    ],
)
def test_wrong_model_in_the_header(tiny, field, value, match):
    arrays = contents(tiny)
    arrays["header"]["models"][0][field] = value
    with pytest.raises(InputError, match=match):
        instance_from_archive(packed(arrays))


@pytest.mark.parametrize("data", [b"", b"hello", b"PK\x03\x04"])
def test_not_an_archive(data):
    with pytest.raises(InputError, match=r"^not a readable npz archive: "):
        instance_from_archive(data)


def test_encrypted_archive(tiny):
    data = bytearray(archive_bytes(tiny))
    data[data.index(b"PK\x01\x02") + 8] |= 1  # the flag in the first central entry
    with pytest.raises(InputError, match=r"^not a readable npz archive: .* encrypted"):
        instance_from_archive(bytes(data))


@given(data=st.data(), instance=instances(max_rows=3))
def test_any_damage_is_refused_or_harmless(data, instance):
    content = archive_bytes(instance)
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        damaged = bytearray(content)
        for _ in range(data.draw(st.integers(1, 3))):
            position = data.draw(st.integers(0, len(damaged) - 1))
            damaged[position] = data.draw(st.integers(0, 255))
        content = bytes(damaged)
    try:
        read = instance_from_archive(content)
    except InputError:
        return
    assert read.checksum() == instance.checksum()  # CRC: only what carries no content may change


def test_arrays_of_a_file_are_not_copied(tiny, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(archive_bytes(tiny))
    with path.open("rb") as file:
        arrays = read_arrays(file, ("header", "expert_bytes", *ARRAYS))
    for name, (dtype, ndim) in ARRAYS.items():
        assert frozen_array(arrays[name], dtype, name, ndim) is arrays[name]


def test_a_file_that_changes_after_reading_changes_nothing(tiny, tmp_path):
    path = tmp_path / "x.npz"
    path.write_bytes(archive_bytes(tiny))
    with path.open("rb") as file:
        read = instance_from_archive(file)
    with path.open("r+b") as file:
        file.write(bytes(path.stat().st_size))
        file.truncate(10)
    assert read.checksum() == tiny.checksum()


def test_a_changed_byte_of_an_array_is_noticed(tiny):
    data = bytearray(archive_bytes(tiny))
    data[data.index(tiny.demand_rate.tobytes())] ^= 1
    with pytest.raises(InputError, match=r"^not a readable npz archive: Bad CRC-32 .*demand_rate"):
        instance_from_archive(bytes(data))


def test_a_member_that_claims_more_than_the_file_has_takes_no_memory(tiny):
    """The npy header and the directory agree on four gigabytes; a kilobyte is there."""
    count = 2**29 - 100
    claimed = npy("<f8", f"({count},)", bytes(16))
    data = bytearray(with_member(tiny, "demand_rate", claimed))
    at = data.rindex(b"demand_rate.npy")  # in the directory; sizes stand 26 bytes before the name
    assert data[at - 26 : at - 18] == 2 * struct.pack("<I", len(claimed))
    data[at - 26 : at - 18] = 2 * struct.pack("<I", len(claimed) - 16 + 8 * count)
    with pytest.raises(InputError, match=r"npz archive: 'demand_rate.npy' goes on beyond the end"):
        instance_from_archive(bytes(data))


@given(instance=instances(max_models=3))
def test_written_to_a_file_piece_by_piece(instance):
    file = io.BytesIO()
    write_archive(file, instance)
    assert file.getvalue() == archive_bytes(instance)
    with zipfile.ZipFile(file) as archive:
        for name in ARRAYS:
            assert archive.read(f"{name}.npy") == npy_bytes(getattr(instance, name))


def test_npy_files_are_those_of_numpy():
    for array in (np.arange(6).reshape(2, 3), np.arange(6.0).reshape(2, 3).T, np.zeros((0, 3))):
        file = io.BytesIO()
        np.save(file, array)
        assert npy_bytes(array) == file.getvalue()


def test_absurd_sizes_are_refused_before_memory_is_taken(tiny, monkeypatch):
    """A few kilobytes that unfold to far more, with a header that says so."""
    monkeypatch.setattr(memory, "physical_memory_bytes", lambda: 10**6)
    arrays = {**contents(tiny), "demand_rate": np.zeros(10**6)}
    data = packed(arrays, np.savez_compressed)
    assert len(data) < 20_000
    with pytest.raises(
        InputError, match=r"^demand_rate: needs 8000000 bytes, this machine has 10+$"
    ):
        instance_from_archive(data)
