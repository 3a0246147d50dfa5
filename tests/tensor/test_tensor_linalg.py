from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tensor_value import value

import sigmagraph as sg
from sigmagraph.errors import ShapeError

RNG = np.random.default_rng(1)
A = RNG.normal(size=(2, 1, 4, 4))
B = RNG.normal(size=(3, 4, 2))
DEFINITE = A @ np.swapaxes(A, -1, -2) + np.eye(4)


def constant(array: Any) -> sg.Tensor:
    return sg.constant(np.asarray(array))


def test_systems_are_solved_as_in_numpy_with_batches_broadcast() -> None:
    np.testing.assert_allclose(value(sg.linalg.solve(constant(A), constant(B))), np.linalg.solve(A, B), rtol=1e-9)
    vector = RNG.normal(size=4)
    got = value(sg.linalg.solve(constant(A[0, 0]), constant(vector)))
    np.testing.assert_allclose(got, np.linalg.solve(A[0, 0], vector), rtol=1e-9)
    np.testing.assert_allclose(value(sg.linalg.inv(constant(A))), np.linalg.inv(A), rtol=1e-9)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("transpose", [True, False])
@pytest.mark.parametrize("unit", [True, False])
def test_triangular_systems(lower: bool, transpose: bool, unit: bool) -> None:
    matrix = np.tril(A) if lower else np.triu(A)
    if unit:
        matrix = matrix - matrix * np.eye(4) + np.eye(4)
    got = value(sg.linalg.solve_triangular(constant(A), constant(B), lower, transpose, unit))
    turned = np.swapaxes(matrix, -1, -2) if transpose else matrix
    np.testing.assert_allclose(turned @ got, np.broadcast_to(B, got.shape), rtol=1e-8, atol=1e-8)


def test_determinants() -> None:
    np.testing.assert_allclose(value(sg.linalg.det(constant(A))), np.linalg.det(A), rtol=1e-10)
    for got, expected in zip(sg.linalg.slogdet(constant(A)), np.linalg.slogdet(A), strict=True):
        np.testing.assert_allclose(value(got), expected, rtol=1e-10)
    large = np.eye(3) * 1e200
    sign, log = sg.linalg.slogdet(constant(-large))
    assert value(sign) == -1
    np.testing.assert_allclose(value(log), 600 * np.log(10))


def test_singular_matrices_give_no_numbers_and_no_exception() -> None:
    singular = constant([[1.0, 2], [2, 4]])
    assert value(sg.linalg.det(singular)) == 0
    sign, log = sg.linalg.slogdet(singular)
    assert (value(sign), value(log)) == (0, -np.inf)
    assert not np.isfinite(value(sg.linalg.inv(singular))).any()


def test_cholesky_factors_and_shows_what_is_not_positive_definite() -> None:
    np.testing.assert_allclose(value(sg.linalg.cholesky(constant(DEFINITE))), np.linalg.cholesky(DEFINITE), rtol=1e-10)
    upper = value(sg.linalg.cholesky(constant(DEFINITE), upper=True))
    np.testing.assert_allclose(np.swapaxes(upper, -1, -2) @ upper, DEFINITE, rtol=1e-10)
    bad = value(sg.linalg.cholesky(constant([[1.0, 0, 0], [0, -1, 0], [0, 0, 1]])))
    np.testing.assert_array_equal(bad[0], [1, 0, 0])
    assert np.isnan(bad[1, 1])
    assert np.isnan(bad[2, 1:]).all()


def test_gradients_through_native_code() -> None:
    a, b = sg.placeholder("a", (4, 4), "float64"), sg.placeholder("b", (4, 3), "float64")
    y = sg.sum(sg.linalg.solve(a, b)) + sg.linalg.slogdet(a)[1]
    outputs = dict(zip(("ga", "gb"), sg.gradients(y, [a, b]), strict=True))
    matrix, sides = A[0, 0], B[0, :, :1] * np.ones(3)
    got = sg.compile([a, b], outputs)(matrix, sides)
    inverse = np.linalg.inv(matrix)
    expected = inverse.T @ np.ones((4, 3))
    np.testing.assert_allclose(got["gb"], expected, rtol=1e-9)
    np.testing.assert_allclose(got["ga"], inverse.T - expected @ (inverse @ sides).T, rtol=1e-9)


def test_wrong_shapes_say_where() -> None:
    with pytest.raises(ShapeError, match="no matrix and right sides"):
        sg.linalg.solve(constant([1.0]), constant([1.0]))
    with pytest.raises(ShapeError, match="rows and columns") as caught:
        sg.linalg.det(constant(B))
    assert "test_tensor_linalg" in str(caught.value.location)
