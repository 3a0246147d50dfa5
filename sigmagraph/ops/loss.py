"""Losses with gradients of their own, as composites: what is lost where labels or probabilities name the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import F32, F64, I32, I64
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import (
    Condition,
    ErrorSample,
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
from sigmagraph.ops.fragments import broadcast, cast, class_hits, expand, full_like, reshape, size_value, within
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.samples import M, N, normal
from sigmagraph.ops.softmax import log_softmax

_MATRIX, _LABELS = TensorType(F32, (2, 3)), TensorType(I32, (2,))


# ---- labels: softmax_cross_entropy and negative_log_likelihood


def _infer_labelled(context: Inference) -> tuple[TensorType, ...]:
    rows, labels = context.types
    if not rows.dtype.is_float:
        raise context.error("the rows are no floats", expected="a float type", got=rows.dtype, kind=DTypeError)
    if not labels.dtype.is_integer:
        raise context.error("the labels are no integers", expected="an integer type", got=labels.dtype, kind=DTypeError)
    if rows.rank < 1:
        raise context.error("the first operand has no axis of classes", expected="[...,classes]", got=rows)
    context.at_least(rows.shape[-1], 1, "there are no classes")
    context.same_shape(rows.shape[:-1], labels.shape, "the rows and the labels")
    return (TensorType(rows.dtype, rows.shape[:-1]),)


def _picked(rows: NDArray, labels: NDArray) -> NDArray:
    """Minus the number of each row that its label names; NaN where it names none."""
    valid = (labels >= 0) & (labels < rows.shape[-1])
    picked = np.take_along_axis(rows, np.where(valid, labels, 0).astype(np.int64)[..., None], -1)[..., 0]
    return np.where(valid, -picked, np.nan)


def _reference_likelihood(
    inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    return (_picked(exact(inputs[0]), inputs[1]).astype(types[0].dtype.numpy),)


def _reference_cross_entropy(
    inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    with np.errstate(all="ignore"):
        return (_picked(log_softmax(exact(inputs[0])), inputs[1]).astype(types[0].dtype.numpy),)


def _valid(b: NodeBuilder, rows: Value, labels: Value) -> Value:
    """Whether each label names a class."""
    counted = I64 if b.type(labels).dtype is I64 else I32
    numbers = cast(b, labels, counted)
    classes = size_value(b, b.type(rows).shape[-1], counted)
    below = b.emit("lt", numbers, broadcast(b, classes, b.type(numbers).shape))
    return b.emit("and", b.emit("ge", numbers, full_like(b, 0, numbers)), below)


def _decompose_likelihood(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    rows, shape = inputs[0], b.type(inputs[0]).shape
    labels = reshape(b, inputs[1], shape[:-1])
    chosen = b.emit("select", class_hits(b, labels, shape[-1]), rows, full_like(b, 0.0, rows))
    loss = b.emit("neg", b.emit("reduce_sum", chosen, axes=(len(shape) - 1,)))
    return b.emit("select", _valid(b, rows, labels), loss, full_like(b, np.nan, loss))


def _decompose_cross_entropy(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("negative_log_likelihood", b.emit("log_softmax", inputs[0]), inputs[1])


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


def _labelled_samples(rng: np.random.Generator) -> Iterator[Sample]:
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


_LABELLED_ERRORS = (
    ErrorSample((TensorType(I32, (2, 3)), _LABELS), {}, DTypeError, "rows are no floats"),
    ErrorSample((_MATRIX, TensorType(F32, (2,))), {}, DTypeError, "labels are no integers"),
    ErrorSample((_MATRIX, TensorType(I32, (3,))), {}, ShapeError, "the rows and the labels differ"),
    ErrorSample((_MATRIX, TensorType(I32, (2, 3))), {}, ShapeError, "ranks of the rows"),
    ErrorSample((TensorType(F32, (2, 0)), _LABELS), {}, ShapeError, "no classes"),
    ErrorSample((TensorType(F32, ()), TensorType(I32, ())), {}, ShapeError, "no axis of classes"),
)


# ---- probabilities: distribution_cross_entropy and binary_cross_entropy


def _infer_alike(context: Inference) -> tuple[TensorType, ...]:
    x, targets = context.types
    if not x.dtype.is_float or targets.dtype is not x.dtype:
        got = f"{x.dtype}, {targets.dtype}"
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    return (TensorType(x.dtype, context.same_shape(x.shape, targets.shape, "the operands")),)


def _infer_distribution(context: Inference) -> tuple[TensorType, ...]:
    (x,) = _infer_alike(context)
    if x.rank < 1:
        raise context.error("the operands have no axis of classes", expected="[...,classes]", got=x)
    return (TensorType(x.dtype, x.shape[:-1]),)


def _reference_distribution(
    inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    logits, targets = map(exact, inputs)
    with np.errstate(all="ignore"):
        shares = np.where(targets == 0, 0.0, targets * log_softmax(logits))
        return (-np.sum(shares, -1).astype(types[0].dtype.numpy),)


def _decompose_distribution(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    logits, targets = inputs
    zero = full_like(b, 0.0, targets)
    shares = b.emit("mul", targets, b.emit("log_softmax", logits))
    shares = b.emit("select", b.emit("eq", targets, zero), zero, shares)  # a class that must not be costs nothing
    return b.emit("neg", b.emit("reduce_sum", shares, axes=(-1,)))


def _vjp_distribution(c: VjpContext) -> Sequence[Value]:
    """(softmax(logits) * sum(targets) - targets) * g for the logits, -log_softmax(logits) * g for the targets."""
    (logits, targets), (g,) = c.inputs, c.cotangents
    shape = c.type(logits).shape
    last = (len(shape) - 1,)
    weight = expand(c, g, last, shape)
    total = expand(c, c.emit("reduce_sum", targets, axes=last), last, shape)
    error = c.emit("sub", c.emit("mul", c.emit("softmax", logits), total), targets)
    return (c.emit("mul", error, weight), c.emit("neg", c.emit("mul", c.emit("log_softmax", logits), weight)))


def _probabilities(rng: np.random.Generator, *shape: int) -> NDArray:
    return rng.uniform(0.1, 0.9, shape)


def _distribution_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 3, 5), _probabilities(rng, 3, 5)))
    yield Sample((normal(rng, 2, 4, 3) * 9, _probabilities(rng, 2, 4, 3)))
    yield Sample((normal(rng, 0, 5), _probabilities(rng, 0, 5)))
    yield Sample((normal(rng, 4, 3), _probabilities(rng, 4, 3)), shapes=((N, M), (N, M)))
    yield Sample((np.array([[1.0, -np.inf], [np.nan, 1.0], [800.0, 0.0]]), np.array([[1.0, 0.0]] * 3)), kinks=True)


# As PyTorch has it: a loss is at most 100, and a slope has no smaller divisor than this.
_LEAST_LOG, _LEAST_VARIANCE = -100.0, 1e-12


def _reference_binary(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    p, t = map(exact, inputs)
    with np.errstate(all="ignore"):
        yes, no = np.maximum(np.log(p), _LEAST_LOG), np.maximum(np.log1p(-p), _LEAST_LOG)
        return ((-t * yes - (1 - t) * no).astype(types[0].dtype.numpy),)


def _logarithms(b: NodeBuilder, p: Value) -> tuple[Value, Value]:
    """log(p) and log(1 - p), neither below the least."""
    least = full_like(b, _LEAST_LOG, p)
    yes, no = b.emit("log", p), b.emit("log1p", b.emit("neg", p))
    return b.emit("maximum", yes, least), b.emit("maximum", no, least)


def _decompose_binary(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    p, t = inputs
    yes, no = _logarithms(b, p)
    rest = b.emit("sub", full_like(b, 1.0, t), t)
    return b.emit("neg", b.emit("add", b.emit("mul", t, yes), b.emit("mul", rest, no)))


def _vjp_binary(c: VjpContext) -> Sequence[Value]:
    """(p - t) / (p * (1 - p)) * g for the probabilities, (log(1 - p) - log(p)) * g for the targets."""
    (p, t), (g,) = c.inputs, c.cotangents
    variance = c.emit("mul", p, c.emit("sub", full_like(c, 1.0, p), p))
    variance = c.emit("maximum", variance, full_like(c, _LEAST_VARIANCE, p))
    slope = c.emit("div", c.emit("sub", p, t), variance)
    yes, no = _logarithms(c, p)
    return (c.emit("mul", g, slope), c.emit("mul", g, c.emit("sub", no, yes)))


def _binary_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((_probabilities(rng, 3, 5), _probabilities(rng, 3, 5)))
    yield Sample((_probabilities(rng), _probabilities(rng)))
    yield Sample((_probabilities(rng, 0, 3), _probabilities(rng, 0, 3)))
    yield Sample((_probabilities(rng, 4, 3), _probabilities(rng, 4, 3)), shapes=((N, 3), (N, 3)))
    p, t = np.meshgrid([0.0, 1.0, 0.5, 1e-6, 1e-40, np.nan, 2.0], [0.0, 1.0, 0.25])
    yield Sample((p.reshape(-1), t.reshape(-1)), kinks=True)


_ALIKE_ERRORS = (
    ErrorSample((_MATRIX, TensorType(F32, (2, 4))), {}, ShapeError, "axis 1 of the operands differ"),
    ErrorSample((_MATRIX, TensorType(F32, (3,))), {}, ShapeError, "ranks of the operands differ"),
    ErrorSample((_MATRIX, TensorType(F64, (2, 3))), {}, DTypeError, "element types do not fit"),
    ErrorSample((_MATRIX, TensorType(I32, (2, 3))), {}, DTypeError, "element types do not fit"),
)


def _label_guards(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> tuple[Condition, ...]:
    return within(b, 1, inputs[1], b.type(inputs[0]).shape[-1])


_NONE_NAMED = "NaN where a label names no class; the gradient of such a row is 0."
OPS = (
    OpDef(
        name="softmax_cross_entropy",
        doc=f"-log_softmax(logits)[label] of every row: logits[...,classes], labels[...] of integers -> [...]. "
        f"{_NONE_NAMED}",
        kind=OpKind.COMPOSITE,
        arity=2,
        infer=_infer_labelled,
        reference=_reference_cross_entropy,
        vjp=_vjp_cross_entropy,
        decompose=_decompose_cross_entropy,
        guards=_label_guards,
        samples=_labelled_samples,
        errors=_LABELLED_ERRORS,
    ),
    OpDef(
        name="negative_log_likelihood",
        doc=f"-x[label] of every row: x[...,classes], labels[...] of integers -> [...]. {_NONE_NAMED}",
        kind=OpKind.COMPOSITE,
        arity=2,
        infer=_infer_labelled,
        reference=_reference_likelihood,
        decompose=_decompose_likelihood,
        guards=_label_guards,
        samples=_labelled_samples,
        errors=_LABELLED_ERRORS,
    ),
    OpDef(
        name="distribution_cross_entropy",
        doc="-sum(targets * log_softmax(logits)) of every row: logits[...,classes], targets[...,classes] -> [...]. A "
        "target of 0 costs 0, however unlikely its class is.",
        kind=OpKind.COMPOSITE,
        arity=2,
        infer=_infer_distribution,
        reference=_reference_distribution,
        vjp=_vjp_distribution,
        decompose=_decompose_distribution,
        samples=_distribution_samples,
        errors=(
            *_ALIKE_ERRORS,
            ErrorSample((TensorType(F32, ()), TensorType(F32, ())), {}, ShapeError, "no axis of classes"),
        ),
    ),
    OpDef(
        name="binary_cross_entropy",
        doc="-t * log(p) - (1 - t) * log(1 - p) of probabilities p and targets t in 0 .. 1. Logarithms are at least "
        "-100, and p * (1 - p) in the gradient at least 1e-12, as in PyTorch.",
        kind=OpKind.COMPOSITE,
        arity=2,
        infer=_infer_alike,
        reference=_reference_binary,
        vjp=_vjp_binary,
        decompose=_decompose_binary,
        samples=_binary_samples,
        errors=_ALIKE_ERRORS,
    ),
)
