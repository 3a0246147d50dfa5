"""Products whose first factor is in registers: values of some rows and a piece of the columns, which are summed over.

A warp has sixteen rows. The registers that hold the sums of one product are those that hold the factors of the next
one, if summed indices are taken in another order: values that are made of products are multiplied where they are.
"""

from __future__ import annotations

import math

from sigmagraph.codegen.cuda.contraction import Factors
from sigmagraph.codegen.cuda.multiply import Fragments, loops
from sigmagraph.codegen.cuda.outputs import Outputs
from sigmagraph.codegen.cuda.pipeline import Pipeline
from sigmagraph.codegen.cuda.staging import Slab, Steps
from sigmagraph.codegen.cuda.tensor_cores import COLUMNS, SUMS, Instruction
from sigmagraph.codegen.cuda.tensor_cores import ROWS as OF_WARP
from sigmagraph.codegen.cuda.tiles import THREAD, WARP, Layout, Tile, by_warps
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.dims import Dim, Size, divide_exact, product
from sigmagraph.dtypes import F32, DType
from sigmagraph.ir.kernel.expr import Const, Load, apply, cast
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, Call, LoopKind, Role, Space, Stmt, Store, View

ROWS = 64  # of a block
WIDTHS = (32, 64, 128)  # results of a row that there is a tile for
WARPS = ROWS // OF_WARP
LOG2E = Const(math.log2(math.e), F32)
PIECE = "%piece"  # which piece of the columns it is
# Of the values of a thread: which of its two rows, which product, and which of two columns there.
_ROW, _PRODUCT, _SIDE = "%h", "%g", "%v"


def width(extent: Size) -> int | None:
    """The tile for so many results of a row; None where they have no room in the registers of a warp."""
    return next((n for n in WIDTHS if extent <= n), None) if isinstance(extent, int) else None


def tile_of(instruction: Instruction, columns: int, depth: int = 0) -> Tile:
    """The tile of the rows of a block and so many columns, of which each warp has all of its rows.

    Args:
        instruction: what multiplies.
        columns: how many there are.
        depth: summed indices that a step has at least; 0 if it has as many as are best.
    """
    steps = 2  # a power of two, so that equally many threads bring each row
    while steps * instruction.depth < depth:
        steps *= 2
    return by_warps(instruction, WARPS, 1, 1, columns // COLUMNS, steps * instruction.depth, 1.0)


def local(name: str, size: int, dtype: DType = F32) -> Buffer:
    """Registers of a thread."""
    return Buffer(name, dtype, (size,), Role.TEMP, Space.LOCAL)


def own(values: Buffer) -> Load:
    """A value of a thread, in what :func:`by_row` and :func:`by_column` are around."""
    return Load(values.name, (SUMS * Dim(_PRODUCT) + 2 * Dim(_ROW) + Dim(_SIDE),), values.dtype)


def of_row(values: Buffer) -> Load:
    """What a thread has for each of its rows."""
    return Load(values.name, (Dim(_ROW),), values.dtype)


def place_of(layout: Layout, piece: int) -> tuple[Size, Size]:
    """Row and column of a value of a thread, where pieces have so many columns."""
    row = layout.row + OF_WARP // 2 * Dim(_ROW)
    return row, piece * Dim(PIECE) + layout.column + COLUMNS * Dim(_PRODUCT) + Dim(_SIDE)


def by_row(*body: Stmt) -> Block:
    """The body for both rows of a thread."""
    return loops(body, (_ROW, 2))


def by_column(columns: int, *body: Stmt) -> Block:
    """The body for those of so many columns that a thread has."""
    return loops(body, (_PRODUCT, columns // COLUMNS), (_SIDE, 2))


def filled(values: Buffer, value: float) -> Block:
    """All registers of an array with one value."""
    count = product(values.shape)
    assert isinstance(count, int)
    return loops((Store(values.name, (Dim("%f"),), Const(value, values.dtype)),), ("%f", count))


class FromRegisters:
    """A contraction that sums over columns, a piece of which is in registers at a time.

    Args:
        contraction: what is carried out; its result has one axis of rows.
        factors: what is multiplied, by an instruction of tensor cores; the first is not looked at.
        piece: how many columns are in registers.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
        tag: tells several of them apart.
        whole: whether the second factor of a piece is brought at once, as one step.

    Attributes:
        sums: of a thread.
        columns: that there is room for in them.
    """

    def __init__(
        self,
        contraction: Contraction,
        factors: Factors,
        piece: int,
        ahead: int,
        tag: str = "",
        whole: bool = False,
    ) -> None:
        columns = width(contraction.right.extent)
        assert factors.instruction
        assert columns
        self.contraction, self.columns = contraction, columns
        self.instruction = factors.instruction
        self.tile = tile_of(self.instruction, columns, piece if whole else 0)
        axes, depth, right = contraction.reduction.axes, self.tile.depth, contraction.right
        total = product(a.extent for a in axes)
        steps = Steps(axes, total, depth, divide_exact(total, piece) is not None)
        name = f"values{tag}"
        self.slab = Slab(
            name, right, factors.right, factors.rounding, columns, 0, steps, {}, self.tile, ahead, int(whole)
        )
        self.pipeline = Pipeline((self.slab,), f"%step{tag}", piece // depth, piece * Dim(PIECE), depth, ahead)
        self.sums = local(f"%means{tag}", self.tile.layout.sums)

    @property
    def is_fetched(self) -> bool:
        """Whether the second factor arrives while something else is done."""
        return self.slab.fetched

    def begin(self) -> Block:
        """Bring the first step of a piece."""
        return self.pipeline.begin()

    def products(self, values: Buffer, start: Block = ()) -> Block:
        """The products of a piece, whose values are the first factor, added to the sums.

        Args:
            values: where they are.
            start: what is begun when all threads have come to the last step.
        """
        return (self.pipeline.loop(LoopKind.UNROLLED, self._step(values), start=start),)

    def _step(self, values: Buffer) -> Block:
        """The products of a step.

        Of 16-bit factors, registers number ``p`` along the columns come from a product of values, of f32 from one of
        its two columns.
        """
        instruction, lane, products = self.instruction, Dim(THREAD) % WARP, self.columns // COLUMNS
        halves, p, q, e, g = instruction.pair == 2, *(Dim(name) for name in ("%p", "%q", "%e", "%g"))
        first = local("%first", instruction.first, instruction.dtype)
        second = local("%second", products * instruction.second, instruction.dtype)
        number = self.tile.depth // COLUMNS * Dim(self.pipeline.var) + instruction.depth // COLUMNS * Dim("%k")
        source = SUMS * (number + p) + 2 * q + e if halves else SUMS * number + 2 * q + p
        value = Load(values.name, (source,), values.dtype)
        factor = cast(value, instruction.dtype) if halves else apply(instruction.rounding, value)
        fill = Store(first.name, (instruction.pair * (2 * p + q) + e,), factor)
        deep = instruction.depth * Dim("%k")
        order = None if halves else lambda lane, p: 2 * (lane % 4) + p
        views = View(first.name, (0,)), View(second.name, (instruction.second * g,)), View(self.sums.name, (SUMS * g,))
        body: Block = (
            Alloc(first),
            Alloc(second),
            *loops((fill,), ("%p", 2), ("%q", 2), ("%e", instruction.pair)),
            *Fragments(instruction, second, self.slab, 0, deep, products).second(order),
            *loops((Call(instruction.name, (lane + 1,), views),), ("%g", products)),
        )
        return loops(body, ("%k", self.tile.depth // instruction.depth))

    def results(self) -> Block:
        """The sums become results, and are stored."""
        return Outputs(self.contraction, self.tile, self.sums, (0, 0), {}).block_of()
