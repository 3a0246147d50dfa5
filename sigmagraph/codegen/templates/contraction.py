"""The contraction engine: packed panels, one register-tiled micro-kernel, one epilogue.

A contraction is a sum of products in which one factor is indexed by row axes, the other by column axes, and both by
the summed axes (and perhaps by batch axes). Rows are packed once into panels of the micro-kernel's height; each task
packs one column panel into scratch memory of its thread and runs it against a block of row panels; the micro-kernel
leaves a tile of sums in local memory, and the epilogue turns it into outputs. Edges are padded with zeros while
packing, so that there is one micro-kernel. Every sum runs over the summed axes in their order, whatever the tile and
the number of threads.

The scheme is that of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", ACM Transactions
on Mathematical Software 34 (2008).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.pieces import Instance, indices_in, instantiate, slope, uses
from sigmagraph.dims import Dim, Size, ceildiv, minimum, product
from sigmagraph.dtypes import DType
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis, Compute, Reduction
from sigmagraph.ir.kernel.expr import Apply, Const, Expr, Load, Var, apply, walk
from sigmagraph.ir.kernel.kernel import (
    Alloc,
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
    Space,
    Stmt,
    Store,
    View,
)

ROWS_PER_TASK = 96
FEW_PANELS = 4
SMALL = 16 * 16 * 16  # multiply-adds below which packing costs more than it gives
UNROLL = 4


@dataclass(frozen=True, slots=True)
class Factor:
    """One side of the product: its lets, its value, and the axes that only it is indexed by."""

    lets: tuple[Let, ...]
    value: Expr
    axes: tuple[Axis, ...]

    @property
    def extent(self) -> Size:
        return product(a.extent for a in self.axes)


@dataclass(frozen=True, slots=True)
class Contraction:
    """A compute seen as a contraction."""

    compute: Compute
    reduction: Reduction
    left: Factor
    right: Factor
    batch: tuple[Axis, ...]


def as_contraction(compute: Compute) -> Contraction | None:
    """The contraction that a flat compute is, or None when it is none or too small to be worth packing."""
    reduction = compute.reduction
    if reduction is None or reduction.op != "add" or not reduction.axes:
        return None
    lets = {item.name: item for item in reduction.lets}
    value = reduction.value
    while isinstance(value, Var) and value.name in lets:
        value = lets[value.name].value
    if not isinstance(value, Apply) or value.op != "mul":
        return None
    sides = [_side(lets, reduction.lets, v) for v in value.args]
    used = [_axes_of(side_lets, v, compute.axes) for side_lets, v in sides]
    batch = tuple(a for a in compute.axes if a in used[0] and a in used[1])
    own = [tuple(a for a in compute.axes if a in mine and a not in batch) for mine in used]
    if not own[0] or not own[1] or len(batch) + len(own[0]) + len(own[1]) != len(compute.axes):
        return None
    factors = [Factor(side_lets, v, axes) for (side_lets, v), axes in zip(sides, own, strict=True)]
    left, right = factors if compute.axes[-1] in factors[1].axes else reversed(factors)
    work = left.extent * right.extent * product(a.extent for a in reduction.axes)
    if isinstance(work, int) and work < SMALL:
        return None
    return Contraction(compute, reduction, left, right, batch)


def _side(lets: dict[str, Let], order: Sequence[Let], value: Expr) -> tuple[tuple[Let, ...], Expr]:
    needed: set[str] = set()
    stack = [value]
    while stack:
        for expr in walk(stack.pop()):
            found = (
                [expr.name] if isinstance(expr, Var) else [n for i in indices_in(expr) for n in lets if uses(i, [n])]
            )
            for name in found:
                if name in lets and name not in needed:
                    needed.add(name)
                    stack.append(lets[name].value)
    return tuple(item for item in order if item.name in needed), value


def _axes_of(items: Sequence[Let], value: Expr, axes: Sequence[Axis]) -> list[Axis]:
    indices = [i for e in [*(item.value for item in items), value] for i in indices_in(e)]
    return [a for a in axes if any(uses(i, [a.var]) for i in indices)]


def micro_kernel(machine: Machine, dtype: DType) -> Kernel:
    """``c[rows, columns] = sum over k of a[k, rows] * b[k, columns]`` with all sums in registers."""
    lanes = machine.lanes(dtype)
    rows, vectors = machine.tile_rows, machine.tile_vectors
    columns = vectors * lanes
    i, column = Dim("%i"), lanes * Dim("%j") + Dim("%v")
    sums = Load("%acc", (i, column), dtype)

    def across(store: Store) -> Stmt:
        """The store in every vector of a row."""
        return For("%j", vectors, LoopKind.UNROLLED, (For("%v", lanes, LoopKind.VECTORIZED, (store,)),))

    def step(k: Size) -> Block:
        # Row by row, each broadcast just before its use: any other order makes LLVM's scheduler spill accumulators.
        product = _multiply_add(machine, Var("%x", dtype), Load("%row", (column,), dtype), sums)
        row: Block = (Let("%x", Load("%a", (k, i), dtype)), across(Store("%acc", (i, column), product)))
        return (
            across(Store("%row", (column,), Load("%b", (k, column), dtype))),
            For("%i", rows, LoopKind.UNROLLED, row),
        )

    whole = Dim("k") // UNROLL
    main = For("%u", UNROLL, LoopKind.UNROLLED, step(UNROLL * Dim("%k") + Dim("%u")))
    zero = Const(0.0 if dtype.is_float else 0, dtype)
    body: Block = (
        Alloc(Buffer("%acc", dtype, (rows, columns), Role.TEMP, Space.LOCAL)),
        Alloc(Buffer("%row", dtype, (columns,), Role.TEMP, Space.LOCAL)),
        For("%i", rows, LoopKind.UNROLLED, (across(Store("%acc", (i, column), zero)),)),
        For("%k", whole, LoopKind.SERIAL, (main,)),
        For("%r", Dim("k") - UNROLL * whole, LoopKind.SERIAL, step(UNROLL * whole + Dim("%r"))),
        For("%i", rows, LoopKind.UNROLLED, (across(Store("%c", (i, column), sums)),)),
    )
    params = (
        Buffer("%a", dtype, (Dim("k"), rows), Role.IN),
        Buffer("%b", dtype, (Dim("k"), columns), Role.IN),
        Buffer("%c", dtype, (rows, columns), Role.OUT),
    )
    return Kernel(f"micro_{rows}x{columns}_{dtype}", ("k",), params, body, KernelStage.SCHEDULED)


def _multiply_add(machine: Machine, a: Expr, b: Expr, c: Expr) -> Expr:
    if machine.fma and a.dtype.is_float:
        return apply("fma", a, b, c)
    return apply("add", c, apply("mul", a, b))


def contraction_kernel(contraction: Contraction, machine: Machine) -> Kernel:
    """The scheduled kernel of a contraction."""
    return _Engine(contraction, machine).kernel()


class _Engine:
    def __init__(self, contraction: Contraction, machine: Machine) -> None:
        self.compute = contraction.compute
        self.reduction = contraction.reduction
        self.left, self.right = contraction.left, contraction.right
        self.batch = contraction.batch
        self.dtype = contraction.reduction.dtype
        self.lanes = machine.lanes(self.dtype)
        self.rows = machine.tile_rows
        self.columns = machine.tile_vectors * self.lanes
        self.micro = micro_kernel(machine, self.dtype)
        self.m, self.n = self.left.extent, self.right.extent
        self.k = product(a.extent for a in self.reduction.axes)
        self.row_panels = ceildiv(self.m, self.rows)
        self.column_panels = ceildiv(self.n, self.columns)
        self.batches = product(a.extent for a in self.batch)

    def kernel(self) -> Kernel:
        packed = Buffer("%left", self.dtype, (self.batches, self.row_panels, self.k, self.rows), Role.TEMP)
        return Kernel(
            self.compute.name,
            self.compute.dims,
            (*self.compute.params, packed),
            (self._pack_rows(), self._tasks()),
            KernelStage.SCHEDULED,
            (self.micro,),
            self.compute.provenance,
        )

    # ---- indices

    def _unflatten(self, flat: Size, axes: Sequence[Axis], facts: Facts) -> dict[str, Size]:
        out: dict[str, Size] = {}
        for number, axis in enumerate(axes):
            inner = product(a.extent for a in axes[number + 1 :])
            at = flat // inner if number == 0 else (flat // inner) % axis.extent
            out[axis.var] = facts.simplify(at)
        return out

    def _factor(self, factor: Factor, batch: Size, at: Size, k: Size, tag: str, facts: Facts) -> tuple[Instance, Expr]:
        indices = self._unflatten(at, factor.axes, facts)
        indices |= self._unflatten(k, self.reduction.axes, facts)
        indices |= self._unflatten(batch, self.batch, facts)
        instance = instantiate(factor.lets, indices, tag)
        return instance, instance.value(factor.value)

    # ---- packing

    def _pack_rows(self) -> Stmt:
        task = Dim("%p")
        batch = task // self.row_panels if self.batch else 0
        panel = task - self.row_panels * batch
        body = self._pack(self.left, batch, panel, self.rows, self.m, lambda k, i: ("%left", (batch, panel, k, i)), "l")
        return For("%p", self.batches * self.row_panels, LoopKind.PARALLEL, body)

    def _pack(
        self,
        factor: Factor,
        batch: Size,
        panel: Size,
        width: int,
        total: Size,
        target: Callable[[Size, Size], tuple[str, tuple[Size, ...]]],
        tag: str,
    ) -> Block:
        """Copy a panel; beyond the edge it is filled with zeros."""
        full = total - width * (panel + 1)
        whole = self._copy(factor, batch, panel, width, width, target, tag)
        if isinstance(total, int) and total % width == 0:
            return whole
        count = total - width * panel
        edge = (*self._zeros(width, target, tag), *self._copy(factor, batch, panel, width, count, target, tag + "e"))
        return _whole_or_edge(full, whole, edge)

    def _zeros(self, width: int, target: Callable[[Size, Size], tuple[str, tuple[Size, ...]]], tag: str) -> Block:
        zero = Const(0.0 if self.dtype.is_float else 0, self.dtype)
        name, at = target(Dim(f"%k{tag}z"), Dim(f"%j{tag}z"))
        store = For(f"%j{tag}z", width, LoopKind.VECTORIZED, (Store(name, at, zero),))
        return (For(f"%k{tag}z", self.k, LoopKind.SERIAL, (store,)),)

    def _copy(
        self,
        factor: Factor,
        batch: Size,
        panel: Size,
        width: int,
        count: Size,
        target: Callable[[Size, Size], tuple[str, tuple[Size, ...]]],
        tag: str,
    ) -> Block:
        k, j = Dim(f"%k{tag}"), Dim(f"%j{tag}")
        facts = Facts({f"%k{tag}": (0, self.k - 1), f"%j{tag}": (0, count - 1)})

        def store(at_k: Size, at_j: Size, mark: str) -> Block:
            instance, value = self._factor(factor, batch, width * panel + at_j, at_k, f".{tag}{mark}", facts)
            name, at = target(at_k, at_j)
            return (*instance.lets, Store(name, at, value))

        if not self._along_k(factor):
            kind = LoopKind.VECTORIZED if isinstance(count, int) else LoopKind.SERIAL
            return (For(f"%k{tag}", self.k, LoopKind.SERIAL, (For(f"%j{tag}", count, kind, store(k, j, "")),)),)
        # Rows of the operand run along k: read vectors along k, write them across the panel.
        lanes = self.lanes
        whole = self.k // lanes
        vector = For(f"%v{tag}", lanes, LoopKind.VECTORIZED, store(lanes * k + Dim(f"%v{tag}"), j, ""))
        rest = For(f"%j{tag}", count, LoopKind.SERIAL, store(lanes * whole + k, j, "t"))
        return (
            For(f"%k{tag}", whole, LoopKind.SERIAL, (For(f"%j{tag}", count, LoopKind.SERIAL, (vector,)),)),
            For(f"%k{tag}", self.k - lanes * whole, LoopKind.SERIAL, (rest,)),
        )

    def _along_k(self, factor: Factor) -> bool:
        last = self.reduction.axes[-1].var
        loads = [e for item in factor.lets for e in walk(item.value) if isinstance(e, Load)]
        loads += [e for e in walk(factor.value) if isinstance(e, Load)]
        return any(slope(load.index[0], last) == 1 for load in loads if load.index)

    # ---- tasks

    def _tasks(self) -> Stmt:
        """A task a column panel; or, where columns are few or rows are known to be many, a task a block of rows.

        Panels are packed again for every block of rows, but neighbouring panels of the outputs lie on the same pages.
        """
        task = Dim("%t")
        few_columns = isinstance(self.column_panels, int) and self.column_panels < FEW_PANELS
        many_rows = isinstance(self.m, int) and self.m >= 2 * ROWS_PER_TASK
        if not self.batch and (few_columns or many_rows):
            block = max(1, ROWS_PER_TASK // self.rows)
            count = minimum(block, self.row_panels - block * task)
            body = self._panel(0, Dim("%n"), block * task, count)
            panels = For("%n", self.column_panels, LoopKind.SERIAL, body)
            return For("%t", ceildiv(self.row_panels, block), LoopKind.PARALLEL, (panels,))
        batch = task // self.column_panels if self.batch else 0
        body = self._panel(batch, task - self.column_panels * batch, 0, self.row_panels)
        return For("%t", self.batches * self.column_panels, LoopKind.PARALLEL, body)

    def _panel(self, batch: Size, panel: Size, first: Size, count: Size) -> Block:
        """Pack a column panel and run it against ``count`` row panels."""
        pack = self._pack(self.right, batch, panel, self.columns, self.n, lambda k, j: ("%right", (k, j)), "r")
        return (
            Alloc(Buffer("%right", self.dtype, (self.k, self.columns), Role.TEMP, Space.SCRATCH)),
            *pack,
            For("%q", count, LoopKind.SERIAL, self._tile(batch, first + Dim("%q"), panel)),
        )

    def _tile(self, batch: Size, row: Size, panel: Size) -> Block:
        views = (View("%left", (batch, row, 0, 0)), View("%right", (0, 0)), View("%tile", (0, 0)))
        return (
            Alloc(Buffer("%tile", self.dtype, (self.rows, self.columns), Role.TEMP, Space.LOCAL)),
            Call(self.micro.name, (self.k,), views),
            For(
                "%e",
                minimum(self.rows, self.m - self.rows * row),
                LoopKind.SERIAL,
                self._row(batch, self.rows * row + Dim("%e"), panel),
            ),
        )

    def _row(self, batch: Size, m: Size, panel: Size) -> Block:
        lanes = self.lanes
        contiguous = len(self.right.axes) == 1 and all(
            slope(s.index[0], self.right.axes[0].var) == 1 for s in self.compute.stores
        )
        full = self.n - self.columns * (panel + 1)
        scalar = For(
            "%c",
            minimum(self.columns, self.n - self.columns * panel),
            LoopKind.SERIAL,
            self._finish(batch, m, panel, Dim("%c"), ".s"),
        )
        if not contiguous:
            return (scalar,)
        at = lanes * Dim("%g") + Dim("%h")
        vector = For("%h", lanes, LoopKind.VECTORIZED, self._finish(batch, m, panel, at, ".v"))
        vectors = For("%g", self.columns // lanes, LoopKind.SERIAL, (vector,))
        if isinstance(self.n, int) and self.n % self.columns == 0:
            return (vectors,)
        return _whole_or_edge(full, (vectors,), (scalar,))

    def _finish(self, batch: Size, m: Size, panel: Size, j: Size, tag: str) -> Block:
        facts = Facts({})
        indices = self._unflatten(m, self.left.axes, facts)
        indices |= self._unflatten(self.columns * panel + j, self.right.axes, facts)
        indices |= self._unflatten(batch, self.batch, facts)
        name = self.reduction.result + tag
        instance = instantiate(self.compute.lets, indices, tag, {self.reduction.result: Var(name, self.dtype)})
        return (
            Let(name, Load("%tile", (Dim("%e"), j), self.dtype)),
            *instance.lets,
            *(instance.store(s) for s in self.compute.stores),
        )


def _whole_or_edge(full: Size, whole: Block, edge: Block) -> Block:
    """The statements for a whole panel where ``full`` is at least 0, else those for the edge."""
    if isinstance(full, int):
        return whole if full >= 0 else edge
    return (If((full,), whole, edge),)
