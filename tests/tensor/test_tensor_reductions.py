from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.autodiff.numeric import directional_derivative
from sigmagraph.dims import Dim
from sigmagraph.dtypes import BOOL, F32, F64, I64
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor.tensor import Tensor

N, M = Dim("n"), Dim("m")
AXES = (None, 1, (0, -1), -2)
A = np.random.default_rng(1).normal(size=(3, 4, 5))
ORDERS = (1, 2, 3, 2.5, 0.5, -1, -2.5, np.inf, -np.inf, 0)


def _logsumexp(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.log(np.exp(x).sum(axis, keepdims=keepdims))


def _norm(x: Any, order: float, axis: Any, keepdims: bool) -> Any:
    """NumPy's norm of vectors, several axes taken for one."""
    axes = tuple(range(x.ndim)) if axis is None else tuple(a % x.ndim for a in np.atleast_1d(axis))
    flat = np.moveaxis(x, axes, range(-len(axes), 0)).reshape(*(n for i, n in enumerate(x.shape) if i not in axes), -1)
    out = np.linalg.norm(flat, order, -1)
    return np.expand_dims(out, axes) if keepdims else out


PAIRS: list[tuple[str, Callable[..., Any], Callable[..., Any]]] = [
    ("prod", sg.prod, np.prod),
    (
        "any",
        lambda x, axis, keepdims: sg.any(x > 1, axis, keepdims),
        lambda x, axis, keepdims: np.any(x > 1, axis, keepdims=keepdims),
    ),
    (
        "all",
        lambda x, axis, keepdims: sg.all(x > -1, axis, keepdims),
        lambda x, axis, keepdims: np.all(x > -1, axis, keepdims=keepdims),
    ),
    (
        "count_nonzero",
        lambda x, axis, keepdims: sg.count_nonzero(x > 0, axis, keepdims),
        lambda x, axis, keepdims: np.count_nonzero(x > 0, axis, keepdims=keepdims),
    ),
    ("logsumexp", sg.logsumexp, _logsumexp),
    (
        "var",
        lambda x, axis, keepdims: sg.var(x, axis, 1, keepdims),
        lambda x, axis, keepdims: np.var(x, axis, ddof=1, keepdims=keepdims),
    ),
    (
        "std",
        lambda x, axis, keepdims: sg.std(x, axis, 0, keepdims),
        lambda x, axis, keepdims: np.std(x, axis, keepdims=keepdims),
    ),
    *[
        (
            f"norm {order}",
            lambda x, axis, keepdims, order=order: sg.norm(x, order, axis, keepdims),
            lambda x, axis, keepdims, order=order: _norm(x, order, axis, keepdims),
        )
        for order in ORDERS
    ],
]
every_pair = pytest.mark.parametrize(("function", "reference"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])


@pytest.mark.parametrize("keepdims", [False, True])
@pytest.mark.parametrize("axis", AXES, ids=str)
@every_pair
def test_reductions_are_those_of_numpy(
    function: Callable[..., Tensor], reference: Callable[..., Any], axis: Any, keepdims: bool
) -> None:
    x = sg.placeholder("x", A.shape, "float64")
    got, expected = value(function(x, axis, keepdims), {x: A}), reference(A, axis, keepdims=keepdims)
    np.testing.assert_allclose(got, np.asarray(expected), rtol=1e-11, strict=True)


@every_pair
def test_compiled_reductions_of_symbolic_sizes(function: Callable[..., Tensor], reference: Callable[..., Any]) -> None:
    x = sg.placeholder("x", (N, M), "float64")
    compiled = sg.compile([x], {"rows": function(x, 1, False), "all": function(x, None, False)})
    for shape in ((2, 3), (7, 70)):
        array = np.random.default_rng(3).normal(size=shape)
        got = compiled(array)
        np.testing.assert_allclose(got["rows"], reference(array, 1, keepdims=False), rtol=1e-11)
        np.testing.assert_allclose(got["all"], reference(array, None, keepdims=False), rtol=1e-11)


SMOOTH = [p[1] for p in PAIRS if p[0] not in ("any", "all", "count_nonzero", "norm 0")]


@pytest.mark.parametrize("function", SMOOTH, ids=lambda f: "")
def test_gradients_of_reductions(function: Callable[..., Tensor]) -> None:
    x = sg.placeholder("x", A.shape, "float64")
    weights = np.random.default_rng(6).normal(size=(4,))
    y = (function(x, (0, 2), False) * weights).sum()
    (slope,) = sg.gradients(y, [x])
    direction = np.random.default_rng(7).normal(size=A.shape)
    estimate = directional_derivative(lambda points: float(value(y, {x: points[0]})), [A], [direction], 1e-4)
    assert abs((value(slope, {x: A}) * direction).sum() - estimate.value) < 1e-6 * (1 + abs(estimate.value))


# ---- products


def test_the_gradient_of_a_product_survives_zeros() -> None:
    x = sg.placeholder("x", (3, 4), "float64")
    (slope,) = sg.gradients(sg.prod(x, 1).sum(), [x])
    array = np.array([[2.0, 3.0, -1.0, 5.0], [2.0, 0.0, 3.0, 7.0], [0.0, 4.0, 0.0, 1.0]])
    expected = [[-15, -10, 30, -6], [0, 42, 0, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(value(slope, {x: array}), expected)


@pytest.mark.parametrize("count", [1, 31, 33, 65, 1025])
def test_the_gradient_of_long_products_of_symbolic_size(count: int) -> None:
    x = sg.placeholder("x", (N, M), "float64")
    f = sg.compile([x], {"slope": sg.gradients(sg.prod(x, 1).sum(), [x])[0]})
    array = np.random.default_rng(8).uniform(0.9, 1.1, (2, count))
    array[1, count // 2] = 0
    expected = np.zeros_like(array)
    expected[0] = array[0].prod() / array[0]
    expected[1, count // 2] = np.delete(array[1], count // 2).prod()
    np.testing.assert_allclose(f(array)["slope"], expected, rtol=1e-11)


def test_products_of_integers_are_wide() -> None:
    x = np.array([[100, 100, 7]], np.uint8)
    np.testing.assert_array_equal(value(sg.prod(x, 1)), np.prod(x.astype(np.int64), 1), strict=True)
    assert sg.prod([True, False]).dtype is I64
    assert sg.prod(np.ones(2, np.float32)).dtype is F32


# ---- stable forms


def test_logsumexp_neither_overflows_nor_loses_small_terms() -> None:
    x = sg.placeholder("x", (4, 2), "float64")
    rows = np.array([[1000.0, 1000.0], [-1000.0, -1001.0], [-np.inf, -np.inf], [np.inf, 0.0]])
    expected = [1000 + np.log(2), -1000 + np.log1p(np.exp(-1)), -np.inf, np.inf]
    np.testing.assert_allclose(value(sg.logsumexp(x, 1), {x: rows}), expected, rtol=1e-15)
    (slope,) = sg.gradients(sg.logsumexp(x, 1)[:3].sum(), [x])
    np.testing.assert_allclose(value(slope[:3], {x: rows}).sum(1), [1, 1, 0], rtol=1e-12)


def test_variances_far_from_zero_keep_their_digits() -> None:
    array = (np.random.default_rng(9).normal(size=(3, 200)) + 1000).astype(np.float32)
    got = value(sg.var(sg.constant(array), 1))
    np.testing.assert_allclose(got, array.astype(np.float64).var(1), rtol=1e-6)


@pytest.mark.parametrize(
    "function",
    [lambda x: sg.norm(x, 2, 1), lambda x: sg.norm(x, 3, 1), lambda x: sg.norm(x, 1.5, 1), lambda x: sg.std(x, 1)],
)
def test_roots_of_zero_have_gradient_zero(function: Callable[[Tensor], Tensor]) -> None:
    x = sg.placeholder("x", (2, 3), "float64")
    y = function(x)
    (slope,) = sg.gradients(y.sum(), [x])
    array = np.array([[0.0, 0.0, 0.0], [1.0, -2.0, 0.5]])
    assert value(y, {x: array})[0] == 0
    got = value(slope, {x: array})
    np.testing.assert_array_equal(got[0], 0)
    assert np.isfinite(got).all()
    assert np.abs(got[1]).max() > 0.1


def test_nan_is_kept() -> None:
    row = np.array([[1.0, np.nan, 2.0]])
    for function in (sg.prod, sg.logsumexp, sg.var, sg.std, sg.norm):
        assert np.isnan(value(function(sg.constant(row)))), function
    assert value(sg.argmin(row, 1)) == 1


# ---- types, empty arrays, wrong uses


def test_truth_of_numbers() -> None:
    x = np.array([[0.0, -0.0], [np.nan, 0.0]])
    np.testing.assert_array_equal(value(sg.any(x, 1)), np.any(x, 1), strict=True)
    np.testing.assert_array_equal(value(sg.all(x, 0)), np.all(x, 0), strict=True)
    assert (sg.any(x).dtype, sg.count_nonzero(x).dtype, sg.var([1, 2]).dtype) == (BOOL, I64, F64)


def test_argmin_is_that_of_numpy() -> None:
    x = np.array([[3, 1, 1], [0, 5, 0]])
    for axis, keepdims in ((0, False), (1, True), (-1, False), (None, False), (None, True)):
        got = value(sg.argmin(x, axis, keepdims))
        np.testing.assert_array_equal(got, np.argmin(x, axis, keepdims=keepdims))


def test_what_nothing_is() -> None:
    nothing = np.zeros((2, 0))
    assert value(sg.prod(nothing)) == 1
    assert not value(sg.any(nothing))
    assert value(sg.all(nothing))
    assert value(sg.logsumexp(nothing)) == -np.inf
    assert value(sg.norm(nothing)) == 0
    for name in ("max", "min", "mean", "argmax", "argmin", "var", "std"):
        with pytest.raises(ShapeError, match="empty"):
            getattr(sg, name)(nothing, axis=1)
        assert getattr(sg, name)(nothing, axis=0).shape == (0,)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda x: sg.norm(x, "fro"), AttributeValueError, "order is none"),  # type: ignore[arg-type]
        (lambda x: sg.norm(x, float("nan")), AttributeValueError, "order is none"),
        (lambda x: sg.var(x, 0, ddof=4), ShapeError, "fewer elements than 'ddof'"),
        (lambda x: sg.prod(x, 3), ShapeError, "no such axis"),
        (lambda x: sg.any(x, (0, 0)), ShapeError, "named twice"),
    ],
)
def test_wrong_uses_are_refused(use: Callable[[Any], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        use(A)
