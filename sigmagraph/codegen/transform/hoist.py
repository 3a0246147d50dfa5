"""Moves loads of run-time scalars and random keys out of loops, so that what is computed from them alone is computed once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sigmagraph.codegen.transform.rename import Names, copy_block
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Block, For, Kernel, Let, LoopKind, Role, Stmt, map_blocks

_LEFT = (LoopKind.SERIAL, LoopKind.VECTORIZED)


def hoist(kernel: Kernel) -> Kernel:
    """The kernel with lets of fixed elements of small inputs before the outermost loop that is no parallel one.

    Only elements that exist whatever the dims are, of buffers that the kernel does not write, are read earlier than
    before; emitters place arithmetic by its operands. Callees are left as they are.
    """
    return replace(kernel, body=_Hoister(kernel).block(kernel.body))


class _Hoister:
    def __init__(self, kernel: Kernel) -> None:
        self.names = Names(kernel)
        self.shapes = {b.name: b.shape for b in kernel.params if b.role is Role.IN}

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for stmt in block:
            out.extend(self.statement(map_blocks(stmt, self.block)))
        return tuple(out)

    def statement(self, stmt: Stmt) -> Iterator[Stmt]:
        """The statement, after what can leave it."""
        if isinstance(stmt, For) and stmt.kind in _LEFT and any(map(self.is_fixed, stmt.body)):
            body = copy_block(stmt.body, {}, self.names.unique)
            yield from filter(self.is_fixed, body)
            stmt = For(stmt.var, stmt.extent, stmt.kind, tuple(s for s in body if not self.is_fixed(s)))
        yield stmt

    def is_fixed(self, stmt: Stmt) -> bool:
        """Whether a statement names an element that is the same and exists at every place of the kernel."""
        if not isinstance(stmt, Let) or not isinstance(stmt.value, Load) or stmt.value.guard:
            return False
        shape = self.shapes.get(stmt.value.buffer)
        return shape is not None and all(
            isinstance(at, int) and isinstance(size, int) and 0 <= at < size
            for at, size in zip(stmt.value.index, shape, strict=True)
        )
