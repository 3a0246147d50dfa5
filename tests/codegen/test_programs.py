"""Whole programs: one compilation for all sizes, the same bits for all threads, updates in the right order."""

from __future__ import annotations

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.driver import compile_graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.options import CompileOptions
from sigmagraph.runtime.profile import snapshot

FRESH = CompileOptions(cache=False)


def _regression(width: int = 37) -> tuple[sg.Tensor, sg.Tensor, sg.Tensor, sg.Tensor]:
    batch = sg.Dim("batch")
    x = sg.placeholder("x", (batch, 19))
    y = sg.placeholder("y", (batch, width))
    w = sg.parameter("w", np.linspace(-1, 1, 19 * width, dtype=np.float32).reshape(19, width))
    b = sg.parameter("b", np.zeros(width, np.float32))
    return x, y, w, b


def test_one_compilation_serves_every_batch() -> None:
    x, y, w, b = _regression()
    loss = ((sg.relu(x @ w + b) - y) ** 2).mean()
    before = snapshot()
    dw, db = sg.gradients(loss, [w, b])
    step = sg.compile([x, y], {"loss": loss, "dw": dw, "db": db}, options=FRESH)
    rng = np.random.default_rng(1)
    params = {"w": w.value, "b": b.value}
    for batch in (1, 7, 64, 1000, 0):
        inputs = {
            "x": rng.standard_normal((batch, 19)).astype(np.float32),
            "y": rng.standard_normal((batch, 37)).astype(np.float32),
        }
        got = step(**inputs)
        with np.errstate(invalid="ignore", divide="ignore"):
            want = interpret(step.graph, inputs, params)
        for name in ("loss", "dw", "db"):
            np.testing.assert_allclose(got[name], want[name], rtol=2e-5, atol=2e-6)
    after = snapshot().since(before)
    assert (after.compilations, after.runs) == (1, 5)


def test_the_arena_is_allocated_once_for_sizes_that_fit() -> None:
    x, y, w, b = _regression()
    loss = ((x @ w + b - y) ** 2).mean()
    step = sg.compile([x, y], {"loss": loss}, options=FRESH)
    arrays = {n: (np.ones((n, 19), np.float32), np.ones((n, 37), np.float32)) for n in (64, 7, 1)}
    step(*arrays[64])
    before = snapshot()
    for n in (7, 1, 64):
        step(*arrays[n])
    assert snapshot().since(before).arena_allocations == 0


def test_threads_change_no_bit() -> None:
    x, y, w, b = _regression(width=200)
    loss = ((sg.relu(x @ w + b) - y) ** 2).mean()
    dw, db = sg.gradients(loss, [w, b])
    outputs = {"loss": loss, "dw": dw, "db": db, "h": sg.softmax(x @ w + b)}
    rng = np.random.default_rng(2)
    arrays = (
        rng.standard_normal((1003, 19)).astype(np.float32),
        rng.standard_normal((1003, 200)).astype(np.float32),
    )
    results = [sg.compile([x, y], outputs, target=f"cpu:{n}", options=FRESH)(*arrays) for n in (1, 2, 3)]
    for other in results[1:]:
        for name, value in results[0].items():
            assert value.tobytes() == other[name].tobytes(), name


def test_updates_see_old_values() -> None:
    a = sg.parameter("a", np.arange(5, dtype=np.float32))
    b = sg.parameter("b", np.arange(5, dtype=np.float32) * 10)
    c = sg.parameter("c", np.float32(1))
    x = sg.placeholder("x", (5,))
    swap = sg.compile([x], {"old": a + 0.0, "sum": (a + b + x).sum()}, {a: b, b: a, c: c + a.sum()}, options=FRESH)
    out = swap(np.ones(5, np.float32))
    np.testing.assert_array_equal(out["old"], np.arange(5))
    assert out["sum"] == 115
    np.testing.assert_array_equal(a.value, np.arange(5) * 10)
    np.testing.assert_array_equal(b.value, np.arange(5))
    assert c.value == 11


def test_a_parameter_that_is_read_later_is_not_overwritten_early() -> None:
    w = sg.parameter("w", np.full((4, 4), 2, np.float32))
    x = sg.placeholder("x", (3, 4))
    new = w * 3
    late = (x @ w).sum() + (x @ new).sum()  # reads the old w after the new one is known
    step = sg.compile([x], {"late": late}, {w: new}, options=FRESH)
    assert step(np.ones((3, 4), np.float32))["late"] == 3 * 4 * 4 * (2 + 6)
    np.testing.assert_array_equal(w.value, np.full((4, 4), 6))


def test_an_update_is_written_in_place_where_it_can_be() -> None:
    w = sg.parameter("w", np.ones((64, 64), np.float32))
    x = sg.placeholder("x", ())
    step = sg.compile([x], {}, {w: w - x * w}, options=FRESH)
    step(0.5)
    assert (w.value == 0.5).all()
    assert step.memory().arena == 0


def test_a_parameter_may_be_an_output_and_be_updated() -> None:
    w = sg.parameter("w", np.arange(3, dtype=np.float32))
    x = sg.placeholder("x", ())
    new = w + x
    step = sg.compile([x], {"before": w, "after": new, "again": new}, {w: new}, options=FRESH)
    out = step(1.0)
    np.testing.assert_array_equal(out["before"], [0, 1, 2])
    np.testing.assert_array_equal(out["after"], [1, 2, 3])
    np.testing.assert_array_equal(out["again"], [1, 2, 3])
    np.testing.assert_array_equal(w.value, [1, 2, 3])


def test_parameters_are_shared_between_programs() -> None:
    w = sg.parameter("w", np.ones(3, np.float32))
    x = sg.placeholder("x", (3,))
    train = sg.compile([x], {}, {w: w + x}, options=FRESH)
    predict = sg.compile([x], {"y": w * x}, options=FRESH)
    train(np.full(3, 2.0))
    np.testing.assert_array_equal(predict(np.full(3, 2.0))["y"], [6, 6, 6])


def test_constants_inputs_and_parameters_can_be_outputs() -> None:
    x = sg.placeholder("x", (2, 3))
    table = sg.constant(np.arange(6, dtype=np.float32).reshape(2, 3))
    f = sg.compile([x], {"x": x, "table": table, "two": sg.constant(2.0), "sum": (x + table).sum()}, options=FRESH)
    out = f(np.ones((2, 3)))
    np.testing.assert_array_equal(out["x"], np.ones((2, 3)))
    np.testing.assert_array_equal(out["table"], np.arange(6).reshape(2, 3))
    assert out["two"] == 2
    assert out["sum"] == 21


def test_specialise_gives_a_program_for_one_size() -> None:
    x, _, w, b = _regression()
    f = sg.compile([x], {"y": sg.relu(x @ w + b)}, specialise={"batch": 4}, options=FRESH)
    assert f(np.ones((4, 19)))["y"].shape == (4, 37)
    with pytest.raises(sg.errors.InputError, match="x"):
        f(np.ones((5, 19)))
    with pytest.raises(sg.errors.DimError, match="rows"):
        sg.compile([x], {"y": x @ w}, specialise={"rows": 4}, options=FRESH)


@pytest.mark.parametrize("fuse", [True, False])
def test_fused_and_unfused_programs_agree(fuse: bool) -> None:
    x, y, w, b = _regression()
    loss = (sg.log_softmax(x @ w + b) * y).sum(axis=1).mean()
    grads = sg.gradients(loss, [w, b])
    f = sg.compile(
        [x, y], {"loss": loss, "dw": grads[0], "db": grads[1]}, options=CompileOptions(cache=False, fuse=fuse)
    )
    rng = np.random.default_rng(3)
    inputs = {"x": rng.standard_normal((9, 19)).astype(np.float32), "y": rng.random((9, 37)).astype(np.float32)}
    want = interpret(f.graph, inputs, {"w": w.value, "b": b.value})
    got = f(**inputs)
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, rtol=2e-5, atol=1e-5)


def test_an_sg_text_compiles_to_the_same_program() -> None:
    x, y, w, b = _regression()
    f = sg.compile([x, y], {"loss": ((x @ w + b - y) ** 2).mean()}, options=FRESH)
    graph = sg.parse(str(f.graph))
    again = compile_graph(graph, {"w": w.variable, "b": b.variable}, FRESH)
    arrays = (np.ones((3, 19), np.float32), np.zeros((3, 37), np.float32))
    assert f(*arrays)["loss"].tobytes() == again(*arrays)["loss"].tobytes()


def test_compiling_twice_gives_the_same_text(tmp_path) -> None:
    def dump(name: str) -> dict[str, str]:
        x, y, w, b = _regression()
        loss = ((sg.relu(x @ w + b) - y) ** 2).mean()
        f = sg.compile([x, y], {"loss": loss}, {w: w - sg.gradients(loss, [w])[0]}, options=FRESH)
        folder = f.dump(tmp_path / name)
        return {p.name: p.read_text() for p in folder.iterdir()}

    first, second = dump("a"), dump("b")
    assert first.keys() == second.keys()
    assert {"00_captured.sg", "plan.json", "program.ll", "program.s", "index.html"} <= first.keys()
    assert any(n.endswith(".legal.sgk") for n in first)
    for name, text in first.items():
        assert text == second[name], name
