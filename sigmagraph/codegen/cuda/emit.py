"""Writes legal GPU kernels as CUDA C: a function for each nest of loops over blocks and threads."""

from __future__ import annotations

from collections.abc import Sequence

from sigmagraph.codegen.cuda.body import Body
from sigmagraph.codegen.cuda.lanes import used_names
from sigmagraph.codegen.cuda.names import function_name
from sigmagraph.codegen.cuda.types import PRIMARY, memory_type
from sigmagraph.dims import Size, product
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.expr import Load, walk
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, Kernel, Let, Role, Stmt, is_grid, statements
from sigmagraph.ir.launch import Grid

_WIDTH = 120
_STOPPED = "if (flow[0] != 0 || flow[level] == 0) return;"


def emit_kernel(
    kernel: Kernel, restrict: frozenset[str], controlled: bool, unaligned: frozenset[str] = frozenset()
) -> tuple[str, tuple[Grid, ...]]:
    """The functions of a kernel, and how they are launched, in order.

    Args:
        kernel: a legal one; its body is a sequence of nests over blocks and threads.
        restrict: parameters that share no memory with another one that is written.
        controlled: whether functions look at the flow of control before they do anything.
        unaligned: parameters that may not lie at a multiple of 16 bytes.

    Raises:
        CompileError: GPUs have no code for what stands in it.
    """
    before: list[Stmt] = []
    nests: list[tuple[Block, For]] = []
    for stmt in kernel.body:
        if is_grid(stmt):
            assert isinstance(stmt, For)
            nests.append((_needed(kernel, before, stmt), stmt))
        elif isinstance(stmt, (Alloc, Let)):
            before.append(stmt)
        else:
            raise CompileError(
                "a statement of a GPU kernel stands outside of all loops over blocks and threads",
                got=type(stmt).__name__,
                node=f"@{kernel.name}",
            )
    name = function_name(kernel.name)
    texts, grids = [], []
    for number, (around, loop) in enumerate(nests):
        nest = _Nest(kernel, unaligned, name if len(nests) == 1 else f"{name}_{number}")
        texts.append(nest.write(around, loop, restrict, controlled))
        grids.append(nest.grid())
    return "\n".join(texts), tuple(grids)


def emit_callee(kernel: Kernel) -> str:
    """The function of a kernel that others call."""
    body = Body(kernel, frozenset(p.name for p in kernel.params))
    body.block(kernel.body)
    arguments = [_pointer(body, p, frozenset()) for p in kernel.params]
    arguments += [f"int {body.names.of(d)}" for d in kernel.dims]
    head = _signature("SG_INLINE void", function_name(kernel.name), arguments)
    return "\n".join([head, *body.lines, "}", ""])


def _needed(kernel: Kernel, before: Sequence[Stmt], nest: For) -> Block:
    """What a nest needs of the lets and allocs before it, in order."""
    used = used_names((nest,))
    needed: list[Stmt] = []
    read_only = [p.name for p in kernel.params if p.role is Role.IN]
    for stmt in reversed(before):
        if isinstance(stmt, Let) and stmt.name in used:
            if any(isinstance(e, Load) and e.buffer not in read_only for e in walk(stmt.value)):
                raise CompileError("a let outside of all nests reads what they write", got=stmt.name)
            used |= used_names((stmt,))
            needed.append(stmt)
        elif isinstance(stmt, Alloc) and stmt.buffer.name in used:
            needed.append(stmt)
    return tuple(reversed(needed))


def _pointer(body: Body, param: Buffer, restrict: frozenset[str]) -> str:
    const = "const " if param.role is Role.IN else ""
    alone = "__restrict__ " if param.name in restrict else ""
    return f"{const}{memory_type(param.dtype)}* {alone}{body.names.of(param.name)}"


def _signature(head: str, name: str, arguments: Sequence[str]) -> str:
    line = f"{head} {name}({', '.join(arguments)}) {{"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([f"{head} {name}(", *(f"    {a}," for a in arguments[:-1]), f"    {arguments[-1]}) {{"])


class _Nest:
    """One nest, which becomes a function."""

    def __init__(self, kernel: Kernel, unaligned: frozenset[str], symbol: str) -> None:
        self.kernel = kernel
        self.symbol = symbol
        self.body = Body(kernel, unaligned)
        self.axes: list[For] = []

    def write(self, around: Block, loop: For, restrict: frozenset[str], controlled: bool) -> str:
        self.axes = [s for s in statements((loop,)) if isinstance(s, For) and is_grid(s)]
        body = self.body
        if controlled:
            body.line(_STOPPED)
        self.level((*around, loop), 0)
        blocks, threads = self.extent(block=True), self.extent(block=False)
        arguments = [_pointer(body, p, restrict) for p in self.kernel.params if p.name in body.used]
        arguments += [f"int {body.names.of(d)}" for d in self.kernel.dims if d in body.used]
        arguments += ["int* flow", "int level"] if controlled else []
        head = f'extern "C" __global__ void __launch_bounds__({threads})'
        comment = f"// {blocks} blocks of {threads} threads"
        return "\n".join([comment, _signature(head, self.symbol, arguments), *body.lines, "}", ""])

    def grid(self) -> Grid:
        threads = self.extent(block=False)
        assert isinstance(threads, int)
        used = self.body.used
        buffers = tuple(n for n, p in enumerate(self.kernel.params) if p.name in used)
        dims = tuple(d for d in self.kernel.dims if d in used)
        return Grid(self.symbol, self.extent(block=True), threads, self.body.shared, buffers, dims)

    def extent(self, block: bool) -> Size:
        """How many blocks or threads there are."""
        return product(a.extent for a in self.axes if a.kind.is_block == block)

    def level(self, block: Block, depth: int) -> None:
        """The statements around a loop over blocks or threads, and the loop; at last those within all of them."""
        if depth == len(self.axes):
            self.body.block(block)
            return
        for stmt in block:
            if stmt is self.axes[depth]:
                self.axis(self.axes[depth])
                self.level(self.axes[depth].body, depth + 1)
            elif isinstance(stmt, (Alloc, Let)):
                self.body.statement(stmt)
            else:
                raise CompileError(
                    "beside a loop over blocks or threads stand only allocs and lets",
                    got=type(stmt).__name__,
                    node=f"@{self.kernel.name}",
                )

    def axis(self, loop: For) -> None:
        """Divide the number of a block or thread out of the one that there is, in which x runs fastest."""
        if loop.var not in used_names(loop.body):
            return
        body = self.body
        kinds = sorted((a for a in self.axes if a.kind.is_block == loop.kind.is_block), key=lambda a: a.kind.value)
        at = kinds.index(loop)
        text = "blockIdx.x" if loop.kind.is_block else "threadIdx.x"
        faster = product(a.extent for a in kinds[:at])
        if faster != 1:
            text = f"{text} / {body.indices.size(faster).within(PRIMARY)}"
        if at + 1 < len(kinds):
            text = f"{text} % {body.indices.size(loop.extent).within(PRIMARY)}"
        body.line(f"const sg_index {body.variable(loop.var)} = {text};")
