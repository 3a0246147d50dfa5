from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, IndexRangeError, InputError, ShapeError
from sigmagraph.tensor.tensor import Tensor

N, M = Dim("n"), Dim("m")
A = np.random.default_rng(4).normal(size=(3, 4, 5))
# NumPy's function of the same name is called with the same arguments.
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("reshape", {"shape": (6, -1)}),
    ("reshape", {"shape": 60}),
    ("ravel", {}),
    ("expand_dims", {"axis": 1}),
    ("expand_dims", {"axis": (0, -1, 2)}),
    ("transpose", {}),
    ("transpose", {"axes": (1, -1, 0)}),
    ("swapaxes", {"axis1": 0, "axis2": -1}),
    ("moveaxis", {"source": 0, "destination": -1}),
    ("moveaxis", {"source": (0, 2), "destination": (1, 0)}),
    ("flip", {}),
    ("flip", {"axis": (0, -1)}),
    ("roll", {"shift": 7}),
    ("roll", {"shift": -1, "axis": 1}),
    ("roll", {"shift": 4, "axis": 1}),
    ("roll", {"shift": (1, 2, -9), "axis": (0, 2, 2)}),
    ("tile", {"reps": 2}),
    ("tile", {"reps": (2, 1, 3, 1)}),
    ("repeat", {"repeats": 3}),
    ("repeat", {"repeats": 2, "axis": -2}),
    ("tril", {}),
    ("triu", {"k": 2}),
    ("tril", {"k": -1}),
    ("diagonal", {}),
    ("diagonal", {"offset": -2, "axis1": 2, "axis2": 0}),
    ("diagonal", {"offset": 9}),
    ("trace", {"offset": 1, "axis1": 1, "axis2": 2}),
    *[
        ("pad", {"pad_width": width, "mode": mode})
        for mode in ("constant", "edge", "reflect", "symmetric", "wrap")
        for width in (2, (0, 1), ((1, 0), (3, 2), (0, 0)), ((7, 5), (0, 11), (17, 1)))
    ],
    ("pad", {"pad_width": 1, "constant_values": -1.5}),
]


@pytest.mark.parametrize(("name", "arguments"), CALLS, ids=str)
def test_functions_are_those_of_numpy(name: str, arguments: dict[str, Any]) -> None:
    x = sg.placeholder("x", A.shape, "float64")
    y = getattr(sg, name)(x, **arguments)
    expected = getattr(np, name)(A, **arguments)
    np.testing.assert_array_equal(value(y, {x: A}), expected, strict=True)
    assert y.shape == expected.shape


@pytest.mark.parametrize(("name", "arguments"), [c for c in CALLS if "shape" not in c[1] and c[1] != {}], ids=str)
def test_gradients_carry_each_cotangent_to_the_element_it_came_from(name: str, arguments: dict[str, Any]) -> None:
    """These functions are linear: the transpose of one, applied to weights, is what inner products demand."""
    x, w = sg.placeholder("x", A.shape, "float64"), sg.placeholder("w", A.shape, "float64")
    y = getattr(sg, name)(x, **arguments)
    if name == "pad":
        arguments = arguments | {"constant_values": 0}
    weights = sg.constant(np.random.default_rng(1).normal(size=y.shape))
    (back,) = sg.gradients((y * weights).sum(), [x])
    linear = getattr(sg, name)(w, **arguments)
    B = np.random.default_rng(2).normal(size=A.shape)
    both = value(sg.stack([(back * w).sum(), (linear * weights).sum()]), {x: A, w: B})
    np.testing.assert_allclose(both[0], both[1], rtol=1e-12)


SYMBOLIC: list[tuple[Callable[[Any], Any], Callable[[Any], Any]]] = [
    (sg.flip, np.flip),
    (lambda x: x[::-1, ::-2], lambda x: x[::-1, ::-2]),
    (lambda x: x[-2:0:-1], lambda x: x[-2:0:-1]),
    (lambda x: sg.roll(x, (1, -2), (0, 1)), lambda x: np.roll(x, (1, -2), (0, 1))),
    (lambda x: sg.roll(x, 3), lambda x: np.roll(x, 3)),
    (lambda x: sg.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3))),
    (lambda x: sg.repeat(x, 3, 0), lambda x: np.repeat(x, 3, 0)),
    (lambda x: sg.concatenate(sg.split(sg.tile(x, 2), 2, 1)), lambda x: np.tile(x, (2, 1))),
    (lambda x: sg.concatenate(sg.split(x, [1, 2])[::-1]), lambda x: np.concatenate(np.split(x, [1, 2])[::-1])),
    (lambda x: sg.expand_dims(sg.swapaxes(x, 0, 1), 0), lambda x: x.T[None]),
    (lambda x: sg.ravel(sg.squeeze(x[:, None])), np.ravel),
    *[
        (lambda x, m=m: sg.pad(x, ((1, 2), (3, 0)), m), lambda x, m=m: np.pad(x, ((1, 2), (3, 0)), m))
        for m in ("constant", "edge", "reflect", "symmetric", "wrap")
    ],
    (lambda x: sg.pad(x, ((0, N), (0, 0)), "edge"), lambda x: np.pad(x, ((0, len(x)), (0, 0)), "edge")),
    (lambda x: sg.tril(x, 1), lambda x: np.tril(x, 1)),
    (lambda x: sg.triu(x, -1), lambda x: np.triu(x, -1)),
    (sg.diagonal, np.diagonal),
    (lambda x: sg.diagonal(x, -1), lambda x: np.diagonal(x, -1)),
    (lambda x: sg.diag(x[:, 0], 2), lambda x: np.diag(x[:, 0], 2)),
    (lambda x: sg.diag(x[0] > 0, -1), lambda x: np.diag(x[0] > 0, -1)),
    (lambda x: sg.trace(x @ sg.transpose(x)), lambda x: np.trace(x @ x.T)),
]


@pytest.mark.parametrize(("function", "reference"), SYMBOLIC)
def test_compiled_functions_of_symbolic_sizes(function: Callable[[Any], Any], reference: Callable[[Any], Any]) -> None:
    x = sg.placeholder("x", (N, M), "float64")
    compiled = sg.compile([x], {"y": function(x)})
    for shape in ((5, 7), (6, 4)):
        array = np.random.default_rng(5).normal(size=shape)
        np.testing.assert_allclose(compiled(array)["y"], reference(array), rtol=1e-13, strict=True)


def test_a_symbolic_axis_must_hold_what_is_copied_from_it() -> None:
    x = sg.placeholder("x", (N,), "float64")
    mirrored = sg.compile([x], {"y": sg.pad(x, 3, "reflect")})
    np.testing.assert_array_equal(mirrored(np.arange(4.0))["y"], np.pad(np.arange(4.0), 3, "reflect"))
    with pytest.raises(InputError):
        mirrored(np.arange(3.0))


def test_borders_of_one_element() -> None:
    one = np.array([[7.0, 8.0]])
    for mode in ("edge", "reflect", "symmetric", "wrap"):
        np.testing.assert_array_equal(value(sg.pad(one, (3, 2), mode)), np.pad(one, (3, 2), mode))


def test_split_gives_the_parts_of_numpy() -> None:
    for argument, axis in ((2, 1), (3, 0), ([1, 3], -1), ([2], 1)):
        parts = sg.split(A, argument, axis)
        expected = np.split(A, argument, axis)
        assert len(parts) == len(expected)
        for part, array in zip(parts, expected, strict=True):
            np.testing.assert_array_equal(value(part), array, strict=True)


def test_squeeze() -> None:
    x = A[:, None, :, :1]
    for axis in (None, 1, -1, (1, 3)):
        np.testing.assert_array_equal(value(sg.squeeze(x, axis)), np.squeeze(x, axis), strict=True)
    assert sg.squeeze(sg.placeholder("x", (1, N))).shape == (N,)


# ---- one axis by integers


@pytest.mark.parametrize(
    "key",
    [
        [0, 2, -1],
        (slice(None), [[3, 0], [1, -4]]),
        (..., np.array([4, 4, 0], np.uint8)),
        (1, [0, 2]),
        ([0, 2], -1),
        (slice(1, None), None, [2, 1], slice(None, None, -2)),
        (..., np.array(3)),
        ([],),
    ],
    ids=str,
)
def test_arrays_and_lists_index_as_in_numpy(key: Any) -> None:
    got = value(sg.constant(A)[key])
    np.testing.assert_array_equal(got, A[np.array([], np.int64)] if key == ([],) else A[key], strict=True)


def test_tensors_index_from_the_front() -> None:
    x, i = sg.placeholder("x", (N, 4), "float64"), sg.placeholder("i", (M,), "int32")
    f = sg.compile([x, i], {"rows": x[i], "columns": x[1:, i], "slope": sg.gradients((x[i] ** 2).sum(), [x])[0]})
    array, places = A[..., 0], np.array([2, 0, 2], np.int32)
    got = f(array, places)
    np.testing.assert_array_equal(got["rows"], array[places])
    np.testing.assert_array_equal(got["columns"], array[1:, places])
    np.testing.assert_allclose(got["slope"], array * [[2], [0], [4]], rtol=1e-15)
    for wrong in (-1, 3):
        with pytest.raises(IndexRangeError, match="out of range"):
            f(array, np.array([0, wrong], np.int32))


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ([0, 3], "out of range"),
        ([-4], "out of range"),
        ([0.5], "no integers"),
        ([True, False, True], "a mask selects"),
        (np.ones(3, np.bool_), "a mask selects"),
        (([0], [1]), "only one axis"),
        ((0, slice(None), [1]), "only one axis"),
        ((0, None, [1]), "only one axis"),
        ((0, 0, 0, [1]), "more indices than axes"),
    ],
    ids=str,
)
def test_index_arrays_are_refused(key: Any, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        _ = sg.constant(A)[key]
    with pytest.raises(ShapeError, match="end of a symbolic size"):
        _ = sg.placeholder("x", (N,))[[-1]]


# ---- wrong uses


@pytest.mark.parametrize(
    ("use", "error", "message"),
    [
        (lambda x: sg.expand_dims(x, 4), ShapeError, "no such axis"),
        (lambda x: sg.expand_dims(x, 0.5), ShapeError, "no such axis"),  # type: ignore[arg-type]
        (lambda x: sg.expand_dims(x, (0, 0)), ShapeError, "named twice"),
        (lambda x: sg.squeeze(x, 0), ShapeError, "axis 0 cannot be left out"),
        (lambda x: sg.swapaxes(x, 0, 3), ShapeError, "no such axis"),
        (lambda x: sg.moveaxis(x, (0, 1), 0), ShapeError, "moved to one place"),
        (lambda x: sg.flip(x, 3), ShapeError, "no such axis"),
        (lambda x: sg.roll(x, (1, 2), 0), ShapeError, "one shift"),
        (lambda x: sg.split(x, 2), ShapeError, "cannot be split"),
        (lambda x: sg.roll(x, 0.5, 0), ShapeError, "one shift"),  # type: ignore[arg-type]
        (lambda x: sg.split(x, 1.5), ShapeError, "cannot be split"),  # type: ignore[arg-type]
        (lambda x: sg.split(x, 0), ShapeError, "cannot be split"),
        (lambda x: sg.repeat(x, -1, 0), ShapeError, "negative"),
        (lambda x: sg.tile(x, -2), ShapeError, "negative"),
        (lambda x: sg.pad(x, 1, "median"), AttributeValueError, "no such mode"),  # type: ignore[arg-type]
        (lambda x: sg.pad(x, -1, "edge"), ShapeError, "negative"),
        (lambda x: sg.pad(x, ((1, 2), (3, 4))), ShapeError, "widths do not fit"),
        (lambda x: sg.pad(x, (1, 2, 3)), ShapeError, "widths do not fit"),
        (lambda x: sg.pad(x[:0], 1, "wrap"), ShapeError, "nothing to continue"),
        (lambda x: sg.tril(x[0, 0]), ShapeError, "no matrices"),
        (lambda x: sg.diagonal(x, axis1=1, axis2=1), ShapeError, "named twice"),
        (sg.diag, ShapeError, "no diagonal"),
    ],
)
def test_wrong_uses_are_refused(use: Callable[[Tensor], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        use(sg.constant(A))
