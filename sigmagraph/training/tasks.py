"""Long operations that are under way: how far each is, and who wants to know. Nothing is shown by it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Self

from sigmagraph.errors import AttributeValueError
from sigmagraph.training.registry.deliveries import Deliveries, Listener


class Kind(Enum):
    """What a task does."""

    DOWNLOAD = "download"
    LOAD = "load"
    SAVE = "save"
    UNPACK = "unpack"
    EXTRACT = "extract"
    PREPROCESS = "preprocess"
    PREPARE = "prepare"
    TRAIN = "train"


class Event(Enum):
    """What became of a task."""

    CREATED = "created"
    CHANGED = "changed"
    ENDED = "ended"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class TaskEvent:
    """What observers are told: the task, what became of it, and how far it was then.

    Attributes:
        event: what became of it.
        task: the task, which may be further by now.
        progress: from 0 to 1; None while that is not known.
    """

    event: Event
    task: Task
    progress: float | None


class Tasks:
    """The tasks of an environment; all of it may be used from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._running: dict[int, Task] = {}
        self._observers: list[Listener] = []
        self._deliveries = Deliveries()

    def begin(self, kind: Kind | str, name: str, total: float | None = None, *, exposed: bool = True) -> Task:
        """Begin a task. Used as a context it ends by itself, and is cancelled if an exception leaves the context.

        Args:
            kind: what it does, such as ``"download"``.
            name: what it does it to, such as the name of a file.
            total: how much there is to do, in any unit; None while that is not known.
            exposed: whether it is meant for users to see.

        Raises:
            AttributeValueError: there is no such kind, no name, or the total is no number of 0 or more.
        """
        if not isinstance(kind, Kind) and kind not in [known.value for known in Kind]:
            names = ", ".join(known.value for known in Kind)
            raise AttributeValueError("this is no kind of task", expected=names, got=repr(kind))
        if not isinstance(name, str) or not name:
            raise AttributeValueError("a task has a name", expected="text", got=repr(name))
        task = Task(self, Kind(kind), name, None if total is None else _amount(total, "total"), exposed)
        with self._lock:
            self._running[id(task)] = task
            self._note(Event.CREATED, task)
        self._deliveries.deliver()
        return task

    def running(self) -> list[Task]:
        """The tasks that are under way, in the order in which they began."""
        with self._lock:
            return list(self._running.values())

    def observe(self, callback: Callable[[TaskEvent], object]) -> Callable[[], None]:
        """Have a function called with every event from now on.

        Events come in their order, from one of the threads that caused them, while no lock is held. What the function
        raises is logged.

        Returns:
            A function that ends it.

        Raises:
            AttributeValueError: the callback cannot be called.
        """
        if not callable(callback):
            raise AttributeValueError("an observer is a function", expected="something to call", got=repr(callback))
        listener = Listener(callback)
        with self._lock:
            self._observers.append(listener)
        return listener

    def _note(self, event: Event, task: Task) -> None:
        """Put an event before all observers; the lock is held."""
        self._observers = [observer for observer in self._observers if not observer.ended]
        for observer in self._observers:
            self._deliveries.put(observer, TaskEvent(event, task, task.progress))


class Task:
    """A long operation that is under way.

    When it is over, whatever is reported has no effect: who works on it may not know yet that it was cancelled.

    Attributes:
        kind: what it does.
        name: what it does it to.
        exposed: whether it is meant for users to see.
        started: when it began, by ``time.monotonic``.
    """

    def __init__(self, tasks: Tasks, kind: Kind, name: str, total: float | None, exposed: bool) -> None:
        self.kind = kind
        self.name = name
        self.exposed = exposed
        self.started = time.monotonic()
        self._tasks = tasks
        self._total = total
        self._done = 0.0
        self._over: Event | None = None
        self._seconds = 0.0

    @property
    def done(self) -> float:
        """How much is done."""
        return self._done

    @property
    def total(self) -> float | None:
        """How much there is to do; None while that is not known."""
        return self._total

    @property
    def progress(self) -> float | None:
        """How far it is, from 0 to 1; None while that is not known. Setting it makes the total 1 if that is unknown."""
        with self._tasks._lock:
            if self._over is Event.ENDED:
                return 1.0
            if self._total is None:
                return None
            return min(1.0, self._done / self._total) if self._total else 1.0

    @progress.setter
    def progress(self, progress: float) -> None:
        if not 0 <= _amount(progress, "progress") <= 1:
            raise AttributeValueError("this is no progress", expected="from 0 to 1", got=repr(progress))
        with self._tasks._lock:
            total = 1.0 if self._total is None else self._total
            self._move(progress * total, total)
        self._tasks._deliveries.deliver()

    def advance(self, amount: float = 1) -> None:
        """So much more is done.

        Raises:
            AttributeValueError: it is no number of 0 or more.
        """
        more = _amount(amount, "amount")
        with self._tasks._lock:
            self._move(self._done + more, self._total)
        self._tasks._deliveries.deliver()

    def report(self, done: float, total: float | None = None) -> None:
        """So much is done altogether, out of a total that may be known by now; a callback for who reads files.

        Raises:
            AttributeValueError: one of them is no number of 0 or more.
        """
        done, total = _amount(done, "amount"), None if total is None else _amount(total, "total")
        with self._tasks._lock:
            self._move(done, self._total if total is None else total)
        self._tasks._deliveries.deliver()

    def _move(self, done: float, total: float | None) -> None:
        if self._over is None:
            self._done, self._total = done, total
            self._tasks._note(Event.CHANGED, self)

    @property
    def over(self) -> bool:
        """Whether it has ended or was cancelled."""
        return self._over is not None

    @property
    def cancelled(self) -> bool:
        """Whether it was cancelled; who works on it may ask, and stop."""
        return self._over is Event.CANCELLED

    @property
    def seconds(self) -> float:
        """How long it has been under way, or was until it was over."""
        return self._seconds if self.over else time.monotonic() - self.started

    def end(self) -> None:
        """All of it is done."""
        self._finish(Event.ENDED)

    def cancel(self) -> None:
        """It will not be done."""
        self._finish(Event.CANCELLED)

    def _finish(self, event: Event) -> None:
        with self._tasks._lock:
            if self._over is None:
                self._seconds = time.monotonic() - self.started
                self._over = event
                del self._tasks._running[id(self)]
                self._tasks._note(event, self)
        self._tasks._deliveries.deliver()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._finish(Event.ENDED if kind is None else Event.CANCELLED)

    def __repr__(self) -> str:
        state = "running" if self._over is None else self._over.value
        return f"<Task {self.kind.value} {self.name!r}, {state}, {self._done:g} of {self._total}>"


def _amount(value: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise AttributeValueError(f"this is no {what} of a task", expected="a number of 0 or more", got=repr(value))
    return value
