"""Multiply-add and square roots in f64 without an instruction for them are rounded once, as exact fractions say."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from native_kernels import run_native

from sigmagraph.codegen.llvm.native.arithmetic import soft_fma, soft_sqrt
from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel

SPLITS = Instructions(fma_f64=False)  # there is f64, but no such instruction
LACKS = Instructions(fma_f64=False, f64=False)
both_ways = pytest.mark.parametrize("has", [SPLITS, LACKS], ids=["split", "integers"])
KERNEL = parse_kernel("""sigmagraph 1
kernel @both stage(scheduled) dims(n) params(%a: in f64[4*n], %b: in f64[4*n], %c: in f64[4*n], %y: out f64[4*n], %r: out f64[4*n]) {
  for %i in n {
    for %v in 4 vectorized {
      %y[4*%i+%v] = fma(%a[4*%i+%v], %b[4*%i+%v], %c[4*%i+%v])
      %r[4*%i+%v] = sqrt(%c[4*%i+%v])
    }
  }
}
""")
NUMBERS = 3000


def around(rng: np.random.Generator, low: int, high: int, count: int = NUMBERS) -> np.ndarray:
    """Numbers of both signs between two powers of two."""
    return np.ldexp(rng.choice([-1.0, 1.0], count) * rng.uniform(1, 2, count), rng.integers(low, high, count))


def triples() -> list[np.ndarray]:
    """Any finite ones, summands of all sizes, sums that nearly cancel, ties, tiny and huge results."""
    rng = np.random.default_rng(11)
    any_bits = rng.integers(0, 1 << 64, (3, NUMBERS), np.uint64).view(np.float64)
    parts = [np.where(np.isfinite(any_bits), any_bits, 1.5)]
    parts.append(np.stack([around(rng, -5, 5), around(rng, -5, 5), around(rng, -130, 130)]))
    a, b = around(rng, -5, 5), around(rng, -5, 5)
    parts.append(np.stack([a, b, -a * b * (1 + rng.integers(-2, 3, NUMBERS) * 2.0**-52)]))
    few, half = (1 + rng.integers(0, 4, NUMBERS) * 2.0**-52 for _ in range(2))
    parts.append(np.stack([few, half * 2.0**-53, rng.choice([1.0, 1 + 2.0**-52, -1.0, -2.0], NUMBERS)]))
    parts.append(np.stack([around(rng, -540, -480), around(rng, -540, -480), around(rng, -1074, -1000)]))
    parts.append(np.stack([around(rng, -1074, -1000), around(rng, -60, 60), around(rng, -1074, -1010)]))
    parts.append(np.stack([around(rng, 500, 540), around(rng, 480, 520), around(rng, 1000, 1023)]))
    return list(np.concatenate(parts, axis=1))


def rounded(exact: Fraction) -> float:
    """The nearest f64; Python's division of whole numbers is rounded once."""
    try:
        return float(exact)
    except OverflowError:
        return math.inf if exact > 0 else -math.inf


@both_ways
def test_it_is_rounded_once(has: Instructions) -> None:
    a, b, c = triples()
    exact = [Fraction(x) * Fraction(y) + Fraction(z) for x, y, z in zip(a, b, c, strict=True)]
    want = np.array([rounded(e) for e in exact])
    got, roots = np.empty_like(a), np.empty_like(a)
    run_native(KERNEL, [a, b, c, got, roots], {"n": len(a) // 4}, has)
    np.testing.assert_array_equal(got, want)
    negative = np.array([e < 0 for e in exact])
    np.testing.assert_array_equal(np.signbit(got)[negative], True)  # what is rounded to 0, too
    with np.errstate(all="ignore"):
        np.testing.assert_array_equal(roots, np.sqrt(c))
    for k in range(0, len(a), 20 if has is LACKS else len(a)):
        assert soft_fma(float(a[k]), float(b[k]), float(c[k])) == want[k]
        assert soft_sqrt(abs(float(c[k]))) == math.sqrt(abs(c[k]))


@both_ways
def test_infinities_nan_and_zeros(has: Instructions) -> None:
    inf, nan, big, tiny = np.inf, np.nan, 1.7e308, 5e-324
    a = np.array([inf, inf, nan, 0.0, -0.0, big, 0.0, 1.0, big, big, -tiny, tiny, 2.0, 1.0, 0.0, tiny])
    b = np.array([2.0, 0.0, 1.0, 3.0, 3.0, big, -1.0, inf, big, 2.0, tiny, tiny, 3.0, 1.0, inf, 0.5])
    c = np.array([-inf, 1.0, 1.0, -0.0, -0.0, -big, 5.0, 1.0, -inf, -big, 0.0, 0.0, nan, -1.0, 1.0, tiny])
    got, roots = np.empty_like(a), np.empty_like(a)
    run_native(KERNEL, [a, b, c, got, roots], {"n": 4}, has)
    want = [nan, nan, nan, 0.0, -0.0, inf, 5.0, inf, -inf, big, -0.0, 0.0, nan, 0.0, nan, 2 * tiny]
    np.testing.assert_array_equal(got, want)
    number = ~np.isnan(want)
    np.testing.assert_array_equal(np.signbit(got)[number], np.signbit(want)[number])
    special = np.array([0.0, -0.0, inf, -inf, nan, -1.0, tiny, 4.0])
    run_native(KERNEL, [special, special, special, np.empty_like(special), roots[:8]], {"n": 2}, LACKS)
    np.testing.assert_array_equal(roots[:8], [0.0, -0.0, inf, nan, nan, nan, math.sqrt(tiny), 2.0])
    assert np.signbit(roots[1])


def test_functions_are_called_only_where_instructions_lack() -> None:
    assert "soft_" not in print_kernel(legalize(KERNEL))
    text = print_kernel(legalize(KERNEL, LACKS))
    assert "soft_fma(" in text
    assert "soft_sqrt(" in text
    text = print_kernel(legalize(KERNEL, SPLITS))
    assert "split_fma(" in text
    assert "soft_" not in text
