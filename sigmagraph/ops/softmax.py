"""Composites around the softmax: stable forms with gradients of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import F32, I32, I64
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    DecomposeRule,
    ErrorSample,
    Inference,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
    VjpRule,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import broadcast, cast, class_hits, expand, full_like, reshape, size_value
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import M, N, normal

_MATRIX = TensorType(F32, (2, 3))


def softmax(x: NDArray, axis: int = -1) -> NDArray:
    """exp(x) / sum(exp(x)) along an axis, in NumPy."""
    return np.exp(log_softmax(x, axis))


def log_softmax(x: NDArray, axis: int = -1) -> NDArray:
    """X - log(sum(exp(x))) along an axis, in NumPy."""
    shifted = x - np.max(x, axis, keepdims=True, initial=-np.inf)
    out: NDArray = shifted - np.log(np.sum(np.exp(shifted), axis, keepdims=True))
    return out


def _infer_along_axis(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_float(context)
    context.axis(context.attrs["axis"], x.rank)
    return (x,)


def _along_axis(
    name: str, doc: str, formula: Callable[[NDArray, int], NDArray], vjp: VjpRule, decompose: DecomposeRule
) -> OpDef:
    def reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        with np.errstate(all="ignore"):
            return (formula(exact(inputs[0]), attrs["axis"]).astype(types[0].dtype.numpy),)

    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(AttrSpec("axis", "axis", "the axis along which the exponentials are summed", -1),),
        infer=_infer_along_axis,
        reference=reference,
        vjp=vjp,
        decompose=decompose,
        samples=_along_axis_samples,
        errors=(
            ErrorSample((_MATRIX,), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(I32, (2, 3)),), {}, DTypeError, "element type does not fit"),
        ),
    )


def _along_axis_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 3, 5),))
    yield Sample((normal(rng, 2, 4, 3),), {"axis": 1})
    yield Sample((normal(rng, 5),), {"axis": 0})
    yield Sample((normal(rng, 0, 3),))
    yield Sample((normal(rng, 5, 3),), shapes=((N, 3),))
    yield Sample((normal(rng, 5, 3),), {"axis": 0}, shapes=((N, M),))
    yield Sample((normal(rng, 2, 7) * 200,), kinks=True)
    yield Sample((np.array([[0.0, np.nan], [np.inf, 0.0], [-np.inf, 1.0], [-np.inf, -np.inf]]),), kinks=True)


def _reduced(b: NodeBuilder, op: str, value: Value, axis: int) -> Value:
    """A reduction along one axis, repeated along it again."""
    return broadcast(b, b.emit(op, value, axes=(axis,), keepdims=True), b.type(value).shape)


def _vjp_softmax(c: VjpContext) -> Sequence[Value]:
    """Y * (g - sum(g * y))."""
    (y,), (g,) = c.outputs, c.cotangents
    mean = _reduced(c, "reduce_sum", c.emit("mul", g, y), c.attrs["axis"])
    return (c.emit("mul", y, c.emit("sub", g, mean)),)


def _decompose_softmax(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    shifted = b.emit("sub", inputs[0], _reduced(b, "reduce_max", inputs[0], attrs["axis"]))
    powers = b.emit("exp", shifted)
    return b.emit("div", powers, _reduced(b, "reduce_sum", powers, attrs["axis"]))


def _vjp_log_softmax(c: VjpContext) -> Sequence[Value]:
    """G - exp(y) * sum(g)."""
    (y,), (g,) = c.outputs, c.cotangents
    total = _reduced(c, "reduce_sum", g, c.attrs["axis"])
    return (c.emit("sub", g, c.emit("mul", c.emit("exp", y), total)),)


def _decompose_log_softmax(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    axis, shape = attrs["axis"], b.type(inputs[0]).shape
    shifted = b.emit("sub", inputs[0], _reduced(b, "reduce_max", inputs[0], axis))
    total = b.emit("reduce_sum", b.emit("exp", shifted), axes=(axis,), keepdims=True)
    return b.emit("sub", shifted, broadcast(b, b.emit("log", total), shape))


# ---- softmax_cross_entropy


def _infer_cross_entropy(context: Inference) -> tuple[TensorType, ...]:
    logits, labels = context.types
    if not logits.dtype.is_float:
        raise context.error("the logits are no floats", expected="a float type", got=logits.dtype, kind=DTypeError)
    if not labels.dtype.is_integer:
        raise context.error("the labels are no integers", expected="an integer type", got=labels.dtype, kind=DTypeError)
    if logits.rank < 1:
        raise context.error("the logits have no axis of classes", expected="logits[...,classes]", got=logits)
    context.at_least(logits.shape[-1], 1, "there are no classes")
    context.same_shape(logits.shape[:-1], labels.shape, "the rows of logits and labels")
    return (TensorType(logits.dtype, logits.shape[:-1]),)


def _reference_cross_entropy(
    inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    logits, labels = inputs
    valid = (labels >= 0) & (labels < logits.shape[-1])
    with np.errstate(all="ignore"):
        rows = log_softmax(exact(logits))
        picked = np.take_along_axis(rows, np.where(valid, labels, 0).astype(np.int64)[..., None], -1)[..., 0]
    return (np.where(valid, -picked, np.nan).astype(types[0].dtype.numpy),)


def _valid(b: NodeBuilder, logits: Value, labels: Value) -> Value:
    """Whether each label names a class."""
    counted = I64 if b.type(labels).dtype is I64 else I32
    numbers = cast(b, labels, counted)
    classes = size_value(b, b.type(logits).shape[-1], counted)
    below = b.emit("lt", numbers, broadcast(b, classes, b.type(numbers).shape))
    return b.emit("and", b.emit("ge", numbers, full_like(b, 0, numbers)), below)


def _vjp_cross_entropy(c: VjpContext) -> Sequence[Value | None]:
    """(softmax(logits) - onehot(labels)) * g, and 0 in the rows whose loss is NaN for a label that names no class.

    These rows are constant, so 0 is their derivative, and a caller who masks such losses gets the gradient of the rest.
    """
    logits, (g,) = c.inputs[0], c.cotangents
    shape = c.type(logits).shape
    labels = reshape(c, c.inputs[1], shape[:-1])
    probabilities = c.emit("softmax", logits)
    missed = c.emit("sub", probabilities, full_like(c, 1.0, probabilities))
    error = c.emit("select", class_hits(c, labels, shape[-1]), missed, probabilities)
    weight = c.emit("select", _valid(c, logits, labels), g, full_like(c, 0.0, g))
    return (c.emit("mul", error, expand(c, weight, (len(shape) - 1,), shape)), None)


def _decompose_cross_entropy(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    logits, shape = inputs[0], b.type(inputs[0]).shape
    labels = reshape(b, inputs[1], shape[:-1])
    rows = b.emit("log_softmax", logits)
    hit = class_hits(b, labels, shape[-1])
    chosen = b.emit("select", hit, rows, full_like(b, 0.0, rows))
    loss = b.emit("neg", b.emit("reduce_sum", chosen, axes=(len(shape) - 1,)))
    return b.emit("select", _valid(b, logits, labels), loss, full_like(b, np.nan, loss))


def _cross_entropy_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def labels(limit: int, *shape: int) -> NDArray:
        return rng.integers(0, limit, shape, dtype=np.int32)

    yield Sample((normal(rng, 3, 5), labels(5, 3)))
    yield Sample((normal(rng, 2, 4, 3), labels(3, 2, 4).astype(np.int64)))
    yield Sample((normal(rng, 5), labels(5)))
    yield Sample((normal(rng, 0, 5), labels(5, 0)))
    yield Sample((normal(rng, 4, 3), labels(3, 4)), shapes=((N, 3), (N,)))
    yield Sample((normal(rng, 4, 3), labels(3, 4)), shapes=((N, M), (N,)))
    yield Sample((normal(rng, 4, 3), labels(3, 4)), shapes=((N, 3), (M,)))
    yield Sample((normal(rng, 4, 3), labels(3, 4)), shapes=((N, 3), (4,)))
    yield Sample((normal(rng, 5, 3), np.array([0, -1, 3, 2, 1], np.int32)), kinks=True)
    yield Sample((normal(rng, 2, 300), np.array([255, 44], np.uint8)))
    yield Sample((normal(rng, 3, 4) * 200, labels(4, 3)), kinks=True)


_LABELS = TensorType(I32, (2,))
OPS = (
    _along_axis(
        "softmax",
        "exp(x - m) / sum(exp(x - m)) along `axis`, where m is the greatest element there.",
        softmax,
        _vjp_softmax,
        _decompose_softmax,
    ),
    _along_axis(
        "log_softmax",
        "x - m - log(sum(exp(x - m))) along `axis`, where m is the greatest element there.",
        log_softmax,
        _vjp_log_softmax,
        _decompose_log_softmax,
    ),
    OpDef(
        name="softmax_cross_entropy",
        doc="-log_softmax(logits)[label] of every row: logits[...,classes], labels[...] of integers -> [...]. NaN "
        "where a label names no class; the gradient of such a row is 0.",
        kind=OpKind.COMPOSITE,
        arity=2,
        infer=_infer_cross_entropy,
        reference=_reference_cross_entropy,
        vjp=_vjp_cross_entropy,
        decompose=_decompose_cross_entropy,
        samples=_cross_entropy_samples,
        errors=(
            ErrorSample((TensorType(I32, (2, 3)), _LABELS), {}, DTypeError, "logits are no floats"),
            ErrorSample((_MATRIX, TensorType(F32, (2,))), {}, DTypeError, "labels are no integers"),
            ErrorSample((_MATRIX, TensorType(I32, (3,))), {}, ShapeError, "rows of logits and labels differ"),
            ErrorSample((_MATRIX, TensorType(I32, (2, 3))), {}, ShapeError, "ranks of the rows"),
            ErrorSample((TensorType(F32, (2, 0)), _LABELS), {}, ShapeError, "no classes"),
            ErrorSample((TensorType(F32, ()), TensorType(I32, ())), {}, ShapeError, "no axis of classes"),
        ),
    ),
)
