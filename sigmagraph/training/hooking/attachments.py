"""The hooks of a trainer: in which order they fire, when each is due, what they read, and what they remember."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from sigmagraph.errors import HookError, IdentifierError
from sigmagraph.identifiers import path_pattern
from sigmagraph.training.hooking.hook import Hook, State
from sigmagraph.training.hooking.timing import TimeScale

GLOBAL = "global"


@dataclass(eq=False, slots=True)
class Place:
    """What is remembered of a hook at one place: for a worker, or for all of them together.

    Attributes:
        seen: events of the hook's kind so far.
        fired: how often the hook was due.
        state: what the hook remembers.
        criterion: what its criterion remembers.
    """

    state: State
    criterion: State
    seen: int = 0
    fired: int = 0

    def document(self) -> dict[str, Any]:
        """Everything in plain values."""
        return {"seen": self.seen, "fired": self.fired, "state": self.state, "criterion": self.criterion}


@dataclass(eq=False, slots=True)
class Attachment:
    """A hook that is attached.

    Attributes:
        hook: what is attached.
        key: tells it from all others, in checkpoints too.
        asked: how often it was added by the user.
        users: the attachments that need it.
        places: what is remembered, by place.
        reads: the identifiers behind what the hook and its criterion read, once they are known.
        open: whether the hook was told that it is attached.
    """

    hook: Hook
    key: str
    asked: int = 0
    users: list[Attachment] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    reads: tuple[str, ...] | None = None
    open: bool = False

    def place(self, name: str) -> Place:
        """What is remembered at a place."""
        if name not in self.places:
            criterion = self.hook.on
            self.places[name] = Place(self.hook.initial(), criterion.initial() if criterion else {})
        return self.places[name]

    def due(self, name: str) -> bool:
        """Whether the next event of its kind is one at which it fires."""
        place = self.place(name)
        return self.hook.time_step.due(place.seen, place.fired)

    @property
    def spent(self) -> bool:
        """Whether it will never fire again, at any place."""
        step = self.hook.time_step
        return bool(self.places) and all(step.spent(place.fired) for place in self.places.values())

    def patterns(self) -> tuple[str, ...]:
        """What the hook and its criterion read."""
        criterion = self.hook.on
        return tuple(dict.fromkeys((*self.hook.reads(), *(criterion.reads() if criterion else ()))))


class Attachments:
    """All hooks of a trainer, in the order in which they fire."""

    def __init__(self) -> None:
        self._all: list[Attachment] = []
        self._numbers: dict[str, int] = {}

    def __iter__(self) -> Iterator[Attachment]:
        return iter(tuple(self._all))

    def __len__(self) -> int:
        return len(self._all)

    def add(self, hook: Hook) -> Attachment:
        """Attach a hook, and what it requires; an equal one that is attached already stands for it.

        Raises:
            HookError: it requires itself, or a hook that fires less often than itself or that runs elsewhere.
        """
        before = list(self._all)
        try:
            attachment = self._add(hook, ())
            self._all = _ordered(self._all)
        except HookError:
            self._all = before
            for known in before:
                known.users = [user for user in known.users if user in before]
            raise
        attachment.asked += 1
        return attachment

    def _add(self, hook: Hook, above: tuple[Hook, ...]) -> Attachment:
        if hook in above:
            chain = " -> ".join(h.label for h in (*above, hook))
            raise HookError(f"the hook {hook.label} requires itself", expected="no circle", got=chain)
        known = next((a for a in self._all if a.hook == hook), None)
        if known is not None:
            return known
        attachment = Attachment(hook, self._key(hook))
        for required in hook.requires():
            _check_required(hook, required)
            self._add(required, (*above, hook)).users.append(attachment)
        self._all.append(attachment)
        return attachment

    def remove(self, hook: Hook) -> list[Attachment]:
        """Take off a hook, and what nobody needs any more; the attachments that went.

        Raises:
            IdentifierError: it is not attached.
        """
        found = next((a for a in self._all if a.hook == hook and a.asked), None)
        if found is None:
            raise IdentifierError("this hook is not attached", expected=self._labels(), got=repr(hook))
        found.asked -= 1
        return self._sweep()

    def drop(self, attachment: Attachment) -> list[Attachment]:
        """Take off an attachment that has done its work."""
        attachment.asked = 0
        return self._sweep()

    def _sweep(self) -> list[Attachment]:
        gone: list[Attachment] = []
        while idle := [a for a in self._all if not a.asked and not a.users]:
            for attachment in idle:
                self._all.remove(attachment)
                for other in self._all:
                    other.users = [user for user in other.users if user is not attachment]
            gone += idle
        return gone

    def resolve(self, named: Callable[[str], Collection[str]], known: Callable[[], Collection[str]]) -> None:
        """Find the identifiers behind what hooks read.

        Args:
            named: the identifiers of the trainer's registry that a pattern names.
            known: all of them, for errors.

        Raises:
            IdentifierError: a hook reads what neither the registry nor another hook offers.
        """
        provided = dict.fromkeys(name for a in self._all for name in a.hook.provides())
        for attachment in self._all:
            found: dict[str, None] = {}
            for pattern in attachment.patterns():
                matcher = path_pattern(pattern)
                names = [*named(pattern), *(name for name in provided if matcher.matches(name))]
                if not names and attachment.hook.strict:
                    raise _nothing(attachment, pattern, [*known(), *provided])
                found |= dict.fromkeys(names)
            attachment.reads = tuple(found)

    def fetched(self, scale: TimeScale, places: Collection[str]) -> Iterator[str]:
        """What is read by hooks that are due at the next event of a kind."""
        for attachment in self._all:
            hook = attachment.hook
            if hook.time_step.scale is scale and any(attachment.due(p) for p in _places(hook, places)):
                yield from attachment.reads or ()

    def documents(self) -> dict[str, Any]:
        """What all hooks remember, in plain values, by key."""
        return {a.key: {name: place.document() for name, place in a.places.items()} for a in self._all}

    def recall(self, documents: Mapping[str, Any]) -> list[str]:
        """Let hooks remember what stands in a document; the keys of those that are not attached."""
        known = {a.key: a for a in self._all}
        for key, places in documents.items():
            if key in known:
                known[key].places = {
                    name: Place(dict(p["state"]), dict(p["criterion"]), p["seen"], p["fired"])
                    for name, p in places.items()
                }
        for key, attachment in known.items():
            if key not in documents:
                attachment.places.clear()
        return [key for key in documents if key not in known]

    def forget(self) -> None:
        """Let all hooks begin anew."""
        for attachment in self._all:
            attachment.places.clear()

    def _key(self, hook: Hook) -> str:
        number = self._numbers.get(hook.label, 0)
        self._numbers[hook.label] = number + 1
        return f"{hook.label}.{number}" if number else hook.label

    def _labels(self) -> str:
        return ", ".join(a.hook.label for a in self._all) or "none"


def _places(hook: Hook, workers: Collection[str]) -> Collection[str]:
    return workers if hook.scope == "local" else (GLOBAL,)


def _nothing(attachment: Attachment, pattern: str, known: Collection[str]) -> IdentifierError:
    close = get_close_matches(pattern, known, 3, 0.4)
    return IdentifierError(
        f"the hook {attachment.hook.label} reads what nothing offers",
        expected=", ".join(close) or "an identifier of the trainer's registry, or what another hook provides",
        got=pattern,
    )


def _check_required(hook: Hook, required: Hook) -> None:
    if required.background != hook.background:
        raise HookError(
            f"the hook {hook.label} requires {required.label}, which runs elsewhere",
            expected="both in the background, or none",
            got=f"background={required.background}",
        )
    mine, theirs = hook.time_step, required.time_step
    # Events are as fine as their place here; between two of a kind that is finer there may be one of the other.
    grain = [TimeScale.ITERATION, TimeScale.EPOCH]
    finer = theirs.scale in grain[: grain.index(mine.scale)] if mine.scale in grain else theirs.scale in grain
    if not finer and (mine.scale is not theirs.scale or mine.count % theirs.count):
        raise HookError(
            f"the hook {hook.label} requires {required.label}, which fires at other times",
            expected=f"as often as {mine}, or more often",
            got=theirs,
        )


def _ordered(attachments: list[Attachment]) -> list[Attachment]:
    """Those that others need before these, and by priority where there is a choice.

    Raises:
        HookError: they need each other, or a hook needs what another one finds out in the background.
    """
    place = {id(a): number for number, a in enumerate(attachments)}
    before = {number: _needed(a, attachments, place) for number, a in enumerate(attachments)}
    ready = [(a.hook.priority, number) for number, a in enumerate(attachments) if not before[number]]
    heapq.heapify(ready)
    out: list[Attachment] = []
    while ready:
        _, number = heapq.heappop(ready)
        out.append(attachments[number])
        for other, needed in before.items():
            if number in needed:
                needed.remove(number)
                if not needed:
                    heapq.heappush(ready, (attachments[other].hook.priority, other))
    if len(out) < len(attachments):
        left = [a.hook.label for a in attachments if a not in out]
        raise HookError("hooks read what the others of them provide", expected="no circle", got=", ".join(left))
    return out


def _needed(attachment: Attachment, attachments: list[Attachment], place: Mapping[int, int]) -> list[int]:
    """The numbers of the attachments that have to fire before one of them."""
    matchers = [path_pattern(pattern) for pattern in attachment.patterns()]
    numbers = []
    for other in attachments:
        reads = any(m.matches(name) for m in matchers for name in other.hook.provides())
        if other is attachment or not (attachment in other.users or reads):
            continue
        if reads and other.hook.background and not attachment.hook.background:
            raise HookError(
                f"the hook {attachment.hook.label} reads what {other.hook.label} finds out in the background",
                expected="both in the background",
                got="one of them",
            )
        numbers.append(place[id(other)])
    return numbers
