"""Calls listeners outside of locks, one after the other, in the order of what happened."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

_LOGGER = logging.getLogger(__name__)


class Listener:
    """A callback that can be ended; calling the listener itself ends it."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[..., object]) -> None:
        self._callback: Callable[..., object] | None = callback

    def __call__(self) -> None:
        """End it: what happens from now on is not told any more."""
        self._callback = None

    @property
    def ended(self) -> bool:
        """Whether it has been ended."""
        return self._callback is None

    def tell(self, *what: Any) -> None:
        """Call the callback, unless it has ended. What it raises is logged."""
        callback = self._callback
        if callback is None:
            return
        try:
            callback(*what)
        except Exception:
            _LOGGER.exception("a listener failed: %r", callback)


class Deliveries:
    """A queue of what is to be told.

    The thread that finds nobody at it delivers for all. So listeners hear of things in the order in which they were
    put, whatever threads there are; a listener that causes something itself hears of it afterwards, not in between; and
    no thread waits for a listener that another one is calling.
    """

    def __init__(self) -> None:
        self._pending: deque[tuple[Listener, tuple[Any, ...]]] = deque()
        self._lock = threading.Lock()
        self._delivering = False

    def put(self, listener: Listener, *what: Any) -> None:
        """Note what is to be told; the caller may hold a lock, which keeps the order."""
        self._pending.append((listener, what))

    def deliver(self) -> None:
        """Tell all that was put, unless a thread is at it; the caller holds no lock."""
        while self._pending:
            with self._lock:
                if self._delivering or not self._pending:
                    return
                self._delivering = True
                listener, what = self._pending.popleft()
            try:
                listener.tell(*what)
            finally:
                with self._lock:
                    self._delivering = False
