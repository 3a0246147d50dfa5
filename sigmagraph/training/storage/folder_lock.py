"""Locks a folder for one writer; the lock goes with the process that holds it, however that ends."""

from __future__ import annotations

import errno
import os
import sys
import time
import weakref
from pathlib import Path

from sigmagraph.errors import InputError, TrainingStateError

NAME = "lock"
_BUSY = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK)
# Whoever only looks whether a folder is locked holds the lock for a moment; one that stays is somebody's.
_TRIES, _PAUSE = 10, 0.02


class FolderLock:
    """The lock of a folder, taken when this is made and freed when it is released or nobody refers to it.

    Args:
        folder: it exists.

    Raises:
        TrainingStateError: another one is held, by this process or by another.
        InputError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / NAME
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise InputError(f"{path} cannot be written", got=error.strerror) from error
        try:
            _take(handle, path)
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        except OSError as error:
            os.close(handle)
            raise InputError(f"{path} cannot be locked", got=error.strerror) from error
        except TrainingStateError:
            os.close(handle)
            raise
        self._release = weakref.finalize(self, os.close, handle)

    def release(self) -> None:
        """Free it; nothing happens the second time."""
        self._release()


def is_locked(folder: Path) -> bool:
    """Whether somebody holds the lock of a folder now."""
    try:
        handle = os.open(folder / NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        return not _try(handle)
    except OSError:
        return False
    finally:
        os.close(handle)


def _take(handle: int, path: Path) -> None:
    for _ in range(_TRIES):
        if _try(handle):
            return
        time.sleep(_PAUSE)
    number = os.read(handle, 20).decode("ascii", "replace").strip()
    mine = number == str(os.getpid())
    raise TrainingStateError(
        f"another run writes to the folder {path.parent}",
        got="a run of this process" if mine else f"a run of process {number}" if number else None,
        hint="wait until it has ended, or take another folder",
    )


if sys.platform == "win32":
    import msvcrt

    def _try(handle: int) -> bool:
        # A byte far behind the content, since others cannot read what is locked.
        os.lseek(handle, 2**20, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _try(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in _BUSY:
                return False
            raise
        return True
