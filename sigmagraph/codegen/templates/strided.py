"""Operands of the micro-kernel: factors of a contraction that lie in memory in steps of their axes.

A factor that is a plain load of such an array is read where it is. Any other (one that is computed, transposed, padded
or read through windows) is first written to scratch memory, a part at a time. Where a row axis and a summed axis are
only ever read together, as in a window, their sum is one coordinate there, so that the elements which neighbouring
windows share are written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

from sigmagraph.codegen.templates.factors import Factor
from sigmagraph.codegen.templates.pieces import instantiate, slope
from sigmagraph.dims import Dim, Size, ceildiv, names, product, substitute, total
from sigmagraph.dtypes import DType
from sigmagraph.facts import Facts
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ir.kernel.expr import Expr, Load, rebuild
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, Let, LoopKind, Role, Space, Stmt, Store


@dataclass(frozen=True, slots=True)
class Strided:
    """An operand: the element of a flat buffer at ``index``, which is linear in the axes of the tile and the sum."""

    buffer: str
    index: Size

    def stride(self, axis: Axis) -> Size:
        """Distance of neighbours along an axis."""
        step = slope(self.index, axis.var)
        assert step is not None
        return step

    def at(self, place: Mapping[str, Size]) -> Size:
        """Where the element at a place lies."""
        return substitute(self.index, place)


def direct(factor: Factor, along: Iterable[Axis], dtype: DType) -> Strided | None:
    """The factor where it is, if it lies in steps along these axes; None if it has to be written down."""
    load = factor.load
    if load is None or load.guard or load.dtype is not dtype or len(load.index) != 1:
        return None
    (index,) = load.index
    if any(item.name in names(index) for item in factor.lets):
        return None
    steps = [slope(index, axis.var) for axis in along]
    if not all(step is not None and Facts().nonnegative(step - 1) for step in steps):
        return None
    return Strided(load.buffer, index)


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an axis: ``extent`` indices from ``start``, at most ``most``."""

    start: Size
    extent: Size
    most: Size


@dataclass(frozen=True, slots=True)
class Window:
    """A coordinate that axes reach together: the sum of each one's index times its step."""

    steps: tuple[tuple[Axis, int], ...]

    @property
    def position(self) -> Size:
        """The coordinate, of the axes' variables."""
        return total(step * Dim(axis.var) for axis, step in self.steps)

    @property
    def extent(self) -> Size:
        """How many coordinates the axes reach."""
        return total(step * (axis.extent - 1) for axis, step in self.steps) + 1

    def part(self, parts: Mapping[str, Part]) -> Part:
        """The coordinates that parts of the axes reach."""
        own = [(parts[axis.var], step) for axis, step in self.steps]
        return Part(
            total(step * p.start for p, step in own),
            total(step * (p.extent - 1) for p, step in own) + 1,
            total(step * (p.most - 1) for p, step in own) + 1,
        )

    def place(self, coordinate: Size) -> dict[str, Size]:
        """Indices that reach a coordinate: all of it by an axis of step 1."""
        unit = next(axis for axis, step in self.steps if step == 1)
        return {axis.var: coordinate if axis is unit else 0 for axis, _ in self.steps}


def windows(factor: Factor, rows: Sequence[Axis], summed: Sequence[Axis]) -> list[Window]:
    """The coordinates of a factor: pairs of a row axis and a summed axis where elements depend on their sum only."""
    indices = factor.indices()
    left = list(summed)
    out: list[Window] = []
    for row in rows:
        window = next((w for w in (_window(indices, row, axis) for axis in left) if w is not None), None)
        if window is not None:
            left = [axis for axis in left if axis is not window.steps[1][0]]
        out.append(window or Window(((row, 1),)))
    found = [*out, *(Window(((axis, 1),)) for axis in left)]
    return _in_order(factor, found) if any(len(w.steps) > 1 for w in found) else found


def _window(indices: Sequence[Size], row: Axis, axis: Axis) -> Window | None:
    both = [i for i in indices if {row.var, axis.var} <= set(names(i))]
    if not both:
        return None
    a, b = slope(both[0], row.var), slope(both[0], axis.var)
    steps = (1, 1)
    if isinstance(a, int) and isinstance(b, int) and a > 0 and b > 0:
        if a % b and b % a:
            return None
        steps = (max(1, a // b), max(1, b // a))
    if 1 not in steps:
        return None
    # The axis of step 1 takes up the other: nothing may be left of that.
    (unit, other), step = ((axis, row), steps[0]) if steps[1] == 1 else ((row, axis), steps[1])
    if isinstance(unit.extent, int) and unit.extent <= step:
        return None  # neighbours along the other one share nothing
    moved = {unit.var: Dim(unit.var) - step * Dim(other.var)}
    if any(other.var in names(substitute(i, moved)) for i in indices):
        return None
    return Window(((row, steps[0]), (axis, steps[1])))


def _in_order(factor: Factor, windows: list[Window]) -> list[Window]:
    """Sorted as they lie in memory where that is known, so that what is read in one piece is written in one."""
    load = next((load for load in factor.loads() if load.index), None)
    if load is None:
        return windows
    distances: list[int] = []
    for window in windows:
        axis, step = window.steps[0]
        distance = slope(load.index[0], axis.var)
        if not isinstance(distance, int):
            return windows
        distances.append(distance // step)
    order = sorted(range(len(windows)), key=lambda n: -distances[n])
    return [windows[n] for n in order]


class Region:
    """Parts of a factor, written to scratch memory.

    Args:
        name: of the buffer, and of the loops that write it.
        factor: what is written.
        windows: its coordinates, in the order in which they are to lie.
        parts: of all axes that the factor has.
        dtype, lanes: of elements, and how many fit a vector.
        width: if not 0, the last coordinate is so many elements wide; there are zeros where the factor has none.
    """

    def __init__(
        self,
        name: str,
        factor: Factor,
        windows: Sequence[Window],
        parts: Mapping[str, Part],
        dtype: DType,
        lanes: int,
        width: int = 0,
    ) -> None:
        self.name, self.factor, self.dtype, self.lanes, self.width = name, factor, dtype, lanes, width
        self.base: Size = 0  # where the first element lies in the buffer
        self.windows = tuple(windows)
        self.parts = [window.part(parts) for window in windows]
        shape: list[Size] = [part.most for part in self.parts]
        if width:
            shape[-1] = width
        self.size = product(shape)
        self.distances = [product(shape[n + 1 :]) for n in range(len(shape))]

    def at(self, base: Size) -> Region:
        """The same region with its first element at another place of the buffer."""
        out = copy(self)
        out.base = base
        return out

    @property
    def room(self) -> Size:
        """How many elements its memory has.

        Blocks of a transposition may end behind the last coordinate; what is written there is overwritten, or never
        read.
        """
        across = self._across()
        return self.size + (0 if across == len(self.parts) - 1 else self.lanes * self.distances[across])

    @property
    def alloc(self) -> Stmt:
        """Its memory."""
        return Alloc(Buffer(self.name, self.dtype, (self.room,), Role.TEMP, Space.SCRATCH))

    @property
    def strided(self) -> Strided:
        """Where the elements are, by the indices of the factor's axes."""
        places = zip(self.windows, self.parts, self.distances, strict=True)
        return Strided(self.name, self.base + total((w.position - p.start) * d for w, p, d in places))

    def fill(self, place: Mapping[str, Size]) -> Block:
        """Write it; ``place`` are the indices of axes that are no coordinates.

        What lies along another coordinate than the last is read in vectors of that one, and transposed: two vectorized
        loops, one inside the other.
        """
        variables = [f"{self.name}.{n}" for n in range(len(self.windows))]
        last, across = len(variables) - 1, self._across()
        coordinates: list[Size] = [Dim(v) for v in variables]
        guard: tuple[Size, ...] = ()
        for number in dict.fromkeys((last, across)):
            coordinates[number] = self.lanes * Dim(variables[number] + "o") + Dim(variables[number])
            guard += self._tail(number, coordinates[number])
        block = self._element(place, coordinates, guard, self._tail(last, coordinates[last]))
        for number in dict.fromkeys((last, across)):
            block = (For(variables[number], self.lanes, LoopKind.VECTORIZED, block),)
        order = [n for n in range(last) if n != across] + [n for n in (across, last) if n == last or across != last]
        for number in reversed(list(dict.fromkeys(order))):
            count, variable = self.parts[number].extent, variables[number]
            if number in (last, across):
                count = self.width if self.width and number == last else count
                count, variable = ceildiv(count, self.lanes), variable + "o"
            block = (For(variable, count, LoopKind.SERIAL, block),)
        return block

    def _across(self) -> int:
        """The coordinate along which the factor lies in memory: the last one, if it lies along that or along none."""
        numbers = range(len(self.windows) - 1, -1, -1)
        along = (
            n for n in numbers if any(step == 1 and self.factor.runs_along(a) for a, step in self.windows[n].steps)
        )
        return next(along, len(self.windows) - 1)

    def _tail(self, number: int, coordinate: Size) -> tuple[Size, ...]:
        """The guard of what is read in the last vector along a coordinate, which may be wider than what is left."""
        extent = self.parts[number].extent
        whole = self.width if self.width and number == len(self.parts) - 1 else self.lanes
        if isinstance(extent, int) and extent % whole == 0:
            return ()
        return (extent - 1 - coordinate,)

    def _element(
        self,
        place: Mapping[str, Size],
        coordinates: Sequence[Size],
        guard: tuple[Size, ...],
        stored: tuple[Size, ...],
    ) -> Block:
        """The statements that write one element."""
        here = dict(place)
        for window, part, coordinate in zip(self.windows, self.parts, coordinates, strict=True):
            here |= window.place(part.start + coordinate)
        instance = instantiate(self.factor.lets, here, f".{self.name[1:]}")
        lets = tuple(Let(item.name, guarded(item.value, guard)) for item in instance.lets if isinstance(item, Let))
        index = self.base + total(c * d for c, d in zip(coordinates, self.distances, strict=True))
        value = guarded(instance.value(self.factor.value), guard)
        return (*lets, Store(self.name, (index,), value, () if self.width else stored))


def guarded(expr: Expr, guard: tuple[Size, ...]) -> Expr:
    """The expression with its loads made only where a guard holds, as far as they differ with it."""
    if not guard:
        return expr
    varying = {n for g in guard for n in names(g) if n.startswith("%")}

    def visit(e: Expr) -> Expr:
        if isinstance(e, Load) and any(not varying.isdisjoint(names(i)) for i in (*e.index, *e.guard)):
            return replace(e, guard=(*e.guard, *guard))
        return rebuild(e, visit)

    return visit(expr)
