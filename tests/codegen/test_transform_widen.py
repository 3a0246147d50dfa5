"""16-bit floats as native code and in the kernel interpreter: every conversion and every op gives the right bits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from native_kernels import module, run_native

from sigmagraph.codegen.llvm.compile import Processor, compile_module, processor
from sigmagraph.codegen.schedule.machine import machine_of
from sigmagraph.codegen.transform.instructions import Instructions
from sigmagraph.codegen.transform.legalize import legalize
from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType
from sigmagraph.ir.kernel.expr import Apply, Cast, Expr, walk
from sigmagraph.ir.kernel.interpreter import interpret_kernel
from sigmagraph.ir.kernel.kernel import Kernel, Let, Store, statements
from sigmagraph.ir.kernel.parser import parse_kernel
from sigmagraph.ir.kernel.scalar import convert
from sigmagraph.options import Target

NDArray = np.ndarray[Any, Any]
HOST = processor(Target())
# With instructions for conversions between f16 and f32, where this machine has them, and without.
F16_CASTS = sorted({False, machine_of(HOST.triple, HOST.features).instructions.f16_casts})
HALVES = (F16, BF16)
# Bits of precision with the leading one, least and greatest exponent.
FORMATS = {F16: (11, -14, 15), BF16: (8, -126, 127)}

ops_with_instructions = pytest.mark.parametrize("f16_casts", F16_CASTS)
every_half = pytest.mark.parametrize("half", HALVES, ids=str)


def every(half: DType) -> NDArray:
    """All values of a 16-bit type."""
    return np.arange(1 << 16).astype(np.uint16).view(half.numpy)


def nearest(value: float, half: DType) -> float:
    """A number rounded to a 16-bit type, ties to even, in rational arithmetic."""
    if not math.isfinite(value) or value == 0:
        return value
    bits, least, greatest = FORMATS[half]
    exact = abs(Fraction(value))
    exponent = max(exact.numerator.bit_length() - exact.denominator.bit_length(), least)
    exponent -= Fraction(2) ** exponent > exact and exponent > least
    unit = Fraction(2) ** (exponent - bits + 1)
    rounded = round(exact / unit) * unit
    return math.copysign(math.inf if rounded >= Fraction(2) ** (greatest + 1) else float(rounded), value)


def beside_ties(half: DType, source: DType) -> NDArray:
    """Values of a 16-bit type, what lies half way between two, and the numbers of another type right beside that."""
    bits = np.concatenate([np.arange(0, 0x7F80, 61), [1, 2, 0x3FF, 0x400, 0x7F7F, 0x7BFF, 0x7B7F]]).astype(np.uint16)
    low, high = (np.abs(b.view(half.numpy).astype(np.float64)) for b in (bits, bits + np.uint16(1)))
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isinf(high), low * (1 + 2.0 ** -FORMATS[half][0]), (low + high) / 2)
    points = np.concatenate([low, middle])
    if source.is_float:
        points = points[np.isfinite(points)].astype(source.numpy)
        with np.errstate(over="ignore"):
            points = np.concatenate([points, np.nextafter(points, source.numpy.type(np.inf)), np.nextafter(points, 0)])
        limits = np.finfo(source.numpy)
        special = [0.0, np.inf, np.nan, limits.max, limits.tiny, limits.smallest_subnormal]
        points = np.concatenate([points, np.array(special, source.numpy)])
    else:
        limit = np.iinfo(source.numpy).max
        points = np.array(
            sorted({int(p) + d for p in points if p < limit - 1 for d in (-1, 0, 1)} | {limit, limit - 1})
        )
        points = points.astype(source.numpy)
    return np.concatenate([points, -points])


def cast_kernel(source: DType, *targets: DType) -> Kernel:
    params = "".join(f", %{t}: out {t}[8*n]" for t in targets)
    body = "\n".join(f"%{t}[8*%i+%v] = cast(%x[8*%i+%v], {t})" for t in targets)
    return parse_kernel(f"""sigmagraph 1
kernel @cast stage(scheduled) dims(n) params(%x: in {source}[8*n]{params}) {{
  for %i in n {{ for %v in 8 vectorized {{ {body} }} }}
}}
""")


def cast_natively(x: NDArray, source: DType, targets: Sequence[DType], f16_casts: bool) -> list[NDArray]:
    padded = np.concatenate([x, np.zeros(-len(x) % 8, x.dtype)])
    out = [np.empty(padded.shape, t.numpy) for t in targets]
    run_native(
        cast_kernel(source, *targets), [padded, *out], {"n": len(padded) // 8}, Instructions(f16_casts=f16_casts)
    )
    return [y[: len(x)] for y in out]


def assert_same_bits(actual: NDArray, expected: NDArray) -> None:
    """Assert equality, signs of zeros included; any NaN equals any other."""
    assert actual.dtype == expected.dtype
    if actual.dtype.kind in "fV":
        with np.errstate(invalid="ignore"):
            nan, other = np.isnan(expected), np.isnan(actual)
        np.testing.assert_array_equal(other, nan)
        actual, expected = actual[~nan], expected[~nan]
    width = f"u{actual.dtype.itemsize}"
    np.testing.assert_array_equal(actual.view(width), expected.view(width))


@ops_with_instructions
@pytest.mark.parametrize("source", [F32, F64, I16, I32, I64], ids=str)
def test_conversions_to_16_bits_round_once(source: DType, f16_casts: bool) -> None:
    x = np.concatenate([beside_ties(half, source) for half in HALVES])
    for half, actual in zip(HALVES, cast_natively(x, source, HALVES, f16_casts), strict=True):
        expected = np.array([nearest(value, half) for value in x.tolist()]).astype(half.numpy)
        assert_same_bits(actual, expected)
        with np.errstate(over="ignore"):
            assert_same_bits(np.asarray(convert(x, half)), expected)


@ops_with_instructions
@every_half
def test_conversions_from_16_bits(half: DType, f16_casts: bool) -> None:
    x, targets = every(half), [d for d in DType if d is not half]
    for target, actual in zip(targets, cast_natively(x, half, targets, f16_casts), strict=True):
        with np.errstate(all="ignore"):
            assert_same_bits(actual, np.asarray(convert(x.astype(np.float64), target)))


@pytest.mark.parametrize("source", [I8, U8, BOOL], ids=str)
def test_conversions_of_small_integers(source: DType) -> None:
    x = np.arange(256).astype(np.uint8).astype(source.numpy)
    for half, actual in zip(HALVES, cast_natively(x, source, HALVES, False), strict=True):
        assert_same_bits(actual, x.astype(half.numpy))


@every_half
def test_rounding_is_that_of_an_independent_definition(half: DType) -> None:
    """NumPy's and ml_dtypes' own conversions, where these round once."""
    x = beside_ties(half, F32)
    with np.errstate(over="ignore"):
        assert_same_bits(np.array([nearest(v, half) for v in x.tolist()]).astype(half.numpy), x.astype(half.numpy))


UNARY = ("neg", "abs", "sqrt", "floor", "ceil", "round")
BINARY = ("add", "sub", "mul", "div", "min", "max")
COMPARE = ("lt", "le", "gt", "ge", "eq", "ne")


def arithmetic(half: DType) -> Kernel:
    """All primitive ops on a 16-bit type, one output each."""
    stores = [(op, half, f"{op}(%a[%i], %b[%i])") for op in BINARY]
    stores += [(op, half, f"{op}(%a[%i])") for op in UNARY]
    stores += [(op, BOOL, f"{op}(%a[%i], %b[%i])") for op in COMPARE]
    stores.append(("fma", half, "fma(%a[%i], %b[%i], %c[%i])"))
    stores.append(("select", half, "select(lt(%a[%i], %b[%i]), %b[%i], %c[%i])"))
    params = ", ".join([f"%{n}: in {half}[n]" for n in "abc"] + [f"%{op}: out {d}[n]" for op, d, _ in stores])
    body = "\n".join(f"%{op}[%i] = {value}" for op, _, value in stores)
    head = f"sigmagraph 1\nkernel @all stage(scheduled) dims(n) params({params}) "
    return parse_kernel(f"{head}{{ for %i in n {{ {body} }} }}\n")


@ops_with_instructions
@every_half
def test_arithmetic_gives_the_bits_of_the_interpreter(half: DType, f16_casts: bool) -> None:
    kernel, rng = arithmetic(half), np.random.default_rng(7)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0]).astype(half.numpy)
    pairs = [np.repeat(special, len(special)), np.tile(special, len(special)), np.tile(special, len(special))[::-1]]
    close = rng.standard_normal((3, 400)).astype(half.numpy)
    operands = [np.concatenate([p, rng.choice(every(half), 1200), c]) for p, c in zip(pairs, close, strict=True)]
    outputs = [np.empty(len(operands[0]), p.dtype.numpy) for p in kernel.params[3:]]
    again = [array.copy() for array in outputs]
    run_native(kernel, [*operands, *outputs], {"n": len(operands[0])}, Instructions(f16_casts=f16_casts))
    interpret_kernel(kernel, [*operands, *again], {"n": len(operands[0])})
    for param, actual, expected in zip(kernel.params[3:], outputs, again, strict=True):
        if param.name in ("%min", "%max"):  # which of two zeros is less is left open
            with np.errstate(invalid="ignore"):
                actual, expected = (np.where(array == 0, half.numpy.type(0), array) for array in (actual, expected))
        assert_same_bits(actual, expected)


def expressions(kernel: Kernel) -> Iterator[Expr]:
    for stmt in statements(kernel.body):
        if isinstance(stmt, (Let, Store)):
            yield from walk(stmt.value)


@every_half
def test_legal_kernels_do_not_compute_with_16_bits(half: DType) -> None:
    legal = legalize(arithmetic(half))
    for expr in expressions(legal):
        if isinstance(expr, Apply):
            assert expr.op == "select" or all(a.dtype not in HALVES for a in expr.args)
        assert not isinstance(expr, Cast) or not {expr.dtype, expr.value.dtype} & {*HALVES}


def test_machines_with_conversions_keep_those_between_f16_and_f32() -> None:
    legal = legalize(cast_kernel(F64, F16), Instructions(f16_casts=True))
    casts = [(e.value.dtype, e.dtype) for e in expressions(legal) if isinstance(e, Cast)]
    assert (F32, F16) in casts
    assert all(e.op != "min" for e in expressions(legal) if isinstance(e, Apply))


@every_half
def test_no_library_is_called(half: DType) -> None:
    """On the least x86 processor, which has no instruction for 16-bit floats at all; else on this machine."""
    least = Processor(HOST.triple, "x86-64", "") if HOST.triple.startswith("x86_64") else HOST
    casts = [cast_kernel(half, F64, I64, U8, BOOL), *(cast_kernel(source, half) for source in (F64, I64, U8, BOOL))]
    for kernel in map(legalize, casts):
        text, _ = module(kernel, least)
        assembly = compile_module(text, least, listing=True).assembly
        assert not re.search(r"^\s+(callq?|bl)\b", assembly, re.MULTILINE), assembly
