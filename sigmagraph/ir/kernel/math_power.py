"""Expansion of the general power, with the logarithm in twice the precision."""

from __future__ import annotations

import math

from sigmagraph.dtypes import F32, F64
from sigmagraph.ir.kernel import math_exponential, math_logarithm
from sigmagraph.ir.kernel.math_term import FORMATS, Term, fast_two_sum, horner, scale, two_product

# Coefficients of z, z^2, ... in (log((1 + s) / (1 - s)) - 2 s) / s^3, z = s^2 <= 0.0295, after 2/3.
_TAIL = (
    0.3999999999999998, 0.28571428571443835, 0.22222222217791796, 0.18181818843696357, 0.1538455845020908,
    0.13336263644642204, 0.1167579805273903, 0.11981611188552455,
)  # fmt: skip
_THIRDS = (0.6666666666666666, 3.700743415417188e-17)  # 2/3
_TOP = 800.0  # exp(800) is infinite, exp(-800) is 0


def power(x: Term, y: Term) -> Term:
    """X^y with C's special cases (C17, F.10.4.4): |x|^y, the sign of odd powers, NaN for roots of negative numbers.

    f32 is computed in f64.
    """
    if x.dtype is F32:
        x, y = x.to(F64), y.to(F64)
        return _with_signs(x, y, math_exponential.exp(y * math_logarithm.log(abs(x)))).to(F32)
    return _with_signs(x, y, _magnitude(abs(x), y))


def _with_signs(x: Term, y: Term, size: Term) -> Term:
    size = abs(x).equals(1.0).select((y.equals(y)).select(y.constant(1.0), y), size)
    half = y * 0.5
    whole = y.floor().equals(y)
    odd = whole & half.floor().differs(half)
    negative = x.bits() < 0
    signed = (negative & odd).select(-size, size)
    root = (x < 0.0) & (x > -math.inf) & ~whole
    return (y.equals(0.0) | x.equals(1.0)).select(1.0, root.select(math.nan, signed))


def _magnitude(x: Term, y: Term) -> Term:
    """x^y for x >= 0, wrong only where x is 1."""
    high, low = _log(x)
    high = (x < math.inf).select(x.equals(0.0).select(-math.inf, high), x)
    product, error = two_product(y, high)
    error = (abs(product) < _TOP).select(y.fma(low, error), 0.0)
    s, e, t = math_exponential.reduced_exp(product.at_most(_TOP).at_least(-_TOP), error)
    return scale(s + e, t)


def _log(x: Term) -> tuple[Term, Term]:
    """log(x) as a sum whose relative error is below 2^-65, for positive finite x.

    log(x) = e ln 2 + 2 atanh(s), s = m / (2 + m), x = 2^e (1 + m).
    """
    f = FORMATS[x.dtype]
    e, unit, m = math_logarithm.decompose(x)
    e = e * (1.0 / unit)
    d, d_low = fast_two_sum(m.constant(2.0), m)
    s = m / d
    s_low = ((-s).fma(d, m) - s * d_low) / d
    z, z_low = two_product(s, s)
    z_low = (s + s).fma(s_low, z_low)
    c, c_low = _cubic(z, z_low)
    cube, cube_low = two_product(s, z)
    cube_low = s.fma(z_low, s_low.fma(z, cube_low))
    u, u_low = two_product(cube, c)
    u_low = cube.fma(c_low, cube_low.fma(c, u_low))
    v, v_low = fast_two_sum(s + s, u)
    v_low = v_low + ((s_low + s_low) + u_low)
    high, low = fast_two_sum(e * f.ln2[0], v)
    low = low + e.fma(f.ln2[1], v_low)
    return fast_two_sum(high, low)


def _cubic(z: Term, z_low: Term) -> tuple[Term, Term]:
    """(log((1 + s) / (1 - s)) - 2 s) / s^3 as a sum, s^2 = z + z_low."""
    tail = horner(z, _TAIL)
    p, p_low = two_product(z, tail)
    c, c_low = fast_two_sum(z.constant(_THIRDS[0]), p)
    return c, c_low + (z_low.fma(tail, p_low) + _THIRDS[1])
