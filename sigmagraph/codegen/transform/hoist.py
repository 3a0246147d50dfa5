"""Moves loads of run-time scalars out of loops, so that what is computed from them alone is computed once."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.transform.rename import Names, copy_block
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Block, For, If, Kernel, Let, LoopKind, Role, Stmt, map_blocks

_LEFT = (LoopKind.SERIAL, LoopKind.VECTORIZED)


def hoist(kernel: Kernel) -> Kernel:
    """The kernel with lets that name a fixed element of an input moved out of serial and vectorized loops and branches.

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
            stmt = map_blocks(stmt, self.block)
            if isinstance(stmt, If) or (isinstance(stmt, For) and stmt.kind in _LEFT):
                stmt = map_blocks(stmt, lambda inner: self.rest(inner, out))
            out.append(stmt)
        return tuple(out)

    def rest(self, block: Block, out: list[Stmt]) -> Block:
        """What stays in a block; the others are appended to ``out``."""
        if any(map(self.is_fixed, block)):
            block = copy_block(block, {}, self.names.unique)
            out.extend(filter(self.is_fixed, block))
        return tuple(s for s in block if not self.is_fixed(s))

    def is_fixed(self, stmt: Stmt) -> bool:
        """Whether a statement names an element that is the same and exists at every place of the kernel."""
        if not isinstance(stmt, Let) or not isinstance(stmt.value, Load) or stmt.value.guard:
            return False
        shape = self.shapes.get(stmt.value.buffer)
        return shape is not None and all(
            isinstance(at, int) and isinstance(size, int) and 0 <= at < size
            for at, size in zip(stmt.value.index, shape, strict=True)
        )
