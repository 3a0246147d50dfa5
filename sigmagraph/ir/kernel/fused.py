"""Multiply and add in float64 with one rounding, which NumPy does not have."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

_Float64: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"
_SPLIT = 2.0**27 + 1


def fma(a: _Float64, b: _Float64, c: _Float64) -> _Float64:
    """``a * b + c`` rounded once, where neither c nor the result is subnormal beside the product.

    Source: S. Boldo, G. Melquiond, "Emulation of FMA and correctly rounded sums: proved algorithms using rounding to
    odd", IEEE Transactions on Computers 57 (2008).
    """
    with np.errstate(all="ignore"):
        plain = a * b + c
        x, up_x = np.frexp(a)
        y, up_y = np.frexp(b)
        up = up_x + up_y
        z = np.ldexp(c, -up)
        high, low = _two_product(x, y)
        t, t_low = _two_sum(z, low)
        v, v_low = _two_sum(high, t)
        fused = np.ldexp(v + _sum_to_odd(t_low, v_low), up)
        direct = ~np.isfinite(plain) | ~np.isfinite(z) | (x == 0) | (y == 0)
        return np.asarray(np.where(direct, plain, fused))


def _two_sum(a: _Float64, b: _Float64) -> tuple[_Float64, _Float64]:
    """The rounded sum and its error."""
    s = a + b
    back = s - a
    return s, (a - (s - back)) + (b - back)


def _two_product(a: _Float64, b: _Float64) -> tuple[_Float64, _Float64]:
    """The rounded product and its error, by Dekker's halves of 26 bits."""
    p = a * b
    (a_high, a_low), (b_high, b_low) = _halves(a), _halves(b)
    return p, ((a_high * b_high - p) + a_high * b_low + a_low * b_high) + a_low * b_low


def _halves(a: _Float64) -> tuple[_Float64, _Float64]:
    high = a * _SPLIT - (a * _SPLIT - a)
    return high, a - high


def _sum_to_odd(a: _Float64, b: _Float64) -> _Float64:
    """The sum; of the two numbers around an inexact one that with an odd last bit."""
    s, error = _two_sum(a, b)
    even = s.view(np.int64) % 2 == 0
    towards = np.where(error > 0, np.inf, -np.inf)
    return np.asarray(np.where((error != 0) & even, np.nextafter(s, towards), s))
