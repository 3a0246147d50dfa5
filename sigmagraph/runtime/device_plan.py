"""Turns a plan at given dims into what a device does: one flat list of launches and copies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sigmagraph.dims import Size, coefficient, evaluate, names
from sigmagraph.errors import DimError
from sigmagraph.ir.launch import BRANCH, CHECK, COPY, COPY_THREADS, RUNNING, Launches
from sigmagraph.ir.plan import Branch, Check, Copy, Launch, Loop, Place, Plan, Port, Step, flat_steps

LIMIT = 1 << 31  # kernels count elements, blocks and dims with 32 bits
_COPY_BLOCKS = 1024
_COPY_BYTES = 16 * COPY_THREADS


@dataclass(frozen=True, slots=True)
class Call:
    """A launch: the function's name, what it is launched for, and what it is given."""

    symbol: str
    kernel: str
    blocks: int
    arguments: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A copy of some bytes."""

    target: int
    source: int
    size: int


Action = Call | Move


def flow_words(plan: Plan) -> int:
    """How many numbers the flow of a plan has: the status, the level of what is always done, two for each branch."""
    return 2 + 2 * _count(plan.steps, Branch)


def check_sizes(plan: Plan, launches: Launches, dims: Mapping[str, int]) -> None:
    """See that kernels can count what they work on.

    Raises:
        DimError: a buffer has too many elements, or a dim is too large.
    """
    for kind in ("input", "output", "param"):
        ports: Sequence[Port] = getattr(plan, f"{kind}s")
        for port in ports:
            size = evaluate(port.bytes, dims) // port.dtype.itemsize
            _check(f"the {kind} '{port.name}' has too many elements for a device", size, dims)
    items = launches.items or (1,) * len(plan.slots)
    for number, (slot, item) in enumerate(zip(plan.slots, items, strict=True)):
        user = _user(plan, number)
        _check(f"a value of '{user}' may have too many elements for a device", evaluate(slot, dims) // item, dims)
    for name, value in dims.items():
        _check(f"the dim '{name}' is too large for a device", value, dims)


def _check(problem: str, size: int, dims: Mapping[str, int]) -> None:
    if size >= LIMIT:
        used = ", ".join(f"{name}={value}" for name, value in dims.items())
        raise DimError(problem, expected=f"less than {LIMIT:,}", got=f"{size:,}" + (f" ({used})" if used else ""))


def _user(plan: Plan, slot: int) -> str:
    """The first kernel that uses a slot."""
    for step in flat_steps(plan.steps):
        if isinstance(step, Launch) and any(p.space == "slot" and p.index == slot for p in step.places):
            return step.kernel
    return plan.name


def largest(plan: Plan, dims: Mapping[str, int]) -> tuple[str, int]:
    """The first kernel that uses the largest slot of the arena, and the bytes of that slot."""
    sizes = [evaluate(slot, dims) for slot in plan.slots]
    if not sizes:
        return plan.name, 0
    number = max(range(len(sizes)), key=sizes.__getitem__)
    return _user(plan, number), sizes[number]


class Unrolling:
    """Makes the list of actions of one plan at given dims and addresses.

    Args:
        plan: the plan.
        launches: how its kernels are launched.
        dims: by name.
        bases: for each space the addresses of its entries.
        flow: the address of the flow, if there is one.
    """

    def __init__(
        self,
        plan: Plan,
        launches: Launches,
        dims: Mapping[str, int],
        bases: Mapping[str, Sequence[int]],
        flow: int,
    ) -> None:
        self.plan = plan
        self.launches = launches
        self.bases = bases
        self.flow = flow
        self.values = dict(dims)  # of dims, and of the turns of the loops around
        self.actions: list[Action] = []
        self._dims = dims
        self._checks = 0
        self._level = RUNNING
        self._linear: dict[Size, tuple[int, tuple[tuple[str, int], ...]] | None] = {}

    def run(self) -> list[Action]:
        """The actions, in order."""
        self._steps(self.plan.steps, RUNNING)
        return self.actions

    def _steps(self, steps: Sequence[Step], level: int) -> None:
        for step in steps:
            match step:
                case Launch():
                    self._launch(step, level)
                case Copy(source, target, size):
                    self._copy(source, target, self._number(size), level)
                case Loop():
                    self._loop(step, level)
                case Check(condition, _):
                    self._checks += 1
                    self._call(CHECK, 1, (self._at(condition), self._checks), level)
                case Branch(condition, then, orelse):
                    first = self._level + 1
                    self._level += 2
                    self._call(BRANCH, 1, (self._at(condition), first, first + 1), level)
                    self._steps(then, first)
                    self._steps(orelse, first + 1)

    def _loop(self, step: Loop, level: int) -> None:
        """Checks and branches have the same numbers in every turn."""
        checks, last = self._checks, self._level
        for turn in range(self._number(step.extent)):
            self._checks, self._level = checks, last
            self.values[step.turn] = turn
            self._steps(step.steps, level)
        self._checks = checks + _count(step.steps, Check)
        self._level = last + 2 * _count(step.steps, Branch)

    def _launch(self, step: Launch, level: int) -> None:
        for grid in self.launches.grids[step.kernel]:
            blocks = self._number(grid.blocks)
            _check(f"'{step.kernel}' has too many blocks for a device", blocks, self._dims)
            if blocks:
                pointers = [self._at(step.places[n]) for n in grid.buffers]
                sizes = [self.values[name] for name in grid.dims]
                self._call(grid.symbol, blocks, (*pointers, *sizes), level, step.kernel)

    def _copy(self, source: Place, target: Place, size: int, level: int) -> None:
        if not size:
            return
        if not self.launches.controlled:
            self.actions.append(Move(self._at(target), self._at(source), size))
            return
        blocks = min(-(-size // _COPY_BYTES), _COPY_BLOCKS)
        self._call(COPY, blocks, (self._at(source), self._at(target), size), level)

    def _call(self, symbol: str, blocks: int, arguments: tuple[int, ...], level: int, kernel: str = "") -> None:
        if self.launches.controlled:
            arguments = (*arguments, self.flow, level)
        self.actions.append(Call(symbol, kernel or symbol, blocks, arguments))

    def _at(self, place: Place) -> int:
        return self.bases[place.space][place.index] + self._number(place.offset)

    def _number(self, size: Size) -> int:
        """The value of an expression. Most are linear in the turns, and are evaluated once for all of them."""
        if isinstance(size, int):
            return size
        if size not in self._linear:
            self._linear[size] = self._split(size)
        split = self._linear[size]
        if split is None:
            return evaluate(size, self.values)
        return split[0] + sum(slope * self.values[turn] for turn, slope in split[1])

    def _split(self, size: Size) -> tuple[int, tuple[tuple[str, int], ...]] | None:
        """The rest, and the turns with their slopes; None where it is not linear in the turns."""
        slopes = []
        for turn in [name for name in names(size) if name not in self._dims]:
            found = coefficient(size, turn)
            if found is None or any(name not in self._dims for name in names(found[0])):
                return None
            slopes.append((turn, evaluate(found[0], self._dims)))
            size = found[1]
        return evaluate(size, self._dims), tuple(slopes)


def _count(steps: Sequence[Step], kind: type[Check | Branch]) -> int:
    return sum(isinstance(step, kind) for step in flat_steps(steps))
