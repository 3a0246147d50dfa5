"""Ops that sum products over axes that both operands have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
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
from sigmagraph.ops.fragments import broadcast, reshape, transpose
from sigmagraph.ops.reduction import accumulator, exact
from sigmagraph.ops.samples import M, N, integers, normal

Labels: TypeAlias = "tuple[int, ...]"


def summed(left: Labels, right: Labels, result: Labels) -> Labels:
    """The labels that are summed over, in the order of the left operand."""
    return tuple(label for label in left if label in right and label not in result)


def labels_of(attrs: Attrs, ranks: Sequence[int]) -> tuple[Labels, Labels, Labels]:
    """The labels of both operands and of the result; those of a matrix product, which has none, in their place."""
    if "left" in attrs:
        return attrs["left"], attrs["right"], attrs["result"]
    *batch, row, column, inner = range(ranks[0] + 1)
    return (*batch, row, inner), (*batch, inner, column), (*batch, row, column)


def contracted(b: NodeBuilder, x: Value, left: Labels, y: Value, right: Labels, result: Labels) -> Value:
    """The sum of products of two values whose axes carry labels, each of them in at least two of the three.

    Nodes that mean the same become equal: labels are numbered in the order in which they occur. Where there is nothing
    to sum, it is a product of elements.
    """
    number = {label: i for i, label in enumerate(dict.fromkeys((*left, *right)))}
    left, right, result = (tuple(number[label] for label in labels) for labels in (left, right, result))
    if summed(left, right, result):
        return b.emit("contract", x, y, left=left, right=right, result=result)
    sizes = dict(zip((*left, *right), (*b.type(x).shape, *b.type(y).shape), strict=True))
    shape = tuple(sizes[label] for label in result)
    return b.emit("mul", _spread(b, x, left, result, shape), _spread(b, y, right, result, shape))


def _spread(b: NodeBuilder, value: Value, labels: Labels, result: Labels, shape: tuple[Size, ...]) -> Value:
    """The value with its axes in the order of the result's, and repeated along those that it does not have."""
    order = tuple(labels.index(label) for label in result if label in labels)
    kept = tuple(size if label in labels else 1 for label, size in zip(result, shape, strict=True))
    return broadcast(b, reshape(b, transpose(b, value, order), kept), shape)


def _lower_product(context: LowerContext, index: tuple[Size, ...], left: Labels, right: Labels, result: Labels) -> Expr:
    wide = accumulator(context.result.dtype)
    types = context.types
    sizes = dict(zip((*left, *right), (*types[0].shape, *types[1].shape), strict=True))
    inner = summed(left, right, result)

    def body(place: tuple[Size, ...]) -> Expr:
        at = dict(zip((*result, *inner), (*index, *place), strict=True))
        at = {label: 0 if sizes[label] == 1 else i for label, i in at.items()}
        x = cast_expr(context.operand(0, [at[label] for label in left]), wide)
        y = cast_expr(context.operand(1, [at[label] for label in right]), wide)
        return apply("mul", x, y)

    return cast_expr(context.reduce("add", [sizes[label] for label in inner], body), context.result.dtype)


def _numbers(context: Inference) -> tuple[TensorType, ...]:
    """The types of the two operands, which must be of the same numbers."""
    a, b = context.types
    if a.dtype is not b.dtype or a.dtype is BOOL:
        got = f"{a.dtype}, {b.dtype}"
        raise context.error("the element types do not fit", expected="numbers of one type", got=got, kind=DTypeError)
    return a, b


# ---- contract


def _infer_contract(context: Inference) -> tuple[TensorType, ...]:
    left, right, result = (context.attrs[name] for name in ("left", "right", "result"))
    sizes: dict[int, Size] = {}
    for name, labels, operand in zip(("left", "right"), (left, right), _numbers(context), strict=True):
        if len(labels) != operand.rank:
            raise context.error(f"'{name}' does not have one label for each axis", expected=operand.rank, got=labels)
        for label, size in zip(labels, operand.shape, strict=True):
            sizes[label] = context.same(sizes.get(label, size), size, f"the sizes of the axes with the label {label}")
    for labels in (left, right, result):
        if len(set(labels)) != len(labels):
            raise context.error("a label stands twice", expected="each once", got=labels, kind=AttributeValueError)
    for label in dict.fromkeys((*left, *right, *result)):
        if sum(label in labels for labels in (left, right, result)) < 2:
            raise context.error(
                "a label stands alone",
                expected="each label in two of the operands and the result",
                got=label,
                kind=AttributeValueError,
            )
    if not summed(left, right, result):
        raise context.error("nothing is summed over", expected="a label that the result lacks", got=result)
    return (TensorType(context.types[0].dtype, tuple(sizes[label] for label in result)),)


def _reference_contract(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    a, b = map(exact, inputs)
    with np.errstate(all="ignore"):
        out = np.einsum(a, list(attrs["left"]), b, list(attrs["right"]), list(attrs["result"]))
    return (np.asarray(out).astype(types[0].dtype.numpy),)


def _vjp_contract(c: VjpContext) -> Sequence[Value]:
    (a, b), (g,) = c.inputs, c.cotangents
    left, right, result = (c.attrs[name] for name in ("left", "right", "result"))
    return (contracted(c, g, result, b, right, left), contracted(c, a, left, g, result, right))


def _lower_contract(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    return _lower_product(context, index, *labels_of(context.attrs, ()))


def _contract_samples(rng: np.random.Generator) -> Iterator[Sample]:
    def sample(a: NDArray, left: Labels, b: NDArray, right: Labels, result: Labels, **other: object) -> Sample:
        return Sample((a, b), {"left": left, "right": right, "result": result}, **other)  # type: ignore[arg-type]

    yield sample(normal(rng, 2, 3), (0, 1), normal(rng, 3, 5), (1, 2), (2, 0))
    yield sample(normal(rng, 2, 3, 4, 5), (0, 1, 2, 3), normal(rng, 5, 7, 3, 2), (3, 4, 1, 0), (0, 4, 2))
    yield sample(normal(rng, 4, 2, 3), (0, 1, 2), normal(rng, 3, 2, 4), (2, 1, 0), ())
    yield sample(normal(rng, 4, 1, 3), (0, 1, 2), normal(rng, 3, 1), (2, 1), (1, 0))
    yield sample(normal(rng, 3, 2, 4), (0, 1, 2), normal(rng, 4, 3), (2, 0), (1, 0))
    yield sample(normal(rng, 0, 3), (0, 1), normal(rng, 3, 2), (1, 2), (0, 2))
    yield sample(normal(rng, 3, 0), (0, 1), normal(rng, 0, 2), (1, 2), (2, 0), kinks=True)
    yield sample(normal(rng, 9, 7, 17), (0, 1, 2), normal(rng, 7, 19, 17), (1, 3, 2), (0, 3))
    shapes = ((M, 5, N), (N, 5, M))
    yield sample(normal(rng, 4, 5, 3), (0, 1, 2), normal(rng, 3, 5, 4), (2, 1, 0), (1, 0), shapes=shapes)
    yield sample(integers(rng, 4, 5), (0, 1), integers(rng, 5, 3), (1, 2), (0, 2), exact=True)


# ---- matmul


def _infer(context: Inference) -> tuple[TensorType, ...]:
    a, b = _numbers(context)
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
    return _lower_product(context, index, *labels_of(context.attrs, [t.rank for t in context.types]))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3), normal(rng, 3, 5)))
    yield Sample((normal(rng, 2, 3, 4, 5), normal(rng, 2, 3, 5, 7)))
    yield Sample((normal(rng, 3, 0), normal(rng, 0, 2)), kinks=True)
    yield Sample((normal(rng, 0, 4), normal(rng, 4, 2)))
    yield Sample((normal(rng, 5, 3), normal(rng, 3, 2)), shapes=((N, 3), (3, 2)))
    yield Sample((normal(rng, 4, 5, 3), normal(rng, 4, 3, 2)), shapes=((M, 5, N), (M, N, 2)))
    yield Sample((integers(rng, 4, 5), integers(rng, 5, 3)), exact=True)


_A, _B = TensorType(F32, (2, 3)), TensorType(F32, (3, 5))
_PLAIN = {"left": (0, 1), "right": (1, 2), "result": (0, 2)}
OPS = (
    OpDef(
        name="contract",
        doc="The sum of products of two operands whose axes carry labels, as in Einstein's notation: axes with the "
        "same label run together, and what the result does not name is summed over. Each label stands in at least two "
        "of left, right and result, so that the derivatives are contractions again.",
        kind=OpKind.CONTRACTION,
        arity=2,
        attrs=(
            AttrSpec("left", "ints", "the labels of the first operand's axes"),
            AttrSpec("right", "ints", "the labels of the second operand's axes"),
            AttrSpec("result", "ints", "the labels of the result's axes"),
        ),
        infer=_infer_contract,
        reference=_reference_contract,
        vjp=_vjp_contract,
        lower=_lower_contract,
        samples=_contract_samples,
        errors=(
            ErrorSample((_A, _B), _PLAIN | {"left": (0, 3, 1)}, ShapeError, "'left' does not have one label"),
            ErrorSample((_A, _B), _PLAIN | {"right": (2, 1)}, ShapeError, "the label 1 differ"),
            ErrorSample((_A, _A), _PLAIN | {"right": (1, 1)}, ShapeError, "the label 1 differ"),
            ErrorSample((_A, _B), _PLAIN | {"result": (0, 0, 2)}, AttributeValueError, "stands twice"),
            ErrorSample((_A, _B), _PLAIN | {"result": (0,)}, AttributeValueError, "stands alone"),
            ErrorSample((_A, _B), _PLAIN | {"result": (0, 1, 2)}, ShapeError, "nothing is summed"),
            ErrorSample((_A, TensorType(F64, (3, 5))), _PLAIN, DTypeError, "element types do not fit"),
        ),
    ),
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
