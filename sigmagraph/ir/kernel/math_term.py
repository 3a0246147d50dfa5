"""What expansions are written with: terms with operators, floating-point formats, arithmetic in twice the precision."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from sigmagraph.dtypes import F32, F64, I32, I64, DType
from sigmagraph.ir.kernel.expr import Bitcast, Const, Expr, apply, cast

Name: TypeAlias = "Callable[[Expr], Expr]"
"""Gives an intermediate value a name, so that it is computed once however often it is used."""

Number: TypeAlias = "Term | bool | int | float"


@dataclass(frozen=True, slots=True, eq=False)
class Term:
    """A named expression. Operators make further ones; numbers beside it are constants of its type."""

    expr: Expr
    let: Name

    @property
    def dtype(self) -> DType:
        """The element type."""
        return self.expr.dtype

    def new(self, expr: Expr) -> Term:
        """Another expression as a term."""
        return Term(self.let(expr), self.let)

    def constant(self, value: bool | int | float) -> Term:
        """A number of this term's type."""
        return Term(Const(value, self.dtype), self.let)

    def apply(self, op: str, *others: Number) -> Term:
        """A scalar op on this and further operands."""
        rest = [o if isinstance(o, Term) else self.constant(o) for o in others]
        return self.new(apply(op, self.expr, *(o.expr for o in rest)))

    def __add__(self, other: Number) -> Term:
        return self.apply("add", other)

    def __radd__(self, other: float) -> Term:
        return self.constant(other).apply("add", self)

    def __sub__(self, other: Number) -> Term:
        return self.apply("sub", other)

    def __rsub__(self, other: float) -> Term:
        return self.constant(other).apply("sub", self)

    def __mul__(self, other: Number) -> Term:
        return self.apply("mul", other)

    def __rmul__(self, other: float) -> Term:
        return self.apply("mul", other)

    def __truediv__(self, other: Number) -> Term:
        return self.apply("div", other)

    def __rtruediv__(self, other: float) -> Term:
        return self.constant(other).apply("div", self)

    def __neg__(self) -> Term:
        return self.apply("neg")

    def __abs__(self) -> Term:
        return self.apply("abs")

    def __lt__(self, other: Number) -> Term:
        return self.apply("lt", other)

    def __le__(self, other: Number) -> Term:
        return self.apply("le", other)

    def __gt__(self, other: Number) -> Term:
        return self.apply("gt", other)

    def __ge__(self, other: Number) -> Term:
        return self.apply("ge", other)

    def __and__(self, other: Number) -> Term:
        return self.apply("and", other)

    def __or__(self, other: Number) -> Term:
        return self.apply("or", other)

    def __invert__(self) -> Term:
        return self.apply("not")

    def __lshift__(self, count: int) -> Term:
        return self.apply("shl", count)

    def __rshift__(self, count: int) -> Term:
        """Shifted to the right; zeros come in from the left."""
        return self.apply("shr", count)

    def equals(self, other: Number) -> Term:
        """Whether it is equal to another."""
        return self.apply("eq", other)

    def differs(self, other: Number) -> Term:
        """Whether it is different from another."""
        return self.apply("ne", other)

    def fma(self, factor: Number, summand: Number) -> Term:
        """``self * factor + summand``, rounded once."""
        return self.apply("fma", factor, summand)

    def sqrt(self) -> Term:
        """The square root."""
        return self.apply("sqrt")

    def floor(self) -> Term:
        """The greatest whole number that is not greater."""
        return self.apply("floor")

    def select(self, yes: Number, no: Number) -> Term:
        """``yes`` where this (a bool) holds, else ``no``; at least one of them is a term."""
        like = yes if isinstance(yes, Term) else no
        assert isinstance(like, Term)
        chosen = [v if isinstance(v, Term) else like.constant(v) for v in (yes, no)]
        return self.apply("select", *chosen)

    def at_most(self, high: float) -> Term:
        """The lesser of it and a number; NaN stays."""
        # With the bound first, x86's minimum instruction does this and passes NaN through.
        return (self.constant(high) < self).select(high, self)

    def at_least(self, low: float) -> Term:
        """The greater of it and a number; NaN stays."""
        return (self.constant(low) > self).select(low, self)

    def bits(self) -> Term:
        """The bits of a float as an integer."""
        return self.new(Bitcast(self.expr, FORMATS[self.dtype].bits))

    def float(self) -> Term:
        """The float with the bits of an integer."""
        return self.new(Bitcast(self.expr, F32 if self.dtype is I32 else F64))

    def to(self, dtype: DType) -> Term:
        """The same number as another type."""
        return self.new(cast(self.expr, dtype))

    def copysign(self, sign: Term) -> Term:
        """The magnitude of this float, which is not negative, with the sign of another."""
        return (sign.sign_bit() | self.bits()).float()

    def sign_bit(self) -> Term:
        """The bits of a float without all but the sign."""
        return self.bits() & -(1 << FORMATS[self.dtype].bits.bits - 1)


@dataclass(frozen=True, slots=True)
class Format:
    """A floating-point format.

    Attributes:
        dtype, bits: the type, and the integer type of the same width.
        mantissa, bias: stored mantissa bits and exponent bias.
        ln2: ln 2 in two parts; a product of the first with a whole exponent is exact.
    """

    dtype: DType
    bits: DType
    mantissa: int
    bias: int
    ln2: tuple[float, float]

    @property
    def rounder(self) -> float:
        """Added to a small number it rounds it to whole units, and leaves that plus ``bias`` in the lowest bits."""
        return 1.5 * 2.0**self.mantissa + self.bias

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next number."""
        return 2.0**-self.mantissa

    def pattern(self, value: float) -> int:
        """The bits of a number."""
        return int(self.dtype.numpy.type(value).view(self.bits.numpy))

    def split(self, value: float, rest: float = 0.0) -> tuple[float, float]:
        """A number (``value + rest`` with ``rest`` below float64's precision) as the sum of two of the format."""
        high = float(self.dtype.numpy.type(value))
        return high, float(self.dtype.numpy.type(value - high + rest))


FORMATS: Mapping[DType, Format] = MappingProxyType(
    {
        F32: Format(F32, I32, 23, 127, (0.693145751953125, 1.428606765330187e-06)),
        F64: Format(F64, I64, 52, 1023, (0.6931471805598903, 5.497923018708371e-14)),
    }
)
LN2 = math.log(2.0)


def horner(x: Term, coefficients: Sequence[float]) -> Term:
    """The polynomial with the coefficients of x^0, x^1, ..."""
    out = x.constant(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        out = out.fma(x, c)
    return out


def estrin(x: Term, coefficients: Sequence[float]) -> Term:
    """The polynomial as :func:`horner` has it, halved again and again: more products, but few that wait for others.

    It errs by a little more, which does not matter where the polynomial is a correction.
    """
    parts = [x.constant(c) for c in coefficients]
    while len(parts) > 1:
        odd = parts[len(parts) // 2 * 2 :]
        parts = [high.fma(x, low) for low, high in zip(parts[::2], parts[1::2], strict=False)] + odd
        x = x * x
    return parts[0]


def power_of_two(t: Term) -> Term:
    """2^k, where t is k plus the format's rounder and 2^k is a normal number."""
    return (t.bits() << FORMATS[t.dtype].mantissa).float()


def scale(x: Term, t: Term) -> Term:
    """X * 2^k, where t is k plus the format's rounder and |k| is at most twice the bias.

    The product with the second of two factors overflows or is rounded to a subnormal number, once.
    """
    f = FORMATS[t.dtype]
    k = (t.bits() + f.bias) & (1 << f.mantissa - 1) - 1  # plus twice the bias, so that halves are exponents
    half = k >> 1
    return x * (half << f.mantissa).float() * ((k - half) << f.mantissa).float()


# ---- numbers as unevaluated sums of two (T. Dekker, Numerische Mathematik 18, 1971)


def two_sum(a: Term, b: Term) -> tuple[Term, Term]:
    """The rounded sum and its error."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def fast_two_sum(a: Term, b: Term) -> tuple[Term, Term]:
    """The rounded sum and its error, if a is 0 or has at least the exponent of b."""
    s = a + b
    return s, b - (s - a)


def two_product(a: Term, b: Term) -> tuple[Term, Term]:
    """The rounded product and its error."""
    p = a * b
    return p, a.fma(b, -p)
