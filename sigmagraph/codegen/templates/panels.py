"""Carries out a contraction by panels: rows packed ahead, a task a panel of columns.

Rows are packed once into panels of the micro-kernel's height; each task packs one column panel into scratch memory of
its thread and runs it against all row panels. Edges are padded with zeros while packing, so that there is one
micro-kernel. The sums run over the summed axes in their order, whatever the tile and the number of threads.
"""

from __future__ import annotations

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.micro import micro_kernel
from sigmagraph.codegen.templates.tiles import Contraction, Leg, Tiles
from sigmagraph.dims import Dim, Size, minimum
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
    View,
)


class Panels(Tiles):
    """A contraction over one axis, by panels."""

    def __init__(self, contraction: Contraction, machine: Machine) -> None:
        super().__init__(contraction, machine)
        self.micro = micro_kernel(machine, self.dtype)
        (axis,) = self.reduction.axes
        self.legs = (Leg(axis, 0, axis.extent, axis.extent),)

    def kernel(self) -> Kernel:
        """The scheduled kernel."""
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

    def _pack_rows(self) -> Stmt:
        task = Dim("%p")
        batch = task // self.row_panels if self.batch else 0
        panel = task - self.row_panels * batch
        body = self.pack(self.left, batch, panel, self.legs, lambda k, i: ("%left", (batch, panel, k, i)), "l")
        return For("%p", self.batches * self.row_panels, LoopKind.PARALLEL, body)

    def _tasks(self) -> Stmt:
        task = Dim("%t")
        batch = task // self.column_panels if self.batch else 0
        panel = task - self.column_panels * batch
        body: Block = (
            Alloc(Buffer("%right", self.dtype, (self.k, self.columns), Role.TEMP, Space.SCRATCH)),
            *self.pack(self.right, batch, panel, self.legs, lambda k, j: ("%right", (k, j)), "r"),
            For("%q", self.row_panels, LoopKind.SERIAL, self._tile(batch, Dim("%q"), panel)),
        )
        return For("%t", self.batches * self.column_panels, LoopKind.PARALLEL, body)

    def _tile(self, batch: Size, row: Size, panel: Size) -> Block:
        views = (View("%left", (batch, row, 0, 0)), View("%right", (0, 0)), View("%tile", (0, 0)))
        e = Dim("%e")
        outputs = self.row(batch, (row, panel), e, lambda j: Load("%tile", (e, j), self.dtype))
        return (
            Alloc(Buffer("%tile", self.dtype, (self.rows, self.columns), Role.TEMP, Space.LOCAL)),
            Call(self.micro.name, (self.k,), views),
            For("%e", minimum(self.rows, self.m - self.rows * row), LoopKind.SERIAL, outputs),
        )
