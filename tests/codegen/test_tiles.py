"""The model that chooses register tiles: they fit the registers, and are what the model is for where that is known."""

from __future__ import annotations

from itertools import product

import pytest
from sparse import some

from sigmagraph.codegen.schedule.machine import AVX2, AVX512, BASELINE, NEON, Machine
from sigmagraph.codegen.templates.engine import FEW_ROWS
from sigmagraph.codegen.templates.tile import MOST_ROWS, Tile, choose_tile, tiled_last
from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import F32, F64, I64
from sigmagraph.ir.kernel.compute import Axis

N = Dim("n")
MACHINES = {"baseline": BASELINE, "neon": NEON, "avx2": AVX2, "avx512": AVX512}
SIZES: list[Size] = [N, *range(1, 34), 48, 63, 64, 65, 96, 100, 512, 1000]


@pytest.mark.parametrize("machine", some(MACHINES, ("baseline", "avx512")))
def test_no_tile_needs_more_registers_than_there_are(machine: Machine) -> None:
    """Sums, a row of columns, and a broadcast; one is left, without which all sums are moved in every turn."""
    for dtype, rows, columns in product((F32, F64, I64), SIZES, SIZES):
        tile = choose_tile(machine, dtype, rows, columns)
        assert tile.rows * tile.vectors + tile.vectors + 1 < machine.registers
        assert 1 <= tile.rows <= MOST_ROWS
        assert tile.vectors >= 1


@pytest.mark.parametrize(
    ("machine", "rows", "columns", "tile"),
    [
        (AVX512, N, 512, Tile(6, 4)),
        (AVX512, 512, 512, Tile(6, 4)),
        (AVX512, N, 10, Tile(12, 1)),
        (AVX512, N, 48, Tile(9, 3)),
        (AVX2, N, 512, Tile(6, 2)),
        (AVX2, 512, 512, Tile(6, 2)),
        (NEON, N, 512, Tile(6, 4)),
        (BASELINE, N, 512, Tile(6, 2)),
    ],
)
def test_tiles_that_are_known_to_be_good(machine: Machine, rows: Size, columns: Size, tile: Tile) -> None:
    assert choose_tile(machine, F32, rows, columns) == tile


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_few_rows_have_tiles_whose_panels_divide_the_columns(machine: Machine) -> None:
    """Their columns are read where they lie, which takes whole panels."""
    lanes = machine.lanes(F32)
    for rows, count in product(range(1, FEW_ROWS + 1), range(1, 12)):
        tile = choose_tile(machine, F32, rows, count * lanes, few=True)
        assert count % tile.vectors == 0
    assert choose_tile(AVX2, F32, 1, 512, few=True) == Tile(1, 4)
    assert choose_tile(AVX512, F32, 8, 64, few=True) == Tile(4, 4)


@pytest.mark.parametrize(
    ("extents", "chosen"),
    [
        ((56, 56), 1),  # the last one
        ((64, N), 0),  # there may be one record
        ((4, N), 0),
        ((1, N), 1),
        ((128, 2), 0),
        ((2, 128), 1),
        ((N, 7, 7), 2),
        ((N, 1), 0),
    ],
)
def test_tiles_lie_along_an_axis_that_fills_them(extents: tuple[Size, ...], chosen: int) -> None:
    axes = [Axis(f"%i{n}", extent) for n, extent in enumerate(extents)]
    ordered = tiled_last(AVX512, F32, axes, 512)
    assert ordered[-1] is axes[chosen]
    assert [a for a in axes if a is not axes[chosen]] == ordered[:-1]


def test_a_vector_of_columns_is_paid_for_by_many_rows() -> None:
    """Reading columns costs the same for any number of rows, so that a tile is not cheaper for having fewer."""
    for vectors in range(1, 5):
        costs = [Tile(rows, vectors).cost(AVX512.vector_bytes) / rows for rows in range(1, MOST_ROWS + 1)]
        assert costs == sorted(costs, reverse=True)
