"""Contractions in tiles: a block of threads has a block of rows and columns, and walks over the summed axes in steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sigmagraph.codegen.cuda.staging import Slab, allocate
from sigmagraph.codegen.cuda.elementwise import divides
from sigmagraph.codegen.cuda.tiles import PLAIN, THREAD, Tile, Walk, choose, parts
from sigmagraph.codegen.templates.factors import Contraction, Factor
from sigmagraph.codegen.templates.keep import flat_index
from sigmagraph.codegen.templates.pieces import indices_in, instantiate, slope, uses
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, product, substitute
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load, Var, apply
from sigmagraph.ir.kernel.kernel import Alloc, Barrier, Block, Buffer, For, If, Let, LoopKind, Role, Space, Stmt, Store
from sigmagraph.ops.rules import unflatten

ROW, COLUMN, OTHER, PART, STEP = "%row", "%column", "%other", "%part", "%step"


@dataclass(frozen=True, slots=True)
class Launches:
    """The nests of a contraction, what is left to be computed of their sums, and the buffer through which they speak."""

    nest: For
    rest: Compute | None
    partial: tuple[Buffer, ...]


def contraction_launches(contraction: Contraction) -> Launches:
    """How a contraction is carried out."""
    rows, columns = contraction.left.extent, contraction.right.extent
    others = product(a.extent for a in contraction.batch)
    summed = product(a.extent for a in contraction.reduction.axes)
    tile = choose(PLAIN, rows, columns, others)
    count = parts(tile, rows, columns, others, summed)
    if count == 1:
        return Launches(_Nest(contraction, tile, 1).nest(), None, ())
    compute, reduction = contraction.compute, contraction.reduction
    size = product(a.extent for a in compute.axes)
    partial = Buffer("%partial", reduction.dtype, (count * size,), Role.TEMP)
    part = Axis(PART, count)
    at = flat_index((part, *compute.axes))
    store = Store(partial.name, (at,), Var(reduction.result, reduction.dtype))
    sums = replace(contraction, compute=replace(compute, lets=(), stores=(store,)))
    fold = Fold("add", Load(partial.name, (at,), reduction.dtype), reduction.result)
    rest = replace(compute, sweeps=(Sweep((), (part,), (), (fold,)),))
    return Launches(_Nest(sums, tile, count).nest(), rest, (partial,))


class _Nest:
    """Writes the launch.

    Args:
        contraction: what is carried out.
        tile: in which tiles.
        count: into how many parts the summed indices are cut.
    """

    def __init__(self, contraction: Contraction, tile: Tile, count: int) -> None:
        self.contraction, self.tile, self.count = contraction, tile, count
        self.layout = tile.layout
        self.summed = contraction.reduction.axes
        self.total = product(a.extent for a in self.summed)
        steps = ceildiv(self.total, tile.depth)
        self.steps = steps if count == 1 else ceildiv(steps, count)
        self.dtype = contraction.reduction.dtype
        digits = unflatten(Dim(OTHER), [a.extent for a in contraction.batch])
        self.others = {a.var: digit for a, digit in zip(contraction.batch, digits, strict=True)}
        self.sums = Buffer("%sums", self.dtype, (self.layout.sums,), Role.TEMP, Space.LOCAL)
        self.left = self.slab("left", contraction.left, tile.rows, Dim(ROW))
        self.right = self.slab("right", contraction.right, tile.columns, Dim(COLUMN))

    def slab(self, name: str, factor: Factor, rows: int, block: Size) -> Slab:
        return Slab(
            name,
            factor,
            factor.value,
            rows,
            self.tile.depth,
            block,
            self.summed,
            self.total,
            self.others,
            self.layout.threads,
            deep=False,
        )

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
            *self.products(),
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

    # ---- products

    def products(self) -> Block:
        """The products of a step, each thread's by itself."""
        layout, deep = self.layout, Dim("%k")
        rows = 1
        for walk in layout.rows:
            rows *= walk.extent
        columns = layout.sums // rows
        down = Buffer("%down", self.dtype, (rows,), Role.TEMP, Space.LOCAL)
        across = Buffer("%across", self.dtype, (columns,), Role.TEMP, Space.LOCAL)
        side = Walk("%v", layout.lanes, 1, 1)
        row, column = Dim("%i"), Dim("%j")
        at = row * columns + column
        sums = Load(self.sums.name, (at,), self.dtype)
        value = self.multiply_add(Load(down.name, (row,), self.dtype), Load(across.name, (column,), self.dtype), sums)
        multiply: Stmt = For("%j", columns, LoopKind.UNROLLED, (Store(self.sums.name, (at,), value),))
        multiply = For("%i", rows, LoopKind.UNROLLED, (multiply,))
        body: Block = (
            Alloc(down),
            Alloc(across),
            *self.fetch(self.left, down, layout.row, layout.rows, columns, deep),
            *self.fetch(self.right, across, layout.column, (*layout.columns, side), 1, deep),
            multiply,
        )
        return (For("%k", self.tile.depth, LoopKind.UNROLLED, body),)

    def fetch(
        self, slab: Slab, target: Buffer, first: Size, walks: tuple[Walk, ...], unit: int, deep: Size
    ) -> Block:
        """Read what a thread multiplies."""
        place, row = 0, first
        for walk in walks:
            place = place + (walk.sums // unit) * Dim(walk.var)
            row = row + walk.step * Dim(walk.var)
        body: Block = (Store(target.name, (place,), Load(slab.shared.name, (slab.at(row, deep),), slab.dtype)),)
        for number, walk in enumerate(reversed(walks)):
            kind = LoopKind.UNROLLED if number or walk.step != 1 else LoopKind.VECTORIZED
            body = (For(walk.var, walk.extent, kind, body),)
        return body

    def multiply_add(self, a: Expr, b: Expr, c: Expr) -> Expr:
        if self.dtype.is_float and self.dtype.itemsize >= 4:
            return apply("fma", a, b, c)
        return apply("add", c, apply("mul", a, b))

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
