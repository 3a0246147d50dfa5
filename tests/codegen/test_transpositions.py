"""Two vectorized loops, one inside the other: squares are turned in registers, with the numbers of the interpreter."""

from __future__ import annotations

import numpy as np
import pytest
from native_kernels import run_native
from sparse import pairs

from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel

DTYPES = ("f32", "f64", "i32", "bool")


def square(lanes: int, dtype: str, body: str) -> Kernel:
    """Squares of ``%x`` [n, m] are written to ``%y`` [m, n], a row of %y for a column of %x."""
    return parse_kernel(f"""sigmagraph 1
    kernel @k stage(scheduled) dims(n, m) params(%x: in {dtype}[n,m], %y: inout {dtype}[m,n]) {{
      for %a in ((n+{lanes - 1})//{lanes}) {{
        for %b in ((m+{lanes - 1})//{lanes}) {{
          for %i in {lanes} vectorized {{ {body.format(i=f"%i+{lanes}*%a", j=f"%j+{lanes}*%b", lanes=lanes)} }}
        }}
      }}
    }}""")


def check(kernel: Kernel, n: int, m: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ways of running the kernel; elements of ``%y`` that it does not write stay 1."""
    x = np.round(2 * np.random.default_rng(n).standard_normal((n, m))).astype(kernel.params[0].dtype.numpy)
    results = []
    for run in (run_native, interpret_kernel):
        y = np.ones((m, n), x.dtype)
        run(kernel, [x, y], {"n": n, "m": m})
        results.append(y)
    np.testing.assert_array_equal(*results)
    return x, results[0]


@pytest.mark.parametrize(("lanes", "dtype"), pairs([4, 8, 16], DTYPES))
def test_a_matrix_is_transposed(lanes: int, dtype: str) -> None:
    """Squares at the edges are guarded along both axes."""
    body = """for %j in {lanes} vectorized {{
      %y[{j}, {i}] when(n-1-({i}), m-1-({j})) = %x[{i}, {j}] when(n-1-({i}), m-1-({j}))
    }}"""
    x, y = check(square(lanes, dtype, body), 2 * lanes + 3, lanes + 1)
    np.testing.assert_array_equal(y, x.T)


@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_what_is_stored_is_computed_along_the_outer_loop(lanes: int) -> None:
    """Lets outside see one loop, those inside see both; some of the values do not differ along either."""
    body = """let %f: f32 = cast(index({i}), f32)
      for %j in {lanes} vectorized {{
        let %v: f32 = %x[{i}, {j}] when(n-1-({i}), m-1-({j}))
        let %w: f32 = add(mul(%v, %f), cast(index(%j), f32))
        %y[{j}, {i}] when(n-1-({i}), m-1-({j}), {i}-1) = %w
      }}"""
    check(square(lanes, "f32", body), 2 * lanes + 3, lanes + 2)
    same = """for %j in {lanes} vectorized {{ %y[{j}, {i}] when(n-1-({i}), m-1-({j})) = 2.0:f32 }}"""
    check(square(lanes, "f32", same), lanes + 3, lanes + 2)


@pytest.mark.parametrize("lanes", [4, 16])
def test_elements_that_are_not_side_by_side(lanes: int) -> None:
    """Strides that neither loop has as 1, and rows in reverse."""
    kernel = parse_kernel(f"""sigmagraph 1
    kernel @k stage(scheduled) dims() params(%x: in f32[{3 * lanes},{2 * lanes}], %y: inout f32[{lanes},{5 * lanes}]) {{
      for %i in {lanes} vectorized {{
        for %j in {lanes} vectorized {{ %y[%j, 5*%i] = %x[{3 * lanes - 1}-3*%i, 2*%j] }}
      }}
    }}""")
    x = np.random.default_rng(lanes).standard_normal((3 * lanes, 2 * lanes)).astype(np.float32)
    y = np.zeros((lanes, 5 * lanes), np.float32)
    run_native(kernel, [x, y], {})
    np.testing.assert_array_equal(y[:, ::5], x[::-1][::3, ::2].T)
    assert not np.delete(y, np.s_[::5], axis=1).any()
