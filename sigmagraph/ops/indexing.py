"""Ops that read at an index that is data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size, minimum
from sigmagraph.dtypes import BOOL, F32, I32, I64, DType, Kind
from sigmagraph.errors import DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Inference,
    LowerContext,
    NDArray,
    OpDef,
    OpKind,
    Sample,
    VjpContext,
    VjpRule,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, Index, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ops.fragments import cast, table_guards
from sigmagraph.ops.loops import without
from sigmagraph.ops.reduction import accumulator, extreme_value
from sigmagraph.ops.samples import M, N, booleans, integers, normal

_NOTHING = "the table has nothing to read along the axis"


def filling(dtype: DType) -> bool | int | float:
    """What stands for an element that does not exist: NaN, the least signed, the greatest unsigned integer, False."""
    if dtype is BOOL:
        return False
    return float("nan") if dtype.is_float else extreme_value(dtype, greatest=dtype.kind is Kind.UINT)


def _check(context: Inference) -> int:
    """The axis; raises unless the indices are integers."""
    table, indices = context.types
    if not indices.dtype.is_integer:
        raise context.error(
            "the indices are no integers", expected="an integer type", got=indices.dtype, kind=DTypeError
        )
    return context.axis(context.attrs["axis"], table.rank)


def _infer(context: Inference) -> tuple[TensorType, ...]:
    table, indices = context.types
    axis = _check(context)
    context.at_least(table.shape[axis], 1, _NOTHING)
    return (TensorType(table.dtype, (*table.shape[:axis], *indices.shape, *table.shape[axis + 1 :])),)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    table, indices = inputs
    axis = attrs["axis"] % table.ndim
    valid = (indices >= 0) & (indices < table.shape[axis])
    out = np.take(table, np.where(valid, indices, 0).astype(np.int64), axis)
    valid = valid.reshape(valid.shape + (1,) * (table.ndim - axis - 1))
    return (np.where(valid, out, np.asarray(filling(types[0].dtype)).astype(table.dtype)),)


def _adjoint(scatter: str) -> VjpRule:
    """Each place of the table receives the cotangents of all that read it, added up in at least 32 bits."""

    def vjp(c: VjpContext) -> Sequence[Value | None]:
        (table, indices), (g,) = c.inputs, c.cotangents
        type = c.type(table)
        wide = accumulator(type.dtype)
        nothing = c.full(0.0, TensorType(wide, type.shape))
        total = c.emit(scatter, nothing, indices, cast(c, g, wide), axis=c.attrs["axis"], mode="add")
        return (cast(c, total, type.dtype), None)

    return vjp


def _element(context: LowerContext, wanted: Expr, axis: int, index: Callable[[Size], Sequence[Size]]) -> Expr:
    """The table's element at an index along its axis, or what stands for one that does not exist."""
    table, size = context.types[0], context.types[0].shape[axis]
    if size == 0:
        return Const(filling(table.dtype), table.dtype)
    wanted = cast_expr(wanted, I64)
    value = context.operand(0, index(context.index(wanted, 0, size - 1)))
    exists = apply("and", apply("ge", wanted, Const(0, I64)), apply("lt", wanted, Index(size)))
    return apply("select", exists, value, Const(filling(table.dtype), table.dtype))


def _lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    table, indices = context.types
    axis = context.attrs["axis"] % table.rank
    last = axis + indices.rank
    wanted = context.operand(1, index[axis:last])
    return _element(context, wanted, axis, lambda row: (*index[:axis], row, *index[last:]))


def _samples(rng: np.random.Generator) -> Iterator[Sample]:
    def indices(limit: int, *shape: int) -> NDArray:
        return rng.integers(0, limit, shape, dtype=np.int32)

    yield Sample((normal(rng, 5, 3), indices(5, 4)), {"axis": 0})
    yield Sample((normal(rng, 2, 5, 3), indices(5, 4, 7)), {"axis": 1})
    yield Sample((normal(rng, 4, 6), indices(6).astype(np.int64)), {"axis": -1})
    yield Sample((normal(rng, 5, 3), indices(5, 0)), {"axis": 0})
    yield Sample((normal(rng, 5, 3), indices(5, 4)), {"axis": 0}, shapes=((N, 3), (M,)))
    yield Sample((normal(rng, 5, 3), np.array([-1, 4, 5, 0, -(2**31)], np.int32)), {"axis": 0}, kinks=True)
    yield Sample((integers(rng, 3), np.array([2, 3, 255], np.uint8)), {"axis": 0}, exact=True)
    yield Sample((integers(rng, 3).astype(np.uint8), np.array([2, 3], np.int64)), {"axis": 0}, exact=True)
    yield Sample((booleans(rng, 3), np.array([2, 3], np.int64)), {"axis": 0}, exact=True)


# ---- take_along_axis


def _infer_along(context: Inference) -> tuple[TensorType, ...]:
    table, indices = context.types
    axis = _check(context)
    if indices.rank != table.rank:
        raise context.error("the ranks of table and indices differ", expected=table.rank, got=indices.rank)
    context.same_shape(without(table.shape, axis), without(indices.shape, axis), "the other axes of table and indices")
    context.at_least(table.shape[axis], minimum(1, indices.shape[axis]), _NOTHING)
    return (TensorType(table.dtype, indices.shape),)


def _reference_along(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    table, indices = inputs
    valid = (indices >= 0) & (indices < table.shape[attrs["axis"]])
    rows = table if table.shape[attrs["axis"]] else np.zeros_like(table, shape=indices.shape)
    out = np.take_along_axis(rows, np.where(valid, indices, 0).astype(np.int64), attrs["axis"])
    return (np.where(valid, out, np.asarray(filling(types[0].dtype)).astype(table.dtype)),)


def _lower_along(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    axis = context.attrs["axis"] % len(index)
    return _element(context, context.operand(1, index), axis, lambda row: (*index[:axis], row, *index[axis + 1 :]))


def _samples_along(rng: np.random.Generator) -> Iterator[Sample]:
    def indices(limit: int, *shape: int) -> NDArray:
        return rng.integers(0, limit, shape, dtype=np.int32)

    yield Sample((normal(rng, 2, 4, 3), indices(4, 2, 5, 3)), {"axis": 1})
    yield Sample((normal(rng, 4, 6), indices(6, 4, 7).astype(np.int64)), {"axis": -1})
    yield Sample((normal(rng, 5, 3), indices(5, 0, 3)), {"axis": 0})
    yield Sample((normal(rng, 0, 3), indices(5, 0, 3)), {"axis": 0}, shapes=((N, M), (N, M)))
    yield Sample((normal(rng, 5, 3), indices(5, 4, 3)), {"axis": 0}, shapes=((N, M), (4, M)))
    yield Sample((normal(rng, 2, 3), np.array([[-1, 2, 3, 0]] * 2, np.int32)), {"axis": 1}, kinks=True)
    yield Sample((booleans(rng, 3), np.array([2, 3], np.int64)), {"axis": 0}, exact=True)


_TABLE = TensorType(F32, (5, 3))
_AXIS = AttrSpec("axis", "axis", "the table's axis that the indices count along")
_OUTSIDE = (
    "Indices count from 0. Where one is negative or too large the result is NaN (the least of signed, the greatest of "
    "unsigned integers, False), like JAX's mode 'fill'."
)
OPS = (
    OpDef(
        name="gather",
        doc="The parts of a table along `axis` that integers name, as `numpy.take(table, indices, axis)`: "
        f"[a,n,b], [i] -> [a,i,b]. {_OUTSIDE}",
        kind=OpKind.INDEXING,
        arity=2,
        attrs=(_AXIS,),
        infer=_infer,
        reference=_reference,
        vjp=_adjoint("scatter"),
        lower=_lower,
        guards=table_guards,
        samples=_samples,
        errors=(
            ErrorSample((_TABLE, TensorType(F32, (4,))), {"axis": 0}, DTypeError, "indices are no integers"),
            ErrorSample((_TABLE, TensorType(I32, (4,))), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(F32, (0, 3)), TensorType(I32, (4,))), {"axis": 0}, ShapeError, "nothing to read"),
        ),
    ),
    OpDef(
        name="take_along_axis",
        doc="Elements of a table, at an index along `axis` for each of them, as `numpy.take_along_axis`: "
        f"[a,n,b], [a,i,b] -> [a,i,b]. {_OUTSIDE}",
        kind=OpKind.INDEXING,
        arity=2,
        attrs=(_AXIS,),
        infer=_infer_along,
        reference=_reference_along,
        vjp=_adjoint("put_along_axis"),
        lower=_lower_along,
        guards=table_guards,
        samples=_samples_along,
        errors=(
            ErrorSample((_TABLE, _TABLE), {"axis": 0}, DTypeError, "indices are no integers"),
            ErrorSample((_TABLE, TensorType(I32, (5, 3))), {"axis": -3}, ShapeError, "no such axis"),
            ErrorSample((_TABLE, TensorType(I32, (4,))), {"axis": 0}, ShapeError, "ranks of table and indices"),
            ErrorSample((_TABLE, TensorType(I32, (4, 2))), {"axis": 0}, ShapeError, "other axes"),
            ErrorSample((TensorType(F32, (0, 3)), TensorType(I32, (4, 3))), {"axis": 0}, ShapeError, "nothing to read"),
        ),
    ),
)
