"""How element types are spelled in LLVM IR, in registers and in memory, and how literals are written."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np

from sigmagraph.dtypes import BF16, BOOL, F16, F32, F64, I8, I16, I32, I64, U8, DType

# 16-bit floats are loaded, moved and stored as their bits: computing is done in f32 (see transform/widen.py).
_REGISTER = {F16: "i16", BF16: "i16", F32: "float", F64: "double", I8: "i8", U8: "i8", I16: "i16", I32: "i32",
             I64: "i64", BOOL: "i1"}  # fmt: skip


def register_type(dtype: DType, lanes: int = 1) -> str:
    """The type of a value in a register: ``float``, ``<8 x float>``; bools are ``i1``."""
    return vector_of(_REGISTER[dtype], lanes)


def memory_type(dtype: DType, lanes: int = 1) -> str:
    """The type of an element in memory; bools are bytes."""
    return vector_of("i8" if dtype is BOOL else _REGISTER[dtype], lanes)


def vector_of(scalar: str, lanes: int) -> str:
    """A scalar type, or vectors of it."""
    return scalar if lanes == 1 else f"<{lanes} x {scalar}>"


def literal(value: bool | int | float, dtype: DType) -> str:
    """A constant of the type; floats in a form that loses nothing."""
    if dtype is BOOL:
        return "true" if value else "false"
    if not dtype.is_float:
        return str(int(value))
    if dtype in (F16, BF16):
        return str(int(np.asarray(value, dtype.numpy).view(np.int16)))
    exact = struct.unpack("<f", struct.pack("<f", float(value)))[0] if dtype is F32 and abs(value) < 3.5e38 else value
    return f"0x{struct.unpack('<Q', struct.pack('<d', float(exact)))[0]:016X}"


@dataclass(frozen=True, slots=True)
class Register:
    """A value in the function: its name (or literal), element type and number of lanes."""

    name: str
    dtype: DType
    lanes: int = 1

    @property
    def type(self) -> str:
        return register_type(self.dtype, self.lanes)

    def __str__(self) -> str:
        return f"{self.type} {self.name}"
