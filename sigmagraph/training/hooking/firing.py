"""Fires hooks: at the right events, in the right order, with the values that they declared, and without harm."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from copy import deepcopy
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np

from sigmagraph.errors import HookError, IdentifierError, SigmaError
from sigmagraph.training.hooking.attachments import GLOBAL, Attachment, Attachments, Place
from sigmagraph.training.hooking.hook import Hook, Moment, Training
from sigmagraph.training.hooking.timing import TimeScale

OnError: TypeAlias = Literal["raise", "log"]
# The value of an identifier, for a worker or for all of them.
Read: TypeAlias = Callable[[str, int | None], Any]
Give: TypeAlias = Callable[[str, Any], None]

_PATIENCE = 0.02  # seconds
_LOG = logging.getLogger("sigmagraph.training")
_WAITING = 16  # invocations in the background that may wait for each other before training waits for them


class Firing:
    """Fires the hooks of a trainer.

    Args:
        training: what hooks see of the trainer.
        attachments: the hooks.
        read: gives values.
        give: takes what hooks share.
        on_error: whether a hook that fails ends training, or is logged only.
        meanwhile: called again and again while it waits for hooks in the background, which may ask for something.
    """

    def __init__(
        self,
        training: Training,
        attachments: Attachments,
        read: Read,
        give: Give,
        on_error: OnError,
        meanwhile: Callable[[], None],
    ) -> None:
        self.attachments = attachments
        self._training = training
        self._read, self._give = read, give
        self._on_error = on_error
        self._meanwhile = meanwhile
        self._threads: dict[int, ThreadPoolExecutor] = {}
        self._waiting: deque[tuple[Attachment, Future[None]]] = deque()
        self._given: deque[tuple[str, Any]] = deque()
        self._found: dict[str, Any] = {}  # what hooks in the background have shared

    def fire(self, scale: TimeScale, workers: Collection[int], seconds: float) -> None:
        """An event.

        Args:
            scale: its kind.
            workers: the workers that it concerns.
            seconds: since training began.

        Raises:
            HookError: a hook failed; what else fires at this event may be left out.
        """
        self.settle()
        # All are counted before the first one is invoked, so that a checkpoint made by one of them is not between two
        # counts: whoever goes on from there begins with the next event.
        due = [found for a in self.attachments if a.hook.time_step.scale is scale for found in _due(a, workers)]
        for attachment, place, worker in due:
            self._invoke(attachment, place, worker, scale, seconds)
        for attachment in self.attachments:
            if attachment.spent:
                for gone in self.attachments.drop(attachment):
                    self.detach(gone)

    def _invoke(
        self, attachment: Attachment, place: Place, worker: int | None, scale: TimeScale, seconds: float
    ) -> None:
        hook, training = attachment.hook, self._training
        give, protect = (self._later, _snapshot) if hook.background else (self._give, _read_only)
        try:
            values = {name: protect(self._read(name, worker)) for name in attachment.reads or ()}
            moment = Moment(
                scale,
                training.epoch,
                training.iteration,
                seconds,
                worker,
                place.state,
                training,
                values,
                hook.label,
                _provided(hook, give),
                training.set,
            )
            if hook.background:
                self._behind(attachment, place, moment)
            else:
                _at(hook, place, moment)
        except Exception as error:  # noqa: BLE001  # whatever a user's hook does
            self._failed(attachment, error)

    def _failed(self, attachment: Attachment, error: BaseException) -> None:
        label = attachment.hook.label
        if self._on_error == "log":
            _LOG.error("the hook %s failed: %s", label, error, exc_info=error)
            return
        if isinstance(error, HookError):
            raise error
        detail = error if isinstance(error, SigmaError) else f"{type(error).__name__}: {error}"
        raise HookError(
            f"the hook {label} failed",
            got=detail,
            hint="parameters are those after the last iteration; trainer.run(...) goes on from there",
        ) from error

    # ---- in the background

    def _behind(self, attachment: Attachment, place: Place, moment: Moment) -> None:
        group = self._group(attachment)
        if group not in self._threads:
            self._threads[group] = ThreadPoolExecutor(1, "sigmagraph-hooks")

        def work() -> None:
            # What those before it in this thread have found out is newer than what training knows of it.
            newer = {name: self._found[name] for name in moment.values if name in self._found}
            _at(attachment.hook, place, replace(moment, values={**moment.values, **newer}))

        self._waiting.append((attachment, self._threads[group].submit(work)))
        if len(self._waiting) > _WAITING:
            self._await(self._waiting[0][1])

    def _await(self, future: Future[None]) -> None:
        while not wait([future], _PATIENCE).done:
            self._meanwhile()

    def _group(self, attachment: Attachment) -> int:
        """The number of those in the background that depend on each other; they share a thread, and so keep order."""
        behind = [a for a in self.attachments if a.hook.background]
        group = {id(a): number for number, a in enumerate(behind)}
        for a in behind:
            for b in behind:
                names = b.hook.provides()
                if b in a.users or any(name in (a.reads or ()) for name in names):
                    old, new = group[id(b)], group[id(a)]
                    group = {key: new if value == old else value for key, value in group.items()}
        return group.get(id(attachment), 0)

    def _later(self, identifier: str, value: Any) -> None:
        self._found[identifier] = value
        self._given.append((identifier, value))

    def settle(self, *, all_: bool = False) -> None:
        """Take over what hooks in the background found out.

        Args:
            all_: whether to wait until all of them are done.

        Raises:
            HookError: one of them failed.
        """
        while self._waiting and (all_ or self._waiting[0][1].done()):
            attachment, future = self._waiting.popleft()
            self._await(future)
            error = future.exception()
            if error is not None:
                self._failed(attachment, error)
        while self._given:
            self._give(*self._given.popleft())

    def close(self) -> None:
        """Wait for the hooks in the background, and end their threads."""
        for thread in self._threads.values():
            thread.shutdown()
        self._threads.clear()

    # ---- coming and going

    def attach(self) -> None:
        """Tell hooks that are new that training is about to start with them.

        Raises:
            SigmaError: one cannot do its work.
        """
        for attachment in self.attachments:
            if not attachment.open:
                attachment.hook.attached(self._training)
                attachment.open = True

    def detach(self, attachment: Attachment) -> None:
        """Tell a hook that it was taken off."""
        if attachment.open:
            attachment.open = False
            attachment.hook.detached(self._training)


def _at(hook: Hook, place: Place, moment: Moment) -> None:
    """Invoke a hook if its criterion holds."""
    if hook.on is None or hook.on.holds(moment, place.criterion):
        hook.invoke(moment)


def _provided(hook: Hook, give: Give) -> Give:
    """Takes what a hook shares, as far as it has said that it does: by that it is ordered, and shown as a metric."""

    def share(identifier: str, value: Any) -> None:
        if identifier not in hook.provides():
            raise IdentifierError(
                f"the hook {hook.label} shares what it does not provide",
                expected=", ".join(hook.provides()) or "nothing",
                got=identifier,
                hint="name it in what `provides` gives",
            )
        give(identifier, value)

    return share


def _due(attachment: Attachment, workers: Collection[int]) -> list[tuple[Attachment, Place, int | None]]:
    """The places at which a hook fires now; the event is counted at each."""
    numbers: Collection[int | None] = workers if attachment.hook.scope == "local" else (None,)
    found = []
    for number in numbers:
        place = attachment.place(GLOBAL if number is None else str(number))
        due = attachment.hook.time_step.due(place.seen, place.fired)
        place.seen += 1
        place.fired += due
        if due:
            found.append((attachment, place, number))
    return found


def _read_only(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        value = value.view()
        value.flags.writeable = False
    return value


def _snapshot(value: Any) -> Any:
    """A value that nobody changes any more: arrays are copied; numbers, text and objects of the trainer stay."""
    if isinstance(value, np.ndarray):
        return _read_only(value.copy())
    if isinstance(value, (Mapping, list)):
        return deepcopy(value)
    return value
