"""Expansions of the division that rounds down: quotient and remainder with the signs of Python's ``//`` and ``%``."""

from __future__ import annotations

import math

from sigmagraph.dtypes import F64
from sigmagraph.ir.kernel.math_term import Term

# Each step takes 53 bits off the quotient: all that quotients of f32 can have, and 300 bits of those of f64.
_STEPS = 6


def remainder(x: Term, y: Term) -> Term:
    """X - floor(x / y) * y, exact but for one rounding where the signs differ; has the sign of y.

    Of integers 0 for a zero divisor. NaN for infinite x, for a zero divisor, and for quotients of f64 beyond 2^300.
    """
    if not x.dtype.is_float:
        rest, other = _integer_rest(x, y)
        return other.select(rest + y, rest)
    rest = _rest(x, y)
    size = abs(y)
    return ((rest > 0.0) & _differ(x, y)).select(size - rest, rest).copysign(y)


def floor_divide(x: Term, y: Term) -> Term:
    """floor(x / y), computed from the exact remainder; x / y where that is infinite or NaN.

    Of integers 0 for a zero divisor. NaN for infinite x, and for quotients of f64 beyond 2^300.
    """
    if not x.dtype.is_float:
        _, other = _integer_rest(x, y)
        return other.select(x / y - 1, x / y)
    rest = _rest(x, y)
    plain = x / y
    down = ((rest > 0.0) & _differ(x, y)).select(plain.constant(1.0), 0.0)
    quotient = (x - rest.copysign(x)) / y - down
    whole = quotient.floor()
    whole = (quotient - whole > 0.5).select(whole + 1.0, whole)
    whole = whole.equals(0.0).select(abs(whole).copysign(plain), whole)
    return y.equals(0.0).select(plain, whole)


def _integer_rest(x: Term, y: Term) -> tuple[Term, Term]:
    """What the division toward zero leaves (0 for a zero divisor), and whether its sign is not that of y."""
    rest = y.equals(0).select(0, x - x / y * y)
    return rest, rest.differs(0) & (rest.apply("xor", y) < 0)


def _differ(x: Term, y: Term) -> Term:
    return (x < 0.0).apply("xor", y < 0.0)


def _rest(x: Term, y: Term) -> Term:
    """|x| - trunc|x / y| * |y|, exactly; f32 is computed in f64."""
    rest, divisor = abs(x).to(F64), abs(y).to(F64)
    bounded = divisor.equals(math.inf) & (rest < math.inf)
    size = rest
    for _ in range(_STEPS):
        # What a correctly rounded quotient leaves is a number of f64; a step may go one divisor too far.
        rest = (-(rest / divisor).floor()).fma(divisor, rest)
    rest = bounded.select(size, rest)
    rest = (rest < 0.0).select(rest + divisor, rest)
    rest = (rest >= divisor).select(rest - divisor, rest)
    return ((rest >= 0.0) & (rest < divisor)).select(rest, math.nan).to(x.dtype)
