"""Ops that put the elements of their operands in other places and compute nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import F32
from sigmagraph.errors import AttributeValueError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    Trait,
    VjpContext,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.ops.fragments import collapse, reshape
from sigmagraph.ops.rules import axis_numbers, reshaped_index, shape_attribute
from sigmagraph.ops.samples import M, N, booleans, integers, normal

_SHAPE = AttrSpec("shape", "shape", "the shape of the result")
_MATRIX = TensorType(F32, (2, 3))


# ---- reshape


def _infer_reshape(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    shape = shape_attribute(context)
    context.same(x.size, product(shape), "the numbers of elements of operand and result")
    return (TensorType(x.dtype, shape),)


def _reference_reshape(inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (np.reshape(inputs[0], types[0].shape),)


def _vjp_reshape(c: VjpContext) -> Sequence[Value]:
    return (reshape(c, c.cotangents[0], c.type(c.inputs[0]).shape),)


def _lower_reshape(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    return context.operand(0, reshaped_index(index, context.result.shape, context.types[0].shape))


def _reshape_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for old, new in (((2, 3, 4), (6, 4)), ((6, 4), (2, 3, 4)), ((3, 4), (2, 6)), ((), (1,)), ((1, 5, 1), (5,)),
                     ((0, 3), (3, 0, 5)), ((4, 1, 15), (10, 1, 2, 3))):  # fmt: skip
        yield Sample((normal(rng, *old),), {"shape": new})
    yield Sample((normal(rng, 5, 2, 3),), {"shape": (N, 6)}, shapes=((N, 2, 3),))
    yield Sample((normal(rng, 5, 6),), {"shape": (N, 2, 3)}, shapes=((N, 6),))
    yield Sample((normal(rng, 5, 2, 3),), {"shape": (N * 2, 3)}, shapes=((N, 2, 3),))
    yield Sample((normal(rng, 5, 2, 3),), {"shape": (3, N, 2)}, shapes=((N, 2, 3),))
    yield Sample((normal(rng, 3, 4, 5),), {"shape": (M, N, 5)}, shapes=((N, M, 5),))
    yield Sample((integers(rng, 0, 4),), {"shape": (4 * N, 1)}, shapes=((N, 4),), exact=True)


RESHAPE = OpDef(
    name="reshape",
    doc="The same elements in the same (row-major) order in another shape with as many elements.",
    kind=OpKind.MOVEMENT,
    arity=1,
    attrs=(_SHAPE,),
    infer=_infer_reshape,
    reference=_reference_reshape,
    vjp=_vjp_reshape,
    lower=_lower_reshape,
    samples=_reshape_samples,
    traits=frozenset({Trait.TRANSPARENT, Trait.ROW_MAJOR}),
    errors=(
        ErrorSample((_MATRIX,), {"shape": (4,)}, ShapeError, "numbers of elements"),
        ErrorSample((_MATRIX,), {"shape": (-2, -3)}, ShapeError, "negative"),
        ErrorSample((_MATRIX,), {"shape": ("x",)}, AttributeValueError, "'shape'"),
        ErrorSample((_MATRIX,), {}, AttributeValueError, "'shape' is missing"),
    ),
)


# ---- transpose


def _infer_transpose(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    given = context.attrs["axes"]
    if len(context.axes(given, x.rank)) != x.rank:
        raise context.error("an axis is left out", expected=f"{x.rank} axes", got=given)
    return (TensorType(x.dtype, tuple(x.shape[axis] for axis in axis_numbers(given, x.rank))),)


def _reference_transpose(
    inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    return (np.transpose(inputs[0], attrs["axes"]),)


def _vjp_transpose(c: VjpContext) -> Sequence[Value]:
    axes = axis_numbers(c.attrs["axes"], len(c.attrs["axes"]))
    return (c.emit("transpose", c.cotangents[0], axes=tuple(axes.index(i) for i in range(len(axes)))),)


def _lower_transpose(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    axes = axis_numbers(context.attrs["axes"], len(index))
    return context.operand(0, [index[axes.index(i)] for i in range(len(axes))])


def _transpose_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3, 5),), {"axes": (1, 2, 0)})
    yield Sample((normal(rng, 2, 3),), {"axes": (-1, 0)})
    yield Sample((normal(rng),), {"axes": ()})
    yield Sample((normal(rng, 3, 0),), {"axes": (1, 0)})
    yield Sample((booleans(rng, 2, 5, 3),), {"axes": (2, 1, 0)}, shapes=((N, M, 3),), exact=True)


TRANSPOSE = OpDef(
    name="transpose",
    doc="The axes in another order: axis i of the result is axis `axes[i]` of the operand.",
    kind=OpKind.MOVEMENT,
    arity=1,
    attrs=(AttrSpec("axes", "axes", "for each axis of the result the operand's axis"),),
    infer=_infer_transpose,
    reference=_reference_transpose,
    vjp=_vjp_transpose,
    lower=_lower_transpose,
    samples=_transpose_samples,
    traits=frozenset({Trait.TRANSPARENT}),
    errors=(
        ErrorSample((_MATRIX,), {"axes": (0,)}, ShapeError, "left out"),
        ErrorSample((_MATRIX,), {"axes": (0, 0)}, ShapeError, "named twice"),
        ErrorSample((_MATRIX,), {"axes": (0, 2)}, ShapeError, "no such axis"),
    ),
)


# ---- broadcast


def _infer_broadcast(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    shape = shape_attribute(context)
    lead = len(shape) - x.rank
    if lead < 0:
        raise context.error("the result has fewer axes than the operand", expected=f"at least {x.rank}", got=len(shape))
    for axis, size in enumerate(x.shape):
        if size != 1:
            context.same(shape[lead + axis], size, f"the sizes of axis {lead + axis} of result and operand")
    return (TensorType(x.dtype, shape),)


def _reference_broadcast(
    inputs: Sequence[NDArray], _attrs: Attrs, types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    return (np.broadcast_to(inputs[0], types[0].shape),)  # type: ignore[arg-type]


def _vjp_broadcast(c: VjpContext) -> Sequence[Value]:
    return (collapse(c, c.cotangents[0], c.type(c.inputs[0]).shape),)


def _lower_broadcast(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    shape = context.types[0].shape
    lead = len(index) - len(shape)
    return context.operand(0, [0 if size == 1 else index[lead + axis] for axis, size in enumerate(shape)])


def _broadcast_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for old, new in (((3,), (2, 3)), ((2, 1, 5), (4, 2, 3, 5)), ((), (2, 3)), ((1,), (0,)), ((1, 3), (1, 3))):
        yield Sample((normal(rng, *old),), {"shape": new})
    yield Sample((normal(rng, 5, 1, 3),), {"shape": (2, N, 4, 3)}, shapes=((N, 1, 3),))
    yield Sample((normal(rng, 3),), {"shape": (M * 2, M)}, shapes=((M,),))
    yield Sample((booleans(rng, 3, 1),), {"shape": (3, 4)}, exact=True)


BROADCAST = OpDef(
    name="broadcast",
    doc="The operand repeated up to `shape` by NumPy's rule: axes are aligned at the right, missing axes and those of "
    "size 1 are repeated. A symbolic size counts as different from 1.",
    kind=OpKind.MOVEMENT,
    arity=1,
    attrs=(_SHAPE,),
    infer=_infer_broadcast,
    reference=_reference_broadcast,
    vjp=_vjp_broadcast,
    lower=_lower_broadcast,
    samples=_broadcast_samples,
    traits=frozenset({Trait.TRANSPARENT, Trait.REPEATS}),
    errors=(
        ErrorSample((_MATRIX,), {"shape": (3,)}, ShapeError, "fewer axes"),
        ErrorSample((_MATRIX,), {"shape": (4, 3)}, ShapeError, "axis 0 of result and operand differ"),
        ErrorSample((_MATRIX,), {"shape": (-1, 2, 3)}, ShapeError, "negative"),
    ),
)


# ---- reverse


def _infer_reverse(context: Inference) -> tuple[TensorType, ...]:
    (x,) = context.types
    context.axes(context.attrs["axes"], x.rank)
    return (x,)


def _reference_reverse(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    return (np.flip(inputs[0], attrs["axes"]),)


def _vjp_reverse(c: VjpContext) -> Sequence[Value]:
    return (c.emit("reverse", c.cotangents[0], axes=c.attrs["axes"]),)


def _lower_reverse(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    axes, shape = axis_numbers(context.attrs["axes"], len(index)), context.result.shape
    return context.operand(0, [shape[axis] - 1 - i if axis in axes else i for axis, i in enumerate(index)])


def _reverse_samples(rng: np.random.Generator) -> Iterator[Sample]:
    yield Sample((normal(rng, 2, 3, 5),), {"axes": (1,)})
    yield Sample((normal(rng, 2, 19),), {"axes": (-1,)})
    yield Sample((normal(rng, 2, 3, 5),), {"axes": (-1, 0)})
    yield Sample((normal(rng),), {"axes": ()})
    yield Sample((normal(rng, 0, 3),), {"axes": (0, 1)})
    yield Sample((normal(rng, 5, 3),), {"axes": (0,)}, shapes=((N, 3),))
    yield Sample((booleans(rng, 5, 3),), {"axes": (0, 1)}, shapes=((N, M),), exact=True)


REVERSE = OpDef(
    name="reverse",
    doc="The elements in the opposite order along `axes`.",
    kind=OpKind.MOVEMENT,
    arity=1,
    attrs=(AttrSpec("axes", "axes", "the axes along which the order is turned round"),),
    infer=_infer_reverse,
    reference=_reference_reverse,
    vjp=_vjp_reverse,
    lower=_lower_reverse,
    samples=_reverse_samples,
    traits=frozenset({Trait.TRANSPARENT}),
    errors=(
        ErrorSample((_MATRIX,), {"axes": (2,)}, ShapeError, "no such axis"),
        ErrorSample((_MATRIX,), {"axes": (1, -1)}, ShapeError, "named twice"),
        ErrorSample((_MATRIX,), {}, AttributeValueError, "'axes' is missing"),
    ),
)

OPS = (RESHAPE, TRANSPOSE, BROADCAST, REVERSE)
