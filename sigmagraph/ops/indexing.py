"""Ops that read at an index that is data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from sigmagraph.dims import Size, product
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
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ir.kernel.expr import Const, Expr, Index, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ops.fragments import broadcast, cast, full_like, reshape
from sigmagraph.ops.reduction import extreme_value
from sigmagraph.ops.samples import M, N, booleans, integers, normal


def filling(dtype: DType) -> bool | int | float:
    """What stands for an element that does not exist: NaN, the least signed, the greatest unsigned integer, False."""
    if dtype is BOOL:
        return False
    return float("nan") if dtype.is_float else extreme_value(dtype, greatest=dtype.kind is Kind.UINT)


def _infer(context: Inference) -> tuple[TensorType, ...]:
    table, indices = context.types
    if not indices.dtype.is_integer:
        raise context.error(
            "the indices are no integers", expected="an integer type", got=indices.dtype, kind=DTypeError
        )
    axis = context.axis(context.attrs["axis"], table.rank)
    context.at_least(table.shape[axis], 1, "the table has nothing to read along the axis")
    return (TensorType(table.dtype, (*table.shape[:axis], *indices.shape, *table.shape[axis + 1 :])),)


def _reference(inputs: Sequence[NDArray], attrs: Attrs, types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    table, indices = inputs
    axis = attrs["axis"] % table.ndim
    valid = (indices >= 0) & (indices < table.shape[axis])
    out = np.take(table, np.where(valid, indices, 0).astype(np.int64), axis)
    valid = valid.reshape(valid.shape + (1,) * (table.ndim - axis - 1))
    return (np.where(valid, out, np.asarray(filling(types[0].dtype)).astype(table.dtype)),)


def _vjp(c: VjpContext) -> Sequence[Value | None]:
    """Each row of the table receives the cotangents of all places that read it: [before, read, row, behind] summed."""
    (table, indices), (g,) = c.inputs, c.cotangents
    shape = c.type(table).shape
    axis = c.attrs["axis"] % len(shape)
    before, behind, read = product(shape[:axis]), product(shape[axis + 1 :]), c.type(indices).size
    whole = (before, read, shape[axis], behind)
    counted = I64 if c.type(indices).dtype is I64 else I32
    wanted = broadcast(c, reshape(c, cast(c, indices, counted), (read, 1, 1)), whole)
    hit = c.emit("eq", wanted, c.emit("iota", axis=2, shape=whole, dtype=counted))
    spread = broadcast(c, reshape(c, g, (before, read, 1, behind)), whole)
    rows = c.emit("reduce_sum", c.emit("select", hit, spread, full_like(c, 0.0, spread)), axes=(1,))
    return (reshape(c, rows, shape), None)


def _lower(context: LowerContext, index: tuple[Size, ...]) -> Expr:
    table, indices = context.types
    axis = context.attrs["axis"] % table.rank
    last = axis + indices.rank
    wanted = cast_expr(context.operand(1, index[axis:last]), I64)
    row = context.index(wanted, 0, table.shape[axis] - 1)
    value = context.operand(0, (*index[:axis], row, *index[last:]))
    exists = apply("and", apply("ge", wanted, Const(0, I64)), apply("lt", wanted, Index(table.shape[axis])))
    return apply("select", exists, value, Const(filling(table.dtype), table.dtype))


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


_TABLE = TensorType(F32, (5, 3))
OPS = (
    OpDef(
        name="gather",
        doc="The parts of a table along `axis` that integers name, as `numpy.take(table, indices, axis)`: "
        "[a,n,b], [i] -> [a,i,b]. Indices count from 0. Where one is negative or too large the result is NaN (the "
        "least of signed, the greatest of unsigned integers, False), like JAX's mode 'fill'.",
        kind=OpKind.INDEXING,
        arity=2,
        attrs=(AttrSpec("axis", "axis", "the table's axis that the indices count along"),),
        infer=_infer,
        reference=_reference,
        vjp=_vjp,
        lower=_lower,
        samples=_samples,
        errors=(
            ErrorSample((_TABLE, TensorType(F32, (4,))), {"axis": 0}, DTypeError, "indices are no integers"),
            ErrorSample((_TABLE, TensorType(I32, (4,))), {"axis": 2}, ShapeError, "no such axis"),
            ErrorSample((TensorType(F32, (0, 3)), TensorType(I32, (4,))), {"axis": 0}, ShapeError, "nothing to read"),
        ),
    ),
)
