"""Registries: trees of named values that are read, set, listened to and searched by pattern from any thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

from sigmagraph.errors import AttributeValueError, IdentifierError
from sigmagraph.identifiers import path_pattern, split_path
from sigmagraph.training.registry.deliveries import Listener
from sigmagraph.training.registry.entries import (
    Change,
    Entry,
    Leaf,
    Level,
    Tree,
    checked_range,
    checked_tags,
    checked_type,
    checked_value,
    copied,
    is_a,
    one_type,
    unknown,
)
from sigmagraph.training.registry.text import tree_text

_MISSING = object()


class Registry(Mapping[str, Any]):
    """Values by name, and registries within it.

    An identifier is a path such as ``network.layers.1-dense.weights``, as seen from the registry that is asked. A
    pattern names several: between dots, ``*`` stands for any text and ``?`` for a character, ``**`` alone for any
    number of levels; ``*<layer>`` and ``*<layer,dense>`` for registries with these tags. A pattern whose last part is a
    bare wildcard names leaves alone.

    An entry may be live (:meth:`link`): its value is asked for whenever it is read, never when it is only named.

    All methods may be called from any thread. Getters, setters and listeners are called while no lock is held.
    Iterating and ``len`` are about this level only; ``in`` takes paths.

    Args:
        name: what a root is called; a nested registry is called by its key.
        tags: words that patterns can ask for.

    Raises:
        AttributeValueError: the name is no text, or the tags are no words.
    """

    __slots__ = ("_level", "_writable")

    def __init__(self, name: str = "root", *, tags: Iterable[str] = ()) -> None:
        if not isinstance(name, str) or not name:
            raise AttributeValueError("a registry has a name", expected="text", got=repr(name))
        self._level = Level(name, checked_tags(tags), Tree())
        self._writable = True

    @classmethod
    def _of(cls, level: Level, writable: bool) -> Registry:
        registry = cls.__new__(cls)
        registry._level = level
        registry._writable = writable
        return registry

    # What it is.

    @property
    def name(self) -> str:
        """The key under which its parent has it; of a root, what it was called."""
        return self._level.name

    @property
    def path(self) -> str:
        """Its identifier as seen from the root; empty for the root."""
        with self._level.locked():
            return self._level.path()

    @property
    def tags(self) -> tuple[str, ...]:
        """The words that patterns can ask for."""
        return self._level.tags

    @property
    def parent(self) -> Registry | None:
        """The registry that it is in; None for a root."""
        parent = self._level.parent
        return None if parent is None else self._of(parent, self._writable)

    @property
    def root(self) -> Registry:
        """The registry that everything is in."""
        with self._level.locked():
            return self._of(list(self._level.upwards())[-1], self._writable)

    @property
    def writable(self) -> bool:
        """Whether it can be changed through this object; false for what :meth:`read_only` gives."""
        return self._writable

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Registry):
            return NotImplemented
        return self._level is other._level and self._writable == other._writable

    def __hash__(self) -> int:
        return hash((id(self._level), self._writable))

    # Reading.

    def __getitem__(self, identifier: str) -> Any:
        with self._level.locked():
            entry = self._find(identifier)
        return self._read(entry)

    def __contains__(self, identifier: object) -> bool:
        return self._peek(identifier) is not None

    def get(self, identifier: str, default: Any = None) -> Any:
        """The value of an entry, or the default if there is none."""
        entry = self._peek(identifier)
        return default if entry is None else self._read(entry)

    def __iter__(self) -> Iterator[str]:
        with self._level.locked():
            return iter(list(self._level.entries))

    def __len__(self) -> int:
        return len(self._level.entries)

    def __bool__(self) -> bool:
        """A registry is something, even while it is empty."""
        return True

    def describe(self, identifier: str) -> Entry:
        """What is known of an entry, without reading its value.

        Raises:
            IdentifierError: there is none.
        """
        with self._level.locked():
            entry = self._find(identifier)
            if isinstance(entry, Level):
                return Entry(identifier, Registry, settable=False, nested=True, tags=entry.tags)
            settable = self._writable and entry.settable
            return Entry(identifier, entry.type, entry.low, entry.high, settable, entry.get is not None)

    def walk(self) -> Iterator[tuple[str, Callable[[], Any]]]:
        """All leaves of this registry and those in it, as they are now: identifiers, and functions that read them."""
        with self._level.locked():
            leaves = [(name, entry.read) for name, entry in self._level.below() if isinstance(entry, Leaf)]
        return iter(leaves)

    def names(self, pattern: str) -> list[str]:
        """The identifiers that a pattern names; none if there are none. No value is read.

        Raises:
            IdentifierError: this is no pattern.
        """
        compiled = path_pattern(pattern)
        with self._level.locked():
            return [name for name, _ in self._level.matches(compiled)]

    def resolve(self, pattern: str) -> dict[str, Any]:
        """The values that a pattern names, by identifier.

        Raises:
            IdentifierError: this is no pattern, or it names nothing.
        """
        with self._level.locked():
            found = self._matches(pattern)
        return {name: self._read(entry) for name, entry in found}

    def resolve_one(self, pattern: str, default: Any = _MISSING) -> Any:
        """The one value that a pattern names.

        Args:
            pattern: an identifier or a pattern.
            default: what to give if it names nothing.

        Raises:
            IdentifierError: it names nothing and there is no default, or it names several.
        """
        compiled = path_pattern(pattern)
        with self._level.locked():
            found = self._level.matches(compiled)
            if not found and default is _MISSING:
                raise self._nothing(pattern)
        if len(found) > 1:
            names = ", ".join(name for name, _ in found[:8])
            raise IdentifierError(f"the pattern {pattern} names several", expected="one", got=names)
        return self._read(found[0][1]) if found else default

    # Writing.

    def __setitem__(self, identifier: str, value: Any) -> None:
        if isinstance(value, Registry):
            self._attach(identifier, value)
        else:
            self.set(identifier, value)

    def set(
        self,
        identifier: str,
        value: Any,
        type: Any = None,
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Set a value, which makes a new entry if the registry has none of that name.

        Args:
            identifier: the registries on its way have to be there.
            value: what it gets; the setter of a live entry is called with it.
            type: what this and all later values have to be: a class, or a union such as ``float | None``. ``float``
                takes any real number and ``int`` any whole one.
            low: the lower end of the range that a slider should offer; it binds nobody.
            high: its upper end.

        Raises:
            IdentifierError: the identifier is none, a registry on its way is missing, or it names a registry.
            AttributeValueError: the value is of another type, the entry has another type already or cannot be set, or
                the registry is read-only.
        """
        self._refuse_unless_writable(identifier)
        checked_type(type, identifier)
        checked_range(low, high, identifier)
        with self._level.locked() as tree:
            level, name = self._locate(identifier)
            leaf, made = self._leaf_for(level, name, identifier)
            kind = one_type(leaf.type, type, identifier)
            value = self._fitting(leaf, value, kind, identifier)
            leaf.type = kind
            leaf.low = leaf.low if low is None else low
            leaf.high = leaf.high if high is None else high
            if made:
                level.entries[name] = leaf
                level.note_change(name, added=True, nested=False)
            if leaf.get is None:
                leaf.value = value
                level.note_value(name, value)
        if leaf.set is not None:
            leaf.set(value)
            with level.locked() as tree:
                if level.entries.get(name) is leaf:
                    level.note_value(name, value)
        tree.deliveries.deliver()

    def link(
        self,
        identifier: str,
        get: Callable[[], Any],
        set: Callable[[Any], object] | None = None,
        type: Any = None,
        *,
        low: float | None = None,
        high: float | None = None,
    ) -> None:
        """Make a live entry, in place of one that was there.

        Args:
            identifier: the registries on its way have to be there.
            get: gives the value, each time that it is read.
            set: takes a new one; without it the entry cannot be set.
            type: what values have to be that are set.
            low: the lower end of the range that a slider should offer.
            high: its upper end.

        Raises:
            IdentifierError: the identifier is none, a registry on its way is missing, or it names a registry.
            AttributeValueError: the getter or setter cannot be called, or the registry is read-only.
        """
        self._refuse_unless_writable(identifier)
        if not callable(get) or not (set is None or callable(set)):
            raise AttributeValueError(f"{identifier} needs functions", expected="get() and set(value)", got=(get, set))
        checked_type(type, identifier)
        checked_range(low, high, identifier)
        with self._level.locked() as tree:
            level, name = self._locate(identifier)
            _, made = self._leaf_for(level, name, identifier)
            level.entries[name] = Leaf(None, type, low, high, get, set)
            if made:
                level.note_change(name, added=True, nested=False)
        tree.deliveries.deliver()

    def child(self, identifier: str, *, tags: Iterable[str] = ()) -> Registry:
        """The registry of that name within this one; it is made if missing, with those on the way to it.

        Args:
            identifier: a name or a path.
            tags: it has these afterwards, besides those that it had.

        Raises:
            IdentifierError: the identifier is none, or a leaf has a name on its way.
            AttributeValueError: the tags are no words, or it is missing and the registry is read-only.
        """
        wanted = checked_tags(tags)
        with self._level.locked() as tree:
            level = self._level
            for name in split_path(identifier):
                entry = level.entries.get(name)
                if isinstance(entry, Leaf):
                    raise is_a("value", level, name, identifier)
                if entry is None:
                    self._refuse_unless_writable(identifier)
                    entry = level.entries[name] = Level(name, (), tree, level)
                    level.note_change(name, added=True, nested=True)
                level = entry
            missing = [tag for tag in wanted if tag not in level.tags]
            if missing:
                self._refuse_unless_writable(identifier)
                level.tags = (*level.tags, *missing)
        tree.deliveries.deliver()
        return self._of(level, self._writable)

    def __delitem__(self, identifier: str) -> None:
        self._refuse_unless_writable(identifier)
        with self._level.locked() as tree:
            level, name = self._locate(identifier)
            entry = level.entries.pop(name, None)
            if entry is None:
                raise unknown(level, name, identifier)
            _part_from(level, name, entry)
        tree.deliveries.deliver()

    def assign(self, pattern: str, value: Any, add: bool = False, type: Any = None) -> list[str]:
        """Set all entries that a pattern names; nothing is set if one of them refuses the value's type.

        Args:
            pattern: an identifier or a pattern.
            value: what all of them get.
            add: whether the entry is made in every registry that the pattern names without its last part, which must
                be a name and no wildcard.
            type: as for :meth:`set`.

        Returns:
            The identifiers that were set.

        Raises:
            IdentifierError: the pattern names nothing, or a registry.
            AttributeValueError: one of them takes no such value, or cannot be set.
        """
        self._refuse_unless_writable(pattern)
        checked_type(type, pattern)
        with self._level.locked():
            found = self._to_assign(pattern, add)
            for identifier in found:
                level, name = self._locate(identifier)
                leaf, _ = self._leaf_for(level, name, identifier)
                self._fitting(leaf, value, one_type(leaf.type, type, identifier), identifier)
        for identifier in found:
            self.set(identifier, value, type)
        return found

    def touch(self, identifier: str) -> None:
        """Tell listeners that a live entry has another value now.

        Raises:
            IdentifierError: there is no such leaf.
        """
        value = self[identifier]
        with self._level.locked() as tree:
            level, name = self._locate(identifier)
            if isinstance(level.entries.get(name), Level):
                raise is_a("registry", level, name, identifier)
            level.note_value(name, value)
        tree.deliveries.deliver()

    # Listening.

    def listen(self, pattern: str, callback: Callable[[str, Any], object]) -> Callable[[], None]:
        """Have a function called with the identifier and the value of every leaf that is set from now on.

        It is called after the value was set, in the order of setting, by one of the threads that set something. What it
        raises is logged. It hears of leaves that do not exist yet, too, but not of those that come or go within a whole
        registry: see :meth:`watch`.

        Args:
            pattern: which leaves, as seen from this registry.
            callback: takes identifier and value.

        Returns:
            A function that ends it.

        Raises:
            IdentifierError: this is no pattern.
            AttributeValueError: the callback cannot be called.
        """
        compiled, listener = path_pattern(pattern), _listener(callback)
        with self._level.locked():
            self._level.listeners.append((compiled, listener))
        return listener

    def watch(self, callback: Callable[[Change], object]) -> Callable[[], None]:
        """Have a function called with a :class:`Change` for every entry that comes or goes, here or further down.

        A registry that comes or goes with all that it holds is one change.

        Returns:
            A function that ends it.

        Raises:
            AttributeValueError: the callback cannot be called.
        """
        listener = _listener(callback)
        with self._level.locked():
            self._level.watchers.append(listener)
        return listener

    # Copies and views.

    def copy(self, *patterns: str) -> Registry:
        """A deep copy, with types, ranges and tags, without listeners; it is a root.

        Arrays and containers are copied; objects such as networks are referred to, unless they have ``__deepcopy__``.
        Live entries become the values that they have now.

        Args:
            patterns: what to copy; without any, everything.

        Raises:
            IdentifierError: a pattern names nothing.
        """
        with self._level.locked():
            entries = dict(self._level.below())
            if patterns:
                entries = _needed(entries, [name for pattern in patterns for name, _ in self._matches(pattern)])
            result = Registry(self.name, tags=self.tags)
            leaves = []
            for name, entry in entries.items():
                if isinstance(entry, Level):
                    result.child(name, tags=entry.tags)
                else:
                    level, key = result._locate(name)
                    level.entries[key] = leaf = Leaf(None, entry.type, entry.low, entry.high)
                    leaves.append((leaf, entry))
        memo: dict[int, Any] = {}
        for leaf, entry in leaves:
            leaf.value = copied(entry.read(), memo)
        return result

    def __deepcopy__(self, memo: dict[int, Any]) -> Registry:
        return self.copy()

    def read_only(self) -> Registry:
        """The same registry for those who may read it but not change it; what is nested is read-only too."""
        return self._of(self._level, False)

    # Text.

    def __repr__(self) -> str:
        tags = f", tags={self.tags!r}" if self.tags else ""
        return f"<{'' if self._writable else 'read-only '}Registry {self.name!r}{tags}, {len(self)} entries>"

    def __str__(self) -> str:
        """The tree, with types; live entries are not read."""
        with self._level.locked():
            return tree_text(self._level)

    # Inside.

    def _peek(self, identifier: object) -> Level | Leaf | None:
        """The entry of that identifier, if there is one."""
        entry: Level | Leaf | None = self._level
        with self._level.locked():
            for name in identifier.split(".") if isinstance(identifier, str) else ("",):
                entry = entry.entries.get(name) if isinstance(entry, Level) else None
        return entry

    def _read(self, entry: Level | Leaf) -> Any:
        return self._of(entry, self._writable) if isinstance(entry, Level) else entry.read()

    def _refuse_unless_writable(self, identifier: str) -> None:
        if not self._writable:
            raise AttributeValueError("this registry is read-only", got=f"a change of {identifier}")

    def _locate(self, identifier: str) -> tuple[Level, str]:
        """The level that an identifier leads to, and its last part; the lock is held here and below."""
        *above, last = split_path(identifier)
        level = self._level
        for name in above:
            entry = level.entries.get(name)
            if entry is None:
                raise unknown(level, name, identifier)
            if isinstance(entry, Leaf):
                raise is_a("value", level, name, identifier)
            level = entry
        return level, last

    def _find(self, identifier: str) -> Level | Leaf:
        level, name = self._locate(identifier)
        entry = level.entries.get(name)
        if entry is None:
            raise unknown(level, name, identifier)
        return entry

    def _leaf_for(self, level: Level, name: str, identifier: str) -> tuple[Leaf, bool]:
        """The leaf of that name, or a new one that is not in its place yet; and whether it is new."""
        entry = level.entries.get(name)
        if isinstance(entry, Level):
            raise is_a("registry", level, name, identifier)
        return (Leaf(), True) if entry is None else (entry, False)

    def _fitting(self, leaf: Leaf, value: Any, kind: Any, identifier: str) -> Any:
        if isinstance(value, Registry):
            raise AttributeValueError(f"{identifier} is a value", expected="registry[name] = other", got=repr(value))
        if not leaf.settable:
            raise AttributeValueError(f"{identifier} cannot be set: it is a live value without a setter", got=value)
        return checked_value(value, kind, identifier)

    def _matches(self, pattern: str) -> list[tuple[str, Level | Leaf]]:
        found = self._level.matches(path_pattern(pattern))
        if not found:
            raise self._nothing(pattern)
        return found

    def _nothing(self, pattern: str) -> IdentifierError:
        known = [name for name, _ in self._level.below()]
        close = get_close_matches(pattern, known, 3, 0.4) or known[:8]
        return IdentifierError(
            f"the pattern {pattern} names nothing in {self._level.path() or self.name}",
            expected=", ".join(close) or "it is empty",
            got=pattern,
        )

    def _to_assign(self, pattern: str, add: bool) -> list[str]:
        """The identifiers that :meth:`assign` sets."""
        if not add:
            return [name for name, _ in self._matches(pattern)]
        above, _, last = pattern.rpartition(".")
        split_path(last)
        if not above:
            return [last]
        found = [f"{path}.{last}" for path in self._level.levels(path_pattern(above))]
        if not found:
            raise self._nothing(above)
        return found

    def _attach(self, identifier: str, other: Registry) -> None:
        """Put a registry that is in no other one under a name, in place of one that was there."""
        self._refuse_unless_writable(identifier)
        joining = other._level
        # Whoever holds this lock is the only one that waits for the locks of two trees.
        with _adoption(), self._level.locked() as tree, joining.locked():
            level, name = self._locate(identifier)
            old = level.entries.get(name)
            if isinstance(old, Leaf):
                raise is_a("value", level, name, identifier)
            if old is joining:
                return
            if joining.parent is not None or any(above is joining for above in level.upwards()):
                raise IdentifierError(
                    "a registry has one place", expected="a registry that is in no other one", got=repr(other)
                )
            if old is not None:
                _part_from(level, name, old)
            joining.name, joining.parent = name, level
            joining.join(tree)
            level.entries[name] = joining
            level.note_change(name, added=True, nested=True)
        tree.deliveries.deliver()


@cache
def _adoption() -> threading.Lock:
    return threading.Lock()


def _part_from(level: Level, name: str, entry: Level | Leaf) -> None:
    """Note that an entry has gone; a registry is a root from now on, and its former tree's lock stays its own."""
    if isinstance(entry, Level):
        entry.parent = None
    level.note_change(name, added=False, nested=isinstance(entry, Level))


def _listener(callback: Callable[..., object]) -> Listener:
    if not callable(callback):
        raise AttributeValueError("a listener is a function", expected="something to call", got=repr(callback))
    return Listener(callback)


def _needed(entries: dict[str, Level | Leaf], wanted: list[str]) -> dict[str, Level | Leaf]:
    """The entries of these names, what they hold, and what they are in."""
    return {
        name: entry
        for name, entry in entries.items()
        if any(name == w or name.startswith(w + ".") or w.startswith(name + ".") for w in wanted)
    }
