"""Products of rows that take turns: factors of one arrive while the one before it is formed.

There is room in shared memory for all that a piece of the columns needs, and for the rows of the block, which stay
there while it walks over columns.
"""

from __future__ import annotations

from collections.abc import Iterable

from sigmagraph.codegen.cuda.contraction import Factors, Tiling
from sigmagraph.codegen.cuda.from_registers import ROWS, FromRegisters, tile_of
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.dims import Size, product

STAYING = 1 << 15  # bytes of rows that stay: two blocks have room beside each other on any device with tensor cores
ROOM = 80 << 10  # bytes of all factors, of which an A100 has twice as much


def rows_stay(products: Iterable[tuple[Contraction, Factors]]) -> bool:
    """Whether the first factors of products, rows of a block, stay in shared memory."""
    taken: Size = 0
    for contraction, factors in products:
        assert factors.instruction
        taken = taken + ROWS * _summed(contraction) * factors.instruction.dtype.itemsize
    return isinstance(taken, int) and taken <= STAYING


def product_of_rows(
    contraction: Contraction, factors: Factors, piece: int, ahead: int, stays: bool, whole: bool
) -> Tiling:
    """A product that makes values of a piece.

    Args:
        contraction: what is carried out.
        factors: what is multiplied, by an instruction of tensor cores.
        piece: how many columns it has.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
        stays: whether its rows stay.
        whole: whether what it needs of a piece is brought at once, if its rows stay.
    """
    assert factors.instruction
    summed, at_once = _summed(contraction), whole and stays
    tile = tile_of(factors.instruction, piece, summed if at_once and isinstance(summed, int) else 0)
    return Tiling(contraction, factors, tile, ahead, stays=stays, whole=at_once)


def take_turns(made: Iterable[Tiling], finals: Iterable[FromRegisters]) -> bool:
    """Whether products that bring at once what they need may take turns: it is fetched, but for rows, and has room."""
    products = list(made)
    rows = [tiling.left for tiling in products]
    moving = [*(tiling.right for tiling in products), *(final.slab for final in finals)]
    room = sum(slab.shared.dtype.itemsize * slab.form.size for slab in (*rows, *moving))
    return all(slab.fetched for slab in moving) and all(slab.stages == 1 for slab in (*rows, *moving)) and room <= ROOM


def _summed(contraction: Contraction) -> Size:
    return product(axis.extent for axis in contraction.reduction.axes)
