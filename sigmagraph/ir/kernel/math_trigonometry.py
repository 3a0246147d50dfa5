"""Expansions of sin, cos and tan, right for arguments of every size.

The argument is reduced in f64 for f32 too: k whole quarter turns are taken off, and the rest r, |r| <= pi/4, is kept in
twice the precision. For f64 this is the method of M. Payne and R. Hanek, "Radian reduction for trigonometric
functions", SIGNUM Newsletter 18 (1983).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.ir.kernel.math_term import FORMATS, Term, fast_two_sum, horner, two_product, two_sum

# Coefficients of z, z^2, ... in sin(r) / r and of z^2, z^3, ... in cos(r), z = r^2, |r| <= pi/4; those for f32 are
# evaluated in f64 too.
_SIN: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (-0.16666666640793784, 0.008333329304386511, -0.00019839312092127944, 2.7181197182890144e-06),
    F64: (
        -0.1666666666666663, 0.008333333333321837, -0.00019841269829354638, 2.755731353696817e-06,
        -2.5050734129137192e-08, 1.5895417532866586e-10,
    ),
})  # fmt: skip
_COS: Mapping[DType, tuple[float, ...]] = MappingProxyType({
    F32: (0.04166664567308291, -0.0013887315821248557, 2.443311118101532e-05),
    F64: (
        0.041666666666666595, -0.0013888888888873342, 2.4801587289001652e-05, -2.7557314216773824e-07,
        2.0875705342014184e-09, -1.1358745621681777e-11,
    ),
})  # fmt: skip
_QUARTER, _QUARTER_REST = 1.5707963267948966, 6.123233995736766e-17  # pi / 2
# For f32: arguments from `top` on are divided by 2^shift, which leaves whole numbers, and 2^shift * 2 / pi is used less
# whole turns: `top`, `shift` and the factor in two parts.
_NARROW = (
    (0.0, 0, 0.6366197723675814, -3.935735335036497e-17),
    (2.0**51, 28, -1.1058921025544264, 7.617183603001664e-17),
    (2.0**78, 55, -1.417998095063941, -7.725609031762152e-17),
    (2.0**105, 82, 1.3721898094436378, -3.413407372797326e-17),
)
# For f64: 2 / pi in words of 53 bits.
_WORD = 53
_WORDS = (
    5734161139222658, 5814151408469972, 7440259586542284, 5563773718881558, 2066796102992750, 2563573915284664,
    55291115753100, 5098427330010289, 1465545334474430, 5835026907506289, 6776677510095004, 7069188010357663,
    2595984518904818, 2831001892290551, 4552804911380620, 3195225570766134, 4461702110328553, 8190251822055336,
    6397593724909042, 8751785341853560, 5811081437509311, 3456741467624832, 7180050975382879,
)  # fmt: skip
_PRODUCTS = 5  # so many words, from the first that is not multiplied to whole turns, give the rest to 116 bits


@dataclass(frozen=True, slots=True)
class _Turned:
    """The sine and the cosine of the rest, each as a sum of two in f64, and k (its lowest bits count)."""

    sine: tuple[Term, Term]
    cosine: tuple[Term, Term]
    k: Term


def sin(x: Term) -> Term:
    """The sine; NaN of infinities."""
    return _near_zero(x, _of_quadrant(_turned(x), 0).to(x.dtype))


def cos(x: Term) -> Term:
    """The cosine; NaN of infinities."""
    return _of_quadrant(_turned(x), 1).to(x.dtype)


def tan(x: Term) -> Term:
    """The tangent, whose sums are divided as such; NaN of infinities."""
    turned = _turned(x)
    swap = (turned.k & 1).differs(0)
    (s, s_low), (c, c_low) = (fast_two_sum(*pair) for pair in (turned.sine, turned.cosine))
    above, above_low = swap.select(-c, s), swap.select(-c_low, s_low)
    below, below_low = swap.select(s, c), swap.select(s_low, c_low)
    quotient = above / below
    rest = (-quotient).fma(below, above) + (-quotient).fma(below_low, above_low)
    return _near_zero(x, (quotient + rest / below).to(x.dtype))


def _near_zero(x: Term, y: Term) -> Term:
    """X itself where x^3 does not count, so that zeros keep their sign and subnormal numbers their bits."""
    return (abs(x) < math.sqrt(FORMATS[x.dtype].epsilon) / 2).select(x, y)


def _of_quadrant(turned: _Turned, ahead: int) -> Term:
    """The sine, ``ahead`` quarter turns on."""
    k = turned.k + ahead if ahead else turned.k
    swap = (k & 1).differs(0)
    high, low = (swap.select(c, s) for s, c in zip(turned.sine, turned.cosine, strict=True))
    flip = (k & 2) << FORMATS[F64].bits.bits - 2
    return (high + low).bits().apply("xor", flip).float()


def _turned(x: Term) -> _Turned:
    r, rest, k = _REDUCTIONS[x.dtype](x.to(F64))
    z = r * r
    sine = (r * z).fma(horner(z, _SIN[x.dtype]), rest)
    half = z * 0.5
    cosine = 1.0 - half
    error = (1.0 - cosine) - half
    cosine_low = (z * z).fma(horner(z, _COS[x.dtype]), error) - r * rest
    if x.dtype is F64:
        sine = sine - half * rest
        cosine_low = r.fma(r, -z).fma(-0.5, cosine_low)
    return _Turned((r, sine), (cosine, cosine_low), k)


def _reduce_narrow(x: Term) -> tuple[Term, Term, Term]:
    """The rest (the second part is 0) and k, for numbers of f32."""
    size = abs(x)
    _, _, high, low = _NARROW[0]
    factor, factor_low, down = x.constant(high), x.constant(low), x.constant(1.0)
    for top, shift, high, low in _NARROW[1:]:
        great = size >= top
        factor, factor_low = great.select(high, factor), great.select(low, factor_low)
        down = great.select(2.0**-shift, down)
    whole = x * down
    p, error = two_product(whole, factor)
    turn, k = _nearest(p)
    turn, rest = two_sum(turn, error)
    turn, more = _nearest(turn)
    return (turn + whole.fma(factor_low, rest)) * _QUARTER, x.constant(0.0), k + more


def _reduce(x: Term) -> tuple[Term, Term, Term]:
    """The rest in two parts and k."""
    turn, turn_low, k = _turns(x)
    r, error = two_product(turn, x.constant(_QUARTER))
    rest = turn.fma(_QUARTER_REST, turn_low.fma(_QUARTER, error))
    r, rest = fast_two_sum(r, rest)
    small = abs(x) < 0.75
    return small.select(x, r), small.select(0.0, rest), small.select(0, k)


def _turns(x: Term) -> tuple[Term, Term, Term]:
    """X * 2 / pi less k in two parts, and k, both up to multiples of 4."""
    x, words = _align(x)
    parts = [two_product(x * 2.0 ** (-_WORD * i), word) for i, word in enumerate(words)]
    # Below 2^108, 2^55, 2^2, 2^-51, 2^-104; what is above 4 is taken off exactly.
    (p0, e0), (p1, e1), (p2, e2), (p3, e3), (p4, _) = parts
    total, first = two_sum(_modulo_4(p0), _modulo_4(e0))
    total, second = two_sum(total, _modulo_4(p1))
    total, third = two_sum(total, e1)
    total, fourth = two_sum(total, p2)
    turn, k = _nearest(total)
    low = turn.constant(0.0)
    least = e3 + p4
    for part in (first, second, third, fourth, e2, p3):
        low, error = two_sum(low, part)
        least = least + error
    turn, rest = two_sum(turn, low)
    return turn, rest + least, k


def _nearest(x: Term) -> tuple[Term, Term]:
    """X less the nearest whole number k, and k as an integer whose lowest bits count."""
    rounder = 1.5 * 2.0 ** FORMATS[x.dtype].mantissa
    t = x + rounder
    return x - (t - rounder), t.bits()


def _align(x: Term) -> tuple[Term, tuple[Term, ...]]:
    """X divided by as many words as leave it a multiple of 4, and the words (below 1) from there on."""
    words = [x.constant(word * 2.0**-_WORD) for word in _WORDS]
    for step in (16, 8, 4, 2, 1):
        great = abs(x) >= 2.0 ** (_WORD * (step + 1) + 1)
        x = great.select(x * 2.0 ** (-_WORD * step), x)
        kept = words[: _PRODUCTS + step - 1]
        words = [great.select(words[i + step], w) if i + step < len(words) else w for i, w in enumerate(kept)]
    return x, tuple(words)


def _modulo_4(x: Term) -> Term:
    return (x * 0.25).apply("round").fma(-4.0, x)


_REDUCTIONS: Mapping[DType, Callable[[Term], tuple[Term, Term, Term]]] = MappingProxyType(
    {F32: _reduce_narrow, F64: _reduce}
)
