"""Composites around the softmax: stable forms with gradients of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.dtypes import F32, I32
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
from sigmagraph.ops.fragments import broadcast, full_like, reciprocal
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


def masked_softmax(x: NDArray, axis: int = -1) -> NDArray:
    """The softmax along an axis, in NumPy, and 0 where all is -inf."""
    greatest = np.max(x, axis, keepdims=True, initial=-np.inf)
    powers = np.exp(x - np.where(greatest == -np.inf, 0.0, greatest))
    total = np.sum(powers, axis, keepdims=True)
    out: NDArray = powers / np.where(total == 0, 1.0, total)
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
    total = b.emit("reduce_sum", powers, axes=(attrs["axis"],), keepdims=True)
    return b.emit("mul", powers, broadcast(b, reciprocal(b, total), b.type(powers).shape))


def _decompose_masked_softmax(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    (x,), axis, shape = inputs, attrs["axis"], b.type(inputs[0]).shape
    greatest = b.emit("reduce_max", x, axes=(axis,), keepdims=True)
    nothing = b.emit("eq", greatest, full_like(b, -np.inf, greatest))
    shift = b.emit("select", nothing, full_like(b, 0.0, greatest), greatest)  # -inf - -inf would be NaN
    powers = b.emit("exp", b.emit("sub", x, broadcast(b, shift, shape)))
    total = b.emit("reduce_sum", powers, axes=(axis,), keepdims=True)
    empty = b.emit("eq", total, full_like(b, 0.0, total))
    divisor = b.emit("select", empty, full_like(b, 1.0, total), total)
    return b.emit("mul", powers, broadcast(b, reciprocal(b, divisor), shape))


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


SOFTMAX = _along_axis(
    "softmax",
    "exp(x - m) / sum(exp(x - m)) along `axis`, where m is the greatest element there.",
    softmax,
    _vjp_softmax,
    _decompose_softmax,
)
LOG_SOFTMAX = _along_axis(
    "log_softmax",
    "x - m - log(sum(exp(x - m))) along `axis`, where m is the greatest element there.",
    log_softmax,
    _vjp_log_softmax,
    _decompose_log_softmax,
)
MASKED_SOFTMAX = _along_axis(
    "masked_softmax",
    "softmax(x) along `axis`, where -inf stands for what is left out; 0 where everything is left out.",
    masked_softmax,
    _vjp_softmax,
    _decompose_masked_softmax,
)
OPS = (SOFTMAX, LOG_SOFTMAX, MASKED_SOFTMAX)
