"""Unpacks whole archives into folders, and nothing anywhere else."""

from __future__ import annotations

import posixpath
import secrets
import shutil
from collections.abc import Iterator
from os import PathLike, replace
from pathlib import Path, PureWindowsPath

from sigmagraph.data.sources.archive import Archive, Entry
from sigmagraph.data.sources.base import Source, as_path
from sigmagraph.errors import FileFormatError, InputError


def extract_all(
    source: Source | str | PathLike[str], folder: str | PathLike[str], *, limit: int | None = None
) -> list[Path]:
    """Unpack all files of an archive, zip or tar, compressed or not; files that were there are replaced one by one.

    The whole archive is looked at before anything is written. Links to files of the archive become copies of those.

    Args:
        source: the archive, as a path or a source.
        folder: where to; it is made where it is missing.
        limit: how many bytes all files may come to.

    Returns:
        The files, in the archive's order.

    Raises:
        InputError: there is no archive, or the folder cannot be written.
        FileFormatError: the archive is damaged, larger than the limit, or holds something that would not stay in the
            folder: absolute names, names or links that lead out, devices.
    """
    archive = Archive(source)
    root = as_path(folder)
    entries = {entry.name: entry for entry in archive.entries}
    planned = [(root.joinpath(*_parts(archive, e)), _content(archive, e, entries)) for e in archive.entries]
    _refuse_overlaps(archive, root, [path for path, content in planned if content is not None])
    size = sum(content.size for _, content in planned if content)
    if limit is not None and size > limit:
        raise FileFormatError(f"{archive.name} is too large", expected=f"{limit} bytes at most", got=size)
    try:
        return list(_write(archive, root, planned))
    except OSError as error:
        raise InputError(f"{folder} cannot be written", got=error.strerror) from error


def _write(archive: Archive, root: Path, planned: list[tuple[Path, Entry | None]]) -> Iterator[Path]:
    root.mkdir(parents=True, exist_ok=True)
    for path, content in planned:
        if content is None:
            path.mkdir(parents=True, exist_ok=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            with part.open("xb") as file, archive.open(content.name) as stream:
                shutil.copyfileobj(stream, file, 1 << 20)
            replace(part, path)
        finally:
            part.unlink(missing_ok=True)
        yield path


def _parts(archive: Archive, entry: Entry) -> list[str]:
    """The parts of a path that cannot lead out on any system."""
    name = entry.name
    parts = [part for part in name.split("/") if part not in ("", ".")]
    drive = bool(PureWindowsPath(name).drive)
    if (
        name.startswith("/")
        or drive
        or ".." in parts
        or "\\" in name
        or "\0" in name
        or (entry.kind != "folder" and not parts)
    ):
        raise _leads_out(archive, name, repr(name))
    return parts


def _content(archive: Archive, entry: Entry, entries: dict[str, Entry]) -> Entry | None:
    """The file whose bytes an entry stands for; nothing for folders."""
    seen = [entry.name]
    found = entry
    while found.kind == "link":
        base = "" if found.hard else posixpath.dirname(found.name)
        target = posixpath.normpath(posixpath.join(base, found.target))
        if target.startswith(("/", "..")) or target in seen or target not in entries:
            raise _leads_out(archive, entry.name, f"a link to {entry.target}")
        seen.append(target)
        found = entries[target]
    if found.kind == "other" or (found.kind == "folder" and found is not entry):
        raise _leads_out(archive, entry.name, "a device, a pipe or a link to a folder")
    return None if found.kind == "folder" else found


def _refuse_overlaps(archive: Archive, root: Path, files: list[Path]) -> None:
    """Folders that are files, in the archive or in the folder, and links in the folder that lead out of it."""
    home = root.resolve()
    written = dict.fromkeys(files)
    for path in files:
        inside = [parent for parent in path.parents if parent != root and root in parent.parents]
        if any(parent in written for parent in inside) or not path.resolve().is_relative_to(home):
            raise _leads_out(archive, str(path.relative_to(root)), "a path through a file or a link")


def _leads_out(archive: Archive, name: str, got: str) -> FileFormatError:
    return FileFormatError(
        f"{archive.name} holds something that is not unpacked: {name}",
        expected="files and folders that stay in the folder",
        got=got,
    )
