"""Turns the sums of a tile into what a contraction stores: each thread those that it has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.codegen.cuda.elementwise import divides
from sigmagraph.codegen.cuda.numbers import digits_of, divided
from sigmagraph.codegen.cuda.tiles import Layout, Tile, Walk
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.codegen.templates.pieces import indices_in, instantiate, slope
from sigmagraph.dims import Dim, Size, divide_exact, substitute
from sigmagraph.ir.kernel.expr import Index, Load
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, If, Let, LoopKind

ROW, COLUMN, LANE = "%m", "%n", "%v"  # of a sum; which of those side by side it is


@dataclass(frozen=True, slots=True)
class Outputs:
    """The stores of a thread.

    Attributes:
        contraction: whose they are.
        tile: who has which sums.
        sums: where they are.
        block: which block of rows and of columns the tile is.
        others: what batch axes are.
    """

    contraction: Contraction
    tile: Tile
    sums: Buffer
    block: tuple[Size, Size]
    others: Mapping[str, Size]

    @property
    def layout(self) -> Layout:
        """Who has which sums."""
        return self.tile.layout

    def block_of(self) -> Block:
        """The stores, in loops over all sums of a thread."""
        layout, compute = self.layout, self.contraction.compute
        row = _along(self.tile.rows * self.block[0] + layout.row, layout.rows)
        column = _along(self.tile.columns * self.block[1] + layout.column, layout.columns)
        place = self._placed()
        counted = self._divided(place)
        names = {
            ROW: Dim(ROW) if ROW in counted else row,
            COLUMN: Dim(COLUMN) if COLUMN in counted else column + Dim(LANE),
        }
        place = {var: substitute(digit, names) for var, digit in place.items()}
        at: Size = Dim(LANE)
        for walk in (*layout.rows, *layout.columns):
            at = at + walk.sums * Dim(walk.var)
        instance = instantiate(
            compute.lets, place, "", {self.contraction.reduction.result: Load(self.sums.name, (at,), self.sums.dtype)}
        )
        body: Block = (*instance.lets, *(instance.store(s) for s in compute.stores))
        if COLUMN in counted:
            body = (Let(COLUMN, Index(column + Dim(LANE))), *body)
        body = _walked(self._side_by_side(body, column, COLUMN not in counted), layout.columns)
        if ROW in counted:
            body = (Let(ROW, Index(row)), *body)
        extent = self.contraction.left.extent
        if divide_exact(extent, self.tile.rows) is None:
            body = (If((extent - 1 - row,), body),)
        return _walked(body, layout.rows)

    def _side_by_side(self, body: Block, column: Size, plain: bool) -> Block:
        """The body for the columns that a thread has side by side, stored as vectors if these are whole ones."""
        lanes, extent = self.layout.lanes, self.contraction.right.extent
        vectors = plain and divide_exact(extent, lanes) is not None and self._are_vectors(lanes)
        last = column + (lanes - 1 if vectors else Dim(LANE))
        guard = (extent - 1 - last,)
        even = divide_exact(extent, self.tile.columns) is not None
        if vectors:
            body = (For(LANE, lanes, LoopKind.VECTORIZED, body),)
            return body if even else (If(guard, body),)
        return (For(LANE, lanes, LoopKind.UNROLLED, body if even else (If(guard, body),)),)

    def _are_vectors(self, lanes: int) -> bool:
        stores = self.contraction.compute.stores
        indices = [substitute(s.index[0], self._placed()) for s in stores]
        whole = all(slope(i, COLUMN) == 1 and divides(lanes, substitute(i, {COLUMN: 0})) for i in indices)
        return whole and not any(s.guard for s in stores)

    def _placed(self) -> dict[str, Size]:
        """What axes are, in numbers of rows and columns."""
        left, right = self.contraction.left.axes, self.contraction.right.axes
        return {**self.others, **digits_of(Dim(ROW), left), **digits_of(Dim(COLUMN), right)}

    def _divided(self, place: Mapping[str, Size]) -> set[str]:
        """The numbers that index expressions divide."""
        compute = self.contraction.compute
        instance = instantiate(compute.lets, place, "")
        sizes = [i for item in instance.lets if isinstance(item, Let) for i in indices_in(item.value)]
        for store in map(instance.store, compute.stores):
            sizes += [*store.index, *store.guard, *indices_in(store.value)]
        return divided(sizes)


def _along(first: Size, walks: tuple[Walk, ...]) -> Size:
    for walk in walks:
        first = first + walk.step * Dim(walk.var)
    return first


def _walked(body: Block, walks: tuple[Walk, ...]) -> Block:
    for walk in reversed(walks):
        body = (For(walk.var, walk.extent, LoopKind.UNROLLED, body),)
    return body
