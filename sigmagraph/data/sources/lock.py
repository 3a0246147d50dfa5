"""Locks between processes and threads that want the same file; the one place where systems differ."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PAUSE = 0.05


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Hold a lock, which is a file that stays; it goes when the process ends, however it does."""
    with path.open("ab") as file:
        while not _taken(file.fileno()):
            time.sleep(_PAUSE)
        try:
            yield
        finally:
            _left(file.fileno())


if sys.platform == "win32":
    import msvcrt

    def _taken(file: int) -> bool:
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _left(file: int) -> None:
        msvcrt.locking(file, msvcrt.LK_UNLCK, 1)

else:
    import fcntl

    def _taken(file: int) -> bool:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _left(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)
