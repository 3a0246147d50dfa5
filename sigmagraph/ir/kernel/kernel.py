"""Kernels: buffers, statements and the loop nests made of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeGuard, Union

from sigmagraph.dims import Size, product
from sigmagraph.dtypes import DType
from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.expr import Expr
from sigmagraph.location import Location

_LOCAL = re.compile(r"%[A-Za-z_][A-Za-z0-9_.]*\Z")
_KERNEL = re.compile(r"[A-Za-z0-9_.\-/]+\Z")


def is_local_name(name: str) -> bool:
    """Whether a buffer, a let or a loop variable may be called so: ``%`` and an identifier."""
    return bool(_LOCAL.match(name))


def is_kernel_name(name: str) -> bool:
    """Whether a kernel may be called so, without ``@``."""
    return bool(_KERNEL.match(name))


class Role(Enum):
    """How a kernel uses a buffer."""

    IN = "in"
    OUT = "out"
    INOUT = "inout"
    TEMP = "temp"


class Space(Enum):
    """Where a buffer lies.

    GLOBAL is memory that the caller hands in. LOCAL belongs to one iteration and lives in registers or on the stack.
    SCRATCH is cache-sized memory of one CPU thread. SHARED belongs to one GPU block.
    """

    GLOBAL = "global"
    LOCAL = "local"
    SCRATCH = "scratch"
    SHARED = "shared"


@dataclass(frozen=True, slots=True)
class Buffer:
    """A dense row-major array that a kernel reads or writes; the name starts with ``%``."""

    name: str
    dtype: DType
    shape: tuple[Size, ...]
    role: Role = Role.TEMP
    space: Space = Space.GLOBAL

    @property
    def size(self) -> Size:
        """Number of elements."""
        return product(self.shape)


class LoopKind(Enum):
    """How the iterations of a loop are carried out.

    SERIAL and UNROLLED keep their order (UNROLLED replicates the body); all others promise that it does not matter.
    """

    SERIAL = "serial"
    UNROLLED = "unrolled"
    VECTORIZED = "vectorized"
    PARALLEL = "parallel"
    BLOCK_X = "block_x"
    BLOCK_Y = "block_y"
    BLOCK_Z = "block_z"
    THREAD_X = "thread_x"
    THREAD_Y = "thread_y"
    THREAD_Z = "thread_z"

    @property
    def is_block(self) -> bool:
        return self.value.startswith("block")

    @property
    def is_thread(self) -> bool:
        return self.value.startswith("thread")


@dataclass(frozen=True, slots=True)
class For:
    """``body`` for every ``var`` in ``0 .. extent - 1``; nothing when extent is not positive."""

    var: str
    extent: Size
    kind: LoopKind
    body: Block


@dataclass(frozen=True, slots=True)
class Let:
    """A name for a value, up to the end of the block; an i64 let may be used in index expressions."""

    name: str
    value: Expr


@dataclass(frozen=True, slots=True)
class Store:
    """Write an element; nothing where an expression of ``guard`` is negative."""

    buffer: str
    index: tuple[Size, ...]
    value: Expr
    guard: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class If:
    """``then`` when all conditions are at least zero, else ``orelse``."""

    conditions: tuple[Size, ...]
    then: Block
    orelse: Block = ()


@dataclass(frozen=True, slots=True)
class Alloc:
    """A TEMP buffer that exists up to the end of the block; its contents are undefined at first."""

    buffer: Buffer


@dataclass(frozen=True, slots=True)
class Barrier:
    """All threads of the block wait for each other, and see each other's writes to shared memory."""


@dataclass(frozen=True, slots=True)
class View:
    """A buffer handed to a callee, from the element at ``index`` on."""

    buffer: str
    index: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """Run a callee of the kernel: its dims by value, its buffers by view."""

    kernel: str
    dims: tuple[Size, ...]
    args: tuple[View, ...]


Stmt: TypeAlias = Union[For, Let, Store, If, Alloc, Barrier, Call]
Block: TypeAlias = "tuple[Stmt, ...]"


class KernelStage(Enum):
    """How far a kernel has come: correct loops; scheduled; ready for an emitter."""

    LOOPS = "loops"
    SCHEDULED = "scheduled"
    LEGAL = "legal"


@dataclass(frozen=True, slots=True)
class Kernel:
    """A function over buffers.

    Attributes:
        name: identifier, without ``@``.
        dims: names of the i64 parameters, used in shapes, extents and indices.
        params: buffers handed in, in order.
        body: statements.
        stage: how far it has come.
        callees: kernels that ``Call`` statements name, innermost first.
        provenance: where the nodes came from that it computes.
    """

    name: str
    dims: tuple[str, ...]
    params: tuple[Buffer, ...]
    body: Block
    stage: KernelStage = KernelStage.LOOPS
    callees: tuple[Kernel, ...] = ()
    provenance: tuple[Location, ...] = ()

    def callee(self, name: str) -> Kernel:
        """The callee of that name.

        Raises:
            VerifyError: there is none.
        """
        found = next((k for k in self.callees if k.name == name), None)
        if found is None:
            names = ", ".join(k.name for k in self.callees)
            raise VerifyError(f"'@{self.name}' has no callee '@{name}'", expected=names)
        return found


def is_grid(stmt: Stmt) -> TypeGuard[For]:
    """Whether a statement is a loop over blocks or threads."""
    return isinstance(stmt, For) and (stmt.kind.is_block or stmt.kind.is_thread)


def statements(block: Block) -> Iterator[Stmt]:
    """All statements of a block, outer first, in order."""
    for stmt in block:
        yield stmt
        for inner in inner_blocks(stmt):
            yield from statements(inner)


def inner_blocks(stmt: Stmt) -> tuple[Block, ...]:
    """The blocks inside a statement."""
    match stmt:
        case For(_, _, _, body):
            return (body,)
        case If(_, then, orelse):
            return (then, orelse)
        case _:
            return ()


def map_blocks(stmt: Stmt, visit: Callable[[Block], Block]) -> Stmt:
    """The same statement with its inner blocks visited."""
    match stmt:
        case For(var, extent, kind, body):
            return For(var, extent, kind, visit(body))
        case If(conditions, then, orelse):
            return If(conditions, visit(then), visit(orelse))
        case _:
            return stmt
