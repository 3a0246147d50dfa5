"""Scalar expressions of kernels: what is computed for one element.

Expressions are immutable, know their type, and are trees; sharing is said with ``Let`` statements. Vectors do not
occur: a ``vectorized`` loop is a loop like any other until it is emitted.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias, Union

import numpy as np

from sigmagraph.dims import Size, substitute
from sigmagraph.dtypes import BOOL, F16, F32, F64, I64, U8, DType
from sigmagraph.errors import DTypeError
from sigmagraph.ir.kernel.scalar import SCALARS, convert

_PACKED: Mapping[DType, struct.Struct] = MappingProxyType(
    {F16: struct.Struct("<e"), F32: struct.Struct("<f"), F64: struct.Struct("<d")}
)


@dataclass(frozen=True, slots=True, eq=False)
class Const:
    """A literal: a bool, an int, or a float rounded to its type. -0.0 differs from 0.0, and nan equals nan.

    Raises:
        DTypeError: the type has no such value.
    """

    value: bool | int | float
    dtype: DType

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _exact(self.value, self.dtype))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Const) or self.dtype is not other.dtype:
            return False
        return self.value is other.value or (self.value == other.value and _sign(self.value) == _sign(other.value))

    def __hash__(self) -> int:
        return hash((self.value, self.dtype))


def _sign(value: bool | int | float) -> float:
    return math.copysign(1.0, value)


def _exact(value: bool | int | float, dtype: DType) -> bool | int | float:
    """The value as the type holds it; the one ``math.nan`` for every nan, so that tuples of constants compare equal."""
    try:
        exact = _rounded(float(value), dtype) if dtype.is_float else _whole(value, dtype)
    except (OverflowError, ValueError):
        exact = None
    if exact is None:
        raise DTypeError("the type has no such value", expected=f"a value of {dtype}", got=value)
    return exact


def _rounded(value: float, dtype: DType) -> float | None:
    if not math.isfinite(value):
        return math.nan if math.isnan(value) else value
    if dtype in _PACKED:
        packed = _PACKED[dtype]
        return float(packed.unpack(packed.pack(value))[0])
    with np.errstate(over="ignore"):
        rounded = float(convert(value, dtype))
    return rounded if math.isfinite(rounded) else None


def _whole(value: bool | int | float, dtype: DType) -> bool | int | None:
    if value != int(value):
        return None
    if dtype is BOOL:
        return bool(value) if value in (0, 1) else None
    low = 0 if dtype is U8 else -(1 << dtype.bits - 1)
    return int(value) if low <= value < low + (1 << dtype.bits) else None


@dataclass(frozen=True, slots=True)
class Var:
    """The value of a ``Let``; the name starts with ``%``."""

    name: str
    dtype: DType


@dataclass(frozen=True, slots=True)
class Index:
    """The value of an index expression (loop variables, dims, integer lets) as i64."""

    value: Size

    @property
    def dtype(self) -> DType:
        return I64


@dataclass(frozen=True, slots=True)
class Load:
    """An element of a buffer; 0 and no access where an expression of ``guard`` is negative."""

    buffer: str
    index: tuple[Size, ...]
    dtype: DType
    guard: tuple[Size, ...] = ()


@dataclass(frozen=True, slots=True)
class Apply:
    """A scalar op of :data:`~sigmagraph.ir.kernel.scalar.SCALARS` on operands."""

    op: str
    args: tuple[Expr, ...]
    dtype: DType


@dataclass(frozen=True, slots=True)
class Cast:
    """Another type for the same number, as :func:`~sigmagraph.ir.kernel.scalar.convert` says.

    Floats become ints toward zero (saturating, NaN is 0), ints keep their low bits, anything becomes bool as ``!= 0``.
    """

    value: Expr
    dtype: DType


@dataclass(frozen=True, slots=True)
class Bitcast:
    """Another type for the same bits; both types are equally wide."""

    value: Expr
    dtype: DType


Expr: TypeAlias = Union[Const, Var, Index, Load, Apply, Cast, Bitcast]


def apply(op: str, *args: Expr) -> Apply:
    """An application with its result type.

    Raises:
        DTypeError: the operands do not fit the op.
    """
    return Apply(op, args, SCALARS[op].result([a.dtype for a in args]))


def cast(value: Expr, dtype: DType) -> Expr:
    """The value as another type; itself when it has that type already."""
    return value if value.dtype is dtype else Cast(value, dtype)


def children(expr: Expr) -> tuple[Expr, ...]:
    """The direct operands."""
    match expr:
        case Apply(_, args, _):
            return args
        case Cast(value, _) | Bitcast(value, _):
            return (value,)
        case _:
            return ()


def walk(expr: Expr) -> Iterator[Expr]:
    """The expression and everything below it, operands first."""
    for child in children(expr):
        yield from walk(child)
    yield expr


def rebuild(expr: Expr, visit: Callable[[Expr], Expr]) -> Expr:
    """The same node on visited operands."""
    match expr:
        case Apply(op, args, dtype):
            new = tuple(visit(a) for a in args)
            return expr if all(a is b for a, b in zip(new, args, strict=True)) else Apply(op, new, dtype)
        case Cast(value, dtype):
            return Cast(visit(value), dtype)
        case Bitcast(value, dtype):
            return Bitcast(visit(value), dtype)
        case _:
            return expr


def replace(expr: Expr, indices: Mapping[str, Size], variables: Mapping[str, Expr] | None = None) -> Expr:
    """The expression with names in index expressions and let variables replaced."""
    match expr:
        case Index(value):
            return Index(substitute(value, indices))
        case Load(buffer, index, dtype, guard):
            return Load(
                buffer,
                tuple(substitute(i, indices) for i in index),
                dtype,
                tuple(substitute(g, indices) for g in guard),
            )
        case Var(name, _):
            return variables.get(name, expr) if variables else expr
        case _:
            return rebuild(expr, lambda e: replace(e, indices, variables))
