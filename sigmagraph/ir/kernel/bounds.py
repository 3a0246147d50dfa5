"""What is known about integers at a statement of a kernel: ranges of loop variables, conditions, and lets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from sigmagraph.dims import Dim, Facts, Size, func, maximum, minimum, substitute
from sigmagraph.dtypes import BOOL, I8, I16, I64, U8, DType
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
        lets: i64 lets that are index expressions, as such.
        intervals: bounds of integer lets of other types.
    """

    ranges: Mapping[str, Range] = field(default_factory=dict)
    assume: tuple[Size, ...] = ()
    lets: Mapping[str, Size] = field(default_factory=dict)
    intervals: Mapping[str, Interval] = field(default_factory=dict)

    @cached_property
    def facts(self) -> Facts:
        """The prover for this scope."""
        return Facts(self.ranges, self.assume)

    def loop(self, var: str, extent: Size) -> Scope:
        """Inside a loop."""
        return replace(self, ranges={**self.ranges, var: (0, extent - 1)})

    def given(self, conditions: Sequence[Size]) -> Scope:
        """Where expressions are known to be at least zero."""
        new = tuple(c for c in conditions if not isinstance(c, int))
        return replace(self, assume=self.assume + new) if new else self

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

    def resolve(self, size: Size) -> Size:
        """The index expression with lets replaced by what they stand for."""
        return substitute(size, self.lets) if self.lets else size

    def nonnegative(self, size: Size) -> bool:
        """Whether a resolved expression can be shown to be at least zero."""
        if isinstance(size, int):
            return size >= 0
        return size in self.assume or self.facts.nonnegative(size)

    def within(self, index: Size, extent: Size) -> bool:
        """Whether a resolved index can be shown to lie in ``0 .. extent - 1``."""
        if isinstance(index, Dim) and index.is_name:
            low, high = self.ranges.get(str(index), (1, None))
            if isinstance(low, int) and low >= 0 and high is not None and high + 1 == extent:
                return True
        return self.nonnegative(index) and self.nonnegative(extent - 1 - index)

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
