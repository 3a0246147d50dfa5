"""The expansions of scalar ops as lists of lets, and their values on arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from sigmagraph.dtypes import DType, as_dtype
from sigmagraph.ir.kernel.expr import Apply, Bitcast, Cast, Const, Expr, Var
from sigmagraph.ir.kernel.math import expand
from sigmagraph.ir.kernel.scalar import SCALARS, convert

Array = np.ndarray[Any, Any]


def expansion(op: str, *dtypes: DType) -> tuple[list[tuple[str, Expr]], Expr]:
    """Lets and result of an op on the variables %x0, %x1, ..."""
    lets: list[tuple[str, Expr]] = []

    def let(value: Expr) -> Expr:
        if isinstance(value, (Var, Const)):
            return value
        lets.append((f"%t{len(lets)}", value))
        return Var(lets[-1][0], value.dtype)

    result = expand(op, tuple(Var(f"%x{i}", dtype) for i, dtype in enumerate(dtypes)), let)
    return lets, result


def evaluate(op: str, *args: Array) -> Array:
    """An op on arrays, by way of its expansion."""
    lets, result = expansion(op, *(as_dtype(a.dtype) for a in args))
    known: dict[str, Array] = {f"%x{i}": a for i, a in enumerate(args)}

    def value(expr: Expr) -> Array:
        match expr:
            case Const(number, dtype):
                return np.asarray(number, dtype.numpy)
            case Var(name, _):
                return known[name]
            case Apply(name, operands, dtype):
                return np.asarray(SCALARS[name].evaluate(*map(value, operands))).astype(dtype.numpy)
            case Cast(inner, dtype):
                return np.asarray(convert(value(inner), dtype))
            case Bitcast(inner, dtype):
                return value(inner).view(dtype.numpy)
        raise AssertionError(expr)

    with np.errstate(all="ignore"):
        for name, expr in lets:
            known[name] = value(expr)
        return value(result)
