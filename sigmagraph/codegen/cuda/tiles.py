"""How the threads of a block share a tile of sums, and which tile a contraction takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.codegen.cuda.arrangement import Cores, Lines
from sigmagraph.codegen.cuda.tensor_cores import COLUMNS, ROWS, SUMS, TF32, Instruction
from sigmagraph.codegen.cuda.warpgroup import ROWS as GROUP_ROWS
from sigmagraph.codegen.cuda.warpgroup import THREADS, GroupProduct
from sigmagraph.dims import Dim, Size, ceildiv, nominal, product
from sigmagraph.dtypes import DType

THREAD = "%thread"  # the number of a thread in its block
WARP = 32
PROCESSORS = 108  # of a device; what is chosen depends on sizes and architecture only, so it is the same for all
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
class Group:
    """The part of a tile that a warpgroup has: as many rows as a product, and all columns.

    Attributes:
        dtype: of the factors.
        columns: of a product.
        slices: of summed indices in a step.
        row: where its part begins.
    """

    dtype: DType
    columns: int
    slices: int
    row: Size

    def product(self, first_by_rows: bool, second_by_rows: bool) -> GroupProduct:
        """What it multiplies with, for factors that lie so."""
        return GroupProduct(self.dtype, self.columns, self.slices, first_by_rows, second_by_rows)


@dataclass(frozen=True, slots=True)
class Tile:
    """So many rows and columns of sums, and so many products of each at a time.

    Attributes:
        rows, columns: of sums.
        depth: products of each in a step.
        layout: who has which.
        rate: sums of a step in a unit of time, compared with those of other tiles for the same factors.
        warp: how warps multiply, if they do; where neither they nor warpgroups do so, each thread does by itself.
        group: how warpgroups multiply, if they do.
        ahead: so many steps are fetched before they are needed, where that is possible.
        lasting: 1 if the products of a step may still be under way when those of the next one are begun, else 0.
    """

    rows: int
    columns: int
    depth: int
    layout: Layout
    rate: float
    warp: Warp | None = None
    group: Group | None = None
    ahead: int = 3
    lasting: int = 0

    @property
    def resident(self) -> int:
        """Blocks that a multiprocessor has at a time: one if it holds sums in half of its registers, else two."""
        return 1 if self.rows * self.columns > 1 << 14 else 2

    def arranged(self, dtype: DType, rows: int, along: bool) -> Lines | Cores:
        """Where elements of so many rows of a factor lie.

        Args:
            dtype: of the elements.
            rows: how many there are.
            along: whether summed indices lie side by side where they come from.
        """
        if self.group:
            return Cores(dtype, rows, self.depth, deep=along or not GroupProduct.turns(dtype))
        return Lines(dtype, rows, self.depth, deep=along and self.warp is not None)


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


def by_groups(dtype: DType, groups: int, columns: int, slices: int, rate: float, ahead: int, lasting: int = 0) -> Tile:
    """A tile of some warpgroups, each of which has 64 rows."""
    row = GROUP_ROWS * (Dim(THREAD) // THREADS)
    group = Group(dtype, columns, slices, row)
    depth = group.product(first_by_rows=False, second_by_rows=False).depth
    # Sums are where products of warps have them.
    layout = by_warps(TF32, groups * GROUP_ROWS // ROWS, 1, 1, columns // COLUMNS, depth, rate).layout
    return Tile(groups * GROUP_ROWS, columns, depth, layout, rate, None, group, ahead, lasting)


def tiles_of(instruction: Instruction | None, groups: bool = False) -> tuple[Tile, ...]:
    """The tiles that there are for an instruction, or for none; with those of warpgroups, if there are such."""
    if instruction is None:
        return PLAIN
    return (*_of_groups(instruction.dtype), *_of_warps(instruction)) if groups else _of_warps(instruction)


def _of_groups(dtype: DType) -> tuple[Tile, ...]:
    """A step is 128 bytes of each row. Of the 227 KB of a multiprocessor a block of the first has all, others half.

    Where a block is alone, tensor cores would stand still between its steps. There is no fifth room for it, so that it
    fetches a step less ahead. Of two blocks one multiplies while the other one waits.
    """
    return (
        by_groups(dtype, 2, 256, 4, 2.0, 2, lasting=1),
        by_groups(dtype, 2, 128, 4, 1.7, 2),
        by_groups(dtype, 2, 64, 4, 1.1, 3),
        by_groups(dtype, 1, 128, 4, 1.1, 3),
    )


def _of_warps(instruction: Instruction) -> tuple[Tile, ...]:
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


def choose(tiles: Sequence[Tile], rows: Size, columns: Size, others: Size, processors: int = PROCESSORS) -> Tile:
    """The tile that takes least time for so many rows and columns, so many times over."""

    def time(tile: Tile) -> float:
        blocks = nominal(product([ceildiv(rows, tile.rows), ceildiv(columns, tile.columns), others]))
        return max(1, -(-blocks // processors)) * tile.rows * tile.columns / tile.rate

    return min(tiles, key=time)


def below(tile: Tile, rows: Size, columns: Size, processors: int = PROCESSORS) -> int:
    """How many tiles below each other are taken before those beside them; a divisor of how many there are.

    Blocks that run at a time read the rows and the columns of their tiles, which are fewest where these lie in a
    square. That is done for known sizes only, for more than two turns of blocks, and where it saves a fifth of what is
    read if one row of tiles is taken after the other.
    """
    down, across = ceildiv(rows, tile.rows), ceildiv(columns, tile.columns)
    blocks = processors * tile.resident
    if not isinstance(down, int) or not isinstance(across, int) or down * across <= 2 * blocks:
        return 1

    def read(high: int) -> int:
        """The rows and columns that blocks read, turn after turn."""
        return sum(lines_read(tile, across, high, blocks, n) for n in range(down * across // blocks))

    best = min((high for high in range(1, down + 1) if down % high == 0), key=read)
    return best if 5 * read(best) <= 4 * read(1) else 1


def lines_read(tile: Tile, across: int, high: int, blocks: int, turn: int) -> int:
    """How many rows and columns the tiles have that so many blocks take in a turn.

    Args:
        tile: of each of them.
        across: tiles beside each other.
        high: so many below each other are taken before those beside them.
        blocks: of a turn.
        turn: its number, from 0.
    """
    size = high * across  # of a stripe of tiles
    (first, start), (last, end) = divmod(turn * blocks, size), divmod((turn + 1) * blocks - 1, size)
    left, right = start // high, end // high
    if first == last:
        down, wide = min(blocks, high), right - left + 1
    else:  # the end of a stripe, whole ones, and the begin of another one
        down = min(high, size - start) + high * (last - first - 1) + min(high, end + 1)
        wide = across if last > first + 1 else min(across, across - left + right + 1)
    return down * tile.rows + wide * tile.columns


def parts(tile: Tile, rows: Size, columns: Size, others: Size, summed: Size, processors: int = PROCESSORS) -> int:
    """Into how many parts the summed indices are cut, so that there are blocks for all processors.

    Parts of equally many steps are better than more of them.
    """
    blocks = nominal(product([ceildiv(rows, tile.rows), ceildiv(columns, tile.columns), others]))
    steps = nominal(ceildiv(summed, tile.depth))
    most = max(1, min(processors // max(1, blocks), steps // LEAST_STEPS))
    return next((count for count in range(most, most // 2, -1) if steps % count == 0), most)
