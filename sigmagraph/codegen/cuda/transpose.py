"""Computes that read along another axis than they write: tiles of what is read go through shared memory.

Neighbouring threads then have neighbouring elements both when they read and when they write. Lines of a tile are an
element longer than it is wide, so that a column lies in as many banks as a line.
"""

from __future__ import annotations

from collections.abc import Mapping

from sigmagraph.codegen.cuda.numbers import digits_of
from sigmagraph.codegen.templates.pieces import instantiate, slope
from sigmagraph.dims import Dim, Size, ceildiv, names, nominal, product, substitute
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Expr, Load, rebuild, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
)

TILE = 32
LINES = 8  # of a tile at a time
LEAST = 16  # indices along both axes, fewer of which leave most of a tile empty
WORTH = 1 << 15  # elements, fewer of which lie in caches anyway
SHARED_BYTES = 40 << 10  # of tiles


def transposing_nest(compute: Compute) -> For | None:
    """The launch of a flat compute without sweeps; None where it reads as it writes."""
    if len(compute.axes) < 2:
        return None
    last = compute.axes[-1]
    stores = [s.index[0] for s in compute.stores]
    if any(slope(index, last.var) != 1 for index in stores):
        return None
    for axis in compute.axes[:-1]:
        loads = [e for e in _loads(compute) if _goes_along(compute, e, axis, last)]
        size = sum(e.dtype.itemsize for e in loads) * TILE * (TILE + 1)
        if loads and size <= SHARED_BYTES and _is_worth_it(compute, axis, last):
            return _Transposition(compute, axis, {e: f"%tile{n}" for n, e in enumerate(loads)}).nest()
    return None


def _loads(compute: Compute) -> list[Load]:
    """What is read, each once."""
    return list(dict.fromkeys(e for whole in compute.expressions() for e in walk(whole) if isinstance(e, Load)))


def _goes_along(compute: Compute, load: Load, axis: Axis, last: Axis) -> bool:
    """Whether neighbours along an axis, and not along the last one, lie side by side in what is read."""
    (index,) = load.index
    axes = {a.var for a in compute.axes}
    known = all(n in axes or not n.startswith("%") for size in (index, *load.guard) for n in names(size))
    return known and slope(index, axis.var) == 1 and slope(index, last.var) not in (-1, 0, 1)


def _is_worth_it(compute: Compute, axis: Axis, last: Axis) -> bool:
    if any(isinstance(a.extent, int) and a.extent < LEAST for a in (axis, last)):
        return False
    count = product(a.extent for a in compute.axes)
    return not isinstance(count, int) or nominal(count) >= WORTH


class _Transposition:
    """Writes the launch.

    Args:
        compute: what is computed.
        axis: along which is read.
        tiles: what is read through tiles, with their names.
    """

    def __init__(self, compute: Compute, axis: Axis, tiles: Mapping[Load, str]) -> None:
        self.compute = compute
        self.axis = axis
        self.last = compute.axes[-1]
        self.tiles = tiles

    def nest(self) -> For:
        others = [a for a in self.compute.axes if a not in (self.axis, self.last)]
        place = digits_of(Dim("%outer"), others)
        x, y = Dim("%x"), Dim("%y") + LINES * Dim("%line")
        body = (self.lines(self.read(place, x, y)), Barrier(), self.lines(self.write(place, x, y)))
        threads = For("%y", LINES, LoopKind.THREAD_Y, (For("%x", TILE, LoopKind.THREAD_X, body),))
        allocs = tuple(
            Alloc(Buffer(name, load.dtype, (TILE, TILE + 1), Role.TEMP, Space.SHARED))
            for load, name in self.tiles.items()
        )
        inner = For("%column", ceildiv(self.last.extent, TILE), LoopKind.BLOCK_X, (*allocs, threads))
        rows = For("%row", ceildiv(self.axis.extent, TILE), LoopKind.BLOCK_Y, (inner,))
        return For("%outer", product(a.extent for a in others), LoopKind.BLOCK_Z, (rows,)) if others else rows

    def lines(self, body: Block) -> Stmt:
        return For("%line", TILE // LINES, LoopKind.UNROLLED, body)

    def read(self, place: Mapping[str, Size], x: Size, y: Size) -> Block:
        """Neighbouring threads read along the axis."""
        at = self.at(place, x, y)
        stores = []
        for load, name in self.tiles.items():
            index, guard = (tuple(substitute(size, at) for size in sizes) for sizes in (load.index, load.guard))
            stores.append(Store(name, (y, x), Load(load.buffer, index, load.dtype, guard)))
        return self.within(at, tuple(stores))

    def write(self, place: Mapping[str, Size], x: Size, y: Size) -> Block:
        """Neighbouring threads compute and write along the last axis."""
        at = self.at(place, y, x)

        def visit(expr: Expr) -> Expr:
            if isinstance(expr, Load) and expr in self.tiles:
                return Load(self.tiles[expr], (x, y), expr.dtype)
            return rebuild(expr, visit)

        compute = self.compute.map(visit, lambda s: Store(s.buffer, s.index, visit(s.value), s.guard))
        instance = instantiate(compute.lets, at, "")
        return self.within(at, (*instance.lets, *(instance.store(s) for s in compute.stores)))

    def at(self, place: Mapping[str, Size], along_axis: Size, along_last: Size) -> dict[str, Size]:
        """The indices of an element of the tile."""
        own = {self.axis.var: TILE * Dim("%row") + along_axis, self.last.var: TILE * Dim("%column") + along_last}
        return {**place, **own}

    def within(self, at: Mapping[str, Size], body: Block) -> Block:
        """What is done for indices that there are."""
        guards = tuple(
            a.extent - 1 - at[a.var] for a in (self.axis, self.last) if not isinstance(a.extent, int) or a.extent % TILE
        )
        return (If(guards, body),) if guards else body
