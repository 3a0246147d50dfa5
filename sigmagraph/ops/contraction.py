"""Ops that sum products over an axis of both operands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    NodeBuilder,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Expr, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.samples import M, N, integers, normal


def _infer(context: Inference) -> tuple[TensorType, ...]:
    a, b = context.types
    if a.dtype is not b.dtype or a.dtype is BOOL:
        got = f"{a.dtype}, {b.dtype}"
        raise context.error("the element types do not fit", expected="numbers of one type", got=got, kind=DTypeError)
    if min(a.rank, b.rank) < 2:
        raise context.error("an operand is not a matrix", expected="at least 2 axes", got=f"{a.rank} and {b.rank}")
    batch = context.same_shape(a.shape[:-2], b.shape[:-2], "the batch axes")
    context.same(a.shape[-1], b.shape[-2], "the columns of the first and the rows of the second operand")
    return (TensorType(a.dtype, (*batch, a.shape[-2], b.shape[-1])),)


def _reference(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    a, b = inputs
    with np.errstate(all="ignore"):
        return (np.matmul(exact(a), exact(b)).astype(types[0].dtype.numpy),)


def _transposed(c: NodeBuilder, value: Value) -> Value:
    rank = c.type(value).rank
    return c.emit("transpose", value, axes=(*range(rank - 2), rank - 1, rank - 2))


def _vjp(c: VjpContext) -> Sequence[Value]:
    (a, b), (g,) = c.inputs, c.cotangents
    return (c.emit("matmul", g, _transposed(c, b)), c.emit("matmul", _transposed(c, a), g))


def _lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    *batch, row, column = index
    wide = accumulator(context.result.dtype)

    def body(inner: tuple[Size, ...]) -> Expr:
        a = cast_expr(context.operand(0, (*batch, row, *inner)), wide)
        b = cast_expr(context.operand(1, (*batch, *inner, column)), wide)
        return apply("mul", a, b)

    return cast_expr(context.reduce("add", (context.types[0].shape[-1],), body), context.result.dtype)


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3), normal(rng, 3, 5)))
    yield Sample((normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 5, 7)))
    yield Sample((normal(rng, 3, 0), normal(rng, 0, 2)), kinks=True)
    yield Sample((normal(rng, 0, 4), normal(rng, 4, 2)))
    yield Sample((normal(rng, 5, 3), normal(rng, 3, 2)), shapes=((N, 3), (3, 2)))
    yield Sample((normal(rng, 4, 5, 3), normal(rng, 4, 3, 2)), shapes=((M, 5, N), (M, N, 2)))
    yield Sample((integers(rng, 4, 5), integers(rng, 5, 3)), exact=True)


OPS = (
    OpDef(
        name="matmul",
        doc="The matrix product over the last two axes, [...b,m,k] x [...b,k,n] -> [...b,m,n]; batch axes are equal.",
        kind=OpKind.CONTRACTION,
        arity=2,
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        lower=_lower,
        samples=_samples,
        errors=(
            ErrorSample(
                (TensorType(F32, (2, 3)), TensorType(F32, (4, 5))), {}, ShapeError, "columns of the first and the rows"
            ),
            ErrorSample((TensorType(F32, (2, 3)), TensorType(F64, (3, 5))), {}, DTypeError, "element types do not fit"),
            ErrorSample((TensorType(F32, (3,)), TensorType(F32, (3, 5))), {}, ShapeError, "not a matrix"),
            ErrorSample((TensorType(F32, (4, 2, 3)), TensorType(F32, (5, 3, 2))), {}, ShapeError, "batch axes differ"),
            ErrorSample(
                (TensorType(F32, (4, 2, 3)), TensorType(F32, (3, 2))), {}, ShapeError, "ranks of the batch axes"
            ),
        ),
    ),
)
