"""Ops that take parts of arrays and put parts together, and compute nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size, ceildiv, maximum
from sigmagraph.dtypes import BOOL, F32, F64, I32, U8, DType
from sigmagraph.errors import AttributeValueError, DTypeError, GraphError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, Index, apply
from sigmagraph.ops.fragments import reshape
from sigmagraph.ops.rules import all_nonnegative
from sigmagraph.ops.samples import M, N, booleans, integers, normal

_MATRIX = TensorType(F32, (2, 3))


# ---- slice


def _infer_slice(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    start, stop, step = (context.attrs[name] for name in ("start", "stop", "step"))
    for name, bound in (("start", start), ("stop", stop), ("step", step)):
        if len(bound) != x.rank:
            raise context.error(f"'{name}' does not have one number for each axis", expected=x.rank, got=len(bound))
    shape: list[Size] = []
    for axis, size in enumerate(x.shape):
        if step[axis] < 1:
            raise context.error(
                "a step is not positive", expected="at least 1", got=step[axis], kind=AttributeValueError
            )
        context.at_least(start[axis], 0, f"the slice of axis {axis} starts before the axis")
        context.at_least(stop[axis], start[axis], f"the slice of axis {axis} stops before it starts")
        context.at_least(size, stop[axis], f"the slice of axis {axis} stops behind the axis")
        shape.append(ceildiv(stop[axis] - start[axis], step[axis]))
    return (TensorType(x.dtype, tuple(shape)),)


def _reference_slice(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    bounds = zip(attrs["start"], attrs["stop"], attrs["step"], strict=True)
    return (inputs[0][tuple(slice(*b) for b in bounds)],)


def _vjp_slice(c: VjpContext) -> Sequence[Value]:
    start, step = c.attrs["start"], c.attrs["step"]
    (g,), whole = c.cotangents, c.type(c.inputs[0]).shape
    interior = tuple(s - 1 for s in step)
    used = _spread(c.type(g).shape, interior)
    high = tuple(size - low - inner for size, low, inner in zip(whole, start, used, strict=True))
    return (c.emit("pad", g, low=start, high=high, interior=interior),)


def _lower_slice(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    parts = zip(index, context.attrs["start"], context.attrs["step"], strict=True)
    return context.operand(0, [start + i * step for i, start, step in parts])


def _slice_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def cut(array: NDArray, *axes: tuple[Size, Size, int], **sample: object) -> Sample:
        start, stop, step = zip(*axes, strict=True) if axes else ((), (), ())
        return Sample((array,), {"start": start, "stop": stop, "step": step}, **sample)  # type: ignore[arg-type]

    yield cut(normal(rng, 4, 7), (1, 3, 1), (0, 7, 3))
    yield cut(normal(rng, 5, 8), (0, 5, 2), (3, 7, 2))
    yield cut(normal(rng, 5, 3), (2, 2, 1), (0, 3, 1))
    yield cut(normal(rng))
    yield cut(normal(rng, 4, 5), (1, N, 1), (0, 5, 4), shapes=((N, 5),))
    yield cut(normal(rng, 7, 3), (N - 2, N, 1), (0, 3, 1), shapes=((N, 3),))
    yield cut(normal(rng, 7, 3), (1, N, 2), (0, 3, 2), shapes=((N, 3),))
    yield cut(integers(rng, 6), (1, 6, 2), exact=True)


_WHOLE = {"start": (0, 0), "stop": (2, 3), "step": (1, 1)}
SLICE = OpDef(
    name="slice",
    doc="Every `step`-th index from `start` up to but without `stop`, for each axis; 0 <= start <= stop <= size. "
    "Counting from the end and open ends are resolved by whoever builds the node.",
    kind=OpKind.MOVEMENT,
    arity=1,
    attrs=(
        AttrSpec("start", "shape", "first index of each axis"),
        AttrSpec("stop", "shape", "index behind the last of each axis"),
        AttrSpec("step", "ints", "distance of the indices of each axis"),
    ),
    infer=_infer_slice,
    reference=_reference_slice,
    vjp=_vjp_slice,
    lower=_lower_slice,
    samples=_slice_samples,
    traits=frozenset({Trait.TRANSPARENT}),
    errors=(
        ErrorSample((_MATRIX,), _WHOLE | {"start": (0,)}, ShapeError, "'start' does not have one number for each axis"),
        ErrorSample((_MATRIX,), _WHOLE | {"start": (-1, 0)}, ShapeError, "starts before the axis"),
        ErrorSample((_MATRIX,), _WHOLE | {"start": (0, 2), "stop": (2, 1)}, ShapeError, "stops before it starts"),
        ErrorSample((_MATRIX,), _WHOLE | {"stop": (2, 4)}, ShapeError, "axis 1 stops behind the axis"),
        ErrorSample((_MATRIX,), _WHOLE | {"step": (1, 0)}, AttributeValueError, "not positive"),
    ),
)


# ---- pad


def _spread(shape: Sequence[Size], interior: Sequence[int]) -> tuple[Size, ...]:
    """The sizes once ``interior`` elements stand between neighbours."""
    return tuple(n + k * maximum(n - 1, 0) if k else n for n, k in zip(shape, interior, strict=True))


def _holds(dtype: DType, value: float) -> bool:
    if dtype.is_float:
        return True
    least, greatest = (0, 1) if dtype is BOOL else (np.iinfo(dtype.numpy).min, np.iinfo(dtype.numpy).max)
    return value.is_integer() and least <= value <= greatest


def _infer_pad(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    low, high, interior = (context.attrs[name] for name in ("low", "high", "interior"))
    for name, widths in (("low", low), ("high", high), ("interior", interior)):
        if len(widths) != x.rank:
            raise context.error(f"'{name}' does not have one number for each axis", expected=x.rank, got=len(widths))
        for width in widths:
            context.at_least(width, 0, f"a number in '{name}' is negative")
    value = context.attrs["value"]
    if not _holds(x.dtype, value):
        raise context.error("the operand's type has no such value", expected=x.dtype, got=value, kind=DTypeError)
    sizes = zip(_spread(x.shape, interior), low, high, strict=True)
    return (TensorType(x.dtype, tuple(before + n + behind for n, before, behind in sizes)),)


def _reference_pad(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    (x,) = inputs
    out = np.full(types[0].shape, np.asarray(attrs["value"]).astype(x.dtype))  # type: ignore[type-var]
    parts = zip(attrs["low"], _spread(x.shape, attrs["interior"]), attrs["interior"], strict=True)
    out[tuple(slice(low, low + size, k + 1) for low, size, k in parts)] = x
    return (out,)


def _vjp_pad(c: VjpContext) -> Sequence[Value]:
    low, interior = c.attrs["low"], c.attrs["interior"]
    shape = c.type(c.inputs[0]).shape
    stop = tuple(before + n for before, n in zip(low, _spread(shape, interior), strict=True))
    g = c.emit("slice", c.cotangents[0], start=low, stop=stop, step=tuple(k + 1 for k in interior))
    return (reshape(c, g, shape),)


def _lower_pad(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    conditions: list[Size] = []
    inner: list[Size] = []
    attrs, shape = context.attrs, context.types[0].shape
    for i, n, low, high, k in zip(index, shape, attrs["low"], attrs["high"], attrs["interior"], strict=True):
        place = i - low
        if low != 0:
            conditions.append(place)
        if high != 0:
            conditions.append((n - 1) * (k + 1) - place)
        if k:
            conditions.append(place // (k + 1) * (k + 1) - place)  # 0 at the elements, negative between them
        inner.append(place // (k + 1))
    value = context.operand(0, inner, conditions)
    if not conditions:
        return value
    return apply("select", all_nonnegative(conditions), value, _filling(attrs["value"], context.result))


def _filling(value: float, type: TensorType) -> Const:
    number = bool(value) if type.dtype is BOOL else value if type.dtype.is_float else int(value)
    return Const(number, type.dtype)


def _pad_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def padded(array: NDArray, *axes: tuple[Size, Size, int], value: float = 0.0, **sample: object) -> Sample:
        low, high, interior = zip(*axes, strict=True) if axes else ((), (), ())
        return Sample((array,), {"low": low, "high": high, "interior": interior, "value": value}, **sample)  # type: ignore[arg-type]

    yield padded(normal(rng, 2, 3), (1, 2, 0), (0, 4, 0), value=-1.5)
    yield padded(normal(rng, 2, 4), (2, 0, 1), (0, 3, 2))
    yield padded(normal(rng, 0, 3), (1, 1, 2), (0, 1, 0))
    yield padded(normal(rng))
    yield padded(normal(rng, 4, 3), (0, N, 0), (1, 1, 1), shapes=((N, 3),))
    yield padded(normal(rng, 4, 3), (0, 0, 2), (N, 0, 0), shapes=((N, 3),))
    yield padded(integers(rng, 2, 3), (1, 0, 0), (0, 1, 0), value=7.0, exact=True)
    yield padded(booleans(rng, 3), (2, 0, 0), value=1.0, exact=True)


_NOTHING = {"low": (0, 0), "high": (0, 0), "interior": (0, 0)}
PAD = OpDef(
    name="pad",
    doc="`low` elements before, `high` behind and `interior` between the elements of each axis, all of them `value`.",
    kind=OpKind.MOVEMENT,
    arity=1,
    attrs=(
        AttrSpec("low", "shape", "number of elements put before each axis"),
        AttrSpec("high", "shape", "number of elements put behind each axis"),
        AttrSpec("interior", "ints", "number of elements put between neighbours of each axis"),
        AttrSpec("value", "float", "what is put there", 0.0),
    ),
    infer=_infer_pad,
    reference=_reference_pad,
    vjp=_vjp_pad,
    lower=_lower_pad,
    samples=_pad_samples,
    traits=frozenset({Trait.TRANSPARENT}),
    errors=(
        ErrorSample((_MATRIX,), _NOTHING | {"low": (1,)}, ShapeError, "'low' does not have one number for each axis"),
        ErrorSample((_MATRIX,), _NOTHING | {"high": (0, -1)}, ShapeError, "a number in 'high' is negative"),
        ErrorSample((_MATRIX,), _NOTHING | {"interior": (-1, 0)}, ShapeError, "a number in 'interior' is negative"),
        ErrorSample((TensorType(I32, (2, 3)),), _NOTHING | {"value": 0.5}, DTypeError, "has no such value"),
        ErrorSample((TensorType(U8, (2, 3)),), _NOTHING | {"value": 256.0}, DTypeError, "has no such value"),
    ),
)


# ---- concatenate


def _infer_concatenate(context: Inference) -> tuple[TensorType, ...]:
    if not context.types:
        raise context.error("there is nothing to concatenate", expected="at least one operand", got=0, kind=GraphError)
    first = context.types[0]
    axis = context.axis(context.attrs["axis"], first.rank)
    shape = list(first.shape)
    for other in context.types[1:]:
        if other.dtype is not first.dtype:
            raise context.error("the element types differ", expected=first.dtype, got=other.dtype, kind=DTypeError)
        if other.rank != first.rank:
            raise context.error("the ranks of the operands differ", expected=first.rank, got=other.rank)
        for i, size in enumerate(other.shape):
            if i == axis:
                shape[i] = shape[i] + size
            else:
                shape[i] = context.same(shape[i], size, f"the sizes of axis {i} of the operands")
    return (TensorType(first.dtype, tuple(shape)),)


def _reference_concatenate(
    inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    return (np.concatenate(inputs, attrs["axis"]),)


def _vjp_concatenate(c: VjpContext) -> Sequence[Value]:
    (g,) = c.cotangents
    whole = c.type(g).shape
    axis = c.attrs["axis"] % len(whole)
    out: list[Value] = []
    at: Size = 0
    for operand in c.inputs:
        end = at + c.type(operand).shape[axis]
        start = tuple(at if i == axis else 0 for i in range(len(whole)))
        stop = tuple(end if i == axis else size for i, size in enumerate(whole))
        out.append(c.emit("slice", g, start=start, stop=stop, step=(1,) * len(whole)))
        at = end
    return out


def _lower_concatenate(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    axis = context.attrs["axis"] % len(index)
    ends: list[Size] = []
    for operand in context.types:
        ends.append((ends[-1] if ends else 0) + operand.shape[axis])
    out: Expr | None = None
    for number in reversed(range(len(ends))):
        start = ends[number - 1] if number else 0
        guard = [index[axis] - start] if number else []
        if number < len(ends) - 1:
            guard.append(ends[number] - 1 - index[axis])
        place = [i - start if k == axis else i for k, i in enumerate(index)]
        value = context.operand(number, place, guard)
        before_end = apply("lt", Index(index[axis]), Index(ends[number]))
        out = value if out is None else apply("select", before_end, value, out)
    assert out is not None  # infer demands an operand
    return out


def _concatenate_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3), normal(rng, 4, 3), normal(rng, 1, 3)), {"axis": 0})
    yield Sample((normal(rng, 2, 3), normal(rng, 2, 5)), {"axis": -1})
    yield Sample((normal(rng, 4),), {"axis": 0})
    yield Sample((normal(rng, 0, 3), normal(rng, 2, 3)), {"axis": 0})
    yield Sample((normal(rng, 4, 3), normal(rng, 5, 3)), {"axis": 0}, shapes=((N, 3), (M, 3)))
    yield Sample((normal(rng, 4, 3), normal(rng, 4, 2)), {"axis": 1}, shapes=((N, 3), (N, 2)))
    yield Sample((integers(rng, 2), integers(rng, 3)), {"axis": 0}, exact=True)


CONCATENATE = OpDef(
    name="concatenate",
    doc="The operands one behind the other along `axis`; all other sizes are equal.",
    kind=OpKind.MOVEMENT,
    arity=None,
    attrs=(AttrSpec("axis", "axis", "the axis along which they are put"),),
    infer=_infer_concatenate,
    reference=_reference_concatenate,
    vjp=_vjp_concatenate,
    lower=_lower_concatenate,
    samples=_concatenate_samples,
    errors=(
        ErrorSample((), {"axis": 0}, GraphError, "nothing to concatenate"),
        ErrorSample((_MATRIX, TensorType(F64, (2, 3))), {"axis": 0}, DTypeError, "element types differ"),
        ErrorSample((_MATRIX, TensorType(F32, (2, 4))), {"axis": 0}, ShapeError, "axis 1 of the operands differ"),
        ErrorSample((_MATRIX, TensorType(F32, (2,))), {"axis": 0}, ShapeError, "ranks of the operands differ"),
        ErrorSample((_MATRIX, _MATRIX), {"axis": 2}, ShapeError, "no such axis"),
    ),
)

OPS = (SLICE, PAD, CONCATENATE)
