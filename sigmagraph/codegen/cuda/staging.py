"""Brings a factor of a contraction into shared memory, a block of its rows and a step of the summed axes at a time.

Elements are read into registers while products of the step before are formed, and written down between two barriers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigmagraph.codegen.cuda.elementwise import VECTOR_BYTES, divides
from sigmagraph.codegen.cuda.tiles import THREAD
from sigmagraph.codegen.templates.factors import Factor
from sigmagraph.codegen.templates.pieces import indices_in, instantiate, slope, uses
from sigmagraph.dims import Dim, Size, divide_exact, substitute
from sigmagraph.dtypes import DType
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load
from sigmagraph.ir.kernel.kernel import Alloc, Block, Buffer, For, If, Let, LoopKind, Role, Space, Stmt, Store
from sigmagraph.ops.rules import unflatten

OWN, SUMMED = "%own", "%deep"  # the number of a row of the factor, and of an index of the summed axes


@dataclass(frozen=True, slots=True)
class Slab:
    """A block of a factor: ``rows`` of its rows, ``depth`` summed indices.

    Attributes:
        name: tells the two factors apart.
        factor: whose block it is.
        value: an element of it, as it is multiplied.
        rows, depth: how large it is.
        block: which block of rows it is.
        start: the first summed index.
        summed, end: the summed axes, and how many indices they have.
        even: whether all steps end before that.
        others: what other axes are.
        threads: how many threads bring it.
        deep: whether summed indices lie side by side in shared memory, and not rows.
    """

    name: str
    factor: Factor
    value: Expr
    rows: int
    depth: int
    block: Size
    summed: tuple[Axis, ...]
    end: Size
    even: bool
    others: Mapping[str, Size]
    threads: int
    deep: bool

    @property
    def dtype(self) -> DType:
        """Of its elements."""
        return self.value.dtype

    @property
    def shared(self) -> Buffer:
        """Where it lies for all threads."""
        size = self.rows * self.pitch if self.deep else self.depth * self.pitch
        return Buffer(f"%{self.name}", self.dtype, (size,), Role.TEMP, Space.SHARED)

    @property
    def pitch(self) -> int:
        """From one line of it to the next: what lies below each other is in different banks of memory."""
        return (self.depth if self.deep else self.rows) + (16 if self.deep else 32) // self.dtype.itemsize

    def at(self, row: Size, deep: Size) -> Size:
        """Where an element lies in shared memory."""
        return row * self.pitch + deep if self.deep else deep * self.pitch + row

    @property
    def held(self) -> Buffer:
        """What a thread has read of it."""
        return Buffer(
            f"%{self.name}.held", self.dtype, (self.rows * self.depth // self.threads,), Role.TEMP, Space.LOCAL
        )

    # ---- who brings what

    @property
    def along(self) -> tuple[str, int]:
        """The number along which elements are read side by side, and how many at a time."""
        most = VECTOR_BYTES // self.dtype.itemsize
        for name, extent, total in ((SUMMED, self.depth, self.end), (OWN, self.rows, self.factor.extent)):
            lanes = min(most, extent, self.rows * self.depth // self.threads)
            if lanes > 1 and self._lie_side_by_side(name, lanes) and divide_exact(total, lanes) is not None:
                return name, lanes
        return (SUMMED if self.factor.runs_along(self.summed[-1]) else OWN), 1

    def _lie_side_by_side(self, name: str, lanes: int) -> bool:
        """Whether loads are of whole vectors along a number."""
        loads = [load.index[0] for load in self._loads()]
        if any(uses(a.args[0], [name]) for index in self._indices() for a in divisions(index)):
            return False
        return any(slope(i, name) == 1 and divides(lanes, substitute(i, {name: 0})) for i in loads)

    def _placed(self) -> dict[str, Size]:
        """What the axes of the factor are, in numbers."""
        place = dict(self.others)
        for axes, name in ((self.factor.axes, OWN), (self.summed, SUMMED)):
            digits = unflatten(Dim(name), [a.extent for a in axes])
            place |= {a.var: digit for a, digit in zip(axes, digits, strict=True)}
        return place

    def _loads(self) -> list[Load]:
        from sigmagraph.ir.kernel.expr import walk

        instance = instantiate(self.factor.lets, self._placed(), "")
        values = [*(item.value for item in instance.lets if isinstance(item, Let)), instance.value(self.value)]
        return [e for value in values for e in walk(value) if isinstance(e, Load)]

    def _indices(self) -> list[Size]:
        instance = instantiate(self.factor.lets, self._placed(), "")
        values = [*(item.value for item in instance.lets if isinstance(item, Let)), instance.value(self.value)]
        return [i for value in values for i in indices_in(value)]

    # ---- statements

    def bring(self, start: Size) -> Block:
        """Read the elements from a summed index on into registers."""
        name, lanes = self.along
        turn, lane = f"%{self.name}.n", f"%{self.name}.v"
        row, deep = self._element(Dim(turn), Dim(lane) if lanes > 1 else 0)
        own, number = self.rows * self.block + row, start + deep
        body, guard = self._element_at(
            own, number, Store(self.held.name, (lanes * Dim(turn) + (Dim(lane) if lanes > 1 else 0),), self.value)
        )
        zero: Block = (
            Store(
                self.held.name,
                (lanes * Dim(turn) + (Dim(lane) if lanes > 1 else 0),),
                Const(0.0 if self.dtype.is_float else 0, self.dtype),
            ),
        )
        if lanes > 1:
            guard = tuple(substitute(g, {lane: 0}) - (lanes - 1 if uses(g, [lane]) else 0) for g in guard)
            body = (For(lane, lanes, LoopKind.VECTORIZED, body),)
            zero = (For(lane, lanes, LoopKind.VECTORIZED, zero),)
        if guard:
            body = (If(guard, body, zero),)
        return (For(turn, self._turns(lanes), LoopKind.UNROLLED, body),)

    def write(self) -> Block:
        """Write down what has been read."""
        _, lanes = self.along
        turn, lane = f"%{self.name}.n", f"%{self.name}.v"
        at = Dim(lane) if lanes > 1 else 0
        row, deep = self._element(Dim(turn), at)
        value = Load(self.held.name, (lanes * Dim(turn) + at,), self.dtype)
        body: Block = (Store(self.shared.name, (self.at(row, deep),), value),)
        if lanes > 1:
            body = (For(lane, lanes, LoopKind.VECTORIZED, body),)
        return (For(turn, self._turns(lanes), LoopKind.UNROLLED, body),)

    def _turns(self, lanes: int) -> int:
        return self.rows * self.depth // (lanes * self.threads)

    def _element(self, turn: Size, lane: Size) -> tuple[Size, Size]:
        """Row and summed index of an element that a thread brings."""
        name, lanes = self.along
        number = self.threads * turn + Dim(THREAD)
        fast = (self.depth if name == SUMMED else self.rows) // lanes
        slow, at = number // fast, lanes * (number % fast) + lane
        return (slow, at) if name == SUMMED else (at, slow)

    def _element_at(self, own: Size, number: Size, store: Store) -> tuple[Block, tuple[Size, ...]]:
        """The store of an element, and what must be at least 0 for it to exist."""
        guard: list[Size] = []
        if divide_exact(self.factor.extent, self.rows) is None:
            guard.append(self.factor.extent - 1 - own)
        if not self.even:
            guard.append(self.end - 1 - number)
        lets: list[Stmt] = []
        names: dict[str, Size] = {}
        divided = {str(a.args[0]) for index in self._indices() for a in divisions(index)}
        for name, value in ((OWN, own), (SUMMED, number)):
            if name in divided:
                names[name] = Dim(f"{name}.{self.name}")
                lets.append(Let(str(names[name]), Index(value)))
            else:
                names[name] = value
        place = {var: substitute(digit, names) for var, digit in self._placed().items()}
        instance = instantiate(self.factor.lets, place, f".{self.name}")
        return (*lets, *instance.lets, Store(store.buffer, store.index, instance.value(store.value))), tuple(guard)


def allocate(slabs: Sequence[Slab]) -> Block:
    """Shared memory for blocks of factors."""
    return tuple(Alloc(slab.shared) for slab in slabs)
