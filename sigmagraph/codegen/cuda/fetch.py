"""Copies from global to shared memory that no thread waits for until it has to (PTX ISA, ``cp.async``).

As :mod:`sigmagraph.codegen.cuda.tensor_cores` does for products, this says in kernels what functions of the prelude
mean: what is copied is there at once. That those who read it have waited for it is not seen there, but where the text
is executed: there a copy arrives when it is waited for, and not before.
"""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.dims import Dim
from sigmagraph.dtypes import BF16, F16, F32, F64, DType
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import Block, Buffer, Call, For, Kernel, KernelStage, LoopKind, Role, Store, View

ARCH = 80  # from which architecture on it exists
_BYTES = (4, 8, 16)
MOST = 8  # groups of copies that may be under way


@dataclass(frozen=True, slots=True)
class Fetch:
    """A copy of some elements that lie side by side, at a multiple of their size.

    Attributes:
        dtype: of the elements.
        count: how many.
    """

    dtype: DType
    count: int

    @property
    def exists(self) -> bool:
        """Whether there is an instruction for it."""
        return self in _FETCHES

    @property
    def name(self) -> str:
        """Of the kernel that it is."""
        return f"fetch_{self.dtype}_{self.count}"

    def kernel(self) -> Kernel:
        """What it does."""
        place = Dim("%v")
        copy = Store("%to", (place,), Load("%from", (place,), self.dtype))
        params = tuple(
            Buffer(name, self.dtype, (self.count,), role) for name, role in (("%from", Role.IN), ("%to", Role.OUT))
        )
        body: Block = (For("%v", self.count, LoopKind.UNROLLED, (copy,)),)
        return Kernel(self.name, (), params, body, KernelStage.SCHEDULED)

    def call(self, source: View, target: View) -> Call:
        """Copy from one place to another one."""
        return Call(self.name, (), (source, target))


def commit() -> Call:
    """What this thread has begun to copy since the last time becomes a group, which may be empty."""
    return Call(_COMMIT, (), ())


def wait(pending: int) -> Call:
    """Wait for all groups of this thread but the last so many."""
    assert pending < MOST
    return Call(f"{_WAIT}_{pending}", (), ())


def _nothing(name: str) -> Kernel:
    return Kernel(name, (), (), (), KernelStage.SCHEDULED)


_COMMIT, _WAIT = "commit_fetches", "await_fetches"
_FETCHES = frozenset(
    Fetch(dtype, size // dtype.itemsize) for dtype in (F32, F64, F16, BF16) for size in _BYTES if size >= dtype.itemsize
)
KERNELS = (
    *(fetch.kernel() for fetch in sorted(_FETCHES, key=lambda f: f.name)),
    _nothing(_COMMIT),
    *(_nothing(f"{_WAIT}_{pending}") for pending in range(MOST)),
)
