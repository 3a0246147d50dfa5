"""Functions and operators of single elements give what NumPy gives, with its types."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.errors import AttributeValueError, DTypeError
from sigmagraph.tensor.tensor import Tensor

X = np.array([[-2.5, -0.5, 0.0], [0.3, 1.0, 2.5]], np.float32)
Y = np.array([1.5, -2.0, 0.75], np.float32)
I = np.array([[-7, -1, 0], [3, 6, 100]], np.int32)  # noqa: E741
J = np.array([2, -3, 5], np.int32)
B = np.array([True, False, True])
NAN = float("nan")


def tensors(*arrays: np.ndarray[Any, Any]) -> list[Tensor]:
    return [sg.placeholder(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]


def agree(ours: Callable[..., Tensor], numpys: Callable[..., Any], *arrays: np.ndarray[Any, Any]) -> None:
    operands = tensors(*arrays)
    with np.errstate(all="ignore"):
        want = np.asarray(numpys(*arrays))
        got = value(ours(*operands), dict(zip(operands, arrays, strict=True)))
    assert got.dtype == want.dtype
    np.testing.assert_allclose(got, want, rtol=1e-6 if want.dtype == np.float32 else 1e-14, strict=True)


@pytest.mark.parametrize(
    ("name", "numpys"),
    [
        ("exp2", np.exp2),
        ("expm1", np.expm1),
        ("log1p", np.log1p),
        ("log2", np.log2),
        ("log10", np.log10),
        ("square", np.square),
        ("reciprocal", np.reciprocal),
        ("sin", np.sin),
        ("cos", np.cos),
        ("tan", np.tan),
        ("asin", np.arcsin),
        ("acos", np.arccos),
        ("atan", np.arctan),
        ("sinh", np.sinh),
        ("cosh", np.cosh),
        ("asinh", np.arcsinh),
        ("acosh", np.arccosh),
        ("atanh", np.arctanh),
        ("floor", np.floor),
        ("ceil", np.ceil),
        ("trunc", np.trunc),
        ("round", np.round),
        ("sign", np.sign),
        ("isnan", np.isnan),
        ("isinf", np.isinf),
        ("isfinite", np.isfinite),
        ("logical_not", np.logical_not),
    ],
)
def test_functions_of_one_operand(name: str, numpys: Callable[..., Any]) -> None:
    agree(getattr(sg, name), numpys, X)
    agree(getattr(sg, name), numpys, np.concatenate([X.astype(np.float64).ravel(), [np.inf, -np.inf, NAN]]))
    if name not in ("reciprocal", "trunc", "ceil", "floor"):  # NumPy's types of these are its own
        agree(getattr(sg, name), numpys, I)


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round"])
def test_ints_are_whole_already(name: str) -> None:
    (x,) = tensors(I)
    assert getattr(sg, name)(x) is x


def test_error_functions() -> None:
    agree(sg.erf, np.vectorize(math.erf, otypes="d"), X.astype(np.float64))
    agree(sg.erfc, np.vectorize(math.erfc, otypes="d"), X.astype(np.float64))
    agree(sg.rsqrt, lambda x: 1 / np.sqrt(x), X.astype(np.float64))


@pytest.mark.parametrize(
    ("name", "numpys"),
    [
        ("power", np.power),
        ("remainder", np.remainder),
        ("floor_divide", np.floor_divide),
        ("atan2", np.arctan2),
        ("hypot", np.hypot),
        ("logaddexp", np.logaddexp),
        ("copysign", np.copysign),
        ("logical_and", np.logical_and),
        ("logical_or", np.logical_or),
        ("logical_xor", np.logical_xor),
    ],
)
def test_functions_of_two_operands_are_broadcast(name: str, numpys: Callable[..., Any]) -> None:
    agree(getattr(sg, name), numpys, X, Y)
    agree(getattr(sg, name), numpys, X.astype(np.float64), J)
    if name != "power":
        agree(getattr(sg, name), numpys, I, J)


@pytest.mark.parametrize(
    ("name", "symbol", "numpys"),
    [
        ("bitwise_and", operator.and_, np.bitwise_and),
        ("bitwise_or", operator.or_, np.bitwise_or),
        ("bitwise_xor", operator.xor, np.bitwise_xor),
        ("remainder", operator.mod, np.remainder),
        ("floor_divide", operator.floordiv, np.floor_divide),
    ],
)
def test_operators_of_ints(name: str, symbol: Callable[..., Any], numpys: Callable[..., Any]) -> None:
    agree(getattr(sg, name), numpys, I, J)
    agree(symbol, numpys, I, J)
    agree(lambda x: symbol(x, 5), lambda x: numpys(x, 5), I)
    agree(lambda x: symbol(100, x), lambda x: numpys(100, x), I)
    if name.startswith("bitwise"):
        agree(symbol, numpys, B, ~B)


def test_shifts_and_complements() -> None:
    counts = np.array([0, 5, 31], np.int32)
    for symbol, function in ((operator.lshift, sg.left_shift), (operator.rshift, sg.right_shift)):
        agree(function, symbol, I, counts)
        agree(symbol, symbol, I, counts)
        agree(lambda x, s=symbol: s(x, 2), lambda x, s=symbol: s(x, 2), I)
        agree(lambda x, s=symbol: s(3, x), lambda x, s=symbol: s(3, x), counts)
    agree(operator.invert, operator.invert, I)
    agree(sg.bitwise_not, np.bitwise_not, B)


@pytest.mark.parametrize("exponent", [0.3, -1.5, 2.0**40, np.inf, NAN, True, np.float32(1.25)])
def test_powers_of_numbers(exponent: float) -> None:
    agree(lambda x: x**exponent, lambda x: x**exponent, X)
    agree(lambda x: 2.0**x, lambda x: 2.0**x, X)
    agree(lambda x: sg.power(x, exponent), lambda x: np.power(x, exponent), X.astype(np.float64))


def test_powers_of_tensors() -> None:
    agree(operator.pow, operator.pow, X, Y)
    agree(lambda x: x**Y, lambda x: x**Y, X)
    agree(lambda x: Y**x, lambda x: Y**x, X)


@pytest.mark.parametrize("digits", [0, 1, 3, -1])
def test_rounding_to_digits(digits: int) -> None:
    x = np.array([-17.25, -2.5, 0.125, 1.0625, 35.0])
    agree(lambda t: sg.round(t, digits), lambda a: np.round(a, digits), x)
    agree(lambda t: round(t, digits), lambda a: np.round(a, digits), x)
    agree(round, np.round, x)


@pytest.mark.parametrize("digits", [True, 0.5, "1", 400])
def test_digits_are_ints(digits: Any) -> None:
    (x,) = tensors(X)
    with pytest.raises(AttributeValueError, match="digits are an int"):
        sg.round(x, digits)


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (None, 0.5), (0.25, None), ([0.0, 1.0, -1.0], 2.0)])
def test_clip(low: Any, high: Any) -> None:
    agree(lambda x: sg.clip(x, low, high), lambda x: np.clip(x, low, high).astype(np.float32), X)
    agree(lambda x: sg.clip(x, low, high), lambda x: np.clip(x, low, high), X.astype(np.float64))


def test_clip_of_ints_and_of_nothing() -> None:
    agree(lambda x: sg.clip(x, -2), lambda x: np.maximum(x, -2), I)
    agree(lambda x: sg.clip(x, high=4), lambda x: np.minimum(x, 4), I)
    agree(lambda x: sg.clip(x, -2, 4), lambda x: np.clip(x, -2, 4), I)
    (x,) = tensors(X)
    assert sg.clip(x) is x


def test_one_sided_clips_pass_gradients_on_their_bound() -> None:
    x = sg.placeholder("x", (3,), "float64")
    (slope,) = sg.gradients(sg.clip(x, 0.0).sum(), [x])
    np.testing.assert_array_equal(value(slope, {x: np.array([-1.0, 0.0, 1.0])}), [0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: x & x,
        lambda x: x << 1,
        lambda x: sg.sign(x > 0),
        lambda x: sg.sin("a"),
        lambda x: x // None,
    ],
)
def test_types_that_do_not_fit_are_refused(wrong: Callable[[Tensor], Any]) -> None:
    with pytest.raises(DTypeError) as caught:
        wrong(sg.placeholder("x", (2,)))
    assert "test_tensor_math.py" in str(caught.value)
