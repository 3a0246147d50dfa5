"""Shapes that NumPy's conventions give: broadcasting, ``-1`` in a reshape, axes, and what an index selects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import EllipsisType
from typing import Any, SupportsIndex, TypeAlias, TypeGuard

import numpy as np

from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, minimum, product
from sigmagraph.errors import ShapeError
from sigmagraph.ir.graph.types import as_shape

NDArray: TypeAlias = "np.ndarray[Any, Any]"
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


def normal_axes(axes: Sequence[int], rank: int, *, repeated: bool = False) -> tuple[int, ...]:
    """Axes counted from the front, in the order given.

    Raises:
        ShapeError: there is no such axis, or one is named twice where that means nothing.
    """
    for axis in axes:
        if not _is_int(axis) or not -rank <= axis.__index__() < rank:
            raise ShapeError("there is no such axis", expected=f"-{rank} .. {rank - 1}", got=axis)
    out = tuple(axis % rank for axis in axes)
    if len(set(out)) < len(out) and not repeated:
        raise ShapeError("an axis is named twice", expected="each axis once", got=tuple(axes))
    return out


def pad_widths(width: Any, rank: int) -> tuple[tuple[Size, Size], ...]:
    """The sizes before and behind each axis that an argument of ``pad`` means: one, a pair, or a pair for each axis.

    Raises:
        ShapeError: there are not as many pairs as axes, or a size is none.
    """
    if not isinstance(width, Sequence):
        width = (width, width)
    pairs = list(width) if width and all(isinstance(w, Sequence) for w in width) else [width]
    pairs = pairs * rank if len(pairs) == 1 else pairs
    if len(pairs) != rank or any(not isinstance(pair, Sequence) or len(pair) != 2 for pair in pairs):
        expected = f"a size, a pair of sizes, or {rank} pairs"
        raise ShapeError("the widths do not fit the axes", expected=expected, got=width)
    sizes = [as_shape(pair) for pair in pairs]
    return tuple((before, behind) for before, behind in sizes)


def diagonal_length(rows: Size, columns: Size, k: int) -> Size:
    """The number of elements of the k-th diagonal of a matrix."""
    length = minimum(rows + min(k, 0), columns - max(k, 0))
    return max(length, 0) if isinstance(length, int) else length


def occupied_axes(axis: int | Sequence[int] | None, shape: Shape, what: str) -> tuple[int, ...]:
    """The axes meant by the argument of a reduction that has no value for nothing.

    Raises:
        ShapeError: an axis has size 0.
    """
    axes = reduced_axes(axis, len(shape))
    for a in axes:
        if -len(shape) <= a < len(shape) and shape[a] == 0:
            raise ShapeError(
                f"nothing has no {what}: axis {a} is empty", expected="at least 1 element", got=text(shape)
            )
    return axes


@dataclass(frozen=True, slots=True)
class Selection:
    """What an index selects: some axes are turned round, then a strided range of each is taken.

    Attributes:
        backwards: the axes that are turned round.
        start, stop, step: a range of each axis, its step positive.
        shape: what this gives once axes are dropped and inserted.
    """

    backwards: tuple[int, ...]
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
    ranges: list[tuple[Size, Size, int]] = []
    backwards: list[int] = []
    out: list[Size] = []
    for item in expand_ellipsis(key if isinstance(key, tuple) else (key,), shape):
        if item is None:
            out.append(1)
            continue
        axis, size = len(ranges), shape[len(ranges)]
        if isinstance(item, slice):
            step = _step(item, axis)
            start, stop = _range(item, size, axis, step)
            backwards += [axis] if step < 0 else []
            step = abs(step)
            out.append(ceildiv(stop - start, step))
        else:
            start = _position(item, size, axis)
            stop, step = start + 1, 1
        ranges.append((start, stop, step))
    starts, stops, steps = zip(*ranges, strict=True) if ranges else ((), (), ())
    return Selection(tuple(backwards), starts, stops, steps, tuple(out))


def from_front(indices: NDArray, size: Size) -> NDArray:
    """Indices of an axis that may count from its end, as they count from its front.

    Raises:
        ShapeError: one is out of range, or counts from the end of a symbolic size.
    """
    if not indices.size:
        return indices
    low, high = int(indices.min()), int(indices.max())
    if not isinstance(size, int):
        if low < 0:
            raise ShapeError("an index counts from the end of a symbolic size", expected="at least 0", got=low)
        return indices
    if low < -size or high >= size:
        got = low if low < -size else high
        raise ShapeError("an index is out of range", expected=f"-{size} .. {size - 1}", got=got)
    return np.where(indices < 0, indices.astype(np.int64) + size, indices) if low < 0 else indices


def expand_ellipsis(key: tuple[object, ...], shape: Shape) -> tuple[object, ...]:
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


def _step(item: slice, axis: int) -> int:
    step = 1 if item.step is None else item.step
    if not _is_int(step) or step.__index__() == 0:
        raise ShapeError(f"the step of axis {axis} is no step", expected="an int other than 0", got=repr(step))
    return step.__index__()


def _range(item: slice, size: Size, axis: int, step: int) -> tuple[Size, Size]:
    """The range that a slice reads; with a negative step in an axis that was turned round."""
    if step > 0:
        low, high = _bound(item.start, 0, size, axis), _bound(item.stop, size, size, axis)
    else:  # the bounds are the last index and the one before the first
        low, high = _bound(item.stop, 0, size, axis, 1), _bound(item.start, size, size, axis, 1)
        low, high = size - high, size - low
    length = high - low
    return low, low if isinstance(length, int) and length < 0 else high


def _bound(value: object, default: Size, size: Size, axis: int, offset: int = 0) -> Size:
    if value is None:
        return default
    if isinstance(value, Dim):
        return value + offset
    if not _is_int(value):
        raise ShapeError(f"a bound of axis {axis} is no size", expected="int or Dim", got=repr(value))
    index = value.__index__()
    bound = (index if index >= 0 else size + index) + offset
    return min(max(bound, 0), size) if isinstance(bound, int) and isinstance(size, int) else bound
