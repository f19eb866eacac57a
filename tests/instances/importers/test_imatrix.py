import struct

import numpy as np
import pytest

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.importers.gguf import gguf_bytes, read_gguf
from instances.importers.imatrix import read, write
from instances.importers.recordings import example_counts
from instances.traces import Counts

PAIRS = {"general.type": "imatrix", "imatrix.datasets": ["a.txt", "b"], "imatrix.chunk_count": 3}


def column(*values):
    return np.array(values, dtype=np.float32)[:, None]


def weights(layer, *values, names=("gate", "up", "down")):
    return {f"blk.{layer}.ffn_{name}_exps.weight.counts": column(*values) for name in names}


def imatrix(*parts, **pairs):
    tensors = {name: tensor for part in parts for name, tensor in part.items()}
    return gguf_bytes({**PAIRS, **{k.replace("_", "."): v for k, v in pairs.items()}}, tensors)


def test_counts_of_experts_by_layer():
    other = {"blk.0.attn_q.weight.counts": column(512), "output.weight.in_sum2": column(1, 2).T}
    data = imatrix(weights(10, 5, 0, 7), other, weights(2, 1, 2, 3, names=("gate_up",)))
    assert read(data, None).counts.tolist() == [[1, 2, 3], [5, 0, 7]]


def test_the_architecture_tells_layers_and_experts():
    model = ARCHITECTURES.get("deepseek-v2-lite")
    counts = Counts(counts=np.arange(26 * 64).reshape(26, 64))
    assert np.array_equal(read(write(counts), model).counts, counts.counts)
    with pytest.raises(InputError, match="layer: 3 layers, but deepseek-v2-lite has 26 with exp"):
        read(write(example_counts()), model)
    with pytest.raises(InputError, match=r"counts: 8 experts, but deepseek-v2-lite has 64"):
        read(write(Counts(counts=np.ones((26, 8), dtype=int))), model)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\x05\0\0\0", r"not GGUF; the \.dat files"),
        (imatrix(weights(0, 1), general_type="model"), "general.type: 'model' is not 'imatrix'"),
        (gguf_bytes({}, weights(0, 1)), "general.type: null is not 'imatrix'"),
        (imatrix(), "no counts of experts"),
        (imatrix({"blk.0.ffn_gate.weight.counts": column(1)}), "no counts of experts"),
        (
            imatrix(weights(0, 1, 2), weights(0, 2, 1, names=("gate_up",))),
            r"blk\.0\.ffn_gate_up_exps\.weight\.counts: differs from blk\.0\.ffn_gate_exps",
        ),
        (imatrix(weights(0, 1, 2), weights(1, 1)), "1 experts, but blk.0.* has 2"),
        (imatrix(weights(0, 1, -2)), r"counts\[1\]: -2\.0 is not a number of tokens"),
        (imatrix(weights(0, 0.5)), r"counts\[0\]: 0\.5 is not a number of tokens"),
        (imatrix(weights(0, np.nan)), r"counts\[0\]: nan is not a number"),
        (imatrix(weights(0, np.inf)), r"counts\[0\]: inf is not a number"),
        (imatrix(weights(0, 1e30)), r"counts\[0\]: 1\.0*\d*e\+30 is not a number"),
        (imatrix({"blk.0.ffn_up_exps.weight.counts": column(1, 2).T}), "not a float32 tensor"),
        (imatrix(weights(0, 0, 0)), r"counts\[0\]: no expert of this layer was used"),
    ],
)
def test_what_holds_no_counts_is_refused(data, message):
    with pytest.raises(InputError, match=message) as info:
        read(data, None)
    assert str(info.value).isprintable()


def packed(text):
    return struct.pack("<Q", len(text)) + text


def head(tensors=0, pairs=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, pairs)


def test_all_kinds_of_values():
    kinds = [
        (0, struct.pack("<B", 200), 200), (1, struct.pack("<b", -3), -3),
        (2, struct.pack("<H", 60000), 60000), (3, struct.pack("<h", -300), -300),
        (4, struct.pack("<I", 2**31), 2**31), (5, struct.pack("<i", -(2**31)), -(2**31)),
        (6, struct.pack("<f", 0.5), 0.5), (7, b"\1", True), (8, packed(b"x"), "x"),
        (9, struct.pack("<IQ", 3, 2) + struct.pack("<2h", 1, -1), [1, -1]),
        (9, struct.pack("<IQ", 8, 1) + packed("é".encode()), ["é"]),
        (10, struct.pack("<Q", 2**63), 2**63), (11, struct.pack("<q", -1), -1),
        (12, struct.pack("<d", 0.1), 0.1),
    ]  # fmt: skip
    data = head(pairs=len(kinds))
    for index, (kind, value, _) in enumerate(kinds):
        data += packed(f"k{index}".encode()) + struct.pack("<I", kind) + value
    pairs = read_gguf(data).pairs
    assert list(pairs.values()) == [expected for _, _, expected in kinds]


def info(name=b"t", shape=(2,), kind=0, offset=0):
    dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return packed(name) + dimensions + struct.pack("<IQ", kind, offset)


def aligned(data, alignment=32):
    return data + bytes(-len(data) % alignment)


def test_alignment_and_other_types():
    pair = packed(b"general.alignment") + struct.pack("<II", 4, 64)
    start = aligned(head(2, 1) + pair + info(b"a", (3, 2)) + info(b"b", (5,), kind=12), 64)
    file = read_gguf(start + struct.pack("<6f", *range(6)))
    assert file.tensors["a"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert file.tensors["b"] is None


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"GGML", "begins with b'GGML', not as a GGUF file"),
        (b"GGUF", "cut short"),
        (head(version=1), "version: 1 is not 2 or 3"),
        (head(version=0x03000000), "version: 50331648 is not 2 or 3"),  # big-endian
        (head(pairs=1), "cut short"),
        (head(pairs=2**63), "cut short"),
        (head(tensors=2**63), "cut short"),
        (head(pairs=1) + struct.pack("<Q", 2**63), "cut short"),
        (head(pairs=1) + packed(b"\xff"), "text that is not UTF-8"),
        (head(pairs=1) + packed(b"k") + struct.pack("<I", 13), "a value of type 13"),
        (head(pairs=1) + packed(b"k") + struct.pack("<IIQ", 9, 9, 1), "an array of values of ty"),
        (head(pairs=1) + packed(b"k") + struct.pack("<IIQ", 9, 4, 2**62), "cut short"),
        (head(pairs=1) + packed(b"k") + struct.pack("<IIQ", 9, 8, 2**62), "cut short"),
        (head(pairs=2) + (packed(b"k") + struct.pack("<IB", 0, 1)) * 2, "'k': the key occurs twi"),
        (aligned(head(2) + info() * 2) + bytes(8), "'t': the tensor occurs twice"),
        (head(1) + info(shape=(1,) * 5), "'t': 5 dimensions, GGUF has at most 4"),
        (aligned(head(1) + info()), r"'t': a tensor of shape \(2,\), but the file is cut short"),
        (aligned(head(1) + info(shape=(2**40, 2**40))), "but the file is cut short"),
        (aligned(head(1) + info(offset=2**62)), "but the file is cut short"),
        (
            head(pairs=1) + packed(b"general.alignment") + struct.pack("<II", 4, 0),
            "general.alignment: 0 is not an alignment",
        ),
    ],
)
def test_damaged_containers_are_refused(data, message):
    with pytest.raises(InputError, match=message):
        read_gguf(data)


def test_the_library_of_llama_cpp_reads_what_we_write(tmp_path):
    gguf = pytest.importorskip("gguf", reason="comes with the extra dev")
    path = tmp_path / "ours.gguf"
    path.write_bytes(write(example_counts()))
    reader = gguf.GGUFReader(path)
    assert reader.fields["general.type"].contents() == "imatrix"
    assert reader.fields["imatrix.datasets"].contents() == ["example.txt"]
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    assert len(tensors) == 18
    counts = tensors["blk.1.ffn_up_exps.weight.counts"]
    assert counts.data[:, 0].tolist() == example_counts().counts[1].tolist()
    assert counts.shape.tolist() == [1, 8]


def test_we_read_what_the_library_of_llama_cpp_writes(tmp_path):
    gguf = pytest.importorskip("gguf", reason="comes with the extra dev")
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, arch="imatrix")
    writer.add_type("imatrix")
    writer.add_array("imatrix.datasets", ["calibration.txt"])
    writer.add_uint32("imatrix.chunk_count", 10)
    for layer in range(3):
        for name, tensor in weights(layer, 4, layer, 9).items():
            writer.add_tensor(name, tensor)
            writer.add_tensor(name.replace("counts", "in_sum2"), np.ones((3, 7), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert read(path.read_bytes(), None).counts.tolist() == [[4, i, 9] for i in range(3)]
