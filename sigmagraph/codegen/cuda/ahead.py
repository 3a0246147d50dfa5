"""Walks over memory several turns of which are written side by side, so that their loads are on the way together.

A thread issues instructions in order, up to the first that needs what is not there yet: a turn that loads 4 bytes and
adds them up waits for memory each time. Of unrolled turns compilers write the loads first. What is combined keeps its
order, and with it its bits.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, names
from sigmagraph.ir.kernel.compute import Axis, Sweep, inner_expressions
from sigmagraph.ir.kernel.expr import Apply, Expr, Load, Var, rebuild, walk
from sigmagraph.ir.kernel.kernel import Block, For, If, Let, LoopKind, Stmt, Store, map_blocks
from sigmagraph.ir.kernel.scalar import SCALARS

FLIGHT = 64  # bytes of a thread that are to be on the way: of 1024 threads, half of those that there can be, 64 KB
MOST_TURNS = 16  # side by side
FOUND = "%acc"  # how the names of local memory begin that holds what has been found so far
MOST_WORK = 256  # instructions of the turns that are written side by side, about


def turns(sweep: Sweep, lanes: int = 1, along: str = "") -> int:
    """How many turns of a walk are to be side by side, if each has so many neighbours along an axis.

    A power of two, of which most numbers of turns are multiples.
    """
    parts = [part for whole in inner_expressions(sweep) for part in walk(whole)]
    sides = {along} if along else set()
    moving = _and_lets(sweep, {axis.var for axis in sweep.axes})
    varying = _and_lets(sweep, sides)
    loads = dict.fromkeys(p for p in parts if isinstance(p, Load) and _speaks(p, moving))
    size = sum(load.dtype.itemsize * (lanes if _speaks(load, varying) else 1) for load in loads)
    if not size:
        return 1
    work = lanes * (len(sweep.folds) + sum(SCALARS[p.op].cost for p in parts if isinstance(p, Apply)))
    most = max(1, min(-(-FLIGHT // size), MOST_WORK // max(1, work), MOST_TURNS))
    return 1 << (most.bit_length() - 1)


def _and_lets(sweep: Sweep, variables: Collection[str]) -> set[str]:
    """Variables, and the lets that depend on them."""
    found = set(variables)
    for let in sweep.lets:
        if any(_speaks(part, found) for part in walk(let.value)):
            found.add(let.name)
    return found


def _speaks(part: Expr, variables: Collection[str]) -> bool:
    if isinstance(part, Var):
        return part.name in variables
    return isinstance(part, Load) and any(n in variables for size in (*part.index, *part.guard) for n in names(size))


def side_by_side(var: str, count: Size, many: int, body: Block, threads: int = 1, lane: Size = 0) -> Block:
    """A thread's turns of a loop, in order: turn k of it is number ``threads * k + lane`` of ``count``.

    Args:
        var: what the body calls the turn of the thread.
        count: of the turns of all threads.
        many: turns that are written side by side.
        body: speaks of local memory, lets, loads and stores, perhaps in loops over lanes.
        threads: that share the turns.
        lane: which of them this is.
    """
    whole = count // (threads * many)
    out: list[Stmt] = []
    if whole != 0:
        turn, each = f"{var}.all", f"{var}.each"
        inside = copy_block(body, {var: many * Dim(turn) + Dim(each)}, str)
        out.append(For(turn, whole, LoopKind.SERIAL, (For(each, many, LoopKind.UNROLLED, inside),)))
    left = count - threads * many * whole
    if left != 0:
        last = f"{var}.last"
        some = ceildiv(left, threads) if isinstance(left, int) else many
        there = left - 1 - threads * Dim(last) - lane
        inside = copy_block(body, {var: many * whole + Dim(last)}, lambda name: f"{name}.last")
        end = For(last, some, LoopKind.UNROLLED, _where(there, inside))
        out.append(end if isinstance(left, int) else If((left - 1,), (end,)))
    return tuple(out)


def around(axes: Sequence[Axis], body: Block, many: int, inside: Size) -> Block:
    """Loops around turns, so many of which are side by side if there are as many inside.

    If there are less, turns of the loop around them are side by side too.
    """
    for axis in reversed(axes):
        some = many // max(1, inside) if isinstance(inside, int) else 1
        if some > 1:
            body = side_by_side(axis.var, axis.extent, some, body)
        else:
            body = (For(axis.var, axis.extent, LoopKind.SERIAL, body),)
        inside = inside * axis.extent
    return body


def _where(condition: Size, block: Block) -> Block:
    """The block where a condition holds: nothing is loaded from global memory, and nothing stored, where it does not.

    There are no branches, so that loads of other turns can be issued before.
    """

    def guarded(expr: Expr) -> Expr:
        if isinstance(expr, Load) and not expr.buffer.startswith(FOUND):
            return Load(expr.buffer, expr.index, expr.dtype, (*expr.guard, condition))
        return rebuild(expr, guarded)

    def statement(stmt: Stmt) -> Stmt:
        if isinstance(stmt, Let):
            return Let(stmt.name, guarded(stmt.value))
        if isinstance(stmt, Store):
            return Store(stmt.buffer, stmt.index, guarded(stmt.value), (*stmt.guard, condition))
        return map_blocks(stmt, lambda inner: tuple(map(statement, inner)))

    return tuple(map(statement, block))
