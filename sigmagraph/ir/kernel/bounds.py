"""What is known about integers at a statement of a kernel: ranges of loop variables, conditions, and lets.

A loop variable ``t`` whose body speaks of ``t // n`` is looked at as two: ``t == n*q + r`` with ``0 <= r < n``. Then
the quotient and the rest of a task number, say, are variables like any other, and proofs about them need no divisions.
A let that is the number of something, composed of several loop variables (``128*block + row``), is looked at likewise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from sigmagraph.dims import Dim, Func, Size, coefficient, divide_exact, func, maximum, minimum, names, substitute
from sigmagraph.dtypes import BOOL, I8, I16, I64, U8, DType
from sigmagraph.facts import ENOUGH, Facts
from sigmagraph.ir.kernel.expr import Apply, Cast, Const, Expr, Index, Var

Interval: TypeAlias = "tuple[Size | None, Size | None]"
Range: TypeAlias = "tuple[Size, Size | None]"

_LEAST = -(1 << 63)


@dataclass(frozen=True)
class Scope:
    """What is known at a statement. Index arithmetic is taken to be exact: it does not wrap.

    Attributes:
        ranges: least and greatest value of every loop variable and of every i64 let that is no index expression, outer
            names first. Names without a range are dims.
        assume: expressions that are at least zero here.
        lets: i64 lets that are index expressions, and loop variables that are split into digits, as such.
        intervals: bounds of integer lets of other types.
        numbers: lets that are numbers composed of loop variables, and looked at as variables themselves.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    assume: tuple[Size, ...] = ()
    lets: Mapping[str, Size] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    numbers: Mapping[str, Number] = field(default_factory=dict)

    _inner: dict[object, Scope] = field(default_factory=dict, init=False, repr=False, compare=False)
    _resolved: dict[Dim, Size] = field(default_factory=dict, init=False, repr=False, compare=False)
    _within: dict[tuple[Size, Size], bool] = field(default_factory=dict, init=False, repr=False, compare=False)

    @cached_property
    def facts(self) -> Facts:
        """The prover for this scope."""
        return Facts(self.ranges, self.assume)

    @cached_property
    def empty(self) -> bool:
        """Whether a loop around this runs no iteration, its extent being a number."""
        return any(isinstance(low, int) and isinstance(high, int) and high < low for low, high in self.ranges.values())

    @cached_property
    def dead(self) -> bool:
        """Whether it can be shown that no run gets here."""
        empty = (low - high - 1 for low, high in self.ranges.values() if high is not None)
        return any(map(self.nonnegative, (*empty, *(-1 * a - 1 for a in self.assume))))

    def loop(self, var: str, extent: Size) -> Scope:
        """Inside a loop; equal loops share what is found out about them."""
        key = (var, extent)
        if key not in self._inner:
            ranges = {**self.ranges, var: (0, extent - 1)}
            self._inner[key] = Scope(ranges, self.assume, self.lets, self.intervals, self.numbers)
        return self._inner[key]

    def given(self, conditions: Sequence[Size]) -> Scope:
        """Where expressions are known to be at least zero."""
        new = tuple(c for c in conditions if not isinstance(c, int) or c < 0)
        if not new:
            return self
        if new not in self._inner:
            self._inner[new] = Scope(self.ranges, self.assume + new, self.lets, self.intervals, self.numbers)
        return self._inner[new]

    def enter(self, var: str, extent: Size, mentioned: Sequence[Size], fresh: Callable[[str], str]) -> list[Digit]:
        """The digits of a loop variable, most significant first; the last one's ``inside`` is the scope of the body.

        Args:
            var: the loop variable.
            extent: number of iterations, without lets.
            mentioned: what decides the digits: expressions of the body that may speak of ``var // n``.
            fresh: makes a new name from a stem.
        """
        divisor = self._divisor(var, extent, mentioned)
        if divisor is None:
            return [Digit(var, extent, self, self.loop(var, extent))]
        q, r = fresh(var), fresh(var)
        whole = divisor * Dim(q) + Dim(r)
        count = (extent - 1) // divisor + 1
        known = self.loop(q, count).loop(r, divisor).facts
        mentioned = [known.simplify(substitute(m, {var: whole})) for m in mentioned if var in names(m)]
        high = self.enter(q, count, mentioned, fresh)
        low = high[-1].inside.enter(r, divisor, mentioned, fresh)
        inside = low[-1].inside
        whole = inside.resolve(whole)
        inside = replace(inside, lets={**inside.lets, var: whole})
        if divide_exact(extent, divisor) is None:
            inside = inside.given((extent - 1 - whole,))
        return [*high, *low[:-1], replace(low[-1], inside=inside)]

    def _divisor(self, var: str, extent: Size, mentioned: Sequence[Size]) -> Size | None:
        """``n`` of the ``var // n`` in expressions that has most of the others as its factors."""
        found = [a.args[1] for m in mentioned for a in divisions(m) if a.args[0] == Dim(var)]
        found = [n for n in dict.fromkeys(found) if self._is_known(n) and self._divides(n, extent)]
        return max(found, key=lambda n: sum(divide_exact(n, other) is not None for other in found), default=None)

    def _divides(self, n: Size, extent: Size) -> bool:
        """Whether ``n`` is at least 1 wherever a loop of this extent runs; a factor of what is not 0 is not 0."""
        return self.nonnegative(n if divide_exact(extent, n) is not None else n - 1)

    def _is_known(self, size: Size) -> bool:
        return all(n in self.ranges or not n.startswith("%") for n in names(size))

    def let(self, name: str, value: Expr) -> Scope:
        """After a let."""
        if value.dtype is not I64:
            if value.dtype.is_float:
                return self
            return replace(self, intervals={**self.intervals, name: self.interval(value)})
        exact = self.exact(value)
        if exact is not None:
            return replace(self, lets={**self.lets, name: exact})
        low, high = self.interval(value)
        return replace(self, ranges={**self.ranges, name: (_LEAST if low is None else low, high)})

    def number(self, name: str, value: Size, mentioned: Sequence[Size], fresh: Callable[[str], str]) -> Scope | None:
        """After a let of a resolved expression that is looked at as a variable; None where it is none.

        Args:
            name: of the let.
            value: what it is: a sum of multiples of loop variables, at least 0.
            mentioned: as for :meth:`enter`.
            fresh: as for :meth:`enter`.
        """
        most = self._most(value)
        if most is None or not self.nonnegative(value):
            return None
        digits = self.enter(name, most + 1, mentioned, fresh)
        inside = digits[-1].inside
        own = [d.name for d in digits]
        if any(n.startswith("%") and n not in own for n in names(inside.lets.get(name, 0))):
            return None  # divisors that vary make the same digits of different numbers
        return replace(inside, numbers={**self.numbers, name: Number(value, tuple((d.name, d.extent) for d in digits))})

    def _most(self, value: Size) -> Size | None:
        """What a sum of multiples of loop variables is at most, as is known here; an expression of dims."""
        for assumed in self.assume:
            if not any(n.startswith("%") for n in names(assumed + value)):
                return assumed + value
        least = self._most_by_ranges(value)
        for assumed in self.assume:
            other = _without(value, assumed)
            most = None if other is None else self._most_by_ranges(other)
            if most is not None and (least is None or self.nonnegative(least - most)):
                least = most
        return least

    def _most_by_ranges(self, value: Size) -> Size | None:
        """The same by the ranges of variables."""
        for name in reversed(list(self.ranges)):
            split, high = coefficient(value, name), self._greatest(name)
            if split is None or high is None or not self.nonnegative(split[0]):
                return None
            value = split[1] + split[0] * high
        return None if any(n.startswith("%") for n in names(value)) else value

    def _greatest(self, name: str) -> Size | None:
        """What a loop variable is at most, by its range or by a condition on it alone."""
        high = self.ranges[name][1]
        for assumed in self.assume:
            slope, limit = coefficient(assumed, name) or (0, 0)
            alone = slope == -1 and not any(n.startswith("%") for n in names(limit))
            if alone and (high is None or self.nonnegative(high - limit)):
                high = limit
        return high

    def resolve(self, size: Size) -> Size:
        """The index expression with lets replaced by what they stand for."""
        if not self.lets or isinstance(size, int):
            return size
        if size not in self._resolved:
            out = substitute(size, self.lets)
            self._resolved[size] = out if out is size or not any(divisions(out)) else self.facts.simplify(out)
        return self._resolved[size]

    def nonnegative(self, size: Size, steps: int = ENOUGH) -> bool:
        """Whether a resolved expression can be shown to be at least zero, in so many steps."""
        if isinstance(size, int):
            return size >= 0
        return size in self.assume or self.facts.nonnegative(size, steps)

    def within(self, index: Size, extent: Size) -> bool:
        """Whether a resolved index can be shown to lie in ``0 .. extent - 1``."""
        if isinstance(index, int) and isinstance(extent, int) and 0 <= index < extent:
            return True
        if isinstance(index, Dim) and index.is_name:
            low, high = self.ranges.get(str(index), (1, None))
            if isinstance(low, int) and low >= 0 and high is not None and high + 1 == extent:
                return True
        key = (index, extent)
        if key not in self._within:
            inside = self.empty or (self.nonnegative(index) and self.nonnegative(extent - 1 - index))
            self._within[key] = inside or self.dead
        return self._within[key]

    def describe(self, names: Sequence[str]) -> str:
        """What is known about names, for an error."""
        known = [f"{n} in {self.ranges[n][0]}..{self.ranges[n][1]}" for n in names if n in self.ranges]
        return ", ".join(known + [f"{a} >= 0" for a in self.assume]) or "nothing is known"

    def exact(self, value: Expr) -> Size | None:
        """The index expression that an i64 expression is, if it is one."""
        match value:
            case Index(size):
                return self.resolve(size)
            case Const(number, _):
                return int(number)
            case Var(name, _):
                return self.lets.get(name, Dim(name))
            case Apply(op, args, _):
                operands = [self.exact(a) for a in args]
                known = [o for o in operands if o is not None]
                return _arithmetic(op, known) if len(known) == len(operands) else None
            case _:
                return None

    def interval(self, value: Expr) -> Interval:
        """Bounds of an integer or bool expression; None where none is known."""
        exact = self.exact(value) if value.dtype is I64 else None
        if exact is not None:
            return exact, exact
        match value:
            case Const(number, dtype) if not dtype.is_float:
                return int(number), int(number)
            case Var(name, dtype) if name in self.intervals:
                return self.intervals[name]
            case Cast(inner, dtype) if _keeps(inner.dtype, dtype):
                return self.interval(inner)
            case Apply(op, args, dtype) if not dtype.is_float:
                return _combined(op, [self.interval(a) for a in args]) or _limits(dtype)
            case _:
                return _limits(value.dtype)


@dataclass(frozen=True, slots=True)
class Number:
    """A let that is the number of something.

    Attributes:
        value: what it is, in loop variables.
        digits: names and extents of the variables that it is looked at as, most significant first.
    """

    value: Size
    digits: tuple[tuple[str, Size], ...]


@dataclass(frozen=True, slots=True)
class Digit:
    """A loop variable, or a part of one.

    Attributes:
        name: of the digit.
        extent: it is less than that, and at least 0.
        outside: what is known without it.
        inside: what is known within.
    """

    name: str
    extent: Size
    outside: Scope
    inside: Scope


def _without(value: Size, assumed: Size) -> Size | None:
    """A bound of a value without the loop variables that an assumption has, if a multiple of that cancels them."""
    own = [n for n in names(assumed) if n.startswith("%")]
    slope, other = (coefficient(size, own[0]) if own else None for size in (value, assumed))
    times = divide_exact(slope[0], -1 * other[0]) if slope and other and other[0] != 0 else None
    if not isinstance(times, int) or times <= 0:
        return None
    bound = value + times * assumed
    return None if any(n in names(bound) for n in own) else bound


def divisions(size: Size | None) -> Iterator[Func]:
    """The floor divisions in an expression, outer ones first."""
    for monomial, _ in size.terms if isinstance(size, Dim) else ():
        for atom in monomial:
            if isinstance(atom, Func):
                if atom.kind == "//":
                    yield atom
                for arg in atom.args:
                    yield from divisions(arg)


def _arithmetic(op: str, args: Sequence[Size]) -> Size | None:
    match op, args:
        case "add", [a, b]:
            return a + b
        case "sub", [a, b]:
            return a - b
        case "mul", [a, b]:
            return a * b
        case "neg", [a]:
            return -1 * a
        case "min", _:
            return minimum(*args)
        case "max", _:
            return maximum(*args)
        case _:
            return None


def _combined(op: str, args: Sequence[Interval]) -> Interval | None:
    match op, args:
        case "min", [(low, high), (other_low, other_high)]:
            return _both("min", low, other_low), _either("min", high, other_high)
        case "max", [(low, high), (other_low, other_high)]:
            return _either("max", low, other_low), _both("max", high, other_high)
        case "select", [_, (low, high), (other_low, other_high)]:
            return _both("min", low, other_low), _both("max", high, other_high)
        case "and", [_, (low, high)] if isinstance(low, int) and low == high and low >= 0:
            return 0, high
        case _:
            return None


def _both(kind: str, a: Size | None, b: Size | None) -> Size | None:
    """A bound that needs both operands to have one."""
    return None if a is None or b is None else func(kind, (a, b))


def _either(kind: str, a: Size | None, b: Size | None) -> Size | None:
    """A bound for which that of one operand is enough."""
    if a is None or b is None:
        return b if a is None else a
    return func(kind, (a, b))


def _keeps(source: DType, target: DType) -> bool:
    """Whether every value of the source is one of the target."""
    if not target.is_integer or source.is_float:
        return False
    return source in (BOOL, target) or (target is not U8 and target.bits > source.bits)


def _limits(dtype: DType) -> Interval:
    """Bounds that a small type has by itself."""
    if dtype in (BOOL, U8):
        return 0, 1 if dtype is BOOL else 255
    return (-(1 << dtype.bits - 1), (1 << dtype.bits - 1) - 1) if dtype in (I8, I16) else (None, None)
