"""Multiply-add without an instruction for it is rounded once, as exact fractions say."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from native_kernels import run_native

from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel

KERNEL = parse_kernel("""sigmagraph 1
kernel @fused stage(scheduled) dims(n) params(%a: in f32[8*n], %b: in f32[8*n], %c: in f32[8*n], %y: out f32[8*n]) {
  for %i in n {
    for %v in 8 vectorized { %y[8*%i+%v] = fma(%a[8*%i+%v], %b[8*%i+%v], %c[8*%i+%v]) }
  }
}
""")


def numbers() -> list[np.ndarray]:
    """Ordinary ones, sums that nearly cancel, ties that only the last bit of the product decides, tiny results."""
    rng = np.random.default_rng(5)
    a, b, c = (rng.standard_normal(6000) * 2.0 ** rng.integers(-30, 30, 6000) for _ in range(3))
    a, b = a.astype(np.float32), b.astype(np.float32)
    c[:2000] = -(a.astype(np.float64) * b)[:2000] * (1 + rng.integers(-2, 3, 2000) * 2.0**-24)
    a[2000:3000] = (1 + rng.integers(0, 2**12, 1000) * 2.0**-23).astype(np.float32)
    b[2000:3000] = 2.0**-24 * (1 + rng.integers(0, 3, 1000) * 2.0**-23)
    c[2000:3000] = rng.choice([1.0, 1 + 2.0**-23, -1.0, -1 - 2.0**-23], 1000)
    a[3000:4000] *= np.float32(2.0**-70)
    b[3000:4000] *= np.float32(2.0**-60)
    c[3000:4000] *= 2.0**-130
    return [a, b, c.astype(np.float32)]


def rounded(exact: Fraction) -> np.float32:
    """The nearest f32, the even one of two."""
    near = np.float32(float(exact))
    around = [np.nextafter(near, np.float32(s)) for s in (-np.inf, np.inf)]
    return min([near, *around], key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1))


def test_it_is_rounded_once() -> None:
    a, b, c = numbers()
    triples = [[Fraction(float(x)) for x in triple] for triple in zip(a, b, c, strict=True)]
    want = np.array([rounded(x * y + z) for x, y, z in triples], np.float32)
    got = [np.empty_like(a) for _ in range(3)]
    run_native(KERNEL, [a, b, c, got[0]], {"n": 750}, has=Instructions(fma=False))
    run_native(KERNEL, [a, b, c, got[1]], {"n": 750})
    interpret_kernel(legalize(KERNEL, has=Instructions(fma=False)), [a, b, c, got[2]], {"n": 750})
    for found in got:
        np.testing.assert_array_equal(found, want)


def test_infinities_nan_and_zeros() -> None:
    inf, nan, big = np.inf, np.nan, 3e38
    a = np.array([inf, inf, nan, 0.0, -0.0, big, 0.0, 1.0], np.float32)
    b = np.array([2.0, 0.0, 1.0, 3.0, 3.0, big, -1.0, inf], np.float32)
    c = np.array([-inf, 1.0, 1.0, -0.0, -0.0, -big, 5.0, 1.0], np.float32)
    got = np.empty_like(a)
    run_native(KERNEL, [a, b, c, got], {"n": 1}, has=Instructions(fma=False))
    np.testing.assert_array_equal(got, [nan, nan, nan, 0.0, -0.0, inf, 5.0, inf])
    assert list(np.signbit(got[3:5])) == [False, True]


def test_nothing_is_left_of_it() -> None:
    assert "fma(" in print_kernel(legalize(KERNEL))
    assert "fma(" not in print_kernel(legalize(KERNEL, has=Instructions(fma=False)))
