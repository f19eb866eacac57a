import json
from pathlib import Path
from typing import Any

import pytest

import instances.architecture_file as module
from instances.architecture_file import (
    architecture_from_dict,
    read_architecture,
    write_architecture,
)
from instances.architectures import ARCHITECTURES
from instances.errors import InputError

WHOLE: dict[str, Any] = {
    "format": "moeplace/architecture",
    "version": 1,
    "name": "my-moe",
    "moe_layers": 24,
    "experts_per_layer": 32,
    "top_k": 4,
    "hidden_size": 2880,
    "expert_intermediate_size": 2880,
}


def test_the_example_of_the_module_reads(tmp_path: Path) -> None:
    assert module.__doc__ is not None
    path = tmp_path / "my.toml"
    path.write_text("\n".join(line[4:] for line in module.__doc__.split("\n\n")[1].splitlines()))
    architecture = read_architecture(path)
    assert architecture.name == "my-moe"
    assert architecture.total_layers == 25
    assert architecture.dense_layers == (0,)
    assert architecture.params_per_expert == 24_891_840


def test_same_figures_same_model(tmp_path: Path) -> None:
    """The figures of gpt-oss-20b give its size of an expert, up to the biases."""
    path = tmp_path / "my.json"
    path.write_text(json.dumps(WHOLE))
    mine, catalogue = read_architecture(path), ARCHITECTURES.get("gpt-oss-20b")
    assert mine.params_per_expert == 3 * 2880 * 2880
    assert mine.expert_bytes() == pytest.approx(catalogue.expert_bytes(), rel=1e-3)
    assert (mine.moe_layers, mine.experts_per_layer, mine.top_k) == (24, 32, 4)
    plain = architecture_from_dict({**WHOLE, "gated": False})
    assert plain.params_per_expert == 2 * 2880 * 2880


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "moeplace/network"}, "format: 'moeplace/network' is not"),
        ({"experts": 3}, "experts: unknown field"),
        ({"top_k": 33}, r"top_k: 33 is not in 1..32"),
        ({"top_k": 1.5}, "top_k: 1.5 is not an integer"),
        ({"hidden_size": 0}, r"hidden_size: 0 is not in 1\.\.1048576"),
        ({"gated": 1}, "gated: 1 is neither true nor false"),
        ({"name": ""}, "name: '' is not a name"),
        ({"params_per_expert": 2**61}, "more than can be counted"),
        ({"dense_layers": [25]}, r"dense_layers\[0\]: 25 is not in 0..24"),
        ({"dense_layers": [1, 1]}, r"dense_layers\[1\]: 1 is repeated"),
        ({"source": 3}, "source: 3 is not text"),
    ],
)
def test_what_is_wrong_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        architecture_from_dict({**WHOLE, **change})


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.toml", b"\xff", "a.toml: not TOML"),
        ("a.toml", b"name = ", "a.toml: not TOML"),
        ("a.json", b"{", "a.json: .*JSON"),
        ("a.json", b"[]", r"a.json: \S* ?a list of 0 is not an object"),
    ],
)
def test_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_architecture(tmp_path / name)


def test_written_files_read_back(tmp_path):
    for name in ("deepseek-v3", "gpt-oss-20b", "switch-base-8"):
        known = ARCHITECTURES.get(name)
        path = tmp_path / f"{name}.json"
        write_architecture(path, known)
        found = read_architecture(path)
        for field in ("name", "moe_layers", "experts_per_layer", "top_k", "gated", "source"):
            assert getattr(found, field) == getattr(known, field)
        assert found.dense_layers == known.dense_layers
        assert found.params_per_expert == known.params_per_expert
    with pytest.raises(InputError, match=r"a\.toml: the name must end in \.json"):
        write_architecture(tmp_path / "a.toml", known)
