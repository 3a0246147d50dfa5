"""Guards, conditions, index arithmetic and loops that ranges decide are taken away, and nothing else."""

from __future__ import annotations

import pytest
from kernel_runs import GOLDEN_DIMS, golden, same_bits

from sigmagraph.codegen.transform.simplify import simplify
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

HEAD = "sigmagraph 1\nkernel @k stage(scheduled) dims(n) params(%x: in f32[n], %s: in i64[9], %o: inout f32[4*n+9]) "


def kernel(body: str) -> Kernel:
    return parse_kernel(f"{HEAD}{{\n{body}\n}}\n")


SIZES = ({"n": 0}, {"n": 1}, {"n": 2}, {"n": 7}, {"n": 8}, {"n": 13})


def assert_simplifies(body: str, expected: str) -> None:
    before = kernel(body)
    after = simplify(before)
    assert print_kernel(after) == print_kernel(kernel(expected))
    verify_kernel(after)
    for dims in SIZES:
        same_bits(before, after, dims)


def test_guards_that_hold_are_dropped() -> None:
    assert_simplifies(
        "for %i in n { %o[%i] when(n-%i-1, %i-2) = %x[%i] when(n-%i-1, 3-%i) }",
        "for %i in n { %o[%i] when(%i-2) = %x[%i] when(3-%i) }",
    )


def test_a_guard_that_fails_leaves_zero_or_no_store() -> None:
    assert_simplifies(
        "for %i in n { %o[%i] = %x[%i] when(-%i-1)\n %o[%i] when(%i-n) = 1.0:f32 }",
        "for %i in n { %o[%i] = 0.0:f32 }",
    )


def test_conditions_that_are_decided_leave_one_branch() -> None:
    assert_simplifies(
        "for %i in n { if (%i) { let %t: f32 = %x[%i]\n %o[%i] = %t } else { %o[%i] = 2.0:f32 }\n"
        "if (-%i-1) { %o[%i] = 3.0:f32 } else { let %t: f32 = neg(%x[%i])\n %o[%i+n] = %t } }",
        "for %i in n { let %t.0: f32 = %x[%i]\n %o[%i] = %t.0\n let %t.1: f32 = neg(%x[%i])\n %o[%i+n] = %t.1 }",
    )


def test_a_condition_is_known_in_its_branches() -> None:
    assert_simplifies(
        "for %i in n { if (%i-3) { %o[%i] = %x[%i] when(%i-2) } else { %o[%i] = %x[%i] when(2-%i) } }",
        "for %i in n { if (%i-3) { %o[%i] = %x[%i] } else { %o[%i] = %x[%i] } }",
    )


def test_divisions_and_extremes_that_are_decided_go() -> None:
    assert_simplifies(
        "for %i in n { for %j in 4 { %o[4*((4*%i+%j)//4)+%j] = %x[min(%i, n-1)] } }",
        "for %i in n { for %j in 4 { %o[4*%i+%j] = %x[%i] } }",
    )


def test_lets_are_seen_through() -> None:
    assert_simplifies(
        "for %i in n { let %a: i64 = index(2*%i)\n let %b: i64 = index((%a//2))\n %o[%b] = %x[%b] when(%b) }",
        "for %i in n { let %a: i64 = index(2*%i)\n let %b: i64 = index(%i)\n %o[%b] = %x[%b] }",
    )


def test_a_let_of_data_is_known_by_its_bounds_only() -> None:
    assert_simplifies(
        "for %i in n { let %a: i64 = max(0:i64, min(index(n-1), %s[0]))\n %o[%i] = %x[%a] when(%a, %a-1) }",
        "for %i in n { let %a: i64 = max(0:i64, min(index(n-1), %s[0]))\n %o[%i] = %x[%a] when(%a-1) }",
    )


def test_loops_that_run_once_are_replaced_by_their_bodies() -> None:
    assert_simplifies(
        "for %i in 1 { let %t: f32 = %o[8]\n %o[%i] = %t }\n for %v in 1 vectorized { %o[%v+1] = 2.0:f32 }\n"
        "let %t: f32 = 3.0:f32\n %o[2] = %t",
        "let %t.0: f32 = %o[8]\n %o[0] = %t.0\n %o[1] = 2.0:f32\n let %t: f32 = 3.0:f32\n %o[2] = %t",
    )


def test_parallel_loops_stay_even_when_they_run_once() -> None:
    body = "for %i in 1 parallel { %o[%i] = 1.0:f32 }"
    assert_simplifies(body, body)


def test_loops_that_never_run_are_dropped() -> None:
    assert_simplifies(
        "for %i in 0 { %o[0] = 1.0:f32 }\n for %i in n { for %j in min(-%i, 3) { %o[%i] = 5.0:f32 } }\n%o[8] = 7.0:f32",
        "%o[8] = 7.0:f32",
    )


def test_sizes_may_be_zero_outside_of_the_loops_that_need_them() -> None:
    """A guard against an empty dim must survive at the top, and goes inside of a loop over that dim."""
    assert_simplifies(
        "if (n-1) { %o[0] = 1.0:f32 }\n for %i in n { if (n-1) { %o[%i+1] = 2.0:f32 } }",
        "if (n-1) { %o[0] = 1.0:f32 }\n for %i in n { %o[%i+1] = 2.0:f32 }",
    )


def test_a_dim_is_positive_where_a_tail_or_a_tile_runs() -> None:
    assert_simplifies(
        "for %i in n-8*(n//8) { if (n-1) { %o[%i] = 1.0:f32 } }\n"
        "for %p in ((n+5)//6) { if (n-1) { %o[%p] = 2.0:f32 } }",
        "for %i in n-8*(n//8) { %o[%i] = 1.0:f32 }\n for %p in ((n+5)//6) { %o[%p] = 2.0:f32 }",
    )


def test_edges_of_tiles_are_not_taken_for_full() -> None:
    body = (
        "for %t in ((n+3)//4)*((n+3)//4) { let %p: i64 = index(%t-(%t//((n+3)//4))*((n+3)//4))\n"
        "for %j in min(4, n-4*%p) { %o[4*%p+%j] = %x[4*%p+%j] } }"
    )
    assert_simplifies(body, body)


def test_callees_and_barriers_are_left_alone() -> None:
    before = golden("row_sums_gpu")
    assert print_kernel(simplify(before)).count("barrier") == 1
    matmul = golden("matmul_bias_relu")
    assert simplify(matmul).callees == matmul.callees


@pytest.mark.parametrize("name", GOLDEN_DIMS)
def test_golden_kernels_keep_their_meaning(name: str) -> None:
    before = golden(name)
    after = simplify(before)
    verify_kernel(after)
    for dims in GOLDEN_DIMS[name]:
        same_bits(before, after, dims)


def test_what_is_zero_where_a_guard_fails_is_not_selected_again() -> None:
    both = "and(ge(index(3-%i), 0:i64), ge(index(%i-1), 0:i64))"
    assert_simplifies(
        f"for %i in n {{ let %t: f32 = %x[%i] when(%i-1, 3-%i)\n %o[%i] = select({both}, %t, 0.0:f32) }}",
        "for %i in n { let %t: f32 = %x[%i] when(%i-1, 3-%i)\n %o[%i] = %t }",
    )
    for kept in (
        f"%o[%i] = select({both}, %x[%i] when(%i-1), 0.0:f32)",  # the guard says less
        f"%o[%i] = select({both}, %x[%i] when(%i-1, 3-%i), 1.0:f32)",
        f"%o[%i] = select({both}, %x[%i] when(%i-1, 3-%i), -0.0:f32)",
        "%o[%i] = select(ge(index(%i-1), 1:i64), %x[%i] when(%i-1), 0.0:f32)",
        "%o[%i] = select(or(ge(index(%i-1), 0:i64), ge(index(3-%i), 0:i64)), %x[%i] when(%i-1), 0.0:f32)",
    ):
        assert_simplifies(f"for %i in n {{ {kept} }}", f"for %i in n {{ {kept} }}")
