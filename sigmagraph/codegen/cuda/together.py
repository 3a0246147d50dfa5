"""Puts launches of a plan together that do not depend on each other, so that one launch does the work of several.

A launch costs some microseconds, in which a GPU reads megabytes. Launches that differ in numbers only become one
whatever their size, unless they have tiles in shared memory, because nothing is lost by it: the updates of all
parameters of a network, say. Others become one where they are small. What is large has a launch of its own, since a
function takes as many registers as the greediest of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from sigmagraph.codegen.cuda.alike import Shape
from sigmagraph.codegen.cuda.emit import pointer_type
from sigmagraph.codegen.cuda.nests import Nest
from sigmagraph.dims import nominal
from sigmagraph.ir.kernel.kernel import Space
from sigmagraph.ir.plan import Branch, Copy, Launch, Loop, Place, Step

SMALL = 1 << 19  # threads: with 16 bytes each they read 8 MB, which takes about as long as a launch
_ARGUMENTS = 4000  # bytes of arguments of a function; CUDA allows 4096 everywhere
_LOCAL = 256  # bytes of memory of a thread that a small launch may bring to a large one,
_SHARED = 4096  # and of a block
_WARP = 32
_Memory = frozenset[tuple[str, int]]


@dataclass(frozen=True)
class Unit:
    """One nest of one launch of the plan, or a copy.

    Attributes:
        nest: what is done.
        shape: what it has in common with others.
        launch: with which places.
        copy: what it was in the plan, if that was a copy.
    """

    nest: Nest
    shape: Shape
    launch: Launch
    copy: Copy | None = None

    @cached_property
    def written(self) -> _Memory:
        """What it writes."""
        return frozenset(self._memory(self.nest.written))

    @cached_property
    def touched(self) -> _Memory:
        """What it reads or writes."""
        return frozenset(self._memory(self.nest.used))

    @cached_property
    def pointers(self) -> frozenset[tuple[Place, str]]:
        """The pointers that it takes: where to, and of which type."""
        params = self.nest.kernel.params
        return frozenset((self.launch.places[n], pointer_type(params[n])) for n in self.nest.used)

    @cached_property
    def small(self) -> bool:
        """Whether it leaves much of a GPU idle."""
        return nominal(self.nest.blocks) * self.nest.threads <= SMALL

    def _memory(self, numbers: Sequence[int]) -> Iterator[tuple[str, int]]:
        for place in map(self.launch.places.__getitem__, numbers):
            yield place.space, place.index


@dataclass(slots=True)
class Group:
    """Units that become one launch.

    Attributes:
        families: units by what they have in common.
        written, touched: what all of them write, and read or write.
        pointers: all that they take.
        dims: all that they may take.
    """

    families: dict[Hashable, list[Unit]] = field(default_factory=dict)
    written: set[tuple[str, int]] = field(default_factory=set)
    touched: set[tuple[str, int]] = field(default_factory=set)
    pointers: set[tuple[Place, str]] = field(default_factory=set)
    dims: set[str] = field(default_factory=set)

    def add(self, unit: Unit) -> None:
        """Take a unit in."""
        self.families.setdefault(unit.shape.key, []).append(unit)
        self.written |= unit.written
        self.touched |= unit.touched
        self.pointers |= unit.pointers
        self.dims |= set(unit.nest.kernel.dims)

    def stops(self, unit: Unit) -> bool:
        """Whether a unit has to come later than this."""
        return not (self.written.isdisjoint(unit.touched) and self.touched.isdisjoint(unit.written))

    def takes(self, unit: Unit) -> bool:
        """Whether it is better to have a unit in this than in a launch of its own."""
        arguments = 8 * len(self.pointers | unit.pointers) + 4 * len(self.dims | set(unit.nest.kernel.dims)) + 16
        if arguments > _ARGUMENTS:
            return False
        if unit.shape.key in self.families:
            return _is_kin(unit, self.families[unit.shape.key])
        firsts = [units[0] for units in self.families.values()]
        large = [u for u in firsts if not all(v.small for v in self.families[u.shape.key])]
        if not unit.small:
            return not large and all(_fits(small, unit) for small in firsts)
        return _suits(firsts, unit) and all(_fits(unit, u) for u in large)


def _is_kin(unit: Unit, family: Sequence[Unit]) -> bool:
    """Whether a unit and those that it differs from in numbers only lose nothing as one function.

    Tiles in shared memory are worked on with numbers that compilers know, unless little is done at all.
    """
    if unit.nest.memory(Space.SHARED) <= _SHARED or all(u.small for u in (unit, *family)):
        return True
    return all(u.shape.numbers == unit.shape.numbers for u in family)


def _fits(small: Unit, large: Unit) -> bool:
    """Whether a large unit loses nothing by a small one beside it."""
    if not _suits([large], small) or small.nest.threads > large.nest.threads:
        return False
    local, shared = (small.nest.memory(space) for space in (Space.LOCAL, Space.SHARED))
    return local <= max(_LOCAL, large.nest.memory(Space.LOCAL)) and shared <= max(
        _SHARED, large.nest.memory(Space.SHARED)
    )


def _suits(others: Sequence[Unit], unit: Unit) -> bool:
    """Whether blocks, which have the threads of the largest, suit those whose threads wait for each other, by warps."""
    most = max(unit.nest.threads, *(u.nest.threads for u in others))
    return all(u.nest.threads == most or u.nest.threads % _WARP == 0 or not u.nest.waits for u in (unit, *others))


@dataclass(frozen=True, slots=True)
class _Moved:
    """A copy among groups."""

    step: Copy

    def stops(self, unit: Unit) -> bool:
        ends = [(p.space, p.index) for p in (self.step.source, self.step.target)]
        return ends[1] in unit.touched or ends[0] in unit.written


def together(
    steps: Sequence[Step], units: Callable[[Launch | Copy], Sequence[Unit]], write: Callable[[Group], Step]
) -> tuple[Step, ...]:
    """The steps with launches put together; each is done as early as it can be, with others if that pays.

    Args:
        steps: of a plan.
        units: what each launch or copy consists of; of nothing a copy that stays what it is.
        write: what a group becomes.
    """
    out: list[Step] = []
    waiting: list[Group | _Moved] = []

    def flush() -> None:
        out.extend(write(item) if isinstance(item, Group) else item.step for item in waiting)
        waiting.clear()

    for step in steps:
        match step:
            case Launch() | Copy():
                found = units(step)
                for unit in found:
                    _place(unit, waiting)
                if isinstance(step, Copy) and not found:
                    waiting.append(_Moved(step))
            case Loop(turn, extent, inner):
                flush()
                out.append(Loop(turn, extent, together(inner, units, write)))
            case Branch(condition, then, orelse):
                flush()
                out.append(Branch(condition, together(then, units, write), together(orelse, units, write)))
            case _:
                flush()
                out.append(step)
    flush()
    return tuple(out)


def _place(unit: Unit, waiting: list[Group | _Moved]) -> None:
    """Put a unit with others like it, or as early as it can be, so that what waits for it can be early too."""
    first = next((n for n in reversed(range(len(waiting))) if waiting[n].stops(unit)), -1) + 1
    able = [item for item in waiting[first:] if isinstance(item, Group) and item.takes(unit)]
    alike = [group for group in able if unit.shape.key in group.families]
    if able:
        (alike or able)[0].add(unit)
        return
    group = Group()
    group.add(unit)
    waiting.insert(first, group)
