import pytest

from bench.formats import MISSING, saving_ratio_text
from bench.latex import latex_tables, latex_text
from bench.report import TABLES
from bench.summary import summarise
from tests.bench.attempts import archive_of, attempt, benchmark, frame, optimum


def cells(table):
    """Body cells of a tabular, row by row."""
    body = table.split("\\midrule\n")[1].split("\\bottomrule")[0]
    return [line.removesuffix(r" \\").split(" & ") for line in body.splitlines()]


@pytest.fixture(scope="module")
def summary():
    table = benchmark(("mixtral", "switch"))
    return summarise(table, archive=archive_of(table))


def test_tables_hold_the_numbers_of_the_summary(summary):
    tables = latex_tables(summary)
    assert set(tables) == set(TABLES)
    for name in ("methods", "families"):
        wanted = getattr(summary, name)
        rows = cells(tables[name])
        assert len(rows) == len(wanted)
        first = 2 if name == "families" else 1
        for row, expected in zip(rows, wanted.to_dict("records"), strict=True):
            assert row[first - 1] == expected["label"]
            ratio = saving_ratio_text(expected["saving_ratio_mean"])
            assert row[first + 2] == ratio.replace(MISSING, "--")
    assert [row[0] for row in cells(tables["instances"])] == list(
        summary.instances["instance_label"]
    )


@pytest.mark.parametrize("name", TABLES)
def test_every_row_has_as_many_cells_as_columns(summary, name):
    table = latex_tables(summary)[name]
    alignment = table.split("\\begin{tabular}{")[1].split("}")[0]
    assert {len(row) for row in cells(table)} == {len(alignment)}
    assert table.startswith("% ")
    assert table.endswith("\\end{tabular}\n")


def test_names_are_text_for_latex():
    hostile = "\\input{/etc/passwd} 5 % & $x_1^2$ #~ {\n\\end{tabular}"
    rows = [optimum(100.0), attempt(algorithm=hostile)]
    table = latex_tables(summarise(frame(*rows)))["methods"]
    assert table.count("\\end{tabular}") == 1
    assert "\\input" not in table
    (row,) = [row for row in cells(table) if "passwd" in row[0]]
    assert r"5 \% \& \$x\_1\textasciicircum{}2\$ \#\textasciitilde{} \{ " in " & ".join(row)


def test_an_empty_store_has_no_tables_and_no_claims_no_table_of_them():
    assert latex_tables(summarise(frame())) == {}
    assert set(latex_tables(summarise(frame(attempt())))) == {
        *("methods", "families", "instances", "over-time")
    }


def test_every_letter_that_latex_minds_is_escaped():
    assert latex_text(f"µ∞{MISSING}") == r"\textmu{}$\infty$--"
