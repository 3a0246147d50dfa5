"""Contractions in tiles: a block of threads has rows and columns, and walks over the summed axes in steps."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sigmagraph.codegen.cuda import fetch
from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.multiply import finish, multiply, wait
from sigmagraph.codegen.cuda.numbers import digits_of
from sigmagraph.codegen.cuda.outputs import Outputs
from sigmagraph.codegen.cuda.pipeline import Pipeline
from sigmagraph.codegen.cuda.staging import Slab, Steps
from sigmagraph.codegen.cuda.tensor_cores import INSTRUCTIONS, Instruction, rounding_on
from sigmagraph.codegen.cuda.tiles import THREAD, Tile, below, choose, parts, tiles_of
from sigmagraph.codegen.templates.factors import Contraction, Factor
from sigmagraph.codegen.templates.keep import flat_index
from sigmagraph.dims import Dim, ceildiv, divide_exact, product
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep
from sigmagraph.ir.kernel.expr import Cast, Const, Expr, Index, Load, Var
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    Let,
    LoopKind,
    Role,
    Space,
    Store,
)
from sigmagraph.ops.rules import unflatten

ROW, COLUMN, OTHER, PART, STEP = "%row", "%column", "%other", "%part", "%step"


@dataclass(frozen=True, slots=True)
class Launches:
    """How a contraction is carried out.

    Attributes:
        nest: the launch that forms products.
        rest: what is left to be computed of its sums.
        partial: the buffer through which the two speak.
    """

    nest: For
    rest: Compute | None
    partial: tuple[Buffer, ...]


def contraction_launches(contraction: Contraction, chip: Chip) -> Launches:
    """How a contraction is carried out on a GPU."""
    factors = factors_for(contraction, chip)
    rows, columns = contraction.left.extent, contraction.right.extent
    others = product(a.extent for a in contraction.batch)
    summed = product(a.extent for a in contraction.reduction.axes)
    tile = choose(tiles_of(factors.instruction, chip.groups), rows, columns, others, chip.processors)
    count = parts(tile, rows, columns, others, summed, chip.processors)
    ahead = min(tile.ahead, ahead_on(chip))
    if count == 1:
        high = 1 if contraction.batch else below(tile, rows, columns, chip.processors)
        return Launches(Tiling(contraction, factors, tile, ahead).nest(high), None, ())
    compute, reduction = contraction.compute, contraction.reduction
    size = product(a.extent for a in compute.axes)
    partial = Buffer("%partial", reduction.dtype, (count * size,), Role.TEMP)
    part = Axis(PART, count)
    at = flat_index((part, *compute.axes))
    store = Store(partial.name, (at,), Var(reduction.result, reduction.dtype))
    sums = replace(contraction, compute=replace(compute, lets=(), stores=(store,)))
    fold = Fold("add", Load(partial.name, (at,), reduction.dtype), reduction.result)
    rest = replace(compute, sweeps=(Sweep((), (part,), (), (fold,)),))
    return Launches(Tiling(sums, factors, tile, ahead, count).nest(), rest, (partial,))


def ahead_on(chip: Chip) -> int:
    """How many steps before it is needed a step may be fetched; 0 where there is no such instruction."""
    return fetch.MOST if chip.arch >= fetch.ARCH else 0


@dataclass(frozen=True, slots=True)
class Factors:
    """What is multiplied, before roundings, and by which instruction: none where threads do it by themselves."""

    left: Expr
    right: Expr
    instruction: Instruction | None

    @property
    def rounding(self) -> str:
        """The scalar op that makes them what the instruction takes; empty if they are that."""
        return self.instruction.rounding if self.instruction else ""


def factors_for(contraction: Contraction, chip: Chip) -> Factors:
    """The factors as tensor cores take them, if these can do it."""
    left, right = contraction.left.value, contraction.right.value
    if contraction.reduction.dtype is not F32:
        return Factors(left, right, None)
    first, second = _uncast(contraction.left), _uncast(contraction.right)
    for instruction in INSTRUCTIONS:
        if first and second and first.dtype is second.dtype is instruction.dtype and chip.arch >= instruction.arch:
            return Factors(first, second, instruction)
    return Factors(left, right, rounding_on(chip.arch) if chip.narrow else None)


def _uncast(factor: Factor) -> Expr | None:
    """What a factor is before it is made an f32; None if it is not."""
    lets, value = {item.name: item.value for item in factor.lets}, factor.value
    while isinstance(value, Var) and value.name in lets:
        value = lets[value.name]
    return value.value if isinstance(value, Cast) else None


class Tiling:
    """A contraction in tiles: as a launch, or as a part of what a block of threads does.

    Args:
        contraction: what is carried out.
        factors: what is multiplied.
        tile: in which tiles.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
        count: into how many parts the summed indices are cut.
        stays: whether all steps of the first factor are brought once for all tiles of its rows, if it is known how
            many these are.
        whole: whether the second factor of a tile is brought at once, as one step.
    """

    def __init__(
        self,
        contraction: Contraction,
        factors: Factors,
        tile: Tile,
        ahead: int,
        count: int = 1,
        stays: bool = False,
        whole: bool = False,
    ) -> None:
        self.contraction, self.tile, self.count = contraction, tile, count
        axes = contraction.reduction.axes
        total = product(a.extent for a in axes)
        steps = ceildiv(total, tile.depth)
        even = divide_exact(total, tile.depth) is not None and divide_exact(steps, count) is not None
        self.steps = ceildiv(steps, count)
        self.dtype = contraction.reduction.dtype
        self.others = digits_of(Dim(OTHER), contraction.batch)
        self.sums = Buffer("%sums", self.dtype, (tile.layout.sums,), Role.TEMP, Space.LOCAL)
        walked = Steps(axes, total, tile.depth, even)

        def slab(name: str, factor: Factor, value: Expr, rows: int, block: str, all: int = 0) -> Slab:
            return Slab(name, factor, value, factors.rounding, rows, Dim(block), walked, self.others, tile, ahead, all)

        known = self.steps if stays and isinstance(self.steps, int) else 0
        self.left = slab("left", contraction.left, factors.left, tile.rows, ROW, known)
        self.right = slab("right", contraction.right, factors.right, tile.columns, COLUMN, int(whole))
        first = 0 if count == 1 else tile.depth * self.steps * Dim(PART)
        there = (self.left,) if known else ()
        slabs = (self.right,) if known else (self.left, self.right)
        self.pipeline = Pipeline(slabs, STEP, self.steps, first, tile.depth, ahead, tile.group is not None, there)

    def nest(self, high: int = 1) -> For:
        """The loops over blocks, and all that is inside.

        Args:
            high: so many tiles below each other are taken before those beside them.
        """
        contraction, tile = self.contraction, self.tile
        threads = For(THREAD, tile.layout.threads, LoopKind.THREAD_X, self.thread())
        body: Block = (*self.shared(), threads)
        rows, columns = ceildiv(contraction.left.extent, tile.rows), ceildiv(contraction.right.extent, tile.columns)
        if high > 1:
            stripes = divide_exact(rows, high)
            assert stripes is not None
            row = Let(ROW, Index(high * Dim("%stripe") + Dim("%below")))
            loop = For("%below", high, LoopKind.BLOCK_X, (row, *body))
            return For("%stripe", stripes, LoopKind.BLOCK_Z, (For(COLUMN, columns, LoopKind.BLOCK_Y, (loop,)),))
        loop = For(COLUMN, columns, LoopKind.BLOCK_X, body)
        loop = For(ROW, rows, LoopKind.BLOCK_Y, (loop,))
        around = [(OTHER, product(a.extent for a in contraction.batch))] if contraction.batch else []
        around += [(PART, self.count)] if self.count > 1 else []
        if len(around) < 2:
            return For(*around[0], LoopKind.BLOCK_Z, (loop,)) if around else loop
        both = [extent for _, extent in around]
        digits = unflatten(Dim("%around"), both)
        lets = tuple(Let(name, Index(digit)) for (name, _), digit in zip(around, digits, strict=True))
        return For("%around", product(both), LoopKind.BLOCK_Z, (*lets, loop))

    def part(self) -> Block:
        """What a thread does that has its share of all tiles, one after the other."""
        columns = ceildiv(self.contraction.right.extent, self.tile.columns)
        rows = ceildiv(self.contraction.left.extent, self.tile.rows)
        body: Block = (*self.thread(), Barrier())  # all have to be done with the memory in which the next tile begins
        return (For(ROW, rows, LoopKind.SERIAL, (For(COLUMN, columns, LoopKind.SERIAL, body),)),)

    def shared(self) -> tuple[Alloc, ...]:
        """The memory through which threads speak."""
        return Alloc(self.left.shared), Alloc(self.right.shared)

    def rows(self) -> Block:
        """Bring the first factor of a block of rows, if it stays for all tiles of these."""
        pipeline = self.pipeline
        if not pipeline.there:
            return ()
        unawaited = self.left.fetched and not self.right.fetched
        brought = replace(pipeline, slabs=pipeline.there, there=()).bring_all()
        return (*brought, fetch.wait(0)) if unawaited else brought

    def thread(self) -> Block:
        """What a thread does for a tile."""
        outputs = Outputs(self.contraction, self.tile, self.sums, (Dim(ROW), Dim(COLUMN)), self.others)
        return (*self.products(), *outputs.block_of())

    def _multiply(self) -> Block:
        return multiply(self.tile, self.left, self.right, self.sums)

    def _wait(self) -> Block:
        return wait(self.tile, self.left, self.right, Dim(STEP), self.sums)

    def products(self) -> Block:
        """The sums of a tile, in registers."""
        return (*self.zeros(), *self.begin(), *self.added())

    def zeros(self) -> Block:
        """The sums before anything is added."""
        zero = Const(0.0 if self.dtype.is_float else 0, self.dtype)
        fill = Store(self.sums.name, (Dim("%f"),), zero)
        return Alloc(self.sums), For("%f", self.tile.layout.sums, LoopKind.UNROLLED, (fill,))

    def begin(self) -> Block:
        """Bring the first steps of a tile."""
        return self.pipeline.begin()

    def added(self, start: Block = ()) -> Block:
        """All products of a tile, added; with what is begun when all threads have come to the last step."""
        loop = self.pipeline.loop(LoopKind.SERIAL, self._multiply(), self._wait(), start)
        return (loop, *finish(self.tile, self.sums))
