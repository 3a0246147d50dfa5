"""Who draws at the foot of the terminal: one display at a time, since two would overwrite each other."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cache


class Terminal:
    """The place at the foot of the terminal, which a display claims before it draws there."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._owner: object | None = None
        self._give_up: Callable[[], None] | None = None

    def claim(self, owner: object, give_up: Callable[[], None] | None = None) -> bool:
        """Take the place.

        Args:
            owner: who draws.
            give_up: if given, the owner leaves the place to the next one that claims it for good: this is called then,
                and has to stop drawing. Such an owner does not drive others away itself.

        Returns:
            Whether it was taken; if not, another display draws.
        """
        with self._lock:
            polite, leave = give_up is not None, self._give_up
            if self._owner is not None and self._owner is not owner and (polite or leave is None):
                return False
            others = self._owner is not owner
            self._owner, self._give_up = owner, give_up
        if leave is not None and others:
            leave()
        return True

    def release(self, owner: object) -> None:
        """Leave the place, if the owner has it."""
        with self._lock:
            if self._owner is owner:
                self._owner = self._give_up = None


@cache
def terminal() -> Terminal:
    """The terminal of this process."""
    return Terminal()
