"""How element types and literals are spelled in CUDA C, and how operands of operators are put in parentheses."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from types import MappingProxyType

import numpy as np

from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType

# Of what binds an operator, the tighter the greater.
CHOICE, BITS, COMPARISON, SUM, PRODUCT, UNARY, PRIMARY = range(7)

# 16-bit floats are loaded, moved and stored as their bits: computing is done in f32 (see transform/widen.py).
_REGISTER: Mapping[DType, str] = MappingProxyType(
    {F16: "unsigned short", BF16: "unsigned short", F32: "float", F64: "double", I8: "signed char",
     U8: "unsigned char", I16: "short", I32: "int", I64: "long long", BOOL: "bool"}
)  # fmt: skip
_DIGITS = 9  # a decimal with no more is read by every compiler as the number that it is


@dataclass(frozen=True, slots=True)
class Text:
    """An expression in C: its text, and how tightly its outermost operator binds."""

    text: str
    binds: int = PRIMARY

    def __str__(self) -> str:
        return self.text

    def within(self, least: int) -> str:
        """The text as an operand of something that binds as tightly as ``least``, in parentheses if it needs them."""
        return self.text if self.binds >= least else f"({self.text})"


def register_type(dtype: DType) -> str:
    """The type of a value in a register."""
    return _REGISTER[dtype]


def memory_type(dtype: DType) -> str:
    """The type of an element in memory; bools are bytes."""
    return "unsigned char" if dtype is BOOL else _REGISTER[dtype]


def literal(value: bool | int | float, dtype: DType) -> Text:
    """A constant of exactly the type; floats in a form that loses nothing."""
    if dtype is BOOL:
        return Text("true" if value else "false")
    if dtype in (F16, BF16):
        bits = int(np.asarray(value, dtype.numpy).view(np.uint16))
        return Text(f"(unsigned short)0x{bits:04x}", UNARY)
    if dtype.is_float:
        return _float(float(value), dtype)
    return _integer(int(value), dtype)


def _integer(value: int, dtype: DType) -> Text:
    if dtype in (I32, I64):
        end = "ll" if dtype is I64 else ""
        if value == -(1 << dtype.bits - 1):  # C has no such literal: the minus is an operator
            return Text(f"-{-value - 1}{end} - 1", SUM)
        return Text(f"{value}{end}", PRIMARY if value >= 0 else UNARY)
    return Text(f"({_REGISTER[dtype]}){value}", UNARY)


def _float(value: float, dtype: DType) -> Text:
    if not math.isfinite(value):
        if dtype is F32:
            return Text(f"sg_f32(0x{struct.unpack('<I', struct.pack('<f', value))[0]:08x}u)")
        return Text(f"sg_f64(0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016x}ull)")
    end = "f" if dtype is F32 else ""
    digits = len(Decimal(value).normalize().as_tuple().digits)
    if digits <= _DIGITS and (value == 0 or 1e-6 <= abs(value) < 1e9):
        text = repr(value)
    else:
        fraction, exponent = value.hex().split("p")
        text = f"{fraction.rstrip('0').rstrip('.')}p{exponent}"
    return Text(text + end, PRIMARY if math.copysign(1.0, value) > 0 else UNARY)
