"""What compressed files hold: gz, bz2 and xz, which are told apart by their first bytes."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import BinaryIO, cast

from sigmagraph.data.digests import digest
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.file import as_source
from sigmagraph.data.sources.guarded import guarded_stream
from sigmagraph.errors import FileFormatError

Unpack = Callable[[BinaryIO], BinaryIO]


def _gz(stream: BinaryIO) -> BinaryIO:
    import gzip

    return cast("BinaryIO", gzip.GzipFile(fileobj=stream, mode="rb"))


def _bz2(stream: BinaryIO) -> BinaryIO:
    import bz2

    return cast("BinaryIO", bz2.BZ2File(stream))


def _xz(stream: BinaryIO) -> BinaryIO:
    import lzma

    return cast("BinaryIO", lzma.LZMAFile(stream))


# First bytes by how to go on (RFC 1952 2.3.1; bzip2's file signature; the .xz file format 2.1.1.1).
_FORMATS: tuple[tuple[bytes, Unpack], ...] = ((b"\x1f\x8b", _gz), (b"BZh", _bz2), (b"\xfd7zXZ\0", _xz))
# What follows "BZh" and the level is a block or the end of the stream; text that starts with BZh has neither.
_BZ2_BLOCKS = (b"1AY&SY", b"\x17rE8P\x90")
_LONGEST = 10


class Compressed(Source):
    """What a compressed file holds: gz, bz2 or xz, told by its first bytes, whatever its name is.

    Args:
        source: the compressed file, as a path or a source.
        required: refuse a file that is not compressed; otherwise it is passed on as it is.

    Raises:
        FileFormatError: (when it is opened or read) it is damaged, truncated, or not compressed.
    """

    def __init__(self, source: Source | str | PathLike[str], required: bool = True) -> None:
        self.source = as_source(source)
        self.required = required
        self.name = self.source.name

    def exists(self) -> bool:
        return self.source.exists()

    def open(self) -> BinaryIO:
        unpack = self._format()
        raw = self.source.open()
        return raw if unpack is None else guarded_stream(self.name, unpack(raw), raw.close)

    def local(self) -> Path | None:
        path = self.source.local()
        return path if path is not None and self._format() is None else None

    def fingerprint(self) -> str:
        return digest("compressed", self.source.fingerprint())

    def _format(self) -> Unpack | None:
        with self.source.open() as stream:
            head = stream.read(_LONGEST)
        for magic, unpack in _FORMATS:
            if head.startswith(magic) and (magic != b"BZh" or head[4:] in _BZ2_BLOCKS):
                return unpack
        if self.required:
            raise FileFormatError(f"{self.name} is not compressed", expected="gz, bz2 or xz", got=head.hex(" "))
        return None
