"""Writes what is done with 16-bit floats in f32 and integers, because most machines can only load and store them.

Arithmetic is done in f32 and rounded after each op. That gives the correctly rounded result of add, sub, mul, div and
sqrt, because 24 bits are at least 2 * 11 + 2 (S. Figueroa, "When is double rounding innocuous?", SIGNUM Newsletter 30,
1995); of other ops it is what their meaning says. Conversions are integer arithmetic without branches or calls; they
round to nearest, ties to even, and keep subnormal numbers, infinities and signs; NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeAlias

from sigmagraph.dtypes import BF16, F16, F32, F64, I16, I32, I64, DType
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Const, Expr, apply, cast
from sigmagraph.ir.kernel.scalar import SCALARS

Name: TypeAlias = "Callable[[Expr], Expr]"

HALVES = (F16, BF16)
_SIGN, _MAGNITUDE = Const(-(1 << 31), I32), Const((1 << 31) - 1, I32)
_INFINITY = Const(0x7F800000, I32)


def computes_narrow(expr: Apply) -> bool:
    """Whether an op computes with 16-bit floats, rather than only handing them on."""
    return expr.op != "select" and not SCALARS[expr.op].lanes and any(a.dtype in HALVES for a in expr.args)


def converts_narrow(source: DType, target: DType, native: Collection[DType]) -> bool:
    """Whether a cast is from or to a 16-bit float; those between ``native`` ones and f32 do not count."""
    if source not in HALVES and target not in HALVES:
        return False
    return not ((source in native and target is F32) or (source is F32 and target in native))


def widened(expr: Apply) -> Expr:
    """An op on 16-bit floats, in f32 or on their bits."""
    if expr.op in ("neg", "abs"):
        op, mask = ("xor", -(1 << 15)) if expr.op == "neg" else ("and", (1 << 15) - 1)
        return Bitcast(apply(op, Bitcast(expr.args[0], I16), Const(mask, I16)), expr.dtype)
    wide = apply(expr.op, *(cast(a, F32) if a.dtype in HALVES else a for a in expr.args))
    return cast(wide, expr.dtype) if expr.dtype in HALVES else wide


def converted(value: Expr, dtype: DType, let: Name, native: Collection[DType] = ()) -> Expr:
    """A cast from or to a 16-bit float, rounded once; values that are used more than once go through ``let``.

    Those of ``native`` are converted from and to f32 by instructions.
    """
    if value.dtype in HALVES:
        value = cast(value, F32) if value.dtype in native else _wide(value, let)
    elif value.dtype is F64 or (dtype is BF16 and value.dtype in (I32, I64)):
        value = _odd(value, let)
    else:  # What f32 cannot hold of integers is beyond the range of f16.
        value = cast(value, F32)
    if dtype not in HALVES or dtype in native:
        return cast(value, dtype)
    return _narrow(let(value), dtype, let)


def _wide(value: Expr, let: Name) -> Expr:
    """A 16-bit float as f32, which holds all of them."""
    if isinstance(value, Const):
        return Const(value.value, F32)
    bits = let(cast(Bitcast(value, I16), I32))
    if value.dtype is BF16:
        return Bitcast(apply("shl", bits, Const(16, I32)), F32)
    size = let(apply("shl", apply("and", bits, Const(0x7FFF, I32)), Const(13, I32)))
    finite = apply("mul", Bitcast(size, F32), Const(2.0**112, F32))  # from one exponent bias to the other
    special = apply("ge", size, Const(0x7C00 << 13, I32))
    size = apply("select", special, apply("or", size, _INFINITY), Bitcast(finite, I32))
    return Bitcast(apply("or", size, apply("and", bits, _SIGN)), F32)


def _narrow(value: Expr, dtype: DType, let: Name) -> Expr:
    """An f32 rounded to a 16-bit float."""
    bits = let(Bitcast(value, I32))
    upper = let(apply("shr", bits, Const(16, I32)))
    narrow, quiet = (_f16_bits if dtype is F16 else _bf16_bits)(bits, upper, let)
    return Bitcast(cast(apply("select", apply("ne", value, value), quiet, narrow), I16), dtype)


def _bf16_bits(bits: Expr, upper: Expr, _let: Name) -> tuple[Expr, Expr]:
    """The upper half of f32, rounded by a carry out of the lower one; what it is of NaN."""
    tie = apply("add", apply("and", upper, Const(1, I32)), Const(0x7FFF, I32))
    return apply("shr", apply("add", bits, tie), Const(16, I32)), apply("or", upper, Const(0x40, I32))


def _f16_bits(bits: Expr, upper: Expr, let: Name) -> tuple[Expr, Expr]:
    """Normal numbers are rounded by a carry, subnormal ones by adding a number whose last bit is theirs; NaN."""
    least, beyond, half = Const(113 << 23, I32), Const(143 << 23, I32), Const(126 << 23, I32)
    size = let(apply("min", apply("and", bits, _MAGNITUDE), beyond))  # 2^16 becomes infinity
    odd = apply("and", apply("shr", size, Const(13, I32)), Const(1, I32))
    carried = apply("add", apply("add", size, odd), Const(0xFFF - (112 << 23), I32))
    normal = apply("shr", carried, Const(13, I32))
    aligned = apply("add", Bitcast(size, F32), Const(0.5, F32))
    subnormal = apply("sub", Bitcast(aligned, I32), half)
    size = apply("select", apply("lt", size, least), subnormal, normal)
    sign = let(apply("and", upper, Const(0x8000, I32)))
    return apply("or", size, sign), apply("or", sign, Const(0x7E00, I32))


def _odd(value: Expr, let: Name) -> Expr:
    """An f64 or integer rounded to odd in f32: the neighbour with an odd last bit where it lies between two.

    Rounding that again, to at most 22 bits, is rounding once (S. Boldo and G. Melquiond, "Emulation of FMA and
    correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions on Computers 57, 2008).
    """
    nearest = let(cast(value, F32))
    back = let(cast(nearest, value.dtype))
    bits = let(Bitcast(nearest, I32))
    zero = Const(0, value.dtype)
    outward = apply("select", apply("lt", value, zero), apply("lt", back, value), apply("gt", back, value))
    other = apply("add", bits, apply("select", outward, Const(-1, I32), Const(1, I32)))
    even = apply("eq", apply("and", bits, Const(1, I32)), Const(0, I32))
    moves = apply("and", even, apply("ne", back, value))
    return Bitcast(apply("select", moves, other, bits), F32)
