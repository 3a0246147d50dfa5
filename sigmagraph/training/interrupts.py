"""Ctrl-C while a training runs: the first one is noted and obeyed between two iterations, the second one cuts in."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self


class Interrupts:
    """A context in which Ctrl-C calls a function; only in the main thread, elsewhere it changes nothing.

    Args:
        noted: called at the first Ctrl-C.

    Attributes:
        happened: whether there was one.
    """

    def __init__(self, noted: Callable[[], object]) -> None:
        self.happened = False
        self._noted = noted
        self._before: Any = None

    def __enter__(self) -> Self:
        # A handler that somebody else installed is theirs; Python's own is the one to replace.
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.happened:
            signal.default_int_handler(number, frame)
        self.happened = True
        self._noted()
