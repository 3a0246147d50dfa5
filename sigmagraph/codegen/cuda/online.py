"""Products around a softmax, for some rows by the warps of a block: scores and weights stay in registers.

A warp has sixteen rows. It walks over the columns of scores in pieces: makes scores, finds the greatest so far, scales
what it has summed before by what the shift has become, and adds the products of weights and values (T. Dao et al.,
"FlashAttention", 2022, and "FlashAttention-2", 2023). The registers that hold the sums of one product are those that
hold the factors of the next one, if summed indices are taken in another order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from sigmagraph.codegen.cuda.contraction import COLUMN, ROW, Factors, Tiling
from sigmagraph.codegen.cuda.multiply import Fragments, loops
from sigmagraph.codegen.cuda.outputs import Outputs
from sigmagraph.codegen.cuda.pipeline import Pipeline
from sigmagraph.codegen.cuda.softmax import Softmax
from sigmagraph.codegen.cuda.staging import Slab, Steps
from sigmagraph.codegen.cuda.tensor_cores import COLUMNS, SUMS, Instruction
from sigmagraph.codegen.cuda.tensor_cores import ROWS as OF_WARP
from sigmagraph.codegen.cuda.tiles import THREAD, WARP, Tile, by_warps
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact
from sigmagraph.dtypes import F32, I32
from sigmagraph.ir.kernel.expr import Const, Expr, Load, Var, apply, cast, replace
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    Call,
    For,
    If,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    View,
)

ROWS, KEYS = 64, 64  # of a block, and of a piece
WIDTHS = (32, 64, 128)  # results of a row that there is a tile for
WARPS = ROWS // OF_WARP
# The exponential of a difference is a power of two of products, one multiply-add. Where the shift is farther from 0,
# products would be off by more than 8, or infinite, as with masks of -1e9 or the least number. Floats are 16 apart
# there: weights other than 1 are too small to matter, and are powers of two of the difference, which is exact.
LOG2E, FAR = Const(math.log2(math.e), F32), Const(2.0**27, F32)
LOWEST = Const(float("-inf"), F32)
PIECE = "%piece"


def width(softmax: Softmax) -> int | None:
    """The tile for the results of a row; None where they have no room in the registers of a warp."""
    extent = softmax.means.right.extent
    return next((n for n in WIDTHS if extent <= n), None) if isinstance(extent, int) else None


class Online:
    """The three computes as one.

    Args:
        softmax: what they are.
        scores, means: the factors of both products, which an instruction of tensor cores takes.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
    """

    def __init__(self, softmax: Softmax, scores: Factors, means: Factors, ahead: int) -> None:
        columns = width(softmax)
        assert scores.instruction
        assert means.instruction
        assert columns
        self.softmax = softmax
        self.instruction: Instruction = means.instruction
        self.first = Tiling(softmax.scores, scores, _tile(scores.instruction, KEYS), ahead)
        self.tile = _tile(self.instruction, columns)
        self.products = columns // COLUMNS
        total, depth, right = softmax.column.extent, self.tile.depth, softmax.means.right
        steps = Steps(softmax.means.reduction.axes, total, depth, divide_exact(total, KEYS) is not None)
        self.values = Slab("values", right, means.right, means.rounding, columns, 0, steps, {}, self.tile, ahead)
        self.pipeline = Pipeline((self.values,), "%step", KEYS // depth, KEYS * Dim(PIECE), depth, ahead)
        self.sums = _local("%means", self.tile.layout.sums)
        self.greatest, self.total = _local("%greatest", 2), _local("%total", 2)

    def shared(self) -> tuple[Alloc, ...]:
        """The memory through which threads speak."""
        return (*self.first.shared(), Alloc(self.values.shared))

    def part(self) -> Block:
        """What a thread does for the rows of a block."""
        sums = Store(self.sums.name, (Dim("%f"),), _number(0.0))
        of_row = (self.greatest, LOWEST), (self.total, _number(0))
        pieces = ceildiv(self.softmax.column.extent, KEYS)
        return (
            *map(Alloc, (self.sums, self.greatest, self.total)),
            *loops((sums,), ("%f", self.tile.layout.sums)),
            *loops(tuple(Store(b.name, (Dim("%h"),), value) for b, value in of_row), ("%h", 2)),
            For(PIECE, pieces, LoopKind.SERIAL, self._piece()),
            *self._end(),
        )

    # ---- a piece of the columns

    def _piece(self) -> Block:
        place: dict[str, Size] = {ROW: 0, COLUMN: Dim(PIECE)}
        early = self.values.fetched  # what is fetched arrives while scores are made
        return (
            *((Barrier(), *self.pipeline.begin()) if early else ()),
            *copy_block(self.first.products(), place, str),
            *self._scores(*loops(self._finished(), ("%h", 2))),
            *loops(self._weigh(), ("%h", 2)),
            *(() if early else self.pipeline.begin()),
            self.pipeline.loop(LoopKind.UNROLLED, self._multiply()),
        )

    @property
    def _score(self) -> Load:
        """A score of a thread: of row ``%h``, product ``%g`` and, of its columns there, ``%v``."""
        return Load(self.first.sums.name, (SUMS * Dim("%g") + 2 * Dim("%h") + Dim("%v"),), F32)

    @property
    def _mean(self) -> Load:
        """A sum of weighted values, likewise."""
        return Load(self.sums.name, (SUMS * Dim("%g") + 2 * Dim("%h") + Dim("%v"),), F32)

    def _scores(self, *body: Stmt) -> Block:
        """The body for all scores that a thread has of a row."""
        return loops(body, ("%g", KEYS // COLUMNS), ("%v", 2))

    def _finished(self) -> Block:
        """A score is made of a product; one of a row or a column that does not exist weighs nothing."""
        softmax, layout, score = self.softmax, self.first.tile.layout, self._score
        row = layout.row + OF_WARP // 2 * Dim("%h")
        column = KEYS * Dim(PIECE) + layout.column + COLUMNS * Dim("%g") + Dim("%v")
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
        greatest, total = (Load(b.name, (Dim("%h"),), F32) for b in (self.greatest, self.total))
        far = apply("gt", apply("abs", shift), FAR)
        moved = apply("exp2_approx", apply("sub", apply("mul", self._shift(before), factor), offset))
        return (
            Alloc(_local(best.buffer, 1)),
            Alloc(_local(part.buffer, 1)),
            Let(before.name, greatest),
            _set(best, before),
            *self._scores(_set(best, apply("max", best, self._score))),
            *_found_by_row("max", best, now.name),
            Let(shift.name, self._shift(now)),
            Let(factor.name, apply("select", far, _number(1), LOG2E)),
            Let(offset.name, apply("mul", shift, factor)),
            Let(change.name, apply("select", apply("eq", before, LOWEST), _number(0), moved)),
            _set(greatest, now),
            _set(part, _number(0)),
            *self._scores(
                Let(weight.name, apply("exp2_approx", apply("fma", self._score, factor, apply("neg", offset)))),
                _set(self._score, weight),
                _set(part, apply("add", part, weight)),
            ),
            _set(total, apply("fma", total, change, part)),
            *loops((_set(self._mean, apply("mul", self._mean, change)),), ("%g", self.products), ("%v", 2)),
        )

    def _shift(self, greatest: Expr) -> Expr:
        return replace(self.softmax.shift, {}, {self.softmax.greatest: greatest})

    # ---- products of weights

    def _multiply(self) -> Block:
        """The products of a step: the sums of scores of a lane are what it has of the first factor.

        Of 16-bit factors, registers number ``p`` along the columns come from a product of scores, of f32 from one of
        its two columns.
        """
        instruction, lane = self.instruction, Dim(THREAD) % WARP
        halves, p, q, e, g = instruction.pair == 2, *(Dim(name) for name in ("%p", "%q", "%e", "%g"))
        first, second = (
            Buffer(name, instruction.dtype, (size,), Role.TEMP, Space.LOCAL)
            for name, size in (("%first", instruction.first), ("%second", self.products * instruction.second))
        )
        number = self.tile.depth // COLUMNS * Dim("%step") + instruction.depth // COLUMNS * Dim("%k")
        source = SUMS * (number + p) + 2 * q + e if halves else SUMS * number + 2 * q + p
        weight = Load(self.first.sums.name, (source,), F32)
        value = cast(weight, instruction.dtype) if halves else apply(instruction.rounding, weight)
        fill = Store(first.name, (instruction.pair * (2 * p + q) + e,), value)
        deep = instruction.depth * Dim("%k")
        order = None if halves else lambda lane, p: 2 * (lane % 4) + p
        views = View(first.name, (0,)), View(second.name, (instruction.second * g,)), View(self.sums.name, (SUMS * g,))
        body: Block = (
            Alloc(first),
            Alloc(second),
            *loops((fill,), ("%p", 2), ("%q", 2), ("%e", instruction.pair)),
            *Fragments(instruction, second, self.values, 0, deep, self.products).second(order),
            *loops((Call(instruction.name, (lane + 1,), views),), ("%g", self.products)),
        )
        return loops(body, ("%k", self.tile.depth // instruction.depth))

    # ---- at last

    def _end(self) -> Block:
        """Sums are scaled, and become results."""
        all, scale = Var("%all", F32), Var("%scale", F32)
        greatest, total = (Load(b.name, (Dim("%h"),), F32) for b in (self.greatest, self.total))
        names: Mapping[str, Expr] = {self.softmax.total: all, self.softmax.greatest: greatest}
        body: Block = (
            *_found_by_row("add", total, all.name),
            Let(scale.name, replace(self.softmax.scale, {}, names)),
            *loops((_set(self._mean, apply("mul", self._mean, scale)),), ("%g", self.products), ("%v", 2)),
        )
        outputs = Outputs(self.softmax.means, self.tile, self.sums, (0, 0), {})
        return (*loops(body, ("%h", 2)), *outputs.block_of())


def _tile(instruction: Instruction, columns: int) -> Tile:
    return by_warps(instruction, WARPS, 1, 1, columns // COLUMNS, 2 * instruction.depth, 1.0)


def _local(name: str, size: int) -> Buffer:
    return Buffer(name, F32, (size,), Role.TEMP, Space.LOCAL)


def _number(value: float) -> Const:
    return Const(float(value), F32)


def _set(place: Load, value: Expr) -> Store:
    return Store(place.buffer, place.index, value)


def _found_by_row(op: str, value: Expr, result: str) -> Block:
    """What the four lanes of a row have found together."""
    names = [f"{result}.{number}" for number in range(4)]
    own, other, both, others = (Var(name, F32) for name in names)
    return (
        Let(own.name, value),
        Let(other.name, apply("shuffle_xor", own, Const(1, I32))),
        Let(both.name, apply(op, own, other)),
        Let(others.name, apply("shuffle_xor", both, Const(2, I32))),
        Let(result, apply(op, both, others)),
    )
