"""Bytes of a source from any place: by seeking where it is a file, else by reading on, or again from the start."""

from __future__ import annotations

import threading
import weakref
from typing import BinaryIO

from sigmagraph.data.sources.base import Source, unreadable

_PIECE = 1 << 20


def take(stream: BinaryIO, size: int) -> bytes:
    """Up to ``size`` bytes, in pieces: a damaged header must not make us ask for memory that no file fills."""
    out = bytearray()
    while len(out) < size and (piece := stream.read(min(_PIECE, size - len(out)))):
        out += piece
    return bytes(out)


class Positions:
    """Bytes of a source by their places; threads may use it at once.

    Args:
        source: what to read.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stream: BinaryIO | None = None
        self._close: weakref.finalize[[], Positions] | None = None
        self._at = 0
        self._size: int | None = None
        self._lock = threading.Lock()

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes from a place on; fewer where the source ends.

        Raises:
            InputError, FileFormatError: the source cannot be read, or is damaged.
        """
        path = self._source.local()
        if path is not None:
            try:
                with path.open("rb") as file:
                    file.seek(offset)
                    return take(file, size)
            except OSError as error:
                raise unreadable(path, error) from error
        with self._lock:
            stream = self._begin() if self._stream is None or offset < self._at else self._stream
            self._stream = None  # a stream that fails is not gone on with
            while self._at < offset and (piece := stream.read(min(_PIECE, offset - self._at))):
                self._at += len(piece)
            content = take(stream, size)
            self._at += len(content)
            self._stream = stream
            return content

    def size(self) -> int:
        """How many bytes there are; what is compressed is read once to know it.

        Raises:
            InputError, FileFormatError: the source cannot be read, or is damaged.
        """
        path = self._source.local()
        if path is not None:
            try:
                return path.stat().st_size
            except OSError as error:
                raise unreadable(path, error) from error
        if self._size is None:
            with self._source.open() as stream:
                size = 0
                while piece := stream.read(_PIECE):
                    size += len(piece)
            self._size = size
        return self._size

    def _begin(self) -> BinaryIO:
        if self._close is not None:
            self._close()
        stream = self._source.open()
        self._close = weakref.finalize(self, stream.close)
        self._at = 0
        return stream
