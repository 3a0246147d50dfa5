"""The text of kernels: what is printed reads back to the same kernel, and prints the same again."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from random_kernels import kernels

from sigmagraph.dims import Dim
from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I32, DType
from sigmagraph.errors import DTypeError, VerifyError
from sigmagraph.ir.kernel.expr import Const, Index, Load, Var, apply
from sigmagraph.ir.kernel.kernel import (
    Alloc,
    Barrier,
    Buffer,
    Call,
    For,
    If,
    Kernel,
    Let,
    LoopKind,
    Role,
    Space,
    Store,
    View,
)
from sigmagraph.ir.kernel.parser import parse_kernel, parse_kernels
from sigmagraph.ir.kernel.printer import print_expr, print_kernel, print_kernels, print_statement
from sigmagraph.location import Location

N, ROW = Dim("n"), Dim("%i")
X = Buffer("%x", F32, (N, 4), Role.IN)
Y = Buffer("%y", F32, (N,), Role.OUT)


@given(kernels())
@settings(max_examples=150, deadline=None)
def test_text_is_lossless(kernel: Kernel) -> None:
    text = print_kernel(kernel)
    again = parse_kernel(text)
    assert again == kernel
    assert print_kernel(again) == text


def test_the_whole_text() -> None:
    inner = Kernel("inner", ("k",), (Buffer("%a", F32, (Dim("k"),), Role.INOUT),), ())
    body = (
        Alloc(Buffer("%t", F32, (N, 4), space=Space.SCRATCH)),
        For(
            "%i",
            N,
            LoopKind.PARALLEL,
            (
                Let("%v", Load("%x", (ROW, 0), F32, (N - ROW - 1,))),
                If((ROW - 2, N - 5), (Store("%y", (ROW,), apply("add", Var("%v", F32), Const(1, F32))),), (Barrier(),)),
                Store("%y", (ROW,), Load("%x", (ROW, 3), F32, (ROW - 1,)), (ROW, N - 2 * ROW)),
                Call("inner", (4,), (View("%x", (ROW, 0)),)),
            ),
        ),
    )
    kernel = Kernel("f", ("n",), (X, Y), body, callees=(inner,), provenance=(Location("a.py", 3, "m/l", True),))
    assert print_kernel(kernel) == (
        "sigmagraph 1\n"
        "kernel @inner stage(loops) dims(k) params(%a: inout f32[k]) {\n"
        "}\n"
        "\n"
        'kernel @f stage(loops) dims(n) params(%x: in f32[n,4], %y: out f32[n]) loc("a.py":3 "m/l" grad) {\n'
        "  alloc %t: f32[n,4] scratch\n"
        "  for %i in n parallel {\n"
        "    let %v: f32 = %x[%i, 0] when(-%i+n-1)\n"
        "    if (%i-2, n-5) {\n"
        "      %y[%i] = add(%v, 1.0:f32)\n"
        "    } else {\n"
        "      barrier\n"
        "    }\n"
        "    %y[%i] when(%i, -2*%i+n) = %x[%i, 3] when(%i-1)\n"
        "    call @inner(4) (%x[%i, 0])\n"
        "  }\n"
        "}\n"
    )
    assert parse_kernel(print_kernel(kernel)) == kernel


def test_many_parameters_stand_one_a_line() -> None:
    params = tuple(Buffer(f"%parameter{i}", F32, (N, Dim("columns")), Role.IN) for i in range(4))
    text = print_kernel(Kernel("wide", ("n", "columns"), params, ()))
    assert "params(\n    %parameter0: in f32[n,columns],\n" in text
    assert parse_kernel(text).params == params


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (0.1, F32, "0.1:f32"),
        (1, F32, "1.0:f32"),
        (-0.0, F32, "-0.0:f32"),
        (1e30, F32, "1e+30:f32"),
        (0.1, F64, "0.1:f64"),
        (0.1, F16, "0.1:f16"),
        (0.1, BF16, "0.100098:bf16"),
        (math.inf, F64, "inf:f64"),
        (-math.inf, F32, "-inf:f32"),
        (math.nan, F16, "nan:f16"),
        (-7, I32, "-7:i32"),
        (True, BOOL, "true:bool"),
    ],
)
def test_constants(value: float, dtype: DType, text: str) -> None:
    const = Const(value, dtype)
    assert print_expr(const) == text
    header = f"sigmagraph 1 kernel @k stage(loops) params(%x: out {dtype}[]) "
    kernel = parse_kernel(header + "{ %x[] = " + text + " }")
    assert kernel.body == (Store("%x", (), const),)


def test_a_constant_is_rounded_to_its_type() -> None:
    assert Const(0.1, F32).value == 0.10000000149011612
    assert Const(0.1, F32) == Const(0.10000000149011612, F32)
    assert Const(0.0, F32) != Const(-0.0, F32)
    assert Const(math.inf - math.inf, F32) == Const(math.nan, F32)
    assert len({Const(1, F32), Const(1.0, F32), Const(1, I32)}) == 2


@pytest.mark.parametrize(
    ("value", "dtype"),
    [(1e39, F32), (70000, F16), (1e39, BF16), (10**400, F64), (128, DType.I8), (-1, DType.U8), (1.5, I32),
     (math.nan, I32), (math.inf, I32), (2, BOOL)],
)  # fmt: skip
def test_a_constant_that_the_type_lacks(value: float, dtype: DType) -> None:
    with pytest.raises(DTypeError, match="no such value"):
        Const(value, dtype)


def test_statements_stand_on_one_line() -> None:
    assert print_statement(For("%i", N, LoopKind.VECTORIZED, (Barrier(),))) == "for %i in n vectorized"
    assert print_statement(If((ROW, N), (Barrier(),))) == "if (%i, n)"
    assert print_statement(Let("%j", Index(2 * ROW))) == "let %j: i64 = index(2*%i)"


def test_callees_are_those_that_are_called() -> None:
    text = """
    sigmagraph 1
    kernel @a stage(loops) params() { }
    kernel @b stage(loops) params() { call @a() () }
    kernel @c stage(loops) params() { }
    kernel @d stage(loops) params() { call @b() () }
    """
    a, b, c, d = parse_kernels(text)
    assert (a.callees, b.callees, c.callees, d.callees) == ((), (a,), (), (a, b))
    assert parse_kernels(print_kernels((c, d))) == (c, a, b, d)


def test_one_name_means_one_kernel() -> None:
    with pytest.raises(VerifyError, match="two different kernels are called '@k'"):
        print_kernels((Kernel("k", (), (), ()), Kernel("k", (), (), (Barrier(),))))
