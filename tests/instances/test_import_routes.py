from pathlib import Path

import numpy as np
import pytest

from instances.files import read_instance
from instances.import_routes import COUNTS_NOTE, main
from instances.importers import FORMS, write_example
from instances.traces import Routes

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "network.toml"


@pytest.fixture
def routes(tmp_path):
    """Six tokens of three requests through the shape of gpt-oss-20b."""
    rng = np.random.default_rng(0)
    experts = np.array([[rng.permutation(32)[:4] for _ in range(24)] for _ in range(6)])
    path = tmp_path / "routes.npz"
    np.savez(path, experts=experts.astype(np.uint8), offsets=np.array([0, 2, 3, 6]))
    return path


def call(routes, *arguments):
    output = routes.with_name("instance.json")
    code = main([str(routes), "--network", str(EXAMPLE), "-o", str(output), *arguments])
    return code, output


def test_an_instance_is_written(routes, capsys):
    code, output = call(routes, "--model", "gpt-oss-20b", "--precision", "mxfp4")
    assert code == 0
    assert capsys.readouterr().out == (
        f"{output}: gpt-oss-20b-routes, 4 users, 3 servers, 24 layers, 144 rows\n"
    )
    instance = read_instance(output)
    assert instance.models[0].uniform_bytes == 13_223_790
    assert np.unique(instance.demand_user, return_counts=True)[1].tolist() == [48, 24, 72]


def test_blocks_and_name(routes):
    code, output = call(routes, "--model", "gpt-oss-20b", "--users", "1", "--name", "mine")
    assert code == 0
    instance = read_instance(output)
    assert instance.name == "mine"
    assert set(instance.demand_user.tolist()) == {0}


def test_a_model_of_ones_own(routes):
    code, output = call(routes, "--expert-bytes", "1000", "--experts", "40")
    assert code == 0
    instance = read_instance(output)
    assert instance.name == "routes"
    model = instance.models[0]
    assert (model.name, model.layers, model.experts, model.top_k) == ("routes", 24, 40, 4)
    assert model.uniform_bytes == 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "error: --model: is missing; or give both --expert-bytes and --experts"),
        (["--expert-bytes", "3"], "error: --model: is missing"),
        (["--model", "gpt-oss-20b", "--experts", "3"], "error: --experts: cannot be used together"),
        (["--model", "gpt-oss"], "error: model: 'gpt-oss' is not one of"),
        (["--model", "gpt-oss-20b", "--precision", "x"], "error: precision: 'x' is not one of"),
        (["--precision", "bf16"], "error: --precision: needs --model"),
        (["--model", "mixtral-8x7b"], "routes.npz: experts: 24 layers, but mixtral-8x7b has 32"),
        (["--expert-bytes", "0", "--experts", "32"], "error: --expert-bytes: 0 is not in 1.."),
        (["--expert-bytes", "9", "--experts", "0"], "error: --experts.experts: 0 is not a posit"),
        (["--expert-bytes", "9", "--experts", str(10**15)], "more than 10000000 experts"),
        (["--expert-bytes", str(2**61), "--experts", "32"], "expert_bytes add up to more than"),
        (["--expert-bytes", "9", "--experts", "8"], "is not in 0..7, the experts of routes"),
        (["--model", "gpt-oss-20b", "--users", "5"], "error: grouping: 5 is not in 1..4"),
        (["--model", "gpt-oss-20b", "--users", "field:x"], "requests.json: cannot be read"),
        (["--model", "gpt-oss-20b", "--name", ""], "error: name: '' is not a name"),
        (["--model", "gpt-oss-20b", "-o", "/none/x.json"], "/none/x.json: cannot be written"),
    ],
)
def test_mistakes_take_one_line_and_exit_code_2(routes, capsys, arguments, message):
    code, output = call(routes, *arguments)
    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
    assert not output.exists()


def test_mistakes_in_files_name_the_file(routes, tmp_path, capsys):
    network = tmp_path / "net.toml"
    network.write_text(EXAMPLE.read_text().replace("# local_experts", "local_experts"))
    network.write_text(network.read_text().replace("[1, 7]]", "[1, 99]]"))
    output = str(tmp_path / "x.json")
    arguments = ["--model", "gpt-oss-20b", "-o", output]
    assert main([str(routes), "--network", str(network), *arguments]) == 2
    assert f"{network}: users[3].local_experts[1][1]: 99 is not in" in capsys.readouterr().err
    assert main([str(routes), "--network", str(tmp_path / "no.toml"), *arguments]) == 2
    assert "no.toml: cannot be read" in capsys.readouterr().err
    assert main([str(network), "--network", str(network), *arguments]) == 2
    assert "net.toml: unknown kind of file, none of .npz, .npy" in capsys.readouterr().err


@pytest.mark.parametrize("form", [form.name for form in FORMS if Routes in form.holds])
def test_every_form_of_routes_gives_the_same_instance(tmp_path, form):
    """The example of each form, and the same routes as our own file."""
    checksums = set()
    for name in ("routes", form):
        path = tmp_path / f"r{FORMS.get(name).suffix}"
        write_example(path, name)
        code, output = call(path, "--expert-bytes", "9", "--experts", "8", "--name", "x")
        assert code == 0
        checksums.add(read_instance(output).checksum())
    assert len(checksums) == 1


@pytest.fixture(params=["counts", "imatrix", "sglang"])
def counts(request, tmp_path):
    path = tmp_path / f"c{FORMS.get(request.param).suffix}"
    write_example(path, request.param, counts=True)
    return path


OWN = ("--expert-bytes", "9", "--experts", "8", "--top-k", "2")


def test_counts_are_said_to_carry_no_sets(counts, capsys):
    code, output = call(counts, *OWN)
    captured = capsys.readouterr()
    assert code == 0
    assert captured.out.startswith(
        f"{output}: c-independent-expected, 4 users, 3 servers, 3 layers"
    )
    assert captured.err == f"{COUNTS_NOTE}\n"
    assert "carry no sets" in COUNTS_NOTE
    assert read_instance(output).name == "c-independent-expected"


def test_sets_of_counts_can_be_sampled(counts):
    code, output = call(counts, *OWN, "--sets", "sampled", "--tokens", "50", "--seed", "3")
    assert code == 0
    first = read_instance(output)
    assert first.name == "c-independent-sampled"
    assert set(first.demand_user.tolist()) == {0, 1, 2, 3}
    assert call(counts, *OWN, "--sets", "sampled", "--tokens", "50", "--seed", "4")[0] == 0
    assert read_instance(output).checksum() != first.checksum()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (OWN[:4], "error: --top-k: is missing: counts do not tell how many"),
        ((*OWN[:4], "--top-k", "9"), "error: --top-k: 9 is not in 1..8"),
        ((*OWN[:4], "--top-k", "0"), "error: --top-k: 0 is not in 1..8"),
        ((*OWN, "--users", "2"), "error: --users: is for requests; the recording holds counts"),
        ((*OWN, "--tokens", "0"), "error: tokens: 0 is not positive"),
        ((*OWN, "--seed", "-1"), "error: seed: -1 is negative"),
        (("--model", "mixtral-8x7b", "--top-k", "2"), "--top-k: cannot be used together with"),
    ],
)
def test_mistakes_with_counts_take_one_line(counts, capsys, arguments, message):
    code, output = call(counts, *arguments)
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert message in captured.err
    assert not output.exists()


def test_the_model_is_held_against_counts(tmp_path, capsys):
    path = tmp_path / "c.csv"
    write_example(path, "counts")
    assert call(path, "--model", "mixtral-8x7b")[0] == 2
    assert f"{path}: layer: 3 layers, but mixtral-8x7b has 32, 32" in capsys.readouterr().err
    assert call(path, "--expert-bytes", "9", "--experts", "9", "--top-k", "2")[0] == 2
    assert f"{path}: counts: 8 experts, but c has 9" in capsys.readouterr().err
    assert call(path, *OWN[:4], "--top-k", "8")[0] == 2
    assert f"{path}: counts[0]" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sets", "sampled"), "error: --sets: is for counts; the recording holds routes"),
        (("--tokens", "5"), "error: --tokens: is for counts"),
        (("--seed", "5"), "error: --seed: is for counts"),
        (("--form", "vllm"), "routes.npz: experts: unknown array"),
        (("--form", "megatron"), "routes.npz: line 1: not JSON"),
    ],
)
def test_mistakes_with_forms_take_one_line(routes, capsys, arguments, message):
    code, _ = call(routes, "--model", "gpt-oss-20b", *arguments)
    captured = capsys.readouterr()
    assert (code, captured.out, captured.err.count("\n")) == (2, "", 1)
    assert message in captured.err


def test_top_k_is_told_by_routes(routes, capsys):
    assert call(routes, "--expert-bytes", "9", "--experts", "40", "--top-k", "4")[0] == 2
    assert "--top-k: is for counts; the recording holds routes" in capsys.readouterr().err


def test_architecture_files_name_the_model(tmp_path, capsys):
    recording, model = tmp_path / "r.jsonl", tmp_path / "model.toml"
    write_example(recording, "vllm")
    model.write_text(
        'format = "moeplace/architecture"\nversion = 1\nname = "small"\nmoe_layers = 3\n'
        "experts_per_layer = 8\ntop_k = 2\nhidden_size = 4\nexpert_intermediate_size = 5\n"
    )
    code, output = call(recording, "--model", str(model))
    assert code == 0
    instance = read_instance(output)
    assert (instance.name, instance.models[0].name) == ("small-r", "small")
    assert instance.models[0].uniform_bytes == 2 * 3 * 4 * 5
    assert call(recording, "--model", str(tmp_path / "none.toml"))[0] == 2
    assert "none.toml: cannot be read" in capsys.readouterr().err
