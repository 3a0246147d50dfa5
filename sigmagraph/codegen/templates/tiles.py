"""What all ways of carrying out a contraction share: packing of panels, and the epilogue that writes the outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from sigmagraph.codegen.schedule.machine import Machine
from sigmagraph.codegen.templates.pieces import instantiate, slope
from sigmagraph.dims import Dim, Size, ceildiv, minimum, names, product, total
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis, Compute, Reduction
from sigmagraph.ir.kernel.expr import Const, Expr, Load, Var, walk
from sigmagraph.ir.kernel.kernel import Block, For, If, Let, LoopKind, Store
from sigmagraph.ops.rules import unflatten

# Where an element of a panel is stored: by its place along the summed axes and its row or column.
Target: TypeAlias = Callable[[Size, Size], tuple[str, tuple[Size, ...]]]


@dataclass(frozen=True, slots=True)
class Factor:
    """One side of the product: its lets, its value, and the axes that only it is indexed by."""

    lets: tuple[Let, ...]
    value: Expr
    axes: tuple[Axis, ...]

    @property
    def extent(self) -> Size:
        """Number of rows or columns."""
        return product(a.extent for a in self.axes)

    def loads(self) -> Iterator[Load]:
        """What is read for an element."""
        for value in (*(item.value for item in self.lets), self.value):
            yield from (e for e in walk(value) if isinstance(e, Load))

    def runs_along(self, axis: Axis) -> bool:
        """Whether neighbours along an axis are neighbours in memory."""
        return any(slope(load.index[0], axis.var) == 1 for load in self.loads() if load.index)


@dataclass(frozen=True, slots=True)
class Contraction:
    """A compute seen as a contraction."""

    compute: Compute
    reduction: Reduction
    left: Factor
    right: Factor
    batch: tuple[Axis, ...]


@dataclass(frozen=True, slots=True)
class Leg:
    """A part of one of the summed axes, as a loop walks it: ``extent`` indices from ``start``.

    Attributes:
        axis: the axis.
        start, extent: the part.
        most: what the extent is at most.
    """

    axis: Axis
    start: Size
    extent: Size
    most: Size


class Tiles:
    """A contraction, cut into the tiles of a machine.

    Attributes:
        m, n, k: numbers of rows, columns and products to be summed.
        rows, columns: of a tile.
        row_panels, column_panels: how many of these there are.
        batches: number of products of matrices.
    """

    def __init__(self, contraction: Contraction, machine: Machine) -> None:
        self.compute = contraction.compute
        self.reduction = contraction.reduction
        self.left, self.right = contraction.left, contraction.right
        self.batch = contraction.batch
        self.machine = machine
        self.dtype = contraction.reduction.dtype
        self.zero = Const(0.0 if self.dtype.is_float else 0, self.dtype)
        self.lanes = machine.lanes(self.dtype)
        self.rows = machine.tile_rows
        self.columns = machine.tile_vectors * self.lanes
        self.m, self.n = self.left.extent, self.right.extent
        self.k = product(a.extent for a in self.reduction.axes)
        self.row_panels = ceildiv(self.m, self.rows)
        self.column_panels = ceildiv(self.n, self.columns)
        self.batches = product(a.extent for a in self.batch)

    # ---- packing

    def pack(self, factor: Factor, batch: Size, panel: Size, legs: Sequence[Leg], target: Target, tag: str) -> Block:
        """Copy a part of a panel of rows or columns; beyond the edge it is filled with zeros."""
        width, whole = (self.rows, self.m) if factor is self.left else (self.columns, self.n)
        full = self._copy(factor, batch, panel, width, legs, target, tag)
        if isinstance(whole, int) and whole % width == 0:
            return full
        copy = self._copy(factor, batch, panel, whole - width * panel, legs, target, tag + "e")
        edge = (*self._zeros(width, legs, target, tag), *copy)
        return whole_or_edge(whole - width * (panel + 1), full, edge)

    def _zeros(self, width: int, legs: Sequence[Leg], target: Target, tag: str) -> Block:
        name, at = target(Dim(f"%k{tag}z"), Dim(f"%j{tag}z"))
        store = For(f"%j{tag}z", width, LoopKind.VECTORIZED, (Store(name, at, self.zero),))
        return (For(f"%k{tag}z", product(leg.extent for leg in legs), LoopKind.SERIAL, (store,)),)

    def _copy(
        self, factor: Factor, batch: Size, panel: Size, count: Size, legs: Sequence[Leg], target: Target, tag: str
    ) -> Block:
        width = self.rows if factor is self.left else self.columns
        j = Dim(f"%j{tag}")
        *outer, last = legs
        steps: list[Size] = [Dim(f"%k{tag}{number}") for number in range(len(legs))]
        own = {f"%j{tag}": (0, count - 1)} | {f"%k{tag}{n}": (0, leg.most - 1) for n, leg in enumerate(legs)}
        facts = _facts((batch, panel), own)
        place = self.indices(width, panel, j, factor.axes, facts) | self.indices(1, batch, 0, self.batch, facts)

        def store(at: Size, mark: str) -> Block:
            """An element, ``at`` on the last leg."""
            here = [*steps[:-1], at]
            inner = {leg.axis.var: leg.start + step for leg, step in zip(legs, here, strict=True)}
            flat = total(step * product(b.extent for b in legs[n + 1 :]) for n, step in enumerate(here))
            instance = instantiate(factor.lets, place | inner, f".{tag}{mark}")
            name, index = target(flat, j)
            return (*instance.lets, Store(name, index, instance.value(factor.value)))

        def loops(body: Block, own: Sequence[Leg]) -> Block:
            for number, leg in reversed(list(enumerate(own))):
                body = (For(f"%k{tag}{number}", leg.extent, LoopKind.SERIAL, body),)
            return body

        if not factor.runs_along(last.axis):
            kind = LoopKind.VECTORIZED if isinstance(count, int) else LoopKind.SERIAL
            return loops((For(f"%j{tag}", count, kind, store(steps[-1], "")),), legs)
        # Rows of the operand run along k: read vectors along k, and write them across the panel.
        lanes, name = self.lanes, f"%k{tag}{len(outer)}"
        parts = last.extent // lanes
        vector = For(f"%v{tag}", lanes, LoopKind.VECTORIZED, store(lanes * steps[-1] + Dim(f"%v{tag}"), ""))
        rest = store(lanes * parts + steps[-1], "t")
        body = (
            For(name, parts, LoopKind.SERIAL, (vector,)),
            For(name, last.extent - lanes * parts, LoopKind.SERIAL, rest),
        )
        return (For(f"%j{tag}", count, LoopKind.SERIAL, loops(body, outer)),)

    def indices(self, width: int, panel: Size, j: Size, axes: Sequence[Axis], facts: Facts) -> dict[str, Size]:
        """The indices along axes of place ``j`` in a panel.

        Where whole panels fit into the last axis, only the panel's number is divided.
        """
        if not axes:
            return {}
        *outer, last = axes
        count = last.extent // width
        if not outer or not isinstance(count, int) or width * count != last.extent:
            return _unflatten(width * panel + j, axes, facts)
        at = panel // count
        return {**_unflatten(at, outer, facts), last.var: width * (panel - count * at) + j}

    # ---- epilogue

    def row(self, batch: Size, panels: tuple[Size, Size], e: Size, tile: Callable[[Size], Load]) -> Block:
        """Turn row ``e`` of a tile of sums into outputs; ``tile`` reads its elements."""
        lanes = self.lanes
        _, panel = panels
        contiguous = len(self.right.axes) == 1 and all(
            slope(s.index[0], self.right.axes[0].var) == 1 for s in self.compute.stores
        )
        count = minimum(self.columns, self.n - self.columns * panel)
        scalar = For("%c", count, LoopKind.SERIAL, self._finish(batch, panels, e, Dim("%c"), tile, ".s"))
        if not contiguous:
            return (scalar,)
        at = lanes * Dim("%g") + Dim("%h")
        vector = For("%h", lanes, LoopKind.VECTORIZED, self._finish(batch, panels, e, at, tile, ".v"))
        vectors = For("%g", self.columns // lanes, LoopKind.SERIAL, (vector,))
        if isinstance(self.n, int) and self.n % self.columns == 0:
            return (vectors,)
        return whole_or_edge(self.n - self.columns * (panel + 1), (vectors,), (scalar,))

    def _finish(
        self, batch: Size, panels: tuple[Size, Size], e: Size, j: Size, tile: Callable[[Size], Load], tag: str
    ) -> Block:
        facts = _facts((batch, *panels, e, j), {})
        place = self.indices(self.rows, panels[0], e, self.left.axes, facts)
        place |= self.indices(self.columns, panels[1], j, self.right.axes, facts)
        place |= self.indices(1, batch, 0, self.batch, facts)
        name = self.reduction.result + tag
        variables: Mapping[str, Expr] = {self.reduction.result: Var(name, self.dtype)}
        instance = instantiate(self.compute.lets, place, tag, variables)
        return (Let(name, tile(j)), *instance.lets, *(instance.store(s) for s in self.compute.stores))


def _unflatten(flat: Size, axes: Sequence[Axis], facts: Facts) -> dict[str, Size]:
    index = unflatten(flat, [axis.extent for axis in axes])
    return {axis.var: facts.simplify(i) for axis, i in zip(axes, index, strict=True)}


def _facts(sizes: Iterable[Size], ranges: Mapping[str, tuple[Size, Size]]) -> Facts:
    """Facts about loop variables: what their ranges are, or that they start at 0."""
    loops = (name for size in sizes for name in names(size) if name.startswith("%"))
    return Facts({**dict.fromkeys(loops, (0, None)), **ranges})


def whole_or_edge(full: Size, whole: Block, edge: Block) -> Block:
    """The statements for a whole panel where ``full`` is at least 0, else those for the edge."""
    if isinstance(full, int):
        return whole if full >= 0 else edge
    return (If((full,), whole, edge),)
