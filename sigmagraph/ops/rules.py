"""What the records of several ops share: rules for element types and shapes, places in memory, guards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import BOOL, I64
from sigmagraph.errors import DTypeError
from sigmagraph.ir.graph.opdef import Inference
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.expr import Const, Expr, Index, apply, cast


def infer_float(context: Inference) -> tuple[TensorType, ...]:
    """The type of the one operand, which must be of floats.

    Raises:
        DTypeError: it is not.
    """
    (x,) = context.types
    if not x.dtype.is_float:
        raise context.error("the element type does not fit", expected="a float type", got=x.dtype, kind=DTypeError)
    return (x,)


def infer_number(context: Inference) -> tuple[TensorType, ...]:
    """The type of the one operand, which must be of numbers.

    Raises:
        DTypeError: it is of bools.
    """
    (x,) = context.types
    if x.dtype is BOOL:
        raise context.error(
            "bools are not numbers", expected="a number type (cast first)", got=x.dtype, kind=DTypeError
        )
    return (x,)


def shape_attribute(context: Inference, name: str = "shape") -> tuple[Size, ...]:
    """An attribute that is a shape.

    Raises:
        ShapeError: a size is negative.
    """
    shape: tuple[Size, ...] = context.attrs[name]
    for size in shape:
        if isinstance(size, int) or not size.is_name:  # a name is a size, and no size is negative
            context.at_least(size, 0, f"a size in '{name}' is negative")
    return shape


def axis_numbers(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Axes that are known to exist, counted from the front."""
    return tuple(axis % rank for axis in axes)


def flatten(index: Sequence[Size], shape: Sequence[Size]) -> Size:
    """The place of an element in memory, counted in elements (row-major)."""
    flat: Size = 0
    for i, size in zip(index, shape, strict=True):
        flat = flat * size + (0 if size == 1 else i)
    return flat


def unflatten(flat: Size, shape: Sequence[Size]) -> tuple[Size, ...]:
    """The index of an element from its place in memory."""
    wide = [i for i, size in enumerate(shape) if size != 1]
    index: list[Size] = [0] * len(shape)
    if 0 in shape:
        return tuple(index)  # there is no element; a division by the size would mean nothing
    for i in wide:
        stride = product(shape[i + 1 :])
        index[i] = flat // stride
        if i != wide[0]:
            index[i] -= flat // (stride * shape[i]) * shape[i]
    return tuple(index)


def reshaped_index(index: Sequence[Size], shape: Sequence[Size], to: Sequence[Size]) -> tuple[Size, ...]:
    """The index in shape ``to`` of the element at ``index`` in ``shape``, which has as many elements.

    Groups of axes that hold the same elements are mapped on their own, so that most axes keep their index and nothing
    is divided where axes do not really mix.
    """
    out: list[Size] = []
    for (a, b), (c, d) in _matching_groups(to, shape):
        out += unflatten(flatten(index[c:d], shape[c:d]), to[a:b])
    return tuple(out)


def _matching_groups(
    first: Sequence[Size], second: Sequence[Size]
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Runs of axes of both shapes with equal numbers of elements, as short as possible, in order."""
    a = c = 0
    behind = [product(second[:d]) for d in range(len(second) + 1)]
    for b in range(1, len(first)):
        size = product(first[:b])
        d = next((d for d in range(c, len(second) + 1) if behind[d] == size), None)
        if d is not None:
            yield (a, b), (c, d)
            a, c = b, d
    yield (a, len(first)), (c, len(second))


def all_nonnegative(conditions: Iterable[Size]) -> Expr:
    """Whether all index expressions are at least 0."""
    zero = Const(0, I64)
    tests = [apply("ge", Index(condition), zero) for condition in conditions]
    if not tests:
        return Const(True, BOOL)
    out: Expr = tests[0]
    for test in tests[1:]:
        out = apply("and", out, test)
    return out


def clamped(value: Expr, low: Size, high: Size) -> Expr:
    """An integer value as i64 within ``low .. high``, in the form by which a let of it may be an index."""
    return apply("max", Index(low), apply("min", Index(high), cast(value, I64)))
