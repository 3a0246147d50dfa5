"""Normalisation along axes as composites: to mean 0 and variance 1, or to mean square 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import numpy as np

from sigmagraph.dtypes import F32, I32
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
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
from sigmagraph.ops.fragments import broadcast, cast, full_like, reciprocal
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import M, N, normal

AXES = AttrSpec("axes", "axes", "the axes along which is normalised", (-1,))
EPSILON = AttrSpec("epsilon", "float", "what is added under the square root", 1e-5)
_MATRIX = TensorType(F32, (2, 3))


def check_epsilon(context: Inference) -> None:
    """Refuse an ``epsilon`` that is negative or no finite number.

    Raises:
        AttributeValueError: it is.
    """
    if not 0 <= context.attrs["epsilon"] < np.inf:
        raise context.error(
            "'epsilon' is out of range", expected="[0, inf)", got=context.attrs["epsilon"], kind=AttributeValueError
        )


def _infer_along_axes(context: Inference) -> tuple[TensorType, ...]:
    (x,) = infer_float(context)
    context.axes(context.attrs["axes"], x.rank)
    check_epsilon(context)
    return (x,)


def _row_mean(b: NodeBuilder, value: Value, axes: Sequence[int]) -> Value:
    return b.emit("reduce_mean", value, axes=tuple(axes), keepdims=True)


def _mean(b: NodeBuilder, value: Value, axes: Sequence[int]) -> Value:
    """The mean along axes, repeated along them again."""
    return broadcast(b, _row_mean(b, value, axes), b.type(value).shape)


# ---- to mean 0 and variance 1, or to mean square 1: what all others are made of


def _scale(b: NodeBuilder, value: Value, attrs: Attrs) -> Value:
    """1 over the square root of the mean square of a value along axes, repeated along them again."""
    square = _row_mean(b, b.emit("square", value), attrs["axes"])
    root = b.emit("sqrt", b.emit("add", square, full_like(b, attrs["epsilon"], square)))
    return broadcast(b, reciprocal(b, root), b.type(value).shape)


def _wide(b: NodeBuilder, value: Value) -> Value:
    """The value in the type in which its squares are added up."""
    return cast(b, value, accumulator(b.type(value).dtype))


def _centred(b: NodeBuilder, x: Value, attrs: Attrs) -> Value:
    x = _wide(b, x)
    return b.emit("sub", x, _mean(b, x, attrs["axes"]))


def _decompose_standardise(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    centred = _centred(b, inputs[0], attrs)
    return cast(b, b.emit("mul", centred, _scale(b, centred, attrs)), b.type(inputs[0]).dtype)


def _decompose_rms(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    x = _wide(b, inputs[0])
    return cast(b, b.emit("mul", x, _scale(b, x, attrs)), b.type(inputs[0]).dtype)


def _vjp_standardise(c: VjpContext) -> Sequence[Value]:
    """(g - mean(g) - y * mean(g * y)) / root: what flows through mean and variance is cancelled beforehand."""
    return (_cancelled(c, _scale(c, _centred(c, c.inputs[0], c.attrs), c.attrs), centre=True),)


def _vjp_rms(c: VjpContext) -> Sequence[Value]:
    """(g - y * mean(g * y)) / root."""
    return (_cancelled(c, _scale(c, _wide(c, c.inputs[0]), c.attrs), centre=False),)


def _cancelled(c: VjpContext, scale: Value, *, centre: bool) -> Value:
    y, g = _wide(c, c.outputs[0]), _wide(c, c.cotangents[0])
    axes = c.attrs["axes"]
    along = c.emit("mul", y, _mean(c, c.emit("mul", g, y), axes))
    kept = c.emit("sub", g, _mean(c, g, axes)) if centre else g
    return cast(c, c.emit("mul", c.emit("sub", kept, along), scale), c.type(c.inputs[0]).dtype)


def standardised(x: NDArray, axes: tuple[int, ...], epsilon: float) -> NDArray:
    """(x - mean) / sqrt(variance + epsilon) along axes, in NumPy."""
    return rms_normalised(x - np.mean(x, axes, keepdims=True), axes, epsilon)


def rms_normalised(x: NDArray, axes: tuple[int, ...], epsilon: float) -> NDArray:
    """X / sqrt(mean(x^2) + epsilon) along axes, in NumPy."""
    out: NDArray = x / np.sqrt(np.mean(x * x, axes, keepdims=True) + epsilon)
    return out


Formula: TypeAlias = "Callable[[NDArray, tuple[int, ...], float], NDArray]"


def _reference(formula: Formula) -> Callable[..., tuple[NDArray, ...]]:
    def reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        x = exact(inputs[0])
        if x.size:
            with np.errstate(all="ignore"):
                x = formula(x, attrs["axes"], attrs["epsilon"])
        return (x.astype(types[0].dtype.numpy),)

    return reference


def _along_axes_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 3, 5),))
    yield Sample((normal(rng, 2, 4, 3),), {"axes": (0, -1), "epsilon": 0.1})
    yield Sample((normal(rng, 5) + 100,), {"axes": (0,), "epsilon": 0.0})
    yield Sample((normal(rng, 0, 3),))
    yield Sample((normal(rng, 3, 0),))
    yield Sample((normal(rng, 5, 3),), shapes=((N, 3),))
    yield Sample((normal(rng, 5, 3),), {"axes": (0,)}, shapes=((N, M),))
    yield Sample((np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, 3.0]]),), kinks=True)


_ALONG_AXES_ERRORS = (
    ErrorSample((_MATRIX,), {"axes": (2,)}, ShapeError, "no such axis"),
    ErrorSample((_MATRIX,), {"axes": (0, -2)}, ShapeError, "named twice"),
    ErrorSample((_MATRIX,), {"epsilon": -1.0}, AttributeValueError, "'epsilon' is out of range"),
    ErrorSample((TensorType(I32, (2, 3)),), {}, DTypeError, "element type does not fit"),
)


OPS = (
    OpDef(
        name="standardise",
        doc="(x - mean) / sqrt(variance + epsilon) along `axes`; the variance is the mean square of x - mean.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(AXES, EPSILON),
        infer=_infer_along_axes,
        reference=_reference(standardised),
        vjp=_vjp_standardise,
        decompose=_decompose_standardise,
        samples=_along_axes_samples,
        errors=_ALONG_AXES_ERRORS,
    ),
    OpDef(
        name="rms_normalise",
        doc="x / sqrt(mean(x^2) + epsilon) along `axes`.",
        kind=OpKind.COMPOSITE,
        arity=1,
        attrs=(AXES, EPSILON),
        infer=_infer_along_axes,
        reference=_reference(rms_normalised),
        vjp=_vjp_rms,
        decompose=_decompose_rms,
        samples=_along_axes_samples,
        errors=_ALONG_AXES_ERRORS,
    ),
)
