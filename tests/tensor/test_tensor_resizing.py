from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from tensor_value import value

from sigmagraph import gradients, placeholder
from sigmagraph.dims import Dim
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor.resizing import resize

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(9)


def element(x: Array, i: int, out: int, mode: str, aligned: bool) -> Array:
    """One element of a resized axis [n, ...], by the formulas of the modes."""
    n = len(x)
    at = i * (n - 1) / max(out - 1, 1) if aligned else (i + 0.5) * n / out - 0.5
    if mode == "nearest":
        return np.asarray(x[i * n // out])
    if mode == "nearest_exact":
        return np.asarray(x[(2 * i + 1) * n // (2 * out)])
    if mode == "linear":
        at = max(at, 0.0)
    first, total = math.floor(at), np.zeros(x.shape[1:])
    for tap in range(first - 1, first + 3):
        d = abs(at - tap)
        weight = max(1 - d, 0.0)
        if mode == "cubic":
            near = 1.25 * d**3 - 2.25 * d**2 + 1
            weight = near if d <= 1 else -0.75 * (d**3 - 5 * d**2 + 8 * d - 4)
        total += weight * x[min(max(tap, 0), n - 1)]
    return np.asarray(total)


def resized(x: Array, axis: int, out: int, mode: str, aligned: bool) -> Array:
    first = np.moveaxis(x, axis, 0)
    return np.moveaxis(np.stack([element(first, i, out, mode, aligned) for i in range(out)]), 0, axis)


@pytest.mark.parametrize("sizes", [(14, 7), (18, 22), (5, 30), (1, 1), (9, 11)])
@pytest.mark.parametrize(
    ("mode", "aligned"),
    [("nearest", False), ("nearest_exact", False), ("linear", False), ("linear", True), ("cubic", False),
     ("cubic", True)],
)  # fmt: skip
def test_sizes(mode: str, aligned: bool, sizes: tuple[int, int]) -> None:
    x = RNG.standard_normal((2, 9, 11, 3))
    expected = resized(resized(x, 1, sizes[0], mode, aligned), 2, sizes[1], mode, aligned)
    np.testing.assert_allclose(value(resize(x, sizes, mode=mode, align_corners=aligned)), expected, atol=1e-12)


@pytest.mark.parametrize("mode", ["nearest", "nearest_exact", "linear", "cubic"])
@pytest.mark.parametrize("scale", [0.5, 2, 1.25])
def test_scales_that_give_whole_sizes_are_sizes(mode: str, scale: float) -> None:
    x = RNG.standard_normal((2, 8, 3))
    np.testing.assert_allclose(
        value(resize(x, scale=scale, mode=mode)), value(resize(x, int(8 * scale), mode=mode)), atol=1e-12
    )


def test_a_scale_decides_the_places_where_it_gives_no_whole_size() -> None:
    x = np.arange(7.0).reshape(1, 7, 1)
    out = value(resize(x, scale=0.7, mode="linear")).reshape(-1)
    np.testing.assert_allclose(out, (np.arange(4) + 0.5) / 0.7 - 0.5)


def test_three_axes_and_channels_first() -> None:
    x = RNG.standard_normal((2, 4, 5, 6, 3))
    sizes = (3, 7, 12)
    expected = x
    for axis, out in enumerate(sizes, 1):
        expected = resized(expected, axis, out, "linear", False)
    got = resize(np.moveaxis(x, -1, 1), sizes, mode="linear", data_format="channels_first")
    np.testing.assert_allclose(value(got), np.moveaxis(expected, -1, 1), atol=1e-12)


def test_symbolic_axes_are_repeated() -> None:
    n = Dim("n")
    x = placeholder("x", (1, n, 2), "float64")
    y = resize(x, scale=3)
    assert y.shape == (1, 3 * n, 2)
    at = RNG.standard_normal((1, 4, 2))
    np.testing.assert_array_equal(value(y, {x: at}), at.repeat(3, 1))
    (dx,) = gradients((y * y).sum(), [x])
    np.testing.assert_allclose(value(dx, {x: at}), 6 * at)


def test_integers_stay_integers_with_nearest() -> None:
    x = np.arange(4, dtype=np.int32).reshape(1, 4, 1)
    y = value(resize(x, 6))
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y.reshape(-1), [0, 0, 1, 2, 2, 3])


def test_the_gradient_is_the_transposed_map() -> None:
    x = placeholder("x", (1, 5, 1), "float64")
    g = RNG.standard_normal((1, 8, 1))
    (dx,) = gradients((resize(x, 8, mode="cubic") * g).sum(), [x])
    matrix = resized(np.eye(5), 0, 8, "cubic", False)
    np.testing.assert_allclose(value(dx, {x: np.zeros((1, 5, 1))})[0], matrix.T @ g[0], atol=1e-12)


X = np.ones((1, 4, 4, 2), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: resize(X, 8, mode="area"), AttributeValueError, "no such mode"),
        (lambda: resize(X), ShapeError, "sizes or scale"),
        (lambda: resize(X, 8, 2.0), ShapeError, "sizes or scale"),
        (lambda: resize(X, 8, align_corners=True), AttributeValueError, "corners are not aligned"),
        (lambda: resize(X, (8,)), ShapeError, "one number for each spatial axis"),
        (lambda: resize(X, 0), AttributeValueError, "new size is out of range"),
        (lambda: resize(X, scale=-1.0), AttributeValueError, "new size is out of range"),
        (lambda: resize(X, 2.5), AttributeValueError, "new size is out of range"),
        (lambda: resize(X, scale=0.1), ShapeError, "becomes empty"),
        (lambda: resize(X[:, :0], 3, mode="linear"), ShapeError, "cannot be resized"),
        (lambda: resize(placeholder("x", (1, Dim("n"), 2)), 3, mode="linear"), ShapeError, "cannot be resized"),
    ],
)
def test_wrong_uses(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        call()
