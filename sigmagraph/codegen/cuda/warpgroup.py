"""Products of matrices in shared memory by the four warps of a warpgroup (``wgmma`` of sm_90a): what they mean.

Each is a kernel that others call, like those of ``tensor_cores.py``; the text of programs calls a function of the
prelude (``prelude/warpgroup.cuh``). All threads of a group call it, with the same places and distances.

Factors lie in shared memory as matrices of 8 rows of 16 bytes, each of which is 128 bytes in one piece ("core
matrices"). Where summed indices of a factor lie side by side, rows of such a matrix are rows of the factor; else they
are summed indices, and hold 8 rows of the factor. ``far`` is the distance from one matrix to the next along rows,
``near`` along summed indices. They are what the PTX ISA calls the stride dimension's and the leading dimension's byte
offset: the distances of adjacent core matrices in the M or N and in the K dimension (so wgmma's matrix descriptor; its
"Strides" say the same of no-swizzling K-major and interleaved MN-major matrices). CUTLASS, which is NVIDIA's, takes
them so too: ``make_gmma_desc`` of ``include/cute/atom/mma_traits_sm90_gmma.hpp`` reads them off the layouts
``((8,n),2):((1,SBO),LBO)`` (K-major) and ``((1,n),(8,k)):((X,SBO),(1,LBO))`` (MN-major), in units of 16 bytes. (Its
``mma_sm90_desc.hpp`` tells them the other way round for MN-major matrices, which is so of swizzled ones.)

Sums are where the PTX ISA says (figure of D in "Register Fragments" of ``wgmma.mma_async.m64nNk16``), and
``CLayout_64xN`` of CUTLASS: lane 4 g + t of warp w has columns 8 j + 2 t + e of rows 16 w + 8 h + g, as number
4 j + 2 h + e.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from sigmagraph.dims import Dim, Size
from sigmagraph.dtypes import BF16, F16, F32, DType
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Const, Index, Load, apply, cast
from sigmagraph.ir.kernel.kernel import (
    Block,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Store,
    View,
)

ROWS, THREADS = 64, 128  # of a product, and of a group
WIDTHS = (8, 16, 32, 64, 128, 192, 256)  # columns that the prelude has instructions for
_CORE = 8  # rows of a core matrix, of 16 bytes
_THREAD = "thread"  # dims are at least 1: threads are counted from there
_DISTANCES = ("first_near", "first_far", "second_near", "second_far")
_TYPES = {"bf16": BF16, "f16": F16, "tf32": F32}
_WAIT = re.compile(r"wgmma_wait_(behind_)?(\d+)")
_WAIT_OLDER = re.compile(r"wgmma_wait_older_(bf16|f16|tf32)")
_NAME = re.compile(r"wgmma_(bf16|f16|tf32)_(\d+)x(\d+)_([sr])([sr])")


@dataclass(frozen=True, slots=True)
class GroupProduct:
    """``sums[64, columns] += first[64, depth] * second[depth, columns]`` by a warpgroup, which has to be waited for.

    f32 are multiplied as tf32: they are rounded to it before (``round_tf32``). Sums are f32.

    Attributes:
        dtype: of the factors: bf16, f16 or f32.
        columns: one of :data:`WIDTHS`.
        slices: of 32 bytes of summed indices (16, or 8 of f32) that one call goes through.
        first_by_rows: whether rows of the first factor lie side by side, and not summed indices; not of f32.
        second_by_rows: the same of columns of the second.

    Raises:
        CompileError: there is no such product.
    """

    dtype: DType
    columns: int
    slices: int
    first_by_rows: bool = False
    second_by_rows: bool = False

    def __post_init__(self) -> None:
        by_rows = self.first_by_rows or self.second_by_rows
        if self.dtype not in _TYPES.values() or (by_rows and not self.turns(self.dtype)):
            raise CompileError(
                "warpgroups do not multiply this",
                expected="bf16 or f16, or f32 whose summed indices lie side by side",
                got=f"{self.dtype}{', rows side by side' if by_rows else ''}",
            )
        if self.columns not in WIDTHS or self.slices < 1:
            raise CompileError(
                "warpgroups have no product of this size",
                expected=f"columns of {', '.join(map(str, WIDTHS))}, and at least one slice",
                got=f"{self.columns} columns, {self.slices} slices",
            )

    @staticmethod
    def turns(dtype: DType) -> bool:
        """Whether rows of a factor of this type may lie side by side."""
        return dtype.itemsize == 2

    @property
    def line(self) -> int:
        """Elements of 16 bytes: a row of a core matrix."""
        return 16 // self.dtype.itemsize

    @property
    def depth(self) -> int:
        """Summed indices of a call."""
        return 2 * self.line * self.slices

    @property
    def sums(self) -> int:
        """Sums that a thread has."""
        return self.columns // 2

    @property
    def name(self) -> str:
        """Of the kernel that it is."""
        ways = "".join("sr"[by_rows] for by_rows in (self.first_by_rows, self.second_by_rows))
        return f"wgmma_{_type(self.dtype)}_{self.columns}x{self.depth}_{ways}"

    @property
    def function(self) -> str:
        """The function of the prelude."""
        ways = (str(by_rows).lower() for by_rows in (self.first_by_rows, self.second_by_rows))
        return f"sg_wgmma_{_type(self.dtype)}<{self.columns}, {self.slices}, {', '.join(ways)}>"

    def place(self, row: Size, deep: Size, near: Size, far: Size, by_rows: bool) -> Size:
        """Where an element of a factor lies.

        Args:
            row: of the first factor, or column of the second.
            deep: the summed index.
            near: elements from one core matrix to the next along summed indices; a multiple of 16 bytes.
            far: the same along rows.
            by_rows: whether rows lie side by side.
        """
        pieces = (row // _CORE, row % _CORE), (deep // self.line, deep % self.line)
        return self._element(*pieces, near, far, by_rows)

    def span(self, rows: int, near: Size, far: Size) -> Size:
        """Elements from the first one of a factor to its last one."""
        matrices = self.depth // self.line  # along summed indices; those of 16-bit types are 8 by 8
        return (rows // _CORE - 1) * far + (matrices - 1) * near + _CORE * self.line

    def kernel(self) -> Kernel:
        """What it computes.

        Who reads what is said by loops over all threads, so that reads are shown to be in bounds for all of them. A
        shuffle says that the threads come together.
        """
        near, far, other_near, other_far = map(Dim, _DISTANCES)
        w, g, t, j, h, e, q, p = (Dim(f"%{name}") for name in "wgtjheqp")
        own = Dim(_THREAD) - 1 - (32 * w + 4 * g + t)  # 0 in the turn of the thread
        at = 4 * j + 2 * h + e
        left = self._element((2 * w + h, g), (q, p), near, far, self.first_by_rows)
        right = self._element((j, 2 * t + e), (q, p), other_near, other_far, self.second_by_rows)
        factors = (cast(Load(name, (i,), self.dtype), F32) for name, i in (("%first", left), ("%second", right)))
        total = apply("add", Load("%sums", (at,), F32), apply("mul", *factors))
        body: Block = (Store("%sums", (at,), total),)
        loops: tuple[tuple[str, int], ...] = (
            *(("%j", self.columns // _CORE), ("%h", 2), ("%e", 2)),
            *(("%q", self.depth // self.line), ("%p", self.line)),
        )
        for var, extent in reversed(loops):
            body = (For(var, extent, LoopKind.SERIAL, body),)
        body = (If((own, -1 * own), body),)
        for var, extent in (("%t", 4), ("%g", 8), ("%w", 4)):
            body = (For(var, extent, LoopKind.SERIAL, body),)
        params = (
            Buffer("%first", self.dtype, (self.span(ROWS, near, far),), Role.IN),
            Buffer("%second", self.dtype, (self.span(self.columns, other_near, other_far),), Role.IN),
            Buffer("%sums", F32, (self.sums,), Role.INOUT),
        )
        return Kernel(self.name, (_THREAD, *_DISTANCES), params, (_together(), *body), KernelStage.SCHEDULED)

    def _element(self, row: tuple[Size, Size], deep: tuple[Size, Size], near: Size, far: Size, by_rows: bool) -> Size:
        """The same; row and summed index are told by the number of a core matrix, and the number within."""
        inner = self.line * deep[1] + row[1] if by_rows else self.line * row[1] + deep[1]
        return row[0] * far + deep[0] * near + inner


@dataclass(frozen=True, slots=True)
class GroupWait:
    """Waits for the products that a thread has begun, for whose sums it is; before that it may do anything else.

    In kernel IR products are there at once. That it comes before sums are used is not seen there, but where the text is
    executed: there sums are not what they should be until they have been waited for.

    Attributes:
        columns: of the products.
        behind: whether it stands behind the loop in which they are begun, and not in it. Compilers know it as an
            instruction without operands, and would move before it what is computed of sums.
    """

    columns: int
    behind: bool = False

    @property
    def name(self) -> str:
        """Of the kernel that it is."""
        return f"wgmma_wait_{'behind_' if self.behind else ''}{self.columns}"

    @property
    def function(self) -> str:
        """The function of the prelude."""
        return f"sg_wgmma_wait{'_behind' if self.behind else ''}<{self.columns}>"

    def kernel(self) -> Kernel:
        """What it computes: nothing. All threads come."""
        params = (Buffer("%sums", F32, (self.columns // 2,), Role.INOUT),)
        return Kernel(self.name, (), params, (_together(),), KernelStage.SCHEDULED)

    def call(self, sums: Buffer) -> Call:
        """Wait for what is added to sums."""
        return Call(self.name, (), (View(sums.name, (0,)),))


@dataclass(frozen=True, slots=True)
class OlderWait:
    """Waits for the products that a thread has begun, but for those of the newest call, which may go on.

    Sums are not there yet: :class:`GroupWait` waits for these. But where other threads have waited, too, what the older
    products read may be written over: they read until then. In kernel IR they read when they are called; so that
    nobody writes there in between, this is told what they read, and reads the same.

    Attributes:
        dtype: of the factors.
    """

    dtype: DType

    @property
    def name(self) -> str:
        """Of the kernel that it is."""
        return f"wgmma_wait_older_{_type(self.dtype)}"

    @property
    def function(self) -> str:
        """The function of the prelude."""
        return "sg_wgmma_wait_older"

    def kernel(self) -> Kernel:
        """What it computes: nothing. All threads come."""
        dims = ("first", "second")
        params = tuple(Buffer(f"%{name}", self.dtype, (Dim(name),), Role.IN) for name in dims)
        return Kernel(self.name, dims, params, (_together(),), KernelStage.SCHEDULED)

    def call(self, first: View, second: View, sizes: tuple[Size, Size]) -> Call:
        """Wait for the older products.

        Args:
            first: what the last of them read of the first factor.
            second: the same of the second one.
            sizes: so many elements of each.
        """
        return Call(self.name, sizes, (first, second))


PUBLISH = Kernel("publish", (), (), (), KernelStage.SCHEDULED)
"""What threads call between what they write to shared memory and the barrier behind which a warpgroup reads it.

It means nothing: memory is one for all in kernel IR. On a GPU tensor cores go another way to it (PTX ISA, "Async
proxy").
"""


def publish() -> Call:
    """What this thread has written to shared memory is there for warpgroups behind the next barrier."""
    return Call(PUBLISH.name, (), ())


def of_group(name: str) -> GroupProduct | GroupWait | OlderWait | None:
    """The product, or the waiting for some, that is the kernel of a name; None where that is another kernel."""
    wait = _WAIT.fullmatch(name)
    if wait is not None:
        return GroupWait(int(wait[2]), behind=wait[1] is not None)
    older = _WAIT_OLDER.fullmatch(name)
    if older is not None:
        return OlderWait(_TYPES[older[1]])
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    dtype = _TYPES[match[1]]
    slices = int(match[3]) * dtype.itemsize // 32
    return GroupProduct(dtype, int(match[2]), slices, match[4] == "r", match[5] == "r")


def of_warpgroups(name: str) -> bool:
    """Whether a kernel is there for warpgroups only."""
    return name == PUBLISH.name or of_group(name) is not None


def _together() -> Let:
    """A shuffle, which says that all threads come."""
    return Let("%together", apply("shuffle", Const(0.0, F32), Index(0)))


def _type(dtype: DType) -> str:
    """What elements are called as factors."""
    return next(name for name, own in _TYPES.items() if own is dtype)
