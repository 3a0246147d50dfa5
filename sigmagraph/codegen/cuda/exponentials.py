"""Exponentials of scores, for some rows by the warps of a block: scores stay in registers.

A warp has sixteen rows. It walks over the columns of scores in pieces: makes scores, finds the greatest so far, and
scales what it has summed before by what the shift has become.
"""

from __future__ import annotations

from sigmagraph.codegen.cuda.contraction import COLUMN, ROW, Factors
from sigmagraph.codegen.cuda.decided import holding, settled
from sigmagraph.codegen.cuda.from_registers import (
    LOG2E,
    PIECE,
    ROWS,
    by_column,
    by_row,
    filled,
    local,
    of_row,
    own,
    place_of,
)
from sigmagraph.codegen.cuda.softmax import Exponentials
from sigmagraph.codegen.cuda.turns import product_of_rows, rows_stay
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact
from sigmagraph.dtypes import F32, I32
from sigmagraph.ir.kernel.expr import Const, Expr, Load, Var, apply, replace
from sigmagraph.ir.kernel.kernel import Alloc, Block, If, Let, Store

KEYS = 64  # of a piece
# The exponential of a difference is a power of two of products, one multiply-add. Where the shift is farther from 0,
# products would be off by more than 8, or infinite, as with masks of -1e9 or the least number. Floats are 16 apart
# there: weights other than 1 are too small to matter, and are powers of two of the difference, which is exact.
FAR = Const(2.0**27, F32)
LOWEST = Const(float("-inf"), F32)


class Walk:
    """What is known of the rows of a thread while it walks over their columns.

    Args:
        exponentials: what is summed.
        factors: those of the product that makes scores, which an instruction of tensor cores takes.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
        whole: whether what it needs of a piece is brought at once.

    Attributes:
        first: the product.
        count: of pieces.
        greatest: the greatest score of each row so far.
        total: the sum of those exponentials that the thread has seen.
        change: while it has seen a piece, what its sums of exponentials are scaled by.
    """

    change = Var("%change", F32)

    def __init__(self, exponentials: Exponentials, factors: Factors, ahead: int, whole: bool) -> None:
        self.exponentials = exponentials
        stays = rows_stay([(exponentials.scores, factors)])
        self.first = product_of_rows(exponentials.scores, factors, KEYS, ahead, stays, whole)
        self.count = ceildiv(exponentials.column.extent, KEYS)
        self.greatest, self.total = local("%greatest", 2), local("%total", 2)

    def begin(self) -> Block:
        """Nothing is known yet."""
        return (
            *copy_block(self.first.rows(), {ROW: 0}, str),
            Alloc(self.greatest),
            Alloc(self.total),
            *filled(self.greatest, LOWEST.value),
            *filled(self.total, 0.0),
        )

    @property
    def score(self) -> Load:
        """A score of a thread."""
        return own(self.first.sums)

    def bring(self, piece: Size) -> Block:
        """Bring what scores of a piece are made of first."""
        return copy_block(self.first.begin(), {ROW: 0, COLUMN: piece}, str)

    def bring_next(self) -> Block:
        """The same for the next piece, if there is one."""
        return (If((self.count - 2 - Dim(PIECE),), self.bring(Dim(PIECE) + 1)),)

    def scores(self, start: Block = ()) -> Block:
        """The scores of a piece, for which the first has been brought; and what is begun at the last step."""
        products = (*self.first.zeros(), *self.first.added(start))
        return (
            *copy_block(products, {ROW: 0, COLUMN: Dim(PIECE)}, str),
            *self._finished(),
        )

    def _finished(self) -> Block:
        """Scores are made of products; with fewer instructions where comparisons hold for all of a piece."""
        score, axes = self.exponentials.score, (self.exponentials.row.var, self.exponentials.column.var)
        conditions = holding([score], *axes, KEYS)
        plain = by_column(KEYS, *by_row(*self._set(score)))
        if not conditions:
            return plain
        return (If(conditions, by_column(KEYS, *by_row(*self._set(settled(score, *axes)))), plain),)

    def _set(self, value: Expr) -> Block:
        """A score is set to a value; one of a row or a column that does not exist weighs nothing."""
        exponentials, score = self.exponentials, self.score
        row, column = place_of(self.first.tile.layout, KEYS)
        places = {exponentials.row.var: row, exponentials.column.var: column}
        value = replace(value, places, {exponentials.scores.reduction.result: score})
        bounds = (exponentials.row.extent, row, ROWS), (exponentials.column.extent, column, KEYS)
        limits = tuple(extent - 1 - at for extent, at, size in bounds if divide_exact(extent, size) is None)
        body = (set_to(score, value),)
        return (If(limits, body, (set_to(score, LOWEST),)),) if limits else body

    def weigh(self, keep: bool) -> Block:
        """Exponentials of the scores of a row are summed, and what has been summed for another shift is scaled.

        Args:
            keep: whether they take the place of scores.
        """
        best, part = Load("%best", (0,), F32), Load("%part", (0,), F32)
        before, now, shift, factor, offset, weight = (
            Var(f"%{name}", F32) for name in ("before", "now", "shift", "factor", "offset", "weight")
        )
        greatest, total = of_row(self.greatest), of_row(self.total)
        far = apply("gt", apply("abs", shift), FAR)
        moved = apply("exp2_approx", apply("sub", apply("mul", self.shift(before), factor), offset))
        return (
            Alloc(local(best.buffer, 1)),
            Alloc(local(part.buffer, 1)),
            Let(before.name, greatest),
            set_to(best, before),
            *by_column(KEYS, set_to(best, apply("max", best, self.score))),
            *_found_by_row("max", best, now.name),
            Let(shift.name, self.shift(now)),
            Let(factor.name, apply("select", far, Const(1.0, F32), LOG2E)),
            Let(offset.name, apply("mul", shift, factor)),
            Let(self.change.name, apply("select", apply("eq", before, LOWEST), Const(0.0, F32), moved)),
            set_to(greatest, now),
            set_to(part, Const(0.0, F32)),
            *by_column(
                KEYS,
                Let(weight.name, apply("exp2_approx", apply("fma", self.score, factor, apply("neg", offset)))),
                *((set_to(self.score, weight),) if keep else ()),
                set_to(part, apply("add", part, weight)),
            ),
            set_to(total, apply("fma", total, self.change, part)),
        )

    def shift(self, greatest: Expr) -> Expr:
        """The shift, given the greatest score of a row."""
        return replace(self.exponentials.shift, {}, {self.exponentials.greatest: greatest})

    def whole(self) -> tuple[Block, Var]:
        """The sum of a row's exponentials, which its four lanes have seen."""
        whole = Var("%whole", F32)
        return _found_by_row("add", of_row(self.total), whole.name), whole


def set_to(place: Load, value: Expr) -> Store:
    """What makes an element a value."""
    return Store(place.buffer, place.index, value)


def _found_by_row(op: str, value: Expr, result: str) -> Block:
    """What the four lanes of a row have found together."""
    names = [f"{result}.{number}" for number in range(4)]
    mine, other, both, others = (Var(name, F32) for name in names)
    return (
        Let(mine.name, value),
        Let(other.name, apply("shuffle_xor", mine, Const(1, I32))),
        Let(both.name, apply(op, mine, other)),
        Let(others.name, apply("shuffle_xor", both, Const(2, I32))),
        Let(result, apply(op, both, others)),
    )
