"""Fixed elements of inputs are read before the loops that need them, and nothing else is moved."""

from __future__ import annotations

import pytest
from kernel_runs import GOLDEN_DIMS, golden, same_bits

from sigmagraph.codegen.transform.hoist import hoist
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

HEAD = (
    "sigmagraph 1\nkernel @k stage(scheduled) dims(n) "
    "params(%r: in f32[], %k: in f32[2], %x: in f32[n], %y: inout f32[2], %o: out f32[n]) "
)


def kernel(body: str) -> Kernel:
    return parse_kernel(f"{HEAD}{{\n{body}\n}}\n")


def assert_hoists(body: str, expected: str) -> None:
    before = kernel(body)
    after = hoist(before)
    assert print_kernel(after) == print_kernel(kernel(expected))
    verify_kernel(after)
    for n in (0, 1, 5):
        same_bits(before, after, {"n": n})


def test_scalars_leave_loops_and_branches_but_no_parallel_loop() -> None:
    assert_hoists(
        "for %p in n parallel { for %i in 1 { if (%p-1) { let %a: f32 = %k[1]\n for %v in 1 vectorized {"
        " let %b: f32 = %r[]\n %o[%p] = add(mul(%a, %b), %x[%p]) } } else { %o[%p] = 0.0:f32 } } }",
        "for %p in n parallel { let %a: f32 = %k[1]\n let %b: f32 = %r[]\n for %i in 1 { if (%p-1) {"
        " for %v in 1 vectorized { %o[%p] = add(mul(%a, %b), %x[%p]) } } else { %o[%p] = 0.0:f32 } } }",
    )


def test_equal_names_of_different_blocks_are_told_apart() -> None:
    assert_hoists(
        "for %i in n { let %a: f32 = %k[0]\n %o[%i] = %a }\n for %i in n { let %a: f32 = %k[1]\n %y[0] = neg(%a) }",
        "let %a.0: f32 = %k[0]\n for %i in n { %o[%i] = %a.0 }\n"
        "let %a.1: f32 = %k[1]\n for %i in n { %y[0] = neg(%a.1) }",
    )


@pytest.mark.parametrize(
    "load",
    ["%x[0]", "%x[%i]", "%y[1]", "%k[0] when(%i-1)"],
    ids=["a dim may be 0", "it differs", "it is written", "it is guarded"],
)
def test_what_may_not_exist_or_changes_stays(load: str) -> None:
    body = f"for %i in n {{ let %a: f32 = {load}\n %o[%i] = %a\n %y[1] = %a }}"
    assert_hoists(body, body)


@pytest.mark.parametrize("name", GOLDEN_DIMS)
def test_golden_kernels_have_nothing_to_move(name: str) -> None:
    before = golden(name)
    assert hoist(before) == before
