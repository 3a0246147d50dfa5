"""Unrolled loops become copies of their bodies."""

from __future__ import annotations

import pytest
from kernel_runs import GOLDEN_DIMS, golden, same_bits

from sigmagraph.codegen.transform.unroll import unroll
from sigmagraph.errors import LoweringError
from sigmagraph.ir.kernel.kernel import For, LoopKind, statements
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel


def kernel(body: str, dims: str = "n") -> str:
    return (
        f"sigmagraph 1\nkernel @k stage(scheduled) dims({dims}) "
        f"params(%x: in f32[12], %i: in i64[3], %o: out f32[12]) {{\n{body}\n}}\n"
    )


def test_lets_indices_and_buffers_of_the_body_are_renamed() -> None:
    before = parse_kernel(
        kernel("""
  for %u in 2 unrolled {
    let %t: f32 = %x[%u]
    let %j: i64 = max(0:i64, min(5:i64, %i[%u]))
    alloc %b: f32[4] local
    for %v in 4 vectorized { let %s: f32 = mul(%t, %x[%j+%u])
      %b[%v] = %s }
    for %v in 4 { %o[6*%u+%v] = %b[%v] when(5-%u) }
  }
  for %u in 1 unrolled { let %t: f32 = %x[%u]
    %o[4] = %t }
""")
    )
    after = unroll(before)
    expected = kernel("""
  let %t.0: f32 = %x[0]
  let %j.0: i64 = max(0:i64, min(5:i64, %i[0]))
  alloc %b.0: f32[4] local
  for %v in 4 vectorized { let %s: f32 = mul(%t.0, %x[%j.0])
    %b.0[%v] = %s }
  for %v in 4 { %o[%v] = %b.0[%v] when(5) }
  let %t.1: f32 = %x[1]
  let %j.1: i64 = max(0:i64, min(5:i64, %i[1]))
  alloc %b.1: f32[4] local
  for %v in 4 vectorized { let %s: f32 = mul(%t.1, %x[%j.1+1])
    %b.1[%v] = %s }
  for %v in 4 { %o[6+%v] = %b.1[%v] when(4) }
  let %t.0.0: f32 = %x[0]
  %o[4] = %t.0.0
""")
    assert print_kernel(after) == print_kernel(parse_kernel(expected))
    verify_kernel(after)
    same_bits(before, after, {"n": 1})


def test_loops_in_loops_are_unrolled_from_the_inside() -> None:
    before = parse_kernel(
        kernel("for %a in 3 unrolled { for %b in 2 unrolled { let %t: f32 = %x[2*%a+%b]\n %o[4*%b+%a] = %t } }")
    )
    after = unroll(before)
    assert [s.name for s in statements(after.body) if hasattr(s, "name")] == [
        "%t.0.0", "%t.1.0", "%t.0.1", "%t.1.1", "%t.0.2", "%t.1.2",
    ]  # fmt: skip
    verify_kernel(after)
    same_bits(before, after, {"n": 1})


def test_loops_inside_of_other_statements_are_found() -> None:
    before = parse_kernel(kernel("for %r in n { if (n-2) { for %a in 2 unrolled { %o[%a] = %x[%a] } } else {} }"))
    after = unroll(before)
    assert not [s for s in statements(after.body) if isinstance(s, For) and s.kind is LoopKind.UNROLLED]
    same_bits(before, after, {"n": 2})


def test_a_symbolic_extent_is_an_error() -> None:
    with pytest.raises(LoweringError, match="loop over '%a' cannot be unrolled"):
        unroll(parse_kernel(kernel("for %a in n unrolled { %o[0] = %x[%a] }")))


@pytest.mark.parametrize("name", GOLDEN_DIMS)
def test_golden_kernels_keep_their_meaning(name: str) -> None:
    before = golden(name)
    after = unroll(before)
    for dims in GOLDEN_DIMS[name]:
        same_bits(before, after, dims)
    for callee in before.callees:
        copied = unroll(callee)
        assert not [s for s in statements(copied.body) if isinstance(s, For) and s.kind is LoopKind.UNROLLED]
        verify_kernel(copied)
        same_bits(callee, copied, {"k": 3})
