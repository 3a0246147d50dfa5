"""Writes floor, ceil and rounding to a whole number in additions, for machines that have no instruction for them.

A magnitude below 2^m, with m stored bits in the mantissa, is rounded to a whole number, ties to even, by adding 2^m and
taking it away again. All other numbers are whole, or infinite, or NaN, and stay. The sign stays in any case: -0.3 is
rounded to -0.0, up as well.
"""

from __future__ import annotations

from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.dtypes import F32
from sigmagraph.ir.kernel.expr import Apply, Expr
from sigmagraph.ir.kernel.math_term import FORMATS, Name, Term

_WHOLE = ("floor", "ceil", "round")


def lacks_rounding(expr: Apply, has: Instructions) -> bool:
    """Whether an op rounds to a whole number, which the machine cannot."""
    return expr.op in _WHOLE and not (has.rounding if expr.dtype is F32 else has.rounding_f64)


def rounded(expr: Apply, let: Name) -> Expr:
    """The whole number; values that are used more than once go through ``let``."""
    x = Term(let(expr.args[0]), let)
    size = abs(x)
    most = 2.0 ** FORMATS[x.dtype].mantissa
    whole = ((size + most) - most).copysign(x)
    if expr.op == "floor":
        whole = abs((whole > x).select(whole - 1.0, whole)).copysign(x)
    elif expr.op == "ceil":
        whole = abs((whole < x).select(whole + 1.0, whole)).copysign(x)
    return (size < most).select(whole, x).expr
