"""Expansions of the inverse trigonometric functions: asin, acos, atan, atan2."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.ir.kernel.math_term import FORMATS, Term, fast_two_sum, horner

# Coefficients of z, z^2, ... in asin(x) / x, z = x^2 <= 1/4.
_ASIN: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (0.16666752099990845, 0.07495308667421341, 0.04546929523348808, 0.024183886125683784, 0.04216005280613899),
    F64: (
        0.16666666666665408, 0.07500000000337219, 0.04464285682809178, 0.03038195914865747, 0.02237175773769952,
        0.017359709843400895, 0.013885182409692547, 0.012169576187002682, 0.006526335286211224, 0.019532916135664758,
        -0.016231796554330453, 0.03191760429884274,
    ),
})  # fmt: skip
# Coefficients of z, z^2, ... in atan(x) / x, z = x^2 <= 1.
_ATAN: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (
        -0.33333298563957214, 0.1999852955341339, -0.1426401287317276, 0.10950903594493866, -0.08400361239910126,
        0.05793338268995285, -0.031196262687444687, 0.010952395386993885, -0.0018089605728164315,
    ),
    F64: (
        -0.33333333333333065, 0.1999999999995095, -0.14285714282545026, 0.11111111006122092, -0.09090906986623716,
        0.07692279643491023, -0.06666402416563336, 0.058805177919912736, -0.05253472714396666, 0.047221622815409835,
        -0.04218748079467554, 0.03663288955241979, -0.02988916058924364, 0.02196629824202511, -0.0138826044347374,
        0.007183444382080475, -0.002878015550590469, 0.0008288194535715268, -0.00015160471318121635,
        1.3167953434550324e-05,
    ),
})  # fmt: skip
_PI, _PI_REST = 3.141592653589793, 1.2246467991473532e-16


def asin(x: Term) -> Term:
    """The arcsine: x + x^3 P(x^2) up to 1/2; pi/2 less twice that of sqrt((1 - |x|) / 2) beyond, with the sign of x."""
    near, root, rest, tail = _asin_parts(x)
    high, low = FORMATS[x.dtype].split(_PI / 2, _PI_REST / 2)
    far, error = fast_two_sum(root.constant(high), root * -2.0)
    far = far + (error + (low - 2.0 * (rest + tail)))
    return near.select(abs(x) + tail, far).copysign(x)


def acos(x: Term) -> Term:
    """pi/2 - asin(x) up to 1/2, 2 asin(sqrt((1 - |x|) / 2)) above, pi less that below; NaN above 1."""
    near, root, rest, tail = _asin_parts(x)
    f = FORMATS[x.dtype]
    high, low = f.split(_PI / 2, _PI_REST / 2)
    signed = tail.copysign(x)
    inner, error = fast_two_sum(x.constant(high), -x)
    inner = inner + (error + (low - signed))
    high, low = f.split(_PI, _PI_REST)
    left, error = fast_two_sum(x.constant(high), root * -2.0)
    left = left + (error + (low - 2.0 * (rest + tail)))
    right = 2.0 * (root + (rest + tail))
    return near.select(inner, (x < 0.0).select(left, right))


def _asin_parts(x: Term) -> tuple[Term, Term, Term, Term]:
    """Whether |x| <= 1/2; then asin|x| = |x| + tail, else asin(sqrt((1 - |x|) / 2)) = root + rest + tail."""
    a = abs(x)
    near = a <= 0.5
    z = near.select(a * a, (1.0 - a) * 0.5)
    root = near.select(a, z.sqrt())
    # What the rounding of the square root left, where there is one.
    rest = near.select(0.0, (-root).fma(root, z) / (root + root).at_least(FORMATS[x.dtype].epsilon))
    return near, root, rest, (root * z) * horner(z, _ASIN[x.dtype])


def atan(x: Term) -> Term:
    """The arctangent of |x|, or pi/2 less that of 1/|x|, with the sign of x."""
    a = abs(x)
    great = a > 1.0
    return _quarter_less(great, great.select(1.0 / a, a)).copysign(x)


def atan2(y: Term, x: Term) -> Term:
    """The angle of the point (x, y), in -pi .. pi with the sign of y; signed zeros and infinities as in C."""
    a, b = abs(y), abs(x)
    steep = a > b
    below, above = steep.select(a, b), steep.select(b, a)
    both = a.equals(b)
    ratio = both.select(1.0, above / below)
    ratio = below.equals(0.0).select(0.0, ratio)
    angle = _quarter_less(steep, ratio)
    f = FORMATS[x.dtype]
    high, low = f.split(_PI, _PI_REST)
    left, error = fast_two_sum(x.constant(high), -angle)
    angle = (x.bits() < 0).select(left + (error + low), angle)
    known = y.equals(y) & x.equals(x)
    return known.select(angle.copysign(y), math.nan)


def _quarter_less(great: Term, a: Term) -> Term:
    """The arctangent of 0 <= a <= 1; pi/2 less that where ``great``."""
    z = a * a
    cube, factor = a * z, horner(z, _ATAN[a.dtype])
    high, low = FORMATS[a.dtype].split(_PI / 2, _PI_REST / 2)
    turned, error = fast_two_sum(a.constant(high), -a)
    return great.select(turned + (error + cube.fma(-factor, low)), cube.fma(factor, a))
