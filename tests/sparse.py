"""Parameters of tests that are combined: by default each value is tried with one of the others, and all pairs by `make extended`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest


def pairs(outer: Mapping[str, Any] | Sequence[Any], inner: Mapping[str, Any] | Sequence[Any]) -> list[Any]:
    """All pairs of two parameters for `pytest.mark.parametrize`.

    Args:
        outer, inner: values by their names, or values that are named by what they print.
    """
    rows, columns = _named(outer), _named(inner)
    count = max(len(rows), len(columns))
    usual = {(i % len(rows), i % len(columns)) for i in range(count)}
    return [
        pytest.param(a, b, id=f"{one}-{other}", marks=() if (i, j) in usual else pytest.mark.extended)
        for i, (one, a) in enumerate(rows)
        for j, (other, b) in enumerate(columns)
    ]


def some(values: Mapping[str, Any] | Sequence[Any], usual: Iterable[str]) -> list[Any]:
    """Values for `pytest.mark.parametrize`, of which only those of some names are tried by default."""
    named, wanted = _named(values), list(usual)
    assert {*wanted} <= {name for name, _ in named}
    return [pytest.param(v, id=name, marks=() if name in wanted else pytest.mark.extended) for name, v in named]


def _named(values: Mapping[str, Any] | Sequence[Any]) -> list[tuple[str, Any]]:
    return [*values.items()] if isinstance(values, Mapping) else [(str(v), v) for v in values]
