"""Scalar ops without an instruction become lets of primitives; equal values of a block are computed once."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runs import GOLDEN_DIMS, golden, run, same_bits

from sigmagraph.codegen.transform.expand import expand
from sigmagraph.ir.kernel.expr import Apply, walk
from sigmagraph.ir.kernel.kernel import Kernel, Let, Store, statements
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.philox import philox_bits
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.scalar import SCALARS
from sigmagraph.ir.kernel.verify import verify_kernel

HEAD = "sigmagraph 1\nkernel @k stage(scheduled) dims(n) params(%x: in f32[n], %y: inout f32[n], %o: out f32[n]) "


def kernel(body: str) -> Kernel:
    return parse_kernel(f"{HEAD}{{\n{body}\n}}\n")


def assert_expands(body: str, expected: str) -> None:
    before = kernel(body)
    after = expand(before)
    assert print_kernel(after) == print_kernel(kernel(expected))
    verify_kernel(after)
    same_bits(before, after, {"n": 5})


def ops(kernel: Kernel) -> list[str]:
    values = [s.value for s in statements(kernel.body) if isinstance(s, (Let, Store))]
    return [e.op for v in values for e in walk(v) if isinstance(e, Apply)]


def test_a_repeated_value_becomes_a_let_before_its_first_use() -> None:
    assert_expands(
        "for %i in n { %y[%i] = mul(sub(%x[%i], 1.0:f32), sub(%x[%i], 1.0:f32))\n %o[%i] = sub(%x[%i], 1.0:f32) }",
        "for %i in n { let %e: f32 = sub(%x[%i], 1.0:f32)\n %y[%i] = mul(%e, %e)\n %o[%i] = %e }",
    )


def test_a_let_of_the_kernel_is_the_name_of_its_value() -> None:
    assert_expands(
        "for %i in n { let %a: f32 = neg(%x[%i])\n let %b: f32 = neg(%x[%i])\n %y[%i] = neg(%x[%i])\n %o[%i] = %b }",
        "for %i in n { let %a: f32 = neg(%x[%i])\n let %b: f32 = %a\n %y[%i] = %a\n %o[%i] = %a }",
    )


def test_what_is_used_once_stays_where_it_is() -> None:
    body = "for %i in n { let %a: f32 = neg(%x[%i])\n %o[%i] = add(%a, cast(index(%i), f32))\n %y[%i] = 0.0:f32 }"
    assert_expands(body, body)


def test_loads_are_not_merged_across_stores() -> None:
    body = "for %i in n { let %a: f32 = %y[%i]\n %y[%i] = add(%a, 1.0:f32)\n %o[%i] = mul(%y[%i], %x[%i]) }"
    assert_expands(body, body)
    body = "for %i in n { %o[%i] = neg(%y[%i])\n for %j in 1 { %y[%i] = 2.0:f32 }\n %o[%i] = neg(%y[%i]) }"
    assert_expands(body, body)


def test_loads_with_different_guards_are_different() -> None:
    body = "for %i in n { %o[%i] = add(%x[%i] when(%i-1), %x[%i] when(%i-2))\n %y[%i] = 0.0:f32 }"
    assert_expands(body, body)


def test_values_of_an_inner_block_stay_there() -> None:
    assert_expands(
        "for %i in n { %o[%i] = neg(%x[%i])\n for %j in 1 { %y[%i] = add(neg(%x[%i]), neg(%x[%i])) } }",
        "for %i in n { %o[%i] = neg(%x[%i])\n for %j in 1 { let %e: f32 = neg(%x[%i])\n %y[%i] = add(%e, %e) } }",
    )


def test_new_names_differ_from_all_others() -> None:
    before = kernel("for %e in n { let %e.0: f32 = %x[%e]\n %o[%e] = mul(neg(%e.0), neg(%e.0))\n %y[%e] = 0.0:f32 }")
    after = expand(before)
    assert [s.name for s in statements(after.body) if isinstance(s, Let)] == ["%e.0", "%e.1"]
    same_bits(before, after, {"n": 3})


@pytest.mark.parametrize("op", ["exp", "log", "tanh", "sin", "erf", "asinh", "acos"])
def test_an_op_is_expanded_once_for_equal_operands(op: str) -> None:
    once = expand(kernel(f"for %i in n {{ %o[%i] = {op}(%x[%i])\n %y[%i] = 0.0:f32 }}"))
    twice = expand(kernel(f"for %i in n {{ %o[%i] = {op}(%x[%i])\n %y[%i] = neg({op}(%x[%i])) }}"))
    assert len(ops(twice)) == len(ops(once)) + 1
    verify_kernel(twice)


@pytest.mark.parametrize("op", ["exp", "log", "tanh", "cos", "erfc", "expm1", "atan"])
def test_only_primitives_are_left_and_values_are_close(op: str) -> None:
    before = kernel(f"for %i in n {{ %o[%i] = add(1.0:f32, {op}({op}(abs(%x[%i]))))\n %y[%i] = 0.0:f32 }}")
    after = expand(before)
    assert all(SCALARS[o].primitive for o in ops(after))
    verify_kernel(after)
    np.testing.assert_allclose(run(after, {"n": 50})[2], run(before, {"n": 50})[2], rtol=1e-6, atol=1e-6)


def test_philox_is_exact() -> None:
    text = """sigmagraph 1
kernel @random stage(scheduled) dims(n) params(%key: in i64[2], %o: out i32[n]) {
  for %i in n { %o[%i] = cast(philox(%key[0], 11:i64, %key[1], index(%i)), i32) }
}
"""
    before = parse_kernel(text)
    after = expand(before)
    assert "philox" not in ops(after)
    verify_kernel(after)
    key, words = run(after, {"n": 9})
    np.testing.assert_array_equal(words, philox_bits(key[0], 11, key[1], np.arange(9)).astype(np.int32))
    same_bits(before, after, {"n": 9})


@pytest.mark.parametrize("name", GOLDEN_DIMS)
def test_golden_kernels_keep_their_meaning(name: str) -> None:
    before = golden(name)
    after = expand(before)
    assert all(SCALARS[o].primitive for o in ops(after))
    verify_kernel(after)
    for dims in GOLDEN_DIMS[name]:
        if "exp" in ops(before):
            np.testing.assert_allclose(run(after, dims)[-1], run(before, dims)[-1], rtol=2e-6)
        else:
            same_bits(before, after, dims)
