"""Reductions that are written in terms of others: truth, means, variances, logarithms of sums, places of extremes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import BOOL, F32, I32, I64
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    DecomposeRule,
    ErrorSample,
    Inference,
    InferRule,
    NDArray,
    NodeBuilder,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
    VjpRule,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import broadcast, cast, expand, full_like, size_value
from sigmagraph.ops.reduction import ATTRS, accumulator, exact, infer_reduction, reduced_shape
from sigmagraph.ops.rules import axis_numbers, infer_float, infer_number
from sigmagraph.ops.samples import M, N, booleans, distinct, integers, normal

_MATRIX = TensorType(F32, (2, 3))
_DIVISOR = AttrSpec("ddof", "int", "what is subtracted from the number of elements before it divides", 0)


def _count(shape: Sequence[Size], axes: Sequence[int]) -> Size:
    return product(shape[axis] for axis in axes)


def _infer_float_reduction(context: Inference) -> tuple[TensorType, ...]:
    infer_float(context)
    return infer_reduction(context)


def _divided(b: NodeBuilder, value: Value, divisor: Size) -> Value:
    type = b.type(value)
    return b.emit("div", value, broadcast(b, size_value(b, divisor, type.dtype), type.shape))


def _along(c: VjpContext, value: Value) -> Value:
    """A value of the result's shape, repeated along the reduced axes."""
    shape = c.type(c.inputs[0]).shape
    return expand(c, value, axis_numbers(c.attrs["axes"], len(shape)), shape)


# ---- truth


def _truth(name: str, word: str, nothing: str, combine: Callable[..., NDArray], extreme: str) -> OpDef:
    def infer(context: Inference) -> tuple[TensorType, ...]:
        (x,) = context.types
        if x.dtype is not BOOL:
            raise context.error("only bools are true or false", expected=BOOL, got=x.dtype, kind=DTypeError)
        axes = context.axes(context.attrs["axes"], x.rank)
        return (TensorType(BOOL, reduced_shape(x.shape, axes, context.attrs["keepdims"])),)

    def reference(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        return (np.asarray(combine(inputs[0], attrs["axes"], keepdims=attrs["keepdims"])),)

    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        """The extreme of zeros and ones; that of nothing is the type's own, of the sign that is wanted."""
        found = b.emit(extreme, b.emit("cast", inputs[0], dtype=I32), **attrs)
        return b.emit("gt", found, full_like(b, 0, found))

    return OpDef(
        name=name,
        doc=f"Whether {word} element along `axes` is true; {nothing} of nothing.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=ATTRS,
        infer=infer,
        reference=reference,
        vjp=NotDifferentiable("bools do not change continuously"),
        decompose=decompose,
        samples=_truth_samples,
        errors=(
            ErrorSample((_MATRIX,), {"axes": (0,)}, DTypeError, "only bools"),
            ErrorSample((TensorType(BOOL, (2, 3)),), {"axes": (2,)}, ShapeError, "no such axis"),
        ),
    )


def _truth_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for axes, keepdims in (((1,), False), ((0, -1), True), ((), False)):
        yield Sample((booleans(rng, 2, 3, 5),), {"axes": axes, "keepdims": keepdims}, exact=True)
    yield Sample((np.array([[True] * 3, [False] * 3]),), {"axes": (1,)}, exact=True)
    yield Sample((booleans(rng, 3, 0),), {"axes": (1,)}, exact=True)
    yield Sample((booleans(rng, 3, 2),), {"axes": (0,)}, shapes=((N, M),), exact=True)


# ---- mean


def _reference_mean(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x = exact(inputs[0])
    total = np.sum(x, attrs["axes"], keepdims=attrs["keepdims"])
    with np.errstate(all="ignore"):
        return (
            np.asarray(total / np.prod([x.shape[axis] for axis in attrs["axes"]], dtype=np.float64)).astype(
                types[0].dtype.numpy
            ),
        )


def _vjp_mean(c: VjpContext) -> Sequence[Value]:
    count = _count(c.type(c.inputs[0]).shape, c.attrs["axes"])
    return (_along(c, _divided(c, c.cotangents[0], count)),)


def _decompose_mean(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    operand = b.type(inputs[0])
    wide = cast(b, inputs[0], accumulator(operand.dtype))  # half precision can hold a mean whose sum it cannot
    total = b.emit("reduce_sum", wide, **attrs)
    return cast(b, _divided(b, total, _count(operand.shape, attrs["axes"])), operand.dtype)


def _mean_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for axes, keepdims in (((1,), False), ((0, -1), True), ((), False)):
        yield Sample((normal(rng, 2, 3, 5),), {"axes": axes, "keepdims": keepdims})
    yield Sample((normal(rng, 0, 3),), {"axes": (1,)})
    yield Sample((normal(rng, 3, 0),), {"axes": (1,)}, kinks=True)
    yield Sample((normal(rng, 5, 3),), {"axes": (0,)}, shapes=((N, 3),))
    yield Sample((normal(rng, 5, 3),), {"axes": (0, 1)}, shapes=((N, M),))


# ---- variance


def _infer_variance(context: Inference) -> tuple[TensorType, ...]:
    (out,) = _infer_float_reduction(context)
    count = _count(context.types[0].shape, context.attrs["axes"])
    context.at_least(count, context.attrs["ddof"], "there are fewer elements than 'ddof'")
    return (out,)


def _reference_variance(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, axes, keepdims = exact(inputs[0]), attrs["axes"], attrs["keepdims"]
    count = np.prod([x.shape[axis] for axis in axes], dtype=np.float64)
    with np.errstate(all="ignore"):
        squares = np.square(x - np.sum(x, axes, keepdims=True) / count)
        return (
            np.asarray(np.sum(squares, axes, keepdims=keepdims) / (count - attrs["ddof"])).astype(types[0].dtype.numpy),
        )


def _deviation(b: NodeBuilder, x: Value, axes: Sequence[int]) -> Value:
    mean = b.emit("reduce_mean", x, axes=axes, keepdims=True)
    return b.emit("sub", x, broadcast(b, mean, b.type(x).shape))


def _vjp_variance(c: VjpContext) -> Sequence[Value]:
    """2 g (x - mean) / (n - ddof): what flows through the mean adds up to zero."""
    (x,), (g,), axes = c.inputs, c.cotangents, c.attrs["axes"]
    divisor = _count(c.type(x).shape, axes) - c.attrs["ddof"]
    share = _along(c, _divided(c, c.emit("add", g, g), divisor))
    return (c.emit("mul", share, _deviation(c, x, axes)),)


def _decompose_variance(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    """Two passes: the difference of two large sums would lose the digits that count."""
    operand, axes = b.type(inputs[0]), attrs["axes"]
    squares = b.emit("square", _deviation(b, cast(b, inputs[0], accumulator(operand.dtype)), axes))
    total = b.emit("reduce_sum", squares, axes=axes, keepdims=attrs["keepdims"])
    return cast(b, _divided(b, total, _count(operand.shape, axes) - attrs["ddof"]), operand.dtype)


def _variance_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _mean_samples(rng)
    yield Sample((normal(rng, 3, 7) + 1000,), {"axes": (1,), "ddof": 1})
    yield Sample((normal(rng, 3, 7),), {"axes": (0,), "ddof": 2}, shapes=((N, M),))
    yield Sample((normal(rng, 3, 1),), {"axes": (1,), "ddof": 1}, kinks=True)
    yield Sample((np.array([[1.0, np.nan, 2.0], [np.inf, 1.0, 0.0]]),), {"axes": (1,)}, kinks=True)


# ---- logsumexp


def _reference_logsumexp(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, axes, keepdims = exact(inputs[0]), attrs["axes"], attrs["keepdims"]
    with np.errstate(all="ignore"):
        greatest = np.max(x, axes, keepdims=True, initial=-np.inf)
        greatest = np.where(np.isfinite(greatest), greatest, 0)
        total = np.log(np.sum(np.exp(x - greatest), axes, keepdims=True)) + greatest
        return (np.asarray(total if keepdims else np.squeeze(total, attrs["axes"])).astype(types[0].dtype.numpy),)


def _vjp_logsumexp(c: VjpContext) -> Sequence[Value]:
    """G * exp(x - y), which is the softmax; 0 where all elements are -inf."""
    (x,), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    nothing = c.emit("eq", y, full_like(c, -np.inf, y))
    finite = c.emit("select", nothing, full_like(c, 0.0, y), y)
    return (c.emit("mul", _along(c, g), c.emit("exp", c.emit("sub", x, _along(c, finite)))),)


def _decompose_logsumexp(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x,), axes, shape = inputs, attrs["axes"], b.type(inputs[0]).shape
    greatest = b.emit("reduce_max", x, axes=axes, keepdims=True)
    finite = b.emit("lt", b.emit("abs", greatest), full_like(b, np.inf, greatest))
    shift = b.emit("select", finite, greatest, full_like(b, 0.0, greatest))
    powers = b.emit("exp", b.emit("sub", x, broadcast(b, shift, shape)))
    total = b.emit("add", b.emit("log", b.emit("reduce_sum", powers, axes=axes, keepdims=True)), shift)
    return total if attrs["keepdims"] else _without(b, total, axes)


def _without(b: NodeBuilder, value: Value, axes: Sequence[int]) -> Value:
    shape = b.type(value).shape
    return b.emit("reshape", value, shape=reduced_shape(shape, axis_numbers(axes, len(shape)), keepdims=False))


def _logsumexp_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield from _mean_samples(rng)
    yield Sample((normal(rng, 2, 7) * 300,), {"axes": (1,)}, kinks=True)
    rows = [[0.0, np.nan], [np.inf, 0.0], [-np.inf, 1.0], [-np.inf, -np.inf]]
    yield Sample((np.array(rows),), {"axes": (1,)}, kinks=True)


# ---- places of extremes


def _infer_place(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_number(context)
    axis = context.axis(context.attrs["axis"], x.rank)
    context.at_least(x.shape[axis], 1, "nothing has no extreme element: the axis is empty")
    return (TensorType(I64, reduced_shape(x.shape, (axis,), context.attrs["keepdims"])),)


def _place(name: str, word: str, find: Callable[..., NDArray], extreme: str) -> OpDef:
    def reference(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        return (np.asarray(find(exact(inputs[0]), attrs["axis"], keepdims=attrs["keepdims"])).astype(np.int64),)

    def decompose(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
        (x,) = inputs
        shape = b.type(x).shape
        axis = attrs["axis"] % len(shape)
        found = b.emit(extreme, x, axes=(axis,), keepdims=True)
        hit = b.emit("or", b.emit("eq", x, broadcast(b, found, shape)), b.emit("ne", x, x))
        never = broadcast(b, b.constant(np.iinfo(np.int64).max, I64), shape)
        place = b.emit("select", hit, b.emit("iota", axis=axis, shape=shape, dtype=I64), never)
        return b.emit("reduce_min", place, axes=(axis,), keepdims=attrs["keepdims"])

    return OpDef(
        name=name,
        doc=f"The index (i64) of the {word} element along `axis`: the first of equals; the first NaN if there is one.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(AttrSpec("axis", "axis", "the axis along which is searched"), ATTRS[1]),
        infer=_infer_place,
        reference=reference,
        vjp=NotDifferentiable("an index is a whole number and does not change continuously"),
        decompose=decompose,
        samples=_place_samples,
        traits=frozenset({Trait.PLACES}),
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(F32, (2, 0)),), {"axis": 1}, ShapeError, "the axis is empty"),
            ErrorSample((TensorType(BOOL, (2,)),), {"axis": 0}, DTypeError, "not numbers"),
        ),
    )


def _place_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for axis, keepdims in ((0, False), (1, True), (-1, False)):
        yield Sample((distinct(rng, 3, 5, 2),), {"axis": axis, "keepdims": keepdims}, exact=True)
    yield Sample((distinct(rng, 5, 3),), {"axis": 1}, shapes=((N, M),), exact=True)
    yield Sample((normal(rng, 0, 3),), {"axis": 1}, exact=True)
    ties = np.array([[1.0, 4.0, 4.0, 1.0, np.inf], [np.nan, 9.0, np.nan, 1.0, 2.0], [-np.inf] * 5])
    yield Sample((ties,), {"axis": 1}, exact=True)
    yield Sample((integers(rng, 3, 7),), {"axis": 0}, exact=True)


def _float_reduction(
    name: str,
    doc: str,
    reference: Callable[[Sequence[NDArray], Attrs, tuple[TensorType, ...]], tuple[NDArray, ...]],
    vjp: VjpRule,
    decompose: DecomposeRule,
    samples: Callable[[np.random.Generator], Iterator[Sample]],
    *,
    infer: InferRule = _infer_float_reduction,
    attrs: tuple[AttrSpec, ...] = (),
    errors: tuple[ErrorSample, ...] = (),
) -> OpDef:
    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(*ATTRS, *attrs),
        infer=infer,
        reference=reference,
        vjp=vjp,
        decompose=decompose,
        samples=samples,
        errors=(
            ErrorSample((TensorType(I32, (2, 3)),), {"axes": (0,)}, DTypeError, "element type does not fit"),
            ErrorSample((_MATRIX,), {"axes": (2,)}, ShapeError, "no such axis"),
            *errors,
        ),
    )


OPS = (
    _truth("reduce_any", "any", "False", np.any, "reduce_max"),
    _truth("reduce_all", "every", "True", np.all, "reduce_min"),
    _float_reduction(
        "reduce_mean",
        "The sum along `axes` divided by the number of elements; NaN of nothing.",
        _reference_mean,
        _vjp_mean,
        _decompose_mean,
        _mean_samples,
    ),
    _float_reduction(
        "reduce_variance",
        "The sum along `axes` of the squared differences from the mean, divided by the number of elements less `ddof`.",
        _reference_variance,
        _vjp_variance,
        _decompose_variance,
        _variance_samples,
        infer=_infer_variance,
        attrs=(_DIVISOR,),
        errors=(ErrorSample((_MATRIX,), {"axes": (0,), "ddof": 3}, ShapeError, "fewer elements than 'ddof'"),),
    ),
    _float_reduction(
        "logsumexp",
        "log(sum(exp(x - m))) + m along `axes`, where m is the greatest element; -inf of nothing. The gradient is the "
        "softmax; 0 where all elements are -inf.",
        _reference_logsumexp,
        _vjp_logsumexp,
        _decompose_logsumexp,
        _logsumexp_samples,
    ),
    _place("argmax", "greatest", np.argmax, "reduce_max"),
    _place("argmin", "least", np.argmin, "reduce_min"),
)
