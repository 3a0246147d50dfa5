from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from tensor_value import value

from sigmagraph import gradients, placeholder
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F64
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor import windows as sg

Array = np.ndarray[Any, Any]
RNG = np.random.default_rng(5)


def convolved(x: Array, w: Array, strides: tuple[int, ...], low: tuple[int, ...], high: tuple[int, ...]) -> Array:
    """One window after the other."""
    x = np.pad(x, [(0, 0), *zip(low, high, strict=True), (0, 0)])
    kernel = w.shape[:-2]
    counts = [(n - k) // s + 1 for n, k, s in zip(x.shape[1:-1], kernel, strides, strict=True)]
    out = np.empty((x.shape[0], *counts, w.shape[-1]))
    axes = list(range(1, len(kernel) + 2))
    for at in product(*map(range, counts)):
        cut = tuple(slice(a * s, a * s + k) for a, s, k in zip(at, strides, kernel, strict=True))
        out[(slice(None), *at)] = np.tensordot(x[(slice(None), *cut)], w, (axes, [a - 1 for a in axes]))
    return out


@pytest.mark.parametrize(
    ("padding", "strides", "low", "high"),
    [
        (0, 1, (0, 0), (0, 0)),
        ("valid", (2, 3), (0, 0), (0, 0)),
        (2, 2, (2, 2), (2, 2)),
        ((1, 0), 1, (1, 0), (1, 0)),
        (((0, 2), (1, 3)), 1, (0, 1), (2, 3)),
        ("same", 1, (1, 1), (1, 2)),
        ("same", 2, (1, 1), (1, 1)),
    ],
)
def test_paddings(padding: Any, strides: Any, low: tuple[int, ...], high: tuple[int, ...]) -> None:
    x, w = RNG.standard_normal((2, 7, 8, 3)), RNG.standard_normal((3, 4, 3, 5))
    steps = strides if isinstance(strides, tuple) else (strides, strides)
    y = sg.convolution(x, w, strides, padding)
    if padding == "same":
        assert y.shape[1:-1] == tuple(-(-n // s) for n, s in zip((7, 8), steps, strict=True))
    np.testing.assert_allclose(value(y), convolved(x, w, steps, low, high), rtol=1e-12, atol=1e-12)


def test_same_padding_of_a_symbolic_axis() -> None:
    n = Dim("n")
    x, w = placeholder("x", (2, n, 3), "float64"), RNG.standard_normal((3, 3, 4))
    y = sg.convolution(x, w, padding="same")
    assert y.shape == (2, n, 4)
    at = RNG.standard_normal((2, 6, 3))
    np.testing.assert_allclose(value(y, {x: at}), convolved(at, w, (1,), (1,), (1,)))
    strided = sg.convolution(x, w, 2, "same")
    for size, (low, high) in {6: (0, 1), 7: (1, 1)}.items():
        at = RNG.standard_normal((2, size, 3))
        np.testing.assert_allclose(value(strided, {x: at}), convolved(at, w, (2,), (low,), (high,)))


def test_the_kernel_of_integers_is_promoted() -> None:
    y = sg.convolution(np.arange(12).reshape(1, 4, 3), np.ones((2, 3, 1), np.int32))
    assert y.dtype is F64
    np.testing.assert_array_equal(value(y)[0, :, 0], [15.0, 33.0, 51.0])


def test_channels_first_moves_the_channels_only() -> None:
    x, w = RNG.standard_normal((2, 7, 8, 4)), RNG.standard_normal((3, 2, 4, 5))
    first, last = np.moveaxis(x, -1, 1), {"data_format": "channels_first"}
    for function, arguments in (
        (sg.convolution, (w, 2, 1)),
        (sg.transposed_convolution, (np.swapaxes(w, 2, 3), 2, 1, 1)),
        (sg.max_pool, (3, 2, 1)),
        (sg.average_pool, (3, 2, 1)),
        (sg.adaptive_max_pool, ((3, 5),)),
        (sg.adaptive_average_pool, ((3, 4),)),
    ):
        expected = np.moveaxis(value(function(x, *arguments)), -1, 1)  # type: ignore[operator]
        np.testing.assert_array_equal(value(function(first, *arguments, **last)), expected)  # type: ignore[operator]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize(("strides", "padding", "more", "dilation"), [(1, 0, 0, 1), (2, 1, 1, 1), (3, 2, 2, 2)])
def test_a_transposed_convolution_carries_the_gradient_back(
    strides: int, padding: int, more: int, dilation: int, groups: int
) -> None:
    """By its definition: <convolution(x, w), g> has the derivative transposed_convolution(g, w) by x."""
    w = RNG.standard_normal((3, 2, 4 // groups, 6))
    g = RNG.standard_normal((2, 5, 4, 6))
    back = sg.transposed_convolution(g, w, strides, padding, more, dilation, groups)
    shape = tuple(
        (n - 1) * strides - 2 * padding + dilation * (k - 1) + 1 + more for n, k in zip((5, 4), (3, 2), strict=True)
    )
    assert back.shape == (2, *shape, 4)
    x = placeholder("x", (2, *shape, 4), "float64")
    (dx,) = gradients((sg.convolution(x, w, strides, padding, dilation, groups) * g).sum(), [x])
    np.testing.assert_allclose(value(back), value(dx), rtol=1e-12, atol=1e-12)


def test_pools() -> None:
    x = RNG.standard_normal((2, 7, 3))
    padded = np.pad(x, ((0, 0), (1, 1), (0, 0)), constant_values=np.nan)
    parts = np.stack([padded[:, k : k + 7 : 2] for k in range(3)])
    np.testing.assert_array_equal(value(sg.max_pool(x, 3, 2, 1)), np.nanmax(parts, 0))
    np.testing.assert_allclose(value(sg.average_pool(x, 3, 2, 1)), np.nansum(parts, 0) / 3)
    np.testing.assert_allclose(value(sg.average_pool(x, 3, 2, 1, count_include_pad=False)), np.nanmean(parts, 0))
    np.testing.assert_array_equal(value(sg.max_pool(x, 2)), x[:, :6].reshape(2, 3, 2, 3).max(2))


def test_equal_maxima_share_the_gradient() -> None:
    x = placeholder("x", (1, 4, 1), "float64")
    (dx,) = gradients(sg.max_pool(x, 2, 1).sum(), [x])
    at = np.array([1.0, 1.0, 0.0, 5.0]).reshape(1, 4, 1)
    np.testing.assert_array_equal(value(dx, {x: at}).reshape(4), [0.5, 1.5, 0.0, 1.0])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 10, 14])
def test_adaptive_windows(count: int) -> None:
    x = RNG.standard_normal((2, 10, 3))
    cuts = [x[:, i * 10 // count : -(-(i + 1) * 10 // count)] for i in range(count)]
    np.testing.assert_array_equal(value(sg.adaptive_max_pool(x, count)), np.stack([c.max(1) for c in cuts], 1))
    np.testing.assert_allclose(value(sg.adaptive_average_pool(x, count)), np.stack([c.mean(1) for c in cuts], 1))


def test_adaptive_pools_of_integers_and_symbolic_axes() -> None:
    whole = np.arange(-6, 0, dtype=np.int32).reshape(1, 6, 1)
    np.testing.assert_array_equal(value(sg.adaptive_max_pool(whole, 4)).reshape(4), [-5, -4, -2, -1])
    n = Dim("n")
    x = placeholder("x", (2, 3 * n, 1), "float64")
    at = RNG.standard_normal((2, 6, 1))
    np.testing.assert_allclose(value(sg.adaptive_average_pool(x, 3), {x: at}), at.reshape(2, 3, 2, 1).mean(2))
    np.testing.assert_array_equal(value(sg.adaptive_max_pool(x, 1), {x: at}), at.max(1, keepdims=True))


def test_unfold() -> None:
    x = RNG.standard_normal((3, 9))
    expected = np.lib.stride_tricks.sliding_window_view(x, 5, 1)[:, ::3, ::2]
    np.testing.assert_array_equal(value(sg.unfold(x, 1, 3, 3, 2)), expected)


X, W = np.ones((2, 7, 3), np.float32), np.ones((3, 3, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: sg.convolution(X, W, (1, 1)), ShapeError, "'strides' does not have one number"),
        (lambda: sg.convolution(X, W, 0), AttributeValueError, "'strides' is out of range"),
        (lambda: sg.convolution(X, W, 1.5), AttributeValueError, "'strides' is out of range"),
        (lambda: sg.convolution(X, W, padding=-1), AttributeValueError, "'padding' is out of range"),
        (lambda: sg.convolution(X, W, padding="full"), AttributeValueError, "no such padding"),
        (lambda: sg.convolution(X, W, padding=[(1, 2, 3)]), AttributeValueError, "a padding is no pair"),
        (lambda: sg.convolution(X, W, padding=[1, 1]), ShapeError, "'padding' does not have one number"),
        (lambda: sg.convolution(X, W, dilation=0), AttributeValueError, "'dilation' is out of range"),
        (lambda: sg.convolution(X, W, groups=0), AttributeValueError, "'groups' is out of range"),
        (lambda: sg.convolution(X, W, groups=2), ShapeError, "do not divide into groups"),
        (lambda: sg.convolution(X, W[:, :2]), ShapeError, "input channels of a group"),
        (lambda: sg.convolution(X, W, dilation=4), ShapeError, "longer than the axis"),
        (lambda: sg.convolution(X, W[0], padding="same"), ShapeError, "ranks of tensor and kernel"),
        (lambda: sg.convolution(X[0], W), ShapeError, "no spatial axis"),
        (lambda: sg.convolution(X, W, data_format="nhwc"), AttributeValueError, "no such data format"),
        (lambda: sg.convolution(X[None], W[0, 0], padding="same"), ShapeError, "ranks of tensor and kernel"),
        (lambda: sg.transposed_convolution(X, W[0]), ShapeError, "ranks of tensor and kernel"),
        (lambda: sg.transposed_convolution(X, W, 2, 0, 2), AttributeValueError, "'output_padding' is too great"),
        (lambda: sg.transposed_convolution(X, W[..., :4]), ShapeError, "input channels"),
        (lambda: sg.transposed_convolution(X, W[..., :3], groups=2), ShapeError, "do not divide into groups"),
        (lambda: sg.max_pool(X, 3, 1, 3), ShapeError, "nothing but padding"),
        (lambda: sg.average_pool(X, 8), ShapeError, "longer than the axis"),
        (lambda: sg.adaptive_max_pool(X, 0), AttributeValueError, "'sizes' is out of range"),
        (lambda: sg.adaptive_max_pool(X[:, :0], 2), ShapeError, "cannot be parted"),
        (lambda: sg.adaptive_max_pool(placeholder("x", (2, Dim("n"), 3)), 2), ShapeError, "cannot be parted"),
        (lambda: sg.unfold(X, 3, 1), ShapeError, "no such axis"),
    ],
)
def test_wrong_uses(call: Any, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match) as caught:
        call()
    assert caught.value.location.file.endswith("test_tensor_windows.py")  # type: ignore[attr-defined]
