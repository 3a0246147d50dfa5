"""Ops that write at indices that are data: the adjoints of those that read there, and their relatives."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np

from sigmagraph.dims import Dim, Size, ceildiv, minimum, product
from sigmagraph.dtypes import BOOL, F32, F64, I32, I64
from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError
from sigmagraph.ir.graph.attrs import Attrs, AttrSpec
from sigmagraph.ir.graph.opdef import (
    ErrorSample,
    Frame,
    Inference,
    NDArray,
    OpDef,
    OpKind,
    Sample,
)
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.kernel.expr import Expr, Index, apply
from sigmagraph.ir.kernel.expr import cast as cast_expr
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, If, Let, LoopKind, Store
from sigmagraph.ops.fragments import table_guards
from sigmagraph.ops.loops import between, each, load, nest, serial, store, without
from sigmagraph.ops.places import scatter_vjp
from sigmagraph.ops.reduction import exact
from sigmagraph.ops.samples import M, N, booleans, distinct, integers, nonzero, normal

MODES: Mapping[str, Callable[[NDArray, NDArray], NDArray]] = {
    "set": lambda _, new: new,
    "add": np.add,
    "mul": np.multiply,
    "min": np.minimum,
    "max": np.maximum,
}
_LANES = 16
_VECTORS = 64
_WIDE = 64  # elements of a part
_TASKS = 4
_ROW = Dim("%row")


def _check(context: Inference) -> int:
    """The axis; raises unless mode, index and element types fit."""
    table, indices, updates = context.types
    mode = context.attrs["mode"]
    if mode not in MODES:
        raise context.error("there is no such mode", expected=", ".join(MODES), got=mode, kind=AttributeValueError)
    if not indices.dtype.is_integer:
        raise context.error(
            "the indices are no integers", expected="an integer type", got=indices.dtype, kind=DTypeError
        )
    if updates.dtype is not table.dtype:
        raise context.error("the updates are of another type", expected=table.dtype, got=updates.dtype, kind=DTypeError)
    if table.dtype is BOOL and mode != "set":
        raise context.error("bools can only be set", expected="a number type", got=table.dtype, kind=DTypeError)
    return context.axis(context.attrs["axis"], table.rank)


# ---- loops


def _put(out: Buffer, index: Sequence[Size], mode: str, value: Expr, guard: tuple[Size, ...] = ()) -> Store:
    return store(out, index, value if mode == "set" else apply(mode, load(out, index, guard), value), guard)


def _where_it_exists(wanted: Expr, size: Size, block: Block, start: Size = 0) -> Block:
    """A block that may use ``%row``, how far an index is beyond ``start``, if that is not negative and below a size."""
    row = cast_expr(wanted, I64)
    row = row if start == 0 else apply("sub", row, Index(start))
    return (Let("%row", row), If((_ROW, size - 1 - _ROW), block))


def _scatter_loops(frame: Frame) -> Block:
    """Copy the table, then put the updates in order; parts of rows are independent, and so are ranges of rows."""
    (table, indices, updates), (out,) = frame.reads, frame.writes
    axis, mode = frame.attrs["axis"] % len(table.shape), frame.attrs["mode"]
    rows, shape = table.shape[axis], without(table.shape, axis)
    wide = axis < len(shape)
    lanes, vectors = _part(shape[-1]) if wide else (1, 1)
    if wide:
        shape = (*shape[:-1], ceildiv(shape[-1], lanes * vectors))
    ranges = _ranges(product(shape), rows, lanes * vectors)
    step = ceildiv(rows, ranges)

    def body(task: tuple[Size, ...]) -> Block:
        *outer, number = task
        start = step * number if ranges > 1 else 0
        length = minimum(step, rows - start)
        guard: tuple[Size, ...] = ()
        if wide:
            column = lanes * (outer[-1] * vectors + Dim("%q")) + Dim("%j")
            outer, guard = [*outer[:-1], column], (table.shape[-1] - 1 - column,)

        def columns(stmt: Store) -> Block:
            if not wide:
                return (stmt,)
            return (serial("%q", vectors, lambda _: (For("%j", lanes, LoopKind.VECTORIZED, (stmt,)),)),)

        def copy(row: Size) -> Block:
            at = between(outer, axis, start + row)
            return columns(store(out, at, load(table, at, guard), guard))

        def update(place: tuple[Size, ...]) -> Block:
            value = load(updates, (*outer[:axis], *place, *outer[axis:]), guard)
            put = columns(_put(out, between(outer, axis, start + _ROW), mode, value, guard))
            return _where_it_exists(load(indices, place), length, put, start)

        return (serial("%k", length, copy), *nest("%r", indices.shape, update))

    return each((*shape, ranges), body)


def _part(columns: Size) -> tuple[int, int]:
    """Lanes and vectors of the part of a row that a task takes: rows of updates are best read whole."""
    if not isinstance(columns, int):
        return _LANES, 1
    lanes = max(1, min(columns, _LANES))
    return lanes, max(1, min(-(-columns // lanes), _VECTORS))


def _ranges(parts: Size, rows: Size, part: int) -> int:
    """Into how many ranges of rows to cut the table: each task goes through all indices, which wide rows outweigh."""
    if not isinstance(parts, int) or not isinstance(rows, int) or part < _WIDE or rows < _TASKS:
        return 1
    return -(-_TASKS // max(1, parts))


def _put_along_loops(frame: Frame) -> Block:
    (table, indices, updates), (out,) = frame.reads, frame.writes
    axis, mode = frame.attrs["axis"] % len(table.shape), frame.attrs["mode"]

    def body(outer: tuple[Size, ...]) -> Block:
        def copy(row: Size) -> Block:
            return (store(out, between(outer, axis, row), load(table, between(outer, axis, row))),)

        def update(number: Size) -> Block:
            at = between(outer, axis, number)
            put = _put(out, between(outer, axis, _ROW), mode, load(updates, at))
            return _where_it_exists(load(indices, at), table.shape[axis], (put,))

        return (serial("%k", table.shape[axis], copy), serial("%r", indices.shape[axis], update))

    return each(without(table.shape, axis), body)


# ---- records


def _infer_scatter(context: Inference) -> tuple[TensorType, ...]:
    axis = _check(context)
    table, indices, updates = context.types
    read = (*table.shape[:axis], *indices.shape, *table.shape[axis + 1 :])
    context.same_shape(read, updates.shape, "what the indices name and the updates")
    return (table,)


def _infer_put_along(context: Inference) -> tuple[TensorType, ...]:
    axis = _check(context)
    table, indices, updates = context.types
    shape = context.same_shape(indices.shape, updates.shape, "indices and updates")
    if len(shape) != table.rank:
        raise context.error("the ranks of table and indices differ", expected=table.rank, got=len(shape))
    context.same_shape(without(table.shape, axis), without(shape, axis), "the other axes of table and indices")
    return (table,)


def _in_order(mode: str, table: NDArray, rows: NDArray, updates: NDArray) -> NDArray:
    """Updates [n, ...] put into table [size, ...] one after the other; rows are [n], or [n, ...] for each element."""
    out = exact(table).copy() if table.dtype != np.bool_ else table.copy()
    others = np.indices(table.shape[1:])
    with np.errstate(all="ignore"):
        for row, update in zip(rows, updates, strict=True):
            inside = np.broadcast_to((row >= 0) & (row < len(table)), update.shape)
            at = (np.broadcast_to(row, update.shape)[inside], *(axis[inside] for axis in others))
            out[at] = MODES[mode](out[at], update.astype(out.dtype)[inside])
        return out.astype(table.dtype)


def _reference_scatter(inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]) -> tuple[NDArray, ...]:
    table, indices, updates = inputs
    axis = attrs["axis"] % table.ndim
    places = tuple(range(axis, axis + indices.ndim))
    rows = np.moveaxis(updates, places, range(indices.ndim))
    rows = rows.reshape(indices.size, *rows.shape[indices.ndim :])
    out = _in_order(attrs["mode"], np.moveaxis(table, axis, 0), indices.reshape(-1), rows)
    return (np.moveaxis(out, 0, axis),)


def _reference_put_along(
    inputs: Sequence[NDArray], attrs: Attrs, _types: tuple[TensorType, ...]
) -> tuple[NDArray, ...]:
    table, indices, updates = (np.moveaxis(array, attrs["axis"], 0) for array in inputs)
    return (np.moveaxis(_in_order(attrs["mode"], table, indices, updates), 0, attrs["axis"]),)


def _indices(rng: np.random.Generator, limit: int, *shape: int) -> NDArray:
    return rng.integers(0, limit, shape, dtype=np.int32)


def _scatter_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for mode in MODES:
        draw = distinct if mode in ("min", "max") else nonzero
        yield Sample((draw(rng, 5, 3), _indices(rng, 5, 4), draw(rng, 4, 3) + 0.1), {"axis": 0, "mode": mode})
        yield Sample((draw(rng, 2, 4, 3), _indices(rng, 4, 6), draw(rng, 2, 6, 3) + 0.1), {"axis": 1, "mode": mode})
        wrong = np.array([-1, 4, 5, 0, -(2**31), 4], np.int32)
        yield Sample((draw(rng, 5, 3), wrong, draw(rng, 6, 3) + 0.1), {"axis": 0, "mode": mode})
        yield Sample(
            (draw(rng, 5, 3), _indices(rng, 5, 4), draw(rng, 4, 3) + 0.1),
            {"axis": 0, "mode": mode},
            shapes=((N, 3), (M,), (M, 3)),
        )
        yield Sample((integers(rng, 5), _indices(rng, 5, 7), integers(rng, 7)), {"axis": 0, "mode": mode}, exact=True)
    yield Sample((normal(rng, 4, 6), _indices(rng, 6, 2, 3), normal(rng, 4, 2, 3)), {"axis": -1, "mode": "add"})
    yield Sample((normal(rng, 3, 37), _indices(rng, 3, 5), normal(rng, 5, 37)), {"axis": 0, "mode": "add"})
    yield Sample((normal(rng, 4, 3), np.array(2, np.int64), normal(rng, 3)), {"axis": 0, "mode": "set"})
    yield Sample(
        (nonzero(rng, 3), _indices(rng, 3, 5), np.array([0.0, 2.0, 0.0, 1.5, -1.0])), {"axis": 0, "mode": "mul"}
    )
    yield Sample(
        (normal(rng, 3, 4), _indices(rng, 4, 5), normal(rng, 3, 5)), {"axis": 1}, shapes=((N, M), (5,), (N, 5))
    )
    yield Sample((normal(rng, 5, 3), _indices(rng, 5, 0), normal(rng, 0, 3)), {"axis": 0, "mode": "add"})
    yield Sample((normal(rng, 5, 3), _indices(rng, 5, 0), normal(rng, 0, 3)), {"axis": 0, "mode": "mul"})
    yield Sample((normal(rng, 0, 3), _indices(rng, 5, 2), normal(rng, 2, 3)), {"axis": 0, "mode": "add"})
    yield Sample((booleans(rng, 5), _indices(rng, 5, 3), booleans(rng, 3)), {"axis": 0}, exact=True)
    ties = np.array([1.0, 1.0, np.nan, 2.0, np.inf])
    yield Sample((ties, np.array([0, 1, 2, 3, 3], np.int32), ties[::-1].copy()), {"axis": 0, "mode": "max"}, kinks=True)


def _put_along_samples(rng: np.random.Generator) -> Iterator[Sample]:
    for mode in MODES:
        draw = distinct if mode in ("min", "max") else nonzero
        yield Sample(
            (draw(rng, 2, 4, 3), _indices(rng, 4, 2, 5, 3), draw(rng, 2, 5, 3) + 0.1), {"axis": 1, "mode": mode}
        )
        yield Sample(
            (draw(rng, 5, 3), _indices(rng, 5, 4, 3), draw(rng, 4, 3) + 0.1),
            {"axis": 0, "mode": mode},
            shapes=((N, M), (4, M), (4, M)),
        )
    wrong = np.array([[-1, 3, 2], [2, 2, 0]], np.int32)
    yield Sample((normal(rng, 2, 3), wrong, normal(rng, 2, 3)), {"axis": -1, "mode": "add"})
    yield Sample((normal(rng, 2, 3), wrong.astype(np.int64), normal(rng, 2, 3)), {"axis": -1})
    yield Sample((normal(rng, 2, 3), _indices(rng, 3, 2, 0), normal(rng, 2, 0)), {"axis": 1})
    yield Sample((booleans(rng, 5), _indices(rng, 5, 3), booleans(rng, 3)), {"axis": 0}, exact=True)
    yield Sample((integers(rng, 5), _indices(rng, 5, 8), integers(rng, 8)), {"axis": 0, "mode": "add"}, exact=True)


_ATTRS = (
    AttrSpec("axis", "axis", "the table's axis that the indices count along"),
    AttrSpec("mode", "str", "what is done with an update: set, add, mul, min or max", "set"),
)
_TABLE, _WHERE = TensorType(F32, (5, 3)), TensorType(I32, (4,))
_ROWS, _BESIDE = TensorType(F32, (4, 3)), TensorType(I32, (4, 3))


def _wrong_uses(indices: TensorType) -> Iterator[ErrorSample]:
    floats, bools = TensorType(F32, indices.shape), TensorType(BOOL, (5, 3))
    yield ErrorSample((_TABLE, floats, _ROWS), {"axis": 0}, DTypeError, "indices are no integers")
    yield ErrorSample((_TABLE, indices, _ROWS), {"axis": 2}, ShapeError, "no such axis")
    yield ErrorSample((_TABLE, indices, _ROWS), {"axis": 0, "mode": "sub"}, AttributeValueError, "no such mode")
    yield ErrorSample((_TABLE, indices, TensorType(F64, (4, 3))), {"axis": 0}, DTypeError, "another type")
    yield ErrorSample((bools, indices, TensorType(BOOL, (4, 3))), {"axis": 0, "mode": "add"}, DTypeError, "only be set")
    yield ErrorSample((_TABLE, indices, TensorType(F32, (5, 3))), {"axis": 0}, ShapeError, "axis 0 of")
    yield ErrorSample((_TABLE, indices, TensorType(F32, (4,))), {"axis": 0}, ShapeError, "the ranks of")


_ORDER = (
    "`mode` says what an update does: set, add, mul, min or max. Updates of one place are made in the order of their "
    "indices, so that of several that set, the last wins. An index that is negative or too large changes nothing."
)
OPS = (
    OpDef(
        name="scatter",
        doc=f"A table with the parts along `axis` that integers name changed by updates, the adjoint of `gather`: "
        f"table[a,n,b], indices[i], updates[a,i,b] -> [a,n,b]. {_ORDER}",
        kind=OpKind.OPAQUE,
        arity=3,
        attrs=_ATTRS,
        infer=_infer_scatter,
        reference=_reference_scatter,
        vjp=partial(scatter_vjp, kind="scatter"),
        loops=_scatter_loops,
        guards=table_guards,
        samples=_scatter_samples,
        errors=tuple(_wrong_uses(_WHERE)),
    ),
    OpDef(
        name="put_along_axis",
        doc=f"A table with elements changed by updates, at an index along `axis` for each of them, the adjoint of "
        f"`take_along_axis`: table[a,n,b], indices[a,i,b], updates[a,i,b] -> [a,n,b]. {_ORDER}",
        kind=OpKind.OPAQUE,
        arity=3,
        attrs=_ATTRS,
        infer=_infer_put_along,
        reference=_reference_put_along,
        vjp=partial(scatter_vjp, kind="put_along_axis"),
        loops=_put_along_loops,
        guards=table_guards,
        samples=_put_along_samples,
        errors=(
            *_wrong_uses(_BESIDE),
            ErrorSample((TensorType(F32, (5,)), _BESIDE, _ROWS), {"axis": 0}, ShapeError, "table and indices differ"),
            ErrorSample((TensorType(F32, (5, 2)), _BESIDE, _ROWS), {"axis": 0}, ShapeError, "other axes"),
        ),
    ),
)
