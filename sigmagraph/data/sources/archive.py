"""Archives: zip and tar, the latter compressed or not; what they hold, and single files of them."""

from __future__ import annotations

import shutil
import stat
import tempfile
import threading
import weakref
from dataclasses import dataclass
from os import PathLike
from typing import Any, BinaryIO, cast

from sigmagraph.data.digests import digest
from sigmagraph.data.sources.base import Source
from sigmagraph.data.sources.compressed import Compressed
from sigmagraph.data.sources.file import as_source
from sigmagraph.data.sources.guarded import guarded, guarded_stream
from sigmagraph.errors import FileFormatError, InputError

# Zip files start with a member or, where they have none, with the end of their directory (APPNOTE 4.3).
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_TAR_BLOCK = 512


@dataclass(frozen=True)
class Entry:
    """Something that an archive holds.

    Attributes:
        name: its path in the archive.
        kind: ``file``, ``folder``, ``link`` or ``other`` (devices and the like).
        size: bytes of a file.
        target: what a link points to, as the archive says it.
        hard: whether the target counts from the archive's root, not from the link's folder.
    """

    name: str
    kind: str
    size: int = 0
    target: str = ""
    hard: bool = False


class Archive:
    """An open archive; it is read from any place, so compressed ones are unpacked to a temporary file.

    Args:
        source: the archive, as a path or a source.

    Raises:
        InputError: there is nothing.
        FileFormatError: it is neither zip nor tar, or is damaged or truncated.
    """

    def __init__(self, source: Source | str | PathLike[str]) -> None:
        self.name = as_source(source).name
        self._lock = threading.RLock()
        file = _seekable(Compressed(source, required=False))
        weakref.finalize(self, file.close)
        head = file.read(4)
        file.seek(0)
        self._members: _Zip | _Tar
        with guarded(self.name):
            self._members = _Zip(file) if head.startswith(_ZIP) else _Tar(file, self.name)
        self.entries = tuple(self._members.entries.values())

    def files(self) -> tuple[str, ...]:
        """The paths of all files, in the archive's order."""
        return tuple(entry.name for entry in self.entries if entry.kind == "file")

    def open(self, name: str) -> BinaryIO:
        """A stream of one file.

        Raises:
            InputError: there is no such file.
            FileFormatError: it is damaged; reading from the stream may raise it too.
        """
        entry = self._members.entries.get(name)
        if entry is None or entry.kind != "file":
            some = ", ".join(self.files()[:5])
            raise InputError(f"{self.name} has no file '{name}'", expected=some, got=entry.kind if entry else "nothing")
        inside = f"{self.name}/{name}"
        with guarded(inside):
            return guarded_stream(inside, self._members.open(name))

    def read(self, name: str) -> bytes:
        """All bytes of one file; threads may call it at once.

        Raises:
            InputError: there is no such file.
            FileFormatError: it is damaged.
        """
        with self._lock, self.open(name) as stream:
            return stream.read()


def _seekable(source: Source) -> BinaryIO:
    path = source.local()
    if path is not None:
        return source.open()
    copy = cast("BinaryIO", tempfile.TemporaryFile())  # noqa: SIM115 - it lives as long as the archive
    try:
        with source.open() as stream:
            shutil.copyfileobj(stream, copy, 1 << 20)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


class _Zip:
    def __init__(self, file: BinaryIO) -> None:
        import zipfile

        self._zip = zipfile.ZipFile(file)
        self.entries = {member.filename: self._entry(member) for member in self._zip.infolist()}

    def open(self, name: str) -> BinaryIO:
        return cast("BinaryIO", self._zip.open(name))

    def _entry(self, member: Any) -> Entry:
        name = member.filename
        mode = member.external_attr >> 16
        if stat.S_ISLNK(mode):
            return Entry(name, "link", target=self._zip.read(member).decode("utf-8", "surrogateescape"))
        if member.is_dir():
            return Entry(name, "folder")
        special = stat.S_IFMT(mode) not in (0, stat.S_IFREG)
        return Entry(name, "other" if special else "file", member.file_size)


class _Tar:
    def __init__(self, file: BinaryIO, name: str) -> None:
        import tarfile

        try:
            self._tar = tarfile.open(fileobj=file, mode="r:")  # noqa: SIM115 - it lives as long as the archive
        except tarfile.ReadError as error:
            raise FileFormatError(f"{name} is no archive", expected="zip or tar", got=error) from error
        self._members = {member.name: member for member in self._tar.getmembers()}
        self.entries = {name: self._entry(member) for name, member in self._members.items()}
        # A tar file ends in blocks of zeros. tarfile takes any end, and a damaged header, for the end of the archive.
        file.seek(self._tar.offset)
        if file.read(_TAR_BLOCK) != bytes(_TAR_BLOCK):
            raise FileFormatError(f"{name} is damaged", expected="a complete tar file", got="no end of the archive")

    def open(self, name: str) -> BinaryIO:
        stream = self._tar.extractfile(self._members[name])
        assert stream is not None, "only files are opened"
        return cast("BinaryIO", stream)

    def _entry(self, member: Any) -> Entry:
        if member.issym() or member.islnk():
            return Entry(member.name, "link", target=member.linkname, hard=member.islnk())
        if member.isdir():
            return Entry(member.name, "folder")
        return Entry(member.name, "file" if member.isreg() else "other", member.size)


class Member(Source):
    """A file in an archive: zip, or tar (compressed with gz, bz2 or xz, or not), told by their bytes.

    Args:
        source: the archive, as a path or a source.
        member: the file's path in it.

    Raises:
        InputError: (when it is used) there is no archive, or no such file in it.
        FileFormatError: (when it is used) the archive is damaged or truncated.
    """

    def __init__(self, source: Source | str | PathLike[str], member: str) -> None:
        self.source = as_source(source)
        self.member = member
        self.name = f"{self.source.name}/{member}"
        self._archive: Archive | None = None

    def exists(self) -> bool:
        return self.source.exists() and self.member in self._opened().files()

    def open(self) -> BinaryIO:
        return self._opened().open(self.member)

    def fingerprint(self) -> str:
        return digest("member", self.source.fingerprint(), self.member)

    def _opened(self) -> Archive:
        if self._archive is None:
            self._archive = Archive(self.source)
        return self._archive
