"""Writes multiply-add with one rounding, and square roots, for machines that have no instruction for them.

The product of two f32 is exact in f64. The sum is rounded to odd there, which rounds right to f32 afterwards (S. Boldo
and G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to odd", IEEE
Transactions on Computers 57, 2008). In f64 there is no wider type; that is left to functions of the module, in
which there can be branches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.dtypes import F32, F64, I64
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Const, Expr, apply, cast

Name: TypeAlias = "Callable[[Expr], Expr]"

_ZERO = Const(0.0, F64)


def lacks_fma(expr: Apply, has: Instructions) -> bool:
    """Whether an op is a multiply-add that is written in f64."""
    return expr.op == "fma" and expr.dtype is F32 and not has.fma


def lacks_double(expr: Apply, has: Instructions) -> bool:
    """Whether an op is one on f64 that the machine has no instruction for, and none to write it in."""
    lacking = (expr.op == "fma" and not has.fma_f64) or (expr.op == "sqrt" and not has.f64)
    return lacking and expr.dtype is F64


def by_function(expr: Apply, has: Instructions) -> Expr:
    """The op as a call."""
    return apply("split_fma" if expr.op == "fma" and has.f64 else f"soft_{expr.op}", *expr.args)


def in_double(expr: Apply, let: Name) -> Expr:
    """The multiply-add; values that are used more than once go through ``let``."""
    a, b, c = (let(cast(x, F64)) for x in expr.args)
    product = let(apply("mul", a, b))
    total = let(apply("add", product, c))
    back = let(apply("sub", total, product))
    error = let(apply("add", apply("sub", product, apply("sub", total, back)), apply("sub", c, back)))
    bits = let(Bitcast(total, I64))
    # Infinities and NaN have an error that is none, and stay.
    inexact = apply("or", apply("lt", error, _ZERO), apply("gt", error, _ZERO))
    even = apply("eq", apply("and", bits, Const(1, I64)), Const(0, I64))
    outward = apply("eq", apply("lt", error, _ZERO), apply("lt", total, _ZERO))
    odd = apply("add", bits, apply("select", outward, Const(1, I64), Const(-1, I64)))
    return cast(Bitcast(apply("select", apply("and", inexact, even), odd, bits), F64), F32)
