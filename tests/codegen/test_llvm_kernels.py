"""Kernels written by hand, as native code: the same numbers as the kernel interpreter."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from native_kernels import run_native

from sigmagraph.codegen.llvm.compile import Loaded, compile_module, processor
from sigmagraph.codegen.llvm.emit import emit_kernel
from sigmagraph.dims import evaluate
from sigmagraph.errors import CompileError
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.options import Target

GOLDEN = Path(__file__).parent.parent / "golden" / "kernel"


def check(kernel: Kernel, dims: Mapping[str, int], rtol: float = 2e-5) -> list[np.ndarray]:
    """Both ways of running a kernel on the same numbers."""
    rng = np.random.default_rng(5)
    shapes = [tuple(evaluate(s, dims) for s in b.shape) for b in kernel.params]
    arrays = [np.require(rng.standard_normal(s), b.dtype.numpy) for s, b in zip(shapes, kernel.params, strict=True)]
    native, interpreted = [a.copy() for a in arrays], [a.copy() for a in arrays]
    run_native(kernel, native, dims)
    interpret_kernel(kernel, interpreted, dims)
    for a, b in zip(native, interpreted, strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-5)
    return native


@pytest.mark.parametrize("dims", [{"m": 7, "n": 19, "k": 5}, {"m": 1, "n": 1, "k": 1}, {"m": 12, "n": 32, "k": 8}])
def test_matmul_with_packed_panels(dims: Mapping[str, int]) -> None:
    check(parse_kernel((GOLDEN / "matmul_bias_relu.sgk").read_text()), dims)


@pytest.mark.parametrize("dims", [{"rows": 3, "n": 21}, {"rows": 2, "n": 3}, {"rows": 1, "n": 8}])
def test_softmax_in_two_sweeps(dims: Mapping[str, int]) -> None:
    out = check(parse_kernel((GOLDEN / "softmax_rows.sgk").read_text()), dims)[1]
    np.testing.assert_allclose(out.sum(axis=1), 1, rtol=1e-6)


LANES = """
sigmagraph 1
kernel @lanes stage(scheduled) dims(n) params(
    %x: in f32[n,8], %index: in i64[8], %o: out f32[n,8], %half: out f32[n,8], %flags: out bool[n,8], %t: out f32[8,n]
) {
  for %i in n parallel {
    for %v in 8 vectorized {
      let %j: i64 = max(0:i64, min(7:i64, %index[%v]))
      %o[%i, %v] = add(%x[%i, -%v+7], %x[%i, %j])
      %half[%i, %v] = %x[%i, (%v//2)] when(%i-1, %v-2)
      %flags[%i, %v] = gt(%x[%i, %v], %x[%i, 0])
      %t[%v, %i] = mul(%x[%i, %v], cast(index(%i+3*%v), f32))
    }
    if (-%i+1) {
      for %v in 8 vectorized {
        %o[%i, %v] = neg(%o[%i, %v])
      }
    } else {
      for %v in 5 vectorized {
        %o[%i, %v+2] when(-%v+3) = 1.0:f32
      }
    }
  }
}
"""


@pytest.mark.parametrize("n", [1, 2, 5])
def test_lanes_that_differ_in_every_way(n: int) -> None:
    """Reversed, gathered, guarded and strided accesses; bool and index vectors; branches between vector loops."""
    kernel = parse_kernel(LANES)
    rng = np.random.default_rng(n)
    x, index = rng.standard_normal((n, 8)).astype(np.float32), rng.integers(-2, 10, 8)
    results = []
    for run in (run_native, interpret_kernel):
        buffers = [x, index, np.zeros((n, 8), np.float32), np.zeros((n, 8), np.float32), np.zeros((n, 8), bool)]
        buffers.append(np.zeros((8, n), np.float32))
        run(kernel, buffers, {"n": n})
        results.append(buffers)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


INTEGERS = """
sigmagraph 1
kernel @integers stage(scheduled) dims(n) params(%a: in i32[n], %b: in i32[n], %q: out i32[n], %f: in f32[n], %c: out i32[n]) {
  for %i in n {
    %q[%i] = div(%a[%i], %b[%i])
    %c[%i] = cast(%f[%i], i32)
  }
}
"""


def test_integers_never_trap() -> None:
    """Division by 0 and of the least number by -1, and floats that no integer can hold."""
    a = np.array([7, -7, 5, -(2**31), 2**31 - 1, 0], np.int32)
    b = np.array([2, 2, 0, -1, -1, 0], np.int32)
    f = np.array([1.9, -1.9, np.nan, 1e20, -1e20, np.inf], np.float32)
    q, c = np.zeros(6, np.int32), np.zeros(6, np.int32)
    run_native(parse_kernel(INTEGERS), [a, b, q, f, c], {"n": 6})
    np.testing.assert_array_equal(q, [3, -3, 0, -(2**31), -(2**31) + 1, 0])
    np.testing.assert_array_equal(c, [1, -1, 0, 2**31 - 1, -(2**31), 2**31 - 1])
    other, cast = np.zeros(6, np.int32), np.zeros(6, np.int32)
    with np.errstate(all="ignore"):
        interpret_kernel(parse_kernel(INTEGERS), [a, b, other, f, cast], {"n": 6})
    np.testing.assert_array_equal(q, other)
    np.testing.assert_array_equal(c, cast)


def test_what_a_cpu_cannot_do_is_an_error() -> None:
    kernel = parse_kernel((GOLDEN / "row_sums_gpu.sgk").read_text())
    with pytest.raises(CompileError, match="no such statement"):
        emit_kernel(kernel, {})


def test_text_that_llvm_refuses_is_an_error() -> None:
    with pytest.raises(CompileError, match="refuses"):
        compile_module("define void @f() { ret i32 0 }", processor(Target()))
    with pytest.raises(CompileError, match="cannot be loaded"):
        Loaded(b"not an object", ("f",), processor(Target()), "broken")


@pytest.mark.parametrize("op", ["exp2_approx", "round_tf32_even"])
def test_processors_have_no_instructions_of_gpus(op: str) -> None:
    text = f"sigmagraph 1\nkernel @k stage(legal) params(%x: in f32[1], %y: out f32[1]) {{ %y[0] = {op}(%x[0]) }}\n"
    with pytest.raises(CompileError, match=f"(?s)no such instruction.*{op}"):
        run_native(parse_kernel(text), [np.ones(1, np.float32)] * 2, {})
