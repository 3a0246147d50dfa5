"""What native routines are written with: their types, and loads, stores and conversions, with their meaning in Python.

A routine is a Python function that :mod:`sigmagraph.codegen.llvm.native.translate` turns into LLVM IR. Called as it
is, it computes the same on a :class:`Pointer` into bytes of Python's; :mod:`sigmagraph.codegen.llvm.native.intrinsics`
says what the functions of this module are in LLVM IR.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np

I64: TypeAlias = int
I32: TypeAlias = int  # only of parameters and results; within routines all integers have 64 bits
U8: TypeAlias = int  # the same
F32: TypeAlias = float  # in Python a np.float32, so that every operation rounds
F64: TypeAlias = float

_BITS64 = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Pointer:
    """A place in memory that ends where its bytes end: whatever reads or writes outside of them fails."""

    memory: bytearray
    at: int = 0

    def range(self, offset: int, size: int) -> slice:
        """The bytes of an element.

        Raises:
            IndexError: they are not all within the memory.
        """
        begin = self.at + offset
        if begin < 0 or begin + size > len(self.memory):
            raise IndexError(f"bytes {begin} to {begin + size} of {len(self.memory)}")
        return slice(begin, begin + size)


Ptr: TypeAlias = Pointer


def _load(p: Ptr, offset: int, code: str) -> int:
    return cast(int, struct.unpack("<" + code, p.memory[p.range(offset, struct.calcsize(code))])[0])


def _store(p: Ptr, offset: int, code: str, value: float) -> None:
    p.memory[p.range(offset, struct.calcsize(code))] = struct.pack("<" + code, value)


def _store_low(p: Ptr, offset: int, size: int, value: int) -> None:
    p.memory[p.range(offset, size)] = (value & ((1 << 8 * size) - 1)).to_bytes(size, "little")


def load_u8(p: Ptr, offset: I64) -> I64:
    """The byte at ``p + offset``."""
    return _load(p, offset, "B")


def load_i8(p: Ptr, offset: I64) -> I64:
    """The signed byte at ``p + offset``."""
    return _load(p, offset, "b")


def load_u16(p: Ptr, offset: I64) -> I64:
    """The 16 bits at ``p + offset``, a multiple of 2."""
    return _load(p, offset, "H")


def load_i16(p: Ptr, offset: I64) -> I64:
    """The signed 16 bits at ``p + offset``, a multiple of 2."""
    return _load(p, offset, "h")


def load_i32(p: Ptr, offset: I64) -> I64:
    """The signed 32 bits at ``p + offset``, a multiple of 4."""
    return _load(p, offset, "i")


def load_i64(p: Ptr, offset: I64) -> I64:
    """The 64 bits at ``p + offset``, a multiple of 8."""
    return _load(p, offset, "q")


def load_f32(p: Ptr, offset: I64) -> F32:
    """The float at ``p + offset``, a multiple of 4."""
    return f32_from_bits(_load(p, offset, "I"))


def load_f64(p: Ptr, offset: I64) -> F64:
    """The double at ``p + offset``, a multiple of 8."""
    return _load(p, offset, "d")


def store_u8(p: Ptr, offset: I64, value: I64) -> None:
    """Put the lowest 8 bits of a number to ``p + offset``."""
    _store_low(p, offset, 1, value)


def store_u16(p: Ptr, offset: I64, value: I64) -> None:
    """Put the lowest 16 bits of a number to ``p + offset``, a multiple of 2."""
    _store_low(p, offset, 2, value)


def store_i32(p: Ptr, offset: I64, value: I64) -> None:
    """Put the lowest 32 bits of a number to ``p + offset``, a multiple of 4."""
    _store_low(p, offset, 4, value)


def store_i64(p: Ptr, offset: I64, value: I64) -> None:
    """Put a number to ``p + offset``, a multiple of 8."""
    _store_low(p, offset, 8, value)


def store_f32(p: Ptr, offset: I64, value: F32) -> None:
    """Put a float to ``p + offset``, a multiple of 4."""
    _store(p, offset, "I", f32_bits(value))


def store_f64(p: Ptr, offset: I64, value: F64) -> None:
    """Put a double to ``p + offset``, a multiple of 8."""
    _store(p, offset, "d", value)


def behind(p: Ptr, offset: I64) -> Ptr:
    """The pointer ``offset`` bytes further on."""
    return Pointer(p.memory, p.at + offset)


def pointer_bits(p: Ptr) -> I64:
    """The address as a number (in Python: the place within the memory)."""
    return p.at


def stack(words: I64) -> Ptr:
    """Memory for a constant number of i64 until the routine returns; what is in it at first means nothing."""
    return Pointer(bytearray(b"\xa5" * (8 * words)))


def constant(data: bytes) -> Ptr:
    """Where the bytes of a constant of a module lie."""
    return Pointer(bytearray(data))


def wrapped(value: I64) -> I64:
    """A sum or product whose upper bits may be lost, as a signed number of 64 bits."""
    return ((value + (1 << 63)) & _BITS64) - (1 << 63)


def shifted(value: I64, by: I64) -> I64:
    """The 64 bits of a number shifted right, with zeros from the left."""
    return (value & _BITS64) >> by


def f32_of(value: I64) -> F32:
    """The nearest float of a number of 32 bits; 64 bits would be a call of a library where registers have 32."""
    return cast(float, np.float32(_small(value)))


def f64_of(value: I64) -> F64:
    """A number of 32 bits as a double."""
    return float(_small(value))


def rounded(value: F64) -> F32:
    """The nearest float of a double."""
    return cast(float, np.float32(value))


def float_of(value: F32) -> F64:
    """A float as a double."""
    return float(value)


def whole_of(value: F64) -> I64:
    """A double whose whole part has 31 bits at most, without its fraction."""
    return _small(int(value))


def _small(value: int) -> int:
    if not -(1 << 31) <= value < 1 << 31:
        raise OverflowError(f"{value} has more than 32 bits")
    return value


def f32_bits(value: F32) -> I64:
    """The 32 bits of a float, as a number that is not negative."""
    return int(np.float32(value).view(np.uint32))


def f32_from_bits(bits: I64) -> F32:
    """The float with the lowest 32 bits of a number."""
    return cast(float, np.uint32(bits & 0xFFFFFFFF).view(np.float32))


def f64_bits(value: F64) -> I64:
    """The 64 bits of a double."""
    return int(np.float64(value).view(np.int64))


def f64_from_bits(bits: I64) -> F64:
    """The double with the bits of a number."""
    return float(np.int64(bits).view(np.float64))
