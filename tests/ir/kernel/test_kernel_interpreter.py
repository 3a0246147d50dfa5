"""The kernel interpreter: every statement and expression, poison, threads, and the mistakes that it finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from sigmagraph.dtypes import DType
from sigmagraph.errors import InputError, VerifyError
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.scalar import SCALARS

Array = np.ndarray[Any, Any]


def run(
    params: str,
    body: str,
    arrays: Sequence[Array],
    dims: Mapping[str, int] | None = None,
    shuffle: int | None = None,
) -> None:
    names = f"dims({', '.join(dims)})" if dims else ""
    kernel = parse_kernel(f"sigmagraph 1 kernel @k stage(loops) {names} params({params}) {{ {body} }}")
    interpret_kernel(kernel, arrays, dims or {}, shuffle=shuffle)


def value(expr: str, dtype: str, x: Array | None = None) -> Any:
    """The value of an expression; ``%x`` is an array to load from."""
    out = np.empty((), DType(dtype).numpy)
    x = np.zeros(1, np.float32) if x is None else x
    kind = ml_dtypes.finfo(x.dtype).dtype.name if x.dtype == ml_dtypes.bfloat16 else x.dtype.name
    source = {"float32": "f32", "int32": "i32", "int64": "i64", "uint8": "u8", "int8": "i8", "bool": "bool"}[kind]
    run(f"%x: in {source}[{len(x)}], %o: out {dtype}[]", f"%o[] = {expr}", [x, out])
    return out[()]


# ---- expressions


@pytest.mark.parametrize(
    ("expr", "dtype", "expected"),
    [
        ("add(2147483647:i32, 1:i32)", "i32", -2147483648),
        ("sub(0:u8, 1:u8)", "u8", 255),
        ("div(-7:i32, 2:i32)", "i32", -3),
        ("div(7:i32, 0:i32)", "i32", 0),
        ("div(1.0:f32, 0.0:f32)", "f32", np.inf),
        ("shr(-1:i32, 28:i32)", "i32", 15),
        ("shl(1:i64, 40:i64)", "i64", 1 << 40),
        ("not(true:bool)", "bool", False),
        ("xor(6:i32, 3:i32)", "i32", 5),
        ("max(nan:f32, 1.0:f32)", "f32", np.nan),
        ("select(lt(1.0:f32, 2.0:f32), 3:i64, 4:i64)", "i64", 3),
        ("fma(3.0:f32, 4.0:f32, 5.0:f32)", "f32", 17),
        ("round(2.5:f32)", "f32", 2),
        ("index(7//2-9)", "i64", -6),
        ("cast(-1.9:f32, i32)", "i32", -1),
        ("cast(1e20:f32, i32)", "i32", 2147483647),
        ("cast(-inf:f64, i8)", "i8", -128),
        ("cast(nan:f32, i64)", "i64", 0),
        ("cast(300:i32, u8)", "u8", 44),
        ("cast(-1:i32, i64)", "i64", -1),
        ("cast(0.5:f32, bool)", "bool", True),
        ("cast(nan:f32, bool)", "bool", True),
        ("cast(true:bool, f32)", "f32", 1),
        ("bitcast(1.0:f32, i32)", "i32", 0x3F800000),
        ("bitcast(1.0:bf16, i16)", "i16", 0x3F80),
        ("bitcast(-1:i8, u8)", "u8", 255),
        ("add(1.0:bf16, 0.01171875:bf16)", "bf16", 1.015625),
        ("exp(0.0:f64)", "f64", 1),
    ],
)
def test_expressions(expr: str, dtype: str, expected: float) -> None:
    result = value(expr, dtype)
    assert result.dtype == DType(dtype).numpy
    np.testing.assert_equal(float(result), float(expected))


def test_every_scalar_op_of_one_thread_runs() -> None:
    """The interpreter says nothing about scalar ops: it asks the table."""
    for op in SCALARS.values():
        if op.lanes or op.name == "philox":
            continue
        dtype = next(d for d in (DType.F32, DType.I32, DType.F64) if op.name == "select" or op.rule([d] * op.arity))
        args = [f"2.0:{dtype}" if dtype.is_float else f"2:{dtype}"] * op.arity
        dtypes = [dtype] * op.arity
        if op.name == "select":
            args[0], dtypes[0] = "true:bool", DType.BOOL
        numbers = [np.bool_(True) if d is DType.BOOL else d.numpy.type(2) for d in dtypes]
        result = op.result(dtypes)
        with np.errstate(all="ignore"):  # some functions are NaN of 2
            expected = result.numpy.type(op.evaluate(*numbers))
        np.testing.assert_array_equal(value(f"{op.name}({', '.join(args)})", str(result)), expected, op.name)


def test_a_guarded_load_is_zero_and_touches_nothing() -> None:
    out = np.empty(3, np.float32)
    run("%x: in f32[2], %o: out f32[3]", "for %i in 3 { %o[%i] = %x[%i] when(1-%i) }", [np.ones(2, np.float32), out])
    assert out.tolist() == [1, 1, 0]


# ---- statements


def test_a_guarded_store_leaves_poison() -> None:
    floats, ints = np.zeros(3, np.float32), np.zeros(3, np.int32)
    body = "for %i in 3 { %o[%i] when(%i-1) = 5.0:f32  %p[%i] when(%i-1, 1-%i) = 5:i32 }"
    run("%o: out f32[3], %p: out i32[3]", body, [floats, ints])
    np.testing.assert_array_equal(floats, [np.nan, 5, 5])
    poison = np.int32(-0x5A5A5A5B)
    np.testing.assert_array_equal(ints, [poison, 5, poison])


def test_what_is_read_before_it_is_written_is_poison() -> None:
    out = np.zeros((2, 2), np.float32)
    body = "for %i in 2 { alloc %t: f32[2] local  %t[%i] = 1.0:f32  for %j in 2 { %o[%i, %j] = %t[%j] } }"
    run("%o: out f32[2,2]", body, [out])
    np.testing.assert_array_equal(out, [[1, np.nan], [np.nan, 1]])


def test_inout_keeps_what_it_holds() -> None:
    x = np.arange(3, dtype=np.float64)
    run("%x: inout f64[3]", "%x[1] = add(%x[1], %x[2])", [x])
    assert x.tolist() == [0, 3, 2]


def test_loops_lets_and_conditions() -> None:
    out = np.empty((2, 5), np.int64)
    body = """
    for %i in 2 {
      let %twice: i64 = index(2*%i)
      for %j in n {
        if (%j-%twice, 3-%j) { %o[%i, %j] = index(%twice+%j) } else { %o[%i, %j] = -1:i64 }
      }
    }
    for %never in n-5 { %o[9, 9] = 0:i64 }
    """
    run("%o: out i64[2,n]", body, [out], {"n": 5})
    assert out.tolist() == [[0, 1, 2, 3, -1], [-1, -1, 4, 5, -1]]


def test_a_call_sees_a_part_of_a_buffer() -> None:
    text = """
    sigmagraph 1
    kernel @scale stage(loops) dims(c) params(%v: inout f32[c], %s: in f32[]) {
      for %i in c { %v[%i] = mul(%v[%i], %s[]) }
    }
    kernel @k stage(loops) dims(n) params(%x: inout f32[3,n], %s: in f32[2]) {
      call @scale(2*n-1) (%x[0, 1], %s[1])
    }
    """
    x = np.arange(12, dtype=np.float32).reshape(3, 4)
    interpret_kernel(parse_kernel(text), [x, np.array([9, 10], np.float32)], {"n": 4})
    assert x.reshape(-1).tolist() == [0, 10, 20, 30, 40, 50, 60, 70, 8, 9, 10, 11]


def test_the_order_of_a_parallel_loop_is_free() -> None:
    orders = []
    for seed in range(4):
        out, counter = np.empty(6, np.int32), np.zeros((), np.int32)
        body = "for %i in 6 parallel { %o[%i] = %c[]  %c[] = add(%c[], 1:i32) }"
        run("%o: out i32[6], %c: inout i32[]", body, [out, counter], shuffle=seed)
        orders.append(tuple(out.tolist()))
    assert len(set(orders)) > 1
    assert all(sorted(o) == list(range(6)) for o in orders)


# ---- threads

HALVES = """
for %b in 2 block_x {
  alloc %s: f32[4] shared
  for %y in 2 thread_y {
    for %x in 2 thread_x {
      %s[2*%y+%x] = %in[%b, 2*%y+%x]
      barrier
      %out[%b, 2*%y+%x] = %s[3-2*%y-%x]
    }
  }
}
"""


@pytest.mark.parametrize("shuffle", [None, 0, 1])
def test_a_barrier_makes_shared_memory_visible(shuffle: int | None) -> None:
    x, out = np.arange(8, dtype=np.float32).reshape(2, 4), np.empty((2, 4), np.float32)
    run("%in: in f32[2,4], %out: out f32[2,4]", HALVES, [x, out], shuffle=shuffle)
    np.testing.assert_array_equal(out, x[:, ::-1])


def test_without_the_barrier_threads_read_poison() -> None:
    x, out = np.arange(8, dtype=np.float32).reshape(2, 4), np.empty((2, 4), np.float32)
    run("%in: in f32[2,4], %out: out f32[2,4]", HALVES.replace("barrier", ""), [x, out])
    assert np.isnan(out).any()


def test_shuffles_stay_in_their_warp() -> None:
    x, out = np.arange(64, dtype=np.int32), np.empty((2, 64), np.int32)
    body = """
    for %t in 64 thread_x {
      let %v: i32 = %in[%t]
      let %a: i32 = shuffle_xor(%v, 5:i32)
      let %b: i32 = shuffle_down(%a, 3:i32)
      %out[0, %t] = %a
      %out[1, %t] = %b
    }
    """
    run("%in: in i32[64], %out: out i32[2,64]", body, [x, out], shuffle=2)
    lanes = np.arange(64)
    np.testing.assert_array_equal(out[0], lanes ^ 5)
    np.testing.assert_array_equal(out[1], np.where(lanes % 32 < 29, (lanes + 3) ^ 5, lanes ^ 5))


@pytest.mark.parametrize(
    ("body", "got"),
    [
        ("for %t in 4 thread_x { if (%t-1) { barrier } }", "some have come to their end"),
        ("for %t in 4 thread_x { if (%t-1) { barrier } else { barrier  barrier } }", "one at 'barrier'"),
        ("for %t in 4 thread_x { for %i in %t+1 { barrier } }", "some have come to their end"),
        ("for %y in 2 thread_y { for %t in 4 thread_x { if (%y-1) { barrier } } }", "some have come to their end"),
    ],
)
def test_divergent_barriers_are_found(body: str, got: str) -> None:
    with pytest.raises(VerifyError, match="wait at different places") as caught:
        run("", body, [])
    assert got in str(caught.value)


def test_a_barrier_needs_threads() -> None:
    with pytest.raises(VerifyError, match="outside of a loop over threads"):
        run("", "for %b in 2 block_x { barrier }", [])


# ---- mistakes


@pytest.mark.parametrize("body", ["%o[3] = 1.0:f32", "%o[0-1] = 1.0:f32", "for %i in 4 { %o[%i] = 1.0:f32 }"])
def test_stores_out_of_bounds(body: str) -> None:
    with pytest.raises(VerifyError, match="index of '%o' is out of bounds") as caught:
        run("%o: out f32[3]", body, [np.zeros(3, np.float32)])
    assert "within (3,)" in str(caught.value)
    assert "%o[" in str(caught.value.node)


def test_loads_out_of_bounds() -> None:
    with pytest.raises(VerifyError, match="index of '%x' is out of bounds"):
        run("%x: in f32[3], %o: out f32[]", "%o[] = %x[3]", [np.zeros(3, np.float32), np.zeros((), np.float32)])


def test_views_out_of_bounds() -> None:
    text = """
    sigmagraph 1
    kernel @f stage(loops) params(%v: in f32[4]) { }
    kernel @k stage(loops) params(%x: in f32[6]) { call @f() (%x[3]) }
    """
    with pytest.raises(VerifyError, match="a view is out of bounds") as caught:
        interpret_kernel(parse_kernel(text), [np.zeros(6, np.float32)], {})
    assert "3..7" in str(caught.value)


@pytest.mark.parametrize(
    ("arrays", "dims", "says"),
    [
        ([], {"n": 3}, "takes other buffers"),
        ([np.zeros(3, np.float64)], {"n": 3}, r"float32\[3\]"),
        ([np.zeros(4, np.float32)], {"n": 3}, r"float32\[4\]"),
        ([np.zeros(6, np.float32)[::2]], {"n": 3}, "not contiguous"),
        ([np.zeros(3, np.float32)], {}, "a dim of '@k' has no value"),
    ],
)
def test_arguments_that_do_not_fit(arrays: list[Array], dims: Mapping[str, int], says: str) -> None:
    kernel = parse_kernel("sigmagraph 1 kernel @k stage(loops) dims(n) params(%x: in f32[n]) { }")
    with pytest.raises(InputError, match=says):
        interpret_kernel(kernel, arrays, dims)
