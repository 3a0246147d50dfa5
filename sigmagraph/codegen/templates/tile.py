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
    lanes = machine.lanes(dtype)
    vectors = ceildiv(columns, lanes)
    whole = columns // lanes if few and isinstance(columns, int) and columns % lanes == 0 else None

    def cost(tile: Tile) -> tuple[float, int]:
        return tile.cost(machine.vector_bytes, whole is not None) * _pieces(rows, tile.rows) * _pieces(
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
