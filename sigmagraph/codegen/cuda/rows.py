"""Sweeps over rows by groups of threads: each adds up a share, and the group combines what its threads have.

The order in which numbers are combined depends on sizes only. A group that is a part of a warp exchanges values by
shuffles; a larger one, and one whose threads stand in different warps, by shared memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from sigmagraph.codegen.cuda.ahead import FOUND, around, side_by_side, turns
from sigmagraph.codegen.cuda.elementwise import VECTOR_BYTES, divides
from sigmagraph.codegen.cuda.numbers import digits_of
from sigmagraph.codegen.cuda.threads import THREADS
from sigmagraph.codegen.templates.keep import KEEP_COST, keep
from sigmagraph.codegen.templates.pieces import accumulator, initial, instantiate, slope
from sigmagraph.codegen.transform.rename import copy_block
from sigmagraph.dims import Dim, Size, ceildiv, divide_exact, product, substitute
from sigmagraph.dtypes import BF16, BOOL, F16, F32, I8, I16, I32, U8
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep, inner_expressions
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load, Var, apply, cast, rebuild, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Block,
    Buffer,
    For,
    If,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
)

WARP = 32
WIDER = (512, 1024)  # threads of a row that is too long for registers of the usual number of threads
MOST_WORDS = 40  # that a thread keeps of a row, beside which some twenty registers are in use
NARROW = {BOOL: I32, I8: I32, U8: I32, I16: I32, F16: F32, BF16: F32}  # what shuffles take, for what they do not


@dataclass(frozen=True, slots=True)
class Groups:
    """How a block is cut into groups of threads.

    Attributes:
        rows: rows of a block.
        threads: of a group, which has one row.
        across: whether neighbouring threads have neighbouring rows, and not neighbouring elements of a row.
    """

    rows: int
    threads: int
    across: bool = False


def rows_nest(compute: Compute, groups: Groups) -> For:
    """The launch of a flat compute with sweeps."""
    return _kept(compute, groups).nest()


def _kept(compute: Compute, groups: Groups) -> _Rows:
    """What several sweeps read or compute alike is kept in registers, where there is room for it.

    Rows that are too long for that are cut into more parts, as far as blocks go.
    """
    if len(compute.sweeps) > 1:
        changed, buffers = keep(compute, load=KEEP_COST)
        wider = WIDER if groups.rows == 1 and groups.threads == THREADS else ()
        for threads in (groups.threads, *wider):
            rows = _Rows(changed, replace(groups, threads=threads))
            if all(map(rows.keep, buffers)) and rows.words <= MOST_WORDS:
                return rows
    return _Rows(compute, groups)


def rows_by_warps(compute: Compute, threads: int, thread: str) -> Block:
    """What a thread of a block does that has all rows of a flat compute with sweeps: every warp has one at a time.

    Args:
        compute: what is computed.
        threads: of the block.
        thread: the loop variable that counts them.
    """
    warps = threads // WARP
    extents = [axis.extent for axis in compute.axes]
    number = warps * Dim("%some") + Dim(thread) // WARP
    guard = () if divide_exact(product(extents), warps) is not None else (product(extents) - 1 - number,)
    lets: Block = ()
    place: dict[str, Size] = {}
    if len(extents) == 1:
        place = {compute.axes[0].var: number}
    elif extents:
        place = digits_of(Dim("%number"), compute.axes)
        lets = (Let("%number", Index(number)),)
    rows = _Rows(compute, Groups(warps, WARP), ahead=False)
    body = copy_block(rows.group(place, guard), {"%lane": Dim(thread) % WARP}, str)
    return (For("%some", ceildiv(product(extents), warps), LoopKind.SERIAL, (*lets, *body)),)


@dataclass(slots=True)
class _Rows:
    """Writes the launch.

    Attributes:
        compute: what is computed.
        groups: by which threads.
        shared: memory through which threads speak.
        local: registers in which a thread keeps its share of what later sweeps need, by the name of the buffer.
        unrolled: how many elements, or vectors, a thread has at most along axes of which something is kept.
        ahead: whether turns of a walk are side by side; not where much else takes registers.
    """

    compute: Compute
    groups: Groups
    shared: list[Buffer] = field(default_factory=list)
    local: dict[str, Buffer] = field(default_factory=dict)
    unrolled: dict[Axis, int] = field(default_factory=dict)
    ahead: bool = True

    def keep(self, buffer: Buffer) -> bool:
        """Keep what belongs in a buffer in registers, if it is known how much that is."""
        axes = next(s.axes for s in self.compute.sweeps if any(t.buffer == buffer.name for t in s.stores))
        if len(axes) > 1 or not isinstance(axes[0].extent, int):
            return False
        lanes = self.lanes(next(s for s in self.compute.sweeps if s.axes == axes))
        each = -(-axes[0].extent // (lanes * self.groups.threads))
        self.local[buffer.name] = replace(buffer, shape=(each * lanes,), space=Space.LOCAL)
        self.unrolled[axes[0]] = each
        return True

    @property
    def words(self) -> int:
        """How many words a thread keeps at most between two sweeps."""
        between = [0] * len(self.compute.sweeps)
        for buffer in self.local.values():
            found = [n for n, s in enumerate(self.compute.sweeps) if _speaks(s, buffer.name)]
            for number in range(found[0], found[-1]):
                size = product(buffer.shape)
                assert isinstance(size, int)
                between[number] += size * max(4, buffer.dtype.itemsize) // 4
        return max(between)

    @property
    def lane(self) -> Size:
        """Which thread of its group one is."""
        return Dim("%lane") if self.groups.threads > 1 else 0

    def nest(self) -> For:
        *outer, row = self.compute.axes or (Axis("%row", 1),)
        groups = self.groups
        inside = Dim("%in") if groups.rows > 1 else 0
        extents = [axis.extent for axis in outer]
        place = digits_of(Dim("%outer"), outer)
        place[row.var] = at = groups.rows * Dim("%block") + inside
        even = groups.rows == 1 or divide_exact(row.extent, groups.rows) is not None
        guard = () if even else (row.extent - 1 - at,)
        body = self.threads(self.group(place, guard))
        nest = For("%block", ceildiv(row.extent, groups.rows), LoopKind.BLOCK_X, (*map(Alloc, self.shared), *body))
        return For("%outer", product(extents), LoopKind.BLOCK_Y, (nest,)) if outer else nest

    def threads(self, body: Block) -> Block:
        """The loops over the threads of a block."""
        loops = [("%in", self.groups.rows), ("%lane", self.groups.threads)]
        if self.groups.across:
            loops.reverse()
        (slow, slow_count), (fast, fast_count) = loops
        if fast_count > 1 or slow_count == 1:
            body = (For(fast, fast_count, LoopKind.THREAD_X, body),)
        return (For(slow, slow_count, LoopKind.THREAD_Y, body),) if slow_count > 1 else body

    def group(self, place: dict[str, Size], guard: tuple[Size, ...]) -> Block:
        """What a thread does for the row at a place, which need not exist."""
        out: list[Stmt] = [*map(Alloc, self.local.values())]
        variables: dict[str, Expr] = {}
        indices = dict(place)
        waits = False
        for number, sweep in enumerate(self.compute.sweeps):
            before = instantiate(_guarded(sweep.before, guard), indices, "", variables)
            out += before.lets
            variables.update(before.variables)
            indices.update(before.indices)
            out += self.sweep(number, sweep, indices, variables, guard)
            waits = not sweep.folds
        end = instantiate(_guarded(self.compute.lets, guard), indices, "", variables)
        out += end.lets
        stores = tuple(end.store(_guarded_store(s, guard)) for s in self.compute.stores)
        if stores:
            first = (*((-1 * self.lane,) if self.groups.threads > 1 else ()), *guard)
            # A result may lie over an operand that the other threads have yet to read.
            out += [Barrier()] if waits and self.groups.threads > 1 else []
            out += [If(first, stores)] if first else stores
        return tuple(out)

    def sweep(
        self, number: int, sweep: Sweep, indices: dict[str, Size], variables: dict[str, Expr], guard: tuple[Size, ...]
    ) -> Block:
        """A walk over a row; its results are lets behind it."""
        lanes = self.lanes(sweep)
        out: list[Stmt] = []
        names = [f"{FOUND}{number}.{at}" for at in range(len(sweep.folds))]
        for name, fold in zip(names, sweep.folds, strict=True):
            out.append(Alloc(accumulator(name, fold.dtype, lanes)))
            fill = Store(name, (Dim("%f"),), initial(fold.op, fold.dtype))
            out.append(For("%f", lanes, LoopKind.UNROLLED, (fill,)))
        loops = self.walk(sweep, lanes, names, indices, variables)
        out += [If(guard, loops)] if guard else loops
        for at, (name, fold) in enumerate(zip(names, sweep.folds, strict=True)):
            own = self.own(name, fold, lanes, f"%p{number}.{at}", out)
            out += self.combined(fold, own, f"{number}.{at}")
            variables[fold.result] = Var(fold.result, fold.dtype)
            indices[fold.result] = Dim(fold.result)
        return tuple(out)

    def walk(
        self,
        sweep: Sweep,
        lanes: int,
        names: Sequence[str],
        indices: dict[str, Size],
        variables: dict[str, Expr],
    ) -> Block:
        """The loops over a thread's share of the row."""
        threads = self.groups.threads
        axes = [Axis(a.var, substitute(a.extent, indices)) for a in sweep.axes]
        place: dict[str, Size] = {}
        outer: list[Axis] = []
        count: Size = 1
        if axes:
            *outer, last = axes
            if isinstance(last.extent, int) and last.extent < threads and outer and not sweep.stores:
                # The threads are more than a line has elements: lines are walked over as one.
                count = product(a.extent for a in axes)
                place = digits_of(threads * Dim("%k") + self.lane, axes)
                outer = []
            else:
                count = last.extent if lanes == 1 else divide_exact(last.extent, lanes) or 0
                at = threads * Dim("%k") + self.lane
                place = {last.var: at if lanes == 1 else lanes * at + Dim("%v")}
        body = self.element(sweep, lanes, names, {**indices, **place}, variables)
        many = turns(sweep, lanes, sweep.axes[-1].var) if axes and self.ahead else 1
        if sweep.axes and sweep.axes[0] in self.unrolled:
            if divide_exact(count, threads) is None:
                body = (If((count - 1 - threads * Dim("%k") - self.lane,), body),)
            body = (For("%k", self.unrolled[sweep.axes[0]], LoopKind.UNROLLED, body),)
        elif axes and many > 1:
            body = side_by_side("%k", count, many, body, threads, self.lane)
        elif axes:
            share = ceildiv(count - self.lane, threads) if divide_exact(count, threads) is None else count // threads
            body = (For("%k", share, LoopKind.SERIAL, body),)
        elif threads > 1 and sweep.folds:
            body = (If((-1 * self.lane,), body),)
        return around(outer, body, many, ceildiv(count, threads))

    def element(
        self,
        sweep: Sweep,
        lanes: int,
        names: Sequence[str],
        indices: dict[str, Size],
        variables: dict[str, Expr],
    ) -> Block:
        instance = instantiate(sweep.lets, indices, "", variables)
        lane: Size = Dim("%v") if lanes > 1 else 0
        body: list[Stmt] = [*instance.lets]
        for name, fold in zip(names, sweep.folds, strict=True):
            value = apply(fold.op, Load(name, (lane,), fold.dtype), instance.value(fold.value))
            body.append(Store(name, (lane,), value))
        body += (instance.store(s) for s in sweep.stores)
        if self.local:
            body = [self.moved(stmt, (lanes * Dim("%k") + lane,)) for stmt in body]
        return (For("%v", lanes, LoopKind.VECTORIZED, tuple(body)),) if lanes > 1 else tuple(body)

    def moved(self, stmt: Stmt, at: tuple[Size]) -> Stmt:
        """A let or a store, with what is kept at a place in registers."""

        def visit(expr: Expr) -> Expr:
            if isinstance(expr, Load) and expr.buffer in self.local:
                return Load(expr.buffer, at, expr.dtype)
            return rebuild(expr, visit)

        if isinstance(stmt, Let):
            return Let(stmt.name, visit(stmt.value))
        assert isinstance(stmt, Store)
        return Store(stmt.buffer, at if stmt.buffer in self.local else stmt.index, visit(stmt.value), stmt.guard)

    def own(self, name: str, fold: Fold, lanes: int, let: str, out: list[Stmt]) -> Var:
        """What a thread has found."""
        value: Expr = Load(name, (0,), fold.dtype)
        for lane in range(1, lanes):
            value = apply(fold.op, value, Load(name, (lane,), fold.dtype))
        out.append(Let(let, value))
        return Var(let, fold.dtype)

    def combined(self, fold: Fold, own: Var, tag: str) -> Block:
        """What the threads of a group have found together, known to all of them."""
        groups = self.groups
        if groups.across and groups.threads > 1:
            return self.by_memory(fold, own, tag, groups.threads, self.lane)
        out: list[Stmt] = []
        wide = NARROW.get(fold.dtype, fold.dtype)
        value = own
        distance = min(groups.threads, WARP) // 2
        while distance:
            out.append(Let(f"%w{tag}.{distance}", cast(value, wide)))
            other = f"%x{tag}.{distance}"
            out.append(Let(other, apply("shuffle_xor", Var(f"%w{tag}.{distance}", wide), Const(distance, I32))))
            mine = apply(fold.op, value, cast(Var(other, wide), fold.dtype))
            value = Var(f"%y{tag}.{distance}", fold.dtype)
            out.append(Let(value.name, mine))
            distance //= 2
        if groups.threads > WARP:
            return (*out, *self.by_memory(fold, value, tag, groups.threads // WARP, Dim("%lane") // WARP))
        return (*out, Let(fold.result, value))

    def by_memory(self, fold: Fold, value: Var, tag: str, count: int, number: Size) -> Block:
        """Values number 0 .. count - 1 of each row combined in order; of a warp the first thread writes its value."""
        rows = self.groups.rows
        buffer = Buffer(f"%shared{tag}", fold.dtype, (count * rows,), Role.TEMP, Space.SHARED)
        self.shared.append(buffer)
        inside: Size = Dim("%in") if rows > 1 else 0
        guard: tuple[Size, ...] = () if self.groups.across else (WARP * (Dim("%lane") // WARP) - Dim("%lane"),)
        write = Store(buffer.name, (number * rows + inside,), value)
        whole: Expr = Load(buffer.name, (inside,), fold.dtype)
        for other in range(1, count):
            whole = apply(fold.op, whole, Load(buffer.name, (other * rows + inside,), fold.dtype))
        return (If(guard, (write,)) if guard else write, Barrier(), Let(fold.result, whole))

    def lanes(self, sweep: Sweep) -> int:
        """How many neighbours a thread takes at a time: as many as a vector holds, where they lie in whole ones."""
        if self.groups.across or not sweep.axes:
            return 1
        last = sweep.axes[-1]
        alike = [s for s in self.compute.sweeps if s.axes and s.axes[-1] == last]
        loads = [e for s in alike for whole in inner_expressions(s) for e in walk(whole) if isinstance(e, Load)]
        stores = [store for s in alike for store in s.stores]
        widest = max((e.dtype.itemsize for e in loads), default=4)
        lanes = VECTOR_BYTES // max(4, widest)
        if divide_exact(last.extent, lanes) is None:
            return 1
        if isinstance(last.extent, int) and last.extent < lanes * self.groups.threads:
            return 1

        def whole(index: Size) -> bool:
            return slope(index, last.var) == 1 and divides(lanes, substitute(index, {last.var: 0}))

        vectors = any(whole(e.index[0]) for e in loads) and all(not s.guard and whole(s.index[0]) for s in stores)
        return lanes if vectors else 1


def _speaks(sweep: Sweep, buffer: str) -> bool:
    """Whether a sweep stores or reads elements of a buffer."""
    loads = (e for whole in inner_expressions(sweep) for e in walk(whole) if isinstance(e, Load))
    return any(s.buffer == buffer for s in sweep.stores) or any(e.buffer == buffer for e in loads)


def _guarded(lets: Sequence[Let], guard: tuple[Size, ...]) -> tuple[Let, ...]:
    """Lets that read nothing for a row that does not exist."""
    return tuple(Let(item.name, _guarded_expr(item.value, guard)) for item in lets) if guard else tuple(lets)


def _guarded_expr(expr: Expr, guard: tuple[Size, ...]) -> Expr:
    if isinstance(expr, Load):
        return Load(expr.buffer, expr.index, expr.dtype, (*expr.guard, *guard))
    return rebuild(expr, lambda e: _guarded_expr(e, guard))


def _guarded_store(store: Store, guard: tuple[Size, ...]) -> Store:
    return Store(store.buffer, store.index, _guarded_expr(store.value, guard), store.guard)
