"""Identifiers such as ``1-dense.weights``, patterns that name several of them, and rules by pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TypeVar

from sigmagraph.errors import IdentifierError

_WILDCARD = re.compile(r"\[[^]]*\]|[*?]")
T = TypeVar("T")


def matching(pattern: str, identifiers: Iterable[str]) -> list[str]:
    """The identifiers that a pattern names, in their order: ``*`` and ``?`` stand for any text and any character.

    Raises:
        IdentifierError: there are none.
    """
    known = list(identifiers)
    if not isinstance(pattern, str):
        raise IdentifierError("this is no pattern", expected="text such as '*.weights'", got=repr(pattern))
    found = [identifier for identifier in known if fnmatchcase(identifier, pattern)]
    if not found:
        close = get_close_matches(pattern, known, 3, 0.4) or known
        raise IdentifierError("the pattern names nothing", expected=", ".join(close) or "any identifier", got=pattern)
    return found


def specificity(pattern: str) -> int:
    """How much a pattern says: the number of characters that stand for themselves."""
    return len(_WILDCARD.sub("", pattern))


def most_specific(identifier: str, rules: Sequence[tuple[str, T]]) -> tuple[str, T] | None:
    """The rule ``(pattern, what)`` that counts for an identifier: the latest of the most specific ones that name it."""
    fitting = [rule for rule in rules if fnmatchcase(identifier, rule[0])]
    return max(reversed(fitting), key=lambda rule: specificity(rule[0]), default=None)
