"""Element types, their NumPy counterparts and the one promotion table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from functools import cache, reduce
from types import MappingProxyType
from typing import Any

import numpy as np

from sigmagraph.errors import DTypeError


class Kind(Enum):
    """What an element is."""

    BOOL = "bool"
    INT = "int"
    UINT = "uint"
    FLOAT = "float"


class DType(Enum):
    """An element type; the value is its name in text form."""

    F16 = "f16"
    BF16 = "bf16"
    F32 = "f32"
    F64 = "f64"
    I8 = "i8"
    I16 = "i16"
    I32 = "i32"
    I64 = "i64"
    U8 = "u8"
    BOOL = "bool"

    def __str__(self) -> str:
        return str(self.value)

    __repr__ = __str__
    __hash__ = object.__hash__  # there is one object for each type, and that of enums takes ten times as long

    @property
    def kind(self) -> Kind:
        return _KIND[self]

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in memory."""
        return _BITS[self] // 8

    @property
    def bits(self) -> int:
        return _BITS[self]

    @property
    def is_float(self) -> bool:
        return _KIND[self] is Kind.FLOAT

    @property
    def is_integer(self) -> bool:
        return _KIND[self] in (Kind.INT, Kind.UINT)

    @property
    def numpy(self) -> np.dtype[Any]:
        """The NumPy dtype (bf16 comes from ml_dtypes)."""
        return _numpy_dtype(self)


_BITS = {
    DType.F16: 16, DType.BF16: 16, DType.F32: 32, DType.F64: 64, DType.I8: 8, DType.I16: 16, DType.I32: 32,
    DType.I64: 64, DType.U8: 8, DType.BOOL: 8,
}  # fmt: skip
_KIND = {
    DType.F16: Kind.FLOAT, DType.BF16: Kind.FLOAT, DType.F32: Kind.FLOAT, DType.F64: Kind.FLOAT, DType.I8: Kind.INT,
    DType.I16: Kind.INT, DType.I32: Kind.INT, DType.I64: Kind.INT, DType.U8: Kind.UINT, DType.BOOL: Kind.BOOL,
}  # fmt: skip
_NUMPY_NAME = {
    DType.F16: "float16", DType.F32: "float32", DType.F64: "float64", DType.I8: "int8", DType.I16: "int16",
    DType.I32: "int32", DType.I64: "int64", DType.U8: "uint8", DType.BOOL: "bool",
}  # fmt: skip
_BY_NUMPY_NAME = {name: dtype for dtype, name in _NUMPY_NAME.items()} | {"bfloat16": DType.BF16}

F16, BF16, F32, F64 = DType.F16, DType.BF16, DType.F32, DType.F64
I8, I16, I32, I64, U8, BOOL = DType.I8, DType.I16, DType.I32, DType.I64, DType.U8, DType.BOOL


@cache
def _numpy_dtype(dtype: DType) -> np.dtype[Any]:
    if dtype is DType.BF16:
        import ml_dtypes

        bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
        return bfloat16
    return np.dtype(_NUMPY_NAME[dtype])


def as_dtype(value: object) -> DType:
    """The element type meant by a DType, its short name (``f32``), a NumPy dtype or a NumPy name (``float32``).

    Raises:
        DTypeError: there is no such element type.
    """
    if isinstance(value, DType):
        return value
    if isinstance(value, str):
        if value in _BY_SHORT_NAME:
            return _BY_SHORT_NAME[value]
        if value in _BY_NUMPY_NAME:
            return _BY_NUMPY_NAME[value]
    if isinstance(value, (np.dtype, type)):
        try:
            name = np.dtype(value).name
        except TypeError:
            name = str(value)
        if name in _BY_NUMPY_NAME:
            return _BY_NUMPY_NAME[name]
    raise DTypeError("there is no such element type", expected=", ".join(_BY_NUMPY_NAME), got=repr(value))


_BY_SHORT_NAME = {str(dtype): dtype for dtype in DType}


# The type of an arithmetic result of two types. It is NumPy's for the nine types that NumPy has. bf16, which meets only
# some types in ml_dtypes, is treated as f16 is: it keeps small integers, and wider types that hold both take the rest.
_PROMOTION_TABLE = """
          bool u8   i8   i16  i32  i64  f16  bf16 f32  f64
    bool  bool u8   i8   i16  i32  i64  f16  bf16 f32  f64
    u8    u8   u8   i16  i16  i32  i64  f16  bf16 f32  f64
    i8    i8   i16  i8   i16  i32  i64  f16  bf16 f32  f64
    i16   i16  i16  i16  i16  i32  i64  f32  f32  f32  f64
    i32   i32  i32  i32  i32  i32  i64  f64  f64  f64  f64
    i64   i64  i64  i64  i64  i64  i64  f64  f64  f64  f64
    f16   f16  f16  f16  f32  f64  f64  f16  f32  f32  f64
    bf16  bf16 bf16 bf16 f32  f64  f64  f32  bf16 f32  f64
    f32   f32  f32  f32  f32  f64  f64  f32  f32  f32  f64
    f64   f64  f64  f64  f64  f64  f64  f64  f64  f64  f64
"""


def _read_table(text: str) -> Mapping[tuple[DType, DType], DType]:
    head, *rows = (line.split() for line in text.strip().splitlines())
    return MappingProxyType(
        {
            (DType(row[0]), DType(column)): DType(cell)
            for row in rows
            for column, cell in zip(head, row[1:], strict=True)
        }
    )


_PROMOTED = _read_table(_PROMOTION_TABLE)


def promote(*dtypes: DType) -> DType:
    """The type of an arithmetic result of one or more types, whatever their order: floats meet first, then the others.

    Pair by pair the table is associative among bools and integers and among floats, but, as in NumPy, not across: i8
    and u8 are i16, which f16 meets in f32, while each of them meets f16 in f16.
    """
    return reduce(lambda a, b: _PROMOTED[a, b], sorted(dtypes, key=lambda dtype: not dtype.is_float))


def promote_scalar(dtype: DType, value: bool | int | float) -> DType:
    """The type of an arithmetic result of ``dtype`` with a Python number, which is weak, as in NumPy (NEP 50).

    A number changes the type only where its kind is a greater one: an int makes i64 of bool, a float f64 of what is no
    float. Whether its value fits is not asked here.
    """
    if isinstance(value, bool):
        return dtype
    if isinstance(value, int):
        return DType.I64 if dtype is DType.BOOL else dtype
    return dtype if dtype.is_float else DType.F64
