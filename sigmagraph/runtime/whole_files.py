"""Writes files whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from os import fsync, replace
from pathlib import Path
from typing import BinaryIO

from sigmagraph.errors import InputError


def write_whole(path: Path, content: bytes) -> None:
    """Write a file. Until all is on disk, a file that was there stays as it was.

    Raises:
        InputError: it cannot be written.
    """

    def fill(file: BinaryIO) -> None:
        file.write(content)

    fill_whole(path, fill)


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8. Until all is on disk, a file that was there stays as it was.

    Raises:
        InputError: it cannot be written.
    """
    write_whole(path, text.encode())


def fill_whole(path: Path, fill: Callable[[BinaryIO], None]) -> None:
    """Write a file part by part. Until all is on disk, a file that was there stays as it was.

    Args:
        path: of the file.
        fill: writes the content to what it is given.

    Raises:
        InputError: it cannot be written.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(8)}.part")
    try:
        with part.open("xb") as file:
            fill(file)
            file.flush()
            fsync(file.fileno())
        replace(part, path)
        _sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"{path} cannot be written", got=error.strerror or error) from error
    finally:  # whatever came, Ctrl-C among it; after the replacement there is none
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the name on disk before anything is removed that the file replaces; not every system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
