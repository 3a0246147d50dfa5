"""Loops each turn of which becomes a thread: how works are cut into them, and how they are bound to blocks."""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.codegen.cuda.numbers import digits_of
from sigmagraph.codegen.loops import iteration
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, product
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.kernel import Block, For, If, LoopKind, Stmt

THREADS = 256  # of a block
FEW = 1 << 14  # threads, fewer of which are cut into smaller blocks, so that more processors take part
FEW_THREADS = 64


def thread_each(compute: Compute) -> Block:
    """A thread for each index of the axes of a flat compute, which does everything at that index."""
    return each(compute.axes, iteration(compute))


def each(axes: Sequence[Axis], body: Block) -> Block:
    """A thread for each index of some axes."""
    count = product(axis.extent for axis in axes)
    return (For("%g", count, LoopKind.PARALLEL, copy_block(body, digits_of(Dim("%g"), axes), str)),)


def assuming(body: Block, conditions: Sequence[Size]) -> Block:
    """The launches under conditions that hold anyway, where the verifier and simplifications see them."""
    return tuple(_under(stmt, tuple(conditions)) for stmt in body) if conditions else body


def _under(stmt: Stmt, conditions: tuple[Size, ...]) -> Stmt:
    """A nest with what its threads do under conditions; allocations and lets around threads stay there."""
    if not isinstance(stmt, For):
        return stmt
    if stmt.kind.is_block or any(isinstance(s, For) and s.kind.is_thread for s in stmt.body):
        return For(stmt.var, stmt.extent, stmt.kind, tuple(_under(s, conditions) for s in stmt.body))
    return For(stmt.var, stmt.extent, stmt.kind, (If(conditions, stmt.body),))


def bind(body: Block) -> Block:
    """The launches of a kernel, parallel loops being cut into blocks of threads, the rest being done by one thread."""
    out: list[Stmt] = []
    serial: list[Stmt] = []
    for stmt in body:
        if isinstance(stmt, For) and (stmt.kind.is_block or stmt.kind.is_thread or stmt.kind is LoopKind.PARALLEL):
            out += _alone(serial)
            serial = []
            out.append(_bound(stmt) if stmt.kind is LoopKind.PARALLEL else stmt)
        else:
            serial.append(stmt)
    return (*out, *_alone(serial))


def _alone(block: Sequence[Stmt]) -> Block:
    """A launch of a single thread, if there is anything to be done."""
    if not block:
        return ()
    return (For("%only", 1, LoopKind.BLOCK_X, (For("%one", 1, LoopKind.THREAD_X, tuple(block)),)),)


def _bound(loop: For) -> For:
    """A thread for each turn of a parallel loop."""
    few = isinstance(loop.extent, int) and loop.extent < FEW
    threads = FEW_THREADS if few else THREADS
    block, thread = f"{loop.var}.block", f"{loop.var}.thread"
    turn = threads * Dim(block) + Dim(thread)
    inside = copy_block(loop.body, {loop.var: turn}, str)
    rest = loop.extent - 1 - turn
    whole = isinstance(loop.extent, int) and loop.extent % threads == 0
    inner = For(thread, threads, LoopKind.THREAD_X, inside if whole else (If((rest,), inside),))
    return For(block, ceildiv(loop.extent, threads), LoopKind.BLOCK_X, (inner,))
