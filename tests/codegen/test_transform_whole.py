"""Rounding to whole numbers without an instruction for it gives the bits that NumPy gives."""

from __future__ import annotations

import numpy as np
import pytest
from native_kernels import run_native

from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dtypes import F32, F64, DType
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel

LACKS = Instructions(rounding=False, rounding_f64=False)
OPS = {"floor": np.floor, "ceil": np.ceil, "round": np.rint}


def kernel(dtype: DType) -> Kernel:
    stores = "\n".join(f"%{op}[8*%i+%v] = {op}(%x[8*%i+%v])" for op in OPS)
    params = ", ".join([f"%x: in {dtype}[8*n]", *(f"%{op}: out {dtype}[8*n]" for op in OPS)])
    return parse_kernel(
        f"sigmagraph 1\nkernel @whole stage(scheduled) dims(n) params({params}) {{\n"
        f"  for %i in n {{\n    for %v in 8 vectorized {{\n{stores}\n}}\n  }}\n}}\n"
    )


def numbers(dtype: DType) -> np.ndarray:
    """Of random bits and of usual sizes, halves and their neighbours, around the largest that has a fraction, special."""
    rng = np.random.default_rng(7)
    bits = rng.integers(0, 1 << 8 * dtype.itemsize, 40_000, np.dtype(f"u{dtype.itemsize}"), endpoint=False)
    halves = np.arange(-40, 41).astype(dtype.numpy) / 2
    most = 2.0 ** np.finfo(dtype.numpy).nmant
    large = np.concatenate([most * scale + np.arange(-8, 9) / 4 for scale in (0.25, 0.5, 1, 2, 4)]).astype(dtype.numpy)
    special = np.array(
        [0.0, np.inf, np.nan, np.finfo(dtype.numpy).max, np.finfo(dtype.numpy).tiny, 5e-324], dtype.numpy
    )
    near = [np.nextafter(a, s * np.inf).astype(dtype.numpy) for a in (halves, large) for s in (-1, 1)]
    usual = rng.uniform(-1000, 1000, 2000).astype(dtype.numpy)
    x = np.concatenate([bits.view(dtype.numpy), usual, halves, large, -large, special, -special, *near])
    return np.resize(x, -(-len(x) // 8) * 8)


@pytest.mark.parametrize("dtype", [F32, F64], ids=str)
def test_it_is_what_numpy_gives(dtype: DType) -> None:
    x = numbers(dtype)
    with np.errstate(all="ignore"):
        want = [f(x) for f in OPS.values()]
    lowered, native = ([np.empty_like(x) for _ in OPS] for _ in range(2))
    few = slice(40_000, None)
    parts = [np.empty_like(x[few]) for _ in OPS]
    run_native(kernel(dtype), [x, *native], {"n": len(x) // 8}, LACKS)
    run_native(kernel(dtype), [x, *lowered], {"n": len(x) // 8})
    interpret_kernel(legalize(kernel(dtype), LACKS), [x[few], *parts], {"n": len(x[few]) // 8})
    number = ~np.isnan(x)
    for op, expected, *found in zip(OPS, want, native, lowered, parts, strict=True):
        for got in (*found[:2], np.concatenate([expected[:40_000], found[2]])):
            np.testing.assert_array_equal(got, expected, op)
            np.testing.assert_array_equal(np.signbit(got[number]), np.signbit(expected[number]), op)


@pytest.mark.parametrize(("dtype", "other"), [(F32, F64), (F64, F32)], ids=str)
def test_only_what_is_lacking_is_written_anew(dtype: DType, other: DType) -> None:
    lacks = Instructions(rounding=dtype is not F32, rounding_f64=dtype is not F64)
    for op in OPS:
        assert f"{op}(" not in print_kernel(legalize(kernel(dtype), lacks))
        assert f"{op}(" in print_kernel(legalize(kernel(other), lacks))
