"""The gradients of ops that write at indices that are data, whichever way the indices lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import I64
from sigmagraph.ir.graph.opdef import NodeBuilder, VjpContext
from sigmagraph.ir.graph.types import TensorType
from sigmagraph.ir.graph.value import Value
from sigmagraph.ops.fragments import broadcast, cast, expand, full_like, reshape, shift, size_value


def scatter_vjp(c: VjpContext, kind: str) -> Sequence[Value | None]:
    """The cotangents of table and updates; ``kind`` is the op, ``scatter`` or ``put_along_axis``."""
    (table, indices, updates), (y,), (g,) = c.inputs, c.outputs, c.cotangents
    shape = c.type(table).shape
    places = _Places(c, kind, indices, c.attrs["axis"] % len(shape), shape, c.type(updates).shape)
    back = places.get(g)
    none = full_like(c, 0.0, updates)
    match c.attrs["mode"]:
        case "set":
            return places.put("set", g, none), None, c.emit("select", places.last(), back, none)
        case "add":
            return g, None, c.emit("select", places.exist(), back, none)
        case "mul":
            factors = places.put("mul", full_like(c, 1.0, table), updates)
            share = c.emit("select", places.exist(), places.get(c.emit("mul", g, table)), none)
            return c.emit("mul", g, factors), None, c.emit("mul", share, places.others(updates))
        case _:
            return _vjp_extreme(c, places, table, updates, y, g)


def _vjp_extreme(
    c: VjpContext, places: _Places, table: Value, updates: Value, y: Value, g: Value
) -> Sequence[Value | None]:
    """All that equal the extreme share its cotangent equally."""
    none = full_like(c, 0.0, updates)
    kept = c.emit("eq", table, y)
    hit = c.emit("and", places.exist(), c.emit("eq", updates, places.get(y)))
    ones = c.emit("cast", hit, dtype=c.type(g).dtype)
    count = places.put("add", c.emit("cast", kept, dtype=c.type(g).dtype), ones)
    share = c.emit("div", g, count)
    first = c.emit("select", kept, share, full_like(c, 0.0, share))
    return first, None, c.emit("select", hit, places.get(share), none)


@dataclass(frozen=True, slots=True)
class _Places:
    """The places in tables of a shape that indices name: how they are read and written.

    Attributes:
        b: builds the nodes.
        kind: name of the op, ``scatter`` or ``put_along_axis``.
        indices: operand of the op.
        axis: counted from the front.
        shape: of the table.
        read: shape of the updates.
    """

    b: NodeBuilder
    kind: str
    indices: Value
    axis: int
    shape: tuple[Size, ...]
    read: tuple[Size, ...]

    def get(self, table: Value) -> Value:
        """What stands at the places; anything where there is no such place."""
        if self.shape[self.axis] == 0:
            return self.b.full(0.0, TensorType(self.b.type(table).dtype, self.read))
        op = "gather" if self.kind == "scatter" else "take_along_axis"
        return self.b.emit(op, table, self.indices, axis=self.axis)

    def put(self, mode: str, table: Value, updates: Value) -> Value:
        """The table with updates."""
        return self.b.emit(self.kind, table, self.indices, updates, axis=self.axis, mode=mode)

    def spread(self, values: Value) -> Value:
        """Values for the indices as values for the updates."""
        if self.kind != "scatter":
            return values
        rank = len(self.b.type(values).shape)
        axes = tuple(i for i in range(len(self.read)) if not self.axis <= i < self.axis + rank)
        return expand(self.b, values, axes, self.read)

    def exist(self) -> Value:
        """Whether there is such a place, for each update."""
        numbers = cast(self.b, self.indices, I64)
        size = broadcast(self.b, size_value(self.b, self.shape[self.axis], I64), self.b.type(numbers).shape)
        least = self.b.emit("ge", numbers, full_like(self.b, 0, numbers))
        return self.spread(self.b.emit("and", least, self.b.emit("lt", numbers, size)))

    def order(self) -> Value:
        """The numbers 0, 1, 2, ... in the order in which updates of one place are made."""
        shape = self.b.type(self.indices).shape
        if self.kind != "scatter":
            return self.b.emit("iota", axis=self.axis, shape=shape, dtype=I64)
        return reshape(self.b, self.b.emit("iota", axis=0, shape=(product(shape),), dtype=I64), shape)

    def last(self) -> Value:
        """Whether an update is the last one of its place."""
        order = self.order()
        if self.kind == "scatter":
            kept, axis = TensorType(I64, (self.shape[self.axis],)), 0
        else:
            kept, axis = TensorType(I64, self.shape), self.axis
        inner = _Places(self.b, self.kind, self.indices, axis, kept.shape, self.b.type(order).shape)
        winner = inner.get(inner.put("set", self.b.full(-1, kept), order))
        return self.spread(self.b.emit("eq", winner, order))

    def others(self, updates: Value) -> Value:
        """For each update the product of the other updates of its place, without a division.

        The updates are sorted by place; within a run of one place the product of those before (and of those behind) is
        the recurrence p[k] = u[k-1] * p[k-1], which starts anew with 1 at the beginning of a run.
        """
        b, axis = self.b, self.axis
        places, values, along = self.indices, updates, axis
        if self.kind == "scatter":
            count = product(b.type(places).shape)
            places, along = reshape(b, places, (count,)), 0
            values = reshape(b, values, (*self.shape[:axis], count, *self.shape[axis + 1 :]))
        shape = b.type(values).shape

        def beside(rows: Value) -> Value:
            """What is known of each place, for all values that go there."""
            return (
                rows if self.kind != "scatter" else expand(b, rows, [i for i in range(len(shape)) if i != axis], shape)
            )

        order = b.emit("argsort", places, axis=along)
        back = beside(b.emit("argsort", order, axis=along))
        places = b.emit("take_along_axis", places, order, axis=along)
        factors = b.emit("take_along_axis", values, beside(order), axis=axis)
        zero, one = full_like(b, 0.0, values), full_like(b, 1.0, values)
        out = one
        for reverse in (False, True):
            same = b.emit("eq", places, shift(b, places, along, reverse))
            first = beside(_run_starts(b, same, along, reverse))
            factor = b.emit("select", first, zero, shift(b, factors, axis, reverse))
            begin = b.emit("select", first, one, zero)
            out = b.emit("mul", out, b.emit("recurrence", factor, begin, axis=axis, reverse=reverse))
        return reshape(b, b.emit("take_along_axis", out, back, axis=axis), self.read)


def _run_starts(b: NodeBuilder, same: Value, axis: int, reverse: bool) -> Value:
    """Where a run begins: where the neighbour before is another, and at the end, which has no neighbour."""
    shape = b.type(same).shape
    numbers = b.emit("iota", axis=axis, shape=shape, dtype=I64)
    edge = size_value(b, shape[axis] - 1, I64) if reverse else b.constant(0, I64)
    end = b.emit("eq", numbers, broadcast(b, edge, shape))
    return b.emit("or", end, b.emit("logical_not", same))
