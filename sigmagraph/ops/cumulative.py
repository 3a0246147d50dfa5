"""Ops that run along an axis: every element of the result is made of those before it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64, I32, I64, DType
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Frame,
    Inference,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Index, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ir.kernel.kernel import Block
from sigmagraph.ops.fragments import broadcast, full_like, shift, size_value
from sigmagraph.ops.loops import between, each, load, register, serial, store, without
from sigmagraph.ops.reduction import accumulator, exact, extreme_value
from sigmagraph.ops.rules import infer_float, infer_number
from sigmagraph.ops.samples import M, N, distinct, integers, nonzero, normal

_AXIS = AttrSpec("axis", "axis", "the axis that is run along")
_REVERSE = AttrSpec("reverse", "bool", "whether from the end to the beginning", False)
_MATRIX = TensorType(F32, (2, 3))
_COMBINE: Mapping[str, np.ufunc] = {"add": np.add, "mul": np.multiply, "min": np.minimum, "max": np.maximum}


def _first(op: str, dtype: DType) -> float | int:
    """What changes nothing when it is combined with a number."""
    if op in ("min", "max"):
        return extreme_value(dtype, greatest=op == "min")
    return int(op == "mul")


# ---- cumulative


def _infer(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_number(context)
    op = context.attrs["combine"]
    if op not in _COMBINE:
        raise context.error(
            "there is no such 'combine'", expected=", ".join(_COMBINE), got=op, kind=AttributeValueError
        )
    context.axis(context.attrs["axis"], x.rank)
    return (x,)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    (x,), dtype = inputs, types[0].dtype
    way = np.s_[::-1] if attrs["reverse"] else np.s_[:]
    rows = np.moveaxis(exact(x), attrs["axis"], 0)[way]
    with np.errstate(all="ignore"):
        if attrs["exclusive"]:
            first = np.full((1, *rows.shape[1:]), _first(attrs["combine"], dtype), rows.dtype)
            rows = np.concatenate((first, rows))[: len(rows)]
        out = _COMBINE[attrs["combine"]].accumulate(rows, 0, dtype=rows.dtype)
        return (np.moveaxis(out[way], 0, attrs["axis"]).astype(dtype.numpy),)


def _loops(frame: Frame) -> Block:
    (x,), (out,) = frame.reads, frame.writes
    axis, op = frame.attrs["axis"] % len(x.shape), frame.attrs["combine"]
    wide = accumulator(x.dtype)
    alloc, total = register("%total", wide)

    def body(outer: tuple[Size, ...]) -> Block:
        def step(number: Size) -> Block:
            at = between(outer, axis, _along(number, x.shape[axis], frame.attrs["reverse"]))
            grown = store(total, (0,), apply(op, load(total, (0,)), cast_expr(load(x, at), wide)))
            done = store(out, at, cast_expr(load(total, (0,)), x.dtype))
            return (done, grown) if frame.attrs["exclusive"] else (grown, done)

        first = store(total, (0,), Const(_first(op, wide), wide))
        return (alloc, first, serial("%k", x.shape[axis], step))

    return each(without(x.shape, axis), body)


def _along(number: Size, size: Size, reverse: bool) -> Size:
    return size - 1 - number if reverse else number


def _vjp(c: VjpContext) -> Sequence[Value]:
    match c.attrs["combine"]:
        case "add":
            return (_cumulative(c, c.cotangents[0], reverse=not c.attrs["reverse"]),)
        case "mul":
            return (_vjp_product(c),)
        case _:
            return (_vjp_extreme(c),)


def _cumulative(c: VjpContext, x: Value, **changes: object) -> Value:
    return c.emit("cumulative", x, **{**c.attrs, **changes})


def _vjp_product(c: VjpContext) -> Value:
    """The product of all before, times r[i] = sum over k of g[k] times the product of all between i and k.

    r is a recurrence, r[i] = g[i] + x[i+1] * r[i+1], so that nothing is divided and zeros do no harm.
    """
    (x,), (g,) = c.inputs, c.cotangents
    axis, reverse = c.attrs["axis"], c.attrs["reverse"]
    place = axis % len(c.type(x).shape)
    before = _cumulative(c, x, exclusive=True)
    if c.attrs["exclusive"]:
        rest = shift(c, c.emit("recurrence", x, g, axis=axis, reverse=not reverse), place, not reverse)
    else:
        rest = c.emit("recurrence", shift(c, x, place, not reverse), g, axis=axis, reverse=not reverse)
    return c.emit("mul", before, rest)


def _vjp_extreme(c: VjpContext) -> Value:
    """The cotangent goes to the last element so far that was the extreme; its place is a cumulative extreme itself."""
    (x,), (g,) = c.inputs, c.cotangents
    shape, reverse = c.type(x).shape, c.attrs["reverse"]
    axis = c.attrs["axis"] % len(shape)
    numbers = c.emit("iota", axis=axis, shape=shape, dtype=I64)
    first = size_value(c, shape[axis] - 1, I64) if reverse else c.constant(0, I64)
    hit = c.emit("eq", x, _cumulative(c, x, exclusive=False))
    places = c.emit("select", hit, numbers, broadcast(c, first, shape))
    places = _cumulative(c, places, combine="min" if reverse else "max", exclusive=False)
    if c.attrs["exclusive"]:
        g = shift(c, g, axis, not reverse)
    return c.emit("put_along_axis", full_like(c, 0.0, x), places, g, axis=axis, mode="add")


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    for op in _COMBINE:
        draw = distinct if op in ("min", "max") else nonzero
        for exclusive in (False, True):
            flags = {"combine": op, "exclusive": exclusive}
            infinite = exclusive and op in ("min", "max")
            yield Sample((draw(rng, 2, 4, 3),), {"axis": 1, **flags}, kinks=infinite)
            yield Sample((draw(rng, 3, 5),), {"axis": -1, "reverse": True, **flags}, kinks=infinite)
        yield Sample((draw(rng, 5, 3),), {"axis": 0, "combine": op}, shapes=((N, M),))
        yield Sample((draw(rng, 4, 5, 2),), {"axis": 1, "combine": op, "reverse": True}, shapes=((N, M, 2),))
        yield Sample((integers(rng, 3, 7),), {"axis": 1, "combine": op}, exact=True)
    yield Sample((np.array([[2.0, 0.0, -3.0, 0.0, 0.5]]),), {"axis": 1, "combine": "mul"})
    yield Sample((normal(rng, 7),), {"axis": 0})
    yield Sample((normal(rng, 3, 0),), {"axis": 1})
    yield Sample((normal(rng, 0, 3),), {"axis": 1, "combine": "mul"})
    for op in _COMBINE:
        yield Sample((np.array([1.0, 1.0, -np.inf, 2.0, np.nan, 3.0]),), {"axis": 0, "combine": op}, kinks=True)


# ---- recurrence


def _infer_recurrence(context: Inference) -> tuple[TensorType, ...]:
    a, b = context.types
    if not a.dtype.is_float or a.dtype is not b.dtype:
        got = f"{a.dtype}, {b.dtype}"
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    shape = context.same_shape(a.shape, b.shape, "the operands")
    context.axis(context.attrs["axis"], len(shape))
    return (TensorType(a.dtype, shape),)


def _reference_recurrence(
    inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    way = np.s_[::-1] if attrs["reverse"] else np.s_[:]
    a, b = (np.moveaxis(exact(array), attrs["axis"], 0)[way] for array in inputs)
    out = np.empty_like(b)
    state = np.zeros(b.shape[1:])
    with np.errstate(all="ignore"):
        for k in range(len(b)):
            out[k] = state = a[k] * state + b[k] if k else b[k]
    return (np.moveaxis(out[way], 0, attrs["axis"]).astype(types[0].dtype.numpy),)


def _recurrence_loops(frame: Frame) -> Block:
    (a, b), (out,) = frame.reads, frame.writes
    axis, size = frame.attrs["axis"] % len(a.shape), a.shape[frame.attrs["axis"]]
    wide = accumulator(a.dtype)
    alloc, state = register("%state", wide)

    def body(outer: tuple[Size, ...]) -> Block:
        def at(number: Size) -> tuple[Size, ...]:
            return between(outer, axis, _along(number, size, frame.attrs["reverse"]))

        def step(number: Size) -> Block:
            product = apply("mul", cast_expr(load(a, at(number)), wide), load(state, (0,)))
            begins = apply("eq", Index(number), Const(0, I64))
            before = apply("select", begins, Const(0.0, wide), product)
            grown = apply("add", before, cast_expr(load(b, at(number)), wide))
            return (store(state, (0,), grown), store(out, at(number), cast_expr(load(state, (0,)), a.dtype)))

        return (alloc, store(state, (0,), Const(0.0, wide)), serial("%k", size, step))

    return each(without(a.shape, axis), body)


def _vjp_recurrence(c: VjpContext) -> Sequence[Value]:
    """The cotangents run back the same way: s[k] = g[k] + a[k+1] * s[k+1]."""
    (a, _), (h,), (g,) = c.inputs, c.outputs, c.cotangents
    axis, reverse = c.attrs["axis"] % len(c.type(a).shape), c.attrs["reverse"]
    back = c.emit("recurrence", shift(c, a, axis, not reverse), g, axis=axis, reverse=not reverse)
    return (c.emit("mul", back, shift(c, h, axis, reverse)), back)


def _recurrence_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 4, 3), normal(rng, 2, 4, 3)), {"axis": 1})
    yield Sample((normal(rng, 3, 5), normal(rng, 3, 5)), {"axis": -1, "reverse": True})
    yield Sample((normal(rng, 5), normal(rng, 5)), {"axis": 0})
    yield Sample((normal(rng, 5, 3), normal(rng, 5, 3)), {"axis": 0}, shapes=((N, M), (N, M)))
    yield Sample((np.zeros((3, 4)), normal(rng, 3, 4)), {"axis": 1})
    yield Sample((normal(rng, 3, 0), normal(rng, 3, 0)), {"axis": 1})


# ---- cumulative_logsumexp


def _infer_logsumexp(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_float(context)
    context.axis(context.attrs["axis"], x.rank)
    return (x,)


def _reference_logsumexp(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    way = np.s_[::-1] if attrs["reverse"] else np.s_[:]
    rows = np.moveaxis(exact(inputs[0]), attrs["axis"], 0)[way]
    with np.errstate(all="ignore"):
        out = np.logaddexp.accumulate(rows, 0)
    return (np.moveaxis(out[way], 0, attrs["axis"]).astype(types[0].dtype.numpy),)


def _growth(b: NodeBuilder, values: Value, axis: int, reverse: bool) -> Value:
    """exp(v[k-1] - v[k]), 1 where both are the same infinity; the first is of no account."""
    before = shift(b, values, axis, reverse)
    factor = b.emit("exp", b.emit("sub", before, values))
    return b.emit("select", b.emit("eq", before, values), full_like(b, 1.0, values), factor)


def _decompose_logsumexp(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    """The sum of exponentials relative to the greatest element so far, as a recurrence."""
    x, reverse = inputs[0], attrs["reverse"]
    axis = attrs["axis"] % len(b.type(x).shape)
    greatest = b.emit("cumulative", x, axis=axis, combine="max", reverse=reverse)
    one = full_like(b, 1.0, x)
    power = b.emit("exp", b.emit("sub", x, greatest))
    power = b.emit("select", b.emit("eq", x, greatest), one, power)
    total = b.emit("recurrence", _growth(b, greatest, axis, reverse), power, axis=axis, reverse=reverse)
    return b.emit("add", greatest, b.emit("log", total))


def _vjp_logsumexp(c: VjpContext) -> Sequence[Value]:
    """exp(x[i] - y[i]) * r[i] with r[i] = g[i] + exp(y[i] - y[i+1]) * r[i+1]: no exponent is above 0."""
    (x,), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    reverse = c.attrs["reverse"]
    axis = c.attrs["axis"] % len(c.type(x).shape)
    growth = shift(c, _growth(c, y, axis, reverse), axis, not reverse)
    share = c.emit("recurrence", growth, g, axis=axis, reverse=not reverse)
    return (c.emit("mul", c.emit("exp", c.emit("sub", x, y)), share),)


def _logsumexp_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 4, 3),), {"axis": 1})
    yield Sample((normal(rng, 3, 5) * 3,), {"axis": -1, "reverse": True})
    yield Sample((normal(rng, 5, 3),), {"axis": 0}, shapes=((N, M),))
    yield Sample((normal(rng, 3, 0),), {"axis": 1})
    yield Sample((np.array([-800.0, 0.0, 700.0, 701.0, -np.inf, np.inf, 1.0]),), {"axis": 0}, kinks=True)
    yield Sample((np.array([-np.inf, -np.inf, 1.0, np.nan, 2.0]),), {"axis": 0}, kinks=True)


OPS = (
    OpDef(
        name="cumulative",
        doc="Each element combined with all before it along `axis` by `combine`, add, mul, min or max; NaN from a "
        "NaN on. `exclusive` leaves the element itself out; the first is 0, 1, the greatest or the least number then. "
        "Integers wrap. The gradient of products divides nothing; that of an extreme goes to the last of equals.",
        kind=OpKind.OPAQUE,
        arity=1,
        attrs=(
            _AXIS,
            AttrSpec("combine", "str", "add, mul, min or max", "add"),
            AttrSpec("exclusive", "bool", "whether an element is left out of its own result", False),
            _REVERSE,
        ),
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        loops=_loops,
        samples=_samples,
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(BOOL, (2, 3)),), {"axis": 0}, DTypeError, "not numbers"),
            ErrorSample((_MATRIX,), {"axis": 0, "combine": "sub"}, AttributeValueError, "no such 'combine'"),
        ),
    ),
    OpDef(
        name="recurrence",
        doc="h[k] = a[k] * h[k-1] + b[k] along `axis`: a[...], b[...] -> h[...]. The first a is of no "
        "account. All gradients of it are recurrences again.",
        kind=OpKind.OPAQUE,
        arity=2,
        attrs=(_AXIS, _REVERSE),
        infer=_infer_recurrence,
        reference=_reference_recurrence,
        vjp=_vjp_recurrence,
        loops=_recurrence_loops,
        samples=_recurrence_samples,
        errors=(
            ErrorSample((_MATRIX, _MATRIX), {"axis": -3}, ShapeError, "no such axis"),
            ErrorSample((_MATRIX, TensorType(F64, (2, 3))), {"axis": 0}, DTypeError, "element types do not fit"),
            ErrorSample((TensorType(I32, (2,)),) * 2, {"axis": 0}, DTypeError, "element types do not fit"),
            ErrorSample((_MATRIX, TensorType(F32, (2, 4))), {"axis": 0}, ShapeError, "axis 1 of the operands"),
        ),
    ),
    OpDef(
        name="cumulative_logsumexp",
        doc="log(exp(x[0]) + ... + exp(x[k])) along `axis`, without overflow and without loss where elements are far "
        "apart.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(_AXIS, _REVERSE),
        infer=_infer_logsumexp,
        reference=_reference_logsumexp,
        vjp=_vjp_logsumexp,
        decompose=_decompose_logsumexp,
        samples=_logsumexp_samples,
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(I32, (2, 3)),), {"axis": 0}, DTypeError, "element type does not fit"),
        ),
    ),
)
