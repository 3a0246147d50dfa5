"""Expansions around the logarithm: log, log1p, log2, log10, asinh, acosh, atanh."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.dtypes import F32, F64, I32, DType
from sigmagraph.ir.kernel.math_term import FORMATS, LN2, Term, fast_two_sum, horner, two_sum

# Coefficients of f^2, f^3, ... in log(1 + f), sqrt(1/2) <= 1 + f <= sqrt(2).
_LOG: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (
        -0.49999991059303284, 0.33333948254585266, -0.25001785159111023, 0.1996215283870697, -0.1657002866268158,
        0.14916852116584778, -0.14309942722320557, 0.08740301430225372,
    ),
    F64: (
        -0.4999999999999997, 0.3333333333332808, -0.2500000000001275, 0.20000000001745227, -0.16666666666222102,
        0.14285714086846882, -0.124999998321747, 0.11111122033603392, -0.10000018120417875, 0.09090582865000464,
        -0.08332553031998544, 0.07697717767080976, -0.07160254080167482, 0.06621539098671972, -0.060411198831203605,
        0.05973884500973307, -0.06787299155363012, 0.06324376448080837, -0.028291952633762177,
    ),
})  # fmt: skip
# 1 / ln(2), 1 / ln(10) and log10(2), each less its float64.
_LOG2_E, _LOG2_E_REST = 1.4426950408889634, 2.0355273740931033e-17
_LOG10_E, _LOG10_E_REST = 0.4342944819032518, 1.098319650216765e-17
_LOG10_2, _LOG10_2_REST = 0.3010299956639812, -2.8037281277851704e-18


def log(x: Term) -> Term:
    """The logarithm as e ln 2 + ln(m) with x = 2^e m and m in sqrt(1/2) .. sqrt(2)."""
    e, unit, m = decompose(x)
    return _at_edges(x, e.fma(LN2 / unit, _log_mantissa(m)))


def log2(x: Term) -> Term:
    """The logarithm to base 2 as e + log(m) / ln 2, exact for powers of two."""
    e, unit, m = decompose(x)
    return _at_edges(x, e.fma(1.0 / unit, _log_mantissa_to_base(m, _LOG2_E, _LOG2_E_REST)))


def log10(x: Term) -> Term:
    """The logarithm to base 10 as e lg 2 + ln(m) / ln 10, exact for powers of ten."""
    e, unit, m = decompose(x)
    keep = 2.0 ** (FORMATS[x.dtype].mantissa - 10)  # so many bits that a product with an exponent is exact
    high = math.floor(_LOG10_2 * keep) / keep
    low = (_LOG10_2 - high) + _LOG10_2_REST
    rest = e.fma(low / unit, _log_mantissa_to_base(m, _LOG10_E, _LOG10_E_REST))
    return _at_edges(x, e.fma(high / unit, rest))


def log1p(x: Term) -> Term:
    """log(1 + x), where the rounding error of 1 + x is added to the mantissa."""
    high, low = two_sum(x.constant(1.0), x)
    y = (x < math.inf).select(_log_sum(high, low), x)
    inside = (x > -1.0).select(y, x.equals(-1.0).select(-math.inf, x.constant(math.nan)))
    return x.equals(0.0).select(x, inside)


def asinh(x: Term) -> Term:
    """log1p(a + a^2 / (1 + sqrt(1 + a^2))) with the sign of x, a = |x|; log(2 a) for great a."""
    a = abs(x)
    great = a > 1.0 / FORMATS[x.dtype].epsilon
    square = a * a
    high, low = fast_two_sum(a, square / (1.0 + (1.0 + square).sqrt()))
    return (a < math.inf).select(_log_one_plus(great, a, high, low), a).copysign(x)


def acosh(x: Term) -> Term:
    """log1p(d + sqrt(d^2 + 2 d)) with d = x - 1; log(2 x) for great x."""
    great = x > 1.0 / FORMATS[x.dtype].epsilon
    d = x - 1.0
    square = d.fma(d, d + d)
    root = square.sqrt()
    high, low = two_sum(d, root)
    low = low + (-root).fma(root, square) / (root + root).at_least(FORMATS[x.dtype].epsilon)
    y = (x < math.inf).select(_log_one_plus(great, x, high, low), x)
    return (x >= 1.0).select(y, math.nan)


def atanh(x: Term) -> Term:
    """log1p(2 a + 2 a^2 / (1 - a)) / 2 with the sign of x, a = |x|."""
    a = abs(x)
    twice = a + a
    high, low = two_sum(twice, twice * a / (1.0 - a))
    one, error = two_sum(x.constant(1.0), high)
    y = _log_sum(one, error + low) * 0.5
    return (a < 1.0).select(y, a.equals(1.0).select(math.inf, a.constant(math.nan))).copysign(x)


def _log_one_plus(great: Term, x: Term, high: Term, low: Term) -> Term:
    """log(1 + high + low), and log(2 x) where x is great."""
    one, error = two_sum(x.constant(1.0), high)
    return _log_sum(great.select(x, one), great.select(0.0, error + low), great.select(x.constant(1.0), 0.0))


def _log_sum(high: Term, low: Term, twos: Term | None = None) -> Term:
    """log((high + low) * 2^twos) for a normal high that is finite and positive, and a small low."""
    e, unit, exponent, m = _split(high)
    down = (high.constant(1.0).bits() - exponent).apply("max", 0).float()  # 2^-e; 0 where that is too small to matter
    if twos is not None:
        e = twos.fma(unit, e)
    m, rest = two_sum(m, low * down)
    half = m * m * 0.5
    log_m = m - half
    first, *others = _LOG[m.dtype]
    tail = (m * m).fma(horner(m, (first + 0.5, *others)), rest - rest * m)
    return e.fma(LN2 / unit, log_m + (((m - log_m) - half) + tail))


def _log_mantissa(m: Term) -> Term:
    """log(1 + m)."""
    return (m * m).fma(horner(m, _LOG[m.dtype]), m)


def _log_mantissa_to_base(m: Term, factor: float, rest: float) -> Term:
    """log(1 + m) times ``factor + rest``."""
    high, low = FORMATS[m.dtype].split(factor, rest)
    tail = m * m * horner(m, _LOG[m.dtype])
    return m.fma(high, m.fma(low, tail * high))


def decompose(x: Term) -> tuple[Term, float, Term]:
    """X = 2^(e / unit) * (1 + m): e, unit, m; subnormal numbers are scaled up first."""
    f = FORMATS[x.dtype]
    up = f.mantissa + 1
    tiny = x < 2.0 ** (1 - f.bias)
    e, unit, _, m = _split(tiny.select(x * 2.0**up, x))
    return e + tiny.select(e.constant(-up * unit), 0.0), unit, m


def _split(x: Term) -> tuple[Term, float, Term, Term]:
    """X = 2^(e / unit) * (1 + m) for a normal x: e, unit, the exponent where floats have it, m."""
    f = FORMATS[x.dtype]
    unit = 2.0 ** (f.mantissa - (f.bits.bits - 32))  # of an exponent in the upper 32 bits, which become floats cheaply
    y = x.bits()
    exponent = (y - f.pattern(math.sqrt(0.5))) & (-1 << f.mantissa)
    m = (y - exponent).float() - 1.0
    return (exponent >> f.bits.bits - 32).to(I32).to(x.dtype), unit, exponent, m


def _at_edges(x: Term, y: Term) -> Term:
    """The logarithm y of x where x is positive and finite; its limits and NaN elsewhere."""
    positive = (x < math.inf).select(y, x)
    other = x.equals(0.0).select(-math.inf, x.constant(math.nan))
    return (x > 0.0).select(positive, other)
