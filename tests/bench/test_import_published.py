"""``moeplace import qkp|sukp|kcluster|dimacs``: from a published file to a proven optimum."""

import json
from pathlib import Path

import pytest

from bench.arguments.making import PUBLISHED
from bench.cli import main
from instances.published.reading import FORMS

GRAPH = "p edge 5 4\ne 1 2\ne 1 3\ne 2 3\ne 4 5\n"


def test_every_format_has_a_command() -> None:
    assert list(PUBLISHED) == list(FORMS)


def test_a_graph_is_imported_and_solved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph, target = tmp_path / "five.col", tmp_path / "five.json"
    graph.write_text(GRAPH)
    assert main(["import", "dimacs", str(graph), "--k", "3", "-o", str(target)]) == 0
    out, _ = capsys.readouterr()
    assert "five, written to" in out
    assert "1 layer of 5 experts, up to 2 at once" in out
    assert "4 rows" in out
    assert main(["solve", str(target), "--with", "brute-force", "--json"]) == 0
    out, _ = capsys.readouterr()
    answer = json.loads(out)
    assert (answer["status"], answer["saving_ms"]) == ("optimal", 3.0)


def test_the_name_may_be_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    knapsack, target = tmp_path / "q.txt", tmp_path / "q.npz"
    knapsack.write_text("r_2\n2\n1 2\n3\n\n0\n5\n2 3\n")
    words = ["import", "qkp", str(knapsack), "--name", "mine", "-o", str(target), "--json"]
    assert main(words) == 0
    out, _ = capsys.readouterr()
    assert json.loads(out)["instance"] == "mine"
    assert json.loads(out)["top_k"] == 2


@pytest.mark.parametrize(
    ("words", "text", "message"),
    [
        (["dimacs"], GRAPH, "--k: is missing: a DIMACS file does not say how many vertices"),
        (["dimacs", "--k", "6"], GRAPH, "--k: 6 is not in 0..5, the vertices"),
        (["dimacs", "--k", "3"], GRAPH + "x\n", "given.txt: line 6: 'x' is none of the lines"),
        (["qkp"], "r_2\n2\n1 -2\n3\n\n0\n5\n2 3\n", "given.txt: line 3: profits of 2 items"),
        (["sukp"], "m=1 n=1 size=2\n5\n", "given.txt: line 2: the file ends before all of the w"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    text: str,
    message: str,
) -> None:
    path, target = tmp_path / "given.txt", tmp_path / "x.json"
    path.write_text(text)
    assert main(["import", words[0], str(path), *words[1:], "-o", str(target)]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert not target.exists()


def test_only_graphs_have_a_k(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["import", "sukp", "file", "--k", "3", "-o", str(tmp_path / "x.json")])
    assert "--k" in capsys.readouterr().err
