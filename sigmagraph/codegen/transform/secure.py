"""Guards the loads and stores of scheduled kernels that cannot be shown to be in bounds.

Nearly all are shown to be: :mod:`sigmagraph.facts` knows what windows, tiles and blocks do to indices. Where a proof is
beyond it, or takes too long, the program compares the index when it runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from sigmagraph.dims import Size
from sigmagraph.ir.kernel.expr import Expr, Load, rebuild
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, Kernel, Let, Stmt, Store, map_blocks, statements
from sigmagraph.ir.kernel.verify import Unproven, verify_kernels


def secure(kernel: Kernel) -> tuple[Kernel, int]:
    """A kernel that the verifier lets pass, and the number of accesses that had to be guarded for that.

    Raises:
        VerifyError: the kernel breaks a rule, or cannot be shown to keep one that guards are no help for.
    """
    pairs = [_callee(callee) for callee in kernel.callees]
    callees = tuple(callee for callee, _ in pairs)
    guards = sum(count for _, count in pairs)
    unproven: dict[Unproven, None] = {}
    kernel = replace(kernel, callees=callees)
    verify_kernels((kernel,), unproven, verified=callees)
    if unproven:
        kernel = replace(kernel, body=_Guarder(kernel, unproven).block(kernel.body))
        verify_kernels((kernel,), verified=callees)
    return kernel, guards + len(unproven)


@lru_cache(maxsize=64)
def _callee(kernel: Kernel) -> tuple[Kernel, int]:
    """The same for a kernel that others call, mostly several of them."""
    return secure(kernel)


class _Guarder:
    def __init__(self, kernel: Kernel, unproven: Mapping[Unproven, None]) -> None:
        self.name = kernel.name
        self.unproven = unproven
        own = (s.buffer for s in statements(kernel.body) if isinstance(s, Alloc))
        self.buffers: dict[str, Buffer] = {b.name: b for b in (*kernel.params, *own)}

    def block(self, block: Block) -> Block:
        return tuple(self.statement(map_blocks(stmt, self.block)) for stmt in block)

    def statement(self, stmt: Stmt) -> Stmt:
        match stmt:
            case Let(name, value):
                return Let(name, self.expr(value))
            case Store(buffer, index, value, guard):
                return Store(buffer, index, self.expr(value), self.guard(buffer, index, guard))
            case _:
                return stmt

    def expr(self, expr: Expr) -> Expr:
        if isinstance(expr, Load):
            return replace(expr, guard=self.guard(expr.buffer, expr.index, expr.guard))
        return rebuild(expr, self.expr)

    def guard(self, buffer: str, index: tuple[Size, ...], guard: tuple[Size, ...]) -> tuple[Size, ...]:
        """The guard of an access, and that each of its indices is in bounds if that has not been shown."""
        if Unproven(self.name, buffer, index, guard) not in self.unproven:
            return guard
        limits = zip(index, self.buffers[buffer].shape, strict=True)
        return (*guard, *(limit for at, size in limits for limit in (at, size - 1 - at)))
