"""Recognises contractions, and chooses how they are carried out.

A contraction is a sum of products in which one factor is indexed by row axes, the other by column axes, and both by
the summed axes (and perhaps by batch axes), whatever op it came from. Its factors are packed into panels, through
whatever index expressions they have; a micro-kernel leaves tiles of sums, and an epilogue turns them into outputs.

The scheme is that of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM Transactions
on Mathematical Software 34 (2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.blocks import Blocks
from sigmagraph.codegen.templates.panels import Panels
from sigmagraph.codegen.templates.pieces import continues, indices_in, uses
from sigmagraph.codegen.templates.tiles import Contraction, Factor, Tiles
from sigmagraph.dims import product
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Apply, Expr, Var, walk
from sigmagraph.ir.kernel.kernel import Kernel, Let

MANY_ROWS = 192
FEW_PANELS = 4
DEEP = 128
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
    if _packs_better_as_columns(left, reduction.axes):
        left, right = right, left
    work = left.extent * right.extent * product(a.extent for a in reduction.axes)
    if isinstance(work, int) and work < SMALL:
        return None
    (left, ahead), (right, behind) = (_dense(factor, compute) for factor in (left, right))
    batch = tuple(a for a in compute.axes if a in (*batch, *ahead, *behind))
    return Contraction(compute, reduction, left, right, batch)


def _dense(factor: Factor, compute: Compute) -> tuple[Factor, tuple[Axis, ...]]:
    """The factor with those of its axes along which outputs lie as if they were one, and the others.

    The others become batch axes: a tile's outputs are then easily told from another's.
    """
    cut = len(factor.axes) - 1
    while cut and all(continues(s.index[0], *factor.axes[cut - 1 : cut + 1]) for s in compute.stores):
        cut -= 1
    return replace(factor, axes=factor.axes[cut:]), factor.axes[:cut]


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


def _packs_better_as_columns(left: Factor, summed: Sequence[Axis]) -> bool:
    """Whether the row factor is read along a row axis that is one of several, as in the derivative of a convolution.

    A vector of columns then lies within that axis, while a tile's rows would often cross its end. The outputs are
    written in columns instead, which a long sum outweighs.
    """
    depth = product(a.extent for a in summed)
    if len(left.axes) < 2 or (isinstance(depth, int) and depth < DEEP):
        return False
    return left.runs_along(left.axes[-1])


def contraction_kernel(contraction: Contraction, machine: Machine) -> Kernel:
    """The scheduled kernel of a contraction.

    Blocks of rows suit many rows or few columns, sums over several axes, which are walked without divisions, and batch
    axes that a factor does not have, for which panels of it would be stored again and again. Columns that fit one
    vector have a tile of their own, as high as the usual one has accumulators.
    """
    columns = contraction.right.extent
    if isinstance(columns, int) and columns <= machine.lanes(contraction.reduction.dtype):
        machine = replace(machine, tile_rows=machine.tile_rows * machine.tile_vectors, tile_vectors=1)
    tiles = Tiles(contraction, machine)
    few_columns = isinstance(tiles.column_panels, int) and tiles.column_panels < FEW_PANELS
    many_rows = Facts().nonnegative(tiles.m - MANY_ROWS)
    several = len(contraction.reduction.axes) > 1
    if several or _has_loose_axes(contraction) or (not contraction.batch and (few_columns or many_rows)):
        return Blocks(contraction, machine, many_rows).kernel()
    return Panels(contraction, machine).kernel()


def _has_loose_axes(contraction: Contraction) -> bool:
    """Whether a factor does not depend on a batch axis."""
    factors = (contraction.left, contraction.right)
    return any(_axes_of(f.lets, f.value, contraction.batch) != list(contraction.batch) for f in factors)
