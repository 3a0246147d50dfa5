"""NumPy's functions that move elements: other shapes, other orders, repetitions, borders, triangles, diagonals."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, TypeAlias

import numpy as np

from sigmagraph.dims import Size, divide_exact
from sigmagraph.dtypes import BOOL, I32
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.tensor import shapes
from sigmagraph.tensor.creation import eye, tri
from sigmagraph.tensor.functions import concatenate, where
from sigmagraph.tensor.tensor import Axes, Tensor, TensorLike, as_tensor, broadcast_to, emit, located
from sigmagraph.tensor.workspace import here

PadMode: TypeAlias = Literal["constant", "edge", "reflect", "symmetric", "wrap"]
PadWidth: TypeAlias = "Size | Sequence[Size] | Sequence[Sequence[Size]]"
_MODES = ("constant", "edge", "reflect", "symmetric", "wrap")

# ---- other shapes


def reshape(x: TensorLike, shape: Size | Sequence[Size]) -> Tensor:
    """The same elements in row-major order with other sizes, of which one may be ``-1``: what is left.

    Raises:
        ShapeError: the number of elements is another one.
    """
    return as_tensor(x).reshape(*shape) if isinstance(shape, Sequence) else as_tensor(x).reshape(shape)


def ravel(x: TensorLike) -> Tensor:
    """The elements in row-major order along one axis."""
    return as_tensor(x).reshape(-1)


def expand_dims(x: TensorLike, axis: int | Sequence[int]) -> Tensor:
    """Axes of size 1 inserted, so that they have the given numbers in the result.

    Raises:
        ShapeError: there is no such axis, or one is named twice.
    """
    x = as_tensor(x)
    given = shapes.reduced_axes(axis, 1)
    rank = x.ndim + len(given)
    new = located(shapes.normal_axes, given, rank)
    rest = iter(x.shape)
    return x.reshape(tuple(1 if i in new else next(rest) for i in range(rank)))


def squeeze(x: TensorLike, axis: Axes = None) -> Tensor:
    """Without the given axes, all of size 1; by default without all that are known to have size 1.

    Raises:
        ShapeError: there is no such axis, one is named twice, or has another size.
    """
    x = as_tensor(x)
    if axis is None:
        gone = tuple(i for i, size in enumerate(x.shape) if size == 1)
    else:
        gone = located(shapes.normal_axes, shapes.reduced_axes(axis, x.ndim), x.ndim)
    for i in gone:
        if x.shape[i] != 1:
            raise ShapeError(f"axis {i} cannot be left out", expected="size 1", got=x.shape[i], location=here())
    return x.reshape(tuple(size for i, size in enumerate(x.shape) if i not in gone))


# ---- other orders


def transpose(x: TensorLike, axes: Sequence[int] | None = None) -> Tensor:
    """The axes in another order; reversed when none is given.

    Raises:
        ShapeError: not each axis is named once.
    """
    return as_tensor(x).transpose() if axes is None else as_tensor(x).transpose(tuple(axes))


def swapaxes(x: TensorLike, axis1: int, axis2: int) -> Tensor:
    """Two axes exchanged.

    Raises:
        ShapeError: there is no such axis.
    """
    x = as_tensor(x)
    order = list(range(x.ndim))
    a, b = (located(shapes.normal_axes, (axis,), x.ndim)[0] for axis in (axis1, axis2))
    order[a], order[b] = b, a
    return x.transpose(order)


def moveaxis(x: TensorLike, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Axes moved to other places; the others keep their order.

    Raises:
        ShapeError: there is no such axis, one is named twice, or there are more of one than of the other.
    """
    x = as_tensor(x)
    old, new = (
        located(shapes.normal_axes, shapes.reduced_axes(axes, x.ndim), x.ndim) for axes in (source, destination)
    )
    if len(old) != len(new):
        raise ShapeError("each axis is moved to one place", expected=len(old), got=len(new), location=here())
    order = [axis for axis in range(x.ndim) if axis not in old]
    for place, axis in sorted(zip(new, old, strict=True)):
        order.insert(place, axis)
    return x.transpose(order)


def flip(x: TensorLike, axis: Axes = None) -> Tensor:
    """The elements in the opposite order along axes, along all of them by default.

    Raises:
        ShapeError: there is no such axis, or one is named twice.
    """
    x = as_tensor(x)
    return emit("reverse", x, axes=shapes.reduced_axes(axis, x.ndim))


def roll(x: TensorLike, shift: int | Sequence[int], axis: Axes = None) -> Tensor:
    """Elements shifted along axes, those that fall off put in at the other end; without an axis in the flat tensor.

    A symbolic size must turn out to be at least as great as the shift.

    Raises:
        ShapeError: there is no such axis.
    """
    x = as_tensor(x)
    if axis is None:
        return roll(x.reshape(-1), shift, 0).reshape(x.shape)
    axes = located(shapes.normal_axes, shapes.reduced_axes(axis, x.ndim), x.ndim, repeated=True)
    shifts = tuple(shift) if isinstance(shift, Sequence) else (shift,) * len(axes)
    if len(shifts) != len(axes) or not all(isinstance(by, (int, np.integer)) for by in shifts):
        raise ShapeError("roll: each axis has one shift", expected=f"{len(axes)} ints", got=shift, location=here())
    for a, by in zip(axes, shifts, strict=True):
        x = _rolled(x, by, a)
    return x


def _rolled(x: Tensor, shift: int, axis: int) -> Tensor:
    size = x.shape[axis]
    shift = shift % size if isinstance(size, int) and size else shift
    if shift == 0 or size == 0:
        return x
    return concatenate([_part(x, axis, -shift, None), _part(x, axis, None, -shift)], axis)


def _part(x: Tensor, axis: int, start: Size | None, stop: Size | None, step: int = 1) -> Tensor:
    return x[(*(slice(None),) * axis, slice(start, stop, step))]


# ---- parts and repetitions


def split(x: TensorLike, indices_or_sections: int | Sequence[Size], axis: int = 0) -> list[Tensor]:
    """Equal parts along an axis, or the parts between the given indices.

    Raises:
        ShapeError: there is no such axis, or it cannot be divided so.
    """
    x = as_tensor(x)
    (axis,) = located(shapes.normal_axes, (axis,), x.ndim)
    if isinstance(indices_or_sections, Sequence):
        return [_part(x, axis, a, b) for a, b in pairwise([None, *indices_or_sections, None])]
    count, size = indices_or_sections, x.shape[axis]
    each = divide_exact(size, int(count)) if isinstance(count, (int, np.integer)) and count > 0 else None
    if each is None:
        raise ShapeError(f"axis {axis} cannot be split", expected=f"{count} equal parts", got=size, location=here())
    return [_part(x, axis, each * i, each * (i + 1)) for i in range(count)]


def tile(x: TensorLike, reps: Size | Sequence[Size]) -> Tensor:
    """The whole tensor repeated along each axis, the numbers and the axes aligned at the right.

    Raises:
        ShapeError: a number of repetitions is no size.
    """
    x = as_tensor(x)
    times = tuple(reps) if isinstance(reps, Sequence) else (reps,)
    rank = max(len(times), x.ndim)
    times = (1,) * (rank - len(times)) + times
    sizes = (1,) * (rank - x.ndim) + x.shape
    apart = tuple(s for size in sizes for s in (1, size))
    wide = tuple(s for pair in zip(times, sizes, strict=True) for s in pair)
    return broadcast_to(x.reshape(apart), wide).reshape(tuple(n * s for n, s in zip(times, sizes, strict=True)))


def repeat(x: TensorLike, repeats: Size, axis: int | None = None) -> Tensor:
    """Each element of an axis repeated; without an axis each element of the flat tensor.

    Raises:
        ShapeError: there is no such axis, or the number is no size.
    """
    x = as_tensor(x)
    if axis is None:
        return repeat(x.reshape(-1), repeats, 0)
    (axis,) = located(shapes.normal_axes, (axis,), x.ndim)
    before, size, behind = x.shape[:axis], x.shape[axis], x.shape[axis + 1 :]
    wide = broadcast_to(x.reshape(*before, size, 1, *behind), (*before, size, repeats, *behind))
    return wide.reshape(*before, size * repeats, *behind)


# ---- borders


def pad(x: TensorLike, pad_width: PadWidth, mode: PadMode = "constant", constant_values: float = 0) -> Tensor:
    """Elements put before and behind each axis, one axis after the other.

    Along a symbolic size, ``reflect``, ``symmetric`` and ``wrap`` demand at the call that it has as many elements as
    they copy.

    Args:
        x: the tensor.
        pad_width: a number for all ends, ``(before, behind)`` for all axes, or such a pair for each axis.
        mode: what is put there: ``constant`` numbers, the ``edge`` element, the elements as a mirror shows them that
            stands on the edge element (``reflect``) or behind it (``symmetric``), or those of the other end (``wrap``).
        constant_values: the number of mode ``constant``.

    Raises:
        AttributeValueError: there is no such mode.
        ShapeError: a width is negative, the pairs do not fit the axes, or an empty axis is to be continued.
    """
    x = as_tensor(x)
    if mode not in _MODES:
        raise AttributeValueError("pad: no such mode", expected=", ".join(_MODES), got=repr(mode), location=here())
    widths = located(shapes.pad_widths, pad_width, x.ndim)
    if mode == "constant":
        low, high = (tuple(width[i] for width in widths) for i in (0, 1))
        return emit("pad", x, low=low, high=high, interior=(0,) * x.ndim, value=constant_values)
    for axis, (low_width, high_width) in enumerate(widths):
        if (low_width != 0 or high_width != 0) and x.shape[axis] == 0:
            raise ShapeError(
                "pad: an empty axis has nothing to continue", expected="mode constant", got=mode, location=here()
            )
        behind = _continued(x, axis, high_width, mode)
        before = [flip(part, axis) for part in reversed(_continued(flip(x, axis), axis, low_width, mode))]
        x = concatenate([*before, x, *behind], axis) if before or behind else x
    return x


def _continued(x: Tensor, axis: int, width: Size, mode: str) -> list[Tensor]:
    """What a mode puts behind an axis, in blocks: the first is the nearest one."""
    size = x.shape[axis]
    if width == 0:
        return []
    if mode == "edge" or (mode == "reflect" and size == 1):
        shape = (*x.shape[:axis], width, *x.shape[axis + 1 :])
        return [broadcast_to(_part(x, axis, -1, None), shape)]
    mirrored = flip(x, axis)
    if mode == "wrap":
        blocks = (x, x)
    elif mode == "symmetric":
        blocks = (mirrored, x)
    else:
        blocks = (_part(mirrored, axis, 1, None), _part(x, axis, 1, None))
    length = blocks[0].shape[axis]
    if not isinstance(length, int) or not isinstance(width, int):
        return [_part(blocks[0], axis, None, width)]
    whole, rest = divmod(width, length)
    out = [blocks[i % 2] for i in range(whole)]
    return [*out, _part(blocks[whole % 2], axis, None, rest)] if rest else out


# ---- triangles and diagonals


def tril(x: TensorLike, k: int = 0) -> Tensor:
    """The last two axes with 0 above the k-th diagonal (counted from the main one upwards).

    Raises:
        ShapeError: there are fewer than two axes.
    """
    x = _matrices(x, "tril")
    return where(tri(x.shape[-2], x.shape[-1], k, BOOL), x, False)


def triu(x: TensorLike, k: int = 0) -> Tensor:
    """The last two axes with 0 below the k-th diagonal (counted from the main one upwards).

    Raises:
        ShapeError: there are fewer than two axes.
    """
    x = _matrices(x, "triu")
    return where(tri(x.shape[-2], x.shape[-1], k - 1, BOOL), False, x)


def diagonal(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """A diagonal of the matrices in two axes, as a new last axis; the offset counts upwards from the main diagonal.

    Raises:
        ShapeError: there are fewer than two axes, or no such axes.
    """
    x = moveaxis(_matrices(x, "diagonal"), (axis1, axis2), (-2, -1))
    *lead, rows, columns = x.shape
    length, first = shapes.diagonal_length(rows, columns, offset), max(offset, 0)
    if isinstance(columns, int):
        start = first + max(-offset, 0) * columns
        stop = start + (length - 1) * (columns + 1) + 1 if length != 0 else start
        return x.reshape(*lead, rows * columns)[..., start : stop : columns + 1]
    number = x.astype(I32) if x.dtype is BOOL else x
    column = emit("reduce_sum", where(eye(rows, columns, offset, BOOL), number, False), axes=(-2,))
    return column[..., first : first + length].astype(x.dtype)


def trace(x: TensorLike, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Tensor:
    """The sum of a diagonal; that of ints and bools is i64.

    Raises:
        ShapeError: there are fewer than two axes, or no such axes.
    """
    return diagonal(x, offset, axis1, axis2).sum(-1)


def diag(x: TensorLike, k: int = 0) -> Tensor:
    """A diagonal of a matrix, or the matrix with a vector as its k-th diagonal and 0 elsewhere.

    Raises:
        ShapeError: it is neither a matrix nor a vector.
    """
    x = as_tensor(x)
    if x.ndim == 2:
        return diagonal(x, k)
    if x.ndim != 1:
        raise ShapeError("diag: this has no diagonal", expected="a vector or a matrix", got=x.type, location=here())
    size = x.shape[0] + abs(k)
    rows = pad(x, (max(-k, 0), max(k, 0)))
    return where(eye(size, size, k, BOOL), rows[:, None], False)


def _matrices(x: TensorLike, what: str) -> Tensor:
    x = as_tensor(x)
    if x.ndim < 2:
        raise ShapeError(f"{what}: there are no matrices", expected="at least two axes", got=x.type, location=here())
    return x
