"""Loops, branches, checkpoints and gradients of one's own, as users write them."""

from __future__ import annotations

import numpy as np
import pytest

import sigmagraph as sg
from sigmagraph.errors import DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.plan import Branch, Launch, Loop, flat_steps
from sigmagraph.options import CompileOptions

RNG = np.random.default_rng(5)
FRESH = CompileOptions(cache=False)
N = sg.Dim("n")


def test_a_scan_carries_its_state_and_stacks_what_turns_give() -> None:
    x, w = sg.placeholder("x", (N, 3)), sg.parameter("w", RNG.standard_normal((3, 4)).astype(np.float32))

    def turn(h, x):
        new = sg.tanh(x @ w + h)
        return new, new * 2

    h, ys = sg.scan(turn, sg.zeros((4,)), x)
    program = sg.compile([x], {"h": h, "ys": ys}, options=FRESH)
    for n in (5, 1, 0):
        array = RNG.standard_normal((n, 3)).astype(np.float32)
        state, rows = np.zeros(4, np.float32), []
        for row in array:
            state = np.tanh(row @ w.value + state)
            rows.append(state * 2)
        out = program(x=array)
        np.testing.assert_allclose(out["h"], state, rtol=2e-6, atol=1e-6)
        np.testing.assert_allclose(out["ys"], np.array(rows).reshape(n, 4), rtol=2e-6, atol=1e-6)


def test_states_and_slices_may_be_structures() -> None:
    x, y = sg.placeholder("x", (5,)), sg.placeholder("y", (5, 2))

    def turn(state, slices):
        total, (low, count) = state["total"], state["rest"]
        a, b = slices
        return {"total": total + a * b, "rest": (sg.minimum(low, a), count + 1)}, [a, None]

    start = {"total": sg.zeros((2,)), "rest": (sg.constant(np.inf, "float32"), sg.constant(0))}
    state, (again, nothing) = sg.scan(turn, start, (x, y), reverse=True)
    assert nothing is None
    arrays = {"x": RNG.standard_normal(5).astype(np.float32), "y": RNG.standard_normal((5, 2)).astype(np.float32)}
    outputs = {"total": state["total"], "low": state["rest"][0], "count": state["rest"][1], "again": again}
    out = sg.compile([x, y], outputs, options=FRESH)(**arrays)
    np.testing.assert_allclose(out["total"], (arrays["x"][:, None] * arrays["y"]).sum(0), rtol=1e-5)
    assert out["low"] == arrays["x"].min()
    assert out["count"] == 5
    np.testing.assert_array_equal(out["again"], arrays["x"])


def _loss(n: object = N, back: bool = False):
    x, w = sg.placeholder("x", (n, 3), "float64"), sg.placeholder("w", (3, 3), "float64")

    def turn(h, x):
        new = sg.tanh(h @ w) * x + h
        return new, sg.sigmoid(new)

    h, ys = sg.scan(turn, sg.full((3,), 0.3, "float64"), x, reverse=back)
    return x, w, (h * h).sum() + (ys * ys * ys).sum()


@pytest.mark.parametrize("back", [False, True])
def test_the_gradient_of_a_scan_is_a_scan(back: bool) -> None:
    x, w, loss = _loss(back=back)
    outputs = dict(zip(("loss", "x", "w"), (loss, *sg.gradients(loss, [x, w])), strict=True))
    program = sg.compile([x, w], outputs, options=FRESH)
    assert sum(isinstance(step, Loop) for step in flat_steps(program.plan.steps)) == 2  # forth and back, no third one
    arrays = {"x": RNG.standard_normal((6, 3)), "w": RNG.standard_normal((3, 3))}
    out = program(**arrays)
    for name in ("x", "w"):
        way = RNG.standard_normal(arrays[name].shape)
        ahead, behind = (program(**{**arrays, name: arrays[name] + t * way})["loss"] for t in (1e-6, -1e-6))
        assert (out[name] * way).sum() == pytest.approx((ahead - behind) / 2e-6, rel=1e-7)


def test_saved_values_take_memory_in_proportion_to_the_turns() -> None:
    x, w, loss = _loss()
    program = sg.compile([x, w], {"w": sg.gradients(loss, [w])[0]}, options=FRESH)
    assert (
        program.memory(n=2000).arena - program.memory(n=1000).arena
        == program.memory(n=3000).arena - program.memory(n=2000).arena
    )


def test_what_does_not_change_from_turn_to_turn_is_computed_once() -> None:
    x, w = sg.placeholder("x", (5, 3)), sg.placeholder("w", (3,))
    h, _ = sg.scan(lambda h, x: (h + x * sg.exp(w), None), sg.zeros((3,)), x)
    program = sg.compile([x, w], {"h": h}, options=FRESH)
    outside = [s for s in program.plan.steps if isinstance(s, Launch)]
    assert any("exp" in s.kernel for s in outside)
    (loop,) = (s for s in program.plan.steps if isinstance(s, Loop))
    assert not any("exp" in s.kernel for s in flat_steps(loop.steps) if isinstance(s, Launch))


def test_scans_nest() -> None:
    x = sg.placeholder("x", (4, 5), "float64")

    def row(total, row):
        inner, _ = sg.scan(lambda s, v: (s * 0.5 + v * v, None), total, row)
        return inner, inner

    total, rows = sg.scan(row, sg.zeros((), "float64"), x)
    loss = (rows * rows).sum() + total
    gradient = sg.gradients(loss, [x])[0]
    program = sg.compile([x], {"loss": loss, "x": gradient}, options=FRESH)
    array = RNG.standard_normal((4, 5))
    state, expected = 0.0, 0.0
    for line in array:
        for v in line:
            state = state * 0.5 + v * v
        expected += state * state
    out = program(x=array)
    assert out["loss"] == pytest.approx(expected + state, rel=1e-12)
    way = RNG.standard_normal((4, 5))
    ahead, behind = (program(x=array + t * way)["loss"] for t in (1e-6, -1e-6))
    assert (out["x"] * way).sum() == pytest.approx((ahead - behind) / 2e-6, rel=1e-7)


def test_a_branch_runs_alone() -> None:
    flag, x = sg.placeholder("flag", (), "bool"), sg.placeholder("x", (N,), "float64")
    y, z = sg.cond(flag, lambda x: (sg.exp(x), x), lambda x: (x * 3, sg.log(x)), x)
    loss = (y * z).sum()
    program = sg.compile([flag, x], {"y": y, "z": z, "x": sg.gradients(loss, [x])[0]}, options=FRESH)
    assert any(isinstance(step, Branch) for step in program.plan.steps)
    array = RNG.uniform(1, 2, 4)
    out = program(flag=True, x=array)
    np.testing.assert_allclose(out["y"], np.exp(array), rtol=1e-15)
    np.testing.assert_allclose(out["x"], np.exp(array) * (array + 1), rtol=1e-14)
    out = program(flag=False, x=array)
    np.testing.assert_allclose(out["z"], np.log(array), rtol=1e-15)
    np.testing.assert_allclose(out["x"], 3 * np.log(array) + 3, rtol=1e-14)


def test_branches_may_read_different_tensors_from_outside() -> None:
    flag, x, a, b = (sg.placeholder(n, (), t) for n, t in (("flag", "bool"), ("x", "f32"), ("a", "f32"), ("b", "f32")))
    y = sg.cond(flag, lambda x: x * a, lambda x: x + b, x)
    program = sg.compile([flag, x, a, b], {"y": y}, options=FRESH)
    assert program(flag=True, x=2, a=5, b=7)["y"] == 10
    assert program(flag=False, x=2, a=5, b=7)["y"] == 9


def test_a_checkpoint_keeps_less_and_gives_the_same_gradient() -> None:
    x = sg.placeholder("x", (N, 64))
    weights = [sg.parameter(f"w{i}", RNG.standard_normal((64, 64)).astype(np.float32) * 0.1) for i in range(4)]

    def block(x, w):
        for _ in range(3):
            x = sg.tanh(x @ w)
        return x

    def program(wrap):
        y = x
        for w in weights:
            y = wrap(block)(y, w)
        loss = (y * y).sum()
        outputs = dict(zip(map(str, range(5)), sg.gradients(loss, [x, *weights]), strict=True))
        return sg.compile([x], outputs, options=FRESH)

    plain, again = program(lambda f: f), program(sg.checkpoint)
    array = RNG.standard_normal((8, 64)).astype(np.float32)
    for name, expected in plain(x=array).items():
        np.testing.assert_allclose(again(x=array)[name], expected, rtol=1e-5, atol=1e-5)
    assert again.memory(n=1000).arena < 0.8 * plain.memory(n=1000).arena
    launches = [sum(isinstance(s, Launch) for s in p.plan.steps) for p in (plain, again)]
    assert launches[1] > launches[0]


def test_a_gradient_of_ones_own() -> None:
    def back(operands, results, cotangents):
        (x, _), (z,), (g,) = operands, results, cotangents
        return g * 2 + z, g * x

    product = sg.custom_gradient(lambda x, y: x * y, back)
    x, y = sg.placeholder("x", (3,)), sg.placeholder("y", (3,))
    z = product(x, y)
    dx, dy = sg.gradients(z.sum(), [x, y])
    out = sg.compile([x, y], {"z": z, "x": dx, "y": dy}, options=FRESH)(x=[1, 2, 3], y=[4, 5, 6])
    np.testing.assert_array_equal(out["z"], [4, 10, 18])
    np.testing.assert_array_equal(out["x"], [6, 12, 20])
    np.testing.assert_array_equal(out["y"], [1, 2, 3])


def test_a_stopped_gradient_is_zero() -> None:
    x = sg.placeholder("x", (3,))
    loss = (sg.stop_gradient(x * x) * x).sum()
    out = sg.compile([x], {"x": sg.gradients(loss, [x])[0]}, options=FRESH)(x=[1, 2, 3])
    np.testing.assert_array_equal(out["x"], [1, 4, 9])


def test_programs_with_bodies_are_text() -> None:
    x, w, loss = _loss()
    program = sg.compile([x, w], {"loss": loss, "w": sg.gradients(loss, [w])[0]}, options=FRESH)
    text = str(program.graph)
    again = sg.parse(text)
    assert again == program.graph
    assert str(again) == text
    arrays = {"x": RNG.standard_normal((4, 3)), "w": RNG.standard_normal((3, 3))}
    np.testing.assert_allclose(interpret(again, arrays)["w"], program(**arrays)["w"], rtol=1e-12)


def test_a_number_for_a_dim_reaches_bodies() -> None:
    x, w, loss = _loss()
    program = sg.compile([x, w], {"loss": loss}, specialise={"n": 4}, options=FRESH)
    free = sg.compile([x, w], {"loss": loss}, options=FRESH)
    arrays = {"x": RNG.standard_normal((4, 3)), "w": RNG.standard_normal((3, 3))}
    assert program(**arrays)["loss"] == free(**arrays)["loss"]
    assert program.plan.dims == ()


X = sg.placeholder("x", (5, 3))
WRONG = {
    "new state": (lambda: sg.scan(lambda h, x: (h.sum(), None), sg.zeros((3,)), X), ShapeError, "part 0 of the new"),
    "new dtype": (lambda: sg.scan(lambda h, x: (h.astype("f64"), None), sg.zeros((3,)), X), DTypeError, "part 0"),
    "no pair": (lambda: sg.scan(lambda h, x: h, sg.zeros((3,)), X), GraphError, "does not return a pair"),
    "form": (lambda: sg.scan(lambda h, x: ((h, h), None), sg.zeros((3,)), X), GraphError, "another form"),
    "length": (lambda: sg.scan(lambda h, x: (h, None), sg.zeros((3,))), GraphError, "how many turns"),
    "slices": (lambda: sg.scan(lambda h, x: (h, None), sg.zeros(()), (X, sg.zeros((4,)))), ShapeError, "differ"),
    "scalar": (lambda: sg.scan(lambda h, x: (h, None), sg.zeros(()), sg.zeros(())), ShapeError, "has no slices"),
    "condition": (lambda: sg.cond(X, lambda: X, lambda: X), DTypeError, "no truth value"),
    "branches": (lambda: sg.cond(True, lambda x: x, lambda x: (x, x), X), GraphError, "different forms"),
    "types": (lambda: sg.cond(True, lambda x: x, lambda x: x.sum(), X), ShapeError, "result 0 of the branches"),
    "captured": (
        lambda: sg.custom_gradient(lambda x: x * X, lambda *_: X)(sg.zeros((5, 3))),
        GraphError,
        "not among its operands",
    ),
    "cotangents": (lambda: sg.custom_gradient(lambda x: x, lambda *_: ())(X), GraphError, "number of cotangents"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses_are_refused_with_the_users_line(name: str) -> None:
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match) as caught:
        call()
    assert caught.value.location.file.endswith("test_control.py")
