"""Reading and writing at indices that are tensors."""

from __future__ import annotations

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import BOOL, I64
from sigmagraph.errors import ShapeError
from sigmagraph.tensor import shapes
from sigmagraph.tensor.functions import where
from sigmagraph.tensor.tensor import Tensor, TensorLike, as_tensor, broadcast_to, emit, located
from sigmagraph.tensor.workspace import here


def take_along_axis(x: TensorLike, indices: TensorLike, axis: int) -> Tensor:
    """Elements at an index along an axis for each of them (``numpy.take_along_axis``); other axes are broadcast.

    Indices count from 0. One that is negative or too great gives NaN for floats, the least value for signed ints, the
    greatest for unsigned ones and False for bools.

    Raises:
        ShapeError: the ranks differ, other axes do not fit together, or there is no such axis.
    """
    table, places = _beside(as_tensor(x), as_tensor(indices), axis)
    return emit("take_along_axis", table, places, axis=axis)


def put_along_axis(x: TensorLike, indices: TensorLike, values: TensorLike, axis: int, mode: str = "set") -> Tensor:
    """A copy of a tensor with elements changed, at an index along an axis for each value.

    Args:
        x: the tensor.
        indices: integers, of the same rank; other axes are broadcast.
        values: broadcast to the shape of the indices.
        axis: the axis that the indices count along.
        mode: what a value does to an element: set, add, mul, min or max. Of several that set, the last wins. An index
            that is negative or too great changes nothing.

    Raises:
        ShapeError: shapes do not fit together, or there is no such axis.
        AttributeValueError: there is no such mode.
    """
    table, places = _beside(as_tensor(x), as_tensor(indices), axis)
    updates = broadcast_to(as_tensor(values).astype(table.dtype), places.shape)
    return emit("put_along_axis", table, places, updates, axis=axis, mode=mode)


def scatter(x: TensorLike, indices: TensorLike, values: TensorLike, axis: int = 0, mode: str = "set") -> Tensor:
    """A copy of a tensor with the entries of an axis that integers name changed: the counterpart of ``take``.

    Args:
        x: the tensor.
        indices: integers of any shape.
        values: broadcast to the shape of ``take(x, indices, axis)``.
        axis: the axis that the indices count along.
        mode: what a value does to an element: set, add, mul, min or max. Of several that set, the last wins. An index
            that is negative or too great changes nothing.

    Raises:
        ShapeError: shapes do not fit together, or there is no such axis.
        AttributeValueError: there is no such mode.
    """
    table, places = as_tensor(x), as_tensor(indices)
    (at,) = located(shapes.normal_axes, (axis,), table.ndim)
    read = (*table.shape[:at], *places.shape, *table.shape[at + 1 :])
    updates = broadcast_to(as_tensor(values).astype(table.dtype), read)
    return emit("scatter", table, places, updates, axis=at, mode=mode)


def gather_nd(x: TensorLike, indices: TensorLike, batch_dims: int = 0) -> Tensor:
    """Parts of a tensor at places of several numbers: [b..., n1, ..., nr, c...], [b..., i..., r] -> [b..., i..., c...].

    Args:
        x: the tensor.
        indices: integers that count from 0; a place outside gives what it gives in ``take``.
        batch_dims: number of leading axes that both share.

    Raises:
        ShapeError: shapes do not fit together, or the number of numbers of a place is not known.
    """
    table, rows, shape = _places(as_tensor(x), as_tensor(indices), batch_dims)
    return emit("gather", table, rows, axis=0).reshape(*rows.shape, *shape)


def scatter_nd(x: TensorLike, indices: TensorLike, values: TensorLike, mode: str = "set") -> Tensor:
    """A copy of a tensor with the parts at places of several numbers changed: the counterpart of :func:`gather_nd`.

    Args:
        x: of shape [n1, ..., nr, c...].
        indices: [i..., r], integers that count from 0; a place outside changes nothing.
        values: broadcast to [i..., c...].
        mode: what a value does to an element: set, add, mul, min or max. Of several that set, the last wins.

    Raises:
        ShapeError: shapes do not fit together, or the number of numbers of a place is not known.
        AttributeValueError: there is no such mode.
    """
    x = as_tensor(x)
    table, rows, shape = _places(x, as_tensor(indices), 0)
    updates = broadcast_to(as_tensor(values).astype(x.dtype), (*rows.shape, *shape))
    flat = updates.reshape(*rows.shape, product(shape))
    return emit("scatter", table, rows, flat, axis=0, mode=mode).reshape(*x.shape)


def _beside(table: Tensor, indices: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Both with equal sizes but for the axis."""
    (at,) = located(shapes.normal_axes, (axis,), table.ndim)
    if table.ndim != indices.ndim:
        raise ShapeError(
            "the ranks of tensor and indices differ", expected=table.ndim, got=indices.ndim, location=here()
        )
    rest = located(shapes.broadcast, [t.shape[:at] + t.shape[at + 1 :] for t in (table, indices)])
    first, second = (broadcast_to(t, (*rest[:at], t.shape[at], *rest[at:])) for t in (table, indices))
    return first, second


def _places(x: Tensor, indices: Tensor, batch_dims: int) -> tuple[Tensor, Tensor, tuple[Size, ...]]:
    """The tensor as [places, rest], the place of each index (-1 where there is none), and the shape of the rest."""
    count = indices.shape[-1] if indices.ndim > batch_dims else 0
    if not isinstance(count, int) or batch_dims < 0 or batch_dims + count > x.ndim or indices.ndim <= batch_dims:
        raise ShapeError(
            "the last axis of the indices does not say a place",
            expected=f"at most {x.ndim - batch_dims} numbers behind {batch_dims} axes",
            got=f"indices{shapes.text(indices.shape)} for {shapes.text(x.shape)}",
            location=here(),
        )
    numbers = indices.astype(I64)
    flat, exists = as_tensor(0, I64), as_tensor(True, BOOL)
    for axis, size in enumerate(x.shape[: batch_dims + count]):
        if axis < batch_dims:
            shape = tuple(n if i == axis else 1 for i, n in enumerate(indices.shape[:-1]))
            number = emit("iota", axis=axis, shape=shape, dtype=I64)
        else:
            number = numbers[..., axis - batch_dims]
        extent = _number(size)
        exists = exists & (number >= 0) & (number < extent)
        flat = flat * extent + number
    rows = broadcast_to(where(exists, flat, -1), indices.shape[:-1])
    lead, rest = x.shape[: batch_dims + count], x.shape[batch_dims + count :]
    return x.reshape(product(lead), product(rest)), rows, rest


def _number(size: Size) -> TensorLike:
    """A size as a number to reckon with."""
    return size if isinstance(size, int) else emit("iota", axis=0, shape=(size + 1,), dtype=I64)[size]
