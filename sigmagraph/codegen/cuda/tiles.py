"""How the threads of a block share a tile of sums, and which tile a contraction takes."""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import Dim, Size, ceildiv, nominal, product

THREAD = "%thread"  # the number of a thread in its block
PROCESSORS = 108  # of a device; what is chosen depends on sizes only, so it is the same for all of them


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
class Tile:
    """So many rows and columns of sums, and so many products of each at a time.

    Attributes:
        rows, columns: of sums.
        depth: products of each in a step.
        layout: who has which.
        rate: sums of a step in a unit of time, compared with those of other tiles.
    """

    rows: int
    columns: int
    depth: int
    layout: Layout
    rate: float


def plain(down: int, across: int, rows: int, columns: int, depth: int, rate: float) -> Tile:
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
    plain(16, 16, 8, 8, 8, 1.0),
    plain(16, 16, 4, 4, 16, 0.7),
    plain(8, 8, 4, 4, 16, 0.45),
    plain(4, 16, 4, 4, 16, 0.4),
    plain(16, 4, 4, 4, 16, 0.4),
)


def choose(tiles: tuple[Tile, ...], rows: Size, columns: Size, others: Size) -> Tile:
    """The tile that takes least time for so many rows and columns, so many times over."""

    def time(tile: Tile) -> float:
        blocks = nominal(product([ceildiv(rows, tile.rows), ceildiv(columns, tile.columns), others]))
        return max(1.0, -(-blocks // PROCESSORS)) * tile.rows * tile.columns / tile.rate

    return min(tiles, key=time)


def parts(tile: Tile, rows: Size, columns: Size, others: Size, summed: Size) -> int:
    """Into how many parts the summed indices are cut, so that there are blocks for all processors."""
    blocks = nominal(product([ceildiv(rows, tile.rows), ceildiv(columns, tile.columns), others]))
    steps = nominal(ceildiv(summed, tile.depth))
    most = min(2 * PROCESSORS // max(1, int(blocks)), int(steps) // LEAST_STEPS)
    return most if most > 1 else 1


LEAST_STEPS = 16  # of a part
