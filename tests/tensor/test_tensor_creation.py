from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.dims import Dim
from sigmagraph.dtypes import BOOL, F32, F64, I32, I64, U8
from sigmagraph.errors import DTypeError, ShapeError

N, M = Dim("n"), Dim("m")
# NumPy's function of the same name is called with the same arguments and gives the same type.
CALLS: list[tuple[str, tuple[Any, ...]]] = [
    ("zeros", ((2, 3), "float32")),
    ("ones", (4, "int8")),
    ("full", ((2, 3), 7)),
    ("full", ((2, 3), np.array([1.0, 2.0, 3.0]))),
    ("full", ((2, 3), 2.5, "float64")),
    ("full", ((), True)),
    ("zeros_like", (np.ones((2, 3), np.uint8),)),
    ("ones_like", (np.zeros((0, 3)),)),
    ("full_like", (np.zeros((3, 2), np.int16), -4)),
    ("full_like", (np.zeros((3, 2)), 3, "int32")),
    ("arange", (5,)),
    ("arange", (2, 11, 3)),
    ("arange", (11, 2, -4)),
    ("arange", (3, 3)),
    ("arange", (0, 4, -1)),
    ("arange", (6, 250, 9, "uint8")),
    ("arange", (1.5, 3.0, 0.25, "float64")),
    ("arange", (3.0, 0.1, -0.25, "float64")),
    ("eye", (3, None, 0, "float64")),
    ("eye", (3, 5, 2, "int64")),
    ("eye", (4, 2, -1, "float32")),
    ("tri", (3, None, 0, "float32")),
    ("tri", (3, 5, -1, "int32")),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=str)
def test_functions_are_those_of_numpy(name: str, arguments: tuple[Any, ...]) -> None:
    got, expected = value(getattr(sg, name)(*arguments)), getattr(np, name)(*arguments)
    np.testing.assert_allclose(got, expected, rtol=1e-15, strict=True)


@pytest.mark.parametrize("arguments", [(0, 1), (-2, 3, 7), (5, 1, 4, False), (0, 1, 1), (2, 3, 0)], ids=str)
def test_linspace_is_that_of_numpy(arguments: tuple[Any, ...]) -> None:
    expected = np.linspace(*arguments)
    np.testing.assert_allclose(value(sg.linspace(*arguments)), expected, rtol=1e-15, atol=1e-15, strict=True)
    start, stop, *rest = arguments
    narrow = value(sg.linspace(float(start), float(stop), *rest))
    np.testing.assert_allclose(narrow, expected.astype(np.float32), rtol=3e-7, atol=1e-7, strict=True)


def test_linspace_between_tensors_meets_both_ends_and_has_gradients() -> None:
    a, b = sg.placeholder("a", (), "float64"), sg.placeholder("b", (), "float64")
    line = sg.linspace(a, b, 8)
    da, db = sg.gradients((line * np.arange(8.0)).sum(), [a, b])
    inputs = {a: np.float64(0.1), b: np.float64(-0.7)}
    got = value(line, inputs)
    assert (got[0], got[-1]) == (0.1, -0.7)
    np.testing.assert_allclose(got, np.linspace(0.1, -0.7, 8), rtol=1e-14, atol=1e-16)
    ways = np.linspace(0, 1, 8)
    np.testing.assert_allclose(value(da, inputs), (np.arange(8) * (1 - ways)).sum(), rtol=1e-14)
    np.testing.assert_allclose(value(db, inputs), (np.arange(8) * ways).sum(), rtol=1e-14)


def test_types_without_a_dtype() -> None:
    assert (sg.zeros(2).dtype, sg.ones(2).dtype, sg.eye(2).dtype) == (F32, F32, F32)
    assert (sg.full(2, 1.5).dtype, sg.full(2, 1).dtype, sg.full(2, np.float64(1)).dtype) == (F32, I64, F64)
    assert (sg.arange(3).dtype, sg.arange(3.0).dtype, sg.arange(N, dtype="int32").dtype) == (I64, F32, I32)
    assert (sg.zeros_like(np.ones(2, np.bool_)).dtype, sg.ones_like(np.ones(2), "uint8").dtype) == (BOOL, U8)


def test_floats_of_a_sequence_are_rounded_once() -> None:
    got = value(sg.arange(0.0, 1000.0, 0.1))
    np.testing.assert_array_equal(got, np.arange(0.0, 1000.0, 0.1).astype(np.float32), strict=True)


def test_compiled_functions_of_symbolic_sizes() -> None:
    x = sg.placeholder("x", (N, M), "float64")
    outputs = {
        "zeros": sg.zeros_like(x),
        "full": sg.full((M, 2, N), 3),
        "arange": sg.arange(N),
        "odd": sg.arange(1, N * M, 2),
        "between": sg.arange(N, N + M, dtype="float64"),
        "eye": sg.eye(N, M, 1),
        "tri": sg.tri(M, N, -1, "int32"),
        "sum": x + sg.arange(M),
    }
    f = sg.compile([x], outputs)
    for n, m in ((5, 3), (2, 4)):
        array = np.random.default_rng(1).normal(size=(n, m))
        expected = {
            "zeros": np.zeros((n, m)),
            "full": np.full((m, 2, n), 3),
            "arange": np.arange(n),
            "odd": np.arange(1, n * m, 2),
            "between": np.arange(n, n + m, dtype=np.float64),
            "eye": np.eye(n, m, 1, dtype=np.float32),
            "tri": np.tri(m, n, -1, np.int32),
            "sum": array + np.arange(m),
        }
        for name, got in f(array).items():
            np.testing.assert_array_equal(got, expected[name], strict=True)


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda: sg.zeros((2, -1)), ShapeError, "negative"),
        (lambda: sg.full((2, 3), [1, 2]), ShapeError, "differ"),
        (lambda: sg.full(3, 1.5, "int32"), DTypeError, "does not fit"),
        (lambda: sg.ones(3, "float31"), DTypeError, "no such element type"),
        (lambda: sg.arange(1, 5, 0), ShapeError, "no step"),
        (lambda: sg.arange("3"), ShapeError, "no bounds"),  # type: ignore[arg-type]
        (lambda: sg.arange(N, 0, -1), ShapeError, "goes upwards"),
        (lambda: sg.arange(0.5, N), ShapeError, "goes upwards"),
        (lambda: sg.linspace(0, 1, -1), ShapeError, "no number of numbers"),
        (lambda: sg.linspace(0, 1, 2.5), ShapeError, "no number of numbers"),  # type: ignore[arg-type]
        (lambda: sg.linspace([0, 1], 1), ShapeError, "no number"),
        (lambda: sg.eye(-1), ShapeError, "negative"),
    ],
)
def test_wrong_uses_are_refused(use: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        use()
