"""The products of a step of a contraction: by each thread for itself, or by the tensor cores for a warp."""

from __future__ import annotations

from sigmagraph.codegen.cuda.staging import Slab
from sigmagraph.codegen.cuda.tensor_cores import SUMS, Instruction
from sigmagraph.codegen.cuda.tiles import THREAD, WARP, Tile, Walk, Warp
from sigmagraph.dims import Dim, Size, substitute
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.expr import Expr, Load, apply
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, Call, For, LoopKind, Role, Space, Stmt, Store, View


def multiply(tile: Tile, left: Slab, right: Slab, sums: Buffer) -> Block:
    """The products of two slabs, added to the sums of a thread."""
    return _by_warp(tile, tile.warp, left, right, sums) if tile.warp else _by_thread(tile, left, right, sums)


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
    body: Block = (Store(target.name, (place,), Load(slab.shared.name, (slab.at(row, Dim("%k")),), slab.dtype)),)
    for number, walk in enumerate(reversed(walks)):
        kind = LoopKind.UNROLLED if number or walk.step != 1 else LoopKind.VECTORIZED
        body = (For(walk.var, walk.extent, kind, body),)
    return body


def _multiply_add(a: Expr, b: Expr, c: Expr) -> Expr:
    if c.dtype.is_float and c.dtype.itemsize >= 4:
        return apply("fma", a, b, c)
    return apply("add", c, apply("mul", a, b))


# ---- by warps


def _by_warp(tile: Tile, warp: Warp, left: Slab, right: Slab, sums: Buffer) -> Block:
    instruction = warp.instruction
    lane = Dim(THREAD) % WARP
    first = _local("%first", instruction.dtype, warp.down * instruction.first)
    second = _local("%second", instruction.dtype, warp.across * instruction.second)
    u, g, p, q, e = (Dim(f"%{name}") for name in "ugpqe")
    deep = instruction.depth * Dim("%k") + instruction.deep_of(lane, p, e)
    a = left.at(warp.row + 16 * u + instruction.row_of(lane, q), deep)
    pair = instruction.pair
    load_first = _read(first, instruction.first * u + pair * (2 * p + q) + e, left, a, pair)
    views = (
        View(first.name, (instruction.first * u,)),
        View(second.name, (instruction.second * g,)),
        View(sums.name, (SUMS * (warp.across * u + g),)),
    )
    product = Call(instruction.name, (lane + 1,), views)
    body: Block = (
        Alloc(first),
        Alloc(second),
        *_loops(load_first, ("%u", warp.down), ("%p", 2), ("%q", 2)),
        *fetch_second(instruction, second, right, warp.column + 8 * g + lane // 4, deep, warp.across),
        *_loops((product,), ("%u", warp.down), ("%g", warp.across)),
    )
    return (For("%k", tile.depth // instruction.depth, LoopKind.UNROLLED, body),)


def fetch_second(instruction: Instruction, target: Buffer, slab: Slab, column: Size, deep: Size, count: int) -> Block:
    """Read what a lane has of the second factor of ``count`` products.

    Args:
        instruction: what multiplies.
        target: takes it.
        slab: where the factor lies.
        column: the column of a lane in product ``%g``.
        deep: the summed index of element ``%e`` of register ``%p``.
        count: of products.
    """
    pair = instruction.pair
    place = instruction.second * Dim("%g") + pair * Dim("%p") + Dim("%e")
    return _loops(_read(target, place, slab, slab.at(column, deep), pair), ("%g", count), ("%p", 2))


def _read(target: Buffer, place: Size, slab: Slab, at: Size, pair: int) -> Block:
    """Elements that a register holds."""
    store = Store(target.name, (place,), Load(slab.shared.name, (at,), slab.dtype))
    if pair > 1:
        return (For("%e", pair, LoopKind.VECTORIZED, (store,)),)
    one = {"%e": 0}
    return (Store(target.name, (substitute(place, one),), Load(slab.shared.name, (substitute(at, one),), slab.dtype)),)


def _loops(body: Block, *loops: tuple[str, int]) -> Block:
    for name, extent in reversed(loops):
        body = (For(name, extent, LoopKind.UNROLLED, body),)
    return body
