"""Expansions around the exponential function: exp, exp2, expm1, sinh, cosh, tanh."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.ir.kernel.math_term import (
    FORMATS,
    LN2,
    Term,
    fast_two_sum,
    horner,
    power_of_two,
    scale,
    two_product,
    two_sum,
)

# Coefficients of r^2, r^3, ... in exp(r), |r| <= ln 2.
_EXP: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (
        0.5000003576278687, 0.166666179895401, 0.041661232709884644, 0.00833593588322401, 0.0014104676665738225,
        0.0001962942333193496,
    ),
    F64: (
        0.4999999999999993, 0.16666666666666935, 0.0416666666667021, 0.008333333333270278, 0.0013888888883576782,
        0.0001984126989251802, 2.480159082968658e-05, 2.755730073715785e-06, 2.7556158151201403e-07,
        2.5055020120503915e-08, 2.106231994184761e-09, 1.5936358750632138e-10,
    ),
})  # fmt: skip
# Coefficients of r^2, r^3, ... in 1 - exp(-2 r), |r| <= ln(2) / 4.
_TANH: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (-1.9999998807907104, 1.3333237171173096, -0.6666790843009949, 0.26772016286849976, -0.0887676402926445),
    F64: (
        -2.000000000000002, 1.3333333333333317, -0.666666666665219, 0.26666666666757716, -0.08888888916108237,
        0.02539682530187399, -0.006349185428173643, 0.0014109374470994468, -0.0002828892076792278,
        5.1329648503884974e-05,
    ),
})  # fmt: skip
# Coefficients of z, z^2, ... in sinh(x) / x, z = x^2 <= 1.
_SINH: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (0.1666666716337204, 0.00833331048488617, 0.0001984289410756901, 2.782230239972705e-06),
    F64: (
        0.16666666666666669, 0.008333333333332912, 0.00019841269841593416, 2.755731910675402e-06,
        2.5052130999181376e-08, 1.6056659135646723e-10, 7.776600855380382e-13,
    ),
})  # fmt: skip
# Arguments outside give 0 and infinity like these ends.
_EXP_RANGE: Mapping[DType, tuple[float, float]] = MappingProxyType({F32: (-104.0, 89.0), F64: (-746.0, 710.0)})
_EXP2_RANGE: Mapping[DType, tuple[float, float]] = MappingProxyType({F32: (-151.0, 129.0), F64: (-1076.0, 1025.0)})
# From here on tanh is 1, and below its negative expm1 is -1.
_ONE: Mapping[DType, tuple[float, float]] = MappingProxyType({F32: (10.0, -20.0), F64: (20.0, -40.0)})
# From here on sinh and cosh are infinite.
_COSH_TOP: Mapping[DType, float] = MappingProxyType({F32: 90.0, F64: 711.0})
_LN2_REST = 2.3190468138462996e-17  # ln 2 less its float64


def exp(x: Term) -> Term:
    """The exponential as e^r * 2^k * 2^k with r = x - 2 k ln 2.

    Scaling in two equal steps asks for an even multiple of ln 2, and makes overflow and subnormal results come out of
    the last product, rounded once. What gives zero is computed as e^0 and left out: processors take a hundred cycles to
    underflow, and softmax with a mask asks for it often.
    """
    f = FORMATS[x.dtype]
    low, high = _EXP_RANGE[x.dtype]
    vanishes = x < low
    x = vanishes.select(0.0, x.at_most(high))
    t = x.fma(0.5 / LN2, f.rounder)
    k = t - f.rounder
    r = k.fma(-2.0 * f.ln2[1], k.fma(-2.0 * f.ln2[0], x))
    factor = power_of_two(t)
    return vanishes.select(0.0, horner(r, (1.0, 1.0, *_EXP[x.dtype])) * factor * factor)


def reduced_exp(high: Term, low: Term | None = None, steps: int = 1) -> tuple[Term, Term, Term]:
    """exp(high + low) as (s + e) * 2^(steps * k): s, e, and k plus the format's rounder; low is small beside high.

    |steps * k| is at most twice the bias. The error of s + e is a small part of the last place of s. As in :func:`exp`
    a product with 2^k twice is cheaper than :func:`scale`.
    """
    f = FORMATS[high.dtype]
    t = high.fma(1.0 / (steps * LN2), f.rounder)
    k = t - f.rounder
    first, second = (-steps * part for part in f.ln2)
    near = k.fma(first, high)
    far = k * second if low is None else k.fma(second, low)
    r, rest = fast_two_sum(near, far)
    return *_exp_sum(r, rest), t


def _exp_sum(r: Term, rest: Term) -> tuple[Term, Term]:
    """exp(r + rest) as a sum, |r| <= ln 2."""
    s, e = fast_two_sum(r.constant(1.0), r)
    return s, e + _exp_tail(r, rest)


def _exp_tail(r: Term, rest: Term) -> Term:
    """exp(r + rest) - 1 - r."""
    return (r * r).fma(horner(r, _EXP[r.dtype]), rest)


def exp2(x: Term) -> Term:
    """2^x = 2^k exp((x - k) ln 2), exact for whole x."""
    f = FORMATS[x.dtype]
    low, high = _EXP2_RANGE[x.dtype]
    x = x.at_most(high).at_least(low)
    t = x + f.rounder
    fraction = x - (t - f.rounder)
    ln2, rest = f.split(LN2, _LN2_REST)
    r, error = two_product(fraction, x.constant(ln2))
    s, e = _exp_sum(r, fraction.fma(rest, error))
    return scale(s + e, t)


def expm1(x: Term) -> Term:
    """exp(x) - 1 = 2 (2^(k-1) (q - 1) + (2^(k-1) - 1/2)) with q = exp(r), r = x - k ln 2."""
    f = FORMATS[x.dtype]
    bounded = x.at_most(_EXP_RANGE[x.dtype][1]).at_least(_ONE[x.dtype][1])
    t = bounded.fma(1.0 / LN2, f.rounder)
    k = t - f.rounder
    r, rest = fast_two_sum(k.fma(-f.ln2[0], bounded), k * -f.ln2[1])
    half = power_of_two(t - 1.0)
    s, e = two_sum(half - 0.5, half * r)
    y = (s + half.fma(_exp_tail(r, rest), e)) * 2.0
    return (abs(x) < f.epsilon / 4).select(x, y)


def sinh(x: Term) -> Term:
    """(exp|x| - exp(-|x|)) / 2 with the sign of x; x + x^3 P(x^2) up to 1."""
    a = abs(x)
    z = a * a
    small = (a * z).fma(horner(z, _SINH[x.dtype]), a)
    s, e, w, t = _hyperbolic(a)
    d = s - w
    large = scale(d + (((s - d) - w) + e), t - 1.0)
    return (a < 1.0).select(small, large).copysign(x)


def cosh(x: Term) -> Term:
    """(exp|x| + exp(-|x|)) / 2."""
    s, e, w, t = _hyperbolic(abs(x))
    high, low = fast_two_sum(s, w)
    return scale(high + (low + e), t - 1.0)


def _hyperbolic(a: Term) -> tuple[Term, Term, Term, Term]:
    """exp(a) = (s + e) * 2^k and exp(-a) = w * 2^k for a >= 0: s, e, w, and k plus the format's rounder."""
    f = FORMATS[a.dtype]
    s, e, t = reduced_exp(a.at_most(_COSH_TOP[a.dtype]))
    k = (t - f.rounder).at_most(f.mantissa + 2.0)
    return s, e, power_of_two(f.rounder - (k + k)) / (s + e), t


def tanh(x: Term) -> Term:
    """tanh|x| = (1 - e) / (1 + e) with e = exp(-2 |x|) = 2^k (1 - q), q = 1 - exp(-2 r), r = |x| + k ln(2) / 2.

    q comes from a polynomial without a constant term, so that nothing cancels when x is small.
    """
    f = FORMATS[x.dtype]
    a = abs(x).at_most(_ONE[x.dtype][0])
    t = a.fma(-2.0 / LN2, f.rounder)
    r = (t - f.rounder).fma(0.5 * LN2, a)
    q = (r * r).fma(horner(r, _TANH[x.dtype]), r + r)
    factor = power_of_two(t)
    above = factor.fma(q, 1.0 - factor)
    below = (-factor).fma(q, 1.0 + factor)
    size = above / below
    if x.dtype is F64:  # whose polynomial leaves no room for the errors of the two sums
        part = factor * q
        above_low = part - (above - (1.0 - factor))
        below_low = ((1.0 + factor) - below) - part
        size = size + ((-size).fma(below, above) + (-size).fma(below_low, above_low)) / below
    return size.copysign(x)
