"""Identifiers such as ``1-dense.weights``, and patterns that name several of them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase

from sigmagraph.errors import IdentifierError

_WILDCARD = re.compile(r"\[[^]]*\]|[*?]")


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
