"""The states of a training, and what is asked of it from other threads: it obeys between two iterations."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from enum import Enum
from typing import Any, TypeVar

from sigmagraph.errors import AttributeValueError, TrainingStateError

T = TypeVar("T")


class State(Enum):
    """What a training is doing."""

    IDLE = "idle"
    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"

    def __str__(self) -> str:
        return self.value


class Control:
    """Decides what happens between two iterations.

    The thread that trains calls :meth:`begin`, then :meth:`proceed` before every iteration, then :meth:`end`. All other
    methods may be called from any thread, hooks among them.

    Attributes:
        reason: why training was stopped, in words.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._state = State.IDLE
        self._pausing = False
        self._stopping = False
        self._steps = 0  # iterations that are still to be done before it pauses again; 0 for no bound
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._thread: threading.Thread | None = None
        self.reason = ""

    @property
    def state(self) -> State:
        """What the training is doing now."""
        return self._state

    @property
    def active(self) -> bool:
        """Whether a thread is training, or pausing in it."""
        return self._thread is not None

    @property
    def inside(self) -> bool:
        """Whether the caller is the thread that trains."""
        return self._thread is threading.current_thread()

    @property
    def stopping(self) -> bool:
        """Whether it is to end after this iteration."""
        return self._stopping

    # ---- asked from anywhere

    def pause(self) -> None:
        """Let it pause after this iteration.

        Raises:
            TrainingStateError: nobody trains.
        """
        with self._changed:
            self._expect_active("pause")
            self._pausing, self._steps = True, 0

    def resume(self) -> None:
        """Let it go on after a pause.

        Raises:
            TrainingStateError: nobody trains.
        """
        with self._changed:
            self._expect_active("resume")
            self._pausing, self._steps = False, 0
            self._leave_pause()

    def advance(self, iterations: int = 1) -> None:
        """Let it do some iterations, and pause then.

        Raises:
            AttributeValueError: it is no number of iterations.
            TrainingStateError: nobody trains.
        """
        if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
            raise AttributeValueError("training advances by iterations", expected="1, 2, 3, ...", got=repr(iterations))
        with self._changed:
            self._expect_active("advance")
            self._pausing, self._steps = False, iterations
            self._leave_pause()

    def stop(self, reason: str = "") -> None:
        """Let it end after this iteration; nothing happens if nobody trains."""
        with self._changed:
            if self.active:
                self._stopping = True
                self.reason = self.reason or reason
                self._leave_pause()

    def submit(self, command: Callable[[], T]) -> Future[T]:
        """Have something done between two iterations, or at once if nobody trains; the future has what it gives."""
        future: Future[T] = Future()
        with self._changed:
            if self.active and not self.inside:
                self._commands.append((command, future))
                self._changed.notify_all()
                return future
        _carry_out(command, future)
        return future

    def wait(self, *states: State, timeout: float | None = None) -> bool:
        """Wait for one of some states; whether it came within a time in seconds.

        Raises:
            TrainingStateError: the thread that trains waits for itself.
        """
        if self.inside:
            raise TrainingStateError("training cannot wait for itself", hint="its thread calls the hooks")
        with self._changed:
            return self._changed.wait_for(lambda: self._state in states, timeout)

    # ---- asked by the thread that trains

    def begin(self) -> None:
        """Training begins.

        Raises:
            TrainingStateError: another thread trains already.
        """
        with self._changed:
            if self.active:
                raise TrainingStateError("this trainer is training already", got=self._state)
            self._thread = threading.current_thread()
            self._pausing = self._stopping = False
            self._steps, self.reason = 0, ""
            self._become(State.RUNNING)

    def proceed(self, paused: Callable[[], None], resumed: Callable[[], None]) -> bool:
        """Do what was asked for, wait while it is to pause; whether the next iteration is to be done.

        Args:
            paused: called when a pause begins.
            resumed: called when it ends.
        """
        self.obey()
        if self._pausing and not self._stopping:
            with self._changed:
                self._become(State.PAUSED)
            paused()
            while self._pausing and not self._stopping:
                with self._changed:
                    self._changed.wait_for(lambda: self._commands or not self._pausing or self._stopping)
                self.obey()
            with self._changed:
                self._become(State.RUNNING)
            if not self._stopping:
                resumed()
        return not self._stopping

    def done(self) -> None:
        """An iteration is done."""
        with self._changed:
            if self._steps:
                self._steps -= 1
                self._pausing = not self._steps

    def end(self, state: State) -> None:
        """Training ends; what was asked for too late is done now."""
        self.obey()
        with self._changed:
            self._thread = None
            self._become(state)
            late = list(self._commands)
            self._commands.clear()
        for command, future in late:
            _carry_out(command, future)

    def obey(self) -> None:
        """Do what was asked for until now; called by the thread that trains."""
        while True:
            with self._changed:
                if not self._commands:
                    return
                command, future = self._commands.popleft()
            _carry_out(command, future)

    def _become(self, state: State) -> None:
        self._state = state
        self._changed.notify_all()

    def _leave_pause(self) -> None:
        """Let a pause end; it counts as ended from now on, so that whoever waits for the next one does not see this."""
        self._become(State.RUNNING)

    def _expect_active(self, what: str) -> None:
        if not self.active:
            raise TrainingStateError(f"there is nothing to {what}", expected="a running trainer", got=self._state)


def _carry_out(command: Callable[[], T], future: Future[T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        future.set_result(command())
    except Exception as error:  # noqa: BLE001  # whoever asked gets it
        future.set_exception(error)
