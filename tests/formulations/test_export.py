import re
import subprocess

import cbcbox
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ortools.math_opt.io.python import mps_converter
from ortools.math_opt.python import mathopt

from formulations.aggregated import build_aggregated
from formulations.compact import build_compact
from formulations.export import OBJECTIVE, lp_text, mps_text
from formulations.lifted import build_lifted
from formulations.mathopt import build_model
from formulations.names import LONGEST_NAME, labels, make_names, storage_names
from formulations.program import Program
from formulations.solutions import highs_text, read_solution, scip_text
from instances.errors import InputError
from instances.families import generate
from instances.placement import Placement
from instances.problem import Instance
from instances.structure.clauses import build_clauses
from tests.formulations.rules import RULES, one_layer
from tests.strategies import instances, placements

BUILDERS = {"compact": build_compact, "aggregated": build_aggregated, "lifted": build_lifted}
WRITERS = {"mps": mps_text, "lp": lp_text}
CASES = [name for name, make in RULES.items() if make()[1] > 0.0]


def program_of(instance: Instance, formulation: str = "compact") -> Program:
    return BUILDERS[formulation](instance, build_clauses(instance))


def cbc_optimum(text: str, suffix: str, tmp_path) -> float:
    """What the CBC program itself makes of a file; the sense of a file is CBC's to find out."""
    path = tmp_path / f"program.{suffix}"
    path.write_text(text)
    command = [cbcbox.cbc_bin_path(), str(path), "-ratio", "0", "-allow", "0", "-solve", "-quit"]
    said = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    assert "Result - Optimal solution found" in said, said
    return float(re.search(r"^Objective value:\s+(\S+)$", said, re.MULTILINE)[1])


def mathopt_optimum(text: str) -> float:
    model = mathopt.Model.from_model_proto(mps_converter.mps_to_model_proto(text))
    assert model.objective.is_maximize
    exact = mathopt.SolveParameters(relative_gap_tolerance=0.0, absolute_gap_tolerance=0.0)
    return mathopt.solve(model, mathopt.SolverType.GSCIP, params=exact).objective_value()


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("suffix", ["mps", "lp"])
def test_cbc_reads_the_same_optimum(rule: str, suffix: str, tmp_path) -> None:
    instance, optimum_ms = RULES[rule]()
    text = WRITERS[suffix](instance, program_of(instance), "compact")
    assert cbc_optimum(text, suffix, tmp_path) == pytest.approx(optimum_ms, rel=1e-9)


@pytest.mark.parametrize("rule", CASES)
@pytest.mark.parametrize("formulation", BUILDERS)
def test_mathopt_reads_the_same_optimum(rule: str, formulation: str) -> None:
    instance, optimum_ms = RULES[rule]()
    text = mps_text(instance, program_of(instance, formulation), formulation)
    assert mathopt_optimum(text) == pytest.approx(optimum_ms, rel=1e-9)


@pytest.mark.parametrize("formulation", BUILDERS)
@pytest.mark.parametrize("suffix", ["mps", "lp"])
def test_cbc_reads_every_formulation_of_a_generated_instance(
    formulation: str, suffix: str, tmp_path
) -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    program = program_of(instance, formulation)
    model = build_model(program)
    exact = mathopt.SolveParameters(relative_gap_tolerance=0.0, absolute_gap_tolerance=0.0)
    solved = mathopt.solve(model, mathopt.SolverType.GSCIP, params=exact)
    optimum_ms = solved.objective_value() * program.unit_ms
    text = WRITERS[suffix](instance, program, formulation)
    assert cbc_optimum(text, suffix, tmp_path) == pytest.approx(optimum_ms, rel=1e-9)


def test_an_mps_file_is_the_program_to_the_last_digit() -> None:
    instance = generate("mixtral", size="tiny", seed=0)
    program = program_of(instance, "lifted")
    names = make_names(instance, program)
    model = mathopt.Model.from_model_proto(
        mps_converter.mps_to_model_proto(mps_text(instance, program, "lifted"))
    )
    assert [variable.name for variable in model.variables()] == names.columns
    assert [variable.integer for variable in model.variables()] == program.is_whole.tolist()
    assert [variable.upper_bound for variable in model.variables()] == program.upper.tolist()
    assert [row.name for row in model.linear_constraints()] == names.rows
    assert [row.upper_bound for row in model.linear_constraints()] == program.rows.upper.tolist()
    weights = {term.variable.id: term.coefficient for term in model.objective.linear_terms()}
    exact = program.objective * program.unit_ms
    assert weights == {j: exact[j] for j in np.flatnonzero(exact)}
    entries = {
        (entry.linear_constraint.id, entry.variable.id): entry.coefficient
        for entry in model.linear_constraint_matrix_entries()
    }
    rows = program.rows
    triplets = zip(rows.row.tolist(), rows.column.tolist(), rows.coefficient, strict=True)
    assert entries == {(row, column): value for row, column, value in triplets}


@pytest.mark.parametrize("suffix", ["mps", "lp"])
def test_files_say_what_they_are(suffix: str) -> None:
    instance, _ = RULES["a_pair_may_be_split_over_two_servers"]()
    text = WRITERS[suffix](instance, program_of(instance), "compact")
    mark = {"mps": "*", "lp": "\\"}[suffix]
    comments = [line for line in text.splitlines() if line.startswith(mark)]
    assert comments[0] == f"{mark} moeplace instance rule"
    assert instance.checksum() in comments[1]
    assert "formulation compact" in comments[2]
    assert f"{mark} S0: s0, s1" in comments
    assert OBJECTIVE in text
    assert all(len(line) <= 255 for line in text.splitlines() if not line.startswith(mark))


def test_names_say_what_they_are() -> None:
    instance, _ = RULES["a_pair_may_be_split_over_two_servers"]()
    names = make_names(instance, program_of(instance))
    assert names.columns == [
        *("x.s0.m.L0.E0", "x.s0.m.L0.E1", "x.s1.m.L0.E0", "x.s1.m.L0.E1"),
        *("y.S0.m.L0.E0", "y.S0.m.L0.E1"),
        *("z.S1.m.L0.E0_1", "z.S0.m.L0.E0_1"),
    ]
    assert names.server_sets == {"S0": ("s0", "s1"), "S1": ("s0",)}
    assert names.rows == [
        *("capacity.s0", "capacity.s1", "reach.S0.m.L0.E0", "reach.S0.m.L0.E1"),
        *("clause.S1.m.L0.E0_1.0", "clause.S1.m.L0.E0_1.1"),
        *("clause.S0.m.L0.E0_1.0", "clause.S0.m.L0.E0_1.1"),
    ]


def test_digits_of_large_capacities_have_names() -> None:
    instance, _ = RULES["one_byte_too_many"]()
    names = make_names(instance, program_of(instance))
    assert names.columns[-3:] == ["t.s0.0", "t.s0.1", "t.s0.2"]
    assert names.rows[:4] == [f"capacity.s0.{digit}" for digit in range(4)]


@settings(max_examples=50)
@given(st.data())
def test_names_are_distinct_legal_and_one_for_each(data: st.DataObject) -> None:
    instance = data.draw(instances(max_servers=4, max_rows=20))
    formulation = data.draw(st.sampled_from(sorted(BUILDERS)))
    program = program_of(instance, formulation)
    names = make_names(instance, program)
    assert len(names.columns) == len(set(names.columns)) == len(program)
    assert len(names.rows) == len(set(names.rows)) == program.rows.num_rows
    assert all(re.fullmatch(r"[A-Za-z0-9_.]{1,255}", name) for name in names.columns + names.rows)
    known = {name for row in storage_names(instance) for name in row}
    assert {name for name in names.columns if name.startswith("x.")} <= known


def test_names_that_become_alike_stay_distinct() -> None:
    assert labels(["a b", "a-b", "c"]) == ["a_b_0", "a_b_1", "c_2"]
    assert labels(["ä" * 50, "b"]) == ["_" * 32, "b"]


def test_clauses_of_very_many_experts_get_a_number() -> None:
    everyone = list(range(120))
    instance = one_layer(
        rows=[(0, everyone, 1.0)], capacity=[200], latency=[[0.0]], cloud=[1.0], sizes=[[1] * 120]
    )
    names = make_names(instance, program_of(instance))
    assert names.columns[-1] == "z.S0.c0"
    assert max(map(len, names.columns)) <= LONGEST_NAME


@settings(max_examples=60)
@given(st.data())
@pytest.mark.parametrize("write", [scip_text, highs_text])
def test_placements_come_back_from_solution_files(write, data: st.DataObject) -> None:
    instance = data.draw(instances())
    program = program_of(instance)
    if len(program) == 0:
        return
    placement = data.draw(placements(instance))
    back = read_solution(write(instance, program, placement), instance)
    # A copy that is no column of the program can satisfy nothing.
    columns = program.columns
    kept = np.zeros_like(placement.stored)
    kept[columns.x_server, columns.x_expert] = placement.stored[columns.x_server, columns.x_expert]
    assert back.stored.tolist() == kept.tolist()


def test_a_highs_file_has_every_column_and_row() -> None:
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    program = program_of(instance)
    lines = highs_text(instance, program, Placement.of(instance, [(0, 0), (0, 1)])).splitlines()
    assert lines[:6] == [
        *("Model status", "Unknown", "", "# Primal solution values", "Feasible", "Objective 3.0")
    ]
    columns, rows = lines.index("# Columns 4"), lines.index("# Rows 3")
    assert rows - columns - 1 == len(program) == 4
    assert "capacity.s0 2.0" in lines[rows:]
    assert "z.S0.m.L0.E0_1 1" in lines[columns:rows]


def test_solutions_of_solvers_are_read() -> None:
    # As SCIP and HiGHS write them: padded, with objective coefficients, not quite whole.
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    scip = (
        "solution status: optimal solution found\n"
        "objective value:                                    3\n"
        "x.s0.m.L0.E0                              1.0000001 \t(obj:0)\n"
        "x.s0.m.L0.E1                                      1 \t(obj:0)\n"
        "x.s0.m.L0.E2                                 -1e-09 \t(obj:2)\n"
        "z.S0.m.L0.E0_1                                    1 \t(obj:3)\n"
    )
    assert read_solution(scip, instance).stored.tolist() == [[True, True, False]]
    nothing = "objective value: 0\n"
    assert not read_solution(nothing, instance).stored.any()


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("x.s9.m.L0.E0 1", r"line 1: 'x\.s9\.m\.L0\.E0' is no server and expert"),
        ("\nx.s0.m.L0.E0 0.5", "line 2: '0.5' is neither 0 nor 1"),
        ("x.s0.m.L0.E0 one", "line 1: 'one' is neither 0 nor 1"),
        ("x.s0.m.L0.E0 nan", "line 1: 'nan' is neither 0 nor 1"),
        ("x.s0.m.L0.E0 1\nx.s0.m.L0.E0 0", "line 2: .* has a value already"),
        ('{"format": "moeplace/placement"}', "neither a solution of SCIP nor one of HiGHS"),
        ("", "neither a solution of SCIP nor one of HiGHS"),
    ],
)
def test_what_is_no_solution_is_refused(text: str, problem: str) -> None:
    instance, _ = RULES["both_experts_of_a_pair_are_needed"]()
    with pytest.raises(InputError, match=problem):
        read_solution(text, instance)
