import json

import pytest

from bench.cli import main
from instances.importers import FORMS, read_recording
from instances.importers.recordings import example_counts, example_routes
from instances.traces import Counts, Routes
from tests.instances.importers.recordings import same

NETWORK = """
format = "moeplace/network"
version = 1
[[servers]]
name = "near"
capacity_bytes = 40
[[users]]
name = "ann"
latency_ms = [4.7]
cloud_latency_ms = 48.0
"""


@pytest.mark.parametrize("name", [form.name for form in FORMS])
def test_an_example_of_every_form(tmp_path, capsys, name):
    form = FORMS.get(name)
    path = tmp_path / f"example{form.suffix}"
    assert main(["import", "example", name, "-o", str(path)]) == 0
    assert capsys.readouterr().out == f"{path}: {form.about}\n"
    expected = example_routes() if Routes in form.holds else example_counts()
    assert same(expected, read_recording(path))


def test_counts_and_json(tmp_path, capsys):
    path = tmp_path / "example.pt"
    assert main(["import", "example", "sglang", "--counts", "--json", "-o", str(path)]) == 0
    assert json.loads(capsys.readouterr().out)["form"] == "sglang"
    assert isinstance(read_recording(path), Counts)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["vlm", "-o", "x.jsonl"], "invalid choice: 'vlm'"),
        (["vllm", "-o", "x.npz"], "x.npz: cannot be written: the name must end in .jsonl"),
        (["vllm", "--counts", "-o", "x.jsonl"], "form: vllm holds routes, no counts"),
        (["vllm", "-o", "none/x.jsonl"], "none"),
    ],
)
def test_mistakes_take_one_line(tmp_path, monkeypatch, capsys, words, message):
    monkeypatch.chdir(tmp_path)
    try:
        code = main(["import", "example", *words])
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert message in captured.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_made_of_counts_says_so(tmp_path, capsys):
    network, counts = tmp_path / "network.toml", tmp_path / "c.csv"
    network.write_text(NETWORK)
    assert main(["import", "example", "counts", "-o", str(counts)]) == 0
    words = ["import", "routes", counts, "--network", network, "--expert-bytes", "10"]
    words += ["--experts", "8", "--top-k", "2", "-o", tmp_path / "i.json"]
    capsys.readouterr()
    assert main([str(word) for word in words]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("c-independent-expected, written to")
    assert captured.err.startswith("moeplace: counts carry no sets of experts")
    assert captured.err.count("\n") == 1
    assert main([str(word) for word in [*words, "--json"]]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["note"].startswith("counts carry no sets of experts")
    assert captured.err == ""
    write = ["import", "example", "routes", "-o", str(tmp_path / "r.npz")]
    assert main(write) == 0
    capsys.readouterr()
    words[2:3] = [tmp_path / "r.npz"]
    words = [word for word in words if word not in ("--top-k", "2")]
    assert main([str(word) for word in [*words, "--json"]]) == 0
    captured = capsys.readouterr()
    assert "note" not in json.loads(captured.out)
    assert captured.err == ""
