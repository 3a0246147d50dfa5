"""Carries out a contraction: tasks of blocks of rows and columns, tiles of sums, an epilogue that writes the outputs.

Rows and columns have several axes; tiles lie along the last one of each. A task has a block of rows and a group of
column panels. For each step of the summed axes it brings what has to be written down into scratch memory of its thread,
and runs the micro-kernel over its tiles. The sums run over the summed axes in their order, whatever the tile, the steps
and the number of threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.factors import Contraction
from sigmagraph.codegen.templates.micro import DEPTHS, micro_kernel
from sigmagraph.codegen.templates.pieces import instantiate, slope
from sigmagraph.codegen.templates.strided import Part, Region, Strided, Window, direct, guarded, windows
from sigmagraph.codegen.templates.tile import choose_tile
from sigmagraph.dims import Dim, Size, ceildiv, minimum, nominal, product, total
from sigmagraph.dtypes import I64
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ir.kernel.expr import Cast, Const, Index, Load, Var, apply
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
    Store,
    View,
)
from sigmagraph.ops.rules import unflatten

TILES = 32  # in a task, for one panel of columns
MANY_TILES = 512  # the same where there are enough panels to keep threads busy
ENOUGH_PANELS = 8
DEPTH = 1024  # most products in a step: a column panel of this depth fits the second cache
SHALLOW = 384  # the same where rows have to be written down
REGION = 96 * 1024  # most elements of rows that are written down at a time
TASKS = 8  # at least, where there is as much to be done,
FEW_TASKS = 4  # or so many where more of them
DEAR = 1.1  # would write so much more
GRAIN = 1 << 20  # multiply-adds that are worth a task
FEW_PANELS = 8  # in a task where rows are written down for it
NEAR = 256  # bytes from one row of a column panel to the next, in which it is read as well as from scratch memory
WIDE = 512  # columns of a task that reads rows of them where they are, a piece of a row after the other
SHORT = 32  # products in a step then,
NEAREST = 4096  # or elements of columns, which are found in the first cache again, where they lie as panels
FEW_ROWS = 18  # read columns where they are
FEW_TILES = 3  # so few that writing a column panel down costs more than it saves


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of a summed axis, as a loop walks it: ``extent`` indices from ``start``, at most ``most``."""

    axis: Axis
    start: Size
    extent: Size
    most: int


@dataclass(frozen=True, slots=True)
class Steps:
    """How the summed axes are cut: ``outer`` ones index by index, one in parts of ``part``, the others at once."""

    outer: tuple[Axis, ...]
    cut: Axis | None
    part: int
    inner: tuple[Axis, ...]

    @staticmethod
    def of(axes: Sequence[Axis], most: int) -> Steps:
        """Steps of at most so many products, as equal as may be, over as many axes as the micro-kernel walks."""
        depth = 1
        for number in reversed(range(len(axes))):
            extent = axes[number].extent
            if len(axes) - number > DEPTHS:
                return Steps(tuple(axes[: number + 1]), None, 1, tuple(axes[number + 1 :]))
            if not isinstance(extent, int) or depth * extent > most:
                part = max(1, most // depth)
                if isinstance(extent, int):
                    part = -(-extent // -(-extent // part))
                return Steps(tuple(axes[:number]), axes[number], part, tuple(axes[number + 1 :]))
            depth *= extent
        return Steps((), None, 1, tuple(axes))

    @property
    def single(self) -> bool:
        """Whether there is one step."""
        return not self.outer and self.cut is None

    @property
    def before(self) -> Size:
        """0 in the first step, more in the others."""
        return total(self._variables())

    def _variables(self) -> list[Size]:
        return [*(Dim(f"%x{n}") for n in range(len(self.outer))), *([Dim("%s")] if self.cut else [])]

    def legs(self) -> tuple[Leg, ...]:
        """What one step walks."""
        single = tuple(Leg(axis, Dim(f"%x{number}"), 1, 1) for number, axis in enumerate(self.outer))
        whole = tuple(Leg(axis, 0, axis.extent, axis.extent) for axis in self.inner if isinstance(axis.extent, int))
        if self.cut is None:
            return (*single, *whole)
        start, extent = self.part * Dim("%s"), self.cut.extent
        even = isinstance(extent, int) and extent % self.part == 0
        return (
            *single,
            Leg(self.cut, start, self.part if even else minimum(self.part, extent - start), self.part),
            *whole,
        )

    def loops(self, body: Block) -> Block:
        """The body for every step."""
        if self.cut is not None:
            body = (For("%s", ceildiv(self.cut.extent, self.part), LoopKind.SERIAL, body),)
        for number, axis in reversed(list(enumerate(self.outer))):
            body = (For(f"%x{number}", axis.extent, LoopKind.SERIAL, body),)
        return body


@dataclass(frozen=True, slots=True)
class Cut:
    """An axis in blocks of ``size``: the ``number``-th block, whose indices ``inside`` it are walked by loops."""

    axis: Axis
    size: int
    number: Size

    @property
    def start(self) -> Size:
        """The first index."""
        return self.size * self.number

    @property
    def extent(self) -> Size:
        """How many indices there are."""
        whole = self.axis.extent
        if isinstance(whole, int) and whole % self.size == 0:
            return self.size
        return minimum(self.size, whole - self.start)

    @property
    def part(self) -> Part:
        """The part of the axis."""
        return Part(self.start, self.extent, self.size)


class Engine:
    """A contraction, and how it is carried out on a machine."""

    def __init__(self, contraction: Contraction, machine: Machine) -> None:
        self.contraction, self.machine = contraction, machine
        self.compute, self.reduction = contraction.compute, contraction.reduction
        self.left, self.right = contraction.left, contraction.right
        self.dtype = self.reduction.dtype
        self.lanes = machine.lanes(self.dtype)
        *self.lines, self.row = self.left.axes
        *self.sheets, self.column = self.right.axes
        rows = self.left.extent
        self.few = isinstance(rows, int) and rows <= FEW_ROWS
        self.tile = choose_tile(machine, self.dtype, self.row.extent, self.column.extent, self.few)
        self.columns = self.tile.vectors * self.lanes
        self.micro = micro_kernel(machine, self.dtype, self.tile.rows, self.tile.vectors)
        self.panels = ceildiv(self.column.extent, self.columns)
        self._choose_rows()
        self._choose_blocks()
        self._choose_columns()
        self._choose_tasks()

    # ---- what is to be done

    def _choose_rows(self) -> None:
        """Where rows are read, and how the summed axes are cut."""
        summed = self.reduction.axes
        self.rows = direct(self.left, (self.row, *summed), self.dtype)
        if self.rows is not None and self.rows.stride(summed[-1]) != 1 and not self._few_panels(4):
            self.rows = None
        self.windows: list[Window] = []
        if self.rows is None:
            self.windows = windows(self.left, self.left.axes, summed)
        shared = any(len(window.steps) > 1 for window in self.windows)
        self.steps = Steps.of(summed, DEPTH if self.rows or shared else SHALLOW)
        self.legs = self.steps.legs()

    def _few_panels(self, count: int) -> bool:
        return isinstance(self.panels, int) and self.panels < count

    def _choose_blocks(self) -> None:
        """How many tiles along the rows, and how many lines of them, a task has."""
        tiles = ceildiv(self.row.extent, self.tile.rows)
        most = TILES if self.rows is None or self._few_panels(ENOUGH_PANELS) else MANY_TILES
        self.run = -(-tiles // -(-tiles // most)) if isinstance(tiles, int) else most
        left = max(1, most // self.run) if isinstance(tiles, int) else 1
        sizes: list[int] = []
        for axis in reversed(self.lines):
            size = min(left, axis.extent) if isinstance(axis.extent, int) else left
            sizes.insert(0, size)
            left = left // size if size == axis.extent else 1
        self.sizes = sizes

    def _choose_columns(self) -> None:
        """How many column panels a task has, and whether they are read where they are."""
        self.group = 1
        if self.rows is None:
            self.group = min(FEW_PANELS, self.panels) if isinstance(self.panels, int) else FEW_PANELS
        axes = (self.column, *self.reduction.axes)
        found = direct(self.right, axes, self.dtype)
        whole = isinstance(self.column.extent, int) and self.column.extent % self.columns == 0
        fits = found is not None and found.stride(self.column) == 1 and whole
        self.cols = found if fits else None
        self.lies = fits and self._is_panel(found)
        self.least = 1
        if self.few and fits and self.rows is not None:
            self._choose_short_steps()

    def _choose_short_steps(self) -> None:
        """Steps in which a few tiles read columns where they are: in long pieces, and from memory only once."""
        panels = self.panels
        if not self.lies and isinstance(panels, int):
            self.group = self.least = max(1, min(WIDE // self.columns, panels))
            depth = SHORT
        elif (
            self.lies and math.prod([*self.sizes, self.run]) > 1 and self.tile.is_faster_near(self.machine.vector_bytes)
        ):
            depth = NEAREST // self.columns
        else:
            return
        self.steps = Steps.of(self.reduction.axes, depth)
        self.legs = self.steps.legs()

    def _choose_tasks(self) -> None:
        """Smaller blocks where there would be too few tasks to keep threads busy with so much work."""
        axes = (*self.compute.axes, *self.reduction.axes)
        most = min(TASKS, nominal(product(axis.extent for axis in axes)) // GRAIN)
        while self._tasks() < most:
            before, enough = (self.group, self.sizes, self.run, self._written()), self._tasks() >= FEW_TASKS
            if self.group > self.least:
                self.group = -(-self.group // 2)
            elif max(self.sizes, default=1) > 1:
                widest = self.sizes.index(max(self.sizes))
                self.sizes = [-(-size // 2) if n == widest else size for n, size in enumerate(self.sizes)]
            elif self.run > FEW_TILES:
                self.run = -(-self.run // 2)
            else:
                return
            if enough and self._written() > DEAR * before[-1]:
                self.group, self.sizes, self.run, _ = before
                return

    def _written(self) -> float:
        """How many elements all tasks write to scratch memory, about."""
        *blocks, groups = self._counts()
        out = 0
        if self.rows is None:
            out += nominal(product([groups, *(window.extent for window in self.windows)]))
        if not self.lies:
            summed = product(axis.extent for axis in self.reduction.axes)
            out += nominal(product([*blocks, self.right.extent, summed]))
        return out

    def _tasks(self) -> float:
        """How many tasks there are; many where sizes are not known."""
        count = product([axis.extent for axis in (*self.contraction.batch, *self.sheets)]) * product(self._counts())
        return count if isinstance(count, int) else math.inf

    def _counts(self) -> list[Size]:
        """How many blocks there are along lines and rows, and how many groups of panels."""
        lines = [ceildiv(axis.extent, size) for axis, size in zip(self.lines, self.sizes, strict=True)]
        blocks = ceildiv(ceildiv(self.row.extent, self.tile.rows), self.run)
        return [*lines, blocks, ceildiv(self.panels, self.group)]

    def _is_panel(self, found: Strided | None) -> bool:
        """Whether the columns lie in memory as a panel would, or nearly so."""
        if found is None or found.buffer in self.compute.foreign:
            return False
        axes = self.reduction.axes
        distance = found.stride(axes[-1])
        near = isinstance(distance, int) and distance * self.dtype.itemsize <= NEAR
        return near and all(found.stride(a) == found.stride(b) * b.extent for a, b in pairwise(axes))

    # ---- tasks

    def kernel(self) -> Kernel:
        """The scheduled kernel."""
        *blocks, groups = self._counts()
        outer, sheets = ([axis.extent for axis in axes] for axes in (self.contraction.batch, self.sheets))
        counts = [*outer, *blocks, *sheets, groups]
        digits = list(unflatten(Dim("%t"), counts))
        self.place: dict[str, Size] = {a.var: digits.pop(0) for a in self.contraction.batch}
        self.cuts = [Cut(a, size, digits.pop(0)) for a, size in zip(self.lines, self.sizes, strict=True)]
        self.block = Cut(self.row, self.run * self.tile.rows, digits.pop(0))
        self.place |= {a.var: digits.pop(0) for a in self.sheets}
        self.first_panel = self.group * digits.pop(0)
        return Kernel(
            self.compute.name,
            self.compute.dims,
            self.compute.params,
            (For("%t", product(counts), LoopKind.PARALLEL, self._task()),),
            KernelStage.SCHEDULED,
            (self.micro,),
            self.compute.provenance,
        )

    def _task(self) -> Block:
        self.panel = self.first_panel + Dim("%n")
        self.in_panel = minimum(self.columns, self.column.extent - self.columns * self.panel)
        rows, ahead = self._rows()
        panel = self._panel()
        # What does not differ from step to step is written once.
        once = ahead is not None and all(leg.extent == leg.axis.extent for leg in self._region_legs)
        fill = ahead.fill(self.place) if ahead is not None else ()
        few = FEW_TILES - product([*(cut.extent for cut in self.cuts), ceildiv(self.block.extent, self.tile.rows)])
        written = (*panel.fill(self.place), *self._tiles(self._call(rows, panel.strided)))
        inner, allocs = written, [r.alloc for r in (ahead, panel) if r is not None]
        if self.cols is not None:
            read = self._tiles(self._call(rows, self.cols))
            inner = (
                read if self.lies or self.few or (isinstance(few, int) and few >= 0) else (If((few,), read, written),)
            )
            if inner is read:
                allocs.remove(panel.alloc)
        inner = self._panels(inner)
        if self.steps.single:
            return (*allocs, *fill, *inner)
        sums = Buffer("%sums", self.dtype, self._sums_shape(), Role.TEMP, Space.SCRATCH)
        body = self.steps.loops((*(() if once else fill), *inner))
        return (
            *allocs,
            Alloc(sums),
            *self._cleared(),
            *(fill if once else ()),
            *body,
            *self._tiles(self._outputs("%sums", self._panels)),
        )

    def _panels(self, body: Block) -> Block:
        count = minimum(self.group, self.panels - self.first_panel)
        return (For("%n", count if self.group > 1 else 1, LoopKind.SERIAL, body),)

    def _tiles(self, body: Block) -> Block:
        """The body for every tile of the task in a panel."""
        tiles = ceildiv(self.block.extent, self.tile.rows)
        out: Block = (For("%q", tiles, LoopKind.SERIAL, body),)
        for number, cut in reversed(list(enumerate(self.cuts))):
            out = (For(f"%l{number}", cut.extent, LoopKind.SERIAL, out),)
        return out

    # ---- operands

    def _rows(self) -> tuple[Strided, Region | None]:
        """The left operand, and what has to be written for it."""
        if self.rows is not None:
            return self.rows, None
        legs = [Leg(a, 0, a.extent, a.extent) for a in self.reduction.axes if isinstance(a.extent, int)]
        region = self._region(legs) if len(legs) == len(self.reduction.axes) else None
        if region is None or region.size > REGION:
            legs = list(self.legs)
            region = self._region(legs)
        self._region_legs = legs
        return region.strided, region

    def _region(self, legs: Sequence[Leg]) -> Region:
        parts = {cut.axis.var: cut.part for cut in (*self.cuts, self.block)}
        parts |= {leg.axis.var: Part(leg.start, leg.extent, leg.most) for leg in legs}
        return Region("%left", self.left, self.windows, parts, self.dtype, self.lanes)

    def _panel(self) -> Region:
        """A panel of the right operand, to be written."""
        parts = {leg.axis.var: Part(leg.start, leg.extent, leg.most) for leg in self.legs}
        parts[self.column.var] = Part(self.columns * self.panel, self.in_panel, self.columns)
        coordinates = [Window(((axis, 1),)) for axis in (*self.reduction.axes, self.column)]
        return Region("%right", self.right, coordinates, parts, self.dtype, self.lanes, self.columns)

    def _call(self, rows: Strided, cols: Strided) -> Block:
        """Run the micro-kernel on a tile; where it has all products, its outputs are written at once."""
        q = self.tile.rows * Dim("%q")
        place = {
            **self.place,
            **{cut.axis.var: cut.start + Dim(f"%l{n}") for n, cut in enumerate(self.cuts)},
            **{leg.axis.var: leg.start for leg in self.legs},
            self.row.var: self.block.start + q,
            self.column.var: self.columns * self.panel,
        }
        walked = self._walked(rows, cols)
        extents = [leg.extent for leg in walked]
        strides = [[side.stride(leg.axis) for leg in walked] for side in (rows, cols)]
        ones = [1] * (DEPTHS - len(walked))
        dims = (
            *(*extents, *ones),
            *(*strides[0], *ones),
            *(*strides[1], *ones),
            rows.stride(self.row),
            minimum(self.tile.rows, self.block.extent - q),
            1 + self.steps.before,
        )
        name, at = ("%tile", (0, 0)) if self.steps.single else ("%sums", (*self._sums_place(), 0, 0))
        views = (View(rows.buffer, (rows.at(place),)), View(cols.buffer, (cols.at(place),)), View(name, at))
        call = Call(self.micro.name, dims, views)
        if not self.steps.single:
            return (call,)
        tile = Buffer("%tile", self.dtype, (self.tile.rows, self.columns), Role.TEMP, Space.LOCAL)
        return (Alloc(tile), call, *self._outputs("%tile"))

    def _walked(self, rows: Strided, cols: Strided) -> list[Leg]:
        """The legs that the micro-kernel walks, innermost first; neighbours that lie as one are one."""
        out: list[Leg] = []
        for leg in reversed(self.legs):
            if leg.extent == 1:
                continue
            inner = out[-1] if out else None
            if (
                inner is not None
                and inner.extent == inner.most
                and all(side.stride(leg.axis) == side.stride(inner.axis) * inner.extent for side in (rows, cols))
            ):
                out[-1] = Leg(inner.axis, inner.start, leg.extent * inner.extent, leg.most * inner.most)
                continue
            out.append(leg)
        return out or [replace(self.legs[-1])]

    # ---- sums and outputs

    def _sums_shape(self) -> tuple[int, ...]:
        return (self.group, *self.sizes, self.run, self.tile.rows, self.columns)

    def _sums_place(self) -> tuple[Size, ...]:
        return (Dim("%n"), *(Dim(f"%l{n}") for n in range(len(self.cuts))), Dim("%q"))

    def _cleared(self) -> Block:
        """Sums that are 0 where an axis of run-time extent has none."""
        extents = [a.extent for a in self.reduction.axes if not isinstance(a.extent, int)]
        if not extents:
            return ()
        none = Cast(apply("le", Index(product(extents)), Const(0, I64)), I64)
        e, j = Dim("%e"), self.lanes * Dim("%g") + Dim("%h")
        zero = Const(0.0 if self.dtype.is_float else 0, self.dtype)
        store = Store("%sums", (*self._sums_place(), e, j), zero)
        row = For("%g", self.tile.vectors, LoopKind.SERIAL, (For("%h", self.lanes, LoopKind.VECTORIZED, (store,)),))
        tile = (For("%e", self.tile.rows, LoopKind.SERIAL, (row,)),)
        return (Let("%none", none), For("%z", Dim("%none"), LoopKind.SERIAL, self._panels(self._tiles(tile))))

    def _outputs(self, sums: str, over: Callable[[Block], Block] = lambda body: body) -> Block:
        """Turn a tile of sums into outputs, row by row; ``over`` makes the loop over the tiles beside it."""
        e = Dim("%e")
        count = minimum(self.tile.rows, self.block.extent - self.tile.rows * Dim("%q"))
        return (For("%e", count, LoopKind.SERIAL, over(self._row(sums, e))),)

    def _row(self, sums: str, e: Size) -> Block:
        contiguous = all(slope(s.index[0], self.column.var) == 1 for s in self.compute.stores)
        if not contiguous:
            return (For("%c", self.in_panel, LoopKind.SERIAL, self._finish(sums, e, Dim("%c"), ())),)
        column, extent = self.lanes * Dim("%g") + Dim("%h"), self.column.extent
        even = isinstance(extent, int) and extent % self.lanes == 0
        guard = () if even else (self.in_panel - 1 - column,)
        vector = For("%h", self.lanes, LoopKind.VECTORIZED, self._finish(sums, e, column, guard))
        return (For("%g", ceildiv(self.in_panel, self.lanes), LoopKind.SERIAL, (vector,)),)

    def _finish(self, sums: str, e: Size, j: Size, guard: tuple[Size, ...]) -> Block:
        place = {
            **self.place,
            **{cut.axis.var: cut.start + Dim(f"%l{n}") for n, cut in enumerate(self.cuts)},
            self.row.var: self.block.start + self.tile.rows * Dim("%q") + e,
            self.column.var: self.columns * self.panel + j,
        }
        at = (e, j) if sums == "%tile" else (*self._sums_place(), e, j)
        name = self.reduction.result + ".f"
        instance = instantiate(self.compute.lets, place, ".f", {self.reduction.result: Var(name, self.dtype)})
        lets = (Let(x.name, guarded(x.value, guard)) for x in instance.lets if isinstance(x, Let))
        stores = (instance.store(s) for s in self.compute.stores)
        return (
            Let(name, Load(sums, at, self.dtype)),
            *lets,
            *(replace(s, value=guarded(s.value, guard), guard=(*s.guard, *guard)) for s in stores),
        )
