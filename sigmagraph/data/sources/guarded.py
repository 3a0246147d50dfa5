"""Streams that say which file is damaged."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from sigmagraph.data.sources.base import unreadable
from sigmagraph.errors import FileFormatError


@contextmanager
def guarded(name: str) -> Iterator[None]:
    """Turn what the standard library raises at damaged archives and compressed files into errors of ours."""
    import lzma
    import tarfile
    import zipfile

    damage = (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, ValueError)
    try:
        yield
    except (*damage, NotImplementedError, RuntimeError) as error:
        # The last two: encrypted members of zip files, and methods of compression that Python does not know.
        raise FileFormatError(f"{name} is damaged", expected="a complete file", got=error) from error
    except OSError as error:
        # The modules gzip and bz2 raise OSError without a number for damage; the system's own have one.
        if error.errno is None:
            raise FileFormatError(f"{name} is damaged", expected="a complete file", got=error) from error
        raise unreadable(name, error) from error


class _Guarded(io.RawIOBase):
    """A stream whose failures name the file; closing it closes what it was made from."""

    def __init__(self, name: str, stream: BinaryIO, close: tuple[Callable[[], Any], ...]) -> None:
        self._name = name
        self._stream = stream
        self._close = close

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        with guarded(self._name):
            piece = self._stream.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            for close in (self._stream.close, *self._close):
                close()
        super().close()


def guarded_stream(name: str, stream: BinaryIO, *close: Callable[[], Any]) -> BinaryIO:
    """The stream, whose failures are errors of ours that name the file.

    Args:
        name: of the file.
        stream: what to read.
        close: what else to call when it is closed.
    """
    return cast("BinaryIO", io.BufferedReader(_Guarded(name, stream, close), 1 << 16))
