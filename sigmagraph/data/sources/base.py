"""What all sources are: bytes from somewhere, which can be read from their start as often as wanted."""

from __future__ import annotations

from abc import ABC, abstractmethod
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from sigmagraph.errors import InputError


class Source(ABC):
    """Bytes from somewhere.

    Attributes:
        name: where they come from, for readers and errors.
    """

    name: str

    @abstractmethod
    def exists(self) -> bool:
        """Whether there is something to open."""

    @abstractmethod
    def open(self) -> BinaryIO:
        """A new stream of the bytes, at their start; whoever opened it closes it.

        Raises:
            InputError: there is nothing, or it cannot be had.
            FileFormatError: what holds the bytes is damaged; reading from the stream may raise it too.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A digest that is another one when the bytes are others.

        Raises:
            InputError: there is nothing to take it of.
        """

    def local(self) -> Path | None:
        """A file with exactly these bytes, where there is one: it can be read from any place.

        Raises:
            InputError: there is nothing, or it cannot be had.
        """
        return None


def unreadable(name: object, error: OSError) -> InputError:
    """What to raise where the system refuses to read something."""
    return InputError(f"{name} cannot be read", got=error.strerror or error)


def as_path(path: str | PathLike[str]) -> Path:
    """A path from what users write for one.

    Raises:
        InputError: it is none.
    """
    if not isinstance(path, (str, PathLike)):
        raise InputError("this is no file", expected="a path or a source", got=repr(path))
    return Path(path)
