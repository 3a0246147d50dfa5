"""Chooses the register tile of a contraction by a model of what its inner loop costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.pieces import at_most
from sigmagraph.dims import Size, ceildiv
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.compute import Axis

MOST_ROWS = 12  # each row has an address in a register
MOST_VECTORS = 8
ISSUE = 0.3  # cycles an instruction takes of the front end, where it is shared with another thread of the core
LOOP = 4  # instructions that count and step
MANY = 1024  # rows or columns where their number is not known
UNKNOWN = 2  # times as costly a row is taken to be on an axis of unknown extent
WORTH = 0.67  # of what a row takes on the last axis, it takes on one that is worth tiles that lie across
STREAM = 24  # bytes a cycle of the right operand, which comes from the second cache


@dataclass(frozen=True, slots=True)
class Tile:
    """So many rows of so many vectors of sums."""

    rows: int
    vectors: int

    def cost(self, vector_bytes: int, near: bool = False) -> float:
        """Cycles of one turn of the inner loop: two multiply-adds a cycle, or what can be issued, or be read.

        The right operand is near where it comes from the first cache.
        """
        sums = self.rows * self.vectors
        issued = ISSUE * (sums + self.rows + self.vectors + LOOP)
        return max(sums / 2, issued, 0 if near else self.vectors * vector_bytes / STREAM)

    def is_faster_near(self, vector_bytes: int) -> bool:
        """Whether it waits for the second cache."""
        return self.cost(vector_bytes, near=True) < self.cost(vector_bytes)


def choose_tile(machine: Machine, dtype: DType, rows: Size, columns: Size, few: bool = False) -> Tile:
    """The tile that takes least for so many rows and columns; where these are not known, for many.

    Columns are read where they are for few rows, which takes whole panels; only once not from the first cache.

    Accumulators, a row of the right operand, a broadcast and one register to spare fit the register file: with one too
    many, LLVM moves all of them round in every turn.
    """
    near = _whole(machine, dtype, columns, few) is not None
    tiles = _tiles(machine, dtype, columns, few)
    return min(tiles, key=lambda tile: _cost(machine, dtype, rows, columns, tile, near))


def tiled_last(machine: Machine, dtype: DType, axes: Sequence[Axis], columns: Size, few: bool = False) -> list[Axis]:
    """The axes of rows, the one along which tiles are to lie last.

    That is the last one, whose rows mostly lie next to each other, unless tiles take much less for a row of another
    one. An axis of unknown extent may be a single row at the call, and counts as a bad one.
    """

    def cost(axis: Axis) -> float:
        extent = at_most(axis.extent)
        tile = choose_tile(machine, dtype, extent, columns, few)
        rows, unknown = (max(1, extent), 1) if isinstance(extent, int) else (MANY, UNKNOWN)
        near = _whole(machine, dtype, columns, few) is not None
        return unknown * _cost(machine, dtype, extent, columns, tile, near)[0] / rows

    best = min(reversed(axes), key=cost)
    if cost(best) > WORTH * cost(axes[-1]):
        return list(axes)
    return [*(axis for axis in axes if axis is not best), best]


def _whole(machine: Machine, dtype: DType, columns: Size, few: bool) -> int | None:
    """The vectors of columns that are read where they are for few rows; they are in the first cache all but once."""
    lanes = machine.lanes(dtype)
    return columns // lanes if few and isinstance(columns, int) and columns % lanes == 0 else None


def _tiles(machine: Machine, dtype: DType, columns: Size, few: bool) -> list[Tile]:
    """Those that fit the registers, and the columns where that matters."""
    whole = _whole(machine, dtype, columns, few)
    tiles = [Tile(r, v) for r in range(1, MOST_ROWS + 1) for v in range(1, MOST_VECTORS + 1)]
    fitting = [t for t in tiles if t.rows * t.vectors + t.vectors + 2 <= machine.registers]
    return [t for t in fitting if whole is None or whole % t.vectors == 0] or fitting


def _cost(machine: Machine, dtype: DType, rows: Size, columns: Size, tile: Tile, near: bool) -> tuple[float, int]:
    """Cycles for each summed index, and what decides between tiles that take equally many: the larger one."""
    pieces = _pieces(rows, tile.rows) * _pieces(ceildiv(columns, machine.lanes(dtype)), tile.vectors)
    return tile.cost(machine.vector_bytes, near) * pieces, -tile.rows * tile.vectors


def _pieces(extent: Size, size: int) -> float:
    """How many pieces of a size an extent takes."""
    return -(-extent // size) if isinstance(extent, int) else MANY / size
