"""Takes away guards, conditions, index arithmetic and loops that the ranges of loops decide."""

from __future__ import annotations

import math
from dataclasses import replace

from sigmagraph.codegen.transform.rename import Names, copy_block
from sigmagraph.dims import Func, Size, substitute
from sigmagraph.facts import FEW
from sigmagraph.ir.kernel.bounds import Scope
from sigmagraph.ir.kernel.expr import Apply, Const, Expr, Index, Load, Var, rebuild
from sigmagraph.ir.kernel.kernel import Block, Call, For, If, Kernel, Let, LoopKind, Stmt, Store, View

_Sizes = tuple[Size, ...]


def simplify(kernel: Kernel) -> Kernel:
    """The kernel with fewer guards, conditions, divisions and loops.

    Loops that run once are replaced by their bodies, unless they are parallel or bound to a GPU; loops that never run
    are dropped. Callees are left as they are.
    """
    scope = Scope(dict.fromkeys(kernel.dims, (0, None)))
    return replace(kernel, body=_Simplifier(kernel).block(kernel.body, scope))


class _Simplifier:
    def __init__(self, kernel: Kernel) -> None:
        self.names = Names(kernel)
        self.dims = frozenset(kernel.dims)
        self.loads: dict[str, Load] = {}  # by the name of the let

    # ---- statements

    def block(self, block: Block, scope: Scope) -> Block:
        out: list[Stmt] = []
        waiting = list(reversed(block))
        while waiting:
            stmt = waiting.pop()
            match stmt:
                case Let(name, value):
                    if isinstance(value, Load):
                        self.loads[name] = value
                    value = self.expr(value, scope)
                    scope = scope.let(name, value)
                    out.append(Let(name, value))
                case Store(buffer, index, value, guard):
                    left = self.conditions(guard, scope)
                    if left is not None:
                        index = self.sizes(index, self.given(left, scope))
                        out.append(Store(buffer, index, self.expr(value, scope), left))
                case For():
                    waiting.extend(reversed(self.loop(stmt, scope, out)))
                case If():
                    waiting.extend(reversed(self.branch(stmt, scope, out)))
                case Call(kernel, dims, args):
                    views = tuple(View(v.buffer, self.sizes(v.index, scope)) for v in args)
                    out.append(Call(kernel, self.sizes(dims, scope), views))
                case _:
                    out.append(stmt)
        return tuple(out)

    def loop(self, loop: For, scope: Scope, out: list[Stmt]) -> Block:
        """Append the loop if it stays one; else the statements that stand in its place."""
        extent = self.size(loop.extent, scope)
        if scope.nonnegative(-1 * scope.resolve(extent)):
            return ()
        if extent == 1 and loop.kind in (LoopKind.SERIAL, LoopKind.UNROLLED, LoopKind.VECTORIZED):
            return copy_block(loop.body, {loop.var: 0}, self.names.unique)
        body = self.block(loop.body, self.inside(loop.var, scope.resolve(extent), scope))
        if body:
            out.append(For(loop.var, extent, loop.kind, body))
        return ()

    def inside(self, var: str, extent: Size, scope: Scope) -> Scope:
        """The scope of a loop's body. A dim without which the loop would not run is at least 1 there."""
        ranges = dict(scope.ranges)
        for dim in [n for n in ranges if n in self.dims]:
            if scope.nonnegative(-1 * substitute(extent, {dim: 0})):
                del ranges[dim]
        return replace(scope, ranges=ranges).loop(var, extent)

    def branch(self, stmt: If, scope: Scope, out: list[Stmt]) -> Block:
        """Append the If if it stays one; else the statements that stand in its place."""
        left = self.conditions(stmt.conditions, scope)
        if not left:
            return copy_block(stmt.orelse if left is None else stmt.then, {}, self.names.unique)
        then = self.block(stmt.then, self.given(left, scope))
        refuted = (-1 - left[0],) if len(left) == 1 else ()
        orelse = self.block(stmt.orelse, self.given(refuted, scope))
        if then or orelse:
            out.append(If(left, then, orelse))
        return ()

    # ---- expressions

    def expr(self, expr: Expr, scope: Scope) -> Expr:
        match expr:
            case Index(size):
                return Index(self.size(size, scope))
            case Load(buffer, index, dtype, guard):
                left = self.conditions(guard, scope)
                if left is None:
                    return Const(0, dtype)
                return Load(buffer, self.sizes(index, self.given(left, scope)), dtype, left)
            case Apply("select", (condition, value, Const(0) as zero)) if math.copysign(
                1, zero.value
            ) > 0 and self.is_zero_unless(condition, value):
                return self.expr(value, scope)
            case _:
                return rebuild(expr, lambda e: self.expr(e, scope))

    def is_zero_unless(self, condition: Expr, value: Expr) -> bool:
        """Whether a value is that of a load which gives 0 where the condition does not hold."""
        load = self.loads.get(value.name) if isinstance(value, Var) else value
        needed = _comparisons(condition)
        return isinstance(load, Load) and needed is not None and needed <= set(load.guard)

    def conditions(self, conditions: _Sizes, scope: Scope) -> _Sizes | None:
        """The conditions that are not known to hold; None when one is known not to."""
        left: list[Size] = []
        for condition in conditions:
            condition = self.size(condition, scope)
            known = scope.resolve(condition)
            if scope.nonnegative(-1 - known, FEW):
                return None
            if not scope.nonnegative(known, FEW):
                left.append(condition)
        return tuple(left)

    def given(self, conditions: _Sizes, scope: Scope) -> Scope:
        """The scope of an access that happens only where conditions hold."""
        return scope.given([scope.resolve(c) for c in conditions])

    def sizes(self, sizes: _Sizes, scope: Scope) -> _Sizes:
        return tuple(self.size(s, scope) for s in sizes)

    def size(self, size: Size, scope: Scope) -> Size:
        if not _has_function(size):
            return size
        resolved = scope.resolve(size)
        simple = scope.facts.simplify(resolved)
        return size if simple == resolved and _has_function(simple) else simple


def _comparisons(condition: Expr) -> set[Size] | None:
    """What has to be at least 0 for a condition to hold; None where it says something else."""
    match condition:
        case Apply("and", (first, second)):
            found = _comparisons(first), _comparisons(second)
            return None if found[0] is None or found[1] is None else found[0] | found[1]
        case Apply("ge", (Index(size), Const(0))):
            return {size}
        case _:
            return None


def _has_function(size: Size) -> bool:
    return not isinstance(size, int) and any(isinstance(a, Func) for monomial, _ in size.terms for a in monomial)
