"""The persistent cache of compiled code: one file an entry, named by its content's key, checked before use."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigmagraph.errors import CacheWarning, FileFormatError

_MAGIC = b"sigmagraph program 1\n"
_SUFFIX = ".sgo"


@dataclass(frozen=True, slots=True)
class Entry:
    """Object code, and the JSON data that belongs to it."""

    header: Mapping[str, Any]
    code: bytes


class Cache:
    """A folder of compiled programs.

    An entry is the magic line, the SHA-256 of all that follows, the length of the header, the header (JSON) and the
    object code. Whatever does not read back exactly is treated as absent.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, key: str) -> Entry | None:
        """The entry of a key, or None when there is none that is whole."""
        try:
            data = self._path(key).read_bytes()
        except OSError:
            return None
        try:
            return _decode(key, data)
        except FileFormatError:
            return None

    def store(self, key: str, entry: Entry) -> None:
        """Write an entry; a folder that cannot be written to is a warning, not an error."""
        data = _encode(key, entry)
        temporary = None
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".part")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, self._path(key))
        except OSError as error:
            if temporary is not None:
                with contextlib.suppress(OSError):
                    os.unlink(temporary)
            warnings.warn(
                f"the compiled program is not cached: {self.folder} cannot be written to ({error.strerror}); "
                "set SIGMAGRAPH_CACHE to another folder, or to 'off'",
                CacheWarning,
                stacklevel=2,
            )

    def entries(self) -> list[Path]:
        """The files of all entries."""
        return sorted(self.folder.glob(f"*{_SUFFIX}")) if self.folder.is_dir() else []

    def clear(self) -> int:
        """Remove all entries; returns how many there were."""
        entries = self.entries()
        for path in entries:
            path.unlink(missing_ok=True)
        return len(entries)

    def _path(self, key: str) -> Path:
        return self.folder / (key + _SUFFIX)


def _encode(key: str, entry: Entry) -> bytes:
    header = json.dumps({**entry.header, "key": key}, sort_keys=True).encode()
    body = len(header).to_bytes(8, "little") + header + entry.code
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decode(key: str, data: bytes) -> Entry:
    start = len(_MAGIC)
    digest, body = data[start : start + 32], data[start + 32 :]
    if not data.startswith(_MAGIC) or hashlib.sha256(body).digest() != digest:
        raise FileFormatError("the cache entry is damaged")
    size = int.from_bytes(body[:8], "little")
    header = json.loads(body[8 : 8 + size])
    if header.get("key") != key:
        raise FileFormatError("the cache entry belongs to another program", expected=key, got=header.get("key"))
    return Entry(header, body[8 + size :])
