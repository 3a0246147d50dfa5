"""Identifiers such as ``1-dense.weights``, patterns that name several of them, and rules by pattern.

There are two kinds of patterns. Those of :func:`matching` are for flat lists of identifiers, and ``*`` stands for any
text, dots included. Those of :func:`path_pattern` are for trees: each part between dots stands for one level.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property, lru_cache
from typing import TypeVar

from sigmagraph.errors import IdentifierError

_WILDCARD = re.compile(r"\[[^]]*\]|[*?]")
_SPECIAL = re.compile(r"[.*?<>]")
_PART = re.compile(r"([^<>]*)(?:<([^<>]*)>)?")
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


def split_path(identifier: str) -> tuple[str, ...]:
    """The parts of a dotted identifier, none of which has a character that means something in a pattern.

    Raises:
        IdentifierError: it is no text, a part is empty, or a part has one of ``*?<>``.
    """
    parts = tuple(identifier.split(".")) if isinstance(identifier, str) else ()
    if not all(parts) or not parts:
        raise IdentifierError("this is no identifier", expected="text such as 'network.name'", got=repr(identifier))
    if _SPECIAL.search(identifier.replace(".", "")):
        raise IdentifierError(
            "this is a pattern, not an identifier", expected="no character of *?<>", got=repr(identifier)
        )
    return parts


@dataclass(frozen=True, slots=True)
class PatternPart:
    """What stands between two dots of a pattern.

    Attributes:
        text: with wildcards, without tags.
        regex: of the text; None for a literal.
        tags: what a nested level has to carry, all of them; empty for no demand.
        deep: whether it is ``**``, any number of levels.
    """

    text: str
    regex: re.Pattern[str] | None = None
    tags: tuple[str, ...] = ()
    deep: bool = False

    def fits(self, name: str, tags: Sequence[str] | None) -> bool:
        """Whether it stands for a level of that name and tags; a leaf has None for tags."""
        if self.tags and (tags is None or not all(tag in tags for tag in self.tags)):
            return False
        return name == self.text if self.regex is None else self.regex.fullmatch(name) is not None


@dataclass(frozen=True)
class PathPattern:
    """A pattern over the paths of a tree, to be followed level by level.

    A place in the pattern is a tuple of the numbers of the parts that may come next, since ``**`` leaves several open.
    """

    text: str
    parts: tuple[PatternPart, ...]

    @cached_property
    def start(self) -> tuple[int, ...]:
        """The place before the first level."""
        return self._opened([0])

    @property
    def literal(self) -> bool:
        """Whether it names at most one path, as an identifier does."""
        return all(part.regex is None and not part.deep for part in self.parts)

    @property
    def names_nested(self) -> bool:
        """Whether it may end at a nested level: where its last part says its name or its tags."""
        last = self.parts[-1]
        return bool(last.tags) or (last.regex is None and not last.deep)

    def step(self, place: tuple[int, ...], name: str, tags: Sequence[str] | None) -> tuple[int, ...]:
        """The place after a level of that name and tags (None for a leaf); empty if the pattern has no such path."""
        following = []
        for at in place:
            if at < len(self.parts):
                part = self.parts[at]
                if part.deep:
                    following.append(at)
                elif part.fits(name, tags):
                    following.append(at + 1)
        return self._opened(following)

    def matches(self, identifier: str) -> bool:
        """Whether it names the leaf of an identifier, in registries that carry no tags."""
        *levels, leaf = identifier.split(".")
        place = self.start
        for level in levels:
            place = self.step(place, level, ())
        return self.ends(self.step(place, leaf, None))

    def only(self, place: tuple[int, ...]) -> str | None:
        """The one name that may come next, if there is but one."""
        if len(place) != 1 or place[0] >= len(self.parts):
            return None
        part = self.parts[place[0]]
        return part.text if part.regex is None and not part.deep else None

    def ends(self, place: tuple[int, ...]) -> bool:
        """Whether a path may end here."""
        return len(self.parts) in place

    def _opened(self, places: list[int]) -> tuple[int, ...]:
        """With the places behind every ``**``, which may stand for no level at all."""
        found: list[int] = []
        for at in places:
            while at not in found:
                found.append(at)
                if at < len(self.parts) and self.parts[at].deep:
                    at += 1
        return tuple(found)


def path_pattern(text: str) -> PathPattern:
    """Read a pattern over paths.

    Between dots, ``*`` stands for any text and ``?`` for a character; ``**`` alone for any number of levels, none
    included; ``<a,b>`` behind a part asks for a nested level that carries all these tags. All else stands for itself.

    Raises:
        IdentifierError: the text is no such pattern.
    """
    if not isinstance(text, str) or not text:
        raise IdentifierError("this is no pattern", expected="text such as 'network.layers.*.weights'", got=repr(text))
    return _compiled(text)


@lru_cache(maxsize=1024)
def _compiled(text: str) -> PathPattern:
    return PathPattern(text, tuple(_part(part, text) for part in text.split(".")))


def _part(part: str, pattern: str) -> PatternPart:
    if part == "**":
        return PatternPart(part, deep=True)
    found = _PART.fullmatch(part)
    if "**" in part:
        raise IdentifierError(
            "** stands alone between dots", expected="such as '**.weights' or '**.*<layer>'", got=repr(pattern)
        )
    if found is None or not found[1]:
        raise IdentifierError(
            "a part of this pattern cannot be read", expected="such as 'fc*' or '*<layer>'", got=repr(pattern)
        )
    tags = tuple(tag.strip() for tag in found[2].split(",")) if found[2] is not None else ()
    if not all(tags):
        raise IdentifierError("a tag of this pattern is empty", expected="such as '*<layer,dense>'", got=repr(pattern))
    regex = None
    if "*" in found[1] or "?" in found[1]:
        rules = {"*": ".*", "?": "."}
        regex = re.compile("".join(rules.get(character, re.escape(character)) for character in found[1]), re.DOTALL)
    return PatternPart(found[1], regex, tags)
