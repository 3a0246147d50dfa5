from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

from sigmagraph.dims import Dim
from sigmagraph.dtypes import BOOL, F16, F32, F64, I32, I64
from sigmagraph.errors import AttributeValueError, DimError, DTypeError, GraphError, ShapeError
from sigmagraph.tensor.functions import constant, parameter, placeholder
from sigmagraph.tensor.tensor import Tensor

N = Dim("n")


def _array(dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    array = np.random.default_rng(7).uniform(-4, 4, shape)
    return array > 0 if dtype == "bool" else array.astype(dtype)


# Each formula is applied to arrays and to tensors of the same dtype and shape.
FORMULAS: list[tuple[str, Callable[..., Any], tuple[tuple[str, tuple[int, ...]], ...]]] = [
    ("add", lambda a, b: a + b, (("float32", (2, 3)), ("float32", (3,)))),
    ("add promotes", lambda a, b: a + b, (("float32", (2, 1)), ("int32", (3,)))),
    ("sub", lambda a, b: a - b, (("int32", (2, 3)), ("int64", (2, 1)))),
    ("mul", lambda a, b: a * b, (("float16", (2, 3)), ("float32", ()))),
    ("mask", lambda a, b: a * b, (("bool", (2, 3)), ("float32", (3,)))),
    ("div", lambda a, b: a / b, (("float32", (2, 3)), ("float64", (3,)))),
    ("div of ints", lambda a, b: a / (b * b + 1), (("int32", (2, 3)), ("int32", (3,)))),
    ("numbers left", lambda a: 2 - 3 * a + 1 / (a * a + 1), (("float32", (4,)),)),
    ("numbers right", lambda a: (a + 1.5) * 2 - 0.25, (("float32", (4,)),)),
    ("float number and ints", lambda a: a * 0.5, (("int32", (4,)),)),
    ("int number and bools", lambda a: a + 2, (("bool", (4,)),)),
    ("array left", lambda a: np.arange(3, dtype=np.float32) * a, (("float32", (2, 3)),)),
    ("NumPy scalars are strong", lambda a: a * np.float64(2), (("float32", (3,)),)),
    ("square", lambda a: a**2, (("float32", (3, 2)),)),
    ("cube of ints", lambda a: a**3, (("int64", (3,)),)),
    ("whole float powers", lambda a: a**2.0, (("float32", (3,)),)),
    ("whole float powers of ints", lambda a: a**3.0, (("int32", (3,)),)),
    ("inverse", lambda a: a**-1, (("float32", (5,)),)),
    ("root", lambda a: (a * a) ** 0.5, (("float64", (5,)),)),
    ("signs", lambda a: abs(-a) + +a, (("float32", (5,)),)),
    ("less", lambda a, b: a < b, (("float32", (2, 3)), ("int32", (3,)))),
    ("at most a number", lambda a: a <= 1, (("int32", (5,)),)),
    ("greater", lambda a, b: (a > b) | (a >= 2 * b), (("float32", (2, 3)), ("float32", (3,)))),
    ("logic", lambda a, b: ~a & b ^ (a | b), (("bool", (2, 3)), ("bool", (3,)))),
    ("bits", lambda a, b: (a & b) ^ ~a, (("int32", (2, 3)), ("int32", (3,)))),
    ("logic with a number", lambda a: True & a | False ^ a, (("bool", (3,)),)),
    ("matrices", lambda a, b: a @ b, (("float64", (2, 3)), ("float64", (3, 4)))),
    ("matrix and vector", lambda a, b: a @ b, (("float64", (2, 3)), ("float64", (3,)))),
    ("vector and matrix", lambda a, b: a @ b, (("float64", (3,)), ("float64", (3, 4)))),
    ("vectors", lambda a, b: a @ b, (("float64", (3,)), ("float64", (3,)))),
    ("stack and matrix", lambda a, b: a @ b, (("float64", (5, 2, 3)), ("float64", (3, 4)))),
    ("stack and vector", lambda a, b: a @ b, (("float64", (5, 2, 3)), ("float64", (3,)))),
    ("vector and stack", lambda a, b: a @ b, (("float64", (3,)), ("float64", (5, 3, 4)))),
    ("matrix and stack", lambda a, b: a @ b, (("float64", (2, 3)), ("float64", (5, 3, 4)))),
    ("stacks", lambda a, b: a @ b, (("float64", (5, 1, 2, 3)), ("float64", (7, 3, 4)))),
    ("product promotes", lambda a, b: a @ b, (("int32", (2, 3)), ("float64", (3, 4)))),
    ("array product", lambda a: np.eye(3, dtype=np.float32) @ a, (("float32", (3, 2)),)),
    ("part", lambda a: a[1, ..., ::2, None], (("float32", (3, 4, 5)),)),
    ("empty part", lambda a: a[3:1], (("float32", (5, 2)),)),
    ("reshape", lambda a: a.reshape(4, -1).reshape((2, 2, 3)), (("float32", (3, 4)),)),
    ("transpose", lambda a: a.transpose(1, 2, 0).T, (("float32", (2, 3, 4)),)),
    ("transpose of a tuple", lambda a: a.transpose((1, 0)).transpose(), (("float32", (2, 3)),)),
    ("sum", lambda a: a.sum(), (("float64", (2, 3)),)),
    ("sum along axes", lambda a: a.sum(axis=(0, -1)), (("float64", (2, 3, 4)),)),
    ("sum of ints", lambda a: a.sum(axis=1, keepdims=True), (("int32", (2, 3)),)),
    ("sum of bools", lambda a: a.sum(), (("bool", (2, 3)),)),
    ("mean", lambda a: a.mean(axis=0), (("float64", (2, 3)),)),
    ("mean of bools", lambda a: a.mean(), (("bool", (2, 3)),)),
    ("extremes", lambda a: a.max(axis=1) - a.min(), (("float32", (2, 3)),)),
    ("argmax", lambda a: a.argmax(axis=-1), (("float32", (4, 5)),)),
    ("flat argmax", lambda a: a.argmax(), (("float32", (4, 5)),)),
    ("argmax keeps axes", lambda a: a.argmax(keepdims=True), (("float32", (4, 5)),)),
]


@pytest.mark.parametrize(("formula", "operands"), [pytest.param(*f[1:], id=f[0]) for f in FORMULAS])
def test_operators_are_those_of_numpy(formula: Callable[..., Any], operands: tuple[Any, ...]) -> None:
    arrays = [_array(dtype, *shape) for dtype, shape in operands]
    tensors = [placeholder(f"x{i}", a.shape, a.dtype) for i, a in enumerate(arrays)]
    expected = np.asarray(formula(*arrays))
    got = value(formula(*tensors), dict(zip(tensors, arrays, strict=True)))
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got, expected, rtol=1e-6, strict=True)


def test_elements_are_compared_by_methods_and_tensors_by_identity() -> None:
    x = constant([1.0, 2.0])
    np.testing.assert_array_equal(value(x.equal([1.0, 3.0])), [True, False])
    np.testing.assert_array_equal(value(x.not_equal(2)), [True, False])
    other = constant([1.0, 2.0])
    assert x == x
    assert x != other
    assert {x: 1, other: 2}[x] == 1


def test_a_tensor_says_what_it_is() -> None:
    x = placeholder("x", (N, 3), "int32")
    assert (x.shape, x.dtype, x.ndim, x.name) == ((N, 3), I32, 2, "x")
    assert repr(x) == "Tensor(x: i32[n,3])"
    assert repr(x + 1) == "Tensor(i32[n,3])"
    assert (x + 1).name == ""
    assert x.location.file == "test_tensor_operators.py"


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (bool, "neither true nor false"),
        (list, "cannot be iterated over"),
        (np.asarray, "is no array"),
        (lambda x: 1.0 in x, "cannot be iterated over"),
    ],
)
def test_a_tensor_has_no_elements(use: Callable[[Tensor], Any], message: str) -> None:
    with pytest.raises(GraphError, match=message) as caught:
        use(placeholder("x", (3,)))
    assert "test_tensor_operators.py" in str(caught.value)


def test_symbolic_sizes_flow_through_everything() -> None:
    x = placeholder("x", (N, 2, 3))
    y = (x.reshape(N, -1) @ np.ones((6, 4), np.float32))[1:-1].T.sum(axis=1)
    assert x.reshape(-1, 3).shape == (2 * N, 3)
    assert x[:, 0].shape == (N, 3)
    assert (x + x[:1]).shape[1:] == (2, 3)
    for n in (2, 3, 7):
        array = _array("float32", n, 2, 3)
        expected = (array.reshape(n, 6) @ np.ones((6, 4), np.float32))[1:-1].T.sum(axis=1)
        np.testing.assert_allclose(value(y, {x: array}), expected, rtol=1e-5)


def test_what_only_the_call_can_decide_is_checked_there() -> None:
    x, y = placeholder("x", (N,)), placeholder("y", (Dim("m"),))
    total, last = x + y, x[-3:]
    np.testing.assert_array_equal(value(total, {x: [1.0, 2.0], y: [3.0, 4.0]}), [4, 6])
    with pytest.raises(DimError, match="axis 0") as caught:
        value(total, {x: [1.0, 2.0], y: [3.0]})
    assert "test_tensor_operators.py" in str(caught.value)
    with pytest.raises(DimError, match="starts before the axis"):
        value(last, {x: [1.0, 2.0]})


def test_one_matrix_serves_a_whole_stack_without_being_repeated() -> None:
    product = placeholder("x", (N, 5, 3)) @ parameter("w", np.ones((3, 4), np.float32))
    graph, _ = product.resolve()
    assert [node.op.name for node in graph.nodes() if node.inputs] == ["reshape", "matmul", "reshape"]
    assert product.shape == (N, 5, 4)


def test_nothing_is_inserted_where_nothing_is_needed() -> None:
    x = placeholder("x", (N, 3))
    assert x.astype("float32") is x
    assert x.reshape(-1, 3) is x
    assert x[...] is x
    assert x[:, :3] is x


@pytest.mark.parametrize(
    ("number", "dtype"), [(300, "uint8"), (2**31, "int32"), (1e39, "float32"), (-1, "uint8"), (1e5, "float16")]
)
def test_numbers_that_do_not_fit_are_refused(number: float, dtype: str) -> None:
    with pytest.raises(DTypeError, match="does not fit"):
        placeholder("x", (2,), dtype) + number


def test_infinite_numbers_fit_every_float() -> None:
    x = placeholder("x", (), "float16")
    assert value(x + float("-inf"), {x: np.float16(1)}) == -np.inf


@pytest.mark.parametrize("exponent", ["2", None, 1j, [1, 2, 3]])
def test_powers_are_numbers_that_fit(exponent: Any) -> None:
    with pytest.raises((DTypeError, ShapeError)) as caught:
        placeholder("x", (2,)) ** exponent
    assert "test_tensor_operators.py" in str(caught.value)


def test_ints_are_not_raised_to_tensors_of_ints() -> None:
    x = placeholder("x", (2,), "int32")
    with pytest.raises(DTypeError, match="takes floats"):
        x**x
    with pytest.raises(AttributeValueError, match="out of range"):
        x**-1


@pytest.mark.parametrize(
    ("wrong", "error", "message"),
    [
        (lambda x: x + np.ones(4), ShapeError, "broadcast together"),
        (lambda x: x @ np.ones((4, 2)), ShapeError, "columns of the first and the rows"),
        (lambda x: x @ 2.0, ShapeError, "takes no scalars"),
        (lambda x: x.reshape(2, 1, 3) @ np.ones((5, 3, 4)), ShapeError, "broadcast together"),
        (lambda x: x + "a", DTypeError, "no such element type"),
        (lambda x: x * [[1.0], [2.0, 3.0]], DTypeError, "no array of numbers"),
        (lambda x: x & x, DTypeError, "integers or bools"),
        (lambda x: x.astype("float31"), DTypeError, "no such element type"),
        (lambda x: x.sum(axis=2), ShapeError, "no such axis"),
        (lambda x: x.mean(axis=(0, 0)), ShapeError, "named twice"),
        (lambda x: x.transpose(0, 0), ShapeError, "named twice"),
        (lambda x: x.transpose(0), ShapeError, "left out"),
        (lambda x: x.reshape(4, 2), ShapeError, "numbers of elements"),
        (lambda x: x[2], ShapeError, "out of range"),
        (lambda x: x[x > 0], ShapeError, "a mask selects"),
    ],
)
def test_errors_name_the_line(wrong: Callable[[Tensor], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        wrong(placeholder("x", (2, 3)))
    assert '"test_tensor_operators.py":' in str(caught.value)


def test_dtypes_of_constants_and_parameters() -> None:
    assert constant(1.5).dtype is F32
    assert constant([1, 2]).dtype is I64
    assert constant(True).dtype is BOOL
    assert constant(np.ones(2)).dtype is F64
    assert constant(np.float16(1)).dtype is F16
    assert constant([1, 2], "float32").dtype is F32
    assert constant(np.arange(3, dtype=">f4")).dtype is F32
    np.testing.assert_array_equal(value(constant(np.arange(3, dtype=">i2"))), [0, 1, 2])
    assert parameter("p", [0.5]).dtype is F32
    assert parameter("p", np.zeros(3)).dtype is F64


@pytest.mark.parametrize("wrong", [1j, "text", [None], np.zeros(2, "datetime64[s]"), np.ones(3, np.uint32)])
def test_constants_are_numbers(wrong: Any) -> None:
    with pytest.raises(DTypeError):
        constant(wrong)


@pytest.mark.parametrize(("number", "dtype"), [(1.5, "int32"), (2, "bool"), (-1, "uint8"), (1e300, "float32")])
def test_constants_fit_their_dtype(number: Any, dtype: str) -> None:
    with pytest.raises(DTypeError, match="does not fit"):
        constant(number, dtype)
