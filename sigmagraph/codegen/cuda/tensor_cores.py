"""Products of matrices that the lanes of a warp have in their registers: what they mean, and who has which element.

Each is a kernel that others call: its body says in shuffles what it computes, and the text of programs calls the
function of the prelude that has an instruction for it.

The places of elements are those of the PTX ISA, "Matrix fragments for mma.m16n8k8" and "mma.m16n8k16": lane 4 g + t
has rows g and g + 8 of the first factor, column g of the second, and columns 2 t and 2 t + 1 of rows g and g + 8 of the
sums.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import BF16, F16, F32, DType
from sigmagraph.ir.kernel.expr import Index, Load, Var, apply, cast
from sigmagraph.ir.kernel.kernel import (
    Block,
    Buffer,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Store,
)

ROWS, COLUMNS, SUMS = 16, 8, 4  # of a product; sums that a lane has of it
_LANE = "lane"  # dims are at least 1: lanes are counted from there


@dataclass(frozen=True, slots=True)
class Instruction:
    """``sums[16, 8] += first[16, depth] * second[depth, 8]`` by a warp.

    Attributes:
        name: of the kernel that it is.
        dtype: of the factors; sums are f32.
        depth: summed indices.
        pair: elements of a factor that a register holds, along the summed axis.
        arch: from which architecture on it exists.
        rounding: the scalar op that makes factors what it takes, if that is a rounding.
    """

    name: str
    dtype: DType
    depth: int
    pair: int
    arch: int
    rounding: str = ""

    @property
    def first(self) -> int:
        """Elements of the first factor that a lane has."""
        return 4 * self.pair

    @property
    def second(self) -> int:
        """Elements of the second factor that a lane has."""
        return 2 * self.pair

    @property
    def half(self) -> int:
        """From one register of summed indices to the next."""
        return self.depth // 2

    def kernel(self) -> Kernel:
        """What it computes."""
        own = Dim(_LANE) - 1
        g, t = own // 4, own % 4
        p, s, e, h, j = (Dim(f"%{name}") for name in "psehj")
        left = Load("%a", ((2 * p + h) * self.pair + e,), self.dtype)
        right = Load("%b", (p * self.pair + e,), self.dtype)
        sums = Load("%c", (2 * h + j,), F32)
        product = apply("mul", cast(Var("%x", self.dtype), F32), cast(Var("%y", self.dtype), F32))
        body: Block = (
            Let("%x", apply("shuffle", left, Index(4 * g + s))),
            Let("%y", apply("shuffle", right, Index(4 * (2 * t + j) + s))),
            Store("%c", (2 * h + j,), apply("add", sums, product)),
        )
        loops: tuple[tuple[str, int], ...] = (("%h", 2), ("%j", 2), ("%p", 2), ("%s", 4), ("%e", self.pair))
        for name, extent in reversed(loops):
            body = (For(name, extent, LoopKind.UNROLLED, body),)
        params = (
            Buffer("%a", self.dtype, (self.first,), Role.IN),
            Buffer("%b", self.dtype, (self.second,), Role.IN),
            Buffer("%c", F32, (SUMS,), Role.INOUT),
        )
        return Kernel(self.name, (_LANE,), params, body, KernelStage.SCHEDULED)

    def deep_of(self, lane: Size, register: Size, element: Size) -> Size:
        """The summed index of an element of a factor's registers number ``register`` along the summed axis."""
        return self.half * register + self.pair * (lane % 4) + element


@dataclass(frozen=True, slots=True)
class Matrices:
    """Four matrices of 8 rows of 16 bytes, of which a lane gets a word each (PTX ISA, ``ldmatrix.x4``).

    Lane 4 g + t gets word t of row g; of transposed ones, which have 16-bit elements, elements 2 t and 2 t + 1 of
    column g. Matrix ``2 j + i`` begins ``i`` times one distance and ``j`` times another one behind the first.

    Attributes:
        dtype: of the elements.
        transposed: whether a lane gets a part of a column.
    """

    dtype: DType
    transposed: bool

    @property
    def name(self) -> str:
        """Of the kernel that it is."""
        return f"ldmatrix_{self.dtype}{'_trans' if self.transposed else ''}"

    @property
    def pair(self) -> int:
        """Elements of a word."""
        return 4 // self.dtype.itemsize

    def kernel(self) -> Kernel:
        """What it does. All lanes call it, with the same place and distances."""
        pitch, near, far = map(Dim, _DISTANCES)
        g, t, i, j, e = (Dim(f"%{name}") for name in "gtije")
        own = Dim(_LANE) - 1 - (4 * g + t)  # 0 in the turn of the lane: what it reads is shown to be in bounds for all
        row, column = (self.pair * t + e, g) if self.transposed else (g, self.pair * t + e)
        place = i * near + j * far + row * pitch + column
        read = Store("%to", ((2 * j + i) * self.pair + e,), Load("%from", (place,), self.dtype))
        body: Block = (If((own, -1 * own), (read,)),)
        for var, extent in (("%e", self.pair), ("%i", 2), ("%j", 2), ("%t", 4), ("%g", 8)):
            body = (For(var, extent, LoopKind.UNROLLED, body),)
        params = (
            Buffer("%from", self.dtype, (near + far + 7 * pitch + 16 // self.dtype.itemsize,), Role.IN),
            Buffer("%to", self.dtype, (4 * self.pair,), Role.OUT),
        )
        return Kernel(self.name, (_LANE, *_DISTANCES), params, body, KernelStage.SCHEDULED)


_DISTANCES = ("pitch", "near", "far")
TF32 = Instruction("mma_tf32", F32, 8, 1, 80, "round_tf32")
TF32_EVEN = replace(TF32, arch=90, rounding="round_tf32_even")  # where rounding is an instruction, and not four
MMA_BF16 = Instruction("mma_bf16", BF16, 16, 2, 80)
MMA_F16 = Instruction("mma_f16", F16, 16, 2, 80)
INSTRUCTIONS = (MMA_BF16, MMA_F16)  # whose factors are what they are, not rounded to it
ROUNDED = (TF32_EVEN, TF32)  # whose factors are rounded; the newest first
MATRICES = (Matrices(F32, False), *(Matrices(dtype, turned) for dtype in (BF16, F16) for turned in (False, True)))
KERNELS = (*(i.kernel() for i in (TF32, *INSTRUCTIONS)), *(m.kernel() for m in MATRICES))


def rounding_on(arch: int) -> Instruction | None:
    """What multiplies rounded factors on an architecture, if there is such an instruction."""
    return next((instruction for instruction in ROUNDED if arch >= instruction.arch), None)
