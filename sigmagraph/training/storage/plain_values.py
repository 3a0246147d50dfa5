"""Plain values as JSON: numbers, text, lists and mappings by text.

What JSON cannot hold, such as an infinite number, is written as an object with one key that says what it is.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from sigmagraph.errors import AttributeValueError

_FLOAT, _INT, _OBJECT = "__float__", "__int__", "__object__"
_MARKS = (_FLOAT, _INT, _OBJECT)
_BITS = 1024  # Python writes and reads longer integers in decimal only up to a limit


def as_json(value: Any, where: str, *, indent: int | None = None) -> str:
    """A value as JSON in ASCII.

    Args:
        value: NumPy's scalars become Python's, tuples become lists.
        where: what errors call it.
        indent: of each level; None for one line.

    Raises:
        AttributeValueError: it holds something that is no plain value.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    try:
        return json.dumps(_plain(value, where), allow_nan=False, separators=separators, indent=indent)
    except RecursionError as error:
        raise AttributeValueError(f"{where} is nested too deeply", expected="plain values") from error


def from_json(text: str | bytes) -> Any:
    """The value that :func:`as_json` has written.

    Raises:
        ValueError: it is no such text.
    """
    try:
        return json.loads(text, object_hook=_object)
    except (TypeError, RecursionError, OverflowError) as error:
        raise ValueError(str(error)) from error


def _plain(value: Any, where: str) -> Any:
    """A value as JSON can hold it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: value.hex()}
    if isinstance(value, int) and value.bit_length() > _BITS:
        return {_INT: hex(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        items = {_key(key, where): _plain(item, f"{where}.{key}") for key, item in value.items()}
        return {_OBJECT: [list(item) for item in items.items()]} if _marked(items) else items
    if isinstance(value, (list, tuple)):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    raise AttributeValueError(
        f"{where} is no plain value", expected="numbers, text, lists and mappings of them", got=f"{value!r:.80}"
    )


def _key(key: Any, where: str) -> str:
    if not isinstance(key, str):
        raise AttributeValueError(f"{where} has a key that is no text", expected="text", got=repr(key))
    return key


def _marked(found: Mapping[str, Any]) -> bool:
    return len(found) == 1 and next(iter(found)) in _MARKS


def _object(found: dict[str, Any]) -> Any:
    if not _marked(found):
        return found
    ((mark, value),) = found.items()
    if mark == _FLOAT:
        return float.fromhex(value)
    return int(value, 16) if mark == _INT else dict(value)
