import io
import json
import zipfile
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from instances import import_routes
from instances.architectures import ARCHITECTURES, Architecture
from instances.errors import InputError
from instances.importers import FORMS, read_recording, write_example
from instances.importers.recordings import counted, example_counts, example_routes
from instances.traces import Counts, Routes
from tests.damage import damaged_archives, damaged_bytes, damaged_documents
from tests.instances.importers.recordings import same, some_counts, some_routes

WRITTEN = [(form.name, kind is Counts) for form in FORMS for kind in form.holds]
OF_ROUTES = [form.name for form in FORMS if Routes in form.holds]
OF_COUNTS = [form.name for form in FORMS if Counts in form.holds]


def test_the_command_line_knows_all_forms():
    assert tuple(form.name for form in FORMS) == import_routes.FORMS


@pytest.mark.parametrize(("name", "counts"), WRITTEN)
def test_every_importer_reads_its_own_example(tmp_path, name, counts):
    form = FORMS.get(name)
    path = tmp_path / f"example{form.suffix}"
    write_example(path, name, counts=counts)
    expected = example_counts() if counts or Routes not in form.holds else example_routes()
    assert same(expected, read_recording(path))
    assert same(expected, read_recording(path, form=name))
    again = tmp_path / f"again{form.suffix}"
    write_example(again, name, counts=counts)
    assert again.read_bytes() == path.read_bytes()
    path.rename(tmp_path / "example.data")
    assert same(expected, read_recording(tmp_path / "example.data", form=name))


@settings(max_examples=60, deadline=None)
@given(some_routes(), st.sampled_from(OF_ROUTES))
def test_routes_come_back(routes, name):
    form = FORMS.get(name)
    assert same(routes, form.read(form.write(routes), None))


@settings(max_examples=60, deadline=None)
@given(some_counts(), st.sampled_from(OF_COUNTS))
def test_counts_come_back(counts, name):
    form = FORMS.get(name)
    assert same(counts, form.read(form.write(counts), None))


def test_writers_want_what_their_form_holds():
    with pytest.raises(TypeError, match="holds routes, not counts"):
        FORMS.get("vllm").write(example_counts())
    with pytest.raises(TypeError, match="holds counts, not routes"):
        FORMS.get("imatrix").write(example_routes())


def test_counted_routes():
    routes = Routes(experts=np.array([[[0, 2]], [[2, -1]]]), offsets=np.array([0, 2]))
    assert counted(routes).counts.tolist() == [[1, 0, 2]]
    assert counted(routes, 5).counts.tolist() == [[1, 0, 2, 0, 0]]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.txt", b"1", r"r\.txt: unknown kind of file, none of \.npz, .*; name the form"),
        ("r.jsonl", b"", r"r\.jsonl: no JSON object in it"),
        ("r.jsonl", b'{"a": 1}', r"r\.jsonl: line 1: none of the fields top_indices, .*; name"),
        ("r.jsonl", b"\n\nx", r"r\.jsonl: line 3: not JSON"),
        ("r.npz", b"x", r"r\.npz: not a readable npz archive"),
        ("r.npy", b"x", r"r\.npy: line 1: not JSON"),
        ("r.csv", b"a,b\n1,2\n", r"r\.csv: line 1: column 0 is 'a', not request"),
        ("r.csv", b"\xff\xff", r"r\.csv: line 1: not text in UTF-8"),
        ("r.gguf", b"", r"r\.gguf: not GGUF; the \.dat files of older versions"),
        ("r.pt", b"x", r"r\.pt: line 1: not JSON"),
        ("r.parquet", b"x", r"r\.parquet: not a readable Parquet file"),
    ],
)
def test_files_of_no_form_are_refused(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as info:
        read_recording(path)
    assert "\n" not in str(info.value)


def test_unknown_forms_and_places_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"form: 'vlm' is not one of .*; did you mean 'vllm'"):
        read_recording(tmp_path / "x.npz", form="vlm")
    with pytest.raises(InputError, match=r"x\.npz: cannot be read"):
        read_recording(tmp_path / "x.npz")
    with pytest.raises(InputError, match="model: 'gpt' is not one of"):
        read_recording(tmp_path / "x.npz", architecture="gpt")
    with pytest.raises(InputError, match="form: vllm holds routes, no counts"):
        write_example(tmp_path / "x.jsonl", "vllm", counts=True)


def damaged(form, data):
    """Damage of all kinds for one file."""
    bytes_of_it = damaged_bytes(data)
    if zipfile.is_zipfile(io.BytesIO(data)):
        return bytes_of_it | damaged_archives(data)
    if form.suffix == ".jsonl":
        documents = [json.loads(line) for line in data.splitlines()]
        return bytes_of_it | damaged_documents(documents).map(
            lambda lines: "\n".join(
                map(json.dumps, lines if isinstance(lines, list) else [lines])
            ).encode()
        )
    return bytes_of_it


@pytest.mark.parametrize(("name", "counts"), WRITTEN)
def test_damaged_files_are_refused_in_one_line_or_hold_a_recording(name, counts):
    form = FORMS.get(name)
    recording = example_counts() if counts or Routes not in form.holds else example_routes()

    @settings(
        max_examples=100, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(damaged(form, form.write(recording)))
    def each(data):
        try:
            read = form.read(data, None)
        except InputError as error:
            assert str(error).isprintable()  # noqa: PT017 - or it is read
        else:
            assert isinstance(read, form.holds)

    each()


def recorded(tmp_path, **changes):
    """Read routes of gpt-oss-20b, 24 layers, 4 of 32 experts, of other sizes."""
    sizes = {"layers": 24, "experts": 32, "top_k": 4, **changes}
    rng = np.random.default_rng(0)
    tokens = [
        [rng.permutation(sizes["experts"])[: sizes["top_k"]] for _ in range(sizes["layers"])]
        for _ in range(20)
    ]
    path = tmp_path / "r.npz"
    np.savez(path, experts=tokens, offsets=[0, 20])
    return read_recording(path, architecture="gpt-oss-20b")


def test_recordings_are_held_against_the_architecture(tmp_path):
    assert recorded(tmp_path).num_tokens == 20
    for changes, message in (
        ({"layers": 23}, r"r\.npz: experts: 23 layers, but gpt-oss-20b has 24"),
        ({"top_k": 3}, r"r\.npz: experts: 3 experts a token, but gpt-oss-20b has 4"),
        ({"experts": 33}, r"r\.npz: experts\[\d+\]\[\d+\]\[\d\]: 32 is not in 0\.\.31, the exp"),
    ):
        with pytest.raises(InputError, match=message):
            recorded(tmp_path, **changes)
    path = tmp_path / "c.pt"
    write_example(path, "sglang", counts=True)
    own = Architecture(
        **{
            **asdict(ARCHITECTURES.get("gpt-oss-20b")),
            "moe_layers": 3,
            "total_layers": 3,
            "experts_per_layer": 9,
        }
    )
    with pytest.raises(InputError, match=r"c\.pt: counts: 8 experts, but gpt-oss-20b has 9"):
        read_recording(path, architecture=own)
