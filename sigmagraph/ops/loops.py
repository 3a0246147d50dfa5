"""Pieces of kernels for ops that write their own loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sigmagraph.dims import Dim, Size, product
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Expr, Load
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, LoopKind, Role, Space, Store
from sigmagraph.ops.rules import unflatten

Body = Callable[[tuple[Size, ...]], Block]


def each(shape: Sequence[Size], body: Body) -> Block:
    """``body`` for all indices of a shape, as one parallel loop: the independent parts of what a kernel does."""
    return (For("%t", product(shape), LoopKind.PARALLEL, body(unflatten(Dim("%t"), shape))),)


def serial(var: str, extent: Size, body: Callable[[Size], Block]) -> For:
    """``body`` for 0 .. extent - 1, in order."""
    return For(var, extent, LoopKind.SERIAL, body(Dim(var)))


def nest(stem: str, shape: Sequence[Size], body: Body) -> Block:
    """``body`` for all indices of a shape, in order."""
    block = body(tuple(Dim(f"{stem}{n}") for n in range(len(shape))))
    for n, extent in reversed(tuple(enumerate(shape))):
        block = (For(f"{stem}{n}", extent, LoopKind.SERIAL, block),)
    return block


def without(shape: Sequence[Size], axis: int) -> tuple[Size, ...]:
    """A shape or an index without one axis."""
    return (*shape[:axis], *shape[axis + 1 :])


def between(index: Sequence[Size], axis: int, at: Size) -> tuple[Size, ...]:
    """An index without an axis, with that axis put back."""
    return (*index[:axis], at, *index[axis:])


def load(buffer: Buffer, index: Sequence[Size], guard: Sequence[Size] = ()) -> Load:
    """An element of a buffer."""
    return Load(buffer.name, tuple(index), buffer.dtype, tuple(guard))


def store(buffer: Buffer, index: Sequence[Size], value: Expr, guard: Sequence[Size] = ()) -> Store:
    """Write an element of a buffer."""
    return Store(buffer.name, tuple(index), value, tuple(guard))


def register(name: str, dtype: DType) -> tuple[Alloc, Buffer]:
    """Memory for one number that changes, of the iteration around it."""
    buffer = Buffer(name, dtype, (1,), Role.TEMP, Space.LOCAL)
    return Alloc(buffer), buffer


def scratch(name: str, dtype: DType, shape: Sequence[Size]) -> tuple[Alloc, Buffer]:
    """An array that belongs to the iteration around it."""
    buffer = Buffer(name, dtype, tuple(shape), Role.TEMP, Space.SCRATCH)
    return Alloc(buffer), buffer
