"""Products around a softmax, for some rows by the warps of a block: scores and weights stay in registers.

A warp has sixteen rows. It walks over the columns of scores in pieces: makes scores, finds the greatest so far, scales
what it has summed before by what the shift has become, and adds the products of weights and values (T. Dao et al.,
"FlashAttention", 2022, and "FlashAttention-2", 2023).
"""

from __future__ import annotations

from collections.abc import Mapping

from sigmagraph.codegen.cuda.contraction import COLUMN, ROW, Factors, Tiling
from sigmagraph.codegen.cuda.from_registers import (
    LOG2E,
    PIECE,
    ROWS,
    FromRegisters,
    by_column,
    by_row,
    filled,
    local,
    of_row,
    own,
    place_of,
    tile_of,
)
from sigmagraph.codegen.cuda.softmax import Softmax
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact
from sigmagraph.dtypes import F32, I32
from sigmagraph.ir.kernel.expr import Const, Expr, Load, Var, apply, replace
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Block, For, If, Let, LoopKind, Store

KEYS = 64  # of a piece
# The exponential of a difference is a power of two of products, one multiply-add. Where the shift is farther from 0,
# products would be off by more than 8, or infinite, as with masks of -1e9 or the least number. Floats are 16 apart
# there: weights other than 1 are too small to matter, and are powers of two of the difference, which is exact.
FAR = Const(2.0**27, F32)
LOWEST = Const(float("-inf"), F32)


class Online:
    """The three computes as one.

    Args:
        softmax: what they are.
        scores, means: the factors of both products, which an instruction of tensor cores takes.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
    """

    def __init__(self, softmax: Softmax, scores: Factors, means: Factors, ahead: int) -> None:
        assert scores.instruction
        self.softmax = softmax
        self.first = Tiling(softmax.scores, scores, tile_of(scores.instruction, KEYS), ahead)
        self.means = FromRegisters(softmax.means, means, KEYS, ahead)
        self.greatest, self.total = local("%greatest", 2), local("%total", 2)

    def shared(self) -> tuple[Alloc, ...]:
        """The memory through which threads speak."""
        return (*self.first.shared(), Alloc(self.means.slab.shared))

    def part(self) -> Block:
        """What a thread does for the rows of a block."""
        pieces = ceildiv(self.softmax.column.extent, KEYS)
        return (
            *map(Alloc, (self.means.sums, self.greatest, self.total)),
            *filled(self.means.sums, 0.0),
            *filled(self.greatest, LOWEST.value),
            *filled(self.total, 0.0),
            For(PIECE, pieces, LoopKind.SERIAL, self._piece()),
            *self._end(),
        )

    # ---- a piece of the columns

    def _piece(self) -> Block:
        place: dict[str, Size] = {ROW: 0, COLUMN: Dim(PIECE)}
        early = self.means.is_fetched  # what is fetched arrives while scores are made
        return (
            *((Barrier(), *self.means.begin()) if early else ()),
            *copy_block(self.first.products(), place, str),
            *by_column(KEYS, *by_row(*self._finished())),
            *by_row(*self._weigh()),
            *(() if early else self.means.begin()),
            *self.means.products(self.first.sums),
        )

    @property
    def _score(self) -> Load:
        """A score of a thread."""
        return own(self.first.sums)

    def _scaled(self, scale: Expr) -> Block:
        """All that has been summed of a row, times a factor."""
        mean = own(self.means.sums)
        return by_column(self.means.columns, _set(mean, apply("mul", mean, scale)))

    def _finished(self) -> Block:
        """A score is made of a product; one of a row or a column that does not exist weighs nothing."""
        softmax, score = self.softmax, self._score
        row, column = place_of(self.first.tile.layout, KEYS)
        places = {softmax.row.var: row, softmax.column.var: column}
        value = replace(softmax.score, places, {softmax.scores.reduction.result: score})
        bounds = (softmax.row.extent, row, ROWS), (softmax.column.extent, column, KEYS)
        limits = tuple(extent - 1 - at for extent, at, size in bounds if divide_exact(extent, size) is None)
        body = (_set(score, value),)
        return (If(limits, body, (_set(score, LOWEST),)),) if limits else body

    def _weigh(self) -> Block:
        """Weights of the scores of a row but for their scale, and what has been summed for another shift."""
        best, part = Load("%best", (0,), F32), Load("%part", (0,), F32)
        before, now, shift, factor, offset, change, weight = (
            Var(f"%{name}", F32) for name in ("before", "now", "shift", "factor", "offset", "change", "weight")
        )
        greatest, total = of_row(self.greatest), of_row(self.total)
        far = apply("gt", apply("abs", shift), FAR)
        moved = apply("exp2_approx", apply("sub", apply("mul", self._shift(before), factor), offset))
        return (
            Alloc(local(best.buffer, 1)),
            Alloc(local(part.buffer, 1)),
            Let(before.name, greatest),
            _set(best, before),
            *by_column(KEYS, _set(best, apply("max", best, self._score))),
            *_found_by_row("max", best, now.name),
            Let(shift.name, self._shift(now)),
            Let(factor.name, apply("select", far, _number(1), LOG2E)),
            Let(offset.name, apply("mul", shift, factor)),
            Let(change.name, apply("select", apply("eq", before, LOWEST), _number(0), moved)),
            _set(greatest, now),
            _set(part, _number(0)),
            *by_column(
                KEYS,
                Let(weight.name, apply("exp2_approx", apply("fma", self._score, factor, apply("neg", offset)))),
                _set(self._score, weight),
                _set(part, apply("add", part, weight)),
            ),
            _set(total, apply("fma", total, change, part)),
            *self._scaled(change),
        )

    def _shift(self, greatest: Expr) -> Expr:
        return replace(self.softmax.shift, {}, {self.softmax.greatest: greatest})

    # ---- at last

    def _end(self) -> Block:
        """Sums are scaled, and become results."""
        all, scale = Var("%all", F32), Var("%scale", F32)
        greatest, total = of_row(self.greatest), of_row(self.total)
        names: Mapping[str, Expr] = {self.softmax.total: all, self.softmax.greatest: greatest}
        body: Block = (
            *_found_by_row("add", total, all.name),
            Let(scale.name, replace(self.softmax.scale, {}, names)),
            *self._scaled(scale),
        )
        return (*by_row(*body), *self.means.results())


def _number(value: float) -> Const:
    return Const(float(value), F32)


def _set(place: Load, value: Expr) -> Store:
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
