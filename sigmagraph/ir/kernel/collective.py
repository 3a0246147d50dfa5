"""What threads do together: barriers, warp operations, and calls of functions that have some."""

from __future__ import annotations

from sigmagraph.ir.kernel.expr import Apply
from sigmagraph.ir.kernel.kernel import Barrier, Block, Call, Kernel, Let, Stmt, statements
from sigmagraph.ir.kernel.scalar import SCALARS


def is_collective(block: Block, kernel: Kernel) -> bool:
    """Whether threads wait for each other somewhere in a block of a kernel."""
    return any(_is_collective(stmt, kernel) for stmt in statements(block))


def _is_collective(stmt: Stmt, kernel: Kernel) -> bool:
    match stmt:
        case Barrier():
            return True
        case Let(_, Apply(op, _, _)):
            return op in SCALARS and SCALARS[op].lanes
        case Call(name, _, _):
            callee = kernel.callee(name)
            return is_collective(callee.body, callee)
        case _:
            return False
