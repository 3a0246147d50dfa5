"""What may stand where in a kernel: kinds of loops, allocations, barriers and calls, and what each stage promises.

The loops over blocks and threads of a GPU kernel form nests, each of which is a launch. Beside them stand, before the
kernel is legal, parallel loops, for each iteration of which there will be a thread; all other statements stand inside.
A callee is a plain function: it has loops and LOCAL memory, nothing else. One with warp operations is a function of a
whole warp, all lanes of which call it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise

from sigmagraph.dims import Size, names, product
from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.collective import is_collective
from sigmagraph.ir.kernel.expr import Apply, Expr, Index, Load, Var, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Call,
    For,
    If,
    Kernel,
    KernelStage,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    is_grid,
    is_kernel_name,
    is_local_name,
    statements,
)
from sigmagraph.ir.kernel.printer import statement_error
from sigmagraph.ir.kernel.scalar import SCALARS

WARP = 32
_DIM = re.compile(r"[A-Za-z_][A-Za-z0-9_.]*\Z")


def check_header(kernel: Kernel) -> None:
    """Check names, dims, parameters and callees of a kernel.

    Raises:
        VerifyError: one of them breaks a rule.
    """

    def check(holds: bool, message: str, got: object) -> None:
        if not holds:
            raise VerifyError(message, node=f"@{kernel.name}", got=got)

    params = [p.name for p in kernel.params]
    callees = [c.name for c in kernel.callees]
    check(is_kernel_name(kernel.name), "the name of a kernel is not an identifier", kernel.name)
    check(all(map(_DIM.match, kernel.dims)), "the name of a dim is not an identifier", kernel.dims)
    check(len(set(kernel.dims)) == len(kernel.dims), "a dim stands twice", kernel.dims)
    check(len(set(params)) == len(params), "a parameter stands twice", params)
    check(len({kernel.name, *callees}) == len(callees) + 1, "a callee stands twice", callees)
    for param in kernel.params:
        check(is_local_name(param.name), "the name of a buffer is not % and an identifier", param.name)
        check(param.space is Space.GLOBAL, "a parameter does not lie in global memory", param.name)
        unknown = [n for size in param.shape for n in names(size) if n not in kernel.dims]
        check(not unknown, f"the shape of '{param.name}' speaks of an unknown dim", unknown)
    for number, callee in enumerate(kernel.callees):
        missing = [c.name for c in callee.callees if c not in kernel.callees[:number]]
        check(not missing, f"callees of '@{callee.name}' do not stand before it", missing)


def check_structure(kernel: Kernel) -> None:
    """Check that every statement stands where it may.

    Raises:
        VerifyError: one does not.
    """
    _Structure(kernel).check()


class _Structure:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.grid = [s for s in statements(kernel.body) if is_grid(s)]
        self.launch = self.grid  # the loops of the nest that is looked at

    def check(self) -> None:
        body, varying = self.kernel.body, dict[str, bool]()
        nests = (*map(is_grid, body), *map(_is_parallel, body))
        if not self.grid or sum(nests) != len(body) or len(body) == 1:
            self.nest(body)
            self.block(body, (), varying)
            return
        for stmt in body:
            self.launch = [s for s in statements((stmt,)) if is_grid(s)]
            self.nest((stmt,))
            self.block((stmt,), (), varying)

    def fail(self, stmt: Stmt, message: str, *, expected: object = None, got: object = None) -> VerifyError:
        return statement_error(self.kernel, stmt, message, expected=expected, got=got)

    def nest(self, block: Block) -> None:
        inner = [s for s in block if any(map(is_grid, statements((s,))))]
        for stmt in block if inner else ():
            if not isinstance(stmt, (Alloc, Let)) and not (stmt is inner[0] and is_grid(stmt)):
                raise self.fail(stmt, "beside a loop over blocks or threads stand only allocs and lets")
        if inner and isinstance(inner[0], For):
            self.nest(inner[0].body)

    def block(self, block: Block, path: Sequence[Stmt], varying: dict[str, bool]) -> None:
        """Check a block.

        Args:
            block: its statements.
            path: loops and conditions around it, outer first.
            varying: names whose values may differ between threads or lanes.
        """
        varying = dict(varying)
        for stmt in block:
            self.scalar_ops(stmt, path, varying)
            match stmt:
                case For(var, extent, kind, body):
                    self.loop(stmt, path)
                    self.uniform(stmt, (extent,), path, varying)
                    varying[var] = kind.is_thread or kind is LoopKind.VECTORIZED or _varies(extent, varying)
                    self.block(body, (*path, stmt), varying)
                case If(conditions, then, orelse):
                    self.uniform(stmt, conditions, path, varying)
                    self.block(then, (*path, stmt), varying)
                    self.block(orelse, (*path, stmt), varying)
                case Let(name, value):
                    varying[name] = any(_part_varies(part, varying) for part in walk(value))
                case Alloc():
                    self.alloc(stmt, path)
                case Barrier():
                    self.together(stmt, path, varying)
                case Call():
                    self.call(stmt, path, varying)

    def loop(self, stmt: For, path: Sequence[Stmt]) -> None:
        kind = stmt.kind
        outside = [s.kind for s in path if isinstance(s, For)]
        if kind is LoopKind.UNROLLED and self.kernel.stage is KernelStage.LEGAL and not self.grid:
            raise self.fail(stmt, "a legal kernel for a processor has no unrolled loops")
        constant = kind in (LoopKind.UNROLLED, LoopKind.VECTORIZED) or kind.is_thread
        if constant and not isinstance(stmt.extent, int):
            raise self.fail(stmt, f"the extent of a loop that is {kind.value} is a constant", got=stmt.extent)
        if kind is LoopKind.VECTORIZED and LoopKind.VECTORIZED in outside:
            self.transposition(stmt, path)
        if kind is LoopKind.PARALLEL and LoopKind.VECTORIZED in outside:
            raise self.fail(stmt, f"a loop that is {kind.value} stands inside one that is vectorized")
        if kind is LoopKind.PARALLEL and any(k is kind or k.is_block or k.is_thread for k in outside):
            raise self.fail(stmt, "a parallel loop stands inside another one, or inside one over blocks")
        if kind is LoopKind.PARALLEL and self.grid and self.kernel.stage is KernelStage.LEGAL:
            raise self.fail(stmt, "a legal kernel has parallel loops, or loops over blocks")
        if is_grid(stmt):
            self.axis(stmt, outside)

    def transposition(self, stmt: For, path: Sequence[Stmt]) -> None:
        """Two vectorized loops turn a square: vectors along the outer one are stored along the inner one."""
        if not _turns(path[-1], stmt):
            raise self.fail(
                stmt,
                "a vectorized loop stands inside one that is vectorized",
                expected="lets and one store, whose place they do not decide, inside two loops of the same extent",
            )

    def uniform(self, stmt: Stmt, sizes: Sequence[Size], path: Sequence[Stmt], varying: dict[str, bool]) -> None:
        """The lanes of a legal vectorized loop take the same way."""
        if self.kernel.stage is KernelStage.LEGAL and _is_vectorized(path) and any(_varies(s, varying) for s in sizes):
            raise self.fail(stmt, "the lanes of a vectorized loop take different ways")

    def axis(self, stmt: For, outside: Sequence[LoopKind]) -> None:
        if stmt.kind in outside:
            raise self.fail(stmt, f"{stmt.kind.value} is bound twice")
        if stmt.kind.is_block and any(kind.is_thread for kind in outside):
            raise self.fail(stmt, "a loop over blocks stands inside one over threads")
        unknown = [n for n in names(stmt.extent) if n not in self.kernel.dims]
        if unknown:
            raise self.fail(stmt, "the extent of a launch speaks of dims only", got=unknown)

    def alloc(self, stmt: Alloc, path: Sequence[Stmt]) -> None:
        buffer = stmt.buffer
        loops = [s for s in path if isinstance(s, For)]
        if buffer.role is not Role.TEMP or buffer.space is Space.GLOBAL:
            raise self.fail(stmt, "what is allocated is temp, and local, scratch or shared")
        if _is_vectorized(path):
            raise self.fail(stmt, "a vectorized loop allocates nothing")
        if buffer.space is not Space.SCRATCH and not all(isinstance(s, int) for s in buffer.shape):
            raise self.fail(stmt, f"the shape of {buffer.space.value} memory is constant", got=buffer.shape)
        if any(n not in self.kernel.dims for s in buffer.shape for n in names(s)):
            raise self.fail(stmt, "the shape of scratch memory speaks of dims only", got=buffer.shape)
        if buffer.space is Space.SCRATCH and self.grid:
            raise self.fail(stmt, "a GPU kernel has no scratch memory")
        if buffer.space is Space.LOCAL and sum(map(is_grid, loops)) < len(self.launch):
            raise self.fail(stmt, "local memory of a GPU kernel belongs to a thread")
        if buffer.space is Space.SHARED and (not self.grid or any(loop.kind.is_thread for loop in loops)):
            raise self.fail(stmt, "shared memory is allocated in a GPU kernel, outside of the loop over threads")

    def together(self, stmt: Stmt, path: Sequence[Stmt], varying: dict[str, bool]) -> None:
        """All threads of a block must come to this statement, equally often."""
        concurrent = any(map(_is_parallel, path))
        # Then the kernel is a function that lanes call; what they call it with may differ between them.
        of_warp = not self.grid and not concurrent and not isinstance(stmt, Barrier)
        if not of_warp and not any(isinstance(s, For) and s.kind.is_thread for s in path):
            raise self.fail(stmt, "there are no threads to wait for", expected="a loop over threads around it")
        for number, outer in enumerate(path):
            if isinstance(outer, If) and (of_warp or not self.alone(outer, path[:number], varying)):
                raise self.fail(stmt, "threads wait for each other under a condition", got=f"'{outer.conditions}'")
            if not isinstance(outer, For):
                continue
            differs = outer.kind is LoopKind.VECTORIZED or _varies(outer.extent, varying)
            if differs or (of_warp and names(outer.extent)):
                raise self.fail(
                    stmt, "threads wait for each other in a loop that may differ between them", got=outer.var
                )

    def alone(self, stmt: If, path: Sequence[Stmt], varying: dict[str, bool]) -> bool:
        """Whether a condition holds in all threads of a block or in none, and is about all that they do."""
        if stmt.orelse or any(_varies(c, varying) for c in stmt.conditions):
            return False
        around = (*path, stmt)
        inner = (pair for pair in pairwise(around) if not all(map(is_grid, pair)))
        return all(isinstance(a, (For, If)) and _whole(a) == (b,) for a, b in inner)

    def call(self, stmt: Call, path: Sequence[Stmt], varying: dict[str, bool]) -> None:
        if _is_vectorized(path):
            raise self.fail(stmt, "a vectorized loop calls nothing")
        callee = self.kernel.callee(stmt.kernel)
        if self.kernel.stage is KernelStage.LEGAL and callee.stage is not KernelStage.LEGAL:
            raise self.fail(stmt, "the callee of a legal kernel is not legal", got=callee.stage.value)
        if is_collective(callee.body, callee):
            self.together(stmt, path, varying)
            self.full_warps(stmt)
        for inner in statements(callee.body):
            concurrent = isinstance(inner, For) and (inner.kind is LoopKind.PARALLEL or is_grid(inner))
            concurrent = concurrent or isinstance(inner, Barrier)
            if concurrent or (isinstance(inner, Alloc) and inner.buffer.space is not Space.LOCAL):
                raise statement_error(
                    callee, inner, "a callee has no parallel loops and no barriers, and allocates local memory only"
                )

    def scalar_ops(self, stmt: Stmt, path: Sequence[Stmt], varying: dict[str, bool]) -> None:
        for value in _values(stmt):
            for part in walk(value):
                if not isinstance(part, Apply) or part.op not in SCALARS:
                    continue
                op = SCALARS[part.op]
                if self.kernel.stage is KernelStage.LEGAL and not op.primitive:
                    raise self.fail(stmt, f"a legal kernel has no '{op.name}'", expected="primitive scalar ops")
                if op.lanes:
                    self.together(stmt, path, varying)
                    self.warp(stmt, part is value and isinstance(stmt, Let))

    def warp(self, stmt: Stmt, alone: bool) -> None:
        if not alone:
            raise self.fail(stmt, "a warp operation stands alone as the value of a let")
        self.full_warps(stmt)

    def full_warps(self, stmt: Stmt) -> None:
        threads = product(s.extent for s in self.launch if s.kind.is_thread)
        if self.launch and isinstance(threads, int) and threads % WARP:
            raise self.fail(stmt, "not all warps are full", expected=f"a multiple of {WARP} threads", got=threads)


def _whole(stmt: For | If) -> Block:
    """All that a loop or a condition without another way is around, but for what touches no memory."""
    body = stmt.body if isinstance(stmt, For) else stmt.then
    return tuple(s for s in body if not (isinstance(s, Alloc) or (isinstance(s, Let) and isinstance(s.value, Index))))


def _is_parallel(stmt: Stmt) -> bool:
    return isinstance(stmt, For) and stmt.kind is LoopKind.PARALLEL


def _is_vectorized(path: Sequence[Stmt]) -> bool:
    return any(isinstance(s, For) and s.kind is LoopKind.VECTORIZED for s in path)


def _values(stmt: Stmt) -> Iterator[Expr]:
    if isinstance(stmt, (Let, Store)):
        yield stmt.value


def _varies(size: Size, varying: dict[str, bool]) -> bool:
    return any(varying.get(n, False) for n in names(size))


def _part_varies(part: Expr, varying: dict[str, bool]) -> bool:
    match part:
        case Var(name, _):
            return varying.get(name, False)
        case Index(value):
            return _varies(value, varying)
        case Load():
            return True
        case Apply(op, _, _):
            return op in SCALARS and SCALARS[op].lanes
        case _:
            return False


def _turns(outer: Stmt, inner: For) -> bool:
    """Whether two loops around a square hold lets and a store to a place that these lets have no say in."""
    if not isinstance(outer, For) or (outer.kind, outer.extent) != (LoopKind.VECTORIZED, inner.extent):
        return False
    *before, last = outer.body
    *lets, store = inner.body or (inner,)
    around = (*before, *lets)
    if last is not inner or not all(isinstance(s, Let) for s in around) or not isinstance(store, Store):
        return False
    own = {s.name for s in around if isinstance(s, Let)}
    return all(own.isdisjoint(names(size)) for size in (*store.index, *store.guard))
