"""Shows that the iterations of a loop do not touch each other's elements, so that their order does not matter.

Two accesses, at least one of them a store, in two different iterations of a loop must touch different elements. There
are two proofs. The short one: along one axis of the buffer (or in its flat index) all accesses have the form
``slope*i + offset``, and the offsets lie within one step, or are numbers so far apart that no other iteration gets
there. The long one takes accesses in pairs, one in iteration ``i``, one in ``i + d`` with ``d >= 1``, and shows that
their indices differ along some axis, or that the conditions under which they are made exclude each other.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import gcd
from types import MappingProxyType

from sigmagraph.dims import (
    Atom,
    Dim,
    Size,
    coefficient,
    divide_exact,
    multiples,
    names,
    of_atom,
    of_term,
    product,
    substitute,
)
from sigmagraph.facts import FEW, Facts
from sigmagraph.ir.kernel.bounds import Number, Range, Scope
from sigmagraph.ir.kernel.kernel import Buffer, Stmt

_SPLITS = 3


@dataclass(frozen=True)
class Access:
    """A statement that touches an element of a buffer, or ``span`` consecutive ones.

    Attributes:
        stmt: the statement.
        buffer: what it touches.
        index: the (first) element, without lets.
        writes: whether it writes.
        scope: what is known where it happens, its guard included.
        span: number of elements.
        uniform: loop variables with a number for each loop; all threads that do this between two barriers agree on
            the variables of loops that they have in common.
    """

    stmt: Stmt
    buffer: Buffer
    index: tuple[Size, ...]
    writes: bool
    scope: Scope
    span: Size = 1
    uniform: frozenset[tuple[str, int]] = frozenset()

    @cached_property
    def flat(self) -> Size:
        """The number of the element in memory."""
        out: Size = 0
        for position, extent in zip(self.index, self.buffer.shape, strict=True):
            out = out * extent + position
        return out

    @property
    def coordinates(self) -> tuple[Size, ...]:
        """Index expressions each of which tells elements apart: one an axis, last the flat index."""
        return (self.flat,) if len(self.index) == 1 else (*self.index, self.flat)


def find_race(var: str, extent: Size, outer: Scope, accesses: Sequence[Access]) -> tuple[Access, Access] | None:
    """Two accesses that could not be shown to stay apart in different iterations of ``var``; None when all do.

    Args:
        var: the loop variable.
        extent: number of iterations, without lets.
        outer: what is known outside of the loop.
        accesses: what its body does to buffers from outside, at any time.
    """
    if isinstance(extent, int) and extent <= 1:
        return None  # there are no two iterations
    written = {a.buffer.name for a in accesses if a.writes}
    by_buffer: dict[str, list[Access]] = {}
    for access in accesses:
        if access.buffer.name in written:
            by_buffer.setdefault(access.buffer.name, []).append(access)
    races = (_race_in(group, var, extent, outer) for group in by_buffer.values())
    return next((race for race in races if race is not None), None)


def _race_in(group: Sequence[Access], var: str, extent: Size, outer: Scope) -> tuple[Access, Access] | None:
    """What is looked for, among the accesses to a buffer."""
    agreed = {name for name, _ in frozenset.intersection(*(a.uniform for a in group))}
    outer = _with_uniform(outer, group[0], agreed)
    loop = _Loop(var, extent, outer.ranges, outer.assume)
    for part in _by_turns(group, agreed, outer):
        if not any(a.writes for a in part) or _in_cells(loop, outer, part) or _by_number(loop, outer, part):
            continue
        for first, second in _pairs(part):
            apart = _apart(loop, _Side.of(first, loop), _Side.of(second, loop))
            if not apart and not first.scope.dead and not second.scope.dead:
                return first, second
    return None


def _pairs(group: Sequence[Access]) -> Iterator[tuple[Access, Access]]:
    """Every store with every access, in both orders of iteration; equal ones once."""
    unique = list({(a.index, a.span, a.writes, a.uniform, id(a.scope)): a for a in group}.values())
    for first in unique:
        for second in unique if first.writes else ():
            yield first, second
            if not second.writes:
                yield second, first


# ---- all accesses at once


def _in_cells(loop: _Loop, outer: Scope, group: Sequence[Access]) -> bool:
    rank = len(group[0].buffer.shape) if all(a.span == 1 for a in group) else 0
    return any(
        _apart_along(loop, outer, group, [a.index[axis] for a in group]) for axis in range(rank)
    ) or _apart_along(loop, outer, group, [a.flat for a in group])


def _apart_along(loop: _Loop, outer: Scope, group: Sequence[Access], indices: Sequence[Size]) -> bool:
    splits = [coefficient(i, loop.var) for i in indices]
    if splits[0] is None:
        return False
    slope, base = splits[0]
    places = [s[1] for s in splits if s is not None and s[0] == slope]
    if len(places) != len(group) or slope == 0 or not _is_outer(slope, outer):
        return False
    offsets = [place - base for place in places]
    fixed = _is_outer(base, outer)
    if fixed and _interleave(slope, offsets, loop.extent) and all(a.span == 1 for a in group):
        return True
    if not outer.nonnegative(slope - 1):
        return False
    if isinstance(slope, int) and isinstance(loop.extent, int):
        places, offsets = (_below(_above(slope * loop.extent, sizes), sizes) for sizes in (places, offsets))
    cells = [offsets, places] if fixed else [places]
    return any(all(_in_cell(a, o, slope) for a, o in zip(group, within, strict=True)) for within in cells)


def _above(size: int, offsets: Sequence[Size]) -> int:
    """What all terms are multiples of that are not less than a size, if it is not less either; else 0."""
    found = gcd(*(c for offset in offsets for monomial, c in _terms(offset) if monomial and abs(c) >= size))
    return found if found >= size else 0


def _below(whole: int, offsets: Sequence[Size]) -> list[Size]:
    """The offsets without multiples of a number, which do not matter to a digit below it."""
    return [o - whole * multiples(o, whole) if whole else o for o in offsets]


def _interleave(slope: Size, offsets: Sequence[Size], extent: Size) -> bool:
    """Whether ``slope*i + offset`` never meets another iteration's, all numbers being known."""
    numbers = sorted({o for o in offsets if isinstance(o, int)})
    if not isinstance(slope, int) or len(set(offsets)) != len(numbers):
        return False
    steps = [abs((b - a) // slope) for n, a in enumerate(numbers) for b in numbers[n + 1 :] if (b - a) % slope == 0]
    return not steps or (isinstance(extent, int) and min(steps) >= extent)


def _in_cell(access: Access, offset: Size, slope: Size) -> bool:
    """Whether an access stays in the cell of its iteration."""
    return access.scope.nonnegative(offset) and access.scope.nonnegative(slope - access.span - offset)


def _is_outer(size: Size, outer: Scope) -> bool:
    """Whether an expression has the same value in all iterations: loop variables and lets start with ``%``."""
    return all(n in outer.ranges or not n.startswith("%") for n in names(size))


# ---- memory that is used in turn


def _with_uniform(outer: Scope, access: Access, agreed: Container[str]) -> Scope:
    """What is known outside of a loop, and of the variables on which all threads agree."""
    ranges = dict(outer.ranges)
    for name, (low, high) in access.scope.ranges.items():
        if name in agreed:  # a bound may speak of what is known before it
            known = high is None or all(n in ranges or not n.startswith("%") for n in names(high))
            ranges[name] = low, high if known else None
    return replace(outer, ranges=ranges) if len(ranges) > len(outer.ranges) else outer


def _by_turns(group: Sequence[Access], agreed: Container[str], outer: Scope) -> list[list[Access]]:
    """The accesses in parts that stay apart: the buffer is cut into pieces, all threads agree on which one it is."""
    parted = [_parted(a.flat, agreed) for a in group]
    terms = [(monomial, c) for turn, _ in parted for monomial, c in _terms(turn)]
    size = gcd(*(c for monomial, c in terms if monomial)) or gcd(*(c for _, c in terms))
    if size <= 1:
        return [list(group)]
    parts: dict[Size, list[Access]] = {}
    for access, (turn, rest) in zip(group, parted, strict=True):
        number = multiples(turn, size)
        place = rest + turn - size * number
        if not (access.scope.nonnegative(place) and access.scope.nonnegative(size - access.span - place)):
            return [list(group)]
        parts.setdefault(number, []).append(access)
    facts = outer.facts
    if all(_beyond(a - b, 1, 1, facts) for a, b in combinations(parts, 2)):
        return list(parts.values())
    # What no run gets to may have been simplified to anything.
    living = [a for a in group if not a.scope.dead]
    return _by_turns(living, agreed, outer) if len(living) < len(group) else [list(group)]


def _parted(size: Size, agreed: Container[str]) -> tuple[Size, Size]:
    """The terms on which all threads agree, and the others."""
    own: Size = 0
    for monomial, c in _terms(size):
        term = of_term(monomial, c)
        if all(name in agreed for name in names(term)):
            own = own + term
    return own, size - own


def _terms(size: Size) -> Sequence[tuple[Sequence[Atom], int]]:
    return size.terms if isinstance(size, Dim) else (((), size),)


# ---- numbers composed of the variable and others


def _by_number(loop: _Loop, outer: Scope, group: Sequence[Access]) -> bool:
    """Whether all accesses speak of a number that differs between iterations, and stay apart where it does."""
    first = group[0].scope.numbers
    return any(
        all(a.scope.numbers.get(name) == number and _tells_apart(loop, outer, number.value, a.scope) for a in group)
        and _apart_in(number, outer, group)
        for name, number in first.items()
    )


def _apart_in(number: Number, outer: Scope, group: Sequence[Access]) -> bool:
    """Whether accesses of different numbers stay apart; these differ in one digit and agree in those before it."""
    for name, extent in number.digits:
        if find_race(name, extent, outer, group) is not None:
            return False
        outer = outer.loop(name, extent)
    return True


def _tells_apart(loop: _Loop, outer: Scope, value: Size, scope: Scope) -> bool:
    """Whether a number is another one in every other iteration, whatever the variables inside of the loop are.

    That is so if these are its digits: each step is longer than all that those of smaller steps can make up.
    """
    steps: list[tuple[int, str]] = []
    for name in names(value):
        if name != loop.var and (name in outer.ranges or not name.startswith("%")):
            continue
        if scope.ranges.get(name) == (0, 0):
            continue
        split = coefficient(value, name)
        if split is None or not isinstance(split[0], int) or split[0] <= 0:
            return False
        steps.append((split[0], name))
    reach: Size = 0
    for step, name in sorted(steps):
        if not isinstance(reach, int) or step <= reach:
            return False
        low, high = (0, loop.extent - 1) if name == loop.var else scope.ranges.get(name, (0, None))
        if low != 0 or high is None:
            return False
        reach = reach + step * high
    return any(name == loop.var for _, name in steps)


# ---- pairs


@dataclass(frozen=True, slots=True)
class _Loop:
    """The variable in which two iterations differ, and what both know."""

    var: str
    extent: Size
    ranges: Mapping[str, Range]
    assume: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class _Side:
    """An access as a function of the loop variable and of names of its own."""

    coordinates: tuple[Size, ...]
    span: Size
    ranges: Mapping[str, Range]
    assume: tuple[Size, ...]

    @staticmethod
    def of(access: Access, loop: _Loop) -> _Side:
        own = {n: bounds for n, bounds in access.scope.ranges.items() if n not in loop.ranges and n != loop.var}
        return _Side(access.coordinates, access.span, own, access.scope.assume[len(loop.assume) :])

    def map(self, change: Callable[[Size], Size], rename: Mapping[str, str] = MappingProxyType({})) -> _Side:
        """The same with every expression changed, and own names renamed."""
        return _Side(
            tuple(map(change, self.coordinates)),
            change(self.span),
            {rename.get(n, n): (change(a), None if b is None else change(b)) for n, (a, b) in self.ranges.items()},
            tuple(map(change, self.assume)),
        )


def _apart(loop: _Loop, first: _Side, second: _Side) -> bool:
    """Whether ``first`` in some iteration and ``second`` in a later one never meet."""
    own = list(second.ranges)
    delta, *renamed = _fresh(("d", *own), loop, first, second)
    rename = dict(zip(own, renamed, strict=True))
    values: dict[str, Size] = {n: Dim(new) for n, new in rename.items()}
    values[loop.var] = Dim(loop.var) + Dim(delta)
    later = second.map(lambda size: substitute(size, values), rename)
    facts = Facts(
        {
            **loop.ranges,
            loop.var: (0, loop.extent - 2),
            delta: (1, loop.extent - 1 - Dim(loop.var)),
            **first.ranges,
            **later.ranges,
        },
        (*loop.assume, *first.assume, *later.assume),
    )
    ahead = [b - a for a, b in zip(first.coordinates, later.coordinates, strict=True)]
    if first.span == later.span == 1:
        different = any(_nonzero(size, delta, facts, _SPLITS) for size in ahead)
    else:
        different = _beyond(ahead[-1], first.span, later.span, facts)
    # Else one of the two may be impossible.
    return different or any(facts.nonnegative(-1 * a - 1) for a in (*first.assume, *later.assume))


def _beyond(ahead: Size, first: Size, second: Size, facts: Facts) -> bool:
    """Whether so many elements, and as many that begin so far ahead of them, are apart.

    Where the distance is ``g*a + b``, it is so if ``b`` stays that far away from two multiples of ``g`` that follow
    each other.
    """
    if facts.nonnegative(ahead - first, FEW) or facts.nonnegative(-1 * ahead - second, FEW):
        return True
    if isinstance(ahead, int):
        return False
    rests = ((_multiples(ahead, g)[1], g) for g in _scales(ahead, facts))
    between = ((b, g) for rest, g in rests for b in (rest, rest + g))
    return any(facts.nonnegative(b - first, FEW) and facts.nonnegative(g - b - second, FEW) for b, g in between)


def _nonzero(size: Size, delta: str, facts: Facts, splits: int) -> bool:
    """Whether an expression is never zero; where it is ``g*a + b`` with ``-g < b < g``, neither are both a and b."""
    if isinstance(size, int):
        return size != 0
    split = coefficient(size, delta) if splits and delta in names(size) else None
    scales = _scales(size, facts) if split else []
    # A scale above that of delta is tried first: below it, in b, delta is likely to stand alone.
    above = [g for g in scales if split and _exceeds(g, split[0])]
    if any(_nonzero_at(g, size, delta, facts, splits) for g in above):
        return True
    if facts.nonnegative(size - 1) or facts.nonnegative(-1 * size - 1):
        return True
    return any(_nonzero_at(g, size, delta, facts, splits) for g in scales if g not in above)


def _nonzero_at(g: Size, size: Dim, delta: str, facts: Facts, splits: int) -> bool:
    high, low = _multiples(size, g)
    if high == 0 or low == 0 or not (facts.less(low, g) and facts.less(-1 * low, g)):
        return False
    quotient = divide_exact(high, g)
    return _nonzero(low, delta, facts, splits - 1) or (
        quotient is not None and _nonzero(quotient, delta, facts, splits - 1)
    )


def _exceeds(g: Size, slope: Size) -> bool:
    """Whether a scale is, or may be, greater than a slope without its sign."""
    return not isinstance(g, int) or not isinstance(slope, int) or g > abs(slope)


def _scales(size: Dim, facts: Facts) -> list[Size]:
    """The coefficients of an expression seen as a polynomial in the loop variables, without their signs."""
    found: dict[Size, None] = {}
    for monomial, c in size.terms:
        g = product((abs(c), *(Dim(a) for a in monomial if isinstance(a, str) and not a.startswith("%"))))
        if g != 1:
            found[g] = None
    return [g for g in found if facts.less(0, g)]


def _multiples(size: Dim, g: Size) -> tuple[Size, Size]:
    """The terms that ``g`` divides, and the others."""
    high: Size = 0
    for monomial, c in size.terms:
        term = c * product(map(of_atom, monomial))
        if divide_exact(term, g) is not None:
            high = high + term
    return high, size - high


def _fresh(stems: Sequence[str], loop: _Loop, first: _Side, second: _Side) -> list[str]:
    """New names, one a stem."""
    taken = [loop.var, *loop.ranges, *first.ranges, *second.ranges]
    out: list[str] = []
    for stem in stems:
        number = 0
        name = stem if stem.startswith("%") else f"%{stem}"
        while (fresh := f"{name}.{number}") in taken or fresh in out:
            number += 1
        out.append(fresh)
    return out
