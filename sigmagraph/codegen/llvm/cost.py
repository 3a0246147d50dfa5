"""A rough count of the instructions that statements take, as an expression of the dims: what is worth threads."""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.dims import Dim, Func, Size, maximum, names, substitute
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, walk
from sigmagraph.ir.kernel.kernel import Block, Call, For, If, Kernel, Let, LoopKind, Stmt, Store
from sigmagraph.ir.kernel.scalar import SCALARS


def cost(block: Block, callees: Sequence[Kernel] = ()) -> Size:
    """Instructions of one run of a block; loop variables inside extents count as 0, so that it is an upper bound.

    Of two branches the dearer one counts; a call of a callee counts as its body.
    """
    out: Size = 0
    for stmt in block:
        out = out + _statement(stmt, callees)
    return out


def _statement(stmt: Stmt, callees: Sequence[Kernel]) -> Size:
    match stmt:
        case For(_, extent, LoopKind.VECTORIZED, body):
            inner = cost(body, callees)
            return inner if isinstance(extent, int) else inner * extent
        case For(_, extent, _, body):
            return _bound(extent) * cost(body, callees)
        case Let(_, value) | Store(_, _, value):
            return _expression(value)
        case If(_, then, orelse):
            return maximum(cost(then, callees), cost(orelse, callees))
        case Call(name, dims, _):
            callee = next(k for k in callees if k.name == name)
            values = dict(zip(callee.dims, map(_bound, dims), strict=True))
            return substitute(cost(callee.body, callee.callees), values)
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
