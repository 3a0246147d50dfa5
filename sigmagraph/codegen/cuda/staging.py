"""Brings a factor of a contraction into shared memory, a block of its rows and a step of the summed axes at a time.

What lies in memory as it is multiplied is fetched, some steps before it is needed. What has to be computed, or to be
turned, is read into registers while the products of the step before are formed, and written down behind them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sigmagraph.codegen.cuda.elementwise import VECTOR_BYTES, divides
from sigmagraph.codegen.cuda.fetch import Fetch
from sigmagraph.codegen.cuda.numbers import digits_of, divided
from sigmagraph.codegen.cuda.tiles import THREAD, Tile
from sigmagraph.codegen.templates.factors import Factor
from sigmagraph.codegen.templates.pieces import Instance, indices_in, instantiate, slope, uses
from sigmagraph.dims import Dim, Size, divide_exact, substitute
from sigmagraph.ir.kernel.bounds import divisions
from sigmagraph.ir.kernel.compute import Axis
from sigmagraph.ir.kernel.expr import Const, Expr, Index, Load, Var, apply, walk
from sigmagraph.ir.kernel.kernel import Block, Buffer, For, If, Let, LoopKind, Role, Space, Stmt, Store, View

OWN, SUMMED = "%own", "%deep"  # the number of a row of the factor, and of an index of the summed axes
_LANE = "%side"  # which element of a vector it is


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
        value: an element of it.
        rounding: the scalar op that makes elements what is multiplied; none if it is empty.
        rows: how many rows it has.
        block: which block of rows it is.
        steps: the summed axes.
        others: what other axes are.
        tile: how it is multiplied.
        ahead: how many steps before it is needed a step may be fetched; 0 where there is no such instruction.
        stays: for how many steps there is room if all of them are brought at once; 0 if they are brought one by one.

    Attributes:
        gathered: whether a thread reads what lies below each other, and threads side by side what lies side by side.
        fetched: whether elements are fetched, and not read by threads.
        rounding: what is left to be done with elements where they are multiplied.
        stages: for how many steps there is room.
        form: where elements of one of them lie.
        shared: where they lie for all threads.
        held: what a thread has read of one.
    """

    def __init__(
        self,
        name: str,
        factor: Factor,
        value: Expr,
        rounding: str,
        rows: int,
        block: Size,
        steps: Steps,
        others: Mapping[str, Size],
        tile: Tile,
        ahead: int,
        stays: int = 0,
    ) -> None:
        self.name, self.factor, self.value = name, factor, value
        self.rows, self.block, self.steps = rows, block, steps
        self.threads = tile.layout.threads
        self.dtype = value.dtype
        self.axes = {OWN: factor.axes, SUMMED: steps.axes}
        numbered = {**digits_of(Dim(OWN), factor.axes), **digits_of(Dim(SUMMED), steps.axes)}
        self._plain: dict[str, Size] = {**others, **numbered}
        self._choose_vectors()
        self.form = tile.arranged(self.dtype, rows, self.along == SUMMED)
        self.gathered = tile.group is not None and self.form.deep and self.along == OWN
        if self.gathered:
            self._bring(SUMMED, VECTOR_BYTES // self.dtype.itemsize, False, self._plain)
        each = self.rows * steps.depth // self.threads
        self.turns = each // self.lanes
        unread = tile.group is not None and rounding  # by threads, which would have to round them
        found = self._found() if ahead and not unread else None
        self.fetched = found is not None
        self.value = found or value
        # Nobody waits for what has been read before it is written down: it is rounded then.
        self.rounding, self._rounded = (rounding, "") if found else ("", rounding)
        # A step is brought while others are read: the one that is multiplied, and those that are under way.
        self.stages = stays or (ahead if found else 1) + 1 + tile.lasting
        self.shared = Buffer(f"%{name}", self.dtype, (self.stages * self.form.size,), Role.TEMP, Space.SHARED)
        self.held = Buffer(f"%{name}.held", self.dtype, (each,), Role.TEMP, Space.LOCAL)

    # ---- who brings what

    def _choose_vectors(self) -> None:
        """Along which numbers elements are read side by side, how many at a time, and what that makes of axes.

        Where a number is divided, whole vectors are counted instead: those of the last axis lie side by side.
        """
        depth = self.steps.depth
        most = min(VECTOR_BYTES // self.dtype.itemsize, self.rows * depth // self.threads)
        sides = (SUMMED, depth, self.steps.total), (OWN, self.rows, self.factor.extent)
        while most > 1:
            for name, extent, total in sides:
                lanes = min(most, extent)
                for counted in (False, True) if divide_exact(total, lanes) is not None else ():
                    place = self._placed(name, lanes, counted)
                    if place is not None and self._are_vectors(place, name, lanes, counted):
                        self._bring(name, lanes, counted, place)
                        return
            most //= 2
        self._bring(SUMMED if self.factor.runs_along(self.steps.axes[-1]) else OWN, 1, False, self._plain)

    def _bring(self, along: str, lanes: int, counted: bool, place: dict[str, Size]) -> None:
        """Have so many elements brought at a time that lie side by side along a number."""
        self.along, self.lanes, self.counted, self.place = along, lanes, counted, place
        self.divided = divided(self._indices(place))

    def _placed(self, name: str, lanes: int, counted: bool) -> dict[str, Size] | None:
        """What axes are, in numbers; None where the last axis is no whole number of vectors."""
        place = dict(self._plain)
        if counted:
            *outer, last = self.axes[name]
            vectors = divide_exact(last.extent, lanes)
            if vectors is None:
                return None
            place |= digits_of(Dim(name), (*outer, Axis(last.var, vectors)))
            place[last.var] = lanes * place[last.var] + Dim(_LANE)
        return place

    def _values(self, place: Mapping[str, Size]) -> list[Expr]:
        instance = instantiate(self.factor.lets, place, "")
        return [*(item.value for item in instance.lets if isinstance(item, Let)), instance.value(self.value)]

    def _indices(self, place: Mapping[str, Size]) -> list[Size]:
        return [i for value in self._values(place) for i in indices_in(value)]

    def _are_vectors(self, place: Mapping[str, Size], name: str, lanes: int, counted: bool) -> bool:
        """Whether something is read in whole vectors along a number."""
        lane = _LANE if counted else name
        if any(uses(a.args[0], [lane]) for index in self._indices(place) for a in divisions(index)):
            return False
        loads = [e.index[0] for value in self._values(place) for e in walk(value) if isinstance(e, Load)]
        return any(slope(i, lane) == 1 and divides(lanes, substitute(i, {lane: 0})) for i in loads)

    def _element(self, turn: Size, lane: Size) -> tuple[Size, Size]:
        """Row and summed index of an element that a thread brings."""
        number = self.threads * turn + Dim(THREAD)
        if self.gathered:
            return number % self.rows, self.lanes * (number // self.rows) + lane
        fast = (self.steps.depth if self.along == SUMMED else self.rows) // self.lanes
        across = min(fast, self.threads // self.form.lines)
        if across < fast:  # turns go along the vectors of some lines first
            parts, down = fast // across, self.threads // across
            slow, at = down * (turn // parts) + Dim(THREAD) // across, across * (turn % parts) + Dim(THREAD) % across
        else:
            slow, at = number // fast, number % fast
        at = self.lanes * at + lane
        return (slow, at) if self.along == SUMMED else (at, slow)

    def _found(self) -> Load | None:
        """The load that an element is, if vectors of them can be copied as they are."""
        lets, load = {item.name: item.value for item in self.factor.lets}, self.value
        while isinstance(load, Var) and load.name in lets:
            load = lets[load.name]
        if not isinstance(load, Load) or not Fetch(self.dtype, self.lanes).exists:
            return None
        if any(uses(size, list(lets)) for size in (*load.index, *load.guard)):
            return None
        varies = any(uses(substitute(g, self.place), [_LANE if self.counted else self.along]) for g in load.guard)
        return None if self.lanes > 1 and (self.gathered or self._turned or varies) else load

    @property
    def _turned(self) -> bool:
        """Whether what is read side by side is not written side by side."""
        return (self.along == SUMMED) is not self.form.deep

    def _place(self, step: Size) -> Size:
        """Where an element that a thread brings lies in shared memory."""
        if self._turned:
            return self.start(step) + self.form.at(*self._element(self._turn, self._lane))
        return self.start(step) + self.form.at(*self._element(self._turn, 0)) + self._lane

    # ---- statements

    def start(self, step: Size) -> Size:
        """Where a step lies in shared memory."""
        return self.form.size * (step % self.stages)

    @property
    def now(self) -> Size:
        """Where the step that is multiplied lies, in what :meth:`named` stands before."""
        return Dim(f"%{self.name}.now")

    def named(self, step: Size) -> Let:
        """Says where a step lies that is multiplied."""
        return Let(str(self.now), Index(self.start(step)))

    def fetch(self, start: Size, step: Size) -> Block:
        """Begin to copy the elements from a summed index on; what does not exist is zero."""
        row, deep = self._element(self._turn, self._lane)
        own, number = self.rows * self.block + row, start + deep
        lets, instance = self._at(own, number)
        load = instance.value(self.value)
        assert isinstance(load, Load)
        place = self._place(step)
        first = (substitute(place, self._at_lane(0)),)
        source = View(load.buffer, tuple(substitute(i, self._at_lane(0)) for i in load.index))
        body: Block = (Fetch(self.dtype, self.lanes).call(source, View(self.shared.name, first)),)
        zero = self._vector((Store(self.shared.name, (place,), self._zero),))
        guard, limits = tuple(substitute(g, self._at_lane(0)) for g in load.guard), self._limits(own, number)
        body = (*lets, If(guard, body, zero)) if guard else (*lets, *body)
        return self._loops((If(limits, body, zero),) if limits else body)

    def bring(self, start: Size) -> Block:
        """Read the elements from a summed index on into registers; what does not exist is zero."""
        lane = self._lane
        place = self.lanes * self._turn + lane
        row, deep = self._element(self._turn, lane)
        own, number = self.rows * self.block + row, start + deep
        lets, instance = self._at(own, number)
        body: Block = (*lets, *instance.lets, Store(self.held.name, (place,), instance.value(self.value)))
        zero: Block = (Store(self.held.name, (place,), self._zero),)
        guard = self._limits(own, number)
        if self.gathered:
            body = (If(guard, body, zero),) if guard else body
            return self._loops((For(str(lane), self.lanes, LoopKind.UNROLLED, body),))
        if guard:
            return self._loops((If(guard, self._vector(body), self._vector(zero)),))
        return self._loops(self._vector(body))

    def write(self, step: Size) -> Block:
        """Write down what has been read, as a step."""
        value: Expr = Load(self.held.name, (self.lanes * self._turn + self._lane,), self.dtype)
        value = apply(self._rounded, value) if self._rounded else value
        return self._loops(self._vector((Store(self.shared.name, (self._place(step),), value),)))

    @property
    def _zero(self) -> Const:
        return Const(0.0 if self.dtype.is_float else 0, self.dtype)

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

    def _limits(self, own: Size, number: Size) -> tuple[Size, ...]:
        """What is at least 0 for elements that exist; of those, a vector that is read as one has all or none."""
        limits: list[Size] = []
        even = divide_exact(self.factor.extent, self.rows) is not None
        for name, value, extent, whole in (
            (OWN, own, self.factor.extent, even),
            (SUMMED, number, self.steps.total, self.steps.even),
        ):
            if not whole:
                counted = self.counted and name == self.along
                count = divide_exact(extent, self.lanes) if counted else extent
                last = self._vector_of(value) if counted else substitute(value, self._at_end)
                limits.append((count or 0) - 1 - last)
        return tuple(limits)

    @property
    def _at_end(self) -> dict[str, Size]:
        return {} if self.gathered else self._at_lane(self.lanes - 1)

    def _at_lane(self, lane: int) -> dict[str, Size]:
        return {str(self._lane): lane} if self.lanes > 1 else {}

    def _vector_of(self, number: Size) -> Size:
        """Which vector a number is in."""
        vector = divide_exact(substitute(number, self._at_lane(0)), self.lanes)
        assert vector is not None
        return vector

    def _at(self, own: Size, number: Size) -> tuple[Block, Instance]:
        """The lets of an element; numbers that are divided get a name, so that this is done once."""
        lets: list[Stmt] = []
        names: dict[str, Size] = {_LANE: self._lane}
        for name, given in ((OWN, own), (SUMMED, number)):
            value = self._vector_of(given) if self.counted and name == self.along else given
            names[name] = value
            if name in self.divided:
                names[name] = Dim(f"{name}.{self.name}")
                lets.append(Let(str(names[name]), Index(value)))
        place = {var: substitute(digit, names) for var, digit in self.place.items()}
        return tuple(lets), instantiate(self.factor.lets, place, f".{self.name}")
