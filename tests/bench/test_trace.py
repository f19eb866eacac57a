import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bench.cli import main
from instances.architecture_file import read_architecture
from instances.grouping import group_requests
from instances.traces import read_routes


def trace(folder: Path, *words: str) -> int:
    return main(
        ["trace", "--model", str(folder / "model"), "-o", str(folder / "routes.npz"), *words]
    )


def test_without_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (tmp_path / "p.txt").write_text("hello\n")
    assert trace(tmp_path, "--prompts", str(tmp_path / "p.txt")) == 2
    error = capsys.readouterr().err
    assert (
        "this needs torch, transformers, accelerate; install with: pip install moeplace[trace]"
        in error
    )
    assert error.count("\n") == 1


def test_help_does_not_load_the_extra():
    script = (
        "import sys\nfrom bench.cli import main\n"
        "try:\n    main(['trace', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert not {'torch', 'transformers', 'numpy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pytest.importorskip("torch", reason="needs the extra moeplace[trace]")
    pytest.importorskip("transformers", reason="needs the extra moeplace[trace]")
    from tests.instances.tiny_models import save_model

    folder = tmp_path_factory.mktemp("trace")
    save_model("deepseek_v3", folder / "model")
    return folder


def test_text_prompts_and_an_architecture(folder, capsys):
    prompts = folder / "prompts.txt"
    prompts.write_text("how far is the moon\nthe moon is made of green cheese\n")
    words = ["--prompts", str(prompts), "--architecture", str(folder / "a.json"), "--name", "mine"]
    assert trace(folder, *words, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["requests"], facts["tokens"], facts["layers"]) == (2, 12, 2)
    assert (facts["dense_layers"], facts["top_k"], facts["experts"]) == ([0], 3, 8)
    routes = read_routes(folder / "routes.npz")
    assert routes.offsets.tolist() == [0, 5, 12]
    assert routes.experts.shape == (12, 2, 3)
    architecture = read_architecture(folder / "a.json")
    assert (architecture.name, architecture.moe_layers, architecture.top_k) == ("mine", 2, 3)
    # as people see it
    assert trace(folder, *words) == 0
    assert "2 layers of 8 experts, 3 at once; 1 dense layer" in capsys.readouterr().out


def test_users_and_generation(folder, capsys):
    prompts = folder / "prompts.jsonl"
    prompts.write_text(
        '{"prompt": "how far", "user": "ann"}\n{"token_ids": [4, 5, 6], "user": "bob"}\n'
        '{"prompt": "green", "user": "ann"}\n'
    )
    words = ["--prompts", str(prompts), "--generate", "4", "--batch-size", "2"]
    assert trace(folder, *words) == 0
    assert "--users field:user" in capsys.readouterr().out
    routes = read_routes(folder / "routes.npz")
    assert np.all(np.diff(routes.offsets) <= np.array([2, 3, 1]) + 3)
    requests = json.loads((folder / "requests.json").read_text())
    assert requests == [
        {"user": "ann", "prompt_tokens": 2},
        {"user": "bob", "prompt_tokens": 3},
        {"user": "ann", "prompt_tokens": 1},
    ]
    grouped = group_requests("field:user", folder / "routes.npz", 3, ("ann", "bob"))
    assert grouped.tolist() == [0, 1, 0]
    # a second trace must not take the first one's place unasked
    assert trace(folder, *words) == 2
    assert "requests.json: is there already" in capsys.readouterr().err
    assert trace(folder, *words, "--force") == 0


@pytest.mark.parametrize(
    ("content", "words", "message"),
    [
        ('{"prompt": "a", "user": "b"}\n{"prompt": "a"}', [], "p.jsonl: line 2.user: is missing"),
        ('{"token_ids": [99]}', [], r"p.jsonl: line 1.token_ids[0]: 99 is not in 0..39"),
        ('{"prompt": "a"}', ["--batch-size", "0"], "--batch-size: 0 is not at least 1"),
        ('{"prompt": "a"}', ["--max-tokens", "0"], "--max-tokens: 0 is not at least 1"),
        ('{"prompt": "a"}', ["--architecture", "a.toml"], "must end in .json"),
        (
            '{"prompt": "a"}',
            ["--model", "gpt2"],
            "--model: 'gpt2' is not a folder with config.json",
        ),
    ],
)
def test_mistakes_in_one_line(folder, tmp_path, capsys, content, words, message):
    (tmp_path / "p.jsonl").write_text(content)
    assert trace(folder, "--prompts", str(tmp_path / "p.jsonl"), *words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
