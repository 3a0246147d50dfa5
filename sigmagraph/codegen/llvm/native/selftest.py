"""Routines for self-tests: numbers to compute with, and comparisons of what came with what should have.

Elements are numbered by their types as in :data:`NUMBERS`. Comparisons look at some elements, a step apart from one
another, and at them together: the sum of what is wrong must be a small part of the sum of what there should be.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.codegen.llvm.native.memory import (
    F64,
    I32,
    I64,
    Ptr,
    behind,
    f32_bits,
    f32_from_bits,
    f64_of,
    float_of,
    load_f32,
    load_f64,
    load_i8,
    load_i16,
    load_i32,
    load_i64,
    load_u8,
    load_u16,
    rounded,
    shifted,
    store_f32,
    store_f64,
    store_i32,
    store_i64,
    store_u8,
    store_u16,
    whole_of,
    wrapped,
)
from sigmagraph.dtypes import DType

NDArray: TypeAlias = "np.ndarray[Any, Any]"

NUMBERS = {dtype: number for number, dtype in enumerate(DType)}
F16, BF16, F32, FLOAT64, INT8, INT16, INT32, INT64, UINT8, BOOL = range(10)
# Of splitmix64 (Steele, Lea, Flood 2014).
GOLDEN = 0x9E3779B97F4A7C15
FIRST = 0xBF58476D1CE4E5B9
SECOND = 0x94D049BB133111EB
UNIT = 2.0**-24
WORD = 4294967296.0
HALF_WORD = 65536.0
TINY = 1e-30
FOUR = 4.0
EQUAL = 1e-3  # how far results may be off together
MOVED = 2e-2  # how far changes may be, of which some have the sign of a number that is nearly zero


def mixed(seed: I64, number: I64) -> I64:
    """64 bits that look random."""
    z = wrapped(seed + wrapped((number + 1) * GOLDEN))
    z = wrapped((z ^ shifted(z, 30)) * FIRST)
    z = wrapped((z ^ shifted(z, 27)) * SECOND)
    return wrapped(z ^ shifted(z, 31))


def half_bits(value: F64) -> I64:
    """The bits of the nearest f16 of a number between -65504 and 65504; to even where two are as near."""
    bits = f32_bits(rounded(value))
    sign = (bits >> 16) & 0x8000
    magnitude = bits & 0x7FFFFFFF
    if magnitude < 0x33000001:
        return sign
    if magnitude < 0x38800000:
        # Below the normal numbers: the fraction moves right.
        shift = 126 - (magnitude >> 23)
        fraction = (magnitude & 0x7FFFFF) | 0x800000
        low = fraction & ((1 << shift) - 1)
        out = fraction >> shift
        middle = 1 << (shift - 1)
        if low > middle or (low == middle and out & 1 == 1):
            out += 1
        return sign | out
    return sign | ((magnitude - 0x38000000 + 0xFFF + ((magnitude >> 13) & 1)) >> 13)


def half_value(bits: I64) -> F64:
    """The number with the bits of an f16 that is neither infinite nor NaN; those become large."""
    exponent = (bits >> 10) & 31
    fraction = bits & 1023
    sign = (bits & 0x8000) << 16
    if exponent == 0:
        value = f64_of(fraction) * 5.9604644775390625e-08
        return -value if sign != 0 else value
    return float_of(f32_from_bits(sign | ((exponent + 112) << 23) | (fraction << 13)))


def put(target: Ptr, at: I64, dtype: I64, value: F64) -> None:
    """Store a number as an element; whole numbers without their fraction."""
    if dtype == FLOAT64:
        store_f64(target, 8 * at, value)
    elif dtype == F32:
        store_f32(target, 4 * at, rounded(value))
    elif dtype == F16:
        store_u16(target, 2 * at, half_bits(value))
    elif dtype == BF16:
        bits = f32_bits(rounded(value))
        store_u16(target, 2 * at, (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16)
    elif dtype == INT64:
        store_i64(target, 8 * at, whole_of(value))
    elif dtype == INT32:
        store_i32(target, 4 * at, whole_of(value))
    elif dtype == INT16:
        store_u16(target, 2 * at, whole_of(value))
    else:
        store_u8(target, at, whole_of(value))


def get(source: Ptr, at: I64, dtype: I64) -> F64:
    """An element as a number; of 64-bit integers the nearest."""
    if dtype == FLOAT64:
        return load_f64(source, 8 * at)
    if dtype == F32:
        return float_of(load_f32(source, 4 * at))
    if dtype == F16:
        return half_value(load_u16(source, 2 * at))
    if dtype == BF16:
        return float_of(f32_from_bits(load_u16(source, 2 * at) << 16))
    if dtype == INT64:
        value = load_i64(source, 8 * at)
        low = f64_of((value >> 16) & 0xFFFF) * HALF_WORD + f64_of(value & 0xFFFF)
        return f64_of(value >> 32) * WORD + low
    if dtype == INT32:
        return f64_of(load_i32(source, 4 * at))
    if dtype == INT16:
        return f64_of(load_i16(source, 2 * at))
    if dtype == INT8:
        return f64_of(load_i8(source, at))
    return f64_of(load_u8(source, at))


def fill(target: Ptr, count: I64, dtype: I64, seed: I64, low: F64, high: F64) -> None:
    """Fill memory with elements between ``low`` and, but for rounding, below ``high``."""
    i = 0
    while i < count:
        part = f64_of(shifted(mixed(seed, i), 40)) * UNIT
        put(target, i, dtype, low + (high - low) * part)
        i += 1


def magnitude_of(value: F64) -> F64:
    """A number without its sign."""
    return -value if value < 0.0 else value


def differs(got: Ptr, wanted: Ptr, step: I64, samples: I64, dtype: I64, tolerance: F64) -> I32:
    """1 unless elements are what they should be; ``wanted`` are doubles."""
    error = 0.0
    total = 0.0
    i = 0
    while i < samples:
        g = get(got, i * step, dtype)
        w = load_f64(wanted, 8 * i)
        if g != w and (g == g or w == w):
            error = error + magnitude_of(g - w)
            total = total + magnitude_of(w)
        elif w == w:
            total = total + magnitude_of(w)
        i += 1
    if error <= tolerance * total + TINY:
        return 0
    return 1


def moved(old: Ptr, new: Ptr, wanted: Ptr, step: I64, samples: I64, dtype: I64, tolerance: F64, epsilon: F64) -> I32:
    """1 unless elements changed from old ones as they should; ``epsilon`` is the relative rounding of the type."""
    error = 0.0
    total = 0.0
    size = 0.0
    i = 0
    while i < samples:
        o = get(old, i * step, dtype)
        n = get(new, i * step, dtype)
        w = load_f64(wanted, 8 * i)
        error = error + magnitude_of(n - w)
        total = total + magnitude_of(w - o)
        size = size + magnitude_of(o) + magnitude_of(w)
        i += 1
    if error <= tolerance * total + FOUR * epsilon * size + TINY:
        return 0
    return 1


def fill_values(values: Ptr, table: Ptr, count: I64) -> None:
    """Fill arrays; a table has six words for each: offset, count, type, seed, and the doubles low and high."""
    i = 0
    while i < count:
        at = 48 * i
        target = behind(values, load_i64(table, at))
        low = load_f64(table, at + 32)
        fill(
            target,
            load_i64(table, at + 8),
            load_i64(table, at + 16),
            load_i64(table, at + 24),
            low,
            load_f64(table, at + 40),
        )
        i += 1


def all_moved(old: Ptr, new: Ptr, table: Ptr, count: I64, wanted: Ptr) -> I32:
    """1 unless all arrays changed as they should.

    A table has six words for each: offset, step, samples, type, where in ``wanted`` its samples are, and the double
    that is its type's relative rounding.
    """
    i = 0
    while i < count:
        at = 48 * i
        place = load_i64(table, at)
        step = load_i64(table, at + 8)
        samples = load_i64(table, at + 16)
        dtype = load_i64(table, at + 24)
        there = behind(wanted, 8 * load_i64(table, at + 32))
        rounding = load_f64(table, at + 40)
        if moved(behind(old, place), behind(new, place), there, step, samples, dtype, MOVED, rounding) != 0:
            return 1
        i += 1
    return 0


def all_equal(got: Ptr, table: Ptr, count: I64, wanted: Ptr) -> I32:
    """1 unless all arrays are what they should be; the table is like that of :func:`all_moved`."""
    i = 0
    while i < count:
        at = 48 * i
        there = behind(wanted, 8 * load_i64(table, at + 32))
        place = behind(got, load_i64(table, at))
        if (
            differs(place, there, load_i64(table, at + 8), load_i64(table, at + 16), load_i64(table, at + 24), EQUAL)
            != 0
        ):
            return 1
        i += 1
    return 0


SELFTEST_ROUTINES = (
    mixed,
    half_bits,
    half_value,
    put,
    get,
    fill,
    magnitude_of,
    differs,
    moved,
    fill_values,
    all_moved,
    all_equal,
)


def filled(shape: Sequence[int], dtype: DType, seed: int, low: float, high: float) -> NDArray:
    """The array that :func:`fill` makes.

    Args:
        shape: of the array.
        dtype: of its elements.
        seed: of what looks random.
        low: the least number.
        high: what all are below, but for rounding.
    """
    with np.errstate(over="ignore"):
        i = np.arange(1, int(np.prod(shape, dtype=np.int64)) + 1, dtype=np.uint64)
        z = np.uint64(seed % (1 << 64)) + i * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(FIRST)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(SECOND)
        z ^= z >> np.uint64(31)
    values = low + (high - low) * ((z >> np.uint64(40)).astype(np.float64) * UNIT)
    if dtype.is_float and dtype.itemsize < 8:  # 16-bit floats are rounded twice
        return values.astype(np.float32).astype(dtype.numpy).reshape(shape)
    return (values if dtype.is_float else np.trunc(values)).astype(dtype.numpy).reshape(shape)
