"""The products of a step of a contraction: by each thread for itself, or by the tensor cores for a warp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from sigmagraph.codegen.cuda.arrangement import Cores, Lines
from sigmagraph.codegen.cuda.staging import Slab
from sigmagraph.codegen.cuda.tensor_cores import COLUMNS, ROWS, SUMS, Instruction, Matrices
from sigmagraph.codegen.cuda.tiles import THREAD, WARP, Group, Tile, Walk, Warp
from sigmagraph.codegen.cuda.warpgroup import THREADS, GroupWait, OlderWait
from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Expr, Load, apply
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, Call, For, LoopKind, Role, Space, Stmt, Store, View


def multiply(tile: Tile, left: Slab, right: Slab, sums: Buffer) -> Block:
    """The products of a step of two slabs, added to the sums of a thread."""
    if tile.group:
        return _by_group(tile.group, left, right, sums)
    return _by_warp(tile, tile.warp, left, right, sums) if tile.warp else _by_thread(tile, left, right, sums)


def wait(tile: Tile, left: Slab, right: Slab, step: Size, sums: Buffer) -> Block:
    """Behind the products of a step: waits for them, if they have to be waited for, or for those of the step before."""
    if tile.group is None:
        return ()
    if not tile.lasting:
        return (GroupWait(tile.group.columns).call(sums),)
    first, second = (View(slab.shared.name, (slab.start(step + slab.stages - 1),)) for slab in (left, right))
    return (OlderWait(tile.group.dtype).call(first, second, (left.form.size, right.form.size)),)


def finish(tile: Tile, sums: Buffer) -> Block:
    """Behind the last step: waits for what is still under way."""
    return (GroupWait(tile.group.columns, behind=True).call(sums),) if tile.group and tile.lasting else ()


Order: TypeAlias = "Callable[[Size, Size], Size]"


def _local(name: str, dtype: DType, size: int) -> Buffer:
    return Buffer(name, dtype, (size,), Role.TEMP, Space.LOCAL)


# ---- by each thread


def _by_thread(tile: Tile, left: Slab, right: Slab, sums: Buffer) -> Block:
    layout = tile.layout
    rows = 1
    for walk in layout.rows:
        rows *= walk.extent
    columns = layout.sums // rows
    down, across = _local("%down", left.dtype, rows), _local("%across", right.dtype, columns)
    row, column = Dim("%i"), Dim("%j")
    at = row * columns + column
    a, b = Load(down.name, (row,), left.dtype), Load(across.name, (column,), right.dtype)
    value = _multiply_add(a, b, Load(sums.name, (at,), sums.dtype))
    product: Stmt = For("%j", columns, LoopKind.UNROLLED, (Store(sums.name, (at,), value),))
    beside = Walk("%v", layout.lanes, 1, 1)
    body: Block = (
        Alloc(down),
        Alloc(across),
        *_fetch(left, down, layout.row, layout.rows, columns),
        *_fetch(right, across, layout.column, (*layout.columns, beside), 1),
        For("%i", rows, LoopKind.UNROLLED, (product,)),
    )
    return (For("%k", tile.depth, LoopKind.UNROLLED, body),)


def _fetch(slab: Slab, target: Buffer, first: Size, walks: tuple[Walk, ...], unit: int) -> Block:
    """Read what a thread multiplies by one summed index."""
    place: Size = 0
    row = first
    for walk in walks:
        place, row = place + (walk.sums // unit) * Dim(walk.var), row + walk.step * Dim(walk.var)
    body: Block = (
        Store(target.name, (place,), Load(slab.shared.name, (slab.now + slab.form.at(row, Dim("%k")),), slab.dtype)),
    )
    for number, walk in enumerate(reversed(walks)):
        kind = LoopKind.UNROLLED if number or walk.step != 1 else LoopKind.VECTORIZED
        body = (For(walk.var, walk.extent, kind, body),)
    return body


def _multiply_add(a: Expr, b: Expr, c: Expr) -> Expr:
    if c.dtype.is_float and c.dtype.itemsize >= 4:
        return apply("fma", a, b, c)
    return apply("add", c, apply("mul", a, b))


# ---- by warpgroups


def _by_group(group: Group, left: Slab, right: Slab, sums: Buffer) -> Block:
    first, second = left.form, right.form
    assert isinstance(first, Cores)
    assert isinstance(second, Cores)
    product = group.product(first_by_rows=not first.deep, second_by_rows=not second.deep)
    dims = Dim(THREAD) % THREADS + 1, first.near, first.far, second.near, second.far
    at = left.now + first.at(group.row, 0)
    return (
        Call(
            product.name,
            dims,
            (View(left.shared.name, (at,)), View(right.shared.name, (right.now,)), View(sums.name, (0,))),
        ),
    )


# ---- by warps


def _by_warp(tile: Tile, warp: Warp, left: Slab, right: Slab, sums: Buffer) -> Block:
    instruction = warp.instruction
    lane = Dim(THREAD) % WARP
    first = _local("%first", instruction.dtype, warp.down * instruction.first)
    second = _local("%second", instruction.dtype, warp.across * instruction.second)
    u, g = Dim("%u"), Dim("%g")
    views = (
        View(first.name, (instruction.first * u,)),
        View(second.name, (instruction.second * g,)),
        View(sums.name, (SUMS * (warp.across * u + g),)),
    )
    product = Call(instruction.name, (lane + 1,), views)
    deep = instruction.depth * Dim("%k")
    body: Block = (
        Alloc(first),
        Alloc(second),
        *Fragments(instruction, first, left, warp.row, deep, warp.down).first(),
        *Fragments(instruction, second, right, warp.column, deep, warp.across).second(),
        *loops((product,), ("%u", warp.down), ("%g", warp.across)),
    )
    return (For("%k", tile.depth // instruction.depth, LoopKind.UNROLLED, body),)


@dataclass(frozen=True, slots=True)
class Fragments:
    """What a lane has of a factor of several products of an instruction.

    Attributes:
        instruction: what multiplies.
        target: the memory of the lane.
        slab: where the factor lies for all.
        line: the first row, or column, of the warp.
        deep: the first summed index.
        count: of products.
    """

    instruction: Instruction
    target: Buffer
    slab: Slab
    line: Size
    deep: Size
    count: int

    def first(self) -> Block:
        """Read the first factor of products below each other."""
        instruction, slab, lane = self.instruction, self.slab, Dim(THREAD) % WARP
        u, p, q, e = (Dim(f"%{name}") for name in "upqe")
        row, place = self.line + ROWS * u, instruction.first * u
        if _matrices(slab):
            near, far = slab.form.at(ROWS // 2, 0), slab.form.at(0, instruction.half)
            read = loops((self._load(slab.form.at(row, self.deep), near, far, place),), ("%u", self.count))
            return (*read, *self._round(instruction.first))
        at = slab.form.at(row + lane // 4 + ROWS // 2 * q, self.deep + instruction.deep_of(lane, p, e))
        element = self._read(place + instruction.pair * (2 * p + q) + e, at)
        return loops((element,), ("%u", self.count), ("%p", 2), ("%q", 2), ("%e", instruction.pair))

    def second(self, order: Order | None = None) -> Block:
        """Read the second factor of products side by side.

        Args:
            order: the summed index of a lane's register ``%p``, where it is another one than usual.
        """
        instruction, slab, lane = self.instruction, self.slab, Dim(THREAD) % WARP
        g, p, e = (Dim(f"%{name}") for name in "gpe")
        if order is None and self.count % 2 == 0 and _matrices(slab):
            near, far = slab.form.at(0, instruction.half), slab.form.at(COLUMNS, 0)
            start = slab.form.at(self.line + 2 * COLUMNS * g, self.deep)
            read = loops((self._load(start, near, far, 2 * instruction.second * g),), ("%g", self.count // 2))
            return (*read, *self._round(instruction.second))
        index = order(lane, p) if order else instruction.deep_of(lane, p, e)
        at = slab.form.at(self.line + COLUMNS * g + lane // 4, self.deep + index)
        element = self._read(instruction.second * g + instruction.pair * p + e, at)
        return loops((element,), ("%g", self.count), ("%p", 2), ("%e", instruction.pair))

    def _read(self, place: Size, at: Size) -> Store:
        """Read one element."""
        slab = self.slab
        return Store(self.target.name, (place,), self._rounded(Load(slab.shared.name, (slab.now + at,), slab.dtype)))

    def _round(self, each: int) -> Block:
        """Round what has been read of so many elements for each product, if that is left to be done."""
        own = Load(self.target.name, (Dim("%r"),), self.slab.dtype)
        rounded = Store(own.buffer, own.index, self._rounded(own))
        return loops((rounded,), ("%r", self.count * each)) if self.slab.rounding else ()

    def _rounded(self, value: Expr) -> Expr:
        return apply(self.slab.rounding, value) if self.slab.rounding else value

    def _load(self, start: Size, near: Size, far: Size, place: Size) -> Call:
        """Read four matrices."""
        matrices, form = _matrices(self.slab), self.slab.form
        assert matrices
        assert isinstance(form, Lines)
        views = View(self.slab.shared.name, (self.slab.now + start,)), View(self.target.name, (place,))
        return Call(matrices.name, (Dim(THREAD) % WARP + 1, form.pitch, near, far), views)


def _matrices(slab: Slab) -> Matrices | None:
    """How a warp reads matrices of a slab: those of f32 only where summed indices lie side by side."""
    if slab.dtype.itemsize == 2 or slab.form.deep:
        return Matrices(slab.dtype, transposed=not slab.form.deep)
    return None


def loops(body: Block, *around: tuple[str, int]) -> Block:
    """The body in unrolled loops, the outermost first."""
    for name, extent in reversed(around):
        body = (For(name, extent, LoopKind.UNROLLED, body),)
    return body
