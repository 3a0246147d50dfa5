"""Several object files in one: the ``ar`` format, which linkers call a static library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sigmagraph.errors import CompileError

_MAGIC = b"!<arch>\n"
_HEADER = 60


def pack(members: Iterable[bytes]) -> bytes:
    """An archive of object files, called by their numbers; equal members give equal bytes."""
    return _MAGIC + b"".join(_member(f"{number}.o", data) for number, data in enumerate(members))


def unpack(archive: bytes) -> Iterator[bytes]:
    """The members of an archive, in order.

    Raises:
        CompileError: it is none.
    """
    if not archive.startswith(_MAGIC):
        raise CompileError("the object code cannot be loaded", expected="an archive of object files")
    at = len(_MAGIC)
    while at < len(archive):
        start = at + _HEADER
        size = int(archive[start - 12 : start - 2])
        yield archive[start : start + size]
        at = start + size + size % 2


def _member(name: str, data: bytes) -> bytes:
    """Name, time, owner, group, mode and size, in columns; members begin at even places."""
    header = f"{name + '/':<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(data):<10}`\n"
    return header.encode() + data + b"\n" * (len(data) % 2)
