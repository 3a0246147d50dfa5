"""Loops for sweeps over rows: the innermost axis in vectors, with vector accumulators for what is reduced.

The order in which numbers are combined depends on the sizes only, never on the number of threads: lanes and unrolled
accumulators form a fixed tree.
"""

from __future__ import annotations

from dataclasses import dataclass

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.columns import column_nest, column_vectors
from sigmagraph.codegen.templates.keep import keep, keep_in_results
from sigmagraph.codegen.templates.pieces import (
    accumulator,
    element_type,
    initial,
    instantiate,
    nest,
    slope,
    vector_loop,
)
from sigmagraph.codegen.templates.split import Split, split
from sigmagraph.dims import Dim, Size
from sigmagraph.ir.kernel.compute import Axis, Compute, Fold, Sweep, inner_expressions
from sigmagraph.ir.kernel.expr import Apply, Load, apply, walk
from sigmagraph.ir.kernel.kernel import Alloc, Block, For, Kernel, KernelStage, Let, LoopKind, Stmt, Store
from sigmagraph.ir.kernel.scalar import SCALARS

ROW_ACCUMULATORS = 4
DEAR_BODY = 12


def sweep_kernel(compute: Compute, machine: Machine, *, serial: bool = False) -> Kernel:
    """The scheduled kernel of a flat compute with sweeps; ``serial`` where it is a part of one task."""
    parts = Split((compute,)) if serial else split(compute)
    body: Block = ()
    for part in parts.phases:
        body += _nest(part, machine.lanes(element_type(part)))
    params = (*compute.params, *parts.partial)
    return Kernel(compute.name, compute.dims, params, body, KernelStage.SCHEDULED, provenance=compute.provenance)


def _nest(compute: Compute, lanes: int) -> Block:
    if not all(_along_rows(sweep, lanes) for sweep in compute.sweeps):
        vectors = column_vectors(compute, lanes)
        if vectors:
            return column_nest(compute, lanes, vectors)
    kept, buffers = keep_in_results(*keep(compute))
    rows = _Rows(lanes)
    body: Block = tuple(map(Alloc, buffers))
    for number, sweep in enumerate(kept.sweeps):
        body += rows.sweep(number, sweep)
    return nest(compute.axes, (*body, *kept.lets, *kept.stores), LoopKind.PARALLEL)


def _along_rows(sweep: Sweep, lanes: int) -> bool:
    """Whether neighbours along the innermost axis are neighbours in memory, and it is long enough for vectors."""
    if not sweep.axes:
        return False
    last = sweep.axes[-1]
    if isinstance(last.extent, int) and last.extent < 2 * lanes:
        return False
    loads = [e for whole in inner_expressions(sweep) for e in walk(whole) if isinstance(e, Load)]
    places = [*(e.index for e in loads), *(s.index for s in sweep.stores)]
    slopes = [slope(index[0], last.var) for index in places]
    return 1 in slopes and all(s in (0, 1) for s in slopes)


@dataclass(frozen=True, slots=True)
class _Rows:
    """Writes sweeps over one row."""

    lanes: int

    def sweep(self, number: int, sweep: Sweep) -> Block:
        """The statements of a sweep; its results are lets behind it."""
        if not _along_rows(sweep, self.lanes):
            loops = nest(sweep.axes, self._element(number, sweep, None, 0, 0, ""))
            width = 1
        elif not sweep.folds:
            *outer, last = sweep.axes
            inner = vector_loop(
                last.var, last.extent, self.lanes, lambda at, tag: self._element(number, sweep, last, at, 0, tag)
            )
            loops, width = nest(outer, inner), 1
        else:
            loops, width = self._vectors(number, sweep)
        out: list[Stmt] = list(sweep.before)
        for at, fold in enumerate(sweep.folds):
            name = _accumulator(number, at)
            out += [Alloc(accumulator(name, fold.dtype, width)), *self._fill(name, fold, width)]
        out += loops
        for at, fold in enumerate(sweep.folds):
            name = _accumulator(number, at)
            out += [*self._tree(name, fold, width), Let(fold.result, Load(name, (0,), fold.dtype))]
        return tuple(out)

    def _vectors(self, number: int, sweep: Sweep) -> tuple[Block, int]:
        """Loops over the row in blocks of vectors, and the number of accumulators that they need for each fold."""
        *outer, last = sweep.axes
        lanes, count = self.lanes, _accumulators(sweep)
        if isinstance(last.extent, int) and last.extent < 2 * count * lanes:
            count = 1
        step = count * lanes
        whole = last.extent // step
        rest = last.extent - step * whole
        body = self._element(number, sweep, last, step * Dim("%o") + Dim("%v"), Dim("%v"), "")
        vectors = For("%v", step, LoopKind.VECTORIZED, body)
        inner: Block = (For("%o", whole, LoopKind.SERIAL, (vectors,)),)
        if rest != 0:
            done = step * whole
            inner += vector_loop(
                "%w",
                rest,
                lanes,
                lambda at, tag: self._element(number, sweep, last, done + at, _lane(at), f".r{tag}"),
            )
        return nest(outer, inner), step

    def _element(self, number: int, sweep: Sweep, axis: Axis | None, at: Size, lane: Size, tag: str) -> Block:
        instance = instantiate(sweep.lets, {axis.var: at} if axis else {}, tag)
        folds = []
        for place, fold in enumerate(sweep.folds):
            name = _accumulator(number, place)
            value = apply(fold.op, Load(name, (lane,), fold.dtype), instance.value(fold.value))
            folds.append(Store(name, (lane,), value))
        return (*instance.lets, *folds, *(instance.store(s) for s in sweep.stores))

    def _fill(self, name: str, fold: Fold, count: int) -> Block:
        value = initial(fold.op, fold.dtype)
        if count % self.lanes or self.lanes == 1:
            return (For("%f", count, LoopKind.UNROLLED, (Store(name, (Dim("%f"),), value),)),)
        at = self.lanes * Dim("%g") + Dim("%f")
        inner = For("%f", self.lanes, LoopKind.VECTORIZED, (Store(name, (at,), value),))
        return (For("%g", count // self.lanes, LoopKind.UNROLLED, (inner,)),)

    def _tree(self, name: str, fold: Fold, count: int) -> Block:
        """Halve the accumulators until one is left."""
        out: list[Stmt] = []

        def halve(at: Size, half: int) -> Store:
            value = apply(fold.op, Load(name, (at,), fold.dtype), Load(name, (at + half,), fold.dtype))
            return Store(name, (at,), value)

        while count > 1:
            count //= 2
            if count > self.lanes:
                at = self.lanes * Dim("%h") + Dim("%hv")
                vector = For("%hv", self.lanes, LoopKind.VECTORIZED, (halve(at, count),))
                out.append(For("%h", count // self.lanes, LoopKind.UNROLLED, (vector,)))
            else:
                kind = LoopKind.VECTORIZED if count in (self.lanes, self.lanes // 2) else LoopKind.UNROLLED
                out.append(For("%h", count, kind, (halve(Dim("%h"), count),)))
        return tuple(out)


def _accumulator(number: int, fold: int) -> str:
    return f"%acc{number}.{fold}"


def _accumulators(sweep: Sweep) -> int:
    """How many vectors of partial results hide the latency of a fold, without a register too many."""
    cost = sum(SCALARS[e.op].cost for whole in inner_expressions(sweep) for e in walk(whole) if isinstance(e, Apply))
    if cost >= DEAR_BODY:
        return 2
    return ROW_ACCUMULATORS if len(sweep.folds) == 1 else ROW_ACCUMULATORS // 2


def _lane(at: Size) -> Size:
    """The accumulator for an index of the rest: its vector lane, or 0 in the scalar loop."""
    v = Dim("%wv")
    return v if isinstance(at, Dim) and ("%wv",) in dict(at.terms) else 0
