"""Every scalar op in CUDA C, compiled for the host, beside its NumPy meaning on edge values."""

from __future__ import annotations

import ctypes
import itertools
import shutil
import subprocess
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sigmagraph.codegen.cuda.scalar import WRITERS, bitcast, convert
from sigmagraph.codegen.cuda.types import Text, literal, memory_type, register_type
from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType, as_dtype
from sigmagraph.errors import CompileError, DTypeError
from sigmagraph.ir.kernel import scalar
from sigmagraph.ir.kernel.scalar import SCALARS

Array = np.ndarray[Any, Any]
TYPES = (F32, F64, I8, I16, I32, I64, U8, BOOL)
HALVES = (F16, BF16)
LACKING = ("split_fma", "soft_fma", "soft_sqrt")
OPS = [name for name, op in SCALARS.items() if op.primitive and not op.lanes and name not in LACKING]
HOST = """#include <cmath>
#define SG_HOST
#define SG_INLINE static inline
typedef int sg_index;
"""


def test_the_table_has_every_primitive_op() -> None:
    assert sorted(WRITERS) == sorted(name for name, op in SCALARS.items() if op.primitive)


@pytest.mark.parametrize("name", LACKING)
def test_what_gpus_need_no_routine_for_is_refused(name: str) -> None:
    with pytest.raises(CompileError, match="multiply and add"):
        WRITERS[name]([Text("a")] * 3, F64)


def test_16_bit_floats_are_not_computed_with() -> None:
    with pytest.raises(CompileError, match="16-bit"):
        WRITERS["add"]([Text("a"), Text("b")], F16)
    with pytest.raises(CompileError, match="conversion"):
        convert(Text("a"), F64, F16)


def test_warp_ops_keep_the_type() -> None:
    args = [Text("a"), Text("1")]
    assert str(WRITERS["shuffle_xor"](args, F32)) == "__shfl_xor_sync(0xffffffffu, a, 1)"
    assert str(WRITERS["shuffle_down"](args, BOOL)) == "(bool)__shfl_down_sync(0xffffffffu, (int)a, 1)"


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (0.5, F32, "0.5f"), (-0.0, F32, "-0.0f"), (0.1, F64, "0x1.999999999999ap-4"), (3.0, F64, "3.0"),
        (float("inf"), F32, "sg_f32(0x7f800000u)"), (-(1 << 31), I32, "-2147483647 - 1"), (7, I64, "7ll"),
        (-5, I8, "(signed char)-5"), (True, BOOL, "true"), (1.0, BF16, "(unsigned short)0x3f80"),
    ],
)  # fmt: skip
def test_literals(value: float, dtype: DType, text: str) -> None:
    assert str(literal(value, dtype)) == text


def values(dtype: DType) -> Array:
    if dtype is BOOL:
        return np.array([False, True])
    if dtype.is_float:
        found = [0.0, -0.0, 1.0, -1.5, 2.5, 0.1, -127.6, 255.4, 3e9, -1e19, np.inf, -np.inf, np.nan, 1e-40]
        with np.errstate(all="ignore"):
            return np.array(found).astype(dtype.numpy)
    limits = np.iinfo(dtype.numpy)
    return np.array(sorted({0, 1, 2, 3, 7, 31, limits.max, limits.min, limits.min + 1, limits.max // 3}), dtype.numpy)


def operands(name: str, dtype: DType) -> list[Array]:
    types = [BOOL, dtype, dtype] if name == "select" else [dtype] * SCALARS[name].arity
    found = [values(t) for t in types]
    if (name, dtype) == ("fma", F32):  # NumPy's meaning is rounded twice, which shows between numbers far apart
        found = [v[~(np.isfinite(v) & (v != 0) & ((abs(v) > 1e3) | (abs(v) < 1e-3)))] for v in found]
    rows = list(itertools.product(*(range(len(v)) for v in found)))
    return [v[[row[n] for row in rows]] for n, v in enumerate(found)]


def fits(name: str, dtype: DType) -> bool:
    types = [BOOL, dtype, dtype] if name == "select" else [dtype] * SCALARS[name].arity
    try:
        SCALARS[name].result(types)
    except DTypeError:
        return False
    return True


CASES = [(name, dtype) for name in OPS for dtype in TYPES if fits(name, dtype)]
CASTS = [(a, b) for a in TYPES for b in TYPES if a is not b]
HALF_CASTS = [(a, b) for h in HALVES for a, b in ((h, F32), (F32, h))]
BITCASTS = [(F32, I32), (I32, F32), (F64, I64), (I64, F64), (I8, U8), (U8, I8), (F16, I16), (I16, BF16)]


def loop(symbol: str, types: Sequence[DType], result: DType, text: Text) -> str:
    pointers = ", ".join(f"const {memory_type(t)}* p{n}" for n, t in enumerate(types))
    lets = " ".join(
        f"const {register_type(t)} a{n} = p{n}[i]{' != 0' if t is BOOL else ''};" for n, t in enumerate(types)
    )
    head = f'extern "C" void {symbol}({memory_type(result)}* out, {pointers}, int n)'
    return f"{head} {{ for (int i = 0; i < n; ++i) {{ {lets} out[i] = {text}; }} }}"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("there is no g++")
    lines = [HOST, (files("sigmagraph.codegen.cuda") / "prelude" / "common.cuh").read_text(encoding="utf-8")]
    lines.append("static float sg_f16_to_f32(unsigned short b) { return float(sg_bitcast<_Float16>(b)); }")
    lines.append("static unsigned short sg_f32_to_f16(float x) { return sg_bitcast<unsigned short>(_Float16(x)); }")
    lines.append("static unsigned short sg_f32_to_bf16(float x) { return sg_round_to_bf16(x); }")
    lines.append("static float sg_exp2_approx(float x) { float y = exp2(double(x)); return y < 0x1p-126f ? 0.0f : y; }")
    lines.append("static float sg_round_tf32_even(float x) { const unsigned bits = sg_bitcast<unsigned>(x);")
    lines.append("  const float near = sg_bitcast<float>((bits + 0xfffu + (bits >> 13 & 1u)) & 0xffffe000u);")
    lines.append("  return fabsf(x) < INFINITY ? near : x; }")
    for name, dtype in CASES:
        types = [BOOL, dtype, dtype] if name == "select" else [dtype] * SCALARS[name].arity
        text = WRITERS[name]([Text(f"a{n}") for n in range(len(types))], dtype)
        lines.append(loop(f"{name}_{dtype}_op", types, SCALARS[name].result(types), text))
    for a, b in (*CASTS, *HALF_CASTS):
        lines.append(loop(f"cast_{a}_{b}", [a], b, convert(Text("a0"), a, b)))
    for a, b in BITCASTS:
        lines.append(loop(f"bitcast_{a}_{b}", [a], b, bitcast(Text("a0"), a, b)))
    folder: Path = tmp_path_factory.mktemp("cuda_scalar")
    (folder / "ops.cpp").write_text("\n".join(lines), encoding="utf-8")
    flags = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w", "-mfma"]
    subprocess.run([compiler, *flags, "ops.cpp", "-o", "ops.so"], cwd=folder, check=True)
    return ctypes.CDLL(str(folder / "ops.so"))


def called(library: ctypes.CDLL, symbol: str, args: Sequence[Array], result: DType) -> Array:
    out = np.zeros(len(args[0]), result.numpy)
    arrays = [out, *map(np.ascontiguousarray, args)]
    getattr(library, symbol)(*(ctypes.c_void_p(a.ctypes.data) for a in arrays), ctypes.c_int(len(out)))
    return out


def check(got: Array, expected: Array, *, zeros: bool = True) -> None:
    """The same bits, except that NaN is NaN; without ``zeros`` a zero may have the other sign."""
    wide = expected.dtype.kind in "fV"
    nan = np.isnan(expected.astype(np.float64)) if wide else np.zeros(len(expected), bool)
    if wide:
        np.testing.assert_array_equal(np.isnan(got.astype(np.float64)), nan)
    kind = f"u{expected.dtype.itemsize}"
    same = got.view(kind) == expected.view(kind)
    if not zeros:
        same |= (got == 0) & (expected == 0)
    assert same[~nan].all(), (got[~(same | nan)], expected[~(same | nan)])


@pytest.mark.parametrize(("name", "dtype"), CASES, ids=str)
def test_ops_mean_what_numpy_says(library: ctypes.CDLL, name: str, dtype: DType) -> None:
    args = operands(name, dtype)
    result = SCALARS[name].result([as_dtype(a.dtype) for a in args])
    with np.errstate(all="ignore"):
        expected = np.asarray(SCALARS[name].evaluate(*args)).astype(result.numpy)
    check(called(library, f"{name}_{dtype}_op", args, result), expected, zeros=name not in ("min", "max"))


@pytest.mark.parametrize(("source", "target"), [*CASTS, *HALF_CASTS], ids=str)
def test_casts_mean_what_numpy_says(library: ctypes.CDLL, source: DType, target: DType) -> None:
    value = values(source)
    with np.errstate(all="ignore"):
        expected = np.asarray(scalar.convert(value, target))
    check(called(library, f"cast_{source}_{target}", [value], target), expected)


@pytest.mark.parametrize(("source", "target"), BITCASTS, ids=str)
def test_bitcasts_keep_bits(library: ctypes.CDLL, source: DType, target: DType) -> None:
    value = values(source)
    assert called(library, f"bitcast_{source}_{target}", [value], target).tobytes() == value.tobytes()
