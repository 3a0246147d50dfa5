"""Loops for computes that read across memory (transposes): square tiles are loaded along memory and read across.

Read where it lies, an element across memory brings a cache line for itself alone, and rows a power of two apart drive
each other out of the cache before their neighbours are wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sigmagraph.codegen.templates.pieces import accumulator, instantiate, nest, slope, vector_loop
from sigmagraph.dims import Dim, Size, names, substitute
from sigmagraph.ir.kernel.compute import Axis, Compute
from sigmagraph.ir.kernel.expr import Expr, Load, rebuild, walk
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, LoopKind, Store

TILES = 4  # side by side along memory, so that lines are used up which begin and end within tiles
_ALONG, _ACROSS = "%along", "%across"  # where an element stands in its tile


def crossed_axis(compute: Compute, lanes: int) -> Axis | None:
    """The outer axis along which most loads that the last axis strides through are contiguous, if there are such."""
    *outer, last = compute.axes
    if lanes == 1 or not _reaches(last, lanes):
        return None
    crossing = {axis: len(_crossing(compute, axis)) for axis in outer if _reaches(axis, lanes)}
    best = max(crossing, key=lambda axis: crossing[axis], default=None)
    return best if best is not None and crossing[best] else None


def _reaches(axis: Axis, lanes: int) -> bool:
    return not isinstance(axis.extent, int) or axis.extent >= lanes


def _crossing(compute: Compute, axis: Axis) -> dict[Load, None]:
    """The loads that are contiguous along an outer axis and not along the last."""
    last = compute.axes[-1].var
    lets = {item.name for item in compute.lets}
    loads = (e for whole in compute.expressions() for e in walk(whole) if isinstance(e, Load) and not e.guard)
    return dict.fromkeys(
        load
        for load in loads
        if lets.isdisjoint(names(load.index[0]))
        and slope(load.index[0], axis.var) == 1
        and slope(load.index[0], last) not in (0, 1, None)
    )


def across_nest(compute: Compute, axis: Axis, lanes: int) -> Block:
    """The loops; tiles have so many elements along the axis and along the last one."""
    *outer, last = compute.axes
    outer.remove(axis)
    tiles = _Tiles(compute, axis, last, lanes)
    kind = LoopKind.SERIAL if outer else LoopKind.PARALLEL
    blocks: list[For] = []
    done: Size = 0
    for count, var in ((TILES, "%block"), (1, "%strip")):
        width = count * lanes
        whole = (axis.extent - done) // width
        if whole != 0:
            blocks.append(For(var, whole, kind, tiles.block(done + width * Dim(var), count, var[1:])))
        done = done + width * whole
    if axis.extent - done != 0:
        blocks.append(For("%rest", axis.extent - done, LoopKind.SERIAL, tiles.row(done + Dim("%rest"), ".r")))
    return nest(outer, tuple(blocks), LoopKind.PARALLEL) if outer else tuple(blocks)


@dataclass(frozen=True, slots=True)
class _Tiles:
    """Writes tiles of ``axis`` x ``last``, and what is left beside them."""

    compute: Compute
    axis: Axis
    last: Axis
    lanes: int

    def block(self, start: Size, count: int, tag: str) -> Block:
        """So many tiles along the axis, from ``start`` on, and all of the last axis."""
        whole = self.last.extent // self.lanes
        rest = self.last.extent - self.lanes * whole
        beside = For("%beside", count, LoopKind.SERIAL, self.tile(start + self.lanes * Dim("%beside"), tag))
        out = [For("%tile", whole, LoopKind.SERIAL, (beside,))]
        if rest != 0:
            at = {self.axis.var: start + Dim("%along"), self.last.var: self.lanes * whole + Dim("%left")}
            left = For("%left", rest, LoopKind.SERIAL, _body(self.compute, at, f".l{tag}"))
            out.append(For(_ALONG, count * self.lanes, LoopKind.SERIAL, (left,)))
        return tuple(out)

    def tile(self, start: Size, tag: str) -> Block:
        """Loads along memory into tiles, and the compute with its loads across memory from them."""
        first = self.lanes * Dim("%tile")
        loads = _crossing(self.compute, self.axis)
        tiles = {
            load: accumulator(f"%tile{number}.{tag}", load.dtype, self.lanes**2) for number, load in enumerate(loads)
        }
        vector = self.lanes * Dim("%row") + Dim("%lane")
        at = {self.axis.var: start + Dim("%lane"), self.last.var: first + Dim("%row")}
        fill = tuple(
            Store(tile.name, (vector,), Load(load.buffer, (substitute(load.index[0], at),), load.dtype))
            for load, tile in tiles.items()
        )
        rows = For("%row", self.lanes, LoopKind.SERIAL, (For("%lane", self.lanes, LoopKind.VECTORIZED, fill),))
        inner = {self.axis.var: start + Dim(_ALONG), self.last.var: first + Dim(_ACROSS)}
        body = _body(_from_tiles(self.compute, tiles, self.lanes), inner, f".{tag}")
        use = For(_ALONG, self.lanes, LoopKind.SERIAL, (For(_ACROSS, self.lanes, LoopKind.VECTORIZED, body),))
        return (*map(Alloc, tiles.values()), rows, use)

    def row(self, at: Size, tag: str) -> Block:
        """One element of the axis, and all of the last axis."""
        return vector_loop(
            self.last.var,
            self.last.extent,
            self.lanes,
            lambda i, more: _body(self.compute, {self.axis.var: at, self.last.var: i}, tag + more),
        )


def _body(compute: Compute, at: Mapping[str, Size], tag: str) -> Block:
    instance = instantiate(compute.lets, at, tag)
    return (*instance.lets, *(instance.store(s) for s in compute.stores))


def _from_tiles(compute: Compute, tiles: Mapping[Load, Buffer], lanes: int) -> Compute:
    """The compute with loads taken from the tiles that hold them."""
    place = (lanes * Dim(_ACROSS) + Dim(_ALONG),)

    def visit(expr: Expr) -> Expr:
        if isinstance(expr, Load) and expr in tiles:
            return Load(tiles[expr].name, place, expr.dtype)
        return rebuild(expr, visit)

    return compute.map(visit, lambda s: replace(s, value=visit(s.value)))
