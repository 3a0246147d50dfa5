"""Multiply-add in float64 is rounded once, as exact fractions say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from sigmagraph.ir.kernel.fused import fma


@pytest.mark.parametrize("span", [2, 60, 400])
def test_it_is_rounded_once(span: int) -> None:
    rng = np.random.default_rng(span)
    a, b, c = (rng.standard_normal(2000) * 2.0 ** rng.integers(-span, span, 2000) for _ in range(3))
    c = np.where(rng.random(2000) < 0.5, -(a * b) * (1 + rng.integers(-2, 3, 2000) * 2.0**-52), c)
    exact = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c, strict=True)]
    np.testing.assert_array_equal(fma(a, b, c), exact)


def test_the_error_of_a_product_is_left_over() -> None:
    a, b = np.array([1 + 2.0**-52]), np.array([1 - 2.0**-52])
    np.testing.assert_array_equal(fma(a, b, -(a * b)), [-(2.0**-104)])


def test_halfway_cases_see_the_last_bit() -> None:
    one, tiny = np.array([1.0, 1.0]), np.array([2.0**-53, 2.0**-53])
    factor = np.array([1 + 2.0**-52, 1 - 2.0**-53])
    np.testing.assert_array_equal(fma(tiny, factor, one), [1 + 2.0**-52, 1.0])


def test_infinities_nan_and_zeros() -> None:
    inf, nan = np.inf, np.nan
    a = np.array([inf, inf, nan, 0.0, -0.0, 1e308, 0.0])
    b = np.array([2.0, 0.0, 1.0, 3.0, 3.0, 1e308, -1.0])
    c = np.array([-inf, 1.0, 1.0, -0.0, -0.0, -1e308, 5.0])
    got = fma(a, b, c)
    np.testing.assert_array_equal(got, [nan, nan, nan, 0.0, -0.0, inf, 5.0])
    assert list(np.signbit(got[3:5])) == [False, True]
