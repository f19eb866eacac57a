from pathlib import Path

import numpy as np
import pytest

from instances.files import read_instance
from instances.import_routes import main

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
