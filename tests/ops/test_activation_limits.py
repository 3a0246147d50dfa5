"""Activations and their slopes where plain formulas overflow, cancel or divide infinities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dtypes import F64, as_dtype
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.opdef import NDArray
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ops.dense import ACTIVATIONS
from sigmagraph.ops.registry import OPS
from sigmagraph.passes.decompose import Decompose
from sigmagraph.passes.manager import PassManager

ELEMENTWISE = [name for name in ACTIVATIONS if name not in ("none", "softmax", "log_softmax")]
# value and slope at minus infinity, value and slope at infinity
LIMITS = {
    "relu": (0, 0, np.inf, 1),
    "relu6": (0, 0, 6, 0),
    "leaky_relu": (-np.inf, 0.01, np.inf, 1),
    "elu": (-1, 0, np.inf, 1),
    "celu": (-1, 0, np.inf, 1),
    "selu": (-1.7580993408473766, 0, np.inf, 1.0507009873554805),
    "sigmoid": (0, 0, 1, 0),
    "log_sigmoid": (-np.inf, 1, 0, 0),
    "softplus": (0, 0, np.inf, 1),
    "softsign": (-1, 0, 1, 0),
    "tanh": (-1, 0, 1, 0),
    "hard_tanh": (-1, 0, 1, 0),
    "hard_sigmoid": (0, 0, 1, 0),
    "hard_swish": (0, 0, np.inf, 1),
    "gelu": (0, 0, np.inf, 1),
    "gelu_tanh": (0, 0, np.inf, 1),
    "silu": (0, 0, np.inf, 1),
    "mish": (0, 0, np.inf, 1),
}


def evaluate(op: str, x: NDArray, **attrs: Any) -> tuple[NDArray, NDArray, NDArray]:
    """Value, slope and second derivative of an op of one element, by the primitives that it decomposes to."""
    graph = Graph()
    value = graph.add_input("x", TensorType(as_dtype(x.dtype), x.shape))
    builder = Builder(graph, OPS)
    y = builder.emit(op, value, **attrs)
    first = gradients(graph, OPS, builder.emit("reduce_sum", y, axes=0), [value])[0]
    second = gradients(graph, OPS, builder.emit("reduce_sum", first, axes=0), [value])[0]
    for name, output in (("y", y), ("first", first), ("second", second)):
        graph.add_output(name, output)
    out = interpret(PassManager((Decompose(),), OPS).run(graph), {"x": x})
    return out["y"], out["first"], out["second"]


def test_every_activation_has_its_limits() -> None:
    assert sorted(LIMITS) == sorted(ELEMENTWISE)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("op", ELEMENTWISE)
def test_values_and_slopes_at_the_ends(op: str, dtype: type) -> None:
    x = np.array([-np.inf, np.inf], dtype)
    y, slope, _ = evaluate(op, x)
    low, low_slope, high, high_slope = LIMITS[op]
    tolerance = 4 * float(np.finfo(dtype).eps)
    np.testing.assert_allclose(y, np.array([low, high], dtype), rtol=tolerance)
    np.testing.assert_allclose(slope, [low_slope, high_slope], rtol=tolerance)


@pytest.mark.parametrize("op", ELEMENTWISE)
def test_nan_stays_nan_and_great_numbers_have_finite_slopes(op: str) -> None:
    assert np.isnan(evaluate(op, np.array([np.nan], np.float32))[0]).all()
    x = np.array([-3e38, -1e4, -300, -60, -20, -1e-40, 0, 1e-40, 20, 60, 300, 1e4, 3e38], np.float32)
    for result in evaluate(op, x):
        assert np.isfinite(result).all()


@pytest.mark.parametrize("op", [op for op in ELEMENTWISE if op not in ("sigmoid", "tanh")])
def test_slopes_are_those_of_the_values(op: str) -> None:
    x = np.linspace(-7.93, 7.9, 60)  # no kink is among them
    step = 1e-5
    slope = (evaluate(op, x + step)[0] - evaluate(op, x - step)[0]) / (2 * step)
    np.testing.assert_allclose(evaluate(op, x)[1], slope, rtol=1e-8, atol=1e-9)
    bend = (evaluate(op, x + step)[1] - evaluate(op, x - step)[1]) / (2 * step)
    np.testing.assert_allclose(evaluate(op, x)[2], bend, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("op", "bend"), [("softplus", 0.25), ("log_sigmoid", -0.25), ("mish", 0.64), ("silu", 0.5), ("gelu", 0.7978845608)]
)
def test_smooth_functions_are_smooth_at_zero(op: str, bend: float) -> None:
    """The decompositions use |x|; derivatives do not see its kink."""
    np.testing.assert_allclose(evaluate(op, np.zeros(1))[2], [bend], rtol=1e-9)


def test_small_results_keep_their_digits() -> None:
    x = np.array([-30.0, -8.0, -5.0], np.float32)
    np.testing.assert_allclose(evaluate("softplus", x)[0], np.log1p(np.exp(x.astype(np.float64))), rtol=1e-6)
    np.testing.assert_allclose(evaluate("gelu", x[1:])[0], [v * math.erfc(-v / 2**0.5) / 2 for v in x[1:]], rtol=1e-5)
    np.testing.assert_allclose(evaluate("elu", np.array([-1e-6], np.float32))[0], [-1e-6], rtol=1e-6)
    np.testing.assert_allclose(evaluate("hard_sigmoid", np.array([-2.99], np.float32))[0], [0.01 / 6], rtol=1e-4)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_dense_layer_ends_in_any_activation(name: str) -> None:
    rng = np.random.default_rng(2)
    shapes = {"x": (2, 3), "weights": (3, 5), "bias": (5,)}
    graph = Graph()
    builder = Builder(graph, OPS)
    x, weights, bias = (graph.add_input(n, TensorType(F64, s)) for n, s in shapes.items())
    plain = builder.emit("add", builder.emit("matmul", x, weights), builder.emit("broadcast", bias, shape=(2, 5)))
    graph.add_output("dense", builder.emit("dense", x, weights, bias, activation=name))
    graph.add_output("expected", plain if name == "none" else builder.emit(name, plain))
    arrays = {n: rng.standard_normal(s) * 3 for n, s in shapes.items()}
    for stage in (graph, PassManager((Decompose(),), OPS).run(graph)):
        out = interpret(stage, arrays)
        np.testing.assert_allclose(out["dense"], out["expected"], rtol=1e-12, atol=1e-15)
