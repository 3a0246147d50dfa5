"""Writes the pieces that both textual forms share: literals, strings, locations."""

from __future__ import annotations

import math

from sigmagraph.dtypes import F64, DType
from sigmagraph.location import Location

_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", '"': '\\"', "\\": "\\\\"}


def string(text: str) -> str:
    """A string in double quotes, with escapes."""
    return '"' + "".join(_ESCAPES.get(ch, ch) for ch in text) + '"'


def number(value: bool | int | float) -> str:
    """A literal that reads back to the same value; floats always show a point, an exponent, or are inf or nan."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return "inf" if value > 0 else "-inf"
    return repr(value)


def typed(value: bool | int | float, dtype: DType) -> str:
    """A literal with its element type, as kernels write constants; floats as short as the type allows."""
    if dtype.is_float and dtype is not F64:
        short = float(str(dtype.numpy.type(value)))
        if dtype.numpy.type(short) == value:
            value = short
    return f"{number(value)}:{dtype}"


def location(place: Location) -> str:
    """``loc("file":line "scope" grad)``, or nothing for an unknown place."""
    if not place:
        return ""
    parts = [f"{string(place.file)}:{place.line}"] if place.file else []
    if place.scope:
        parts.append(string(place.scope) if place.file else f"scope {string(place.scope)}")
    if place.gradient:
        parts.append("grad")
    return f"loc({' '.join(parts)})"
