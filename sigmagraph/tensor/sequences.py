"""Functions along an axis whose elements stand in an order: sorting, quantiles, running totals."""

from __future__ import annotations

from sigmagraph.dtypes import I64
from sigmagraph.errors import ShapeError
from sigmagraph.tensor import shapes
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, emit, floating, located, promoted
from sigmagraph.tensor.workspace import here

# ---- order


def sort(x: TensorLike, axis: int = -1, descending: bool = False) -> Tensor:
    """The elements along an axis in order; NaN counts as greater than all numbers.

    Raises:
        ShapeError: there is no such axis.
    """
    return emit("sort", as_tensor(x), axis=axis, descending=descending)


def argsort(x: TensorLike, axis: int = -1, descending: bool = False) -> Tensor:
    """The places (i64) along an axis of its elements in order, stable in both directions; NaN counts as the greatest.

    Raises:
        ShapeError: there is no such axis.
    """
    return emit("argsort", as_tensor(x), axis=axis, descending=descending)


def top_k(x: TensorLike, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """The ``k`` greatest elements along an axis, greatest first, and their places (i64); first places win of equals.

    Raises:
        ShapeError: there is no such axis, or it has fewer elements.
    """
    x = as_tensor(x)
    (at,) = located(shapes.normal_axes, (axis,), x.ndim)
    if k < 0:
        raise ShapeError("top_k: the number is negative", expected="0 or more", got=k, location=here())
    places = argsort(x, at, descending=True)[(*(slice(None),) * at, slice(0, k))]
    if places.shape[at] != k:
        raise ShapeError("top_k: the axis is shorter", expected=f"at least {k}", got=x.shape[at], location=here())
    return emit("take_along_axis", x, places, axis=at), places


def searchsorted(table: TensorLike, values: TensorLike, right: bool = False) -> Tensor:
    """How many elements of an ascending row are less than each value (with ``right``: not greater), as i64.

    Args:
        table: [..., n], in order along the last axis; NaN counts as greater than all numbers.
        values: any shape for a table of rank 1, else [..., m] with the same leading axes.
        right: whether a value stands behind its equals, rather than before.

    Raises:
        ShapeError: the shapes do not fit together.
    """
    table, values = promoted(table, values)
    if table.ndim != 1:
        return emit("searchsorted", table, values, right=right)
    return emit("searchsorted", table, values.reshape(-1), right=right).reshape(*values.shape)


def quantile(x: TensorLike, q: float, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The value below which a part ``q`` of the elements lies, linear between two; over all axes if none is given.

    That is NumPy's method "linear". NaN where an element is NaN; ints and bools as f64.

    Raises:
        ShapeError: there is no such axis, or it is empty.
        AttributeValueError: ``q`` is not in 0 .. 1.
    """
    x = floating(x)
    if axis is not None:
        return emit("quantile", x, axis=axis, q=q, keepdims=keepdims)
    flat = emit("quantile", x.reshape(-1), axis=0, q=q)
    return flat.reshape((1,) * x.ndim) if keepdims else flat


def median(x: TensorLike, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """The element in the middle of the order, or the mean of the two there; over all axes if none is given.

    Raises:
        ShapeError: there is no such axis, or it is empty.
    """
    return quantile(x, 0.5, axis, keepdims)


# ---- running totals


def cumsum(x: TensorLike, axis: int | None = None, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Running sums along an axis, of the flat tensor if none is given; ints and bools are summed as i64.

    Args:
        x: the tensor.
        axis: that is run along.
        exclusive: whether an element is left out of its own sum, so that the first is 0.
        reverse: whether to run from the end to the beginning.

    Raises:
        ShapeError: there is no such axis.
    """
    return _running("add", x, axis, exclusive, reverse)


def cumprod(x: TensorLike, axis: int | None = None, exclusive: bool = False, reverse: bool = False) -> Tensor:
    """Running products, with the arguments of :func:`cumsum`; the gradient holds where elements are 0, too."""
    return _running("mul", x, axis, exclusive, reverse)


def cummax(x: TensorLike, axis: int, reverse: bool = False) -> Tensor:
    """The greatest element so far along an axis; NaN from the first NaN on. The last of equals gets the gradient."""
    return emit("cumulative", as_tensor(x), axis=axis, combine="max", reverse=reverse)


def cummin(x: TensorLike, axis: int, reverse: bool = False) -> Tensor:
    """The least element so far along an axis; NaN from the first NaN on. The last of equals gets the gradient."""
    return emit("cumulative", as_tensor(x), axis=axis, combine="min", reverse=reverse)


def cumlogsumexp(x: TensorLike, axis: int, reverse: bool = False) -> Tensor:
    """``log(cumsum(exp(x)))`` along an axis without overflow; ints and bools as f64."""
    return emit("cumulative_logsumexp", floating(x), axis=axis, reverse=reverse)


def recurrence(a: TensorLike, b: TensorLike, axis: int, reverse: bool = False) -> Tensor:
    """``h[k] = a[k] * h[k-1] + b[k]`` along an axis, from ``h = b`` at its beginning (its end, if ``reverse``).

    Raises:
        ShapeError: the shapes differ, or there is no such axis.
        DTypeError: the operands are not floats of one type.
    """
    return emit("recurrence", as_tensor(a), as_tensor(b), axis=axis, reverse=reverse)


def _running(combine: str, x: TensorLike, axis: int | None, exclusive: bool, reverse: bool) -> Tensor:
    x = as_tensor(x)
    x = x if x.dtype.is_float else x.astype(I64)
    if axis is None:
        x, axis = x.reshape(-1), 0
    return emit("cumulative", x, axis=axis, combine=combine, exclusive=exclusive, reverse=reverse)
