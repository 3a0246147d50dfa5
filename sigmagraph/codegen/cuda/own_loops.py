"""Kernels whose loops an op wrote itself: what belongs to an iteration lies in memory that all iterations share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sigmagraph.dims import Dim, Size
from sigmagraph.ir.kernel.expr import Expr, Load, rebuild
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    For,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    map_blocks,
)


def own_kernel(kernel: Kernel) -> Kernel:
    """The kernel with its scratch memory as buffers that the caller hands in, a part for each parallel iteration."""
    body: list[Stmt] = []
    temporary: list[Buffer] = []
    for number, stmt in enumerate(kernel.body):
        parallel = isinstance(stmt, For) and stmt.kind is LoopKind.PARALLEL
        mover = (
            _Mover(number, Dim(stmt.var), stmt.extent) if isinstance(stmt, For) and parallel else _Mover(number, 0, 1)
        )
        body.append(mover.statement(stmt))
        temporary += mover.buffers
    params = (*kernel.params, *temporary)
    return replace(kernel, params=params, body=tuple(body), stage=KernelStage.SCHEDULED)


@dataclass(slots=True)
class _Mover:
    """Moves the scratch memory of one statement.

    Attributes:
        number: of the statement.
        turn: the iteration that memory belongs to.
        turns: how many there are.
        names: new names of what was moved, by the old ones.
        buffers: what was moved.
    """

    number: int
    turn: Size
    turns: Size
    names: dict[str, str] = field(default_factory=dict)
    buffers: list[Buffer] = field(default_factory=list)

    def statement(self, stmt: Stmt) -> Stmt:
        match stmt:
            case For(var, extent, kind, body):
                return For(var, extent, kind, self.block(body))
            case Let(name, value):
                return Let(name, self.expr(value))
            case Store(buffer, index, value, guard):
                return Store(self.names.get(buffer, buffer), self.place(buffer, index), self.expr(value), guard)
            case _:
                return map_blocks(stmt, self.block)

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for stmt in block:
            if isinstance(stmt, Alloc) and stmt.buffer.space is Space.SCRATCH:
                old = stmt.buffer
                name = f"{old.name}.s{self.number}.{len(self.buffers)}"
                self.names[old.name] = name
                self.buffers.append(Buffer(name, old.dtype, (self.turns, *old.shape), Role.TEMP, Space.GLOBAL))
            else:
                out.append(self.statement(stmt))
        return tuple(out)

    def expr(self, expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr.buffer in self.names:
            return Load(self.names[expr.buffer], self.place(expr.buffer, expr.index), expr.dtype, expr.guard)
        return rebuild(expr, self.expr)

    def place(self, buffer: str, index: Sequence[Size]) -> tuple[Size, ...]:
        return (self.turn, *index) if buffer in self.names else tuple(index)
