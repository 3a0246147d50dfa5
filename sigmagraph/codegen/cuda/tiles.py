"""How the threads of a block share a tile of sums, and which tile a contraction takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.codegen.cuda.tensor_cores import COLUMNS, ROWS, SUMS, Instruction
from sigmagraph.dims import Dim, Size, ceildiv, nominal, product

THREAD = "%thread"  # the number of a thread in its block
WARP = 32
PROCESSORS = 108  # of a device; what is chosen depends on sizes only, so it is the same for all of them
LEAST_STEPS = 16  # of a part of the summed axes


@dataclass(frozen=True, slots=True)
class Walk:
    """A loop over some of the rows or columns that a thread has.

    Attributes:
        var: the loop variable.
        extent: number of them.
        step: from one to the next.
        sums: from one to the next among the sums of the thread.
    """

    var: str
    extent: int
    step: int
    sums: int


@dataclass(frozen=True, slots=True)
class Layout:
    """Which sums of a tile a thread has.

    Attributes:
        threads: of a block.
        row: the first row of thread number :data:`THREAD`.
        column: its first column.
        rows: loops over its rows.
        columns: loops over its columns but for those side by side.
        lanes: columns side by side.
        sums: how many sums it has; those side by side follow each other.
    """

    threads: int
    row: Size
    column: Size
    rows: tuple[Walk, ...]
    columns: tuple[Walk, ...]
    lanes: int
    sums: int


@dataclass(frozen=True, slots=True)
class Warp:
    """The part of a tile that a warp has, in products of an instruction.

    Attributes:
        instruction: what it multiplies with.
        down, across: how many products it has.
        row, column: where its part begins.
    """

    instruction: Instruction
    down: int
    across: int
    row: Size
    column: Size


@dataclass(frozen=True, slots=True)
class Tile:
    """So many rows and columns of sums, and so many products of each at a time.

    Attributes:
        rows, columns: of sums.
        depth: products of each in a step.
        layout: who has which.
        rate: sums of a step in a unit of time, compared with those of other tiles of its kind.
        warp: how warps multiply; None where each thread does so by itself.
    """

    rows: int
    columns: int
    depth: int
    layout: Layout
    rate: float
    warp: Warp | None = None


def _plain(down: int, across: int, rows: int, columns: int, depth: int, rate: float) -> Tile:
    """A tile of ``down * across`` threads, each of which multiplies ``rows * columns`` numbers by itself.

    Four rows and four columns of a thread lie side by side, and are read at once; the next four are those of the other
    half of the tile, so that threads side by side read numbers side by side.
    """
    high, wide = rows // 4, columns // 4
    layout = Layout(
        threads=down * across,
        row=4 * (Dim(THREAD) // across),
        column=4 * (Dim(THREAD) % across),
        rows=(Walk("%h", high, 4 * down, 4 * columns), Walk("%r", 4, 1, columns)),
        columns=(Walk("%g", wide, 4 * across, 4),),
        lanes=4,
        sums=rows * columns,
    )
    return Tile(down * rows, across * columns, depth, layout, rate)


PLAIN = (
    _plain(16, 16, 8, 8, 8, 1.0),
    _plain(16, 16, 4, 4, 16, 0.7),
    _plain(8, 8, 4, 4, 16, 0.45),
    _plain(4, 16, 4, 4, 16, 0.4),
    _plain(16, 4, 4, 4, 16, 0.4),
)


def by_warps(instruction: Instruction, down: int, across: int, high: int, wide: int, depth: int, rate: float) -> Tile:
    """A tile of ``down * across`` warps, each of which has ``high * wide`` products of an instruction."""
    thread, lane = Dim(THREAD), Dim(THREAD) % WARP
    row = high * ROWS * (thread // (WARP * across))
    column = wide * COLUMNS * (thread // WARP % across)
    layout = Layout(
        threads=WARP * down * across,
        row=row + lane // 4,
        column=column + 2 * (lane % 4),
        rows=(Walk("%u", high, ROWS, SUMS * wide), Walk("%h", 2, ROWS // 2, 2)),
        columns=(Walk("%g", wide, COLUMNS, SUMS),),
        lanes=2,
        sums=SUMS * high * wide,
    )
    warp = Warp(instruction, high, wide, row, column)
    return Tile(down * high * ROWS, across * wide * COLUMNS, depth, layout, rate, warp)


def tiles_of(instruction: Instruction | None) -> tuple[Tile, ...]:
    """The tiles that there are for an instruction, or for none."""
    if instruction is None:
        return PLAIN
    depth = 2 * instruction.depth
    return (
        by_warps(instruction, 2, 2, 4, 8, depth, 1.0),
        by_warps(instruction, 2, 2, 2, 4, depth, 0.6),
        by_warps(instruction, 2, 2, 1, 2, depth, 0.3),
        by_warps(instruction, 1, 4, 1, 4, depth, 0.35),
    )


def tile_of_rows(instruction: Instruction | None) -> Tile:
    """The tile for few rows of which a block of threads has all columns; it has 64 rows at most."""
    return tiles_of(instruction)[1]


def choose(tiles: Sequence[Tile], rows: Size, columns: Size, others: Size) -> Tile:
    """The tile that takes least time for so many rows and columns, so many times over."""

    def time(tile: Tile) -> float:
        blocks = nominal(product([ceildiv(rows, tile.rows), ceildiv(columns, tile.columns), others]))
        return max(1, -(-blocks // PROCESSORS)) * tile.rows * tile.columns / tile.rate

    return min(tiles, key=time)


def parts(tile: Tile, rows: Size, columns: Size, others: Size, summed: Size) -> int:
    """Into how many parts the summed indices are cut, so that there are blocks for all processors.

    Parts of equally many steps are better than more of them.
    """
    blocks = nominal(product([ceildiv(rows, tile.rows), ceildiv(columns, tile.columns), others]))
    steps = nominal(ceildiv(summed, tile.depth))
    most = max(1, min(PROCESSORS // max(1, blocks), steps // LEAST_STEPS))
    return next((count for count in range(most, most // 2, -1) if steps % count == 0), most)
