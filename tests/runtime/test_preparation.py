"""What parameters alone decide is up to date at every call, whoever changes them, and is computed no oftener."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph import layers as L
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.profile import snapshot

FRESH = CompileOptions(cache=False)
X = np.random.default_rng(0).standard_normal((3, 20)).astype(np.float32)


@pytest.fixture
def x() -> sg.Tensor:
    return sg.placeholder("x", (sg.Dim("n"), 20))


@pytest.fixture
def w() -> sg.Parameter:
    return sg.parameter("w", np.random.default_rng(1).standard_normal((20, 128)).astype(np.float32))


def product(x: sg.Tensor, w: sg.Parameter, options: CompileOptions = FRESH) -> sg.CompiledFunction:
    return sg.compile([x], {"y": x @ sg.exp(w)}, options=options)


def preparations(action: Callable[[], object]) -> int:
    before = snapshot()
    action()
    return snapshot().since(before).preparations


def check(f: sg.CompiledFunction, w: sg.Parameter) -> None:
    found = f(x=X)["y"]
    np.testing.assert_allclose(found, X @ np.exp(w.value), rtol=1e-4, atol=1e-4)


def test_it_is_computed_once(x: sg.Tensor, w: sg.Parameter) -> None:
    f = product(x, w)
    assert preparations(lambda: f(x=X)) == 1
    assert preparations(lambda: [f(x=X[:n]) for n in range(3)]) == 0


@pytest.mark.parametrize("kind", ["assigned", "element", "place", "view of a view"])
def test_a_write_is_noticed(x: sg.Tensor, w: sg.Parameter, kind: str) -> None:
    f = product(x, w)
    check(f, w)
    if kind == "assigned":
        w.value = np.ones((20, 128), np.float32)
    elif kind == "element":
        w.value[0, 1] = 3
    elif kind == "place":
        np.copyto(w.value, 0.5)
    else:
        w.value[2:][1].reshape(4, 32)[3] = 2
    check(f, w)


def test_a_write_through_an_array_that_was_kept_is_noticed(x: sg.Tensor, w: sg.Parameter) -> None:
    f = product(x, w)
    row = w.value[7:8].T
    f(x=X)
    for step in range(3):
        row += step
        check(f, w)
    assert preparations(lambda: [f(x=X) for _ in range(3)]) == 3  # somebody might write
    del row
    assert preparations(lambda: [f(x=X) for _ in range(3)]) == 1


def test_what_another_program_writes_is_noticed(x: sg.Tensor, w: sg.Parameter) -> None:
    f, step = product(x, w), sg.compile([], {}, {w: w * 0.5}, options=FRESH)
    check(f, w)
    step()
    assert preparations(lambda: f(x=X)) == 1
    check(f, w)


def test_a_program_does_not_keep_what_it_changes(x: sg.Tensor, w: sg.Parameter) -> None:
    step = sg.compile([x], {"y": x @ w}, {w: w * 2}, options=FRESH)
    assert step.executor.preparation is None
    before = w.value.copy()
    np.testing.assert_allclose(step(x=X)["y"], X @ before, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(step(x=X)["y"], X @ (2 * before), rtol=1e-4, atol=1e-4)


def test_an_option_leaves_it_out(x: sg.Tensor, w: sg.Parameter) -> None:
    kept, plain = product(x, w), product(x, w, CompileOptions(cache=False, prepare=False))
    assert plain.executor.preparation is None
    assert kept(x=X)["y"].tobytes() == plain(x=X)["y"].tobytes()
    assert (plain.memory(n=3).prepared, kept.memory(n=3).prepared) == (0, 20 * 128 * 4)
    assert plain.memory(n=3).state == kept.memory(n=3).state == 20 * 128 * 4


def test_it_comes_from_the_cache_too(
    x: sg.Tensor, w: sg.Parameter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGMAGRAPH_CACHE", str(tmp_path))
    first = product(x, w, CompileOptions())
    again = product(x, w, CompileOptions())
    assert (first.cached, again.cached) == (False, True)
    check(again, w)
    w.value = np.zeros((20, 128), np.float32)
    check(again, w)


def test_both_parts_are_dumped(x: sg.Tensor, w: sg.Parameter, tmp_path: Path) -> None:
    names = {path.name for path in product(x, w).dump(tmp_path).iterdir()}
    assert {"plan.json", "ahead_plan.json", "program.ll"} <= names
    assert any(name.startswith("ahead_") and name.endswith(".sg") for name in names)


def numbers(network: sg.Network) -> Iterator[bytes]:
    x = np.random.default_rng(2).standard_normal((4, 12)).astype(np.float32)
    while True:
        yield network.predict(x).tobytes()


def test_predictions_follow_training() -> None:
    def made() -> sg.Network:
        return sg.Network(
            "n", L.Input(12) + L.Dense(64, name="a") + L.BatchNorm() + L.Dense(128) + L.SquaredDifference()
        )

    trained, copy = made(), made()
    x = np.random.default_rng(3).standard_normal((16, 12)).astype(np.float32)
    graph = trained.train_graph(sg.optimisers.SGD(0.01))
    step = sg.compile(graph.inputs, graph.outputs, graph.updates, options=FRESH)
    scalars = {name: np.float32(value) for name, value in graph.hyperparameters.items()}
    predictions = numbers(trained)
    seen = {next(predictions)}
    for _ in range(3):
        step(**{graph.records[0]: x, graph.targets[0]: np.zeros((16, 128), np.float32)}, **scalars)
        seen.add(next(predictions))
    assert len(seen) == 4
    for name, array in (trained.parameters() | trained.states()).items():
        copy.resolve(name)[name][...] = array
    assert next(numbers(copy)) == next(predictions)
