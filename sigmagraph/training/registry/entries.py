"""What a registry is made of: nested levels and leaves, the tree that they share a lock by, and copies of values."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Integral, Real
from typing import Any

import numpy as np

from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.identifiers import PathPattern
from sigmagraph.training.registry.deliveries import Deliveries, Listener


@dataclass(frozen=True, slots=True)
class Change:
    """What became of the hierarchy.

    Attributes:
        identifier: of the entry, as seen from the registry that is watched.
        added: whether it came; it went otherwise.
        nested: whether it is a nested registry; it is a leaf otherwise.
    """

    identifier: str
    added: bool
    nested: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """What is known of an entry of a registry, without its value.

    Attributes:
        identifier: as seen from the registry that was asked.
        type: what its values have to be; None for anything.
        low, high: the range that a slider should offer. It is advice: other values can be set.
        settable: whether a value can be set.
        live: whether the value is asked for each time it is read.
        nested: whether it is a nested registry.
        tags: of a nested registry.
    """

    identifier: str
    type: Any = None
    low: float | None = None
    high: float | None = None
    settable: bool = True
    live: bool = False
    nested: bool = False
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class Leaf:
    """A value with its type and range, or a live one: then ``get`` (and perhaps ``set``) stand for the value."""

    value: Any = None
    type: Any = None
    low: float | None = None
    high: float | None = None
    get: Callable[[], Any] | None = None
    set: Callable[[Any], object] | None = None

    @property
    def settable(self) -> bool:
        return self.get is None or self.set is not None

    def read(self) -> Any:
        """The value. The caller holds no lock, because a live one runs code that is not ours."""
        return self.value if self.get is None else self.get()


class Tree:
    """What all levels of a tree have in common: one lock, and one order of what listeners are told."""

    __slots__ = ("deliveries", "lock")

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.deliveries = Deliveries()


@dataclass(slots=True, eq=False)
class Level:
    """A level of a tree: entries by name, in the order in which they came."""

    name: str
    tags: tuple[str, ...]
    tree: Tree
    parent: Level | None = None
    entries: dict[str, Level | Leaf] = field(default_factory=dict)
    listeners: list[tuple[PathPattern, Listener]] = field(default_factory=list)
    watchers: list[Listener] = field(default_factory=list)

    @contextmanager
    def locked(self) -> Iterator[Tree]:
        """Hold the lock of the tree; it is another tree if this level was moved while the caller waited."""
        while True:
            tree = self.tree
            with tree.lock:
                if self.tree is tree:
                    yield tree
                    return

    def upwards(self) -> Iterator[Level]:
        """This level and all above it."""
        level: Level | None = self
        while level is not None:
            yield level
            level = level.parent

    def path(self) -> str:
        """Where it is, from the root, which has no name in it."""
        return ".".join(reversed([level.name for level in self.upwards() if level.parent is not None]))

    def join(self, tree: Tree) -> None:
        """Make this level and all below it part of a tree; the caller holds the locks of both."""
        self.tree = tree
        for entry in self.entries.values():
            if isinstance(entry, Level):
                entry.join(tree)

    def below(self, prefix: str = "") -> Iterator[tuple[str, Level | Leaf]]:
        """All entries below, each level before what it holds."""
        for name, entry in self.entries.items():
            yield prefix + name, entry
            if isinstance(entry, Level):
                yield from entry.below(f"{prefix}{name}.")

    def matches(self, pattern: PathPattern) -> list[tuple[str, Level | Leaf]]:
        """The entries that a pattern names; nested levels only where its last part says their name or tags."""
        found = self._search(pattern, pattern.start, "")
        return [(path, entry) for path, entry in found if pattern.names_nested or isinstance(entry, Leaf)]

    def levels(self, pattern: PathPattern) -> list[str]:
        """The paths of the nested levels that a pattern may stand for, a bare wildcard at its end included."""
        return [path for path, entry in self._search(pattern, pattern.start, "") if isinstance(entry, Level)]

    def _search(self, pattern: PathPattern, place: tuple[int, ...], prefix: str) -> Iterator[tuple[str, Level | Leaf]]:
        only = pattern.only(place)
        for name in self.entries if only is None else [only]:
            entry = self.entries.get(name)
            if entry is None:
                continue
            after = pattern.step(place, name, entry.tags if isinstance(entry, Level) else None)
            if pattern.ends(after):
                yield prefix + name, entry
            if isinstance(entry, Level) and after:
                yield from entry._search(pattern, after, f"{prefix}{name}.")

    def note_value(self, name: str, value: Any) -> None:
        """Put the new value of a leaf of this level before all listeners that it concerns; the lock is held."""
        path: list[tuple[str, tuple[str, ...] | None]] = [(name, None)]
        for level in self.upwards():
            level.listeners = [(pattern, listener) for pattern, listener in level.listeners if not listener.ended]
            for pattern, listener in level.listeners:
                place = pattern.start
                for part, tags in path:
                    place = pattern.step(place, part, tags)
                if pattern.ends(place):
                    self.tree.deliveries.put(listener, ".".join(part for part, _ in path), value)
            path.insert(0, (level.name, level.tags))

    def note_change(self, name: str, *, added: bool, nested: bool) -> None:
        """Put what came to this level or went from it before all watchers; the lock is held."""
        identifier = name
        for level in self.upwards():
            level.watchers = [watcher for watcher in level.watchers if not watcher.ended]
            for watcher in level.watchers:
                self.tree.deliveries.put(watcher, Change(identifier, added, nested))
            identifier = f"{level.name}.{identifier}"


def checked_tags(tags: Iterable[str]) -> tuple[str, ...]:
    """Tags in their order, each once.

    Raises:
        AttributeValueError: they are no sequence of words, or one has a character that means something in a pattern.
    """
    found = tuple(dict.fromkeys(tags)) if not isinstance(tags, str) else ()
    if isinstance(tags, str) or not all(isinstance(tag, str) and tag.strip() == tag != "" for tag in found):
        raise AttributeValueError("tags are several words", expected="such as ('layer', 'dense')", got=repr(tags))
    if any(character in tag for tag in found for character in ",<>"):
        raise AttributeValueError("a tag has a character that parts tags", expected="none of ,<>", got=repr(tags))
    return found


def checked_type(kind: Any, identifier: str) -> Any:
    """A type, if values can be checked against it.

    Raises:
        AttributeValueError: they cannot.
    """
    try:
        isinstance(None, object if kind is None else kind)
    except TypeError as error:
        raise AttributeValueError(
            f"values of {identifier} cannot be checked against this type",
            expected="a class or a union of classes",
            got=repr(kind),
        ) from error
    return kind


def checked_value(value: Any, kind: Any, identifier: str) -> Any:
    """A value as the type of its entry wants it.

    ``float`` takes any real number and ``int`` any whole one, NumPy's included, and both make it Python's own; neither
    takes a bool. Other types take their instances.

    Raises:
        AttributeValueError: it is of another type.
    """
    if kind is None:
        return value
    if kind is float or kind is int:
        fits = isinstance(value, Real if kind is float else Integral) and not isinstance(value, bool)
    else:
        fits = isinstance(value, (bool, np.bool_) if kind is bool else kind)
    if not fits:
        raise AttributeValueError(
            f"{identifier} takes values of a type",
            expected=kind.__name__ if isinstance(kind, type) else kind,
            got=f"{value!r:.100} ({type(value).__name__})",
        )
    return kind(value) if kind in (float, int, bool) else value


def checked_range(low: float | None, high: float | None, identifier: str) -> None:
    """Refuse a range that has no width.

    Raises:
        AttributeValueError: it is none.
    """
    for bound in (low, high):
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, Real)):
            raise AttributeValueError(f"a bound of {identifier} is no number", expected="a number", got=repr(bound))
    if low is not None and high is not None and not low < high:
        raise AttributeValueError(f"{identifier} has no range", expected="low < high", got=f"{low!r}, {high!r}")


def copied(value: Any, memo: dict[int, Any]) -> Any:
    """A deep copy of arrays, of containers, and of what says itself how it is copied; the rest stays what it is.

    Networks, trainers and compiled functions are of that rest: what holds them in a registry refers to them.
    """
    if id(value) in memo:
        return memo[id(value)]
    memo.setdefault(id(memo), []).append(value)  # what live entries gave has to live on, or its id is another's soon
    result = value
    if isinstance(value, np.ndarray) or hasattr(type(value), "__deepcopy__"):
        result = copy.deepcopy(value, memo)
    elif type(value) is dict:
        result = memo[id(value)] = {}
        result.update((key, copied(item, memo)) for key, item in value.items())
    elif type(value) is list:
        result = memo[id(value)] = []
        result.extend(copied(item, memo) for item in value)
    elif type(value) is tuple:
        result = tuple(copied(item, memo) for item in value)
    elif type(value) is set:
        result = set(value)
    memo[id(value)] = result
    return result


def unknown(level: Level, name: str, identifier: str) -> IdentifierError:
    """The error that says that a level has no such entry, and which are like it."""
    from difflib import get_close_matches

    known = list(level.entries)
    close = get_close_matches(name, known, 3, 0.4) or known[:8]
    where = level.path() or f"the registry {level.name!r}"
    return IdentifierError(f"{where} has no {name!r}", expected=", ".join(close) or "it is empty", got=identifier)


def one_type(old: Any, new: Any, identifier: str) -> Any:
    """The type of an entry that has one perhaps and is to get one perhaps.

    Raises:
        AttributeValueError: they differ.
    """
    if old is not None and new is not None and old != new:
        raise AttributeValueError(
            f"{identifier} has another type already", expected=old, got=new, hint="delete the entry first"
        )
    return old if new is None else new


def is_a(what: str, level: Level, name: str, identifier: str) -> IdentifierError:
    """The error that says that an entry is a ``registry`` or a ``value`` where the other one is needed."""
    other = "registry" if what == "value" else "value"
    path = ".".join(part for part in (level.path(), name) if part)
    return IdentifierError(f"{path} is a {what}", expected=f"a {other}", got=identifier)
