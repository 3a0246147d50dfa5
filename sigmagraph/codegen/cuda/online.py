"""Products around a softmax, for some rows by the warps of a block: scores and weights stay in registers.

A warp walks over the columns of scores in pieces, and adds the products of weights and values to what it has summed
before, scaled by what the shift has become (T. Dao et al., "FlashAttention", 2022, and "FlashAttention-2", 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

from sigmagraph.codegen.cuda.contraction import Factors
from sigmagraph.codegen.cuda.exponentials import KEYS, Walk, set_to
from sigmagraph.codegen.cuda.from_registers import PIECE, FromRegisters, by_column, by_row, filled, of_row, own
from sigmagraph.codegen.cuda.softmax import Softmax
from sigmagraph.codegen.cuda.turns import take_turns
from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.expr import Expr, Var, apply, replace
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Block, For, Let, LoopKind


class Online:
    """The three computes as one.

    Args:
        softmax: what they are.
        scores, means: the factors of both products, which an instruction of tensor cores takes.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
    """

    def __init__(self, softmax: Softmax, scores: Factors, means: Factors, ahead: int) -> None:
        self.softmax = softmax
        for whole in (True, False):
            self.walk = Walk(softmax.exponentials, scores, ahead, whole)
            self.means = FromRegisters(softmax.means, means, KEYS, ahead, whole=whole)
            self.turns = whole and take_turns([self.walk.first], [self.means])
            if self.turns:
                break

    def shared(self) -> tuple[Alloc, ...]:
        """The memory through which threads speak."""
        return (*self.walk.first.shared(), Alloc(self.means.slab.shared))

    def part(self) -> Block:
        """What a thread does for the rows of a block."""
        return (
            Alloc(self.means.sums),
            *filled(self.means.sums, 0.0),
            *self.walk.begin(),
            *(self.walk.bring(0) if self.turns else ()),
            For(PIECE, self.walk.count, LoopKind.SERIAL, self._piece()),
            *by_row(*self._end()),
            *self.means.results(),
        )

    def _piece(self) -> Block:
        if self.turns:
            return (
                *self.walk.scores(self.means.begin()),
                *by_row(*self.walk.weigh(keep=True), *self._scaled(self.walk.change)),
                *self.means.products(self.walk.first.sums, self.walk.bring_next()),
            )
        early = self.means.is_fetched  # what is fetched arrives while scores are made
        return (
            *((Barrier(), *self.means.begin()) if early else ()),
            *self.walk.bring(Dim(PIECE)),
            *self.walk.scores(),
            *by_row(*self.walk.weigh(keep=True), *self._scaled(self.walk.change)),
            *(() if early else self.means.begin()),
            *self.means.products(self.walk.first.sums),
        )

    def _scaled(self, scale: Expr) -> Block:
        """All that has been summed of a row, times a factor."""
        mean = own(self.means.sums)
        return by_column(self.means.columns, set_to(mean, apply("mul", mean, scale)))

    def _end(self) -> Block:
        """Sums are scaled."""
        exponentials, scale = self.softmax.exponentials, Var("%scale", F32)
        found, total = self.walk.whole()
        names: Mapping[str, Expr] = {exponentials.total: total, exponentials.greatest: of_row(self.walk.greatest)}
        return (*found, Let(scale.name, replace(self.softmax.scale, {}, names)), *self._scaled(scale))
