import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bench.commands.output import require_writable
from bench.commands.solve import read_settings
from bench.store import Store
from heuristics import HEURISTICS
from instances.checker import check
from instances.errors import InputError
from instances.evaluation import evaluate
from instances.files import read_placement, write_instance, write_placement
from instances.placement import Placement
from instances.problem import Instance
from tests.bench import misbehaving

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def file(tiny: Instance, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.json"
    write_instance(path, tiny)
    return path


@pytest.fixture
def registered() -> Any:
    """Misbehaving methods as if they were ours."""
    before = dict(HEURISTICS._specs)  # noqa: SLF001  (a registry has no way to forget)
    for value in vars(misbehaving).values():
        if type(value).__name__ == "Algorithm":
            HEURISTICS.register(value)
    yield
    HEURISTICS._specs.clear()  # noqa: SLF001
    HEURISTICS._specs.update(before)  # noqa: SLF001


def _one_line(err: str) -> str:
    assert err.count("\n") == 1
    assert err.startswith("moeplace: ")
    assert "Traceback" not in err
    return err


# -- the program ------------------------------------------------------------------------------


def test_help_loads_nothing_slow() -> None:
    script = (
        "import sys\n"
        "from bench.cli import main\n"
        "try:\n"
        "    main(sys.argv[1:])\n"
        "except SystemExit as exit:\n"
        "    assert exit.code == 0\n"
        "slow = {'numpy', 'numba', 'pandas', 'ortools', 'rich', 'networkx', 'multiprocessing'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
    )
    for words in (["--help"], ["run", "--help"], ["--version"]):
        subprocess.run(
            [sys.executable, "-c", script, *words], check=True, stdout=subprocess.DEVNULL
        )


def test_every_command_has_help_with_an_example(call: Call) -> None:
    code, out, _ = call("--help")
    assert code == 0
    for command in (
        "list", "generate", "import", "fit", "sample", "solve", "check", "run", "report",
    ):  # fmt: skip
        assert f"\n    {command} " in out
        code, text, _ = call(command, "--help")
        assert code == 0
        assert f"  moeplace {command}" in text[text.index("example") :]


def test_version(call: Call) -> None:
    code, out, _ = call("--version")
    assert code == 0
    assert out.startswith("moeplace ")


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ([], "required: COMMAND"),
        (["slove", "x"], "invalid choice: 'slove'"),
        (["solve", "x"], "required: --with"),
        (["solve", "x", "--with", "greedy", "--time-limit", "-3"], "'-3' is not a positive"),
        (["solve", "x", "--with", "greedy", "--time-limit", "nan"], "'nan' is not a positive"),
        (["solve", "x", "--with", "greedy", "--seed", "1.5"], "'1.5' is not a whole number"),
        (["run", "--families", "tiny", "--seeds", "4-1", "--store", "x"], "'4-1' is neither"),
        (["run", "--families", ",", "--store", "x"], "nothing is given"),
        (["run", "--jobs", "0", "--store", "x"], "'0' is not a number of processes"),
        (["list", "everything"], "invalid choice: 'everything'"),
        (["solve", "x", "--with", "greedy", "--tim", "3"], "unrecognized arguments: --tim"),
    ],
)
def test_wrong_usage_is_one_line(call: Call, words: list[str], text: str) -> None:
    code, out, err = call(*words)
    assert code == 2
    assert out == ""
    assert text in _one_line(err)
    assert "--help" in err


def test_closed_pipe_is_quiet() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "bench.cli", "list", "models", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as program:
        assert program.stdout is not None
        assert program.stderr is not None
        program.stdout.close()
        assert program.stderr.read() == b""
    assert program.returncode == 141


def test_interrupt_is_one_line(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    import bench.commands.listing

    def interrupt(arguments: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench.commands.listing, "execute", interrupt)
    code, _, err = call("list")
    assert code == 130
    assert _one_line(err) == "moeplace: interrupted\n"


# -- list, generate ---------------------------------------------------------------------------


def test_list_names_everything(call: Call) -> None:
    code, out, _ = call("list", "--json")
    assert code == 0
    listed = json.loads(out)
    assert set(listed) == {"families", "models", "heuristics", "exact", "bounds"}
    assert "mixtral" in {entry["name"] for entry in listed["families"]}
    assert len(listed["models"]) == 25
    greedy = next(entry for entry in listed["heuristics"] if entry["name"] == "greedy")
    assert greedy["guarantee"]["formula"] == "F >= 1/2 OPT"
    assert "layer-enumeration" in {entry["name"] for entry in listed["exact"]}
    code, out, _ = call("list")
    assert code == 0
    for group, entries in listed.items():
        assert f"{group}:" in out
        for entry in entries:
            assert f"\n  {entry['name']} " in out


def test_list_one_group(call: Call) -> None:
    code, out, _ = call("list", "heuristics", "--json")
    assert code == 0
    assert list(json.loads(out)) == ["heuristics"]


def test_generate_is_reproducible(call: Call, tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    code, out, _ = call("generate", "tiny", "--size", "tiny", "--seed", 5, "-o", first)
    assert code == 0
    assert "tiny-tiny-s5" in out
    code, out, _ = call("generate", "tiny", "--seed", 5, "-o", second, "--json")
    assert json.loads(out)["instance"] == "tiny-tiny-s5"
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["mixtrl"], "family: 'mixtrl' is not one of"),
        (["mixtrl"], "did you mean 'mixtral'?"),
        (["mixtral", "--size", "giant"], "size: 'giant' is not one of tiny, small"),
        (["mixtral", "--routing", "magic"], "routing: "),
    ],
)
def test_generate_names_what_is_known(
    call: Call, tmp_path: Path, words: list[str], text: str
) -> None:
    code, _, err = call("generate", *words, "-o", tmp_path / "x.json")
    assert code == 2
    assert text in _one_line(err)
    assert not (tmp_path / "x.json").exists()


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere/x.json", "does not exist"),
        ("d.json", "it is a directory"),
        ("x.txt", "must end in .json, .json.gz, .npz"),
    ],
)
def test_output_that_cannot_be_written(call: Call, tmp_path: Path, target: str, text: str) -> None:
    (tmp_path / "d.json").mkdir()
    code, _, err = call("generate", "tiny", "-o", tmp_path / target)
    assert code == 2
    assert text in _one_line(err)


def test_kind_of_file_is_checked_before_solving(
    call: Call, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import bench.commands.solve

    monkeypatch.setattr(bench.commands.solve, "read_instance", None)
    code, _, err = call("solve", file, "--with", "greedy", "-o", tmp_path / "p.txt")
    assert code == 2
    assert "p.txt: cannot be written: the name must end in .json, .json.gz" in _one_line(err)


def test_read_only_directory_is_found_out_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(InputError, match=r"x\.json: cannot be written: the directory .* cannot"):
        require_writable(str(tmp_path / "x.json"), (".json",))


def test_import_routes(call: Call, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    tokens = [[rng.permutation(4)[:2] for _ in range(3)] for _ in range(50)]
    np.savez(
        tmp_path / "routes.npz",
        experts=np.array(tokens, dtype=np.uint8),
        offsets=np.array([0, 10, 50]),
    )
    (tmp_path / "network.toml").write_text(
        'format = "moeplace/network"\nversion = 1\n'
        '[[servers]]\nname = "edge"\ncapacity_bytes = 60\n'
        '[[users]]\nname = "ann"\nlatency_ms = [2.0]\ncloud_latency_ms = 20.0\n'
    )
    target = tmp_path / "routes.json"
    words = ["import", "routes", tmp_path / "routes.npz", "--network", tmp_path / "network.toml",
             "--expert-bytes", 10, "--experts", 4, "--name", "mine", "-o", target]  # fmt: skip
    code, out, _ = call(*words)
    assert code == 0
    assert "3 layers of 4 experts, up to 2 at once" in out
    assert "1, with room for 50% of all expert bytes" in out
    code, out, _ = call(*words, "--json")
    assert (code, json.loads(out)["instance"]) == (0, "mine")
    code, out, _ = call("solve", target, "--with", "successive-dp", "--json")
    assert (code, json.loads(out)["status"]) == (0, "feasible")
    (tmp_path / "network.toml").write_text("format = 3")
    code, out, err = call(*words)
    assert (code, out) == (2, "")
    assert "network.toml: " in _one_line(err)


# -- solve, check -----------------------------------------------------------------------------


def test_solve_prints_what_the_evaluator_says(
    call: Call, tiny: Instance, file: Path, tmp_path: Path
) -> None:
    target = tmp_path / "placement.json"
    code, out, err = call("solve", file, "--with", "greedy", "-o", target, "--json")
    assert (code, err) == (0, "")
    answer = json.loads(out)
    evaluation = evaluate(tiny, read_placement(target, tiny))
    assert answer["instance"] == answer["name"] == "tiny-by-hand"
    assert answer["status"] == "feasible"
    assert answer["stop_reason"] == "completed"
    assert answer["saving_ms"] == evaluation.saving_ms > 0
    assert answer["latency_ms"] == evaluation.latency_ms
    assert answer["empty_latency_ms"] == 23.5625
    assert answer["bound_saving_ms"] is None
    assert answer["gap"] is None
    assert answer["claimed_saving_ms"] is None
    assert answer["guarantee"] == {"formula": "F >= 1/2 OPT", "ratio": None}
    assert answer["placement"] == str(target)
    assert answer["start"] is None
    assert answer["seconds"] > 0


def test_solve_exactly_starts_from_a_heuristic(call: Call, file: Path) -> None:
    code, out, _ = call("solve", file, "--with", "layer-enumeration", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["status"] == "optimal"
    assert answer["gap"] == 0
    assert answer["saving_ms"] <= answer["bound_saving_ms"] <= answer["saving_ms"] * (1 + 1e-9)


def test_solve_in_words(call: Call, file: Path, tmp_path: Path) -> None:
    code, out, _ = call("solve", file, "--with", "layer-enumeration", "-o", tmp_path / "p.json")
    assert code == 0
    assert out.startswith("tiny-by-hand with layer-enumeration: optimal\n")
    assert "none: no placement saves more" in out
    assert f"in {tmp_path / 'p.json'}" in out
    code, out, _ = call("solve", file, "--with", "popularity")
    assert code == 0
    assert "not known: this method proves no bound" in out
    assert "not written" in out


@pytest.mark.usefixtures("registered")
def test_solve_without_an_answer(call: Call, file: Path, tmp_path: Path) -> None:
    target = tmp_path / "p.json"
    for name, status, stop_reason in (
        ("complain", "error", "solver_error"),
        ("abort", "error", "crashed"),
        ("overfull", "error", "wrong_claim"),
        ("lie", "error", "wrong_claim"),
        ("refuse", "no_solution", "unsupported"),
    ):
        code, out, err = call("solve", file, "--with", name, "-o", target, "--json")
        assert code == 1
        answer = json.loads(out)
        assert (answer["status"], answer["stop_reason"]) == (status, stop_reason)
        assert answer["saving_ms"] is None
        assert answer["placement"] is None
        assert answer["reason"] in _one_line(err)
        assert f"{name} on {file}: {stop_reason}" in err
        assert not target.exists()
        code, out, err = call("solve", file, "--with", name)
        assert (code, out) == (1, "")
        assert answer["reason"][:10] in _one_line(err)


@pytest.mark.usefixtures("registered")
def test_time_limit_is_kept_for_methods_that_ignore_it(call: Call, file: Path) -> None:
    code, out, err = call("solve", file, "--with", "spin", "--time-limit", "0.2", "--json")
    assert code == 1
    assert json.loads(out)["stop_reason"] == "time_limit"
    assert "killed 0.75 s after its time limit of 0.2 s" in _one_line(err)


@pytest.mark.usefixtures("registered")
def test_memory_limit(call: Call, file: Path) -> None:
    code, out, _ = call("solve", file, "--with", "eat", "--memory-limit", "0.3", "--json")
    assert code == 1
    assert json.loads(out)["stop_reason"] == "memory_limit"


@pytest.mark.usefixtures("registered")
def test_start_of_a_solve(
    call: Call, tiny: Instance, file: Path, tmp_path: Path, tiny_placement: Placement
) -> None:
    given = tmp_path / "given.json"
    write_placement(given, tiny, tiny_placement)

    def reason(*words: object) -> str:
        code, out, _ = call("solve", file, "--with", "keep-start", "--json", *words)
        assert code == 0
        return str(json.loads(out)["reason"])

    copies = tiny_placement.num_copies
    assert reason("--start", given) == f"started from {copies} copies"
    assert reason("--start", "none") == reason() == "started from -1 copies"
    code, out, _ = call("solve", file, "--with", "keep-start", "--start", "auto", "--json")
    answer = json.loads(out)
    assert answer["start"]["with"] in ("successive-dp", "successive-hull", "greedy", "popularity")
    assert answer["start"]["saving_ms"] == answer["saving_ms"] > 0
    code, _, err = call("solve", file, "--with", "greedy", "--start", given)
    assert code == 2
    assert "greedy takes no placement to start from" in _one_line(err)


@pytest.mark.usefixtures("registered")
def test_parameters_of_a_solve(call: Call, file: Path) -> None:
    code, out, _ = call("solve", file, "--with", "picky", "--set", "size=3", "--json")
    assert code == 0
    assert json.loads(out)["parameters"] == {"size": 3}
    for setting, text in (
        ("size=0", "--set of picky.size: 0 is not positive"),
        ("size=big", "--set size: 'big' is not a whole number"),
        ("sise=3", "no parameter 'sise'; known parameters: size"),
        ("size", "'size' is not of the form KEY=VALUE"),
    ):
        code, out, err = call("solve", file, "--with", "picky", "--set", setting)
        assert (code, out) == (2, "")
        assert text in _one_line(err)


def _typed(
    instance: Instance,
    *,
    rng: np.random.Generator,
    time_limit: float | None,
    text: str = "a",
    share: float = 0.5,
    flag: bool = False,
    anything: object = None,
) -> Placement:
    return Placement.empty(instance)


def test_settings_take_the_type_of_the_default() -> None:
    algorithm = misbehaving._algorithm("typed", _typed)  # noqa: SLF001  (a maker of methods)
    read = read_settings(["text=1", "share=2", "flag=true", "anything=[1, 2]"], algorithm)
    assert read == {"text": "1", "share": 2.0, "flag": True, "anything": [1, 2]}
    assert isinstance(read["share"], float)
    assert read_settings(["anything=word"], algorithm) == {"anything": "word"}
    for setting, kind in (("share=x", "a number"), ("flag=1", "true or false")):
        with pytest.raises(InputError, match=f"is not {kind}"):
            read_settings([setting], algorithm)


@pytest.mark.usefixtures("registered")
def test_verbose_shows_what_the_method_printed(call: Call, file: Path) -> None:
    code, out, err = call("solve", file, "--with", "behaved", "--verbose", "--json")
    assert code == 0
    assert json.loads(out)["guarantee"] == {"formula": "F >= 1/4 OPT", "ratio": 0.25}
    assert err == "hello from inside\n"
    _, _, err = call("solve", file, "--with", "behaved")
    assert err == ""


def test_unknown_method_names_the_nearest(call: Call, file: Path) -> None:
    code, _, err = call("solve", file, "--with", "gredy")
    assert code == 2
    assert "did you mean 'greedy'?" in _one_line(err)
    assert "layer-enumeration" in err


def test_missing_files_are_one_line(call: Call, file: Path, tmp_path: Path) -> None:
    for words in (
        ["solve", tmp_path / "no.json", "--with", "greedy"],
        ["check", file, tmp_path / "no.json"],
        ["check", tmp_path / "no.json", file],
        ["report", "--store", tmp_path / "no.json", "-o", tmp_path / "report"],
        ["run", "--instances", tmp_path / "no.json", "--store", tmp_path / "s.sqlite"],
    ):
        code, out, err = call(*words)
        assert (code, out) == (2, "")
        assert "no.json: " in _one_line(err)


def test_report_of_a_run(call: Call, tmp_path: Path) -> None:
    store, directory = tmp_path / "s.sqlite", tmp_path / "report"
    words = ["--families", "tiny", "--sizes", "tiny", "--with", "greedy", "brute-force"]
    assert call("run", *words, "--store", store)[0] == 0
    code, out, err = call("report", "--store", store, "-o", directory)
    assert (code, err) == (0, "")
    assert "greedy" in out
    assert f"report written to {directory}" in out.replace("\n", "")
    assert (directory / "index.html").is_file()
    code, out, _ = call("report", "--store", store, "-o", directory, "--json")
    assert code == 0
    assert json.loads(out)["attempts"] == 2


def test_report_of_nothing_is_no_success(call: Call, tmp_path: Path) -> None:
    Store.open_for_writing(tmp_path / "s.sqlite").close()
    code, _, err = call("report", "--store", tmp_path / "s.sqlite", "-o", tmp_path / "report")
    assert code == 1
    assert "no attempts in the store" in _one_line(err)


def test_check_is_exact(
    call: Call, tiny: Instance, tiny_placement: Placement, file: Path, tmp_path: Path
) -> None:
    path = tmp_path / "p.json"
    write_placement(path, tiny, tiny_placement)
    code, out, _ = call("check", file, path, "--json")
    assert code == 0
    answer = json.loads(out)
    exact = check(tiny, tiny_placement)
    assert answer["feasible"] is True
    assert Fraction(answer["saving_exact"]) == exact.saving_ms
    assert Fraction(answer["latency_exact"]) == exact.latency_ms
    assert answer["saving_ms"] == float(exact.saving_ms)
    assert answer["used_bytes"] == {"near": 20, "far": 30}
    assert answer["evaluator_agrees"] is True
    code, out, _ = call("check", file, path)
    assert code == 0
    assert "agrees to 1e-12" in out
    assert "20 of 20 bytes" in out


def test_check_fails_when_the_evaluator_disagrees(
    call: Call,
    tiny: Instance,
    tiny_placement: Placement,
    file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import bench.commands.check

    path = tmp_path / "p.json"
    write_placement(path, tiny, tiny_placement)
    empty = Placement.empty(tiny)
    monkeypatch.setattr(bench.commands.check, "evaluate", lambda i, p: evaluate(i, empty))
    code, _, err = call("check", file, path)
    assert code == 1
    assert "the evaluator says" in _one_line(err)


def test_check_refuses_an_overfull_server(call: Call, file: Path, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(
        json.dumps(
            {
                "format": "moeplace/placement",
                "version": 1,
                "instance": "tiny-by-hand",
                "servers": {
                    "near": [{"model": "toy", "layer": 0, "experts": [0, 1, 2]}],
                    "far": [],
                },
            }
        )
    )
    code, out, err = call("check", file, path)
    assert (code, out) == (2, "")
    for text in ("p.json", "near", "30", "20"):
        assert text in _one_line(err)


@pytest.mark.usefixtures("registered")
def test_killed_solve_leaves_its_incumbent_bound_and_trajectory(
    call: Call, tiny: Instance, file: Path, tmp_path: Path
) -> None:
    words = ["solve", file, "--with", "tell-and-sleep", "--time-limit", "0.2"]
    target = tmp_path / "p.json"
    code, out, err = call(*words, "--json", "-o", target)
    assert (code, err) == (0, "")
    answer = json.loads(out)
    assert (answer["status"], answer["stop_reason"], answer["kind"]) == (
        "feasible",
        "time_limit",
        "feasible",
    )
    assert (answer["saving_ms"], answer["bound_saving_ms"]) == (9.0, 20.0)
    assert answer["bound_certified"] is True
    assert evaluate(tiny, read_placement(target, tiny)).saving_ms == 9.0
    assert answer["trajectory"][0]["saving_ms"] is None
    assert answer["trajectory"][0]["bound_saving_ms"] == 25.0
    last = answer["trajectory"][-1]
    assert (last["saving_ms"], last["bound_saving_ms"], last["bound_certified"]) == (
        9.0,
        20.0,
        True,
    )
    code, out, _ = call(*words)
    assert code == 0
    assert "feasible, stopped by time limit" in out
    assert "no placement saves more than 20 ms per token (certified)" in out
    assert "the best after" in out
    assert "killed 0.75 s after its time limit of 0.2 s; the placement is the one that" in out
