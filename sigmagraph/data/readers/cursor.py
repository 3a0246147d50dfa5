"""Reads what can only be read in order: goes on where it stopped, and starts again where it has to go back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from itertools import islice
from typing import Generic, TypeVar

from sigmagraph.errors import FileFormatError

T = TypeVar("T")


class Cursor(Generic[T]):
    """A place in a sequence; threads may use it at once.

    Args:
        name: of the file, for errors.
        begin: makes the sequence anew; it closes what it opened when it is closed.
    """

    def __init__(self, name: str, begin: Callable[[], Generator[T]]) -> None:
        self._name = name
        self._begin = begin
        self._rest: Generator[T] | None = None
        self._at = 0
        self._lock = threading.Lock()

    def take(self, start: int, stop: int) -> list[T]:
        """The items from ``start`` up to but without ``stop``.

        Raises:
            FileFormatError: there are fewer: the file has changed.
        """
        with self._lock:
            rest, at = self._rest, self._at
            self._rest = None
            if rest is None or start < at:
                if rest is not None:
                    rest.close()
                rest, at = self._begin(), 0
            deque(islice(rest, start - at), maxlen=0)
            items = list(islice(rest, stop - start))
            if len(items) < stop - start:
                raise FileFormatError(
                    f"{self._name} has become shorter while it was read", expected=stop, got=start + len(items)
                )
            self._rest, self._at = rest, stop
            return items
