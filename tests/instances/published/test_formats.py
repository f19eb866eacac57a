"""Files of published instances: what they mean, round trips, a clear line for each mistake."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from formulations import EXACT
from instances.draws import Draws
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.placement import Placement
from instances.problem import Instance
from instances.published.dimacs import format_dimacs, parse_dimacs
from instances.published.k_cluster import format_k_cluster, parse_k_cluster
from instances.published.quadratic_knapsack import (
    QuadraticKnapsack,
    format_quadratic_knapsack,
    parse_quadratic_knapsack,
)
from instances.published.random_instances import (
    random_quadratic_knapsack,
    random_set_union_knapsack,
    random_subgraph,
)
from instances.published.reading import read_published
from instances.published.set_union_knapsack import (
    SetUnionKnapsack,
    format_set_union_knapsack,
    parse_set_union_knapsack,
)
from instances.published.subgraph import DensestSubgraph

QKP = """r_4_100_1
4
10 0 7 3
5 0 2
8 0
6

0
12
4 5 6 7

Commentaires
"""
SUKP = """
sukp_3_4_0.50_0.75

m=3  n=4 knapsack size=9

The profit of 3 items:
10 20 30

The weight of 4 elements:
2 3 4 5

Relation matrix
1 1 0 0
0 1 1 0
0 0 0 1
"""
K_CLUSTER = "5 3 4\n1 2 0.5\n1 3 0.5\n2 3 0.5\n4 5 1.5\n"
DIMACS = "c a triangle and an edge\np edge 5 4\ne 1 2\ne 1 3\ne 2 3\ne 5 4\n"


def saving(instance: Instance, *packed: int) -> float:
    return evaluate(instance, Placement.of(instance, [(0, i) for i in packed])).saving_ms


def optimum(instance: Instance) -> float:
    outcome = EXACT.get("brute-force").solve(
        instance, rng=np.random.default_rng(0), time_limit=None
    )
    assert outcome.proven_optimal
    return evaluate(instance, outcome.placement).saving_ms


# -- what the files mean ----------------------------------------------------------------------


def test_a_quadratic_knapsack() -> None:
    instance = parse_quadratic_knapsack(QKP).instance()
    assert instance.name == "r_4_100_1"
    assert instance.expert_bytes.tolist() == [4, 5, 6, 7]
    assert instance.capacity_bytes.tolist() == [12]
    assert instance.top_k == 2
    assert instance.num_rows == 3 + 4  # profits of 0 give no row
    assert saving(instance, 0) == 10
    assert saving(instance, 0, 1) == 10 + 0 + 5
    assert saving(instance, 1, 2) == 0 + 7 + 8
    assert saving(instance, 2, 3) == 7 + 3 + 6
    assert optimum(instance) == 10 + 7 + 0  # items 1 and 3 weigh 10 and earn nothing together


def test_a_set_union_knapsack() -> None:
    instance = parse_set_union_knapsack(SUKP).instance()
    assert instance.name == "sukp_3_4_0.50_0.75"
    assert instance.expert_bytes.tolist() == [2, 3, 4, 5]
    assert saving(instance, 0, 1) == 10
    assert saving(instance, 0, 1, 2) == 10 + 20  # element 2 serves both items, and weighs once
    assert saving(instance, 0, 2, 3) == 30
    assert optimum(instance) == 30


def test_the_variant_of_set_union_files_without_words() -> None:
    words = ("sukp", "m=", "The", "Relation")
    bare = "\n".join(line for line in SUKP.splitlines() if not line.startswith(words))
    problem = parse_set_union_knapsack(f"3\n4  \n9\n{bare}")
    assert (
        format_set_union_knapsack(problem).splitlines()[1:]
        == (format_set_union_knapsack(parse_set_union_knapsack(SUKP)).splitlines()[1:])
    )


def test_numbers_of_set_union_files_may_go_over_several_lines() -> None:
    wrapped = SUKP.replace("10 20 30", "10\n20 30").replace("2 3 4 5", "2 3 4\n5")
    assert parse_set_union_knapsack(wrapped).profits.tolist() == [10, 20, 30]


def test_a_k_cluster() -> None:
    problem = parse_k_cluster(K_CLUSTER, "five")
    instance = problem.instance()
    assert instance.name == "five"
    assert saving(instance, 0, 1, 2) == 3
    assert saving(instance, 3, 4) == 3  # an entry of 1.5 counts twice
    assert optimum(instance) == 3
    assert optimum(problem.of_size(5).instance()) == 6


def test_a_dimacs_graph() -> None:
    instance = parse_dimacs(DIMACS, "five", 4).instance()
    assert saving(instance, 0, 1, 2) == 3
    assert saving(instance, 3, 4) == 1
    assert optimum(instance) == 3
    assert optimum(parse_dimacs(DIMACS, "five", 5).instance()) == 4


def test_an_edge_in_both_directions_is_one() -> None:
    both = parse_dimacs("p col 2 2\ne 1 2\ne 2 1\n", "both", 2)
    assert both.edges.tolist() == [[0, 1]]
    assert optimum(both.instance()) == 1


def test_no_profit_at_all() -> None:
    empty = QuadraticKnapsack(name="none", linear=[0], pairs=[], weights=[3], capacity=3)
    assert empty.instance().num_rows == 0
    assert optimum(empty.instance()) == 0


# -- round trips ------------------------------------------------------------------------------


@given(seed=st.integers(0, 1000), items=st.integers(1, 12), density=st.floats(0, 1))
@settings(max_examples=40)
def test_quadratic_knapsacks_come_back(seed: int, items: int, density: float) -> None:
    problem = random_quadratic_knapsack(Draws("t", seed), "round", items=items, density=density)
    text = format_quadratic_knapsack(problem)
    again = parse_quadratic_knapsack(text)
    assert format_quadratic_knapsack(again) == text
    assert again.instance().checksum() == problem.instance().checksum()


@given(seed=st.integers(0, 1000), shape=st.tuples(st.integers(1, 9), st.integers(1, 9)))
@settings(max_examples=40)
def test_set_union_knapsacks_come_back(seed: int, shape: tuple[int, int]) -> None:
    problem = random_set_union_knapsack(
        Draws("t", seed), "round", items=shape[0], elements=shape[1], density=0.3, ratio=0.75
    )
    text = format_set_union_knapsack(problem)
    again = parse_set_union_knapsack(text)
    assert format_set_union_knapsack(again) == text
    assert again.instance().checksum() == problem.instance().checksum()


@given(seed=st.integers(0, 1000), vertices=st.integers(1, 12), density=st.floats(0, 1))
@settings(max_examples=40)
def test_graphs_come_back(seed: int, vertices: int, density: float) -> None:
    problem = random_subgraph(
        Draws("t", seed), "round", vertices=vertices, density=density, size=vertices // 2
    )
    checksum = problem.instance().checksum()
    assert parse_k_cluster(format_k_cluster(problem), "round").instance().checksum() == checksum
    again = parse_dimacs(format_dimacs(problem), "round", vertices // 2)
    assert again.instance().checksum() == checksum


# -- the generators ---------------------------------------------------------------------------


def test_random_quadratic_knapsacks_are_as_described() -> None:
    problem = random_quadratic_knapsack(Draws("q"), "q", items=200, density=0.25)
    profits = np.concatenate([problem.linear, problem.pairs])
    assert 0.23 < (profits > 0).mean() < 0.27
    assert set(np.unique(profits)) == set(range(101))
    assert set(np.unique(problem.weights)) <= set(range(1, 51))
    capacities = [
        random_quadratic_knapsack(Draws("q", seed), "q", items=10, density=1.0)
        for seed in range(200)
    ]
    assert all(50 <= each.capacity <= each.weights.sum() for each in capacities)
    assert len({each.capacity for each in capacities}) > 100


def test_random_set_union_knapsacks_are_as_described() -> None:
    problem = random_set_union_knapsack(
        Draws("s"), "s", items=300, elements=285, density=0.1, ratio=0.75
    )
    assert 0.097 < problem.needs.mean() < 0.103
    assert problem.needs.any(axis=1).all()
    assert problem.capacity == int(problem.weights.sum() * 0.75)
    assert (problem.profits.min(), problem.profits.max()) == (20, 520)
    sparse = random_set_union_knapsack(
        Draws("s"), "s", items=50, elements=9, density=0.0, ratio=0.75
    )
    assert (sparse.needs.sum(axis=1) == 1).all()


# -- mistakes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (QKP, "", "line 1: the file ends before the name"),
        ("r_4_100_1", "r 4", "line 1: 2 words where the name of the instance stands alone"),
        ("\n4\n", "\n4.0\n", "line 2: the number of items: '4.0' is not a whole number"),
        ("\n4\n", "\n0\n", "line 2: the number of items: 0 is below 1"),
        ("\n4\n", "\n5001\n", "line 2: 5001 items; the limit is 5000"),
        ("10 0 7 3", "10 0 7", "line 3: 3 numbers where profits of 4 items .* needs 4 numbers"),
        ("10 0 7 3", "10 0 -7 3", "line 3: profits of 4 items .*: -7 is below 0"),
        ("5 0 2", "5 0 2 1", "line 4: 4 numbers where profits of item 1 .* needs 3 numbers"),
        ("8 0", "8 -1", "line 5: profits of item 2 with each later one .*: -1 is below 0"),
        ("8 0", "8 x", "line 5: profits of item 2 .*: 'x' is not a whole number"),
        ("\n0\n12", "\n1\n12", "line 8: 1 where 0 says that weights may not exceed"),
        ("\n12\n", "\n-12\n", "line 9: the capacity: -12 is below 0"),
        ("4 5 6 7", "4 5 0 7", "line 10: weights: 0 is below 1"),
        ("4 5 6 7", f"4 5 {'9' * 16} 7", "line 10: weights: '9999999999999999' is not a whole"),
        ("12\n4 5 6 7\n\nCommentaires", "12", "line 9: the file ends before the weights"),
    ],
)
def test_mistakes_in_quadratic_knapsacks(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_quadratic_knapsack(QKP.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("m=3", "k=3", "line 6: '10' where m, n and the knapsack size are needed"),
        ("m=3", "m=0", "line 4: 0 items of 4 elements"),
        ("10 20 30", "10 20", "line 9: 'The' where the profits of the items still lacks 1"),
        ("10 20 30", "10 20 30 40", "line 7: 4 numbers where the profits of the items lacks 3"),
        ("10 20 30", "10 20 -30", "line 7: the profits of the items: -30 is below 0"),
        ("2 3 4 5", "2 3 4 0", "line 10: the weights of the elements: 0 is below 1"),
        ("1 1 0 0", "1 1 0", "line 13: 3 numbers where row 1 of the relation matrix needs 4"),
        ("1 1 0 0", "1 2 0 0", "line 13: row 1 of the relation matrix: 2 is neither 0 nor 1"),
        ("0 1 1 0", "0 0 0 0", "line 14: row 2 of the relation matrix holds no 1: an item with"),
        ("0 0 0 1\n", "", "line 14: the file ends before the elements of item 3"),
        ("0 0 0 1\n", "0 0 0 1\n1", "line 16: '1' after the end of the instance"),
        (SUKP, "3\n4\n", "line 2: the file ends before the knapsack size"),
    ],
)
def test_mistakes_in_set_union_knapsacks(old: str, new: str, message: str) -> None:
    text = SUKP.replace(old, new, 1)
    if old == "m=3" and new == "k=3":
        text = text.replace("The profit of 3 items:\n", "")
    with pytest.raises(InputError, match=message):
        parse_set_union_knapsack(text)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("5 3 4", "5 3", "line 1: 2 numbers where the line of vertices, k and edges needs 3"),
        ("5 3 4", "5 6 4", "line 1: k = 6 is not in 0..5"),
        ("5 3 4", "5 3 5", "line 5: the file ends before edge 5 of 5"),
        ("5 3 4", "5 3 3", "line 5: '4' after the end"),
        ("1 3 0.5", "1 3", "line 3: 2 words where an edge has two vertices and an entry"),
        ("1 3 0.5", "3 1 0.5", "line 3: 3 1 is not a pair i < j of the vertices 1..5"),
        ("1 3 0.5", "1 6 0.5", "line 3: 1 6 is not a pair"),
        ("1 3 0.5", "1 2 0.5", "line 3: edge 1 2 is on line 2, too"),
        ("1 3 0.5", "1 3 -0.5", "line 3: the entry -0.5 is not positive"),
        ("1 3 0.5", "1 3 nan", "line 3: the entry of the edge: 'nan' is not a decimal number"),
    ],
)
def test_mistakes_in_k_clusters(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_k_cluster(K_CLUSTER.replace(old, new, 1), "name")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("p edge 5 4", "p edge 5", "line 2: a problem line reads: p edge VERTICES EDGES"),
        ("p edge 5 4", "p max 5 4", "line 2: a problem line reads"),
        ("p edge 5 4", "p edge 5 x", "line 2: p edge: 'x' is not a whole number"),
        ("p edge 5 4", "p edge 5 3", "line 2: 3 edges are announced; there are 4"),
        ("p edge 5 4\n", "", "line 2: an edge before the problem line"),
        (DIMACS, "c nothing\n", "line 1: there is no problem line"),
        ("e 1 2", "p edge 5 4", "line 3: a second problem line"),
        ("e 1 2", "e 1 6", "line 3: '1 6' is not two different vertices of 1..5"),
        ("e 1 2", "e 2 2", "line 3: '2 2' is not two different vertices"),
        ("e 1 2", "e 0 2", "line 3: an edge: 0 is below 1"),
        ("e 1 2", "e 1", "line 3: 1 number where an edge needs 2 numbers"),
        ("e 1 2", "e", "line 3: '' is not two different vertices"),
        ("e 1 2", "e 1 3", "line 4: edge 1 3 is on line 3, too"),
        ("e 1 2", "n 1 2", "line 3: 'n' is none of the lines c, p and e"),
    ],
)
def test_mistakes_in_dimacs_graphs(old: str, new: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_dimacs(DIMACS.replace(old, new, 1), "name", 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: QuadraticKnapsack(
                name="q", linear=[1, -2], pairs=[0], weights=[1, 1], capacity=1
            ).instance(),
            r"linear\[1\]: -2 is negative",
        ),
        (
            lambda: QuadraticKnapsack(
                name="q", linear=[1, 2], pairs=[], weights=[1, 1], capacity=1
            ),
            "2 items, 0 pairs and 2 weights do not belong together",
        ),
        (
            lambda: SetUnionKnapsack(
                name="s", profits=[1, 2], weights=[1], needs=[[True], [False]], capacity=1
            ).instance(),
            r"items\[1\]: needs no element",
        ),
        (
            lambda: SetUnionKnapsack(
                name="s", profits=[1], weights=[1, 1], needs=[[True]], capacity=1
            ),
            r"needs: shape \(1, 1\) is not \(1, 2\)",
        ),
        (
            lambda: DensestSubgraph(name="d", num_vertices=2, edges=[[0, 1]], worth=[1.0], size=3),
            r"--k: 3 is not in 0..2",
        ),
    ],
)
def test_problems_that_cannot_be(make: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


# -- files ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "text", "size", "name"),
    [
        ("qkp", QKP, None, "r_4_100_1"),
        ("sukp", SUKP, None, "sukp_3_4_0.50_0.75"),
        ("sukp", SUKP.replace("sukp_3_4_0.50_0.75", ""), None, "some"),
        ("kcluster", K_CLUSTER, None, "some"),
        ("dimacs", DIMACS, 3, "some"),
    ],
)
def test_files_are_read(tmp_path: Path, form: str, text: str, size: int | None, name: str) -> None:
    path = tmp_path / "some.txt"
    path.write_text(text)
    instance = read_published(path, form, size=size)
    assert instance.name == name
    assert (instance.num_servers, instance.num_layers, instance.num_users) == (1, 1, 1)
    assert read_published(path, form, size=size, name="mine").name == "mine"


def test_k_replaces_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "five.dat"
    path.write_text(K_CLUSTER)
    assert read_published(path, "kcluster", size=2).capacity_bytes.tolist() == [2]
    with pytest.raises(InputError, match=r"^--k: 9 is not in 0..5"):
        read_published(path, "kcluster", size=9)


def test_mistakes_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "five.col"
    path.write_text(DIMACS.replace("e 1 2", "e 1 9"))
    with pytest.raises(InputError, match=r"five\.col: line 3: '1 9' is not two"):
        read_published(path, "dimacs", size=3)
    with pytest.raises(InputError, match=r"^--k: is missing"):
        read_published(path, "dimacs")
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"five\.col: not text in UTF-8"):
        read_published(path, "qkp")
    with pytest.raises(InputError, match=r"none\.col: cannot be read"):
        read_published(tmp_path / "none.col", "qkp")
