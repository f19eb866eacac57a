"""The floor of kernels: each is found, recorded, benchmarked, and used by somebody."""

import ast
import contextlib
import importlib
from collections import namedtuple
from pathlib import Path

import numpy as np
from numba.core.registry import CPUDispatcher

from bench.instructions import calls, floor, scenes
from bench.instructions.calls import Recorder, copied, num_bytes, recording
from bench.instructions.floor import ROOMS, find_uses, kernel, public_kernels
from instances.evaluation import evaluate

Pair = namedtuple("Pair", ("left", "right"))


def compiled_functions():
    """Every compiled function of a module whose name ends in kernels, by importing them all."""
    found = {}
    for room in ROOMS:
        root = Path(importlib.import_module(room).__path__[0])
        for path in root.rglob("*kernels.py"):
            parts = (room, *path.relative_to(root).with_suffix("").parts)
            module = importlib.import_module(".".join(parts))
            for name, value in vars(module).items():
                if isinstance(value, CPUDispatcher) and value.py_func.__module__ == module.__name__:
                    found[f"{module.__name__}.{name}"] = path
    return found


def test_every_compiled_function_is_used():
    """By a module without kernels, or by another kernel."""
    found = compiled_functions()
    public = set(public_kernels())
    assert public <= set(found)
    assert len(public) > 60
    inner = set()
    for path in set(found.values()):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
                inner.add(node.id)
    unused = [n for n in found if n not in public and n.rpartition(".")[2] not in inner]
    assert unused == []


def test_every_public_kernel_is_benchmarked():
    """``bench/test_kernels.py`` has a case for each, with arguments that some scene records."""
    recorded = scenes.record_calls()
    assert sorted(set(public_kernels()) - set(recorded)) == []
    main = {name.rpartition(".")[0] for name in recorded} & set(scenes.MAIN_MODULES)
    assert main == set(scenes.MAIN_MODULES)


def test_whole_modules_of_kernels_are_followed():
    uses = [use for use in find_uses() if use.module == "instances.structure.labelling"]
    assert {use.kernel for use in uses} == {
        f"instances.structure.labelling_kernels.{use.name.partition('.')[2]}" for use in uses
    }
    assert len(uses) > 1


def interrupted(evaluation, saving_ms):
    """Record an evaluation that ends badly: names must be put back all the same."""
    with contextlib.suppress(KeyboardInterrupt), recording() as record:
        assert evaluation().saving_ms == saving_ms
        raise KeyboardInterrupt
    return record


def test_calls_are_recorded_and_names_put_back(tiny, tiny_placement):
    before = {use: vars(importlib.import_module(use.module)) for use in find_uses()}
    before = {use: names[use.name.partition(".")[0]] for use, names in before.items()}
    expected = evaluate(tiny, tiny_placement)
    record = interrupted(lambda: evaluate(tiny, tiny_placement), expected.saving_ms)
    names = [name for name in record.calls if name.startswith("instances.kernels.")]
    assert names
    for name in names:
        arguments = record.calls[name]
        signatures = len(kernel(name).signatures)
        kernel(name)(*copied(arguments))
        assert len(kernel(name).signatures) == signatures  # of the same types: nothing compiled
    for use, value in before.items():
        module = importlib.import_module(use.module)
        assert vars(module)[use.name.partition(".")[0]] is value


def test_the_largest_call_is_kept_as_it_was():
    kept = []

    def overwrite(array):
        array[:] = 0

    recorder = Recorder(overwrite, lambda arguments, size: kept.append((arguments, size)))
    for length in (2, 5, 3, 5):
        recorder(np.ones(length))
    assert [size for _, size in kept] == [16, 40]
    assert kept[-1][0][0].tolist() == [1.0] * 5


def test_copies_are_of_the_same_kind():
    frozen = np.arange(6).reshape(2, 3)
    frozen.flags.writeable = False
    turned = np.asfortranarray(np.ones((2, 3)))
    value = (Pair(frozen, turned), 5, [turned], True)
    again = copied(value)
    assert isinstance(again[0], Pair)
    assert not again[0].left.flags.writeable
    assert again[0].right.flags.f_contiguous
    assert again[0].right.flags.writeable
    assert not np.shares_memory(again[0].right, turned)
    assert not np.shares_memory(again[2][0], turned)
    assert (again[1], again[3]) == (5, True)
    assert num_bytes(value) == frozen.nbytes + 2 * turned.nbytes


def test_names_of_kernels_are_not_replaced_inside_kernels():
    """A stand-in among the globals of a kernel could not be compiled."""
    owners = {use.module for use in find_uses()}
    assert not any(owner.endswith(floor.ENDING) for owner in owners)
    undo = []
    (use, *_) = [use for use in find_uses() if "." in use.name]
    owner, name = calls._owner(use, undo)  # noqa: SLF001
    try:
        assert owner is not importlib.import_module(use.kernel.rpartition(".")[0])
        assert getattr(owner, name) is kernel(use.kernel)
    finally:
        for module, whole, value in undo:
            setattr(module, whole, value)
