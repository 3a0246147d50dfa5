"""Recognises contractions, and chooses how they are carried out.

A contraction is a sum of products in which one factor is indexed by row axes, the other by column axes, and both by
the summed axes (and perhaps by batch axes), whatever op it came from. Its factors are packed into panels, through
whatever index expressions they have; a micro-kernel leaves tiles of sums, and an epilogue turns them into outputs.

The scheme is that of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM Transactions
on Mathematical Software 34 (2008).
"""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.engine import Engine
from sigmagraph.codegen.templates.factors import Contraction, Factor
from sigmagraph.codegen.templates.pieces import indices_in, uses
from sigmagraph.dims import product
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Apply, Expr, Var, walk
from sigmagraph.ir.kernel.kernel import Kernel, Let

SMALL = 16 * 16 * 16  # multiply-adds below which packing costs more than it gives


def as_contraction(compute: Compute) -> Contraction | None:
    """The contraction that a flat compute is, or None when it is none or too small to be worth packing."""
    reduction = compute.reduction
    if reduction is None or reduction.op != "add" or not reduction.axes:
        return None
    lets = {item.name: item for item in reduction.lets}
    value = reduction.value
    while isinstance(value, Var) and value.name in lets:
        value = lets[value.name].value
    if not isinstance(value, Apply) or value.op != "mul":
        return None
    sides = [_side(lets, reduction.lets, v) for v in value.args]
    used = [_axes_of(side_lets, v, compute.axes) for side_lets, v in sides]
    batch = tuple(a for a in compute.axes if a in used[0] and a in used[1])
    own = [tuple(a for a in compute.axes if a in mine and a not in batch) for mine in used]
    if not own[0] or not own[1] or len(batch) + len(own[0]) + len(own[1]) != len(compute.axes):
        return None
    factors = [Factor(side_lets, v, axes) for (side_lets, v), axes in zip(sides, own, strict=True)]
    left, right = factors if compute.axes[-1] in factors[1].axes else reversed(factors)
    work = left.extent * right.extent * product(a.extent for a in reduction.axes)
    if isinstance(work, int) and work < SMALL:
        return None
    return Contraction(compute, reduction, left, right, batch)


def _side(lets: dict[str, Let], order: Sequence[Let], value: Expr) -> tuple[tuple[Let, ...], Expr]:
    needed: set[str] = set()
    stack = [value]
    while stack:
        for expr in walk(stack.pop()):
            found = (
                [expr.name] if isinstance(expr, Var) else [n for i in indices_in(expr) for n in lets if uses(i, [n])]
            )
            for name in found:
                if name in lets and name not in needed:
                    needed.add(name)
                    stack.append(lets[name].value)
    return tuple(item for item in order if item.name in needed), value


def _axes_of(items: Sequence[Let], value: Expr, axes: Sequence[Axis]) -> list[Axis]:
    indices = [i for e in [*(item.value for item in items), value] for i in indices_in(e)]
    return [a for a in axes if any(uses(i, [a.var]) for i in indices)]


def contraction_kernel(contraction: Contraction, machine: Machine) -> Kernel:
    """The scheduled kernel of a contraction."""
    return Engine(contraction, machine).kernel()
