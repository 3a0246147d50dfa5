"""Ops that make values from nothing: constants and sequences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size
from sigmagraph.dtypes import BOOL, F32, F64, I32, I64, U8
from sigmagraph.errors import AttributeValueError, DTypeError, LoweringError, ShapeError
from sigmagraph.ir.graph.attrs import Array, Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    NotDifferentiable,
    OpDef,
    OpKind,
    Sample,
    Trait,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.expr import Const, Expr, Index
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ops.rules import shape_attribute
from sigmagraph.ops.samples import integers, normal

_NO_OPERANDS = NotDifferentiable("it has no operands")


def _infer_constant(context: Inference) -> tuple[TensorType, ...]:
    value: Array = context.attrs["value"]
    return (TensorType(value.dtype, value.shape),)


def _reference_constant(
    _inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    return (attrs["value"].numpy,)


def _lower_constant(context: LowerContext, _index: tuple[Size, ...]) -> Expr:
    value: Array = context.attrs["value"]
    if value.numpy.size != 1:
        raise LoweringError("a constant of several elements is a buffer, not an expression", got=context.result)
    element = value.numpy.reshape(())[()]
    number = bool(element) if value.dtype is BOOL else int(element) if value.dtype.is_integer else float(element)
    return Const(number, value.dtype)


def _constant_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for value in (1.5, np.float32(2.5), np.array([[np.inf]]), np.int64(-(2**62)), np.uint8(200), np.True_):
        yield Sample((), {"value": Array.of(value)}, exact=True)
    for array in (normal(rng, 2, 3), normal(rng, 0, 3), integers(rng, 5)):
        yield Sample((), {"value": Array.of(array)}, exact=True)


CONSTANT = OpDef(
    name="constant",
    doc="The array in the attribute `value`.",
    kind=OpKind.SOURCE,
    arity=0,
    attrs=(AttrSpec("value", "array", "the elements"),),
    infer=_infer_constant,
    reference=_reference_constant,
    vjp=_NO_OPERANDS,
    lower=_lower_constant,
    samples=_constant_samples,
    errors=(ErrorSample((), {}, AttributeValueError, "'value' is missing"),),
    traits=frozenset({Trait.CONSTANT}),
)


def _infer_iota(context: Inference) -> tuple[TensorType, ...]:
    shape, dtype = shape_attribute(context), context.attrs["dtype"]
    context.axis(context.attrs["axis"], len(shape))
    if dtype is BOOL:
        raise context.error("bools do not count", expected="a number type", got=dtype, kind=DTypeError)
    return (TensorType(dtype, shape),)


def _reference_iota(_inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    shape = attrs["shape"]
    axis = attrs["axis"] % len(shape)
    line = np.arange(shape[axis]).astype(types[0].dtype.numpy)
    return (np.broadcast_to(line.reshape((-1,) + (1,) * (len(shape) - axis - 1)), shape),)


def _lower_iota(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    return cast_expr(Index(index[context.attrs["axis"]]), context.result.dtype)


def _iota_samples(_rng: np.random.Generator) -> Iterator[Sample]:
    for dtype in (I64, I32, U8, F32, F64):
        yield Sample((), {"axis": 1, "shape": (2, 5, 3), "dtype": dtype}, exact=True)
    yield Sample((), {"axis": -1, "shape": (4,), "dtype": I32}, exact=True)
    yield Sample((), {"axis": 0, "shape": (0, 3), "dtype": I32}, exact=True)


IOTA = OpDef(
    name="iota",
    doc="The index along one axis: 0, 1, 2, ... along `axis` of `shape`, the same along all others.",
    kind=OpKind.SOURCE,
    arity=0,
    attrs=(
        AttrSpec("axis", "axis", "the axis that counts"),
        AttrSpec("shape", "shape", "the shape of the result"),
        AttrSpec("dtype", "dtype", "the element type of the result", I64),
    ),
    infer=_infer_iota,
    reference=_reference_iota,
    vjp=_NO_OPERANDS,
    lower=_lower_iota,
    samples=_iota_samples,
    errors=(
        ErrorSample((), {"axis": 2, "shape": (3, 4)}, ShapeError, "no such axis"),
        ErrorSample((), {"axis": 0, "shape": (-3,)}, ShapeError, "negative"),
        ErrorSample((), {"axis": 0, "shape": (3,), "dtype": BOOL}, DTypeError, "do not count"),
    ),
)

OPS = (CONSTANT, IOTA)
