"""Shapes that NumPy's conventions give: broadcasting, ``-1`` in a reshape, axes, and what an index selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, SupportsIndex, TypeAlias, TypeGuard

import numpy as np

from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, product
from sigmagraph.errors import ShapeError
from sigmagraph.ir.graph.types import as_shape

Shape: TypeAlias = "tuple[Size, ...]"


def text(shape: Sequence[Size]) -> str:
    """A shape as errors show it."""
    return "[" + ",".join(map(str, shape)) + "]"


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """The shape that operands are broadcast to: axes are aligned at the right, and an axis of size 1 is repeated.

    Two symbolic sizes, or a symbolic one and a number, count as equal: the op that reads both requires it of the call.
    A symbolic size is never taken for 1.

    Raises:
        ShapeError: two sizes differ for all dims.
    """
    rank = max(map(len, shapes), default=0)
    padded = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    return tuple(_broadcast_axis(sizes, shapes) for sizes in zip(*padded, strict=True))


def _broadcast_axis(sizes: Sequence[Size], shapes: Sequence[Shape]) -> Size:
    out: Size = 1
    for size in sizes:
        if size == 1 or size == out:
            continue
        if out != 1 and isinstance(size - out, int):
            raise ShapeError(
                "these shapes cannot be broadcast together",
                expected="sizes that are equal or 1, counted from the right",
                got=" and ".join(map(text, shapes)),
            )
        # A number says more than a symbol that must turn out to be equal to it.
        out = size if out == 1 or isinstance(size, int) else out
    return out


def stretched(shape: Shape, target: Shape) -> Shape:
    """What a shape becomes when only its missing axes and those of size 1 take the sizes of the target."""
    padded = (1,) * (len(target) - len(shape)) + shape
    return tuple(goal if size == 1 else size for size, goal in zip(padded, target, strict=True))


def reshaped(shape: Shape, wanted: Sequence[Any]) -> Shape:
    """The shape meant by the argument of a reshape, which may hold one ``-1``.

    Raises:
        ShapeError: a size is no size, there are two ``-1``, or the elements do not come out even.
    """
    open_axes = [i for i, size in enumerate(wanted) if isinstance(size, (int, np.integer)) and size == -1]
    if not open_axes:
        return as_shape(wanted)
    if len(open_axes) > 1:
        raise ShapeError("a reshape can infer one size only", expected="at most one -1", got=tuple(wanted))
    (axis,) = open_axes
    known = as_shape(size for i, size in enumerate(wanted) if i != axis)
    inferred = divide_exact(product(shape), product(known))
    if inferred is None:
        raise ShapeError(
            "the elements do not come out even",
            expected=f"a multiple of {product(known)} elements",
            got=f"{product(shape)} elements in {text(shape)}",
        )
    return (*known[:axis], inferred, *known[axis:])


def reduced_axes(axis: int | Sequence[int] | None, rank: int) -> tuple[int, ...]:
    """The axes meant by the argument of a reduction; None stands for all of them."""
    if axis is None:
        return tuple(range(rank))
    return tuple(axis) if isinstance(axis, Sequence) else (axis,)


@dataclass(frozen=True, slots=True)
class Selection:
    """What an index selects: a strided range of each axis, then ``shape``, which drops and inserts axes."""

    start: Shape
    stop: Shape
    step: tuple[int, ...]
    shape: Shape

    def is_everything(self, shape: Shape) -> bool:
        """Whether the ranges leave nothing out."""
        return self.stop == shape and all(s == 0 for s in self.start) and all(s == 1 for s in self.step)


def select(key: object, shape: Shape) -> Selection:
    """What ``x[key]`` selects of a shape, by NumPy's basic indexing: ints, Dims, slices, ``None`` and ``...``.

    Bounds beyond a size that is a number are clamped, as in NumPy; beyond a symbolic size they are errors of the call.

    Raises:
        ShapeError: an index is out of range, there are too many of them, or one is of another kind.
    """
    key = _expand_ellipsis(key if isinstance(key, tuple) else (key,), shape)
    ranges: list[tuple[Size, Size, int]] = []
    out: list[Size] = []
    for item in key:
        if item is None:
            out.append(1)
            continue
        axis, size = len(ranges), shape[len(ranges)]
        if isinstance(item, slice):
            start, stop, step = _range(item, size, axis)
            out.append(ceildiv(stop - start, step))
        else:
            start = _position(item, size, axis)
            stop, step = start + 1, 1
        ranges.append((start, stop, step))
    return Selection(tuple(r[0] for r in ranges), tuple(r[1] for r in ranges), tuple(r[2] for r in ranges), tuple(out))


def _expand_ellipsis(key: tuple[object, ...], shape: Shape) -> tuple[object, ...]:
    """The key with one item per axis (and the Nones): an ellipsis, at the end if there is none, fills up."""
    dots = [i for i, item in enumerate(key) if isinstance(item, EllipsisType)]
    if len(dots) > 1:
        raise ShapeError("an index has more than one ellipsis", expected="at most one ...", got=len(dots))
    at = dots[0] if dots else len(key)
    before, after = key[:at], key[at + 1 :]
    missing = len(shape) - sum(item is not None for item in (*before, *after))
    if missing < 0:
        raise ShapeError("there are more indices than axes", expected=f"at most {len(shape)}", got=len(shape) - missing)
    return (*before, *(slice(None),) * missing, *after)


def _is_int(value: object) -> TypeGuard[SupportsIndex]:
    return not isinstance(value, (bool, np.bool_)) and hasattr(value, "__index__")


def _position(item: object, size: Size, axis: int) -> Size:
    if isinstance(item, Dim):
        return item
    if not _is_int(item):
        raise ShapeError(
            f"the index of axis {axis} is of another kind",
            expected="an int, a Dim, a slice, None or ...",
            got=type(item).__name__,
            hint="take(x, indices, axis) picks by an array, where(mask, x, y) by a mask",
        )
    index = item.__index__()
    if isinstance(size, int) and not -size <= index < size:
        raise ShapeError(f"the index of axis {axis} is out of range", expected=f"-{size} .. {size - 1}", got=index)
    return index if index >= 0 else size + index


def _range(item: slice, size: Size, axis: int) -> tuple[Size, Size, int]:
    step = 1 if item.step is None else item.step
    if not _is_int(step) or step.__index__() < 1:
        raise ShapeError(f"the step of axis {axis} is not a positive number", expected="an int of 1 or more", got=step)
    start, stop = _bound(item.start, 0, size, axis), _bound(item.stop, size, size, axis)
    length = stop - start
    return start, start if isinstance(length, int) and length < 0 else stop, step.__index__()


def _bound(value: object, default: Size, size: Size, axis: int) -> Size:
    if value is None:
        return default
    if isinstance(value, Dim):
        return value
    if not _is_int(value):
        raise ShapeError(f"a bound of axis {axis} is no size", expected="int or Dim", got=repr(value))
    bound = value.__index__()
    if not isinstance(size, int):
        return bound if bound >= 0 else size + bound
    return min(bound, size) if bound >= 0 else max(size + bound, 0)
