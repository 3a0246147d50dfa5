"""Derivatives of every order and direction agree with each other and with closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.errors import DifferentiationError, GraphError
from sigmagraph.ir.plan import Launch, Loop
from sigmagraph.options import CompileOptions

RNG = np.random.default_rng(3)
FRESH = CompileOptions(cache=False)


def run(outputs: dict[str, sg.Tensor], **arrays: np.ndarray) -> dict[str, np.ndarray]:
    placeholders = [SOURCES[name] for name in arrays]
    return sg.compile(placeholders, outputs, options=FRESH)(**arrays)


SOURCES = {
    "x": sg.placeholder("x", (4,), "float64"),
    "v": sg.placeholder("v", (4,), "float64"),
    "m": sg.placeholder("m", (3, 4), "float64"),
    "n": sg.placeholder("n", (sg.Dim("rows"), 4), "float64"),
}
X, V, M, ROWS = SOURCES.values()
POINT, WAY, MATRIX = RNG.standard_normal(4), RNG.standard_normal(4), RNG.standard_normal((3, 4))


# ---- gradients


def test_gradients_of_a_softmax_regression() -> None:
    n = sg.Dim("n")
    x, labels = sg.placeholder("x", (n, 4), "float64"), sg.placeholder("labels", (n,), "int32")
    w, b = sg.parameter("w", MATRIX.T.copy()), sg.parameter("b", np.zeros(3))
    loss = sg.losses.softmax_cross_entropy(x @ w + b, labels).mean()
    dw, db = sg.gradients(loss, [w, b])
    data, classes = RNG.standard_normal((3, 4)), np.array([2, 0, 1], np.int32)
    powers = np.exp(data @ MATRIX.T)
    error = (powers / powers.sum(axis=1, keepdims=True) - np.eye(3)[classes]) / 3
    inputs = {x: data, labels: classes}
    np.testing.assert_allclose(value(dw, inputs), data.T @ error, rtol=1e-9)
    np.testing.assert_allclose(value(db, inputs), error.sum(0), rtol=1e-9, atol=1e-12)
    assert dw.location.gradient


def test_gradients_of_gradients() -> None:
    x = sg.placeholder("x", (), "float64")
    (first,) = sg.gradients(x**3, [x])
    (second,) = sg.gradients(first, [x])
    assert value(second, {x: np.float64(2)}) == 12


def test_gradients_of_what_does_not_matter_are_zero() -> None:
    x, other = sg.placeholder("x", (3,)), sg.placeholder("other", (2,))
    _, zero = sg.gradients((x * x).sum(), [x, other])
    np.testing.assert_array_equal(value(zero, {x: np.ones(3), other: np.ones(2)}), [0, 0])


def test_gradients_are_asked_for_in_the_right_way() -> None:
    x = sg.placeholder("x", (3,))
    with pytest.raises(GraphError, match="a list of tensors"):
        sg.gradients(x.sum(), x)  # type: ignore[arg-type]
    with pytest.raises(GraphError, match="a list of tensors"):
        sg.gradients(x.sum(), [1.0])  # type: ignore[list-item]
    with pytest.raises(DifferentiationError):
        sg.gradients(x, [x])
    with pytest.raises(DifferentiationError):
        sg.gradients(x.argmax().astype("float32"), [x])


# ---- products with Jacobians


def test_jvp_of_products_and_functions() -> None:
    y = sg.tanh(M @ X) * (X * X).sum()
    out = run({"j": sg.jvp(y, {X: V}), "full": sg.jacobian(y, X)}, x=POINT, v=WAY, m=MATRIX)
    np.testing.assert_allclose(out["j"], out["full"] @ WAY, rtol=1e-12)
    inner = MATRIX @ POINT
    expected = (1 - np.tanh(inner) ** 2)[:, None] * MATRIX * (POINT @ POINT) + 2 * np.tanh(inner)[:, None] * POINT
    np.testing.assert_allclose(out["full"], expected, rtol=1e-12)


def test_jvp_takes_several_tensors_and_gives_several() -> None:
    first, second = sg.jvp([M @ X, (M * M).sum()], {X: V, M: M * 2})
    out = run({"a": first, "b": second}, x=POINT, v=WAY, m=MATRIX)
    np.testing.assert_allclose(out["a"], MATRIX @ WAY + 2 * MATRIX @ POINT, rtol=1e-12)
    np.testing.assert_allclose(out["b"], 4 * (MATRIX * MATRIX).sum(), rtol=1e-12)


def test_jvp_keeps_nothing_of_the_way_back() -> None:
    program = sg.compile([X, V], {"j": sg.jvp(sg.exp(X) * X, {X: V})}, options=FRESH)
    assert sum(isinstance(step, Launch) for step in program.plan.steps) == 1


def test_vjp_is_the_transposed_product() -> None:
    y = sg.sigmoid(M @ X)
    cotangent = RNG.standard_normal(3)
    by_x, by_m = sg.vjp([y], [X, M], [cotangent])
    out = run({"x": by_x, "m": by_m, "jx": sg.jacobian(y, X), "jm": sg.jacobian(y, M)}, x=POINT, m=MATRIX)
    np.testing.assert_allclose(out["x"], cotangent @ out["jx"], rtol=1e-12)
    np.testing.assert_allclose(out["m"], np.einsum("i,ijk->jk", cotangent, out["jm"]), rtol=1e-12)


@pytest.mark.parametrize("size", [2, 9])
def test_jacobians_by_rows_and_by_columns(size: int) -> None:
    weights = RNG.standard_normal((size, 4))
    y = sg.exp(sg.constant(weights) @ X).reshape((1, size))
    out = run({"j": sg.jacobian(y, X)}, x=POINT)
    np.testing.assert_allclose(out["j"], (np.exp(weights @ POINT)[:, None] * weights)[None], rtol=1e-12)


def test_a_jacobian_is_one_loop_for_any_size() -> None:
    program = sg.compile([ROWS], {"j": sg.jacobian((ROWS * ROWS).sum(1), ROWS)}, options=FRESH)
    assert sum(isinstance(step, Loop) for step in program.plan.steps) == 1
    array = RNG.standard_normal((3, 4))
    expected = np.zeros((3, 3, 4))
    expected[range(3), range(3)] = 2 * array
    np.testing.assert_allclose(program(n=array)["j"], expected, rtol=1e-12)


def test_hessian_and_its_products() -> None:
    y = (sg.exp(X) * X).sum() * X[0] + sg.tanh(X[1] * X[2])
    h = sg.hessian(y, X)
    (hv,) = sg.hessian_vector_product(y, [X], [V])
    forward = sg.jvp(sg.gradients(y, [X])[0], {X: V})
    out = run({"h": h, "hv": hv, "forward": forward, "g": sg.gradients(y, [X])[0]}, x=POINT, v=WAY)
    np.testing.assert_allclose(out["h"], out["h"].T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(out["hv"], out["h"] @ WAY, rtol=1e-11)
    np.testing.assert_allclose(out["forward"], out["hv"], rtol=1e-11)
    gradient = sg.compile([X], {"g": sg.gradients(y, [X])[0]}, options=FRESH)
    estimate = (gradient(x=POINT + 1e-6 * WAY)["g"] - gradient(x=POINT - 1e-6 * WAY)["g"]) / 2e-6
    np.testing.assert_allclose(out["hv"], estimate, rtol=1e-6, atol=1e-7)


def test_derivatives_of_any_order() -> None:
    x = sg.placeholder("x", (), "float64")
    y = sg.exp(x * 2)
    orders = {}
    for order in range(1, 6):
        (y,) = sg.gradients(y, [x])
        orders[str(order)] = y
    out = sg.compile([x], orders, options=FRESH)(x=0.3)
    for order in range(1, 6):
        assert out[str(order)] == pytest.approx(2**order * np.exp(0.6), rel=1e-12)


def test_jvp_through_a_loop() -> None:
    def turn(h, row):
        return sg.tanh(h * row) + row, None

    h, _ = sg.scan(turn, X, ROWS)
    out_of = {"j": sg.jvp(h, {X: V}), "full": sg.jacobian(h, X)}
    rows = RNG.standard_normal((5, 4))
    out = run(out_of, x=POINT, v=WAY, n=rows)
    np.testing.assert_allclose(out["j"], out["full"] @ WAY, rtol=1e-12)


WRONG = {
    "tangent": (lambda: sg.jvp(X * 2, {X: M}), DifferentiationError, "tangent is of another type"),
    "cotangent": (lambda: sg.vjp([X * 2], [X], [M]), DifferentiationError, "seed is of another type"),
    "number": (lambda: sg.vjp([X * 2], [X], []), GraphError, "a cotangent for each output"),
    "scalar": (lambda: sg.hessian(X * 2, X), DifferentiationError, "not a float scalar"),
    "tensor": (lambda: sg.jacobian(X * 2, 3), GraphError, "no tensor"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_uses_are_refused(name: str) -> None:
    call, error, match = WRONG[name]
    with pytest.raises(error, match=match):
        call()
