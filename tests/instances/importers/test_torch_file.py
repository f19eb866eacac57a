import io
import pickle
import zipfile

import numpy as np
import pytest

from instances.errors import InputError
from instances.importers.npz import zip_bytes
from instances.importers.torch_file import read_torch, torch_bytes

CONTENT = {
    "a": [0, 255, 256, 65536, -1, 2**31, -(2**40), 10**30],
    "b": {"x": 0.5, "y": None, "z": [True, False, "höher"]},
    "shape": (3, 4),
    "ints": np.arange(24, dtype=np.int32).reshape(2, 3, 4),
    "longs": np.array([[2**40, -1]]),
    "none": np.zeros((0, 3), dtype=np.int16),
    "reals": np.array([0.5, 1.5], dtype=np.float32),
    "flags": np.array([True, False]),
    "scalar": np.array(7, dtype=np.uint8),
}


def equal(one, other):
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and one.dtype == other.dtype
            and one.shape == other.shape
            and bool((one == other).all())
        )
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other


def test_content_comes_back():
    assert equal(CONTENT, read_torch(torch_bytes(CONTENT)))
    assert torch_bytes(CONTENT) == torch_bytes(CONTENT)


def test_tensors_are_read_only_and_not_copied():
    ints = read_torch(torch_bytes(CONTENT))["ints"]
    with pytest.raises(ValueError, match="read-only"):
        ints[0, 0, 0] = 1


def test_values_of_big_endian_machines():
    members = {
        "x/data.pkl": data_of(torch_bytes(np.array([1, 258], dtype=np.int32)), "data.pkl"),
        "x/byteorder": b"big",
        "x/data/0": b"\0\0\0\1\0\0\1\2",
        "x/version": b"3\n",
    }
    assert read_torch(zip_bytes(members, compression=zipfile.ZIP_STORED)).tolist() == [1, 258]


def data_of(data, member):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return archive.read(f"archive/{member}")


def archive(program=None, *, compression=zipfile.ZIP_STORED, **changes):
    """A file of one tensor [1, 2], with another pickle or other members."""
    whole = torch_bytes(np.array([1, 2], dtype=np.int32))
    members = {
        "a/data.pkl": data_of(whole, "data.pkl") if program is None else program,
        "a/byteorder": b"little",
        "a/data/0": b"\1\0\0\0\2\0\0\0",
        "a/version": b"3\n",
    }
    for name, data in changes.items():
        key = "a/" + {"data_pkl": "data.pkl", "data_0": "data/0"}.get(name, name)
        members.pop(key, None)
        if data is not None:
            members[key] = data
    return zip_bytes(members, compression=compression)


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("exit 1",)


EVIL = pickle.dumps(Evil(), protocol=2)
TENSOR = data_of(torch_bytes(np.array([1, 2], dtype=np.int32)), "data.pkl")

DAMAGED = [
    (b"", "not a readable file of torch.save"),
    (b"PK", "not a readable file of torch.save"),
    (archive()[:-30], "not a readable file of torch.save"),
    (archive(data_pkl=None), "0 members data.pkl where"),
    (archive(version=b"4\n"), "version: '4' is not 3"),
    (archive(version=None), "version: '' is not 3"),
    (archive(byteorder=b"middle"), "byteorder: 'middle' is not little or big"),
    (archive(data_0=None), "data/'0': the values of a tensor are missing"),
    (archive(data_0=b"\0" * 7), "data/'0': 7 bytes where 2 values of type int32 are needed"),
    (archive(compression=zipfile.ZIP_DEFLATED), "(larger than the file|compressed, which)"),
    (archive(EVIL), "names 'posix system'; only plain data and tensors are read"),
    (archive(pickle.dumps({"a": 1}, protocol=4)), "protocol 4, where torch.save writes 2"),
    (archive(pickle.dumps({1, 2}, protocol=2)), "names '__builtin__ set'; only plain"),
    (archive(pickle.dumps(b"x", protocol=2)), "names '_codecs encode'; only plain"),
    (archive(TENSOR.replace(b"IntStorage", b"BFloat16Storage")), "names 'torch BFloat16Storage'"),
    (archive(TENSOR.replace(b"_v2", b"_v3")), "names 'torch._utils _rebuild_tensor_v3'"),
    (archive(b""), "cut short"),
    (archive(b"\x80\x02"), "cut short"),
    (archive(b"\x80\x02."), "values left over"),
    (archive(b"\x80\x02NN."), "values left over"),
    (archive(b"\x80\x02(N."), "values left over"),
    (archive(b"\x80\x02X\xff\xff\xff\xff."), "cut short"),
    (archive(b"\x80\x02X\1\0\0\0\xff."), "text that is not UTF-8"),
    (archive(b"\x80\x02h\0."), "no value was kept under 0"),
    (archive(b"\x80\x02q\0."), "a value is missing"),
    (archive(b"\x80\x02t."), "a mark is missing"),
    (archive(b"\x80\x02\x85."), "a value is missing"),
    (archive(b"\x80\x02Na."), "no list to add to"),
    (archive(b"\x80\x02}NNs."), "a key of type NoneType"),
    (archive(b"\x80\x02}(K\1u."), "a key without a value"),
    (archive(b"\x80\x02}K\1Ns" + b"K\1Ns."), "the field 1 occurs twice"),
    (archive(b"\x80\x02" + b"(" * 2000), "nested too deeply"),
    (archive(b"\x80\x02)\x85\x85."), "a tuple of more than plain values"),
    (archive(b"\x80\x02ccollections\nOrderedDict\n."), "a part of a tensor without a tensor"),
    (archive(b"\x80\x02]Q."), "a storage that is not described"),
    (archive(b"\x80\x02N)R."), "a call that torch.save does not write"),
    (archive(b"\x80\x02ctorch\nIntStorage\n)R."), "a call that torch.save does not write"),
    (archive(b"\x80\x02c"), "cut short"),
    (archive(b"\x80\x02cos\nsystem\n."), "names 'os system'"),
    (archive(b"\x80\x02b."), "instruction b'b', which torch.save does not write"),
    (archive(b"\x80\x02j\xff\xff\xff\xff."), "no value was kept under 4294967295"),
]


@pytest.mark.parametrize(("data", "message"), DAMAGED)
def test_what_is_no_file_of_plain_data_is_refused(data, message):
    with pytest.raises(InputError, match=message) as info:
        read_torch(data)
    assert str(info.value).isprintable()


def with_sizes(offset, size, stride):
    """The pickle of a tensor of two values, with other sizes."""
    before, _, _ = TENSOR.partition(b"QJ\0\0\0\0")
    after = TENSOR[TENSOR.index(b"\x89ccollections") :]
    numbers = [
        b"(" + b"".join(b"J" + n.to_bytes(4, "little") for n in ns) + b"t" for ns in (size, stride)
    ]
    return archive(before + b"QJ" + offset.to_bytes(4, "little") + b"".join(numbers) + after)


def test_views_of_storages():
    assert read_torch(with_sizes(0, (2,), (1,))).tolist() == [1, 2]
    assert read_torch(with_sizes(1, (1, 1), (9, 9))).tolist() == [[2]]
    assert read_torch(with_sizes(1, (), ())).tolist() == 2
    assert read_torch(with_sizes(0, (2,), (0,))).tolist() == [1, 1]


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (0, (3,), (1,)),
        (1, (2,), (1,)),
        (0, (2,), (2,)),
        (2, (), ()),
        (0, (2**30,), (0,)),  # a small file that would become a large array
        (0, (2**30, 2**30, 2**30), (0, 0, 0)),
        (0, (2,), (1, 1)),
        (0, (1,) * 9, (1,) * 9),
    ],
)
def test_tensors_beyond_their_storage_are_refused(offset, size, stride):
    with pytest.raises(InputError, match=r"a tensor (of|with)"):
        read_torch(with_sizes(offset, size, stride))


def test_members_that_add_up_to_more_than_the_file_are_refused():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as bomb:
        bomb.writestr("a/data/0", bytes(10_000))
        bomb.filelist *= 1000  # a directory of many members that share their bytes
    with pytest.raises(InputError, match="its members are larger than the file"):
        read_torch(file.getvalue())
    small = io.BytesIO()
    with zipfile.ZipFile(small, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("a/data/0", bytes(10**7))
    with pytest.raises(InputError, match="its members are larger than the file"):
        read_torch(small.getvalue())


def test_only_plain_data_is_written():
    with pytest.raises(TypeError, match="set cannot be written"):
        torch_bytes({"a": {1}})


def test_torch_reads_what_we_write(tmp_path):
    torch = pytest.importorskip("torch", reason="comes with the extra trace")
    path = tmp_path / "ours.pt"
    path.write_bytes(torch_bytes(CONTENT))
    loaded = torch.load(path, weights_only=True)
    numpy = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in loaded.items()}
    assert equal(CONTENT, numpy)


def test_we_read_what_torch_writes(tmp_path):
    torch = pytest.importorskip("torch", reason="comes with the extra trace")
    path = tmp_path / "theirs.pt"
    whole = torch.arange(24, dtype=torch.int32).reshape(2, 3, 4)
    content = {
        **{k: v for k, v in CONTENT.items() if not isinstance(v, np.ndarray)},
        "whole": whole,
        "part": whole[1, :, 1:3],
        "turned": whole.permute(2, 0, 1),
        "long": list(range(100_000)),
        "half": torch.ones(2, dtype=torch.float16),
    }
    torch.save(content, path)
    read = read_torch(path.read_bytes())
    expected = {k: v.numpy() if isinstance(v, torch.Tensor) else v for k, v in content.items()}
    assert equal(expected, read)
    torch.save({"w": torch.ones(2, dtype=torch.bfloat16)}, path)
    with pytest.raises(InputError, match="names 'torch BFloat16Storage'"):
        read_torch(path.read_bytes())
    torch.save(content, path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match="not a readable file of torch"):
        read_torch(path.read_bytes())
