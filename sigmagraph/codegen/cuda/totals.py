"""Sums of exponentials of scores, for some rows by the warps of a block: scores stay in registers.

What is stored of a row is made of its greatest score and of the sum.
"""

from __future__ import annotations

from collections.abc import Mapping

from sigmagraph.codegen.cuda.contraction import Factors
from sigmagraph.codegen.cuda.exponentials import KEYS, Walk
from sigmagraph.codegen.cuda.from_registers import LOG2E, PIECE, ROWS, by_row, of_row, place_of
from sigmagraph.codegen.cuda.softmax import Totals
from sigmagraph.codegen.cuda.tiles import THREAD
from sigmagraph.codegen.cuda.turns import take_turns
from sigmagraph.dims import Dim, Size, divide_exact, substitute
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.expr import Expr, Var, apply, cast, replace
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Block, For, If, Let, LoopKind, Store

_LANES = 4  # that have a row


class Summing:
    """The two computes as one.

    Args:
        totals: what they are.
        factors: those of the product, which an instruction of tensor cores takes.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
    """

    def __init__(self, totals: Totals, factors: Factors, ahead: int) -> None:
        self.totals = totals
        for whole in (True, False):
            self.walk = Walk(totals.exponentials, factors, ahead, whole)
            self.turns = whole and take_turns([self.walk.first], [])
            if self.turns:
                break

    def shared(self) -> tuple[Alloc, ...]:
        """The memory through which threads speak."""
        return self.walk.first.shared()

    def part(self) -> Block:
        """What a thread does for the rows of a block."""
        weigh = by_row(*self.walk.weigh(keep=False))
        piece: Block  # whose last step's memory is that of the next one's first
        if self.turns:
            piece = (*self.walk.scores(), Barrier(), *self.walk.bring_next(), *weigh)
        else:
            piece = (*self.walk.bring(Dim(PIECE)), *self.walk.scores(), Barrier(), *weigh)
        return (
            *self.walk.begin(),
            *(self.walk.bring(0) if self.turns else ()),
            For(PIECE, self.walk.count, LoopKind.SERIAL, piece),
            *by_row(*self._end()),
        )

    def _end(self) -> Block:
        """The first lane of a row stores what is known of it.

        Others make weights again with the greatest score as it is stored: the sum is scaled by what rounding it does.
        """
        exponentials, row = self.totals.exponentials, place_of(self.walk.first.tile.layout, KEYS)[0]
        greatest, total = Var("%rounded", F32), Var("%all", F32)
        found, whole = self.walk.whole()
        best = of_row(self.walk.greatest)
        moved = apply("mul", apply("sub", self.walk.shift(best), self.walk.shift(greatest)), LOG2E)
        exact = self.totals.dtype is F32
        names: Mapping[str, Expr] = {exponentials.greatest: greatest, exponentials.total: total}
        place: dict[str, Size] = {exponentials.row.var: row}
        stores = tuple(
            Store(s.buffer, tuple(substitute(i, place) for i in s.index), replace(s.value, place, names))
            for s in self.totals.stores
        )
        even = divide_exact(exponentials.row.extent, ROWS) is not None
        return (
            *found,
            Let(greatest.name, cast(cast(best, self.totals.dtype), F32)),
            Let(total.name, whole if exact else apply("mul", whole, apply("exp2_approx", moved))),
            If((-1 * (Dim(THREAD) % _LANES), *(() if even else (exponentials.row.extent - 1 - row,))), stores),
        )
