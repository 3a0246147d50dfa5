"""NumPy's reductions besides sum, mean and extremes: products, truth, variances, norms, logarithms of sums."""

from __future__ import annotations

import math
from collections.abc import Callable

from sigmagraph.dtypes import BOOL, I64
from sigmagraph.errors import AttributeValueError
from sigmagraph.tensor import shapes
from sigmagraph.tensor.functions import abs as magnitude
from sigmagraph.tensor.functions import sqrt, where
from sigmagraph.tensor.tensor import Axes, Tensor, TensorLike, as_tensor, elementwise, emit, floating, located
from sigmagraph.tensor.workspace import here


def prod(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Product over axes, over all of them by default; ints and bools are multiplied as i64.

    The gradient by an element is the product of the others, also where elements are 0.
    """
    x = as_tensor(x)
    x = x if x.dtype.is_float else x.astype(I64)
    return emit("reduce_prod", x, axes=shapes.reduced_axes(axis, x.ndim), keepdims=keepdims)


def any(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether any element over axes is true, or not 0; over all axes by default. False of nothing."""
    x = _truth(x)
    return emit("reduce_any", x, axes=shapes.reduced_axes(axis, x.ndim), keepdims=keepdims)


def all(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """Whether every element over axes is true, or not 0; over all axes by default. True of nothing."""
    x = _truth(x)
    return emit("reduce_all", x, axes=shapes.reduced_axes(axis, x.ndim), keepdims=keepdims)


def count_nonzero(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The number of elements over axes that are not 0, as i64; over all axes by default."""
    return _truth(x).sum(axis, keepdims)


def argmin(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Position of the first least element (of the first NaN), as i64; without an axis in the flat tensor.

    Raises:
        ShapeError: the axis is empty, or there is no such axis.
    """
    x = as_tensor(x)
    if axis is not None:
        return emit("argmin", x, axis=axis, keepdims=keepdims)
    flat = emit("argmin", x.reshape(-1), axis=0, keepdims=False)
    return flat.reshape((1,) * x.ndim) if keepdims else flat


def logsumexp(x: TensorLike, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """``log(sum(exp(x)))`` over axes, over all of them by default, without overflow; ints and bools as f64."""
    x = floating(x)
    return emit("logsumexp", x, axes=shapes.reduced_axes(axis, x.ndim), keepdims=keepdims)


def var(x: TensorLike, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Variance over axes, over all of them by default: the squared differences from the mean, whose sum is divided.

    The divisor is the number of elements less ``ddof``; NaN where that is 0. That of ints and bools is f64.

    Raises:
        ShapeError: an axis is empty, or there are fewer elements than ``ddof``.
    """
    x = floating(x)
    axes = located(shapes.occupied_axes, axis, x.shape, "variance")
    return emit("reduce_variance", x, axes=axes, keepdims=keepdims, ddof=ddof)


def std(x: TensorLike, axis: Axes = None, ddof: int = 0, keepdims: bool = False) -> Tensor:
    """Square root of :func:`var`; where that is 0 the gradient is 0.

    Raises:
        ShapeError: an axis is empty, or there are fewer elements than ``ddof``.
    """
    return _where_positive(var(x, axis, ddof, keepdims), sqrt)


def norm(x: TensorLike, ord: float | None = None, axis: Axes = None, keepdims: bool = False) -> Tensor:
    """The vector norm of the elements over axes, over all of them by default; ints and bools as f64.

    Source of the formula ``sum(abs(x) ** ord) ** (1 / ord)`` and its limits: ``numpy.linalg.norm`` for vectors. Several
    axes are taken for one (Frobenius), not for matrices. Where the norm is 0 the gradient is 0.

    Args:
        x: the tensor.
        ord: the order: 1, 2 (the default) or any other number but 0; ``inf`` is the greatest magnitude, ``-inf`` the
            least, and 0 the number of elements that are not 0.
        axis: one or several axes.
        keepdims: whether these axes stay, with size 1.

    Raises:
        AttributeValueError: the order is NaN or no number.
        ShapeError: an infinite order meets an empty axis.
    """
    ord = 2 if ord is None else ord
    if isinstance(ord, bool) or not isinstance(ord, (int, float)) or math.isnan(ord):
        raise AttributeValueError("norm: the order is none", expected="a number", got=repr(ord), location=here())
    x = floating(x)
    if ord == 0:
        return count_nonzero(x, axis, keepdims).astype(x.dtype)
    sizes = magnitude(x)
    if math.isinf(ord):
        return sizes.max(axis, keepdims) if ord > 0 else sizes.min(axis, keepdims)
    if ord == 1:
        return sizes.sum(axis, keepdims)
    if ord == 2:
        return _where_positive((x * x).sum(axis, keepdims), sqrt)
    total = _power(sizes, ord).sum(axis, keepdims)
    return _power(total, 1 / ord)


def _power(x: Tensor, exponent: float) -> Tensor:
    """A power of numbers of at least 0, whose gradient at 0 is 0."""
    if exponent > 0:
        return _where_positive(x, lambda base: _raised(base, exponent))
    return where(x > 0, _where_positive(x, lambda base: _raised(base, exponent)), math.inf)


def _raised(base: Tensor, exponent: float) -> Tensor:
    if float(exponent).is_integer():
        return base ** int(exponent)
    return elementwise("power", base, exponent)


def _where_positive(x: Tensor, function: Callable[[Tensor], Tensor]) -> Tensor:
    """A function of the positive numbers, 0 for 0, without its infinite slope there."""
    positive = x > 0
    return where(positive, function(where(positive, x, 1)), x)


def _truth(x: TensorLike) -> Tensor:
    """Bools as they are; of numbers whether they are not 0."""
    x = as_tensor(x)
    return x if x.dtype is BOOL else x.not_equal(0)
