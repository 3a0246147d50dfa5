"""The scalar operations of kernels: name, arity, result type and NumPy meaning.

This is the table that elementwise graph ops, the kernel interpreter and every emitter share. Operations with
``primitive=False`` have no instruction of their own: :mod:`sigmagraph.ir.kernel.math` writes them in terms of others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from sigmagraph.dtypes import BF16, BOOL, F32, F64, DType, as_dtype
from sigmagraph.errors import DTypeError
from sigmagraph.ir.kernel.fused import fma

_WIDER_THAN_F32 = (np.dtype(np.float64), np.dtype(np.int32), np.dtype(np.int64))
_Rule = Callable[[Sequence[DType]], "DType | None"]


@dataclass(frozen=True, slots=True)
class ScalarOp:
    """One scalar operation.

    Attributes:
        name: as it stands in text form.
        arity: number of operands.
        rule: operand types to result type; None where the operands do not fit.
        evaluate: NumPy meaning on arrays or scalars.
        primitive: whether emitters have an instruction for it.
        cost: rough number of machine instructions; decides what is worth computing twice.
        lanes: whether it looks at the other threads of a warp (GPU only).
        neighbours: how many values of the last operand in a row, from a multiple of their number on, share the work.
    """

    name: str
    arity: int
    rule: _Rule
    evaluate: Callable[..., Any]
    primitive: bool = True
    cost: int = 1
    lanes: bool = False
    neighbours: int = 1

    def result(self, dtypes: Sequence[DType]) -> DType:
        """The result type.

        Raises:
            DTypeError: the operands do not fit.
        """
        out = self.rule(dtypes) if len(dtypes) == self.arity else None
        if out is None:
            raise DTypeError(
                f"the scalar op '{self.name}' does not take these operands",
                expected=f"{self.arity} operands of fitting types",
                got=", ".join(map(str, dtypes)),
            )
        return out


def _same(dtypes: Sequence[DType]) -> DType | None:
    return dtypes[0] if len(set(dtypes)) == 1 else None


def _number(dtypes: Sequence[DType]) -> DType | None:
    out = _same(dtypes)
    return out if out is not None and out is not BOOL else None


def _float(dtypes: Sequence[DType]) -> DType | None:
    out = _same(dtypes)
    return out if out is not None and out.is_float else None


def _single(dtypes: Sequence[DType]) -> DType | None:
    out = _same(dtypes)
    return out if out is F32 else None


def _double(dtypes: Sequence[DType]) -> DType | None:
    out = _same(dtypes)
    return out if out is F64 else None


def _integer(dtypes: Sequence[DType]) -> DType | None:
    out = _same(dtypes)
    return out if out is not None and out.is_integer else None


def _bits(dtypes: Sequence[DType]) -> DType | None:
    out = _same(dtypes)
    return out if out is not None and not out.is_float else None


def _compare(dtypes: Sequence[DType]) -> DType | None:
    return BOOL if _same(dtypes) is not None else None


def _select(dtypes: Sequence[DType]) -> DType | None:
    return _same(dtypes[1:]) if dtypes[0] is BOOL else None


def convert(value: Any, dtype: DType) -> Any:
    """The NumPy meaning of a cast, on arrays or scalars.

    Floats become integers toward zero and saturate, NaN becomes 0; integers keep their low bits; bools are ``!= 0``.
    What a float type cannot hold is rounded once, to nearest, ties to even.
    """
    value = np.asarray(value)
    if dtype is BF16 and value.dtype in _WIDER_THAN_F32:
        value = _odd(value)
    if dtype is BOOL:
        return (value != 0)[()]
    target = dtype.numpy
    if not (dtype.is_integer and as_dtype(value.dtype).is_float):
        return value.astype(target)[()]
    bounds = np.iinfo(target)
    whole = np.trunc(value.astype(np.float64))
    low, high = whole <= float(bounds.min), whole >= float(bounds.max)
    inside = np.where(low | high | np.isnan(whole), 0.0, whole).astype(target)
    return np.where(high, target.type(bounds.max), np.where(low, target.type(bounds.min), inside))[()]


def _odd(value: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Values as f32, the neighbour with an odd last bit where one lies between two: rounding that is rounding once.

    ml_dtypes rounds to bf16 by way of f32, to nearest both times, which errs beside ties.
    """
    nearest = np.asarray(value.astype(np.float32))
    back = convert(nearest, as_dtype(value.dtype))
    bits = nearest.view(np.int32)
    outward = np.where(value < 0, back < value, back > value)
    moves = (back != value) & (bits % 2 == 0)
    return np.asarray(np.where(moves, bits + np.where(outward, -1, 1), bits).astype(np.int32)).view(np.float32)


def _divide(a: Any, b: Any) -> Any:
    """Real division for floats; for integers toward zero, as machines do, and 0 for a zero divisor."""
    if np.issubdtype(np.result_type(a, b), np.floating) or np.result_type(a, b).name == "bfloat16":
        return np.divide(a, b)
    a, b = np.asarray(a), np.asarray(b)
    safe = np.where(b == 0, np.ones_like(b), b)
    quotient = np.floor_divide(a, safe)
    quotient = quotient + ((quotient < 0) & (quotient * safe != a)).astype(a.dtype)
    return np.where(b == 0, np.zeros_like(a), quotient).astype(a.dtype)[()]


def _shift(function: Callable[..., Any]) -> Callable[..., Any]:
    def shift(a: Any, b: Any) -> Any:
        bits = np.asarray(a).dtype.itemsize * 8
        unsigned = np.asarray(a).view(f"u{bits // 8}")
        return function(unsigned, np.asarray(b).astype(unsigned.dtype)).view(np.asarray(a).dtype)[()]

    return shift


def _fma(a: Any, b: Any, c: Any) -> Any:
    """One rounding, by way of float64; 16-bit floats round the result of f32."""
    if type(a) is type(b) is type(c) is np.float32:  # what kernels are interpreted with most of all
        return np.float32(float(a) * float(b) + float(c))
    dtype = np.result_type(a, b, c)
    a, b, c = (np.asarray(v, np.float64) for v in (a, b, c))
    whole = fma(a, b, c) if dtype.itemsize == 8 else a * b + c
    return (whole.astype(np.float32) if dtype.itemsize == 2 else whole).astype(dtype)[()]


def _wide(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of floats, computed in float64 and rounded to the type of its operands."""

    def evaluate(*operands: Any) -> Any:
        dtype = np.result_type(*operands)
        return np.asarray(function(*(np.asarray(o, np.float64) for o in operands))).astype(dtype)[()]

    return evaluate


def _philox(seed: Any, stream: Any, step: Any, element: Any) -> Any:
    from sigmagraph.ir.kernel.philox import philox_bits

    return philox_bits(seed, stream, step, element)


def _round_tf32(x: Any) -> Any:
    """The nearest number with ten bits of fraction, ties away from zero (PTX ISA, ``cvt.rna.tf32.f32``)."""
    bits = np.asarray(x, np.float32).view(np.int32)
    with np.errstate(over="ignore"):
        near = (bits + np.int32(0x1000)) & np.int32(-0x2000)
    return np.where(np.isfinite(x), near.astype(np.int32).view(np.float32), x)[()]


def _round_tf32_even(x: Any) -> Any:
    """The same with ties to the even one (PTX ISA, ``cvt.rn.tf32.f32``)."""
    bits = np.asarray(x, np.float32).view(np.int32)
    with np.errstate(over="ignore"):
        near = (bits + np.int32(0xFFF) + (bits >> 13 & 1)) & np.int32(-0x2000)
    return np.where(np.isfinite(x), near.astype(np.int32).view(np.float32), x)[()]


def _exp2_approx(x: Any) -> Any:
    """2^x, or 0 where that is no normal number (PTX ISA, ``ex2.approx.ftz.f32``, which may be off by 2 ulp besides)."""
    power = _wide(np.exp2)(np.asarray(x, np.float32))
    return np.where(power < np.finfo(np.float32).tiny, np.float32(0), power)[()]


def _lane(*_: Any) -> Any:
    raise DTypeError("a warp operation has no meaning for a single thread")


SCALARS: Mapping[str, ScalarOp] = MappingProxyType(
    {
        op.name: op
        for op in (
            ScalarOp("add", 2, _number, np.add),
            ScalarOp("sub", 2, _number, np.subtract),
            ScalarOp("mul", 2, _number, np.multiply),
            ScalarOp("div", 2, _number, _divide, cost=4),
            ScalarOp("fma", 3, _float, _fma),
            ScalarOp("neg", 1, _number, np.negative),
            ScalarOp("abs", 1, _number, np.abs),
            ScalarOp("min", 2, _number, np.minimum, cost=3),
            ScalarOp("max", 2, _number, np.maximum, cost=3),
            ScalarOp("sqrt", 1, _float, np.sqrt, cost=4),
            ScalarOp("floor", 1, _float, np.floor),
            ScalarOp("ceil", 1, _float, np.ceil),
            ScalarOp("round", 1, _float, np.rint),
            ScalarOp("lt", 2, _compare, np.less),
            ScalarOp("le", 2, _compare, np.less_equal),
            ScalarOp("gt", 2, _compare, np.greater),
            ScalarOp("ge", 2, _compare, np.greater_equal),
            ScalarOp("eq", 2, _compare, np.equal),
            ScalarOp("ne", 2, _compare, np.not_equal),
            ScalarOp("and", 2, _bits, np.bitwise_and),
            ScalarOp("or", 2, _bits, np.bitwise_or),
            ScalarOp("xor", 2, _bits, np.bitwise_xor),
            ScalarOp("not", 1, _bits, np.invert),
            ScalarOp("shl", 2, _integer, _shift(np.left_shift)),
            ScalarOp("shr", 2, _integer, _shift(np.right_shift)),
            ScalarOp("select", 3, _select, np.where),
            ScalarOp("exp", 1, _float, np.exp, primitive=False, cost=16),
            ScalarOp("log", 1, _float, np.log, primitive=False, cost=20),
            ScalarOp("tanh", 1, _float, np.tanh, primitive=False, cost=24),
            ScalarOp("exp2", 1, _float, _wide(np.exp2), primitive=False, cost=24),
            ScalarOp("expm1", 1, _float, _wide(np.expm1), primitive=False, cost=24),
            ScalarOp("sinh", 1, _float, _wide(np.sinh), primitive=False, cost=60),
            ScalarOp("cosh", 1, _float, _wide(np.cosh), primitive=False, cost=48),
            ScalarOp("log1p", 1, _float, _wide(np.log1p), primitive=False, cost=32),
            ScalarOp("log2", 1, _float, _wide(np.log2), primitive=False, cost=24),
            ScalarOp("log10", 1, _float, _wide(np.log10), primitive=False, cost=24),
            ScalarOp("asinh", 1, _float, _wide(np.arcsinh), primitive=False, cost=60),
            ScalarOp("acosh", 1, _float, _wide(np.arccosh), primitive=False, cost=56),
            ScalarOp("atanh", 1, _float, _wide(np.arctanh), primitive=False, cost=48),
            ScalarOp("sin", 1, _float, _wide(np.sin), primitive=False, cost=80),
            ScalarOp("cos", 1, _float, _wide(np.cos), primitive=False, cost=80),
            ScalarOp("tan", 1, _float, _wide(np.tan), primitive=False, cost=100),
            ScalarOp("asin", 1, _float, _wide(np.arcsin), primitive=False, cost=40),
            ScalarOp("acos", 1, _float, _wide(np.arccos), primitive=False, cost=48),
            ScalarOp("atan", 1, _float, _wide(np.arctan), primitive=False, cost=32),
            ScalarOp("atan2", 2, _float, _wide(np.arctan2), primitive=False, cost=48),
            ScalarOp("erf", 1, _float, _wide(np.vectorize(math.erf, otypes="d")), primitive=False, cost=80),
            ScalarOp("erfc", 1, _float, _wide(np.vectorize(math.erfc, otypes="d")), primitive=False, cost=80),
            ScalarOp("power", 2, _float, _wide(np.power), primitive=False, cost=100),
            ScalarOp("remainder", 2, _number, np.remainder, primitive=False, cost=40),
            ScalarOp("floor_divide", 2, _number, np.floor_divide, primitive=False, cost=48),
            ScalarOp("philox", 4, _integer, _philox, primitive=False, cost=120, neighbours=4),
            # What the ops of these names are in f64 where there is no instruction: functions of the module.
            ScalarOp("split_fma", 3, _double, _fma, cost=60),
            ScalarOp("soft_fma", 3, _double, _fma, cost=100),
            ScalarOp("soft_sqrt", 1, _double, np.sqrt, cost=400),
            ScalarOp("round_tf32", 1, _single, _round_tf32, primitive=False, cost=6),
            # What GPUs have an instruction for, and processors lack.
            ScalarOp("exp2_approx", 1, _single, _exp2_approx, cost=4),
            ScalarOp("round_tf32_even", 1, _single, _round_tf32_even, cost=1),
            ScalarOp("shuffle", 2, lambda d: d[0] if d[1].is_integer else None, _lane, lanes=True),
            ScalarOp("shuffle_xor", 2, lambda d: d[0] if d[1].is_integer else None, _lane, lanes=True),
            ScalarOp("shuffle_down", 2, lambda d: d[0] if d[1].is_integer else None, _lane, lanes=True),
        )
    }
)
