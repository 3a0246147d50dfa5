"""Brings a factor of a contraction into shared memory, a block of its rows and a step of the summed axes at a time.

Elements are read into registers while the products of the step before are formed, and written down between two
barriers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.codegen.cuda.elementwise import VECTOR_BYTES, divides
from sigmagraph.codegen.cuda.outputs import digits_of
from sigmagraph.codegen.cuda.tiles import THREAD
from sigmagraph.codegen.templates.factors import Factor
from sigmagraph.codegen.templates.pieces import Instance, indices_in, instantiate, slope
from sigmagraph.dims import Dim, Size, divide_exact, substitute
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load, walk
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, If, Let, LoopKind, Role, Space, Stmt, Store

OWN, SUMMED = "%own", "%deep"  # the number of a row of the factor, and of an index of the summed axes


@dataclass(frozen=True, slots=True)
class Steps:
    """The summed axes of a contraction as they are walked.

    Attributes:
        axes: they themselves.
        total: how many indices they have.
        depth: so many of them are a step.
        even: whether no step reaches beyond them.
    """

    axes: tuple[Axis, ...]
    total: Size
    depth: int
    even: bool


class Slab:
    """A step of a block of a factor: so many of its rows, as many summed indices as a step has.

    Args:
        name: tells the two factors apart.
        factor: whose it is.
        value: an element of it, as it is multiplied.
        rows: how many rows it has.
        block: which block of rows it is.
        steps: the summed axes.
        others: what other axes are.
        threads: how many bring it.
        by_depth: whether summed indices may lie side by side in shared memory, if they do so where they come from.

    Attributes:
        shared: where it lies for all threads.
        held: what a thread has read of it.
    """

    def __init__(
        self,
        name: str,
        factor: Factor,
        value: Expr,
        rows: int,
        block: Size,
        steps: Steps,
        others: Mapping[str, Size],
        threads: int,
        by_depth: bool,
    ) -> None:
        self.name, self.factor, self.value = name, factor, value
        self.rows, self.block, self.steps = rows, block, steps
        self.threads = threads
        self.dtype = value.dtype
        self.place = {**others, **digits_of(OWN, factor.axes), **digits_of(SUMMED, steps.axes)}
        self._read()
        self._choose_vectors()
        self.deep = by_depth and self.along == SUMMED
        each = self.rows * steps.depth // threads
        self.turns = each // self.lanes
        # The fragments that a warp reads at a time are in different banks of memory, as are those of instructions
        # whose registers hold two elements: of these, every second row is read.
        self.pitch = steps.depth + 16 // self.dtype.itemsize if self.deep else rows + 8
        size = (rows if self.deep else steps.depth) * self.pitch
        self.shared = Buffer(f"%{name}", self.dtype, (size,), Role.TEMP, Space.SHARED)
        self.held = Buffer(f"%{name}.held", self.dtype, (each,), Role.TEMP, Space.LOCAL)

    def at(self, row: Size, deep: Size) -> Size:
        """Where an element lies in shared memory."""
        return row * self.pitch + deep if self.deep else deep * self.pitch + row

    # ---- who brings what

    def _read(self) -> None:
        """What is read for an element, in numbers of rows and summed indices."""
        instance = instantiate(self.factor.lets, self.place, "")
        values = [item.value for item in instance.lets if isinstance(item, Let)] + [instance.value(self.value)]
        indices = [i for value in values for i in indices_in(value)]
        self.divided = {str(a.args[0]) for index in indices for a in divisions(index)}
        self.loads = [e.index[0] for value in values for e in walk(value) if isinstance(e, Load)]

    def _choose_vectors(self) -> None:
        """Along which numbers elements are read side by side, and how many at a time."""
        depth = self.steps.depth
        most = min(VECTOR_BYTES // self.dtype.itemsize, self.rows * depth // self.threads)
        for name, extent, total in ((SUMMED, depth, self.steps.total), (OWN, self.rows, self.factor.extent)):
            lanes = min(most, extent)
            if lanes > 1 and divide_exact(total, lanes) is not None and self._are_vectors(name, lanes):
                self.along, self.lanes = name, lanes
                return
        self.along, self.lanes = (SUMMED if self.factor.runs_along(self.steps.axes[-1]) else OWN), 1

    def _are_vectors(self, name: str, lanes: int) -> bool:
        """Whether something is read in whole vectors along a number."""
        whole = (slope(i, name) == 1 and divides(lanes, substitute(i, {name: 0})) for i in self.loads)
        return name not in self.divided and any(whole)

    def _element(self, turn: Size, lane: Size) -> tuple[Size, Size]:
        """Row and summed index of an element that a thread brings."""
        number = self.threads * turn + Dim(THREAD)
        fast = (self.steps.depth if self.along == SUMMED else self.rows) // self.lanes
        slow, at = number // fast, self.lanes * (number % fast) + lane
        return (slow, at) if self.along == SUMMED else (at, slow)

    # ---- statements

    def bring(self, start: Size) -> Block:
        """Read the elements from a summed index on into registers; what does not exist is zero."""
        lane = self._lane
        place = self.lanes * self._turn + lane
        row, deep = self._element(self._turn, lane)
        own, number = self.rows * self.block + row, start + deep
        lets, instance = self._at(own, number)
        body: Block = (*lets, *instance.lets, Store(self.held.name, (place,), instance.value(self.value)))
        zero: Block = (Store(self.held.name, (place,), Const(0.0 if self.dtype.is_float else 0, self.dtype)),)
        guard = tuple(self._last(size) for size in self._limits(own, number))
        if guard:
            return self._loops((If(guard, self._vector(body), self._vector(zero)),))
        return self._loops(self._vector(body))

    def write(self) -> Block:
        """Write down what has been read."""
        row, deep = self._element(self._turn, self._lane)
        value = Load(self.held.name, (self.lanes * self._turn + self._lane,), self.dtype)
        return self._loops(self._vector((Store(self.shared.name, (self.at(row, deep),), value),)))

    @property
    def _turn(self) -> Size:
        return Dim(f"%{self.name}.n")

    @property
    def _lane(self) -> Size:
        return Dim(f"%{self.name}.v") if self.lanes > 1 else 0

    def _loops(self, body: Block) -> Block:
        return (For(str(self._turn), self.turns, LoopKind.UNROLLED, body),)

    def _vector(self, body: Block) -> Block:
        return (For(str(self._lane), self.lanes, LoopKind.VECTORIZED, body),) if self.lanes > 1 else body

    def _limits(self, own: Size, number: Size) -> list[Size]:
        """What is at least 0 for an element that exists."""
        limits: list[Size] = []
        if divide_exact(self.factor.extent, self.rows) is None:
            limits.append(self.factor.extent - 1 - own)
        if not self.steps.even:
            limits.append(self.steps.total - 1 - number)
        return limits

    def _last(self, size: Size) -> Size:
        """A limit for the last lane, for which it is the strictest."""
        return substitute(size, {str(self._lane): self.lanes - 1}) if self.lanes > 1 else size

    def _at(self, own: Size, number: Size) -> tuple[Block, Instance]:
        """The lets of an element; numbers that are divided get a name, so that this is done once."""
        lets: list[Stmt] = []
        names: dict[str, Size] = {}
        for name, value in ((OWN, own), (SUMMED, number)):
            names[name] = value
            if name in self.divided:
                names[name] = Dim(f"{name}.{self.name}")
                lets.append(Let(str(names[name]), Index(value)))
        place = {var: substitute(digit, names) for var, digit in self.place.items()}
        return tuple(lets), instantiate(self.factor.lets, place, f".{self.name}")
