"""Gradients of elementwise ops where they are not smooth, and identities that hold to the last bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from sigmagraph.autodiff.vjp import gradients
from sigmagraph.dtypes import F64
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ops.registry import OPS

INF, NAN = np.inf, np.nan


def slopes(op: str, *operands: Sequence[float]) -> list[np.ndarray]:
    """The derivatives of every element of an op by its operands at the same place."""
    graph = Graph("slopes")
    arrays = {f"x{i}": np.array(x, np.float64) for i, x in enumerate(operands)}
    values = [graph.add_input(name, TensorType(F64, x.shape)) for name, x in arrays.items()]
    builder = Builder(graph, OPS)
    total = builder.emit("reduce_sum", builder.emit(op, *values), axes=(0,))
    for number, gradient in enumerate(gradients(graph, OPS, total, values)):
        graph.add_output(f"g{number}", gradient)
    out = interpret(graph, arrays)
    return [out[f"g{i}"] for i in range(len(operands))]


@pytest.mark.parametrize(
    ("op", "operands", "expected"),
    [
        # On the bounds the gradient is that of the inside; a bound has it where it is the result.
        (
            "clamp",
            [[-1.0, 0.0, 0.5, 1.0, 2.0, 0.5], [0.0, 0.0, 0.0, 0.0, 0.0, 2.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]],
            [[0.0, 1.0, 1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.0, 1.0, 1.0]],
        ),
        ("hypot", [[0.0, 3.0, 0.0], [0.0, 4.0, -2.0]], [[0.0, 0.6, 0.0], [0.0, 0.8, -1.0]]),
        ("copysign", [[0.0, 2.0, -2.0, 2.0], [1.0, -1.0, 3.0, -0.0]], [[0.0, -1.0, -1.0, -1.0], [0.0] * 4]),
        ("sign", [[-2.0, 0.0, 2.0]], [[0.0, 0.0, 0.0]]),
        ("trunc", [[-2.5, 0.0, 2.0]], [[0.0, 0.0, 0.0]]),
        ("remainder", [[5.0, -5.0], [3.0, 3.0]], [[1.0, 1.0], [-1.0, 2.0]]),
        ("floor_divide", [[5.0, 6.0], [3.0, 3.0]], [[0.0, 0.0], [0.0, 0.0]]),
        ("power", [[0.0, 0.0, 0.0, 2.0], [0.0, 1.0, 2.0, 0.0]], [[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, np.log(2.0)]]),
        ("power", [[-2.0, -2.0], [3.0, 2.0]], [[12.0, -4.0], [NAN, NAN]]),
        ("logaddexp", [[INF, -INF, 2.0, -INF], [INF, -INF, 2.0, 1.0]], [[0.5, 0.5, 0.5, 0.0], [0.5, 0.5, 0.5, 1.0]]),
        ("asin", [[0.0, 1.0]], [[1.0, INF]]),
        ("acosh", [[1.0, 0.5]], [[INF, NAN]]),
        ("rsqrt", [[4.0, 0.0]], [[-0.0625, -INF]]),
        ("reciprocal", [[2.0, 0.0]], [[-0.25, -INF]]),
        ("erf", [[0.0, 40.0]], [[2 / np.sqrt(np.pi), 0.0]]),
        ("expm1", [[0.0, -INF]], [[1.0, 0.0]]),
    ],
)
def test_gradients_at_kinks_and_poles(op: str, operands: list[list[float]], expected: list[list[float]]) -> None:
    for got, want in zip(slopes(op, *operands), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-14)


def test_exponents_of_zero_keep_second_derivatives_finite() -> None:
    """What ``select`` leaves out must not become NaN when it is multiplied by 0."""
    graph = Graph("second")
    x, y = (graph.add_input(name, TensorType(F64, (3,))) for name in "xy")
    builder = Builder(graph, OPS)
    total = builder.emit("reduce_sum", builder.emit("power", x, y), axes=(0,))
    first = gradients(graph, OPS, total, [x, y])
    both = builder.emit("add", *(builder.emit("reduce_sum", g, axes=(0,)) for g in first))
    for name, gradient in zip("ab", gradients(graph, OPS, both, [x, y]), strict=True):
        graph.add_output(name, gradient)
    out = interpret(graph, {"x": np.array([0.0, 0.0, 2.0]), "y": np.array([3.0, 2.0, 0.0])})
    assert np.isfinite(out["a"]).all()
    assert np.isfinite(out["b"]).all()
    np.testing.assert_allclose(out["a"][2], 0.5)  # d/dx (y x^(y-1) + x^y log x) at (2, 0)
