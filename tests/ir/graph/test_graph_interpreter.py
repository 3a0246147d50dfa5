"""The graph interpreter: calls, updates, symbolic dims, and what it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32, I32, DType
from sigmagraph.errors import DimError, InputError, VerifyError
from sigmagraph.ir.graph.builder import Builder
from sigmagraph.ir.graph.graph import Graph
from sigmagraph.ir.graph.interpreter import interpret, requirements
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.location import Location
from sigmagraph.ops.registry import OPS

BATCH = Dim("batch")


def linear() -> Graph:
    """x[batch,3] @ w[3,2], with w - x's first row sums as the new w."""
    graph = Graph("linear")
    x = graph.add_input("x", TensorType(F32, (BATCH, 3)))
    w = graph.add_param("w", TensorType(F32, (3, 2)))
    b = Builder(graph, OPS, Location("m.py", 3))
    graph.add_output("y", b.emit("matmul", x, w))
    graph.add_output("w'", b.emit("sub", w, b.full(1.0, TensorType(F32, (3, 2)))), updates="w")
    return graph


def test_outputs_and_updates_by_name() -> None:
    w = np.ones((3, 2), np.float32)
    for batch in (0, 1, 4):
        got = interpret(linear(), {"x": np.ones((batch, 3), np.float32)}, {"w": w})
        assert list(got) == ["y", "w'"]
        np.testing.assert_array_equal(got["y"], np.full((batch, 2), 3.0, np.float32))
        np.testing.assert_array_equal(got["w'"], np.zeros((3, 2)))
    np.testing.assert_array_equal(w, 1)


def test_outputs_are_fresh_arrays() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(F32, (2,)))
    graph.add_output("same", x)
    given = np.zeros(2, np.float32)
    got = interpret(graph, {"x": given})["same"]
    got[...] = 5
    assert given.sum() == 0


def test_arrays_of_the_same_kind_are_cast() -> None:
    w = np.ones((3, 2))
    got = interpret(linear(), {"x": [[1, 2, 3]]}, {"w": w})
    assert got["y"].dtype == np.float32
    np.testing.assert_array_equal(got["y"], [[6, 6]])


def one(dtype: DType) -> Graph:
    graph = Graph()
    graph.add_output("y", graph.add_input("x", TensorType(dtype, ())))
    return graph


def test_another_kind_of_dtype_is_refused() -> None:
    with pytest.raises(InputError, match="'x' has another kind of dtype"):
        interpret(one(I32), {"x": 1.5})
    with pytest.raises(InputError, match="values that its dtype cannot hold") as caught:
        interpret(one(I32), {"x": 2**40})
    assert caught.value.expected is I32


def test_missing_and_unknown_names() -> None:
    x, w = np.zeros((1, 3)), np.zeros((3, 2))
    with pytest.raises(InputError, match="the input 'x' is missing"):
        interpret(linear(), {}, {"w": w})
    with pytest.raises(InputError, match="there is no input 'z'"):
        interpret(linear(), {"x": x, "z": x}, {"w": w})
    with pytest.raises(InputError, match="the parameter 'w' is missing"):
        interpret(linear(), {"x": x})


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match="'x' has another size along axis 1"):
        interpret(linear(), {"x": np.zeros((2, 4))}, {"w": np.zeros((3, 2))})


def test_requirements_are_listed_once_and_say_where() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(F32, (Dim("n"),)))
    y = graph.add_input("y", TensorType(F32, (Dim("m"),)))
    b = Builder(graph, OPS, Location("m.py", 3, "fc1"))
    graph.add_output("z", b.emit("add", b.emit("mul", x, y), b.emit("mul", x, y)))
    (found,) = requirements(graph)
    assert (found.relation, str(found.left), str(found.right)) == ("==", "n", "m")
    with pytest.raises(DimError, match=r'"m\.py":3 "fc1"'):
        interpret(graph, {"x": np.zeros(2), "y": np.zeros(3)})


def test_a_reference_that_contradicts_inference_is_found() -> None:
    graph = Graph()
    x = graph.add_input("x", TensorType(F32, (2,)))
    wrong = replace(OPS["exp"], reference=lambda inputs, attrs, types: (inputs[0].astype(np.float64),))
    graph.add_output("y", Builder(graph, OPS).emit(wrong, x))
    with pytest.raises(VerifyError, match="does not agree with its inference"):
        interpret(graph, {"x": np.zeros(2)})
