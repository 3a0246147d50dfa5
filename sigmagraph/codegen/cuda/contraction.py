"""Contractions in tiles: a block of threads has a block of rows and columns, and walks over the summed axes in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sigmagraph.codegen.cuda.chip import Chip
from sigmagraph.codegen.cuda.elementwise import divides
from sigmagraph.codegen.cuda.multiply import multiply
from sigmagraph.codegen.cuda.staging import SUMMED, Slab, allocate
from sigmagraph.codegen.cuda.tensor_cores import INSTRUCTIONS, TF32, Instruction
from sigmagraph.codegen.cuda.tiles import THREAD, Tile, choose, parts, tiles_of
from sigmagraph.codegen.templates.factors import Contraction, Factor
from sigmagraph.codegen.templates.keep import flat_index
from sigmagraph.codegen.templates.pieces import indices_in, instantiate, slope
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, product, substitute
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep
from sigmagraph.ir.kernel.expr import Cast, Const, Expr, Index, Load, Var, apply
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Kernel,
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
        callees: what the nest calls.
    """

    nest: For
    rest: Compute | None
    partial: tuple[Buffer, ...]
    callees: tuple[Kernel, ...]


def contraction_launches(contraction: Contraction, chip: Chip) -> Launches:
    """How a contraction is carried out on a GPU."""
    factors = factors_for(contraction, chip)
    callees = (factors.instruction.kernel(),) if factors.instruction else ()
    rows, columns = contraction.left.extent, contraction.right.extent
    others = product(a.extent for a in contraction.batch)
    summed = product(a.extent for a in contraction.reduction.axes)
    tile = choose(tiles_of(factors.instruction), rows, columns, others)
    count = parts(tile, rows, columns, others, summed)
    if count == 1:
        return Launches(_Nest(contraction, factors, tile, 1).nest(), None, (), callees)
    compute, reduction = contraction.compute, contraction.reduction
    size = product(a.extent for a in compute.axes)
    partial = Buffer("%partial", reduction.dtype, (count * size,), Role.TEMP)
    part = Axis(PART, count)
    at = flat_index((part, *compute.axes))
    store = Store(partial.name, (at,), Var(reduction.result, reduction.dtype))
    sums = replace(contraction, compute=replace(compute, lets=(), stores=(store,)))
    fold = Fold("add", Load(partial.name, (at,), reduction.dtype), reduction.result)
    rest = replace(compute, sweeps=(Sweep((), (part,), (), (fold,)),))
    return Launches(_Nest(sums, factors, tile, count).nest(), rest, (partial,), callees)


@dataclass(frozen=True, slots=True)
class Factors:
    """What is multiplied, and by which instruction: none where threads do it by themselves."""

    left: Expr
    right: Expr
    instruction: Instruction | None


def factors_for(contraction: Contraction, chip: Chip) -> Factors:
    """The factors as tensor cores take them, if these can do it."""
    left, right = contraction.left.value, contraction.right.value
    if contraction.reduction.dtype is not F32 or not chip.has_tensor_cores:
        return Factors(left, right, None)
    halves = _uncast(contraction.left), _uncast(contraction.right)
    for instruction in INSTRUCTIONS:
        if all(half is not None and half.dtype is instruction.dtype for half in halves):
            return Factors(*halves, instruction)
    if chip.narrow:
        return Factors(apply("round_tf32", left), apply("round_tf32", right), TF32)
    return Factors(left, right, None)


def _uncast(factor: Factor) -> Expr | None:
    """What a factor is before it is made an f32; None if it is not."""
    lets, value = {item.name: item.value for item in factor.lets}, factor.value
    while isinstance(value, Var) and value.name in lets:
        value = lets[value.name]
    return value.value if isinstance(value, Cast) else None


class _Nest:
    """Writes the launch.

    Args:
        contraction: what is carried out.
        factors: what is multiplied.
        tile: in which tiles.
        count: into how many parts the summed indices are cut.
    """

    def __init__(self, contraction: Contraction, factors: Factors, tile: Tile, count: int) -> None:
        self.contraction, self.tile, self.count = contraction, tile, count
        self.layout = tile.layout
        self.summed = contraction.reduction.axes
        self.total = product(a.extent for a in self.summed)
        steps = ceildiv(self.total, tile.depth)
        self.even = divide_exact(self.total, tile.depth) is not None and divide_exact(steps, count) is not None
        self.steps = steps if count == 1 else ceildiv(steps, count)
        self.dtype = contraction.reduction.dtype
        digits = unflatten(Dim(OTHER), [a.extent for a in contraction.batch])
        self.others = {a.var: digit for a, digit in zip(contraction.batch, digits, strict=True)}
        self.sums = Buffer("%sums", self.dtype, (self.layout.sums,), Role.TEMP, Space.LOCAL)
        self.left = self.slab("left", contraction.left, factors.left, tile.rows, Dim(ROW))
        self.right = self.slab("right", contraction.right, factors.right, tile.columns, Dim(COLUMN))

    def slab(self, name: str, factor: Factor, value: Expr, rows: int, block: Size) -> Slab:
        slab = Slab(
            name,
            factor,
            value,
            rows,
            self.tile.depth,
            block,
            self.summed,
            self.total,
            self.even,
            self.others,
            self.layout.threads,
            deep=False,
        )
        return replace(slab, deep=self.tile.warp is not None and slab.along[0] == SUMMED)

    def nest(self) -> For:
        """The loops over blocks, and all that is inside."""
        contraction, tile = self.contraction, self.tile
        body = (*allocate((self.left, self.right)), For(THREAD, self.layout.threads, LoopKind.THREAD_X, self.thread()))
        loop = For(COLUMN, ceildiv(contraction.right.extent, tile.columns), LoopKind.BLOCK_X, body)
        loop = For(ROW, ceildiv(contraction.left.extent, tile.rows), LoopKind.BLOCK_Y, (loop,))
        others: list[tuple[str, Size]] = []
        if contraction.batch:
            others.append((OTHER, product(a.extent for a in contraction.batch)))
        if self.count > 1:
            others.append((PART, self.count))
        if len(others) == 2:
            both = [extent for _, extent in others]
            digits = unflatten(Dim("%z"), both)
            lets = tuple(Let(name, Index(digit)) for (name, _), digit in zip(others, digits, strict=True))
            return For("%z", product(both), LoopKind.BLOCK_Z, (*lets, loop))
        for name, extent in others:
            loop = For(name, extent, LoopKind.BLOCK_Z, (loop,))
        return loop

    def thread(self) -> Block:
        """What a thread does."""
        slabs = (self.left, self.right)
        first = 0 if self.count == 1 else self.tile.depth * self.steps * Dim(PART)
        depth = self.tile.depth
        following = tuple(s for slab in slabs for s in slab.bring(first + depth * (Dim(STEP) + 1)))
        step: Block = (
            *(s for slab in slabs for s in slab.write()),
            Barrier(),
            If((self.steps - 2 - Dim(STEP),), following),
            *multiply(self.tile, self.left, self.right, self.sums),
            Barrier(),
        )
        zero = Const(0.0 if self.dtype.is_float else 0, self.dtype)
        return (
            Alloc(self.sums),
            *(Alloc(slab.held) for slab in slabs),
            For("%f", self.layout.sums, LoopKind.UNROLLED, (Store(self.sums.name, (Dim("%f"),), zero),)),
            *(s for slab in slabs for s in slab.bring(first)),
            For(STEP, self.steps, LoopKind.SERIAL, step),
            *self.end(),
        )

    # ---- what becomes of the sums

    def end(self) -> Block:
        """The outputs of a thread."""
        contraction, layout, tile = self.contraction, self.layout, self.tile
        compute, reduction = contraction.compute, contraction.reduction
        place = dict(self.others)
        for axes, name in ((contraction.left.axes, "%m"), (contraction.right.axes, "%n")):
            digits = unflatten(Dim(name), [a.extent for a in axes])
            place |= {a.var: digit for a, digit in zip(axes, digits, strict=True)}
        row, column, at = tile.rows * Dim(ROW) + layout.row, tile.columns * Dim(COLUMN) + layout.column, Dim("%v")
        for walk in layout.rows:
            row, at = row + walk.step * Dim(walk.var), at + walk.sums * Dim(walk.var)
        for walk in layout.columns:
            column, at = column + walk.step * Dim(walk.var), at + walk.sums * Dim(walk.var)
        lanes = self.lanes(compute, place)
        divided = _divided(compute, place)
        columns, rows = contraction.right.extent, contraction.left.extent
        names: dict[str, Size] = {"%m": Dim("%m") if "%m" in divided else row}
        names["%n"] = Dim("%n") if "%n" in divided else column + Dim("%v")
        place = {var: substitute(digit, names) for var, digit in place.items()}
        value = Load(self.sums.name, (at,), self.dtype)
        instance = instantiate(compute.lets, place, "", {reduction.result: value})
        body: Block = (*instance.lets, *(instance.store(s) for s in compute.stores))
        if "%n" in divided:
            body = (Let("%n", Index(column + Dim("%v"))), *body)
        even = divide_exact(columns, tile.columns) is not None
        if lanes == layout.lanes:
            body = (For("%v", lanes, LoopKind.VECTORIZED, body),)
            if not even:
                body = (If((columns - lanes - column,), body),)
        else:
            if not even:
                body = (If((columns - 1 - column - Dim("%v"),), body),)
            body = (For("%v", layout.lanes, LoopKind.UNROLLED, body),)
        for walk in reversed(layout.columns):
            body = (For(walk.var, walk.extent, LoopKind.UNROLLED, body),)
        if "%m" in divided:
            body = (Let("%m", Index(row)), *body)
        if divide_exact(rows, tile.rows) is None:
            body = (If((rows - 1 - row,), body),)
        for walk in reversed(layout.rows):
            body = (For(walk.var, walk.extent, LoopKind.UNROLLED, body),)
        return body

    def lanes(self, compute: Compute, place: Mapping[str, Size]) -> int:
        """How many columns are written at a time."""
        lanes = self.layout.lanes
        columns = self.contraction.right.extent
        if divide_exact(columns, lanes) is None or "%n" in _divided(compute, place):
            return 1
        stores = [substitute(s.index[0], place) for s in compute.stores]
        whole = all(slope(i, "%n") == 1 and divides(lanes, substitute(i, {"%n": 0})) for i in stores)
        return lanes if whole and not any(s.guard for s in compute.stores) else 1


def _divided(compute: Compute, place: Mapping[str, Size]) -> set[str]:
    """The numbers that index expressions divide."""
    instance = instantiate(compute.lets, place, "")
    values: list[Expr] = [item.value for item in instance.lets if isinstance(item, Let)]
    sizes = [i for value in values for i in indices_in(value)]
    for store in map(instance.store, compute.stores):
        sizes += [*store.index, *store.guard, *indices_in(store.value)]
    return {str(a.args[0]) for size in sizes for a in divisions(size)}
