import re
import subprocess
import sys

import pytest

from instances.families import generate
from instances.files import read_instance
from instances.generate import main


def test_an_instance_is_written(tmp_path, capsys):
    output = tmp_path / "x.json.gz"
    arguments = ["mixtral", "--size", "small", "--seed", "3", "--precision", "int4"]
    assert main([*arguments, "-o", str(output)]) == 0
    instance = read_instance(output)
    expected = generate("mixtral", size="small", seed=3, precision="int4")
    assert instance.checksum() == expected.checksum()
    assert capsys.readouterr().out == (
        f"{output}: mixtral-small-s3-int4, 8 users, 3 servers, 4 layers, {expected.num_rows} rows\n"
    )


def test_any_option_of_the_family_may_be_given(tmp_path):
    output = tmp_path / "x.json"
    arguments = ["switch", "--option", "backhaul=ring", "--option", "cells=uma"]
    assert main([*arguments, "-o", str(output)]) == 0
    expected = generate("switch", size="tiny", seed=0, backhaul="ring", cells="uma")
    assert read_instance(output).name == expected.name == "switch-tiny-s0-uma-ring"
    assert read_instance(output).checksum() == expected.checksum()


def test_the_smallest_size_and_seed_0_are_the_defaults(tmp_path):
    output = tmp_path / "x.json"
    assert main(["switch", "-o", str(output)]) == 0
    assert read_instance(output).name == "switch-tiny-s0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mixtrall"], "error: family: 'mixtrall' is not one of .*did you mean 'mixtral'"),
        (["mixtral", "--size", "huge"], "error: size: 'huge' is not one of tiny, small"),
        (["mixtral", "--seed", "-1"], "error: seed: -1 is not a whole number >= 0"),
        (["mixtral", "--routing", "x"], "error: routing: 'x' is not one of linear-router"),
        (["tiny", "--precision", "bf16"], "error: precision: family 'tiny' has no such option"),
        (["mixtral", "--option", "backhaul=star"], "error: backhaul: 'star' is not one of neighb"),
        (["mixtral", "--option", "backhaul"], "error: --option: 'backhaul' is not NAME=VALUE"),
        (["mixtral", "--option", "=ring"], "error: --option: '=ring' is not NAME=VALUE"),
        (
            ["mixtral", "--precision", "int4", "--option", "precision=fp8"],
            "error: --option: precision is given twice, as int4 and fp8",
        ),
        (["tiny", "-o", "x.txt"], r"error: x\.txt: unknown kind of file"),
    ],
)
def test_mistakes_take_one_line_and_exit_code_2(tmp_path, capsys, arguments, message):
    output = tmp_path / "x.json"
    assert main(["-o", str(output), *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert re.match(message, captured.err)
    assert not output.exists()


def test_other_processes_write_the_same_bytes(tmp_path):
    # Another hash seed and another number of threads must not show.
    contents = set()
    for index, threads in enumerate("12"):
        path = tmp_path / f"{index}.npz"
        command = [sys.executable, "-m", "instances.generate", "gpt-oss", "--seed", "5"]
        environment = {"PYTHONHASHSEED": threads, "OPENBLAS_NUM_THREADS": threads, "PATH": ""}
        subprocess.run([*command, "-o", str(path)], check=True, env=environment)
        contents.add(path.read_bytes())
    assert len(contents) == 1
