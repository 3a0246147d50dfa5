"""Loops for sweeps over several rows at a time, with one accumulator for each row: rows are the lanes of vectors.

This is the way to go down the columns of a matrix, whose neighbours lie side by side, and through rows that are shorter
than a vector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sigmagraph.codegen.templates.keep import keep, used_names
from sigmagraph.codegen.templates.pieces import Instance, accumulator, indices_in, initial, instantiate, nest, slope
from sigmagraph.dims import Dim, Size, names
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.compute import Axis, Compute, Sweep, inner_expressions
from sigmagraph.ir.kernel.expr import Expr, Load, Var, apply, rebuild, walk
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, Let, LoopKind, Stmt, Store

COLUMN_VECTORS = 4  # whose accumulators stay in registers while a strip is gone down
WIDE_STRIP = 1 << 14  # bytes of accumulators of a strip that is taken a row at a time: they stay in the first cache
AT_ONCE = 4  # elements of a column that meet an accumulator in memory each time
KEEP_COLUMN = 256  # elements of a column beyond which nothing of a strip is kept

_At = Callable[[Size], Block]


def column_vectors(compute: Compute, lanes: int) -> int:
    """How many vectors of rows to take at a time; 0 where rows had better be taken one by one."""
    if not compute.axes or _indexes_by_row(compute):
        return 0
    last = compute.axes[-1]
    if isinstance(last.extent, int) and last.extent < lanes:
        return 0
    if any(last.var in names(axis.extent) for axis in compute.inner_axes()):
        return 0  # rows of different lengths
    loads = [e for s in compute.sweeps for w in inner_expressions(s) for e in walk(w) if isinstance(e, Load)]
    steps = [
        slope(index[0], last.var) for index in (*(e.index for e in loads), *(s.index for s in compute.all_stores()))
    ]
    if 1 in steps and all(step in (0, 1) for step in steps):
        return _strip_vectors(compute, last, lanes)
    # Picking elements from short rows costs less than adding up one after the other.
    return int(all(isinstance(a.extent, int) and a.extent < 2 * lanes for a in compute.inner_axes()))


def _strip_vectors(compute: Compute, last: Axis, lanes: int) -> int:
    """Wide strips where one sweep is all: rows are read as they lie, so that memory is read ahead."""
    if not isinstance(last.extent, int):
        return COLUMN_VECTORS
    vectors = last.extent // lanes
    if vectors <= COLUMN_VECTORS or len(compute.sweeps) != 1:
        return min(vectors, COLUMN_VECTORS)
    widest = max((fold.dtype.itemsize for fold in compute.sweeps[0].folds), default=4)
    return min(vectors, WIDE_STRIP // (max(1, len(compute.sweeps[0].folds)) * widest * lanes))


def _indexes_by_row(compute: Compute) -> bool:
    """Whether something that is computed for a row is an index: it is to lie in memory, where nothing bounds it."""
    between = {item.name for s in compute.sweeps for item in s.before} | {item.name for item in compute.lets}
    indexing = {n for e in compute.expressions() for size in indices_in(e) for n in names(size)}
    return not between.isdisjoint(indexing)


def column_nest(compute: Compute, lanes: int, vectors: int) -> Block:
    """The loops; the last axis in strips of so many vectors, then of fewer, of one, of single rows."""
    *outer, last = compute.axes
    buffers: tuple[Buffer, ...] = ()
    if all(isinstance(a.extent, int) and a.extent <= KEEP_COLUMN for a in compute.inner_axes()):
        compute, buffers = keep(compute)
    blocks: list[For] = []
    done: Size = 0
    strips = {lanes * vectors: "%s", lanes * min(vectors, COLUMN_VECTORS): "%m", lanes: "%q", 1: "%z"}
    for width, var in strips.items():
        count = (last.extent - done) // width
        if count != 0:
            strip = _Strip(compute, last, done + width * Dim(var), width, min(width, lanes), var[1:], buffers)
            blocks.append(For(var, count, LoopKind.SERIAL if outer else LoopKind.PARALLEL, strip.block()))
        done = done + width * count
    return nest(outer, tuple(blocks), LoopKind.PARALLEL) if outer else tuple(blocks)


@dataclass(slots=True)
class _Strip:
    """Writes the sweeps over a strip of ``width`` rows from ``start`` on.

    What is computed between sweeps has an element for each row, in local memory; so have accumulators, and so have the
    elements of what is kept from sweep to sweep.
    """

    compute: Compute
    axis: Axis
    start: Size
    width: int
    lanes: int
    tag: str
    kept: tuple[Buffer, ...]
    held: dict[str, tuple[str, DType]] = field(default_factory=dict)  # where results and lets lie

    def block(self) -> Block:
        out: list[Stmt] = [
            Alloc(replace(b, name=f"{b.name}.{self.tag}", shape=(b.size * self.width,))) for b in self.kept
        ]
        wanted = self._wanted()
        for number, sweep in enumerate(self.compute.sweeps):
            out += self._between(f"b{number}", sweep.before, wanted)
            out += self._sweep(number, sweep)
        return (*out, *self._over("f", self._finish))

    def _wanted(self) -> frozenset[str]:
        """The lets between sweeps that a sweep or a later let needs."""
        return frozenset(used_names(self.compute.expressions()))

    def _between(self, kind: str, lets: Sequence[Let], wanted: frozenset[str]) -> Block:
        if not lets:
            return ()
        kept = {item.name: (f"{item.name}.{self.tag}", item.value.dtype) for item in lets if item.name in wanted}

        def body(at: Size) -> Block:
            read, instance = self._instance(lets, at, kind)
            stores = (Store(name, (at,), instance.value(Var(n, dtype))) for n, (name, dtype) in kept.items())
            return (*read, *instance.lets, *stores)

        loops = self._over(kind, body)
        self.held |= kept
        return (*(Alloc(accumulator(name, dtype, self.width)) for name, dtype in kept.values()), *loops)

    def _sweep(self, number: int, sweep: Sweep) -> Block:
        accumulators = {f.result: (f"%acc{number}.{n}.{self.tag}", f.dtype) for n, f in enumerate(sweep.folds)}

        def start(at: Size) -> Block:
            return tuple(Store(accumulators[f.result][0], (at,), initial(f.op, f.dtype)) for f in sweep.folds)

        def step(at: Size, kind: str, indices: Sequence[Mapping[str, Size]] = ({},)) -> Block:
            """One element of each column, or several that are folded before the accumulators are written again."""
            body: list[Stmt] = []
            values: dict[str, Expr] = {name: Load(name, (at,), dtype) for name, dtype in accumulators.values()}
            for turn, place in enumerate(indices):
                read, instance = self._instance(sweep.lets, at, f"{kind}.{turn}", inner_expressions(sweep), place)
                body += [*read, *instance.lets]
                for fold in sweep.folds:
                    name, _ = accumulators[fold.result]
                    values[name] = apply(fold.op, values[name], instance.value(fold.value))
            folds = (Store(name, (at,), value) for name, value in values.items())
            body += [*folds, *(instance.store(s) for s in sweep.stores)]
            return tuple(self._spread(stmt, at) for stmt in body)

        allocs = [Alloc(accumulator(name, dtype, self.width)) for name, dtype in accumulators.values()]
        first = self._over(f"i{number}", start) if sweep.folds else ()
        kind = f"k{number}"
        loops: Block
        if sweep.stores or not self._in_memory():
            loops = nest(sweep.axes, self._over(kind, lambda at: step(at, kind)))
        else:
            *outer, last = sweep.axes
            whole, turn = last.extent // AT_ONCE, Dim(last.var)
            several = [{last.var: AT_ONCE * turn + n} for n in range(AT_ONCE)]
            rest = [{last.var: AT_ONCE * whole + turn}]
            together = For(last.var, whole, LoopKind.SERIAL, self._over(kind, lambda at: step(at, kind, several)))
            left = last.extent - AT_ONCE * whole
            single = self._over(f"r{number}", lambda at: step(at, f"r{number}", rest))
            loops = (together, *((For(last.var, left, LoopKind.SERIAL, single),) if left != 0 else ()))
            loops = nest(outer, loops)
        out = (*allocs, *first, *loops)
        self.held |= accumulators
        return out

    def _in_memory(self) -> bool:
        """Whether there are more accumulators than registers."""
        return self.width // self.lanes > COLUMN_VECTORS

    def _finish(self, at: Size) -> Block:
        read, instance = self._instance(self.compute.lets, at, "f", (s.value for s in self.compute.stores))
        return (*read, *instance.lets, *(instance.store(s) for s in self.compute.stores))

    def _instance(
        self,
        lets: Sequence[Let],
        at: Size,
        kind: str,
        readers: Iterable[Expr] = (),
        place: Mapping[str, Size] | None = None,
    ) -> tuple[Block, Instance]:
        """Lets that bring what is held for a column, and the lets of a region for that column, perhaps at a place."""
        tag = f".{kind}{self.tag}"
        used = dict.fromkeys(used_names([*(item.value for item in lets), *readers]))
        read = [Let(n + tag, Load(self.held[n][0], (at,), self.held[n][1])) for n in used if n in self.held]
        variables: Mapping[str, Expr] = {n: Var(n + tag, self.held[n][1]) for n in used if n in self.held}
        return tuple(read), instantiate(lets, {self.axis.var: self.start + at, **(place or {})}, tag, variables)

    def _spread(self, stmt: Stmt, at: Size) -> Stmt:
        """A statement with the elements of what is kept in the place that belongs to a row."""
        names_kept = {b.name for b in self.kept}

        def visit(expr: Expr) -> Expr:
            if isinstance(expr, Load) and expr.buffer in names_kept:
                return replace(expr, buffer=f"{expr.buffer}.{self.tag}", index=(self.width * expr.index[0] + at,))
            return rebuild(expr, visit)

        match stmt:
            case Let(name, value):
                return Let(name, visit(value))
            case Store(name, (index, *_), value) if name in names_kept:
                return Store(f"{name}.{self.tag}", (self.width * index + at,), visit(value))
            case Store():
                return replace(stmt, value=visit(stmt.value))
            case _:
                return stmt

    def _over(self, kind: str, body: _At) -> Block:
        """A body for every column of the strip."""
        u, v = f"%u{kind}.{self.tag}", f"%v{kind}.{self.tag}"
        inner = For(v, self.lanes, LoopKind.VECTORIZED, body(self.lanes * Dim(u) + Dim(v)))
        count = self.width // self.lanes
        return (For(u, count, LoopKind.SERIAL if self._in_memory() else LoopKind.UNROLLED, (inner,)),)
