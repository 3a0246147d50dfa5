"""Writes the launches of legal GPU kernels as CUDA C: a function for each nest of loops over blocks and threads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.codegen.cuda.ahead import FOUND
from sigmagraph.codegen.cuda.body import Body
from sigmagraph.codegen.cuda.lanes import used_names
from sigmagraph.codegen.cuda.names import function_name
from sigmagraph.codegen.cuda.nests import Nest
from sigmagraph.codegen.cuda.occupancy import REGISTERS
from sigmagraph.codegen.cuda.types import PRIMARY, memory_type
from sigmagraph.dims import Size, product
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Load, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    For,
    Kernel,
    Let,
    LoopKind,
    Role,
    Space,
    Store,
    statements,
)
from sigmagraph.ir.launch import Grid

_WIDTH = 120
_BESIDES = 24  # that a thread has for addresses and the like
_WIDE = 256  # threads of blocks of which two take all registers, if a thread has a half of those that it may have
_ENOUGH = 1024  # threads at a time for which memory is fast, if each has some loads on the way
_BLOCKS = 16  # at a time, more of which not all multiprocessors have
_LITTLE = 24  # words that a thread keeps, beside which 16 loads on their way fit into 64 registers
_SMALL = 1 << 13  # bytes of shared memory, more than which are tiles of factors: products take registers of their own
STOPPED = "if (flow[0] != 0 || flow[level] == 0) return;"
CONTROLS = ("int* flow", "int level")


@dataclass(frozen=True, slots=True)
class Function:
    """What was written of a nest.

    Attributes:
        text: the function.
        pointers: the numbers of the kernel's parameters that it takes, in order.
        dims: the dims that it takes behind them, in order.
        shared: bytes of shared memory of a block.
    """

    text: str
    pointers: tuple[int, ...]
    dims: tuple[str, ...]
    shared: int

    def grid(self, nest: Nest) -> Grid:
        """How it is launched, given all places of the kernel."""
        return Grid(nest.symbol, nest.blocks, nest.threads, self.shared, self.pointers, self.dims)


def emit_nest(nest: Nest, restrict: frozenset[str], controlled: bool, unaligned: frozenset[str]) -> Function:
    """The function that a launch of a nest calls.

    Args:
        nest: of a legal kernel.
        restrict: parameters that share no memory with another one that is written.
        controlled: whether the function looks at the flow of control before it does anything.
        unaligned: parameters that may not lie at a multiple of 16 bytes.

    Raises:
        CompileError: GPUs have no code for what stands in it.
    """
    writer = _Writer(nest, unaligned, "blockIdx.x")
    if controlled:
        writer.body.line(STOPPED)
    writer.write()
    arguments = [*writer.arguments(restrict), *(CONTROLS if controlled else ())]
    head = global_head(nest.symbol, nest.threads, arguments, blocks_at_a_time([nest], nest.threads))
    comment = f"// {nest.blocks} blocks of {nest.threads} threads"
    return writer.function("\n".join([comment, head, *writer.body.lines, "}", ""]))


def emit_part(nest: Nest, name: str, restrict: frozenset[str], unaligned: frozenset[str], threads: int) -> Function:
    """A function that the first threads of a block call, which has more, or just as many.

    It does a nest's work for the block whose number it is given first.
    """
    barrier = "__syncthreads()" if nest.threads == threads else f"sg_sync<{nest.threads}>()"
    writer = _Writer(nest, unaligned, "block_number", barrier)
    writer.write()
    arguments = ["unsigned block_number", *writer.arguments(restrict)]
    return writer.function("\n".join([signature("SG_INLINE void", name, arguments), *writer.body.lines, "}", ""]))


def emit_callee(kernel: Kernel) -> str:
    """The function of a kernel that others call."""
    body = Body(kernel, frozenset(p.name for p in kernel.params))
    body.block(kernel.body)
    arguments = [_pointer(body, p, frozenset()) for p in kernel.params]
    arguments += [f"int {body.names.of(d)}" for d in kernel.dims]
    head = signature("SG_INLINE void", function_name(kernel.name), arguments)
    return "\n".join([head, *body.lines, "}", ""])


def global_head(symbol: str, threads: int, arguments: Sequence[str], blocks: int = 0) -> str:
    """The first line of a function that is launched; it may say how many blocks are to run at a time."""
    bounds = f"{threads}, {blocks}" if blocks else f"{threads}"
    return signature(f'extern "C" __global__ void __launch_bounds__({bounds})', symbol, arguments)


def blocks_at_a_time(nests: Sequence[Nest], threads: int) -> int:
    """How many blocks of a function that does the work of some nests are to run at a time; 0 if it does not matter.

    If they are not told, compilers do not find the best measure. Where a thread keeps many sums, they may take a few
    registers more than half, and then there is nobody to work while a block waits. Where turns of a walk are side by
    side, they rather have all threads that there can be than all loads on their way: half of the threads are enough.
    """
    kept = [_kept(nest) for nest in nests]
    if len(nests) == 1 and _for_two(kept[0], threads):
        return 2
    tiles = max(nest.memory(Space.SHARED) for nest in nests)
    if max(map(sum, kept)) <= _LITTLE and tiles <= _SMALL and any(map(_is_walk, nests)):
        return min(_ENOUGH // threads, _BLOCKS)
    return 0


def _kept(nest: Nest) -> list[int]:
    """Words of the local arrays of a thread."""
    local = (s.buffer for s in nest.statements if isinstance(s, Alloc) and s.buffer.space is Space.LOCAL)
    return [b.size * max(1, b.dtype.itemsize // 4) for b in local if isinstance(b.size, int)]


def _for_two(kept: Sequence[int], threads: int) -> bool:
    """Whether a thread keeps many sums, but not too much in all for two blocks at a time."""
    half = REGISTERS // (2 * threads)
    return threads == _WIDE and max(kept, default=0) >= half // 2 and sum(kept) <= half - _BESIDES


def _is_walk(nest: Nest) -> bool:
    """Whether turns that read memory and add to what a thread has found are side by side."""
    params = {p.name for p in nest.kernel.params}
    loops = (s for s in nest.statements if isinstance(s, For) and s.kind is LoopKind.UNROLLED and s.extent != 1)
    for loop in loops:
        inner = tuple(statements(loop.body))
        loads = [part for stmt in inner if isinstance(stmt, (Let, Store)) for part in walk(stmt.value)]
        reads = any(isinstance(part, Load) and part.buffer in params for part in loads)
        if reads and any(isinstance(s, Store) and s.buffer.startswith(FOUND) for s in inner):
            return True
    return False


def pointer_type(param: Buffer) -> str:
    """The type of a pointer to a parameter."""
    return f"{'const ' if param.role is Role.IN else ''}{memory_type(param.dtype)}*"


def _pointer(body: Body, param: Buffer, restrict: frozenset[str]) -> str:
    alone = "__restrict__ " if param.name in restrict else ""
    return f"{pointer_type(param)} {alone}{body.names.of(param.name)}"


def signature(head: str, name: str, arguments: Sequence[str]) -> str:
    """The first line of a function, or lines."""
    line = f"{head} {name}({', '.join(arguments)}) {{"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{head} {name}(", *(f"    {a}," for a in arguments[:-1]), f"    {arguments[-1]}) {{"])


class _Writer:
    """Writes the body of a function for a nest.

    Args:
        nest: the nest.
        unaligned: parameters that may not lie at a multiple of 16 bytes.
        block: what the number of the block is called, among all blocks of the nest.
        barrier: how threads wait for each other.
    """

    def __init__(self, nest: Nest, unaligned: frozenset[str], block: str, barrier: str = "__syncthreads()") -> None:
        self.nest = nest
        self.block = block
        self.body = Body(nest.kernel, unaligned, barrier)

    def write(self) -> None:
        """Write the statements."""
        self.level((*self.nest.around, self.nest.loop), 0)

    def arguments(self, restrict: frozenset[str]) -> list[str]:
        """What the function takes: of parameters and dims those that occur."""
        body, kernel = self.body, self.nest.kernel
        pointers = [_pointer(body, p, restrict) for p in kernel.params if p.name in body.used]
        return pointers + [f"int {body.names.of(d)}" for d in kernel.dims if d in body.used]

    def function(self, text: str) -> Function:
        """The function, given its text."""
        used, kernel = self.body.used, self.nest.kernel
        pointers = tuple(n for n, p in enumerate(kernel.params) if p.name in used)
        return Function(text, pointers, tuple(d for d in kernel.dims if d in used), self.body.shared)

    def level(self, block: Block, depth: int) -> None:
        """The statements around a loop over blocks or threads, and the loop; at last those within all of them."""
        axes = self.nest.axes
        if depth == len(axes):
            self.body.block(block)
            return
        for stmt in block:
            if stmt is axes[depth]:
                self.axis(axes[depth])
                self.level(axes[depth].body, depth + 1)
            elif isinstance(stmt, (Alloc, Let)):
                self.body.statement(stmt)
            else:
                raise CompileError(
                    "beside a loop over blocks or threads stand only allocs and lets",
                    got=type(stmt).__name__,
                    node=f"@{self.nest.kernel.name}",
                )

    def axis(self, loop: For) -> None:
        """Divide the number of a block or thread out of the one that there is, in which x runs fastest."""
        if loop.var not in used_names(loop.body):
            return
        body = self.body
        alike = (a for a in self.nest.axes if a.kind.is_block == loop.kind.is_block)
        kinds = sorted(alike, key=lambda a: a.kind.value)
        at = kinds.index(loop)
        text = self.block if loop.kind.is_block else "threadIdx.x"
        faster: Size = product(a.extent for a in kinds[:at])
        if faster != 1:
            text = f"{text} / {body.indices.size(faster).within(PRIMARY)}"
        if at + 1 < len(kinds):
            text = f"{text} % {body.indices.size(loop.extent).within(PRIMARY)}"
        body.line(f"const sg_index {body.variable(loop.var)} = {text};")
