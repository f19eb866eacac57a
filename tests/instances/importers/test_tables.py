import importlib
import io

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instances.architectures import ARCHITECTURES
from instances.errors import InputError
from instances.importers import csv_counts, csv_routes, parquet_routes
from instances.importers.recordings import example_routes
from instances.importers.text import integer_table, table_text
from tests.instances.importers.recordings import same, some_routes

HEAD = b"request,token,layer,expert_0,expert_1\n"
LINES = b"0,0,0,1,2\n0,0,1,3,-1\n0,1,0,2,0\n0,1,1,1,2\n1,0,0,5,6\n1,0,1,-1,-1\n"


def test_lines_in_any_order():
    expected = [[[1, 2], [3, -1]], [[2, 0], [1, 2]], [[5, 6], [-1, -1]]]
    for lines in (LINES.split(b"\n")[:-1], LINES.split(b"\n")[-2::-1]):
        routes = csv_routes.read(HEAD + b"\r\n".join(lines), None)
        assert routes.experts.tolist() == expected
        assert routes.offsets.tolist() == [0, 2, 3]


@settings(max_examples=30, deadline=None)
@given(some_routes(), st.randoms())
def test_the_order_of_lines_does_not_matter(routes, random):
    head, *lines = csv_routes.write(routes).splitlines(keepends=True)
    random.shuffle(lines)
    assert same(routes, csv_routes.read(head + b"".join(lines), None))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "line 1: column 0 is '', not request"),
        (HEAD, "no line below the heading"),
        (HEAD[:-1], "no line below the heading"),
        (b"request,token,layer\n0,0,0\n", "expert_0: the column is missing"),
        (b"request,tokens,layer,expert_0\n0,0,0,1\n", "column 1 is 'tokens', not token; did you"),
        (b"request,token,layer,expert_1\n0,0,0,1\n", "column 3 is 'expert_1', not expert_0"),
        (HEAD + b"0,0,0,1\n", "line 2: 4 cells where 5 are needed"),
        (HEAD + LINES + b"0,0,0,1,2,3\n", "line 8: 6 cells where 5 are needed"),
        (HEAD + b"0,0,0,1,2,0\n0,0,1,1\n", "line 2: 6 cells where 5 are needed"),
        (HEAD + b"0,0,0,1,\n", "line 2: '' is not an integer"),
        (HEAD + b"0,0,0,1,2.0\n", "line 2: '2.0' is not an integer"),
        (HEAD + b"0,0,0,1, 2\n", "line 2: ' 2' is not an integer"),
        (HEAD + b"0,0,0,1,1-2\n", "line 2: '1-2' is not an integer"),
        (HEAD + b"0,0,0,1,--2\n", "line 2: '--2' is not an integer"),
        (HEAD + b"0,0,0,1,1e3\n", "line 2: '1e3' is not an integer"),
        (HEAD + b"0,0,0,1,nan\n", "line 2: 'nan' is not an integer"),
        (HEAD + b'0,0,0,1,"2"\n', "line 2: '\"2\"' is not an integer"),
        (HEAD + b"0,0,0,1,\xff\n", "line 2: '\ufffd' is not an integer"),
        (HEAD + b"0,0,0,1," + b"9" * 30, "line 2: '9+' is not an integer of up to 18 digits"),
        (HEAD + b"\n0,0,0,1,2\n", "line 2: 1 cells where 5 are needed"),
        (HEAD + b"-1,0,0,1,2\n", r"request\[0\]: -1 is not in"),
        (HEAD + b"0,9999999999,0,1,2\n", r"token\[0\]: 9999999999 is not in"),
        (HEAD + b"0,0,0,1,40000\n", r"expert_1\[0\]: 40000 is neither"),
        (HEAD + b"0,0,0,1,-2\n", r"expert_1\[0\]: -2 is neither"),
        (HEAD + b"0,0,0,1,1\n", r"experts\[0\]\[0\]: \[1, 1\] repeats"),
        (HEAD + b"0,0,1,1,2\n", "layer: 1 lines are not 2 layers for every token"),
        (HEAD + b"0,0,2000000000,1,2\n", "layer: 1 lines are not 2000000001 layers"),
        (HEAD + b"2000000000,0,0,1,2\n", "layer: 1 lines are not"),
        (HEAD + b"0,2000000000,0,1,2\n", "token: 1 lines where 1 requests with 2000000001 tokens"),
        (HEAD + b"0,0,0,1,2\n0,2,0,1,2\n", "token: 2 lines where 1 requests with 3 tokens"),
        (HEAD + b"0,0,0,1,2\n2,0,0,1,2\n", "layer: 2 lines are not|token: 2 lines where 3 req"),
        (HEAD + b"0,1,0,1,2\n0,1,0,1,2\n", "request 0, token 1, layer 0 occurs twice"),
    ],
)  # fmt: skip
def test_wrong_tables_are_refused(data, message):
    with pytest.raises(InputError, match=message) as info:
        csv_routes.read(data, None)
    assert str(info.value).isprintable()


@given(
    st.lists(st.lists(st.integers(-(10**18) + 1, 10**18 - 1), min_size=3, max_size=3), min_size=1)
)
def test_integers_come_back(rows):
    table = np.array(rows)
    assert np.array_equal(integer_table(table_text(["a", "b", "c"], table), 3), table)


def parquet(**columns):
    file = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


ROWS = {"request": [0, 0], "token": [0, 1], "layer": [0, 0], "expert_0": [3, 2]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"PAR1", "not a readable Parquet file"),
        (parquet(**ROWS)[:-9], "not a readable Parquet file"),
        (parquet(**{**ROWS, "extra": [1, 2]}), "column 4 is 'extra', not expert_1"),
        (parquet(**{**ROWS, "token": [0.0, 1.0]}), "token: a column of type 'double'"),
        (parquet(**{**ROWS, "token": ["0", "1"]}), "token: a column of type '(large_)?string'"),
        (parquet(**{**ROWS, "token": [0, None]}), "token: a value is missing"),
        (
            parquet(**{**ROWS, "token": pyarrow.array([0, 2**64 - 1], pyarrow.uint64())}),
            "token: 18446744073709551615 does not fit into 64 bits",
        ),
        (parquet(**{name: pyarrow.array([], pyarrow.int8()) for name in ROWS}), "no rows"),
        (parquet(**{**ROWS, "expert_0": [3, -2]}), r"expert_0\[1\]: -2 is neither"),
    ],
)
def test_wrong_parquet_files_are_refused(data, message):
    with pytest.raises(InputError, match=message) as info:
        parquet_routes.read(data, None)
    assert str(info.value).isprintable()


def test_parquet_of_small_and_unsigned_integers():
    columns = {name: pyarrow.array(values, pyarrow.uint8()) for name, values in ROWS.items()}
    routes = parquet_routes.read(parquet(**columns), None)
    assert routes.experts.tolist() == [[[3]], [[2]]]


def test_parquet_without_pyarrow_is_refused(monkeypatch):
    def missing(name):
        raise ImportError(name)

    data = parquet_routes.write(example_routes())
    monkeypatch.setattr(parquet_routes, "import_module", missing)
    assert importlib.import_module is not missing
    with pytest.raises(InputError, match=r"needs pyarrow: pip install moeplace\[parquet\]"):
        parquet_routes.read(data, None)


COUNTS = b"layer,expert,count\n"
DEEPSEEK = ARCHITECTURES.get("deepseek-v2-lite")  # 27 layers, the first dense, 64 experts


def test_counts_without_a_line_are_zero():
    counts = csv_counts.read(COUNTS + b"3,0,5\n3,2,1\n1,1,4\n", None)
    assert counts.counts.tolist() == [[0, 4, 0], [5, 0, 1]]


def test_counts_of_an_architecture():
    lines = b"".join(b"%d,5,7\n" % layer for layer in range(1, 27))
    counts = csv_counts.read(COUNTS + lines, DEEPSEEK)
    assert counts.counts.shape == (26, 64)
    assert counts.counts[:, 5].tolist() == [7] * 26
    moved = lines.replace(b"26,5", b"0,5")
    assert csv_counts.read(COUNTS + moved, DEEPSEEK).counts.shape == (26, 64)


@pytest.mark.parametrize(
    ("lines", "architecture", "message"),
    [
        (b"", None, "no line below"),
        (b"0,0\n", None, "line 2: 2 cells where 3"),
        (b"0,0,0.5\n", None, "line 2: '0.5' is not an integer"),
        (b"0,0,1\n-1,0,1\n", None, "line 3: layer -1 is not in"),
        (b"0,40000,1\n", None, "line 2: expert 40000 is not in"),
        (b"0,0,-4\n", None, "line 2: count -4 is not in"),
        (b"0,0,1\n0,0,1\n", None, "line 2: the same layer and expert have a second line"),
        (b"0,0,0\n", None, "counts: shape"),
        (b"0,64,1\n", DEEPSEEK, r"expert: 64 is not in 0\.\.63, the experts of deepseek-v2-lite"),
        (b"27,0,1\n", DEEPSEEK, r"layer: 27 is not in 0\.\.26, the layers of deepseek-v2-lite"),
        (b"3,0,1\n", DEEPSEEK, "layer: 4 layers, but deepseek-v2-lite has 27, 26 of them with"),
        (b"0,0,1\n26,0,1\n", DEEPSEEK, "layer 0 of deepseek-v2-lite is dense, but was used"),
        (
            b"".join(b"%d,32767,1\n" % layer for layer in range(400)),
            None,
            "expert: 400 layers of 32768 experts are too many",
        ),
    ],
)
def test_wrong_counts_are_refused(lines, architecture, message):
    with pytest.raises(InputError, match=message):
        csv_counts.read(COUNTS + lines, architecture)


def test_counts_have_their_heading():
    with pytest.raises(InputError, match="line 1: 'layer,expert' is not layer,expert,count"):
        csv_counts.read(b"layer,expert\n0,0\n", None)
