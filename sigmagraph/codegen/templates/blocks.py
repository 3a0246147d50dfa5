"""Carries out a contraction by blocks: a task a block of rows and columns, in steps along the summed axes.

A task packs its rows and one column panel after the other into scratch memory of its thread, a step of the summed axes
at a time, so that what is packed stays in the caches and nothing of the size of an operand is stored. Tiles hold their
sums from step to step. The sums run over the summed axes in their order, whatever the tile, the steps and the number of
threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.micro import micro_kernel
from sigmagraph.codegen.templates.tiles import Contraction, Leg, Tiles
from sigmagraph.dims import Dim, Size, ceildiv, minimum, product
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ir.kernel.expr import Load
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Block,
    Buffer,
    Call,
    For,
    Kernel,
    KernelStage,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
    View,
)

ROWS_PER_TASK = 96
COLUMNS_PER_TASK = 512  # where rows are many: so few that the sums fit the cache
FEW_PANELS = 4  # of columns in a task where rows are few
DEPTH = 256  # most products in a step: a column panel of this depth fits the first cache
PITCH = DEPTH + 16  # distance of packed rows, no power of two: they would meet in the same lines of the cache


@dataclass(frozen=True, slots=True)
class Steps:
    """How the summed axes are cut: ``outer`` ones index by index, one in parts of ``part``, the others at once."""

    outer: tuple[Axis, ...]
    cut: Axis | None
    part: int
    inner: tuple[Axis, ...]

    @staticmethod
    def of(axes: Sequence[Axis]) -> Steps:
        """Steps of at most DEPTH products, as equal as may be."""
        depth = 1
        for number in reversed(range(len(axes))):
            extent = axes[number].extent
            if not isinstance(extent, int) or depth * extent > DEPTH:
                part = DEPTH // depth
                if isinstance(extent, int):
                    part = -(-extent // -(-extent // part))
                return Steps(tuple(axes[:number]), axes[number], part, tuple(axes[number + 1 :]))
            depth *= extent
        return Steps((), None, 1, tuple(axes))

    @property
    def depth(self) -> int:
        """Most products in a step."""
        sizes = [axis.extent for axis in self.inner]
        return self.part * product(size for size in sizes if isinstance(size, int))  # type: ignore[return-value]

    def legs(self) -> tuple[Leg, ...]:
        """What one step walks."""
        whole = tuple(Leg(axis, 0, axis.extent, axis.extent) for axis in self.inner)
        single = tuple(Leg(axis, Dim(f"%x{number}"), 1, 1) for number, axis in enumerate(self.outer))
        if self.cut is None:
            return (*single, *whole)
        start, extent = self.part * Dim("%s"), self.cut.extent
        even = isinstance(extent, int) and extent % self.part == 0
        length = self.part if even else minimum(self.part, extent - start)
        return (*single, Leg(self.cut, start, length, self.part), *whole)

    def loops(self, body: Block) -> Block:
        """The body for every step."""
        if self.cut is not None:
            body = (For("%s", ceildiv(self.cut.extent, self.part), LoopKind.SERIAL, body),)
        for number, axis in reversed(list(enumerate(self.outer))):
            body = (For(f"%x{number}", axis.extent, LoopKind.SERIAL, body),)
        return body


class Blocks(Tiles):
    """A contraction, by blocks."""

    def __init__(self, contraction: Contraction, machine: Machine, many_rows: bool) -> None:
        super().__init__(contraction, machine)
        self.steps = Steps.of(self.reduction.axes)
        self.legs = self.steps.legs()
        self.block = max(1, ROWS_PER_TASK // self.rows)
        self.group = COLUMNS_PER_TASK // self.columns if many_rows else FEW_PANELS
        if isinstance(self.column_panels, int):
            self.group = min(self.group, self.column_panels)
        self.by_rows = self.left.runs_along(self.reduction.axes[-1])
        self.micro = micro_kernel(machine, self.dtype, PITCH if self.by_rows else 0, adds=True)

    def kernel(self) -> Kernel:
        """The scheduled kernel."""
        task = Dim("%t")
        groups, blocks = ceildiv(self.column_panels, self.group), ceildiv(self.row_panels, self.block)
        batch = task // (blocks * groups) if self.batch else 0
        rest = task - blocks * groups * batch
        body = self._task(batch, rest // groups, rest - groups * (rest // groups))
        return Kernel(
            self.compute.name,
            self.compute.dims,
            self.compute.params,
            (For("%t", self.batches * blocks * groups, LoopKind.PARALLEL, body),),
            KernelStage.SCHEDULED,
            (self.micro,),
            self.compute.provenance,
        )

    def _task(self, batch: Size, block: Size, group: Size) -> Block:
        rows = minimum(self.block, self.row_panels - self.block * block)
        columns = minimum(self.group, self.column_panels - self.group * group)
        row, column = self.block * block + Dim("%q"), self.group * group + Dim("%n")
        left = (self.block, self.rows, PITCH) if self.by_rows else (self.block, self.steps.depth, self.rows)
        sums = (self.block, self.group, self.rows, self.columns)
        return (
            self._scratch("%left", left),
            self._scratch("%right", (self.steps.depth, self.columns)),
            self._scratch("%sums", sums),
            *self._each(rows, columns, self._clear()),
            *self.steps.loops(self._step(batch, row, column, rows, columns)),
            *self._each(rows, columns, self._outputs(batch, row, column)),
        )

    def _scratch(self, name: str, shape: tuple[Size, ...]) -> Stmt:
        return Alloc(Buffer(name, self.dtype, shape, Role.TEMP, Space.SCRATCH))

    def _each(self, rows: Size, columns: Size, body: Block) -> Block:
        """The body for every tile of the task."""
        return (For("%n", columns, LoopKind.SERIAL, (For("%q", rows, LoopKind.SERIAL, body),)),)

    def _clear(self) -> Block:
        at = (Dim("%q"), Dim("%n"), Dim("%e"), self.lanes * Dim("%g") + Dim("%h"))
        lanes = For("%h", self.lanes, LoopKind.VECTORIZED, (Store("%sums", at, self.zero),))
        row = For("%g", self.columns // self.lanes, LoopKind.SERIAL, (lanes,))
        return (For("%e", self.rows, LoopKind.SERIAL, (row,)),)

    def _step(self, batch: Size, row: Size, column: Size, rows: Size, columns: Size) -> Block:
        """Pack the rows, then each column panel, and add their products to the sums."""

        def left(k: Size, i: Size) -> tuple[str, tuple[Size, ...]]:
            return "%left", (Dim("%q"), i, k) if self.by_rows else (Dim("%q"), k, i)

        def right(k: Size, j: Size) -> tuple[str, tuple[Size, ...]]:
            return "%right", (k, j)

        views = (View("%left", (Dim("%q"), 0, 0)), View("%right", (0, 0)), View("%sums", (Dim("%q"), Dim("%n"), 0, 0)))
        depth = product(leg.extent for leg in self.legs)
        call = Call(self.micro.name, (depth,), views)
        panel = (
            *self.pack(self.right, batch, column, self.legs, right, "r"),
            For("%q", rows, LoopKind.SERIAL, (call,)),
        )
        return (
            For("%q", rows, LoopKind.SERIAL, self.pack(self.left, batch, row, self.legs, left, "l")),
            For("%n", columns, LoopKind.SERIAL, panel),
        )

    def _outputs(self, batch: Size, row: Size, column: Size) -> Block:
        e = Dim("%e")
        outputs = self.row(batch, (row, column), e, lambda j: Load("%sums", (Dim("%q"), Dim("%n"), e, j), self.dtype))
        return (For("%e", minimum(self.rows, self.m - self.rows * row), LoopKind.SERIAL, outputs),)
