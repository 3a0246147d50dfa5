"""Shifts and scales numbers, in double precision and without a large copy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from sigmagraph.errors import AttributeValueError, DTypeError, ShapeError

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_PIECE = 1 << 20


def affine(array: NDArray, shift: NDArray, scale: NDArray, offset: float) -> NDArray:
    """``(array - shift) * scale + offset`` for records ``[records, ...]``.

    Numbers with a point keep their type, whole ones become f32.

    Raises:
        DTypeError: the records are no real numbers.
        ShapeError: shift and scale are for records of another shape.
    """
    if array.dtype.kind in "OSUcmM":
        raise DTypeError("only numbers can be shifted and scaled", expected="real numbers", got=array.dtype)
    if shift.ndim and shift.shape != array.shape[1:]:
        raise ShapeError(
            "the records have another shape than those learnt from", expected=shift.shape, got=array.shape[1:]
        )
    out = np.empty(array.shape, np.float32 if array.dtype.kind in "iub" else array.dtype)
    rows = max(1, _PIECE * len(array) // max(1, 8 * array.size))
    for start in range(0, len(array), rows):
        part = slice(start, start + rows)
        out[part] = (array[part].astype(np.float64) - shift) * scale + offset
    return out


def numbers(value: Any, what: str) -> Any:
    """A parameter in double precision: None, one array, or arrays by the names of sections.

    Raises:
        AttributeValueError: it is something else, or not finite.
    """
    if value is None:
        return None
    if isinstance(value, Mapping):
        return {str(name): numbers(v, what) for name, v in value.items()}
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError):
        array = np.array(np.nan)
    if not np.isfinite(array).all():
        raise AttributeValueError(f"'{what}' takes finite numbers", expected="numbers", got=repr(value))
    array.flags.writeable = False
    return array


def of_section(value: Any, section: str) -> NDArray:
    """The parameter for a section.

    Raises:
        AttributeValueError: there is none.
    """
    if not isinstance(value, Mapping):
        return np.asarray(value)
    if section not in value:
        raise AttributeValueError(f"nothing was learnt of section '{section}'", expected=tuple(value), got=section)
    return np.asarray(value[section])
