"""What hooks write down that are told identifiers and patterns of what they are to write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sigmagraph.training.hooking.hook import Moment


def listed(now: Moment, patterns: Iterable[str]) -> dict[str, Any]:
    """The values that identifiers and patterns name, each once, in the order of the patterns.

    Raises:
        IdentifierError: an identifier has no value.
    """
    found: dict[str, Any] = {}
    for pattern in patterns:
        found |= now.find(pattern) or ({} if "*" in pattern or "?" in pattern else {pattern: now[pattern]})
    return found
