"""The launches that a legal GPU kernel consists of: its nests of loops over blocks and threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from sigmagraph.codegen.cuda.lanes import used_names
from sigmagraph.codegen.cuda.names import function_name
from sigmagraph.dims import Size, product
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Call,
    For,
    Kernel,
    Let,
    Role,
    Space,
    Stmt,
    Store,
    is_grid,
    statements,
)


@dataclass(frozen=True)
class Nest:
    """One launch of a kernel.

    Attributes:
        kernel: whose nest it is.
        symbol: the name of its function.
        around: the lets and allocs outside of all its loops that it needs.
        loop: the outermost loop over blocks or threads.
    """

    kernel: Kernel
    symbol: str
    around: Block
    loop: For

    @cached_property
    def axes(self) -> tuple[For, ...]:
        """The loops over blocks and threads, outer first."""
        return tuple(s for s in statements((self.loop,)) if is_grid(s))

    @cached_property
    def blocks(self) -> Size:
        """How many blocks there are."""
        return product(a.extent for a in self.axes if a.kind.is_block)

    @cached_property
    def threads(self) -> int:
        """Threads of a block."""
        count = product(a.extent for a in self.axes if a.kind.is_thread)
        assert isinstance(count, int)
        return count

    @cached_property
    def statements(self) -> tuple[Stmt, ...]:
        """All that it consists of, outer first."""
        return tuple(statements((*self.around, self.loop)))

    @cached_property
    def used(self) -> tuple[int, ...]:
        """The numbers of the kernel's parameters that occur."""
        names = used_names((*self.around, self.loop))
        return tuple(number for number, param in enumerate(self.kernel.params) if param.name in names)

    @cached_property
    def written(self) -> tuple[int, ...]:
        """The numbers of the kernel's parameters that may be written."""
        stored = {s.buffer for s in self.statements if isinstance(s, Store)}
        stored |= {view.buffer for s in self.statements if isinstance(s, Call) for view in s.args}
        params = self.kernel.params
        return tuple(n for n in self.used if params[n].name in stored and params[n].role is not Role.IN)

    @cached_property
    def waits(self) -> bool:
        """Whether threads of a block wait for each other, so that there must be exactly as many as it says."""
        return any(isinstance(s, (Barrier, Call)) for s in self.statements) or any(
            isinstance(part, Apply) and part.op.startswith("shuffle") for s in self.statements for part in _parts(s)
        )

    def memory(self, space: Space) -> int:
        """Bytes of memory of a block (SHARED) or of a thread (LOCAL)."""
        buffers = [s.buffer for s in self.statements if isinstance(s, Alloc) and s.buffer.space is space]
        return sum(b.size * b.dtype.itemsize for b in buffers if isinstance(b.size, int))


def _parts(stmt: Stmt) -> Sequence[Expr]:
    return tuple(walk(stmt.value)) if isinstance(stmt, (Let, Store)) else ()


def nests_of(kernel: Kernel) -> tuple[Nest, ...]:
    """The nests of a legal kernel, in order.

    Raises:
        CompileError: something else than lets and allocs stands between them.
    """
    before: list[Stmt] = []
    found: list[tuple[Block, For]] = []
    for stmt in kernel.body:
        if is_grid(stmt):
            found.append((_needed(kernel, before, stmt), stmt))
        elif isinstance(stmt, (Alloc, Let)):
            before.append(stmt)
        else:
            raise CompileError(
                "a statement of a GPU kernel stands outside of all loops over blocks and threads",
                got=type(stmt).__name__,
                node=f"@{kernel.name}",
            )
    name = function_name(kernel.name)
    return tuple(
        Nest(kernel, name if len(found) == 1 else f"{name}_{number}", around, loop)
        for number, (around, loop) in enumerate(found)
    )


def _needed(kernel: Kernel, before: Sequence[Stmt], nest: For) -> Block:
    """What a nest needs of the lets and allocs before it, in order."""
    used = used_names((nest,))
    needed: list[Stmt] = []
    read_only = [p.name for p in kernel.params if p.role is Role.IN]
    for stmt in reversed(before):
        if isinstance(stmt, Let) and stmt.name in used:
            if any(isinstance(e, Load) and e.buffer not in read_only for e in walk(stmt.value)):
                raise CompileError("a let outside of all nests reads what they write", got=stmt.name)
            used |= used_names((stmt,))
            needed.append(stmt)
        elif isinstance(stmt, Alloc) and stmt.buffer.name in used:
            needed.append(stmt)
    return tuple(reversed(needed))
