"""Replaces unrolled loops by copies of their bodies."""

from __future__ import annotations

from dataclasses import replace

from sigmagraph.codegen.transform.rename import Names, copy_block
from sigmagraph.errors import LoweringError
from sigmagraph.ir.kernel.kernel import Block, For, Kernel, LoopKind, Stmt, map_blocks


def unroll(kernel: Kernel) -> Kernel:
    """The kernel without UNROLLED loops. In copy i the body's own lets and buffers get the suffix ``.i``.

    Callees are left as they are.

    Raises:
        LoweringError: the extent of an unrolled loop is not a number.
    """
    return replace(kernel, body=_Unroller(kernel).block(kernel.body))


class _Unroller:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.names = Names(kernel)

    def block(self, block: Block) -> Block:
        out: list[Stmt] = []
        for stmt in block:
            stmt = map_blocks(stmt, self.block)
            if isinstance(stmt, For) and stmt.kind is LoopKind.UNROLLED:
                out.extend(self.copies(stmt))
            else:
                out.append(stmt)
        return tuple(out)

    def copies(self, loop: For) -> list[Stmt]:
        if not isinstance(loop.extent, int):
            raise LoweringError(
                f"the loop over '{loop.var}' cannot be unrolled",
                expected="a number as its extent",
                got=loop.extent,
                node=f"@{self.kernel.name}",
            )
        out: list[Stmt] = []
        for i in range(loop.extent):
            out.extend(copy_block(loop.body, {loop.var: i}, lambda name, i=i: self.names.fresh(f"{name}.{i}")))  # type: ignore[misc]
        return out
