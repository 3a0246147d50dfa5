"""The dense layer as a composite, and the table of the activations that it may end in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np

from sigmagraph.dims import product
from sigmagraph.dtypes import F32, F64
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
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops import elementwise
from sigmagraph.ops.activation import OPS as UNGATED
from sigmagraph.ops.fragments import broadcast, reshape
from sigmagraph.ops.gate import SELF_GATED
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.samples import M, N, fractional, normal
from sigmagraph.ops.softmax import LOG_SOFTMAX, SOFTMAX

_MATRIX = TensorType(F32, (2, 3))
(_TANH,) = (op for op in elementwise.OPS if op.name == "tanh")
# What a dense layer may end in, by name: all that keep the shape of their one operand; nothing for "none".
ACTIVATIONS: Mapping[str, OpDef | None] = MappingProxyType(
    {"none": None, **{op.name: op for op in (*UNGATED, *SELF_GATED, _TANH, SOFTMAX, LOG_SOFTMAX)}}
)


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
        function = ACTIVATIONS[attrs["activation"]]
        if function is not None:  # it is told of no narrower type, so that only the end is rounded
            (y,) = function.reference((y,), function.canonical_attrs({}), (TensorType(F64, y.shape),))
        return (y.astype(types[0].dtype.numpy),)


def _decompose_dense(b: NodeBuilder, inputs: tuple[Value, ...], attrs: Attrs) -> Value:
    x, weights, bias = inputs
    *lead, width = b.type(x).shape
    y = b.emit("matmul", reshape(b, x, (product(lead), width)), weights)
    y = b.emit("add", y, broadcast(b, bias, b.type(y).shape))
    function = ACTIVATIONS[attrs["activation"]]
    if function is not None:
        y = b.emit(function.name, y)
    return reshape(b, y, (*lead, b.type(weights).shape[1]))


def _dense_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for activation in ("none", "relu", "gelu", "log_softmax"):
        # Weights so small that the bias alone keeps off the kinks of activations.
        yield Sample((normal(rng, 2, 3), normal(rng, 3, 5) * 0.02, fractional(rng, 5)), {"activation": activation})
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
