"""The kernel verifier: names, types, bounds and what may stand where; each broken rule is found and quoted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from kernel_runs import golden

from sigmagraph.dims import Dim
from sigmagraph.dtypes import F32, F64, I32, I64
from sigmagraph.errors import VerifyError
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Index, Load, Var
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Buffer,
    Call,
    For,
    Kernel,
    Let,
    LoopKind,
    Role,
    Space,
    Stmt,
    Store,
)
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.printer import print_kernel
from sigmagraph.ir.kernel.verify import verify_kernel, verify_kernels
from sigmagraph.location import Location

N, ROW = Dim("n"), Dim("%i")
ONE = Const(1.0, F32)
X = Buffer("%x", F32, (N, 4), Role.IN)
Y = Buffer("%y", F32, (N,), Role.OUT)
PARAMS = "%x: in f32[n,m], %i32: in i32[n], %y: out f32[n], %z: inout f32[n,m]"


def kernel(body: str, stage: str = "loops", params: str = PARAMS) -> Kernel:
    return parse_kernel(f"sigmagraph 1 kernel @k stage({stage}) dims(n, m) params({params}) {{ {body} }}")


def message(broken: Kernel) -> str:
    with pytest.raises(VerifyError) as caught:
        verify_kernel(broken)
    return str(caught.value)


# ---- bounds


@pytest.mark.parametrize(
    "body",
    [
        "for %i in n { %y[%i] = %x[%i, 0] }",
        "for %i in n { for %j in m { %z[%i, %j] = %x[n-1-%i, m-%j-1] } }",
        "for %i in (n//8) { for %v in 8 { %y[8*%i+%v] = 1.0:f32 } }",
        "for %i in n-8*(n//8) { %y[8*(n//8)+%i] = 1.0:f32 }",
        "for %i in ((n+7)//8) { for %v in 8 { %y[8*%i+%v] when(n-8*%i-%v-1) = 1.0:f32 } }",
        "for %i in ((n+7)//8) { for %v in min(8, n-8*%i) { %y[8*%i+%v] = 1.0:f32 } }",
        "let %never: f32 = %x[-1, 0] when(-1)",
        "if (-1) { %y[-1] = 1.0:f32 }",
        "for %i in n*m { %z[(%i//m), %i-m*(%i//m)] = %x[(%i//m), %i-m*(%i//m)] }",
        "for %i in n+2 { if (%i-1, n-%i) { %y[%i-1] = 1.0:f32 } }",
        "for %i in n { if (%i-1) { %y[%i-1] = 1.0:f32 } else { %y[-%i] = 1.0:f32 } }",
        "for %i in n { let %j: i64 = index(n-1-%i)  %y[%j] = 1.0:f32 }",
        "for %i in n { let %j: i64 = add(index(%i), 0:i64)  let %k: i64 = sub(%j, 0:i64)  %y[%k] = 1.0:f32 }",
        "for %i in n { let %j: i64 = max(0:i64, min(index(n-1), cast(%i32[%i], i64)))  %y[%i] = %x[%j, 0] }",
        (
            "for %i in n { let %r: i64 = cast(%i32[%i], i64)  let %j: i64 = min(max(%r, 0:i64), index(m-1))"
            "  %y[%i] = %x[%i, %j] }"
        ),
        "for %i in n { let %j: i64 = cast(%i32[%i], i64)  %y[%i] = %x[%j, 0] when(%j, n-1-%j) }",
        "for %i in n { let %j: i64 = select(lt(%x[%i, 0], 0.0:f32), index(0), index(n-1))  %y[%j] = 1.0:f32 }",
        "alloc %t: f32[256] local  for %i in n { %t[0] = %t[0] }",
        "alloc %t: f32[4] local  for %i in n { let %j: i64 = and(cast(%i32[%i], i64), 3:i64)  %t[%j] = 1.0:f32 }",
        (
            "alloc %t: f32[2] local  for %i in n { let %b: bool = lt(%x[%i, 0], 0.0:f32)"
            "  let %j: i64 = cast(%b, i64)  %t[%j] = 1.0:f32 }"
        ),
        "for %i in 0 { %y[%i] = 1.0:f32 }",
        "for %i in 0 { %y[n] = 1.0:f32 }",
        "for %i in n-n*m { %y[n] = 1.0:f32 }",
        "for %i in n { if (%i-n) { %y[n] = 1.0:f32 } }",
    ],
)
def test_accesses_in_bounds(body: str) -> None:
    verify_kernel(kernel(body))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("for %i in n+1 { %y[%i] = 1.0:f32 }", "0 <= %i < n"),
        ("for %i in n { %y[%i+1] = 1.0:f32 }", "0 <= %i+1 < n"),
        ("for %i in n { %y[%i-1] = 1.0:f32 }", "0 <= %i-1 < n"),
        ("for %i in m { %y[%i] = 1.0:f32 }", "0 <= %i < n"),
        ("for %i in ((n+7)//8) { for %v in 8 { %y[8*%i+%v] = 1.0:f32 } }", "0 <= 8*%i+%v < n"),
        ("for %i in ((n+7)//8) { for %v in 8 { %y[8*%i+%v] when(n-8*%i-%v) = 1.0:f32 } }", "0 <= 8*%i+%v < n"),
        ("for %i in n { %y[%i] = %x[%i, 1] }", "0 <= 1 < m"),
        ("for %i in n*m { %z[(%i//n), %i-n*(%i//n)] = 1.0:f32 }", "< n"),
        ("for %i in n { let %j: i64 = cast(%i32[%i], i64)  %y[%j] = 1.0:f32 }", "0 <= %j < n"),
        ("for %i in n { let %j: i64 = max(0:i64, min(index(n), cast(%i32[%i], i64)))  %y[%j] = 1.0:f32 }", "%j < n"),
        ("for %i in n { let %j: i64 = cast(%i32[%i], i64)  %y[%j] when(%j) = 1.0:f32 }", "0 <= %j < n"),
        ("for %i in n { if (%i-1, %i-2) { } else { %y[-%i] = 1.0:f32 } }", "0 <= -%i < n"),
    ],
)
def test_accesses_that_may_be_out_of_bounds(body: str, expected: str) -> None:
    text = message(kernel(body))
    assert "could not be shown to be in bounds" in text
    assert expected in text


def test_the_error_quotes_the_statement_the_place_and_what_is_known() -> None:
    broken = replace(
        kernel("for %i in n+2 { if (n-%i) { %y[%i] = 1.0:f32 } }"), provenance=(Location("a.py", 7, "fc"),)
    )
    assert message(broken) == (
        "an index of '%y' could not be shown to be in bounds\n"
        "  expected: 0 <= %i < n\n"
        "  got: %i in 0..n+1, -%i+n >= 0\n"
        "  node: '%y[%i] = 1.0:f32' in @k\n"
        '  at: "a.py":7 "fc"'
    )


# ---- names and types


def plain(*body: Stmt, dims: tuple[str, ...] = ("n",), params: tuple[Buffer, ...] = (X, Y)) -> Kernel:
    return Kernel("k", dims, params, body)


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        (plain(Store("%z", (0,), ONE)), "there is no buffer '%z' in scope"),
        (plain(Store("%y", (ROW,), ONE)), "'%i' is no dim, loop variable or i64 let in scope"),
        (plain(Store("%y", (Dim("k"),), ONE)), "'k' is no dim"),
        (plain(Store("%y", (0, 0), ONE)), "'%y' has another rank"),
        (plain(Store("%y", (0,), Const(1.0, F64))), "the value has another type"),
        (plain(Store("%x", (0, 0), ONE)), "'%x' is read only"),
        (plain(Store("%y", (0,), Var("%t", F32))), "there is no let '%t' of this type in scope"),
        (plain(Let("%t", ONE), Store("%y", (0,), Cast(Var("%t", I32), F32))), "no let '%t' of this type"),
        (plain(Let("%t", ONE), Store("%y", (Dim("%t"),), ONE)), "'%t' is no dim, loop variable or i64 let"),
        (plain(For("%i", N, LoopKind.SERIAL, ()), Store("%y", (ROW,), ONE)), "'%i' is no dim"),
        (plain(For("%i", N, LoopKind.SERIAL, (Let("%i", ONE),))), "the name '%i' is taken"),
        (plain(Let("%x", ONE)), "the name '%x' is taken"),
        (plain(Let("%t", ONE), Alloc(Buffer("%t", F32, (), space=Space.LOCAL))), "the name '%t' is taken"),
        (plain(Let("t", ONE)), "a local name is % and an identifier"),
        (plain(Store("%y", (0,), Load("%x", (0, 0), F64))), "'%x' has another type"),
        (plain(Store("%y", (0,), Cast(Load("%x", (0,), F32), F32))), "'%x' has another rank"),
        (plain(Store("%y", (0,), Apply("frob", (ONE,), F32))), "there is no scalar op 'frob'"),
        (plain(Let("%t", Apply("add", (ONE,), F32))), "does not take these operands"),
        (plain(Let("%t", Apply("lt", (ONE, ONE), F32))), "'lt(1.0:f32, 1.0:f32)' has another type"),
        (plain(Let("%t", Bitcast(ONE, F64))), "a bitcast keeps the width"),
        (plain(Let("%t", Bitcast(Const(1, I64), F32))), "a bitcast keeps the width"),
        (plain(Let("%t", Index(ROW))), "'%i' is no dim"),
        (plain(For("%i", Dim("k"), LoopKind.SERIAL, ())), "'k' is no dim"),
        (plain(dims=("n", "n")), "a dim stands twice"),
        (plain(dims=()), "the shape of '%x' speaks of an unknown dim"),
        (plain(dims=("n", "%m")), "the name of a dim is not an identifier"),
        (plain(params=(X, X)), "a parameter stands twice"),
        (plain(params=(Buffer("x", F32, ()),)), "the name of a buffer"),
        (plain(params=(Buffer("%l", F32, (), space=Space.LOCAL),)), "does not lie in global memory"),
        (replace(plain(), name="k 1"), "the name of a kernel is not an identifier"),
    ],
)
def test_names_and_types(broken: Kernel, says: str) -> None:
    assert says in message(broken)


def test_sibling_scopes_may_use_one_name() -> None:
    loop = "for %i in n { let %t: f32 = %x[%i, 0]  %y[%i] = %t }"
    verify_kernel(kernel(f"{loop} {loop} let %t: bool = true:bool"))


# ---- what may stand where

SQUARE = "alloc %s: f32[8, 8] local  for %i in 4 vectorized {{ {} }}"
VECTORS = "a vectorized loop stands inside one that is vectorized"
THREADS = "for %b in n block_x {{ alloc %s: f32[32] shared for %t in 32 thread_x {{ {} }} }}"


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("for %i in n vectorized { }", "the extent of a loop that is vectorized is a constant"),
        ("for %i in n unrolled { }", "the extent of a loop that is unrolled is a constant"),
        ("for %i in n thread_x { }", "the extent of a loop that is thread_x is a constant"),
        ("for %i in 4 vectorized { for %j in 4 vectorized { } }", "stands inside one that is vectorized"),
        ("for %i in 4 vectorized { for %j in n parallel { } }", "stands inside one that is vectorized"),
        ("for %i in n parallel { for %j in n parallel { } }", "a parallel loop stands inside another one"),
        ("for %i in n { } for %j in n block_x { }", "beside a loop over blocks"),
        ("let %k: i64 = index(n)  for %i in n block_x { }  for %j in n block_x { }", "beside a loop over blocks"),
        (
            "for %b in n block_x { for %i in n parallel { } }",
            "a parallel loop stands inside another one, or inside one",
        ),
        ("for %b in n block_x { for %c in n block_x { } }", "block_x is bound twice"),
        ("for %t in 4 thread_x { for %b in n block_x { } }", "a loop over blocks stands inside one over threads"),
        ("for %b in n block_x { for %t in 4 thread_x { } for %u in 4 thread_x { } }", "beside a loop over blocks"),
        ("for %b in n block_x { %y[%b] = 1.0:f32  for %t in 4 thread_x { } }", "beside a loop over blocks"),
        ("for %i in n { for %t in 4 thread_x { } }", "beside a loop over blocks"),
        ("let %k: i64 = index(n)  for %b in %k block_x { }", "the extent of a launch speaks of dims only"),
        (SQUARE.format("if (%i-1) { for %j in 4 vectorized { %s[%j, %i] = 1.0:f32 } }"), VECTORS),
        (SQUARE.format("for %j in 8 vectorized { %s[%j, %i] = 1.0:f32 }"), VECTORS),
        (SQUARE.format("for %j in 4 vectorized { }"), VECTORS),
        (SQUARE.format("for %j in 4 vectorized { %s[%j, %i] = 1.0:f32  %s[%j, %i+4] = 1.0:f32 }"), VECTORS),
        (SQUARE.format("for %j in 4 vectorized { %s[%j, %i] = 1.0:f32 }  let %k: i64 = index(%i)"), VECTORS),
        (SQUARE.format("%s[7, %i] = 0.0:f32  for %j in 4 vectorized { %s[%j, %i] = 1.0:f32 }"), VECTORS),
        (SQUARE.format("for %j in 4 vectorized { for %k in 4 vectorized { %s[%j, %i] = 1.0:f32 } }"), VECTORS),
        (SQUARE.format("let %k: i64 = index(%i)  for %j in 4 vectorized { %s[%j, %k] = 1.0:f32 }"), VECTORS),
        (SQUARE.format("for %j in 4 vectorized { let %k: i64 = index(%j)  %s[%k, %i] = 1.0:f32 }"), VECTORS),
        (SQUARE.format("for %j in 4 vectorized { let %k: i64 = index(%j)  %s[%j, %i] when(%k) = 1.0:f32 }"), VECTORS),
        ("alloc %t: f32[4]", "what is allocated is temp"),
        ("alloc %t: in f32[4] local", "what is allocated is temp"),
        ("alloc %t: f32[n] local", "the shape of local memory is constant"),
        ("for %i in n { alloc %t: f32[%i] scratch }", "the shape of scratch memory speaks of dims only"),
        ("for %i in 4 vectorized { alloc %t: f32[4] local }", "a vectorized loop allocates nothing"),
        ("alloc %t: f32[4] shared", "shared memory is allocated in a GPU kernel"),
        (THREADS.format("alloc %u: f32[4] shared"), "shared memory is allocated in a GPU kernel"),
        (THREADS.format("alloc %u: f32[4] scratch"), "a GPU kernel has no scratch memory"),
        ("for %b in n block_x { alloc %t: f32[4] local for %u in 4 thread_x { } }", "belongs to a thread"),
        ("barrier", "there are no threads to wait for"),
        ("for %b in n block_x { barrier }", "there are no threads to wait for"),
        (THREADS.format("if (%t-1) { barrier }"), "threads wait for each other under a condition"),
        (THREADS.format("if (n-4) { barrier } %s[%t] = 1.0:f32"), "threads wait for each other under a condition"),
        (THREADS.format("if (n-4) { barrier } else { %s[%t] = 1.0:f32 }"), "threads wait for each other under"),
        (THREADS.format("for %i in 4 { if (n-4) { barrier }  %s[%t] = 1.0:f32 }"), "threads wait for each other under"),
        (
            THREADS.format("let %v: f32 = %x[0, 0] if (n-4) { barrier }"),
            "threads wait for each other under a condition",
        ),
        (THREADS.format("for %i in 4 { if (%b+%i-%t) { barrier } }"), "threads wait for each other under a condition"),
        (THREADS.format("for %i in %t { barrier }"), "in a loop that may differ between them"),
        (THREADS.format("let %k: i64 = index(%t+1) for %i in %k { barrier }"), "in a loop that may differ"),
        (THREADS.format("let %k: i64 = cast(%x[0, 0], i64) for %i in %k { barrier }"), "in a loop that may differ"),
        (THREADS.format("for %i in m-3 { barrier }"), "a loop with a barrier may have no iteration"),
        (THREADS.format("%s[%t] = shuffle_xor(1.0:f32, 1:i32)"), "a warp operation stands alone as the value of a let"),
        (THREADS.format("let %k: f32 = neg(shuffle_xor(1.0:f32, 1:i32))"), "a warp operation stands alone"),
        (THREADS.format("if (%t-1) { let %k: f32 = shuffle_xor(1.0:f32, 1:i32) }"), "under a condition"),
        ("for %t in 48 thread_x { let %k: f32 = shuffle_xor(1.0:f32, 1:i32) }", "not all warps are full"),
    ],
)
def test_structure(body: str, says: str) -> None:
    assert says in message(kernel(body))


def test_a_kernel_is_several_launches() -> None:
    launch = THREADS.format("if (n-4, m-1) { %s[%t] = 1.0:f32  barrier  let %v: f32 = %s[31-%t] }")
    verify_kernel(kernel(f"{launch} for %b in m block_x {{ for %t in 64 thread_x {{ }} }} for %i in n parallel {{ }}"))
    verify_kernel(kernel("for %b in n block_x { for %t in 32 thread_x { for %i in 4 unrolled { } } }", "legal"))
    turn = "let %k: i64 = index(%b+n*%i)  if (m-1-%k) { %s[%t] = 1.0:f32  barrier  let %v: f32 = %s[31-%t]  barrier }"
    verify_kernel(kernel(THREADS.format(f"for %i in 4 {{ {turn} }}")))


def test_vectorized_loops_around_a_square_turn_it() -> None:
    inner = "for %j in 4 vectorized { let %w: f32 = neg(%v)  %s[%j, %i] when(2-%i-%j) = %w }"
    verify_kernel(kernel(SQUARE.format(f"let %v: f32 = cast(index(%i), f32)  {inner}")))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("for %i in 4 unrolled { }", "a legal kernel for a processor has no unrolled loops"),
        ("for %i in n { %y[%i] = exp(%x[%i, 0]) }", "a legal kernel has no 'exp'"),
        ("for %i in n parallel { } for %b in n block_x { }", "a legal kernel has parallel loops, or loops over blocks"),
        (
            "for %i in n { for %v in 4 vectorized { if (%v-1) { } } }",
            "the lanes of a vectorized loop take different ways",
        ),
        ("let %k: i64 = index(n)  for %i in n parallel { %y[%i] = cast(%k, f32) }", "there is no let '%k'"),
        ("alloc %t: f32[4] local  for %i in n parallel { } %t[0] = 1.0:f32", "there is no buffer '%t'"),
    ],
)
def test_what_a_legal_kernel_promises(body: str, says: str) -> None:
    assert says in message(kernel(body, "legal"))
    verify_kernel(kernel(body, "scheduled"))


def test_memory_of_one_iteration_is_not_shared() -> None:
    body = "alloc %t: f32[n] scratch  for %i in n parallel { %t[%i] = 1.0:f32 }"
    assert "iterations of the parallel '%i' share scratch memory" in message(kernel(body))


# ---- calls

CALLEE = "kernel @f stage(scheduled) dims(c) params(%a: in f32[c], %o: out f32[4]) {{ {} }}"


def caller(call: str, callee: str = "", stage: str = "scheduled") -> Kernel:
    head = f"kernel @k stage({stage}) dims(n, m) params(%x: in f32[n,m], %d: in f64[9], %y: out f32[n,4])"
    return parse_kernel(f"sigmagraph 1 {CALLEE.format(callee)} {head} {{ for %i in n {{ {call} }} }}")


def test_calls() -> None:
    verify_kernel(caller("call @f(m) (%x[%i, 0], %y[%i, 0])"))
    verify_kernel(caller("call @f(n*m-%i*m) (%x[%i, 0], %y[%i, 0])"))


@pytest.mark.parametrize(
    ("call", "callee", "says"),
    [
        ("call @f() (%x[%i, 0], %y[%i, 0])", "", "the call does not fit"),
        ("call @f(m) (%x[%i, 0])", "", "the call does not fit"),
        ("call @f(m-1) (%x[%i, 0], %y[%i, 0])", "", "the dim 'c' could not be shown to be at least 1"),
        ("call @f(m+1) (%x[%i, 0], %y[%i, 0])", "", "the view of '%x' may be too long"),
        ("call @f(m) (%x[%i, 1], %y[%i, 0])", "", "an index of '%x' could not be shown"),
        ("call @f(m) (%x[%i, 0], %y[%i, 1])", "", "the view of '%y' may be too long"),
        ("call @f(m) (%x[%i, 0], %x[%i, 0])", "", "'%x' is read only"),
        ("call @f(4) (%y[%i, 0], %y[%i, 0])", "", "'%y' is written and handed in twice"),
        ("call @f(9) (%d[0], %y[%i, 0])", "", "'%a' has another type"),
        ("for %v in 4 vectorized { call @f(m) (%x[%i, 0], %y[%i, 0]) }", "", "a vectorized loop calls nothing"),
        ("call @f(m) (%x[%i, 0], %y[%i, 0])", "for %j in c parallel { }", "a callee has no parallel loops"),
        ("call @f(m) (%x[%i, 0], %y[%i, 0])", "alloc %t: f32[c] scratch", "allocates local memory only"),
        ("call @f(m) (%x[%i, 0], %y[%i, 0])", "%o[4] = 1.0:f32", "'%o[4] = 1.0:f32' in @f"),
    ],
)
def test_broken_calls(call: str, callee: str, says: str) -> None:
    assert says in message(caller(call, callee))


def test_the_callee_of_a_legal_kernel_is_legal() -> None:
    assert "the callee of a legal kernel is not legal" in message(
        caller("call @f(m) (%x[%i, 0], %y[%i, 0])", stage="legal")
    )


def test_callees_stand_before_their_callers() -> None:
    inner = Kernel("inner", (), (), ())
    middle = Kernel("middle", (), (), (Call("inner", (), ()),), callees=(inner,))
    outer = Kernel("outer", (), (), (Call("middle", (), ()),), callees=(inner, middle))
    verify_kernel(outer)
    assert "callees of '@middle' do not stand before it" in message(replace(outer, callees=(middle, inner)))
    assert "a callee stands twice" in message(replace(outer, callees=(inner, middle, inner)))
    assert "'@outer' has no callee '@middle'" in message(replace(outer, callees=()))


def test_kernels_of_one_program_have_different_names() -> None:
    first, second = Kernel("k", (), (), ()), Kernel("k", (), (), (Alloc(Buffer("%t", F32, (), space=Space.LOCAL)),))
    verify_kernels((first, first))
    with pytest.raises(VerifyError, match="two different kernels are called '@k'"):
        verify_kernels((first, second))


# ---- mistakes planted in the golden kernels


@pytest.mark.parametrize(
    ("name", "old", "new", "says"),
    [
        ("matmul_bias_relu", "min(-12*%band-6*%s+m, 6)", "6", "an index of '%out'"),
        ("matmul_bias_relu", " when(-12*%band-%i-6*%s+m-1)", " when(-12*%band-%i-6*%s+m)", "an index of '%a'"),
        ("matmul_bias_relu", "min(-16*%panel+n, 16)", "16", "an index of '%bias'"),
        ("matmul_bias_relu", " when(-16*%panel-%v+n-1)", "", "an index of '%b'"),
        ("matmul_bias_relu", "%b: in f32[k,16]", "%b: in f32[k,17]", "the view of '%bp' may be too long"),
        ("softmax_rows", "for %l in 7", "for %l in 8", "an index of '%top'"),
        ("softmax_rows", "%t+8*(n//8)] = mul", "%t+8*(n//8)+1] = mul", "an index of '%out'"),
        ("row_sums_gpu", "((-%t+n+255)//256)", "((n+255)//256)", "an index of '%x'"),
        ("row_sums_gpu", " when(-%lane+7)", "", "an index of '%warps'"),
        ("row_sums_gpu", "if (-%t) {", "if (-%t) { barrier", "threads wait for each other under a condition"),
    ],
)
def test_planted_mistakes(name: str, old: str, new: str, says: str) -> None:
    text = print_kernel(golden(name))
    assert old in text
    assert says in message(parse_kernel(text.replace(old, new)))
