"""The dense layer and the activations it may end in, as composites."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from sigmagraph.dims import product
from sigmagraph.dtypes import F32, F64, I32
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
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
from sigmagraph.ops.fragments import broadcast, full_like, reshape
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.rules import infer_float
from sigmagraph.ops.samples import M, N, fractional, normal, one_operand, special
from sigmagraph.ops.softmax import log_softmax, softmax

_MATRIX = TensorType(F32, (2, 3))


def _relu(x: NDArray) -> NDArray:
    return np.maximum(x, 0)


def _sigmoid(x: NDArray) -> NDArray:
    return 1 / (1 + np.exp(-x))


_FORMULAS: Mapping[str, Callable[[NDArray], NDArray]] = MappingProxyType(
    {"relu": _relu, "sigmoid": _sigmoid, "tanh": np.tanh, "softmax": softmax, "log_softmax": log_softmax}
)
ACTIVATIONS = ("none", *_FORMULAS)


def _activation(name: str, doc: str, vjp: VjpRule, decompose: DecomposeRule) -> OpDef:
    def reference(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
        with np.errstate(all="ignore"):
            return (np.asarray(_FORMULAS[name](exact(inputs[0]))).astype(types[0].dtype.numpy),)

    return OpDef(
        name=name,
        doc=doc,
        kind=OpKind.COMPOSITE,
        arity=1,
        infer=infer_float,
        reference=reference,
        vjp=vjp,
        decompose=decompose,
        samples=lambda rng: (*one_operand(fractional)(rng), special(1)),
        errors=(ErrorSample((TensorType(I32, (2,)),), {}, DTypeError, "element type does not fit"),),
    )


def _vjp_relu(c: VjpContext) -> Sequence[Value]:
    (y,), (g,) = c.outputs, c.cotangents
    zero = full_like(c, 0.0, y)
    return (c.emit("select", c.emit("gt", y, zero), g, zero),)


def _decompose_relu(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    return b.emit("maximum", inputs[0], full_like(b, 0.0, inputs[0]))


def _vjp_sigmoid(c: VjpContext) -> Sequence[Value]:
    (y,), (g,) = c.outputs, c.cotangents
    return (c.emit("mul", g, c.emit("mul", y, c.emit("sub", full_like(c, 1.0, y), y))),)


def _decompose_sigmoid(b: NodeBuilder, inputs: tuple[Value, ...], _attrs: Attrs) -> Value:
    one = full_like(b, 1.0, inputs[0])
    return b.emit("div", one, b.emit("add", one, b.emit("exp", b.emit("neg", inputs[0]))))


# ---- dense


def _infer_dense(context: Inference) -> tuple[TensorType, ...]:
    x, weights, bias = context.types
    if not x.dtype.is_float or len({t.dtype for t in context.types}) > 1:
        got = ", ".join(str(t.dtype) for t in context.types)
        raise context.error("the element types do not fit", expected="floats of one type", got=got, kind=DTypeError)
    if x.rank < 1 or weights.rank != 2 or bias.rank != 1:
        raise context.error(
            "the ranks do not fit", expected="x[...,in], weights[in,out], bias[out]", got="the operands"
        )
    if context.attrs["activation"] not in ACTIVATIONS:
        raise context.error(
            "there is no such activation",
            expected=", ".join(ACTIVATIONS),
            got=context.attrs["activation"],
            kind=AttributeValueError,
        )
    context.same(weights.shape[0], x.shape[-1], "the rows of the weights and the last axis of the operand")
    context.same(weights.shape[1], bias.shape[0], "the columns of the weights and the bias")
    return (TensorType(x.dtype, (*x.shape[:-1], weights.shape[1])),)


def _reference_dense(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    x, weights, bias = map(exact, inputs)
    with np.errstate(all="ignore"):
        y = np.asarray(np.matmul(x, weights) + bias)
        if attrs["activation"] != "none":
            y = _FORMULAS[attrs["activation"]](y)
        return (np.asarray(y).astype(types[0].dtype.numpy),)


def _decompose_dense(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    x, weights, bias = inputs
    *lead, width = b.type(x).shape
    y = b.emit("matmul", reshape(b, x, (product(lead), width)), weights)
    y = b.emit("add", y, broadcast(b, bias, b.type(y).shape))
    if attrs["activation"] != "none":
        y = b.emit(attrs["activation"], y)
    return reshape(b, y, (*lead, b.type(weights).shape[1]))


def _dense_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for activation in ACTIVATIONS:
        yield Sample((normal(rng, 2, 3), normal(rng, 3, 5), normal(rng, 5)), {"activation": activation})
    yield Sample((normal(rng, 3), normal(rng, 3, 5), normal(rng, 5)), {"activation": "tanh"})
    yield Sample((normal(rng, 2, 4, 3), normal(rng, 3, 5), normal(rng, 5)))
    yield Sample((normal(rng, 0, 3), normal(rng, 3, 5), normal(rng, 5)), {"activation": "sigmoid"})
    yield Sample((normal(rng, 4, 3), normal(rng, 3, 5), normal(rng, 5)), shapes=((N, 3), (3, 5), (5,)))
    yield Sample(
        (normal(rng, 4, 2, 3), normal(rng, 3, 5), normal(rng, 5)),
        {"activation": "tanh"},
        shapes=((N, M, 3), (3, 5), (5,)),
    )


_WEIGHTS, _BIAS = TensorType(F32, (3, 5)), TensorType(F32, (5,))
OPS = (
    _activation("relu", "max(x, 0); NaN for NaN. Its gradient at 0 is 0.", _vjp_relu, _decompose_relu),
    _activation("sigmoid", "The logistic function 1 / (1 + exp(-x)).", _vjp_sigmoid, _decompose_sigmoid),
    OpDef(
        name="dense",
        doc="activation(x @ weights + bias): x[...,in], weights[in,out], bias[out] -> [...,out].",
        kind=OpKind.COMPOSITE,
        arity=3,
        attrs=(AttrSpec("activation", "str", f"one of {', '.join(ACTIVATIONS)}", "none"),),
        infer=_infer_dense,
        reference=_reference_dense,
        decompose=_decompose_dense,
        samples=_dense_samples,
        errors=(
            ErrorSample((_MATRIX, TensorType(F32, (4, 5)), _BIAS), {}, ShapeError, "rows of the weights"),
            ErrorSample(
                (_MATRIX, _WEIGHTS, TensorType(F32, (3,))), {}, ShapeError, "columns of the weights and the bias"
            ),
            ErrorSample((_MATRIX, _WEIGHTS, TensorType(F32, (1, 5))), {}, ShapeError, "ranks do not fit"),
            ErrorSample((_MATRIX, _WEIGHTS, TensorType(F64, (5,))), {}, DTypeError, "element types do not fit"),
            ErrorSample((_MATRIX, _WEIGHTS, _BIAS), {"activation": "reul"}, AttributeValueError, "no such activation"),
        ),
    ),
)
