"""A rough count of the instructions that statements take, as an expression of the dims: what is worth threads."""

from __future__ import annotations

from sigmagraph.dims import Dim, Func, Size, names, product, substitute
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, walk
from sigmagraph.ir.kernel.kernel import Block, Call, For, If, Let, LoopKind, Stmt, Store
from sigmagraph.ir.kernel.scalar import SCALARS

CALLEE_COST = 48  # per unit of a callee's first dim: a row of a register tile


def cost(block: Block) -> Size:
    """Instructions of one run of a block; loop variables inside extents count as 0, so that it is an upper bound."""
    out: Size = 0
    for stmt in block:
        out = out + _statement(stmt)
    return out


def _statement(stmt: Stmt) -> Size:
    match stmt:
        case For(_, extent, LoopKind.VECTORIZED, body):
            return cost(body) if isinstance(extent, int) else cost(body) * extent
        case For(_, extent, _, body):
            return _bound(extent) * cost(body)
        case Let(_, value) | Store(_, _, value):
            return _expression(value)
        case If(_, then, _):
            return cost(then)
        case Call(_, dims, _):
            return CALLEE_COST * product(_bound(d) for d in dims[:1])
        case _:
            return 0


def _expression(expr: Expr) -> int:
    return 1 + sum(
        SCALARS[e.op].cost if isinstance(e, Apply) else 1 for e in walk(expr) if isinstance(e, (Apply, Load))
    )


def _bound(size: Size) -> Size:
    """An extent without loop variables, minima replaced by one of their constant arguments where they have one."""
    size = substitute(size, {n: 0 for n in names(size) if n.startswith("%")})
    if isinstance(size, Dim) and size.is_atom:
        atom = size.terms[0][0][0]
        if isinstance(atom, Func) and atom.kind == "min":
            return next((a for a in atom.args if isinstance(a, int)), atom.args[0])
    return size
