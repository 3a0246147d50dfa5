"""How values of a training are shown in a line: numbers shortly, arrays by shape, mean and range."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np

from sigmagraph.training.hooking.criteria import is_numeric

NDArray: TypeAlias = "np.ndarray[Any, Any]"

_SHORT = ".4g"


def shown(value: Any, number_format: str | None = None) -> str:
    """A value in a few characters.

    Args:
        value: a number, an array of numbers, or anything else that has a text.
        number_format: how numbers are shown, as in ``format(number, ".3f")``; None for four digits that count.
    """
    if value is None or isinstance(value, (str, bool, np.bool_)):
        return str(value)
    array = np.asarray(value)
    if is_numeric(array.dtype):
        return _number(array.reshape(())[()], number_format) if array.size == 1 else _array(array, number_format)
    return str(value)


def _number(value: Any, number_format: str | None) -> str:
    if number_format is None and isinstance(value, np.integer):
        return str(value)
    return format(float(value), number_format or _SHORT)


def _array(array: NDArray, number_format: str | None) -> str:
    head = f"{array.dtype}{list(array.shape)}"
    if not array.size:
        return head
    wide = array.astype(np.float64)
    # Of values that are not finite there is no mean worth showing, but how many there are is.
    finite = wide[np.isfinite(wide)]
    strange = wide.size - finite.size
    note = f", {strange} not finite" if strange else ""
    if not finite.size:
        return head + note
    mean, low, high = (_number(number, number_format) for number in (finite.mean(), finite.min(), finite.max()))
    return f"{head} mean {mean}, {low} to {high}{note}"
