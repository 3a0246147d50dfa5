"""Chooses the register tile of a contraction by a model of what its inner loop costs."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.dims import Size, ceildiv
from sigmagraph.dtypes import DType

MOST_ROWS = 12  # each row has an address in a register
MOST_VECTORS = 8
ISSUE = 0.3  # cycles an instruction takes of the front end, where it is shared with another thread of the core
LOOP = 4  # instructions that count and step
STREAM = 24  # bytes a cycle of the right operand, which comes from the second cache


@dataclass(frozen=True, slots=True)
class Tile:
    """So many rows of so many vectors of sums."""

    rows: int
    vectors: int

    def cost(self, vector_bytes: int) -> float:
        """Cycles of one turn of the inner loop: two multiply-adds a cycle, or what can be issued, or be read."""
        sums = self.rows * self.vectors
        issued = ISSUE * (sums + self.rows + self.vectors + LOOP)
        return max(sums / 2, issued, self.vectors * vector_bytes / STREAM)


def choose_tile(machine: Machine, dtype: DType, rows: Size, columns: Size) -> Tile:
    """The tile that takes least for so many rows and columns; where these are not known, for many.

    Accumulators, a row of the right operand, a broadcast and one register to spare fit the register file: with one too
    many, LLVM moves all of them round in every turn.
    """
    lanes = machine.lanes(dtype)
    vectors = ceildiv(columns, lanes)
    # For few rows columns are read where they are, which takes whole panels.
    few = isinstance(rows, int) and rows <= MOST_ROWS and isinstance(columns, int) and columns % lanes == 0
    whole = columns // lanes if few and isinstance(columns, int) else None

    def cost(tile: Tile) -> tuple[float, int]:
        return tile.cost(machine.vector_bytes) * _pieces(rows, tile.rows) * _pieces(
            vectors, tile.vectors
        ), -tile.rows * tile.vectors

    def fits(tile: Tile) -> bool:
        return tile.rows * tile.vectors + tile.vectors + 2 <= machine.registers

    tiles = [Tile(r, v) for r in range(1, MOST_ROWS + 1) for v in range(1, MOST_VECTORS + 1)]
    tiles = [t for t in tiles if fits(t) and (whole is None or whole % t.vectors == 0)] or tiles
    return min(filter(fits, tiles), key=cost)


def _pieces(extent: Size, size: int) -> float:
    """How many pieces of a size an extent takes."""
    return -(-extent // size) if isinstance(extent, int) else 1024 / size
