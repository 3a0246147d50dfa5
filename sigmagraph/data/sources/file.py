"""Files of this machine as sources."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import BinaryIO

from sigmagraph.data.digests import digest
from sigmagraph.data.sources.base import Source, as_path, unreadable


class File(Source):
    """A file of this machine. Its fingerprint is that of its path, its size and the time of its last change.

    Args:
        path: where it is.

    Raises:
        InputError: that is no path.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = as_path(path)
        self.name = str(self.path)

    def exists(self) -> bool:
        return self.path.is_file()

    def open(self) -> BinaryIO:
        try:
            return self.path.open("rb")
        except OSError as error:
            raise unreadable(self.path, error) from error

    def local(self) -> Path:
        return self.path

    def fingerprint(self) -> str:
        try:
            state = self.path.stat()
        except OSError as error:
            raise unreadable(self.path, error) from error
        return digest("file", str(self.path.resolve()), state.st_size, state.st_mtime_ns)


def as_source(given: Source | str | PathLike[str]) -> Source:
    """A source as it is; anything else is the path of a file.

    Raises:
        InputError: it is neither.
    """
    return given if isinstance(given, Source) else File(given)
