from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor import activations as act
from sigmagraph.tensor.functions import placeholder
from sigmagraph.tensor.tensor import Tensor

NDArray = np.ndarray[Any, Any]
X = np.random.default_rng(4).uniform(-5, 5, (3, 4))


def _sigmoid(x: NDArray) -> NDArray:
    return np.asarray(1 / (1 + np.exp(-x)))


def _normal(x: NDArray) -> NDArray:
    return np.vectorize(lambda v: (1 + math.erf(v / math.sqrt(2))) / 2)(x)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("function", "reference"),
    [
        (act.gelu, lambda x: x * _normal(x)),
        (
            lambda x: act.gelu(x, approximate=True),
            lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        ),
        (act.silu, lambda x: x * _sigmoid(x)),
        (act.mish, lambda x: x * np.tanh(np.log(1 + np.exp(x)))),
        (act.softplus, lambda x: np.log(1 + np.exp(x))),
        (lambda x: act.softplus(x, beta=3), lambda x: np.log(1 + np.exp(3 * x)) / 3),
        (act.softsign, lambda x: x / (1 + np.abs(x))),
        (act.log_sigmoid, lambda x: np.log(_sigmoid(x))),
        (act.leaky_relu, lambda x: np.where(x > 0, x, 0.01 * x)),
        (lambda x: act.leaky_relu(x, 0.5), lambda x: np.where(x > 0, x, 0.5 * x)),
        (lambda x: act.prelu(x, [0.5, 1.0, 2.0, -1.0]), lambda x: np.where(x > 0, x, [0.5, 1, 2, -1] * x)),
        (lambda x: act.elu(x, 2), lambda x: np.where(x > 0, x, 2 * (np.exp(x) - 1))),
        (lambda x: act.celu(x, 2), lambda x: np.where(x > 0, x, 2 * (np.exp(x / 2) - 1))),
        (act.selu, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * (np.exp(x) - 1))),
        (act.relu6, lambda x: np.clip(x, 0, 6)),
        (act.hard_tanh, lambda x: np.clip(x, -1, 1)),
        (act.hard_sigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
        (act.hard_swish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
        (act.glu, lambda x: x[:, :2] * _sigmoid(x[:, 2:])),
        (act.swiglu, lambda x: x[:, :2] * x[:, 2:] * _sigmoid(x[:, 2:])),
    ],
)
def test_meanings(function: Callable[[Any], Tensor], reference: Callable[[NDArray], NDArray]) -> None:
    np.testing.assert_allclose(value(function(X)), reference(X), rtol=1e-12, atol=1e-14)


def test_selu_keeps_mean_and_variance() -> None:
    x = np.random.default_rng(0).standard_normal(200_000)
    y = value(act.selu(x))
    assert abs(y.mean()) < 0.01
    assert abs(y.var() - 1) < 0.02


def test_integers_are_taken_as_floats() -> None:
    np.testing.assert_allclose(value(act.silu(np.array([0, 1]))), [0, 1 / (1 + math.exp(-1))])


def test_halves_of_a_symbolic_axis() -> None:
    n = Dim("n")
    x = placeholder("x", (2 * n, 3), "float64")
    assert act.glu(x, axis=0).shape == (n, 3)
    with pytest.raises(ShapeError, match="no two halves"):
        act.glu(placeholder("y", (n, 3)), axis=0)


def test_bad_activations() -> None:
    with pytest.raises(ShapeError, match="no two halves"):
        act.glu(np.ones((2, 3)))
    with pytest.raises(AttributeValueError, match="'beta' is out of range") as caught:
        act.softplus(X, beta=-1)
    assert caught.value.location.file.endswith("test_activations.py")
    with pytest.raises(AttributeValueError, match="'alpha'"):
        act.celu(X, alpha=float("nan"))
    with pytest.raises(ShapeError):
        act.prelu(X, np.ones(3))
