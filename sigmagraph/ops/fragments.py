"""Pieces of graph that the gradients and decompositions of several ops are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import I32, I64, DType, Kind
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import Condition, NodeBuilder
from sigmagraph.ir.graph.value import Value


def reshape(b: NodeBuilder, value: Value, shape: Sequence[Size]) -> Value:
    """The value in another shape; itself when it has that shape."""
    return value if b.type(value).shape == tuple(shape) else b.emit("reshape", value, shape=tuple(shape))


def transpose(b: NodeBuilder, value: Value, axes: Sequence[int]) -> Value:
    """The value with its axes in another order (all counted from the front); itself when that is their order."""
    return value if list(axes) == list(range(len(axes))) else b.emit("transpose", value, axes=tuple(axes))


def broadcast(b: NodeBuilder, value: Value, shape: Sequence[Size]) -> Value:
    """The value repeated up to a shape; itself when it has that shape."""
    return value if b.type(value).shape == tuple(shape) else b.emit("broadcast", value, shape=tuple(shape))


def cast(b: NodeBuilder, value: Value, dtype: DType) -> Value:
    """The value as another type; itself when it has that type."""
    return value if b.type(value).dtype is dtype else b.emit("cast", value, dtype=dtype)


def expand(b: NodeBuilder, value: Value, axes: Sequence[int], shape: Sequence[Size]) -> Value:
    """A value that was reduced over ``axes`` of ``shape`` (which are left out or 1), repeated along them again."""
    kept = tuple(1 if i in axes else size for i, size in enumerate(shape))
    return broadcast(b, reshape(b, value, kept), shape)


def collapse(b: NodeBuilder, value: Value, shape: Sequence[Size]) -> Value:
    """The sum of a value over the axes along which ``shape`` was broadcast to the value's shape."""
    wide = b.type(value).shape
    lead = len(wide) - len(shape)
    axes = tuple(i for i, size in enumerate(wide) if i < lead or (shape[i - lead] == 1 and size != 1))
    return reshape(b, b.emit("reduce_sum", value, axes=axes) if axes else value, shape)


def size_value(b: NodeBuilder, size: Size, dtype: DType) -> Value:
    """A size as a scalar; a symbolic one is the last number of a sequence, which costs nothing when it is lowered."""
    if isinstance(size, int):
        return b.constant(size, dtype)
    numbers = b.emit("iota", axis=0, shape=(size + 1,), dtype=I64)
    last = b.emit("slice", numbers, start=(size,), stop=(size + 1,), step=(1,))
    return cast(b, reshape(b, last, ()), dtype)


def table_guards(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> tuple[Condition, ...]:
    """The condition of ops on a table and indices: all these lie within the table's ``axis``."""
    shape = b.type(inputs[0]).shape
    return within(b, 1, inputs[1], shape[attrs["axis"] % len(shape)])


def within(b: NodeBuilder, operand: int, indices: Value, size: Size) -> tuple[Condition, ...]:
    """The condition that all elements of an operand lie in ``0 .. size - 1``."""
    type = b.type(indices)
    # What the type of the elements may not hold is compared with wider ones.
    fits = isinstance(size, int) and size <= np.iinfo(type.dtype.numpy).max
    wide = indices if fits else cast(b, indices, I64)
    limit = broadcast(b, size_value(b, size, b.type(wide).dtype), type.shape)
    holds = b.emit("lt", wide, limit)
    if type.dtype.kind is not Kind.UINT:
        holds = b.emit("and", b.emit("ge", indices, full_like(b, 0, indices)), holds)
    every = b.emit("reduce_all", holds, axes=tuple(range(type.rank)))
    return (Condition(operand, every, f"an index is out of range, 0 .. {size - 1}"),)


def full_like(b: NodeBuilder, value: float, like: Value) -> Value:
    """A number with the type of another value."""
    return b.full(value, b.type(like))


def reciprocal(b: NodeBuilder, value: Value) -> Value:
    """1 / value: what many elements are multiplied by where each would be divided, which takes a processor longer."""
    return b.emit("div", full_like(b, 1.0, value), value)


def class_hits(b: NodeBuilder, labels: Value, classes: Size) -> Value:
    """``[..., classes]`` of bool: whether the class is the one that the label of the row names."""
    dtype = b.type(labels).dtype
    counted = I64 if dtype is I64 else I32  # a narrow type could not count up to the classes
    shape = (*b.type(labels).shape, classes)
    numbers = b.emit("iota", axis=len(shape) - 1, shape=shape, dtype=counted)
    return b.emit("eq", expand(b, cast(b, labels, counted), (len(shape) - 1,), shape), numbers)


def shift(b: NodeBuilder, x: Value, axis: int, reverse: bool = False) -> Value:
    """The elements moved on by one along an axis (back, if ``reverse``); 0 comes in."""
    shape = b.type(x).shape
    none, one = [0] * len(shape), [int(i == axis) for i in range(len(shape))]
    low, high = (none, one) if reverse else (one, none)
    longer = b.emit("pad", x, low=tuple(low), high=tuple(high), interior=tuple(none))
    stop = tuple(start + size for start, size in zip(high, shape, strict=True))
    return b.emit("slice", longer, start=tuple(high), stop=stop, step=(1,) * len(shape))
