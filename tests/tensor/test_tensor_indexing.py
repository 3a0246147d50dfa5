from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, ShapeError

X = np.random.default_rng(1).normal(size=(3, 4, 5))
Array = np.ndarray[Any, Any]


def constant(array: Any) -> sg.Tensor:
    return sg.constant(np.asarray(array))


def test_take_along_axis_is_that_of_numpy_with_other_axes_broadcast() -> None:
    for axis, shape in ((1, (3, 2, 5)), (-1, (1, 4, 6)), (0, (7, 1, 1))):
        indices = np.random.default_rng(2).integers(0, X.shape[axis], shape)
        got = value(sg.take_along_axis(constant(X), constant(indices), axis))
        np.testing.assert_array_equal(got, np.take_along_axis(X, indices, axis))


def test_put_along_axis_sets_and_adds() -> None:
    indices = np.array([[[0], [2], [3]]]).reshape(1, 3, 1)
    expected = X.copy()
    np.put_along_axis(expected, indices, 7.0, 1)
    np.testing.assert_array_equal(value(sg.put_along_axis(constant(X), constant(indices), 7.0, 1)), expected)
    added = value(sg.put_along_axis(constant(X), constant(np.zeros((3, 2, 5), np.int64)), 1.0, 1, "add"))
    expected = X.copy()
    expected[:, 0] += 2
    np.testing.assert_allclose(added, expected)


@pytest.mark.parametrize(
    ("mode", "ufunc"), [("add", np.add), ("mul", np.multiply), ("min", np.minimum), ("max", np.maximum)]
)
def test_scatter_is_the_unbuffered_ufunc(mode: str, ufunc: np.ufunc) -> None:
    indices = np.array([[3, 0], [3, 3]])
    updates = np.random.default_rng(3).normal(size=(3, 2, 2, 5))
    expected = X.copy()
    ufunc.at(np.moveaxis(expected, 1, 0), indices, np.moveaxis(updates, 0, 2))
    got = value(sg.scatter(constant(X), constant(indices), constant(updates), 1, mode))
    np.testing.assert_allclose(got, expected)


def test_the_last_of_several_that_set_wins_and_what_is_outside_changes_nothing() -> None:
    got = value(sg.scatter(constant(np.zeros(3)), constant([1, 1, -1, 3, 0]), constant([1.0, 2, 3, 4, 5])))
    np.testing.assert_array_equal(got, [5, 2, 0])


def test_the_gradient_of_take_is_a_scatter() -> None:
    table, rows = sg.placeholder("table", (5, 3)), sg.placeholder("rows", (4,), "int32")
    (gradient,) = sg.gradients(sg.sum(sg.take(table, rows) * 2.0), [table])
    got = value(gradient, {table: np.ones((5, 3), np.float32), rows: np.array([1, 4, 1, 9], np.int32)})
    np.testing.assert_array_equal(got[:, 0], [0, 4, 0, 0, 2])


def test_gather_nd_takes_parts_at_places() -> None:
    places = np.array([[[2, 1], [0, 3]], [[1, 0], [2, 3]], [[0, 0], [1, 1]]])
    got = value(sg.gather_nd(constant(X), constant(places)))
    np.testing.assert_array_equal(got, X[places[..., 0], places[..., 1]])
    batched = np.array([[[1], [3]], [[0], [0]], [[2], [1]]])
    got = value(sg.gather_nd(constant(X), constant(batched), batch_dims=1))
    np.testing.assert_array_equal(got, X[np.arange(3)[:, None], batched[..., 0]])
    outside = value(sg.gather_nd(constant(X), constant([[1, 4], [1, 3]])))
    assert np.isnan(outside[0]).all()
    np.testing.assert_array_equal(outside[1], X[1, 3])


def test_nd_places_of_symbolic_tensors() -> None:
    n, m = Dim("n"), Dim("m")
    x, places = sg.placeholder("x", (n, m, 5), "float64"), sg.placeholder("places", (2, 2), "int64")
    where = np.array([[2, 1], [0, 3]])
    got = value(sg.gather_nd(x, places), {x: X, places: where})
    np.testing.assert_array_equal(got, X[where[:, 0], where[:, 1]])
    got = value(sg.scatter_nd(x, places, 1.0, "add"), {x: X, places: where})
    expected = X.copy()
    expected[where[:, 0], where[:, 1]] += 1
    np.testing.assert_array_equal(got, expected)


def test_wrong_uses_say_where() -> None:
    with pytest.raises(ShapeError, match="ranks of tensor and indices") as caught:
        sg.take_along_axis(constant(X), constant([1]), 0)
    assert "test_tensor_indexing" in str(caught.value.location)
    with pytest.raises(ShapeError, match="does not say a place"):
        sg.gather_nd(constant(X), constant(np.zeros((2, 4), np.int64)))
    with pytest.raises(AttributeValueError, match="no such mode"):
        sg.scatter(constant(X), constant([1]), 0.0, 0, "sub")
