from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32, F64
from sigmagraph.errors import (
    AttributeValueError,
    DTypeError,
    GraphError,
    InputError,
    ShapeError,
)
from sigmagraph.tensor import functions as sg
from sigmagraph.tensor.tensor import Tensor

N = Dim("n")
KEY = (7, 0)


def _softmax(x: np.ndarray[Any, Any], axis: int = -1) -> np.ndarray[Any, Any]:
    powers = np.exp(x - x.max(axis, keepdims=True))
    return np.asarray(powers / powers.sum(axis, keepdims=True))


A = np.random.default_rng(1).uniform(-3, 3, (3, 4))
B = np.random.default_rng(2).uniform(-3, 3, (3, 4))


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (sg.exp, np.exp),
        (lambda x: sg.log(sg.exp(x)), lambda x: x),
        (sg.tanh, np.tanh),
        (lambda x: sg.sqrt(sg.abs(x)), lambda x: np.sqrt(np.abs(x))),
        (sg.relu, lambda x: np.maximum(x, 0)),
        (sg.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        (lambda x: sg.maximum(x, 0.5), lambda x: np.maximum(x, 0.5)),
        (lambda x: sg.minimum(1, x), lambda x: np.minimum(1, x)),
        (lambda x: sg.where(x > 0, x, -1), lambda x: np.where(x > 0, x, -1)),
        (lambda x: sg.where(x[:, :1] > 0, 1.0, x[0]), lambda x: np.where(x[:, :1] > 0, 1.0, x[0])),
        (sg.softmax, _softmax),
        (lambda x: sg.softmax(x, axis=0), lambda x: _softmax(x, 0)),
        (sg.log_softmax, lambda x: np.log(_softmax(x))),
        (lambda x: sg.concatenate([x, B], axis=1), lambda x: np.concatenate([x, B], axis=1)),
        (lambda x: sg.stack([x, B]), lambda x: np.stack([x, B])),
        (lambda x: sg.stack([x, B], axis=-1), lambda x: np.stack([x, B], axis=-1)),
        (lambda x: sg.stack([x, B], axis=1), lambda x: np.stack([x, B], axis=1)),
        (lambda x: sg.broadcast_to(x, (2, 3, 4)), lambda x: np.broadcast_to(x, (2, 3, 4))),
        (lambda x: sg.take(x, [[2, 0], [1, 1]], axis=1), lambda x: np.take(x, [[2, 0], [1, 1]], axis=1)),
        (
            lambda x: sg.sum(x, 0) + sg.mean(x) + sg.max(x, 0) + sg.min(x),
            lambda x: x.sum(0) + x.mean() + x.max(0) + x.min(),
        ),
        (lambda x: sg.argmax(x, 1), lambda x: x.argmax(1)),
        (lambda x: sg.matmul(x, B.T), lambda x: x @ B.T),
        (lambda x: sg.equal(x, x) & sg.not_equal(x, B), lambda x: x != B),
        (lambda x: sg.dense(x, B.T, [1.0, 2.0, 3.0], "tanh"), lambda x: np.tanh(x @ B.T + [1.0, 2.0, 3.0])),
    ],
)
def test_functions_are_those_of_numpy(function: Callable[[Tensor], Tensor], reference: Callable[[Any], Any]) -> None:
    x = sg.placeholder("x", A.shape, "float64")
    np.testing.assert_allclose(value(function(x), {x: A}), reference(A), rtol=1e-12, atol=1e-14, strict=True)


def test_numbers_are_functions_too() -> None:
    assert sg.exp(1.0).dtype is F32
    assert sg.exp(1).dtype is F64
    np.testing.assert_array_equal(value(sg.where([True, False], 1, 0.5)), np.array([1, 0.5], np.float32))


def test_one_hot_and_take_out_of_range() -> None:
    np.testing.assert_array_equal(value(sg.one_hot([1, 3, -1], 3)), [[0, 1, 0], [0, 0, 0], [0, 0, 0]])
    assert np.isnan(value(sg.take([1.0, 2.0], [2]))).all()


def test_placeholders_are_checked() -> None:
    assert sg.placeholder("x", ()).shape == ()
    assert sg.placeholder("x", 3).shape == (3,)
    assert sg.placeholder("x", N, "f64").shape == (N,)
    for shape in ((-1,), (1.5,), ("batch",)):
        with pytest.raises(ShapeError):
            sg.placeholder("x", shape)  # type: ignore[arg-type]
    with pytest.raises(DTypeError):
        sg.placeholder("x", (), "complex64")
    for name in ("", None, 3):
        with pytest.raises(GraphError, match="needs a name"):
            sg.placeholder(name, ())  # type: ignore[arg-type]


def test_parameters_have_a_live_value() -> None:
    w = sg.parameter("w", [[1, 2.5]])
    assert (w.variable.name, w.trainable, w.shape) == ("w", True, (1, 2))
    w.value[0, 1] = 7
    np.testing.assert_array_equal(value(w * 2), [[2, 14]])
    w.value = np.array([[3.0, 4.0]])
    np.testing.assert_array_equal(value(w), [[3, 4]])
    with pytest.raises(InputError, match="another shape"):
        w.value = np.zeros(2)
    with pytest.raises(GraphError, match="needs a name"):
        sg.parameter("", 1.0)


def test_parts_are_needed() -> None:
    for function in (sg.concatenate, sg.stack):
        with pytest.raises(ShapeError, match="several tensors"):
            function([])
        with pytest.raises(ShapeError, match="several tensors"):
            function(sg.constant([1.0]))  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="no such axis"):
        sg.stack([1.0, 2.0], axis=2)
    with pytest.raises(ShapeError):
        sg.stack([np.ones(2), np.ones(3)])


# ---- random numbers


def test_random_numbers_are_a_function_of_key_and_stream() -> None:
    draws = [
        value(sg.random_uniform(key, (100, 7), stream=s))
        for key, s in (((1, 0), 0), ((1, 0), 0), ((1, 1), 0), ((1, 0), 1))
    ]
    np.testing.assert_array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])
    assert not np.array_equal(draws[0], draws[3])
    assert draws[0].dtype == np.float32
    assert 0 <= draws[0].min() < 0.02 < 0.98 < draws[0].max() < 1


def test_dropout_keeps_the_mean() -> None:
    x = sg.placeholder("x", (N, 50))
    rate = sg.placeholder("rate", ())
    y = sg.dropout(x, rate, KEY)
    ones = np.ones((100, 50), np.float32)
    for p in (0.0, 0.25, 0.5):
        got = value(y, {x: ones, rate: np.float32(p)})
        assert set(np.unique(got)) <= {np.float32(0), np.float32(1) / (np.float32(1) - np.float32(p))}
        assert abs((got == 0).mean() - p) < 0.02


def test_dropout_refuses_rates_out_of_range() -> None:
    for rate in (-0.1, 1, 1.5, float("nan")):
        with pytest.raises(AttributeValueError, match="out of range"):
            sg.dropout(np.ones(3), rate, KEY)
