"""Every file that a command reads, damaged in thousands of ways: one line, or what the file says.

Whatever the damage, a command ends with one of its exit codes, in time and in little memory. It
refuses in one printable line that names the file, and leaves no output behind; or it takes the
file, and then what it has read is what the file says, so that nothing was mended in silence.
"""

import contextlib
import csv
import gzip
import io
import json
import resource
import shutil
import signal
import sqlite3
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import cli
from bench.growth.document import read_growth, to_dict, write_growth
from bench.incumbent import Step
from instances.archive import archive_bytes
from instances.certificate import certificate_to_dict, read_certificate
from instances.documents import instance_to_dict, placement_to_dict
from instances.files import read_instance, read_placement, write_instance, write_placement
from instances.grouping import group_requests
from instances.network_file import read_network
from instances.problem import ARRAYS
from instances.traces import read_routes
from tests.bench.attempts import benchmark
from tests.bench.test_growth import STUDY
from tests.bench.test_report import fill
from tests.damage import damaged_archives, damaged_bytes, damaged_documents, json_bytes

LONGEST_S = 120
"""A case that takes longer hangs: the slowest takes a second."""

MEMORY_BYTES = 2 * 2**30
"""What a case may take beyond what was there: a thousand times what the files need."""

SOME, MANY = 40, 800
"""Cases of a test in every run, and in the long one: more than 10,000 in all."""

COSTLY = {"growth"}
"""Kinds with an eighth of the cases: whoever takes the file draws a whole report."""

NETWORK = {
    "format": "moeplace/network",
    "version": 1,
    "cloud": {"gateway": "near", "wan_delay_ms": 15.0, "compute_tflops": 3.35},
    "servers": [
        {"name": "near", "capacity_gb": 0.02, "compute_tflops": 0.3},
        {"name": "far", "capacity_bytes": 30, "compute_tflops": 1},
    ],
    "links": [{"between": ["near", "far"], "delay_ms": 3.0, "rate_mbps": 1000.0}],
    "users": [
        {"name": "ann", "site": "far", "uplink_mbps": 40.0, "downlink_mbps": 88.0},
        {
            "name": "bob",
            "latency_ms": [6.0, 9],
            "cloud_latency_ms": 48.0,
            "local_experts": [[0, 1]],
        },
    ],
}
TOML = b"""format = "moeplace/network"
version = 1
[[servers]]
name = "near"
capacity_gb = 0.02
[[users]]
name = "ann"
latency_ms = [4.7]
cloud_latency_ms = 48.0
local_experts = [[0, 3]]
[[users]]
name = "bob"
latency_ms = [4]
cloud_latency_ms = 52
"""
SERVERS = {"e0": [{"model": "m", "layer": 0, "experts": [0, 6]}], "e1": []}


@pytest.fixture(scope="module")
def valid(tmp_path_factory, tiny, tiny_placement):
    """A folder with one valid file of each kind."""
    folder = tmp_path_factory.mktemp("valid")
    write_instance(folder / "instance.json", tiny)
    write_placement(folder / "placement.json", tiny, tiny_placement)
    experts = np.array([[[0, 3]], [[2, 1]], [[-1, -1]]], dtype=np.int16)
    np.savez(folder / "routes.npz", experts=experts, offsets=np.array([0, 1, 3]))
    np.savez(folder / "wide.npz", experts=np.arange(288).reshape(3, 24, 4) % 32, offsets=[0, 1, 3])
    (folder / "network.json").write_bytes(json_bytes(NETWORK))
    (folder / "measured.toml").write_bytes(TOML)
    table = benchmark(("mixtral",))
    kept = {(row.checksum, row.algorithm): row for row in table.itertuples() if row.saving_ms > 0}
    steps = (Step(seconds=0.1, saving_ms=1.0, bound_saving_ms=9.0, bound_certified=False),)
    document = {"format": "moeplace/placement", "version": 1, "servers": SERVERS}
    fill(
        folder / "store.sqlite",
        table,
        dict.fromkeys(kept, document),
        dict.fromkeys(kept, steps),
    )
    instance = folder / "instance.json"
    with contextlib.closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        connection.execute(
            "PRAGMA journal_mode = DELETE"
        )  # what is opened in memory knows no other
    write_growth(folder / "growth.json", STUDY)
    bound = ("bound", instance, "--with", "lp", "-o", folder / "certificate.json")
    assert run(*bound) == (0, "")
    return folder


class Content(bytes):
    """Bytes of a file that are not shown at full length when a test fails."""

    def __repr__(self) -> str:
        return repr(bytes(self[:2000])) if len(self) > 2000 else super().__repr__()


def run(*words: object) -> tuple[int, str]:
    """Run a command in this process, within limits; return its exit code and its complaint."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), _limits():
        code = cli.main([str(word) for word in words])
    return code, err.getvalue()


@contextlib.contextmanager
def _limits():
    def give_up(*_: object) -> None:
        raise AssertionError(f"no answer within {LONGEST_S} s")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    handler = signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY_BYTES, hard))
    signal.alarm(LONGEST_S)
    try:
        yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, handler)


def accepted(path: Path, data: bytes, *words: object, outputs: Iterable[Path]) -> bool:
    """Write the damaged file and run a command on it; tell whether it was taken."""
    path.write_bytes(data)
    for output in outputs:
        if output.is_dir():
            shutil.rmtree(output)
        output.unlink(missing_ok=True)
    code, complaint = run(*words)
    assert code in (0, 1, 2)
    assert path.read_bytes() == data
    if code == 0:
        assert complaint == ""
        return True
    line = complaint.removesuffix("\n")
    assert line.startswith("moeplace: error: ")
    assert str(path) in line
    assert line.isprintable()
    assert not any(output.exists() for output in outputs)
    assert not list(path.parent.glob(".moeplace-*"))
    return code == 1


def plain(value: object) -> object:
    """Return JSON content with every number as the nearest double."""
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return float(value) if type(value) is int else value


def spelled_out(document: dict) -> object:
    """Return an instance file with its optional fields, and sizes expert by expert."""
    document = json.loads(json.dumps(document))
    for model in document["models"]:
        size = model["expert_bytes"]
        if not isinstance(size, list):
            model["expert_bytes"] = [[size] * model["experts"]] * model["layers"]
    for user in document["users"]:
        user.setdefault("local_latency_ms", 0.0)
        user["local_experts"] = sorted(user.get("local_experts", []))
    return plain(document)


def stored(document: dict) -> object:
    """Return what a placement file stores, in no order."""
    return document["instance"], {
        (server, entry["model"], entry["layer"], expert)
        for server, entries in document["servers"].items()
        for entry in entries
        for expert in entry["experts"]
    }


def text_of(path: Path) -> dict:
    """Decode a file that was taken, by Python's own reader."""
    data = path.read_bytes()
    return json.loads(gzip.decompress(data) if path.suffix == ".gz" else data)


def same_instance(path: Path, _: Path) -> bool:
    return spelled_out(instance_to_dict(read_instance(path))) == spelled_out(text_of(path))


def same_arrays(path: Path, _: Path) -> bool:
    instance = read_instance(path)
    with np.load(path, allow_pickle=False) as arrays:
        return all(np.array_equal(arrays[name], getattr(instance, name)) for name in ARRAYS)


def same_placement(path: Path, valid: Path) -> bool:
    instance = read_instance(valid / "instance.json")
    placement = read_placement(path, instance)
    return stored(placement_to_dict(instance, placement)) == stored(text_of(path))


def same_certificate(path: Path, valid: Path) -> bool:
    instance = read_instance(valid / "instance.json")
    certificate = read_certificate(path, instance)
    said = text_of(path)  # servers of a set in any order; a price that is left out is 0
    said["server_sets"] = [
        sorted(names, key=instance.server_names.index) for names in said["server_sets"]
    ]
    said["lambda"] = {name: said["lambda"].get(name, 0.0) for name in instance.server_names}
    return plain(certificate_to_dict(instance, certificate)) == plain(said)


def same_network(path: Path, _: Path) -> bool:
    """Whatever is said must count: another text is another network, unless it says the same."""
    beside = path.with_name("undamaged.json")
    beside.write_bytes(json_bytes(NETWORK))
    with np.printoptions(precision=17, floatmode="unique"):
        shown = repr(read_network(path)), repr(read_network(beside))
    return plain(text_of(path)) == plain(NETWORK) or shown[0] != shown[1]


def same_routes(path: Path, _: Path) -> bool:
    routes = read_routes(path)
    with np.load(path, allow_pickle=False) as arrays:
        return np.array_equal(arrays["experts"], routes.experts) and np.array_equal(
            arrays["offsets"], routes.offsets
        )


def same_growth(path: Path, _: Path) -> bool:
    return plain(to_dict(read_growth(path))) == plain(text_of(path))


def same_grouping(path: Path, _: Path) -> bool:
    users = ("ann", "bob")
    groups = group_requests(str(path), path, 2, users)
    if path.suffix == ".json":
        said = json.loads(path.read_bytes())
    else:
        rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode("utf-8-sig"), newline="")))
        said = [row["user"] for row in sorted(rows, key=lambda row: int(row["request"]))]
    return [users[user] for user in groups] == said


@st.composite
def damaged_cells(draw, data: bytes) -> bytes:
    """Return a store in which one to three cells, rows, columns or tables are others, or gone."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.deserialize(data)
    for _ in range(draw(st.integers(1, 3))):
        query = "SELECT name FROM sqlite_master WHERE type = 'table'"
        tables = sorted(name for (name,) in connection.execute(query))
        if not tables:
            break
        table = draw(st.sampled_from(tables))
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        column = draw(st.sampled_from(columns))
        action = draw(st.sampled_from(("cell", "cell", "cell", "rows", "column", "table")))
        with contextlib.suppress(sqlite3.Error, OverflowError):  # refused by SQLite itself
            if action == "cell":
                value = draw(CELLS)
                where = draw(st.sampled_from(("", "LIMIT 1", "LIMIT 1 OFFSET 3")))
                key = "attempt_id" if table == "trajectories" else "rowid"
                chosen = f"SELECT {key} FROM {table} {where}"
                update = f"UPDATE {table} SET {column} = ? WHERE {key} IN ({chosen})"
                connection.execute(update, (value,))
            elif action == "rows":
                connection.execute(f"DELETE FROM {table} WHERE rowid % 2 = 0")
            elif action == "column":
                connection.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
            else:
                connection.execute(f"DROP TABLE {table}")
    damaged = connection.serialize()
    connection.close()
    return damaged


CELLS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=("Cs",)), max_size=5),
    st.binary(max_size=5),
    st.sampled_from(("{}", "[]", "[1]", "optimal", "feasible", '{"name": 1}', "9" * 400)),
    st.just(zlib.compress(b'{"servers": {"e0": [{"model": "m", "layer": 9, "experts": ["x"]}]}}')),
)


def same_store(path: Path, _: Path) -> bool:
    """The attempts of the exported table are those of the file, cell by cell."""
    frame = pd.read_csv(path.with_name("exported") / "attempts.csv", dtype=str, na_filter=False)
    connection = sqlite3.connect(path)
    connection.text_factory = str
    names = [row[1] for row in connection.execute("PRAGMA table_info(attempts)")]
    shared = [name for name in names if name in frame.columns]
    query = f"SELECT {', '.join(shared)} FROM attempts WHERE superseded_by IS NULL ORDER BY id"
    rows = connection.execute(query).fetchall()
    connection.close()
    said = [[as_cell(value) for value in row] for row in rows]
    return said == [[as_cell(value) for value in row] for row in frame[shared].to_numpy().tolist()]


def as_cell(value: object) -> object:
    """Return a value so that 1, 1.0 and True are alike, as in a table of text."""
    if value is None:
        return ""
    with contextlib.suppress(ValueError):
        return float({"True": 1, "False": 0}.get(value, value))
    return value


EXPORT = ("export", "{instance}", "--format", "lp", "-o", "{program}")
CHECK = ("check", "{instance}", "{placement}")
ROUTES = ("import", "routes", "{routes}", "--network", "{measured}", "--expert-bytes", "10")
ROUTES += ("--experts", "4", "-o", "{output}")
GROUPED = (*ROUTES, "--users", "{users}")
TO = ("-o", "{exported}")
MODELLED = ("import", "routes", "{wide}", "--network", "{network}", "--model", "gpt-oss-20b")
MODELLED += ("-o", "{output}")
CSV = b"request,user\n0,ann\n1,bob\n"


def as_text(valid: Path, name: str) -> st.SearchStrategy[bytes]:
    data = (valid / name).read_bytes()
    return damaged_documents(json.loads(data)).map(json_bytes) | damaged_bytes(data)


def as_gzip(valid: Path, name: str) -> st.SearchStrategy[bytes]:
    data = (valid / name).read_bytes()
    whole = st.sampled_from([gzip.compress(data), gzip.compress(data) * 2])
    return whole.flatmap(damaged_bytes) | damaged_bytes(data).map(gzip.compress)


def as_archive(data: bytes) -> st.SearchStrategy[bytes]:
    return damaged_archives(data) | damaged_bytes(data)


CASES: dict[str, tuple[str, str, tuple[str, ...], Callable, Callable]] = {
    # what is damaged, under which name, the command, the damage, is what was read what it says
    "instance": (
        "instance",
        "i.json",
        EXPORT,
        lambda v: as_text(v, "instance.json"),
        same_instance,
    ),
    "compressed instance": (
        *("instance", "i.json.gz", EXPORT),
        lambda v: as_gzip(v, "instance.json"),
        same_instance,
    ),
    "archive": (
        *("instance", "i.npz", EXPORT),
        lambda v: as_archive(archive_bytes(read_instance(v / "instance.json"))),
        same_arrays,
    ),
    "placement": (
        *("placement", "p.json", CHECK),
        lambda v: as_text(v, "placement.json"),
        same_placement,
    ),
    "certificate": (
        *("placement", "c.json", CHECK),
        lambda v: as_text(v, "certificate.json"),
        same_certificate,
    ),
    "network": (
        *("network", "n.json", MODELLED),
        lambda v: as_text(v, "network.json"),
        same_network,
    ),
    "network in TOML": (
        *("measured", "n.toml", ROUTES),
        lambda _: damaged_bytes(TOML),
        lambda path, _: read_network(path) is not None,
    ),
    "routes": (
        *("routes", "r.npz", ROUTES),
        lambda v: as_archive((v / "routes.npz").read_bytes()),
        same_routes,
    ),
    "grouping": (
        *("users", "g.json", GROUPED),
        lambda _: damaged_documents(["ann", "bob"]).map(json_bytes),
        same_grouping,
    ),
    "store": (
        *("store", "s.sqlite", ("store", "export", "{store}", "-o", "{exported}")),
        lambda v: damaged_cells((v / "store.sqlite").read_bytes()),
        same_store,
    ),
    "bytes of a store": (
        *("store", "s.sqlite", ("store", "export", "{store}", "-o", "{exported}")),
        lambda v: damaged_bytes((v / "store.sqlite").read_bytes()),
        same_store,
    ),
    "stores compared": (
        *("store", "s.sqlite", ("compare", "{store}", "{store}")),
        lambda v: damaged_cells((v / "store.sqlite").read_bytes()),
        lambda path, _: path.is_file(),
    ),
    "growth": (
        *("growth", "g.json", ("report", "--store", "{store}", "--growth", "{growth}", *TO)),
        lambda v: as_text(v, "growth.json"),
        same_growth,
    ),
    "grouping in CSV": ("users", "g.csv", GROUPED, lambda _: damaged_bytes(CSV), same_grouping),
}


def try_cases(valid: Path, folder: Path, name: str, cases: int) -> None:
    """Damage one kind of file so many times."""
    noun, filename, words, damage, same = CASES[name]
    path = folder / filename
    outputs = {"output": folder / "output.json", "program": folder / "output.lp"}
    outputs["exported"] = folder / "exported"
    places = {"users": folder / "none", **outputs}
    places |= {p.name.partition(".")[0]: p for p in valid.iterdir()}
    command = [word.format_map({**places, noun: path}) for word in words]

    @settings(
        max_examples=cases // 8 if name in COSTLY else cases,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    @given(data=damage(valid).map(Content))
    def each(data: bytes) -> None:
        if accepted(path, data, *command, outputs=outputs.values()):
            assert same(path, valid)

    each()


@pytest.mark.parametrize("name", CASES)
def test_damage(valid, tmp_path, name):
    try_cases(valid, tmp_path, name, SOME)


@pytest.mark.long
@pytest.mark.parametrize("name", CASES)
def test_much_damage(valid, tmp_path, name):
    try_cases(valid, tmp_path, name, MANY)
