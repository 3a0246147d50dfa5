"""Races between the iterations of concurrent loops: shown to be absent, or an error."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_runs import golden

from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel

PARAMS = "%x: in f32[n,m], %y: out f32[n], %z: inout f32[n,m], %f: out f32[n*m], %s: inout f32[], %i32: in i32[n]"


def kernel(body: str) -> Kernel:
    return parse_kernel(f"sigmagraph 1 kernel @k stage(scheduled) dims(n, m) params({PARAMS}) {{ {body} }}")


def threads(body: str) -> str:
    return f"for %b in n block_x {{ alloc %t: f32[64] shared for %y_ in 2 thread_y {{ for %x_ in 32 thread_x {{ {body} }} }} }}"


READ = "let %r: f32 = %t[32*({0})-64*(({0})//2)+31-%x_]"
WRITE = "%t[32*({0})-64*(({0})//2)+%x_] = 1.0:f32"


def ring(body: str) -> str:
    return f"for %b in n block_x {{ alloc %t: f32[64] shared for %x_ in 32 thread_x {{ {body} }} }}"


@pytest.mark.parametrize(
    "body",
    [
        # one axis of its own
        "for %i in n parallel { for %j in m { %z[%i, %j] = add(%z[%i, %j], %x[%i, %j]) } }",
        "for %j in m parallel { for %i in n { %z[%i, %j] = 1.0:f32 } }",
        "for %i in n parallel { %y[n-1-%i] = 1.0:f32 }",
        "for %i in n parallel { let %r: i64 = index(n-1-%i)  %y[%r] = %x[%r, 0] }",
        # a cell of its own
        "for %p in (n//6) parallel { for %i in 6 { %y[6*%p+%i] = 1.0:f32 } }",
        "for %p in ((n+5)//6) parallel { for %i in min(6, n-6*%p) { %y[6*%p+%i] = %x[6*%p+%i, 0] } }",
        "for %p in ((n+5)//6) parallel { for %i in 6 { %y[6*%p+%i] when(n-6*%p-%i-1) = 1.0:f32 } }",
        "for %i in n parallel { for %j in m { %f[%i*m+%j] = 1.0:f32 } }",
        "for %p in (n//6) parallel { for %i in 5 { %y[6*%p+%i+1] = %x[6*%p+%i, 0] } }",
        # lanes of their own
        "alloc %a: f32[32] local  for %v in 16 vectorized { %a[%v] = 0.0:f32  %a[%v+16] = %a[%v] }",
        "alloc %a: f32[8] local  for %v in 4 vectorized { %a[2*%v] = 0.0:f32  %a[2*%v+1] = %a[2*%v] }",
        "alloc %a: f32[2,8] local  for %v in 8 vectorized { %a[0, %v] = 0.0:f32  %a[1, 7-%v] = %a[1, 7-%v] }",
        "for %i in n parallel { for %j in 4 { %z[0, 0] when(n-2-%i, -%j, %i, -%i) = 1.0:f32 } }",
        # columns of a flat matrix
        "for %j in m parallel { for %i in n { %f[%i*m+%j] = 1.0:f32 } }",
        "for %p in ((m+7)//8) parallel { for %i in n { for %j in min(8, m-8*%p) { %f[%i*m+8*%p+%j] = 1.0:f32 } } }",
        # tasks that are rows and columns of tiles
        "for %p in n*m parallel { %z[(%p//m), %p-m*(%p//m)] = 1.0:f32 }",
        "for %p in n*m parallel { %z[%p-n*(%p//n), (%p//n)] = 1.0:f32 }",
        (
            "for %p in ((n+5)//6)*((m+7)//8) parallel { let %q: i64 = index((%p//((m+7)//8)))"
            " let %r: i64 = index(%p-((m+7)//8)*%q) for %i in min(6, n-6*%q) { for %j in min(8, m-8*%r) {"
            " %z[6*%q+%i, 8*%r+%j] = 1.0:f32 } } }"
        ),
        (
            "for %p in (n//6)*4*(m//8) parallel { for %i in 6 {"
            " %z[6*(%p//(4*(m//8)))+%i, 2*(%p-4*(m//8)*(%p//(4*(m//8))))] = 1.0:f32 } }"
        ),
        # conditions that only one iteration meets
        "for %i in n parallel { if (-%i) { %s[] = 1.0:f32 } }",
        "for %i in n parallel { %s[] when(%i-n+1) = 1.0:f32 }",
        "for %i in n parallel { if (%i-8*(%i//8)-7) { %y[(%i//8)] = 1.0:f32 } }",
        "for %i in 4*n parallel { if (-1-n) { %s[] = 1.0:f32 } }",
        # its own memory
        "for %i in n parallel { alloc %t: f32[4] local  for %j in 4 { %t[%j] = %x[%i, 0] }  %y[%i] = %t[3] }",
        # threads
        threads("%t[32*%y_+%x_] = 1.0:f32  barrier  %y[%b] when(-%x_, -%y_) = %t[63-32*%y_-%x_]"),
        threads("%t[2*%x_+%y_] = 1.0:f32"),
        threads("for %k in m { %t[32*%y_+%x_] = 1.0:f32  barrier  %z[%b, %k] when(-%x_, -%y_) = %t[9]  barrier }"),
        threads("%z[%b, 0] when(-%x_, -%y_) = %t[5]"),
        threads("%z[%b, 0] when(-%x_, -%y_) = 1.0:f32  barrier  %t[32*%y_+%x_] = %z[%b, 0]"),
        # memory for a step and the next one, used in turn: between two barriers all threads are in the same step
        ring(f"for %k in m {{ barrier  {READ.format('%k')}  {WRITE.format('%k+1')} }}"),
        ring(f"for %k in m {{ barrier  {READ.format('%k+1')}  barrier  {WRITE.format('%k+1')} }}"),
        ring(f"for %i in n {{ for %k in m+%i {{ barrier  {READ.format('%k')}  {WRITE.format('%k+3')} }}  barrier }}"),
    ],
)
def test_iterations_that_stay_apart(body: str) -> None:
    verify_kernel(kernel(body))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("for %i in n parallel { %s[] = 1.0:f32 }", "parallel '%i' may meet in an element of '%s'"),
        ("for %i in n parallel { %s[] = add(%s[], 1.0:f32) }", "'%s'"),
        ("for %i in n parallel { %y[(%i//2)] = 1.0:f32 }", "'%y'"),
        ("for %i in n parallel { %y[0*%i] = 1.0:f32 }", "'%y'"),
        ("for %i in n parallel { for %j in n { %y[%j] = 1.0:f32 } }", "'%y'"),
        ("for %i in n parallel { if (%i-1) { %z[%i, 0] = %z[%i-1, 0] } }", "one writes it, another reads it"),
        ("for %i in n parallel { %z[%i, 0] = %z[n-1-%i, 0] }", "one writes it, another reads it"),
        ("for %i in n parallel { %y[%i] = 1.0:f32  %y[n-1-%i] = 2.0:f32 }", "one writes it, another writes it"),
        ("for %p in (n//6) parallel { for %i in 7 { %y[6*%p+%i] when(n-6*%p-%i-1) = 1.0:f32 } }", "'%y'"),
        ("for %p in ((n+5)//6) parallel { for %i in min(7, n-6*%p) { %y[6*%p+%i] = 1.0:f32 } }", "'%y'"),
        ("for %i in n parallel { for %j in m { if (n*m-%i*m-%j-2) { %f[%i*m+%j+1] = 1.0:f32  %f[%i*m+%j] = 1.0:f32 } } }", "'%f'"),
        ("for %i in n parallel { for %j in m { %f[%i+%j] when(n*m-%i-%j-1) = 1.0:f32 } }", "'%f'"),
        ("for %i in n parallel { let %j: i64 = max(0:i64, min(index(n-1), cast(%i32[%i], i64)))  %y[%j] = 1.0:f32 }", "'%y'"),
        ("for %p in n*m parallel { for %i in 2 { %z[(%p//m), 0] = 1.0:f32 } }", "'%z'"),
        ("for %p in n*m parallel { %z[0, %p-m*(%p//m)] = 1.0:f32 }", "'%z'"),
        ("for %i in n parallel { if (1-%i) { %s[] = 1.0:f32 } }", "'%s'"),
        ("alloc %a: f32[1] local  for %v in 8 vectorized { %a[0] = 1.0:f32 }", "vectorized '%v' may meet"),
        ("alloc %a: f32[17] local  for %v in 16 vectorized { %a[%v+1] = %a[%v] }", "one writes it, another reads it"),
        ("alloc %a: f32[24] local  for %v in 16 vectorized { %a[%v] = 0.0:f32  %a[%v+8] = 0.0:f32 }", "'%a'"),
        ("for %b in n block_x { for %x_ in 32 thread_x { %y[%b] = 1.0:f32 } }", "thread_x '%x_' may meet"),
        ("for %b in n block_x { for %x_ in 32 thread_x { %z[0, 0] when(-%x_) = 1.0:f32 } }", "block_x '%b' may meet"),
        (threads("%t[%x_] = 1.0:f32"), "thread_y '%y_' may meet"),
        (threads("%t[32*%y_+%x_] = 1.0:f32  %y[%b] when(-%x_, -%y_) = %t[63-32*%y_-%x_]"), "one writes it, another reads"),
        (threads("for %k in m { %t[32*%y_+%x_] = 1.0:f32  barrier  %y[%b] when(-%x_, -%y_) = %t[9] }"), "'%t'"),
        (threads("%z[%b, 0] when(-%x_, -%y_) = 1.0:f32  %t[32*%y_+%x_] = %z[%b, 0]"), "'%z'"),
        (threads("%z[%b, 0] when(-%x_, -%y_) = 1.0:f32  barrier  %t[32*%y_+%x_] = %z[0, 0]"), "block_x '%b' may meet"),
        # memory for a step and the next one
        (ring(f"for %k in m {{ barrier  {READ.format('%k')}  {WRITE.format('%k+2')} }}"), "'%t'"),
        (ring(f"for %k in m {{ {READ.format('%k')}  {WRITE.format('%k+1')} }}"), "'%t'"),
        (ring(f"for %k in m {{ {READ.format('%k')}  barrier  {WRITE.format('%k+1')} }}"), "'%t'"),
        (ring(f"for %i in n {{ {WRITE.format('0*%i')}  for %k in m {{ barrier  {READ.format('%k')} }} }}"), "'%t'"),
        (ring(f"for %k in m {{ barrier  {READ.format('%k')} }}  for %k in m {{ {WRITE.format('%k+1')}  barrier }}"), "'%t'"),
    ],
)  # fmt: skip
def test_iterations_that_may_meet(body: str, says: str) -> None:
    with pytest.raises(VerifyError, match="may meet in an element") as caught:
        verify_kernel(kernel(body))
    assert says in str(caught.value)


def test_the_error_names_both_statements() -> None:
    with pytest.raises(VerifyError) as caught:
        verify_kernel(kernel("for %i in n parallel { if (%i-1) { %z[%i, 0] = %z[%i-1, 0] } }"))
    assert str(caught.value) == (
        "iterations of the parallel '%i' may meet in an element of '%z'\n"
        "  expected: elements that differ whenever '%i' differs\n"
        "  got: one writes it, another reads it in '%z[%i, 0] = %z[%i-1, 0]'\n"
        "  node: '%z[%i, 0] = %z[%i-1, 0]' in @k"
    )


def test_what_a_callee_writes_counts() -> None:
    text = """
    sigmagraph 1
    kernel @f stage(scheduled) params(%o: out f32[4]) {{ }}
    kernel @k stage(scheduled) dims(n) params(%y: out f32[n,{}]) {{
      for %i in n parallel {{ call @f() (%y[%i, 0]) }}
    }}
    """
    verify_kernel(parse_kernel(text.format(4)))
    verify_kernel(parse_kernel(text.format(5)))
    with pytest.raises(VerifyError, match="the view of '%y' may be too long"):
        verify_kernel(parse_kernel(text.format(3)))
    overlapping = text.format("5").replace("%y[%i, 0]", "%y[(%i//2), 0]")
    with pytest.raises(VerifyError, match="parallel '%i' may meet in an element of '%y'"):
        verify_kernel(parse_kernel(overlapping))


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("row_sums_gpu", "      barrier\n", "", "thread_x '%t' may meet in an element of '%warps'"),
        ("row_sums_gpu", "if (-%t) {", "if (-%t+1) {", "thread_x '%t' may meet in an element of '%out'"),
        ("matmul_bias_relu", "%out[12*%band+%i+6*%s, ", "%out[min(%i+6*%s, m-1), ", "an element of '%out'"),
        ("softmax_rows", "%top[%v] = %new", "%top[0] = %new", "vectorized '%v' may meet in an element of '%top'"),
    ],
)
def test_planted_races(name: str, old: str, new: str, says: str) -> None:
    text = print_kernel(golden(name))
    assert old in text
    with pytest.raises(VerifyError) as caught:
        verify_kernel(parse_kernel(text.replace(old, new)))
    assert says in str(caught.value)


def test_a_planted_race_shows_when_the_order_is_shuffled() -> None:
    """What the verifier proves the interpreter can show by example: without its barrier the sum depends on the order."""
    broken = parse_kernel(print_kernel(golden("row_sums_gpu")).replace("      barrier\n", ""))
    x = np.random.default_rng(0).standard_normal((1, 300), np.float32)
    results = []
    for seed in range(3):
        out = np.empty(1, np.float32)
        interpret_kernel(broken, (x, out), {"rows": 1, "n": 300}, shuffle=seed)
        results.append(out.copy())
    assert np.isnan(results).any()
