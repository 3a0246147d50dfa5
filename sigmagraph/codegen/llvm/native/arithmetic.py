"""Routines for arithmetic in f64 that processors without an instruction for it would ask a C library for.

They compute in integers, with numbers of 124 bits as two words of 62, and round once, to nearest, ties to even.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType

from sigmagraph.codegen.llvm.native.memory import F64, I64, f64_bits, f64_from_bits
from sigmagraph.codegen.llvm.native.translate import Routine, routines_text

MAGNITUDE = (1 << 63) - 1
SIGN = -(1 << 63)
INFINITY = 2047 << 52
NAN = 4095 << 51
MANTISSA = (1 << 52) - 1
WORD = (1 << 62) - 1
HALF = (1 << 27) - 1
DOUBLE_HALF = (1 << 54) - 1
FAR = 120


def soft_exponent(bits: I64) -> I64:
    """The exponent of a finite number that is not 0, which is its significand by 2^(exponent - 1075)."""
    exponent = (bits >> 52) & 2047
    if exponent == 0:
        exponent = 1
        mantissa = bits & MANTISSA
        while mantissa <= MANTISSA:
            mantissa = mantissa * 2
            exponent -= 1
    return exponent


def soft_significand(bits: I64) -> I64:
    """The significand of a finite number that is not 0: 53 bits."""
    mantissa = bits & MANTISSA
    if ((bits >> 52) & 2047) != 0:
        return mantissa + MANTISSA + 1
    while mantissa <= MANTISSA:
        mantissa = mantissa * 2
    return mantissa


def soft_lower(high: I64, low: I64, by: I64) -> I64:
    """The lower word of a number shifted right by at most 120; the lowest bit also says whether anything was lost."""
    lost = 0
    if by >= 62:
        if low != 0:
            lost = 1
        low = high
        high = 0
        by -= 62
    mask = (1 << by) - 1
    if (low & mask) != 0:
        lost = 1
    return (low >> by) | ((high & mask) << (62 - by)) | lost


def soft_rounded(sign: I64, high: I64, low: I64, exponent: I64) -> F64:
    """The nearest f64 of a number, not 0, by 2^exponent; it is negative where ``sign`` is."""
    sign = sign & SIGN
    if high == 0:
        high = low
        low = 0
        exponent -= 62
    while high <= DOUBLE_HALF:
        high = (high << 8) | (low >> 54)
        low = (low & DOUBLE_HALF) << 8
        exponent -= 8
    exponent += 62
    if low != 0:
        high = high | 1
    drop = 2
    rest = high >> 55
    while rest != 0:
        rest = rest >> 1
        drop += 1
    if exponent + drop < -1074:
        drop = -1074 - exponent
    if drop > 62:
        return f64_from_bits(sign)
    half = 1 << (drop - 1)
    rest = high & (half + half - 1)
    high = high >> drop
    if rest > half or (rest == half and (high & 1) != 0):
        high += 1
    exponent += drop + 1074
    if exponent + (high >> 52) >= 2047:
        return f64_from_bits(sign | INFINITY)
    return f64_from_bits(sign | ((exponent << 52) + high))


def soft_unusual(a: F64, b: F64, c: F64) -> F64:
    """``a * b + c`` where one of them is 0, infinite or NaN."""
    x = f64_bits(a) & MAGNITUDE
    y = f64_bits(b) & MAGNITUDE
    z = f64_bits(c) & MAGNITUDE
    if x == 0 or y == 0 or x >= INFINITY or y >= INFINITY:
        return a * b + c
    if z == 0:
        return a * b
    return c + c


def soft_sum(sign: I64, other: I64, high: I64, low: I64, c: I64, exponent: I64) -> F64:
    """The product ``high, low`` by 2^exponent, plus an f64 by its bits; the signs are those of both."""
    size = soft_significand(c)
    high_c = size >> 1
    low_c = (size & 1) << 61
    by = soft_exponent(c) - 1136 - exponent
    if by > 0:
        exponent += by
        if by > FAR:
            by = FAR
        low = soft_lower(high, low, by)
        high = high >> by if by < 62 else 0
    else:
        by = -by if by > -FAR else FAR
        low_c = soft_lower(high_c, low_c, by)
        high_c = high_c >> by if by < 62 else 0
    if sign == other:
        low += low_c
        high += high_c + (low >> 62)
        return soft_rounded(sign, high, low & WORD, exponent)
    low -= low_c
    high += (low >> 62) - high_c
    low = low & WORD
    if high < 0:
        sign = other
        high = -high
        if low != 0:
            low = WORD + 1 - low
            high -= 1
    if high == 0 and low == 0:
        return 0.0
    return soft_rounded(sign, high, low, exponent)


def soft_fma(a: F64, b: F64, c: F64) -> F64:
    """``a * b + c``, rounded once."""
    x = f64_bits(a)
    y = f64_bits(b)
    z = f64_bits(c)
    if (x & MAGNITUDE) == 0 or (y & MAGNITUDE) == 0 or (z & MAGNITUDE) == 0:
        return soft_unusual(a, b, c)
    if (x & MAGNITUDE) >= INFINITY or (y & MAGNITUDE) >= INFINITY or (z & MAGNITUDE) >= INFINITY:
        return soft_unusual(a, b, c)
    size_x = soft_significand(x)
    size_y = soft_significand(y)
    middle = (size_x >> 27) * (size_y & HALF) + (size_x & HALF) * (size_y >> 27)
    low = (size_x & HALF) * (size_y & HALF) + ((middle & HALF) << 27)
    high = (size_x >> 27) * (size_y >> 27) + (middle >> 27) + (low >> 54)
    low = (low & DOUBLE_HALF) << 8
    exponent = soft_exponent(x) + soft_exponent(y) - 2158
    return soft_sum((x ^ y) >> 63, z >> 63, high, low, z, exponent)


def soft_sqrt(a: F64) -> F64:
    """The square root."""
    bits = f64_bits(a)
    if (bits & MAGNITUDE) == 0 or (bits & MAGNITUDE) > INFINITY or bits == INFINITY:
        return a + a
    if bits < 0:
        return f64_from_bits(NAN)
    rest = 0
    root = 0
    size = soft_significand(bits)
    exponent = soft_exponent(bits) - 1075
    if (exponent & 1) != 0:
        size = size * 2
        exponent -= 1
    bit = 0
    while bit < 54:
        rest = (rest << 2) | (size >> 52)
        size = (size << 2) & DOUBLE_HALF
        root = root * 2
        if rest > root + root:
            rest = rest - (root + root + 1)
            root += 1
        bit += 1
    # There are no ties: the square of an odd number has no factor of 2^54.
    return f64_from_bits(((((exponent - 54) >> 1) + 1075) << 52) + (root >> 1) + (root & 1))


_PARTS = (soft_significand, soft_exponent)
# By the scalar op that calls it, which is the name of the first one.
ROUTINES: Mapping[str, Sequence[Routine]] = MappingProxyType(
    {
        "soft_fma": (soft_fma, soft_unusual, soft_sum, soft_lower, soft_rounded),
        "soft_sqrt": (soft_sqrt,),
    }
)


@cache
def arithmetic_texts(op: str) -> Mapping[str, str]:
    """The functions of a module that a scalar op calls, by name: those of the op alone, and what all share."""
    return {op: _alone(ROUTINES[op]), "soft_parts": routines_text(_PARTS)}


def _alone(routines: Sequence[Routine]) -> str:
    """Routines without the shared parts that they call."""
    whole, shared = routines_text((*routines, *_PARTS)), routines_text(_PARTS)
    assert whole.endswith(shared)
    return whole.removesuffix(shared)
