"""Loops for reductions: along rows with vector accumulators, or down columns with one accumulator per column.

The order in which numbers are combined depends on the sizes only, never on the number of threads: lanes and unrolled
accumulators form a fixed tree.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.pieces import (
    accumulator,
    element_type,
    initial,
    instantiate,
    nest,
    slope,
    vector_loop,
)
from sigmagraph.dims import Dim, Size
from sigmagraph.ir.kernel.compute import Axis, Compute, Reduction
from sigmagraph.ir.kernel.expr import Expr, Load, Var, apply, walk
from sigmagraph.ir.kernel.kernel import Alloc, Block, For, Kernel, KernelStage, Let, LoopKind, Stmt, Store

ROW_ACCUMULATORS = 4
COLUMN_VECTORS = 4


def reduction_kernel(compute: Compute, machine: Machine) -> Kernel:
    """The scheduled kernel of a flat compute with a reduction."""
    plan = _Plan(compute, _reduction(compute), machine.lanes(element_type(compute)))
    body = plan.rows() if plan.along_rows() else plan.columns() if plan.down_columns() else plan.scalars()
    return Kernel(
        compute.name, compute.dims, compute.params, body, KernelStage.SCHEDULED, provenance=compute.provenance
    )


def _reduction(compute: Compute) -> Reduction:
    assert compute.reduction is not None
    return compute.reduction


@dataclass(frozen=True, slots=True)
class _Plan:
    compute: Compute
    reduction: Reduction
    lanes: int

    # ---- which way

    def _loads(self) -> list[Load]:
        whole = [item.value for item in self.reduction.lets] + [self.reduction.value]
        return [e for w in whole for e in walk(w) if isinstance(e, Load)]

    def along_rows(self) -> bool:
        last = self.reduction.axes[-1]
        if isinstance(last.extent, int) and last.extent < 2 * self.lanes:
            return False
        slopes = [slope(load.index[0], last.var) for load in self._loads() if load.index]
        return 1 in slopes and all(s in (0, 1) for s in slopes)

    def down_columns(self) -> bool:
        if not self.compute.axes:
            return False
        last = self.compute.axes[-1]
        if isinstance(last.extent, int) and last.extent < self.lanes:
            return False
        slopes = [slope(load.index[0], last.var) for load in self._loads() if load.index]
        return 1 in slopes and all(slope(s.index[0], last.var) == 1 for s in self.compute.stores)

    # ---- the three nests

    def rows(self) -> Block:
        """One output at a time; the innermost reduced axis in vectors."""
        *outer, last = self.reduction.axes
        lanes, count = self.lanes, ROW_ACCUMULATORS
        if isinstance(last.extent, int) and last.extent < 2 * count * lanes:
            count = 1
        step = count * lanes
        whole = last.extent // step
        rest = last.extent - step * whole
        v, o = Dim("%v"), Dim("%o")
        unrolled = For(
            "%u",
            count,
            LoopKind.UNROLLED,
            (
                For(
                    "%v",
                    lanes,
                    LoopKind.VECTORIZED,
                    self._add(last, step * o + lanes * Dim("%u") + v, lanes * Dim("%u") + v, ""),
                ),
            ),
        )
        inner: Block = (For("%o", whole, LoopKind.SERIAL, (unrolled,)),)
        if rest != 0:
            done = step * whole
            inner += vector_loop("%w", rest, lanes, lambda at, tag: self._add(last, done + at, _lane(at), ".r" + tag))
        statements: Block = (
            Alloc(accumulator("%acc", self.reduction.dtype, step)),
            *self._fill(step),
            *nest(outer, inner),
            *self._tree(step),
            *self._finish({}, "", Load("%acc", (0,), self.reduction.dtype)),
        )
        return nest(self.compute.axes, statements, LoopKind.PARALLEL)

    def columns(self) -> Block:
        """A strip of neighbouring outputs at a time; reduced axes in plain loops."""
        *outer, last = self.compute.axes
        strip = self.lanes * COLUMN_VECTORS
        blocks: list[Stmt] = []
        done: Size = 0
        for width, var in ((strip, "%s"), (self.lanes, "%q"), (1, "%z")):
            count = (last.extent - done) // width
            if count != 0:
                blocks.append(
                    For(var, count, LoopKind.SERIAL, self._strip(last, done + width * Dim(var), width, var[1:]))
                )
            done = done + width * count
        if outer:
            return nest(outer, tuple(blocks), LoopKind.PARALLEL)
        return tuple(For(b.var, b.extent, LoopKind.PARALLEL, b.body) if isinstance(b, For) else b for b in blocks)

    def _strip(self, axis: Axis, start: Size, width: int, tag: str) -> Block:
        vectors = max(1, width // self.lanes)
        lanes = min(width, self.lanes)
        acc = f"%acc.{tag}"
        dtype = self.reduction.dtype

        def over(kind: str, body: Callable[[Size], Block]) -> Block:
            u, v = f"%u{kind}.{tag}", f"%v{kind}.{tag}"
            at = lanes * Dim(u) + Dim(v)
            return (For(u, vectors, LoopKind.UNROLLED, (For(v, lanes, LoopKind.VECTORIZED, body(at)),)),)

        def add(at: Size) -> Block:
            instance = instantiate(self.reduction.lets, {axis.var: start + at}, f".{tag}")
            value = apply(self.reduction.op, Load(acc, (at,), dtype), instance.value(self.reduction.value))
            return (*instance.lets, Store(acc, (at,), value))

        return (
            Alloc(accumulator(acc, dtype, width)),
            *over("i", lambda at: (Store(acc, (at,), initial(self.reduction.op, dtype)),)),
            *nest(self.reduction.axes, over("k", add)),
            *over("f", lambda at: self._finish({axis.var: start + at}, f".f{tag}", Load(acc, (at,), dtype))),
        )

    def scalars(self) -> Block:
        """One output and one operand at a time."""
        statements: Block = (
            Alloc(accumulator("%acc", self.reduction.dtype, 1)),
            *self._fill(1),
            *nest(self.reduction.axes, self._add(None, 0, 0, "")),
            *self._finish({}, "", Load("%acc", (0,), self.reduction.dtype)),
        )
        return nest(self.compute.axes, statements, LoopKind.PARALLEL)

    # ---- pieces

    def _add(self, axis: Axis | None, at: Size, lane: Size, tag: str) -> Block:
        instance = instantiate(self.reduction.lets, {axis.var: at} if axis else {}, tag)
        value = apply(
            self.reduction.op,
            Load("%acc", (lane,), self.reduction.dtype),
            instance.value(self.reduction.value),
        )
        return (*instance.lets, Store("%acc", (lane,), value))

    def _fill(self, count: int) -> Block:
        store = Store("%acc", (Dim("%f"),), initial(self.reduction.op, self.reduction.dtype))
        lanes = self.lanes if count % self.lanes == 0 else 1
        if lanes == 1:
            return (For("%f", count, LoopKind.UNROLLED, (store,)),)
        at = lanes * Dim("%g") + Dim("%f")
        inner = For("%f", lanes, LoopKind.VECTORIZED, (Store("%acc", (at,), store.value),))
        return (For("%g", count // lanes, LoopKind.UNROLLED, (inner,)),)

    def _tree(self, count: int) -> Block:
        """Halve the accumulators until one is left."""
        out: list[Stmt] = []
        dtype = self.reduction.dtype
        level = 0
        while count > 1:
            count //= 2
            var = f"%h{level}"
            here, there = Dim(var), Dim(var) + count
            value = apply(self.reduction.op, Load("%acc", (here,), dtype), Load("%acc", (there,), dtype))
            kind = LoopKind.VECTORIZED if count in (self.lanes, self.lanes // 2) else LoopKind.UNROLLED
            if count > self.lanes:
                inner = Store(
                    "%acc",
                    (self.lanes * Dim(var) + Dim(f"{var}v"),),
                    apply(
                        self.reduction.op,
                        Load("%acc", (self.lanes * Dim(var) + Dim(f"{var}v"),), dtype),
                        Load("%acc", (self.lanes * Dim(var) + Dim(f"{var}v") + count,), dtype),
                    ),
                )
                vector = For(f"{var}v", self.lanes, LoopKind.VECTORIZED, (inner,))
                out.append(For(var, count // self.lanes, LoopKind.UNROLLED, (vector,)))
            else:
                out.append(For(var, count, kind, (Store("%acc", (here,), value),)))
            level += 1
        return tuple(out)

    def _finish(self, indices: dict[str, Size], tag: str, result: Expr) -> Block:
        name = self.reduction.result + tag
        variables: dict[str, Expr] = {self.reduction.result: Var(name, self.reduction.dtype)}
        instance = instantiate(self.compute.lets, indices, tag, variables)
        return (Let(name, result), *instance.lets, *(instance.store(s) for s in self.compute.stores))


def _lane(at: Size) -> Size:
    """The accumulator for an index of the rest: its vector lane, or 0 in the scalar loop."""
    v = Dim("%wv")
    return v if isinstance(at, Dim) and ("%wv",) in dict(at.terms) else 0
